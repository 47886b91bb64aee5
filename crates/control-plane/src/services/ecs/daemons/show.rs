//! DescribeDaemon and ListDaemons: what was asked, and on how many instances each revision runs.

use std::collections::{BTreeMap, BTreeSet};

use agent_protocol::state::TaskStatus;
use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    DaemonStatus, DescribeDaemonRequest, DescribeDaemonResponse, ListDaemonsRequest, ListDaemonsResponse,
};
use state_store::View;
use vocabulary::Scope;

use super::{
    create::{Asked, daemon_key, deployment_arn},
    not_found,
    records::Daemon,
};
use crate::{
    convert::time,
    gateway::{ApiError, Call},
    services::ecs::{
        names::{self, cluster_name},
        page, providers,
        records::{ContainerInstance, DesiredStatus, Task},
        services::records::Service,
    },
};

/// Instances of one provider, of one revision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub running: i32,
    /// Where the revision's task is on its way out.
    pub draining: i32,
    /// Where no daemon task of any revision runs.
    pub without: i32,
}

/// On how many instances of each capacity provider a revision of the daemon runs. `started_by`: the revision's deployment.
pub fn counts(view: &View, scope: &Scope, daemon: &Daemon, started_by: &str) -> BTreeMap<String, Count> {
    let mut counts: BTreeMap<String, Count> =
        daemon.capacity_providers.iter().map(|name| (name.clone(), Count::default())).collect();
    let mut own: BTreeMap<String, bool> = BTreeMap::new();
    let mut served = BTreeSet::new();
    for (_, task) in view.by_index::<Task>(scope, "service", &daemon.service_key()) {
        let Some(instance) = &task.container_instance else { continue };
        if task.state.last_status == TaskStatus::Running {
            served.insert(instance.clone());
            if task.started_by.as_deref() == Some(started_by) {
                own.insert(instance.clone(), task.desired_status == DesiredStatus::Stopped);
            }
        }
    }
    for (_, instance) in view.scan_prefix::<ContainerInstance>(scope, &format!("{}/", daemon.cluster)) {
        let registered = instance.description.0.attributes.as_deref().unwrap_or_default();
        let provider = providers::of_instance(view, scope, &daemon.cluster, &instance.id, registered);
        let Some(count) = provider.and_then(|name| counts.get_mut(&name)) else { continue };
        match own.get(&instance.id) {
            Some(false) => count.running += 1,
            Some(true) => count.draining += 1,
            None => {}
        }
        count.without += i32::from(!served.contains(&instance.id));
    }
    counts
}

pub async fn describe(call: Call, input: DescribeDaemonRequest) -> Result<DescribeDaemonResponse, ApiError> {
    let scope = call.scope();
    let key = daemon_key(scope, input.daemon_arn.as_deref())?;
    let view = call.services.state.view();
    let daemon = view.get::<Daemon>(scope, &key).ok_or_else(not_found)?;
    let service = view.get::<Service>(scope, &daemon.service_key()).ok_or_else(not_found)?;
    let revisions = service.state.deployments.iter().map(|deployment| {
        let counts = counts(&view, scope, &daemon, &deployment.id);
        let of = |(name, count): (&String, &Count)| ecs::DaemonCapacityProvider {
            arn: Some(providers::arn(scope, name)),
            running_count: Some(count.running),
            without_daemon_count: Some(count.without),
        };
        ecs::DaemonRevisionDetail {
            arn: Some(daemon.arn_of(scope, "daemon-revision", Some(&deployment.revision))),
            capacity_providers: Some(counts.iter().map(of).collect()),
            total_running_count: Some(counts.values().map(|count| count.running).sum()),
            total_without_daemon_count: Some(counts.values().map(|count| count.without).sum()),
        }
    });
    Ok(DescribeDaemonResponse {
        daemon: Some(ecs::DaemonDetail {
            daemon_arn: Some(daemon.arn(scope)),
            cluster_arn: Some(daemon.cluster_arn(scope)),
            status: Some(status(&daemon)),
            current_revisions: Some(revisions.collect()),
            deployment_arn: deployment_arn(scope, &daemon, &service),
            created_at: Some(time(daemon.created_at)),
            updated_at: Some(time(daemon.updated_at)),
        }),
    })
}

fn status(daemon: &Daemon) -> DaemonStatus {
    if daemon.deleted { DaemonStatus::DeleteInProgress } else { DaemonStatus::Active }
}

pub async fn list(call: Call, input: ListDaemonsRequest) -> Result<ListDaemonsResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster_arn.as_deref())?;
    let wanted = Asked::providers(scope, input.capacity_provider_arns)?;
    let view = call.services.state.view();
    names::active_cluster(&view, scope, &cluster)?;
    let serves = |daemon: &Daemon| {
        wanted.is_empty() || wanted.iter().any(|name| daemon.capacity_providers.contains(name))
    };
    let all = view.scan_prefix::<Daemon>(scope, &format!("{cluster}/")).map(|(_, daemon)| daemon);
    let list = format!("daemons/{scope}/{cluster}/{}", wanted.join(","));
    let found = all.filter(|daemon| serves(daemon));
    let page = page(&call, &list, found, |daemon| daemon.name.clone(), input.next_token, input.max_results)?;
    let summary = |daemon: &std::sync::Arc<Daemon>| ecs::DaemonSummary {
        daemon_arn: Some(daemon.arn(scope)),
        status: Some(status(daemon)),
        created_at: Some(time(daemon.created_at)),
        updated_at: Some(time(daemon.updated_at)),
    };
    Ok(ListDaemonsResponse {
        daemon_summaries_list: Some(page.items.iter().map(summary).collect()),
        next_token: page.next_token,
    })
}
