//! Registries that ask for credentials, send elsewhere, break off, lie, or are not there.

mod support;

use std::sync::{Arc, Mutex};

use image_store::{Credentials, Digest, Image, ImageStore, Progress, PullError, PullOptions, Reference};
use support::{
    Auth, FaultKind, Registry,
    images::{TestImage, TestLayer, reference},
    names, store,
};

fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic { username: username.to_owned(), password: password.to_owned() }
}

async fn pull_as(
    store: &ImageStore,
    registry: &Registry,
    credentials: Credentials,
) -> Result<Image, PullError> {
    let options = PullOptions { credentials, ..PullOptions::default() };
    store.pull(&reference(registry, "app:v1"), options).await
}

async fn pull(store: &ImageStore, registry: &Registry) -> Result<Image, PullError> {
    pull_as(store, registry, Credentials::Anonymous).await
}

/// A registry with `app:v1`, whose only layer has this blob digest.
async fn registry() -> (Registry, Digest) {
    let registry = Registry::start().await;
    let mut content = Vec::new();
    for number in 0..60_000_u32 {
        content.extend(number.wrapping_mul(2_654_435_761).to_le_bytes());
    }
    let image = TestImage::of(vec![TestLayer::with_file("f", &content)]);
    image.push(&registry, "app", "v1");
    (registry, Digest::of(&image.layers[0].blob))
}

#[tokio::test]
async fn credentials_meet_challenges() {
    let (registry, _) = registry().await;
    let user = ("aws".to_owned(), "secret".to_owned());
    let cases = [
        (Auth::Basic { username: user.0.clone(), password: user.1.clone() }, basic("aws", "secret"), true),
        (Auth::Basic { username: user.0.clone(), password: user.1.clone() }, basic("aws", "wrong"), false),
        (Auth::Basic { username: user.0.clone(), password: user.1.clone() }, Credentials::Anonymous, false),
        (Auth::Token { username: String::new(), password: String::new() }, Credentials::Anonymous, true),
        (Auth::Token { username: user.0.clone(), password: user.1.clone() }, basic("aws", "secret"), true),
        (Auth::Token { username: user.0.clone(), password: user.1.clone() }, basic("aws", "wrong"), false),
        (Auth::Token { username: user.0, password: user.1 }, Credentials::Anonymous, false),
        (Auth::Bearer("t".to_owned()), Credentials::Bearer { token: "t".to_owned() }, true),
        (Auth::Bearer("t".to_owned()), Credentials::Bearer { token: "u".to_owned() }, false),
    ];
    for (number, (auth, credentials, is_good)) in cases.into_iter().enumerate() {
        registry.set_auth(auth);
        let (_directory, store) = store().await;
        match pull_as(&store, &registry, credentials).await {
            Ok(_) => assert!(is_good, "case {number}"),
            Err(error) => {
                assert!(!is_good, "case {number}: {error}");
                let text = error.to_string();
                let name = reference(&registry, "app:v1");
                let prefix = format!(
                    "pull image manifest has been retried 1 time(s): failed to resolve ref {name}: pull access \
                     denied, repository does not exist or may require authorization: server message: "
                );
                assert!(text.starts_with(&prefix), "case {number}: {text}");
                assert!(!text.contains("secret") && !text.contains("wrong"), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn one_token_serves_a_whole_pull() {
    let (registry, _) = registry().await;
    registry.set_auth(Auth::Token { username: String::new(), password: String::new() });
    let (_directory, store) = store().await;
    pull(&store, &registry).await.unwrap();
    assert_eq!(registry.count("GET /token"), 1);
}

#[tokio::test]
async fn credentials_stay_with_their_registry() {
    let (registry, blob) = registry().await;
    let elsewhere = Registry::start().await;
    registry.set_auth(Auth::Basic { username: "aws".to_owned(), password: "secret".to_owned() });
    // What the registry uses as storage: it asks for nothing, and here it has nothing.
    let location = format!("http://{}/v2/storage/blobs/{blob}?signature=abc", elsewhere.host());
    registry.fault(blob.hex(), 1, FaultKind::Redirect(location));
    let (_directory, store) = store().await;
    let error = pull_as(&store, &registry, basic("aws", "secret")).await.unwrap_err().to_string();
    assert!(error.contains("failed to copy: httpReadSeeker: failed open: not found"), "{error}");
    assert_eq!(elsewhere.count("authorized=-"), 1);
    assert_eq!(elsewhere.count("authorized=Basic"), 0);
}

#[tokio::test]
async fn redirects_are_followed_and_bounded() {
    let (registry, blob) = registry().await;
    // Relative and absolute, on the same registry.
    registry.fault(blob.hex(), 1, FaultKind::Redirect(format!("/v2/app/blobs/{blob}")));
    let (_directory, store) = store().await;
    pull(&store, &registry).await.unwrap();

    for location in
        [format!("/v2/app/blobs/{blob}"), String::new(), "ftp://x/".to_owned(), "http://".to_owned()]
    {
        registry.fault("/manifests/", 1000, FaultKind::Redirect(location));
        pull(&store, &registry).await.unwrap_err();
    }
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let (registry, blob) = registry().await;
    registry.fault("/manifests/", 2, FaultKind::Status(503, ""));
    registry.fault(blob.hex(), 2, FaultKind::Status(500, ""));
    let (_directory, store) = store().await;
    pull(&store, &registry).await.unwrap();
    assert_eq!(registry.count("/manifests/"), 3);
}

#[tokio::test]
async fn a_broken_download_is_resumed_where_it_stopped() {
    let (registry, blob) = registry().await;
    registry.fault(blob.hex(), 1, FaultKind::CutAfter(50_000));
    let (_directory, store) = store().await;
    pull(&store, &registry).await.unwrap();
    assert_eq!(registry.count(&format!("{blob} range=bytes=50000-")), 1);
}

#[tokio::test]
async fn a_server_without_ranges_is_resumed_by_skipping() {
    let (registry, blob) = registry().await;
    registry.ignore_ranges();
    registry.fault(blob.hex(), 2, FaultKind::CutAfter(50_000));
    let (_directory, store) = store().await;
    pull(&store, &registry).await.unwrap();
    assert_eq!(registry.count(blob.hex()), 3);
}

#[tokio::test]
async fn a_download_that_never_gets_further_fails() {
    let (registry, blob) = registry().await;
    registry.fault(blob.hex(), 1000, FaultKind::CutAfter(0));
    let (_directory, store) = store().await;
    let error = pull(&store, &registry).await.unwrap_err().to_string();
    assert!(
        error.starts_with("ref pull has been retried 3 time(s): failed to copy: httpReadSeeker: "),
        "{error}"
    );
    assert_eq!(names(&store, "tmp"), [""; 0]);
    assert_eq!(names(&store, "layers"), [""; 0]);
}

#[tokio::test]
async fn wrong_content_is_refused_after_a_second_look() {
    let (registry, blob) = registry().await;
    registry.fault(blob.hex(), 1, FaultKind::Corrupt);
    let (_directory, first) = store().await;
    pull(&first, &registry).await.unwrap();

    registry.fault(blob.hex(), 1000, FaultKind::Corrupt);
    let (_directory, second) = store().await;
    let error = pull(&second, &registry).await.unwrap_err().to_string();
    assert!(error.ends_with(&format!("expected {blob}: failed precondition")), "{error}");
    assert_eq!(names(&second, "tmp"), [""; 0]);
    assert_eq!(names(&second, "layers"), [""; 0]);
    assert_eq!(second.list(), []);
}

#[tokio::test]
async fn refusals_read_as_users_know_them() {
    let (registry, _) = registry().await;
    let (_directory, store) = store().await;
    let missing = reference(&registry, "app:missing");
    let error = store.pull(&missing, PullOptions::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("pull image manifest has been retried 1 time(s): failed to resolve ref {missing}: not found")
    );
    let limit =
        r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#;
    registry.fault("/manifests/v1", 3, FaultKind::Status(429, limit));
    let error = pull(&store, &registry).await.unwrap_err().to_string();
    assert!(error.starts_with("pull image manifest has been retried 3 time(s)"), "{error}");
    assert!(
        error.ends_with(
            "429 Too Many Requests: server message: toomanyrequests: You have reached your pull rate limit."
        ),
        "{error}"
    );
    // Nobody listens there: the port was just given up.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere = Reference::parse(&format!("{gone}/app:v1")).unwrap();
    let error = store.pull(&nowhere, PullOptions::default()).await.unwrap_err().to_string();
    assert!(
        error.contains(&format!("failed to do request: Get \"http://{gone}/v2/app/manifests/v1\": ")),
        "{error}"
    );
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn progress_is_told() {
    let (registry, blob) = registry().await;
    let heard: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let (_directory, store) = store().await;
    for _ in 0..2 {
        let sink = heard.clone();
        let progress: image_store::ProgressFn = Arc::new(move |event| sink.lock().unwrap().push(event));
        let options = PullOptions { progress: Some(progress), ..PullOptions::default() };
        store.pull(&reference(&registry, "app:v1"), options).await.unwrap();
    }
    let heard = heard.lock().unwrap();
    let resolved: Vec<u64> = heard
        .iter()
        .filter_map(|e| match e {
            Progress::Resolved { download_bytes, .. } => Some(*download_bytes),
            _ => None,
        })
        .collect();
    let last = heard.iter().rev().find_map(|e| match e {
        Progress::Downloaded { bytes } => Some(*bytes),
        _ => None,
    });
    assert_eq!(resolved[1], 0);
    assert!(resolved[0] > 100_000);
    assert_eq!(last, Some(resolved[0]));
    let present: Vec<bool> = heard
        .iter()
        .filter_map(|e| match e {
            Progress::LayerReady { was_present, .. } => Some(*was_present),
            _ => None,
        })
        .collect();
    assert_eq!(present, [false, true]);
    assert_eq!(registry.count(blob.hex()), 1);
}
