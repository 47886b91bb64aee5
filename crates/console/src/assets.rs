//! The files, embedded. A test holds this list against the directory.

/// The page that every view starts from.
pub const PAGE: &str = "";

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[
            (PAGE, include_bytes!("../web/index.html")),
            $(($path, include_bytes!(concat!("../web/", $path))),)*
        ]
    };
}

/// Path below the console's root, and content.
#[rustfmt::skip]
pub const FILES: &[(&str, &[u8])] = files![
    "assets/app.js",
    "assets/icon.svg",
    "assets/lib/advice.js",
    "assets/lib/api.js",
    "assets/lib/balancers.js",
    "assets/lib/charts.js",
    "assets/lib/command.js",
    "assets/lib/definitions.js",
    "assets/lib/dialog.js",
    "assets/lib/diff.js",
    "assets/lib/dom.js",
    "assets/lib/ecs.js",
    "assets/lib/events.js",
    "assets/lib/forms.js",
    "assets/lib/live.js",
    "assets/lib/log-view.js",
    "assets/lib/parts.js",
    "assets/lib/placing.js",
    "assets/lib/router.js",
    "assets/lib/rows.js",
    "assets/lib/session.js",
    "assets/lib/sign.js",
    "assets/lib/tail.js",
    "assets/lib/text.js",
    "assets/lib/xml.js",
    "assets/routes.js",
    "assets/shell/frame.js",
    "assets/shell/keys.js",
    "assets/shell/sign-in.js",
    "assets/style/content.css",
    "assets/style/forms.css",
    "assets/style/layout.css",
    "assets/style/narrow.css",
    "assets/style/parts.css",
    "assets/style/tables.css",
    "assets/style/text.css",
    "assets/style/tokens.css",
    "assets/views/cluster.js",
    "assets/views/clusters.js",
    "assets/views/create-cluster.js",
    "assets/views/create-repository.js",
    "assets/views/create-service.js",
    "assets/views/definition.js",
    "assets/views/definitions.js",
    "assets/views/family.js",
    "assets/views/load-balancer.js",
    "assets/views/load-balancers.js",
    "assets/views/log-group.js",
    "assets/views/log-groups.js",
    "assets/views/log-stream.js",
    "assets/views/metric.js",
    "assets/views/metrics.js",
    "assets/views/overview.js",
    "assets/views/register-definition.js",
    "assets/views/repositories.js",
    "assets/views/repository.js",
    "assets/views/run-task.js",
    "assets/views/service.js",
    "assets/views/target-group.js",
    "assets/views/task.js",
    "assets/views/update-service.js",
];
