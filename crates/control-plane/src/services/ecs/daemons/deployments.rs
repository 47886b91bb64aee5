//! Deployments and revisions of daemons: those of the service that runs it, in their words.

use std::sync::Arc;

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    DaemonDeploymentRollbackMonitorsStatus as Watched, DaemonDeploymentStatus as Status,
    DescribeDaemonDeploymentsRequest, DescribeDaemonDeploymentsResponse, DescribeDaemonRevisionsRequest,
    DescribeDaemonRevisionsResponse, ListDaemonDeploymentsRequest, ListDaemonDeploymentsResponse,
};
use deployment::{Monitor, RolloutStatus};
use state_store::View;
use vocabulary::Scope;

use super::{
    create::daemon_key,
    key_of, not_found,
    records::{Daemon, service_name},
    show::{self, Count},
};
use crate::{
    convert::{AwsJson, time},
    gateway::{ApiError, Call},
    services::ecs::{
        missing, page, providers,
        services::{
            deployments::{Listed, bounded, newest_first, order},
            records::{Revision, ServiceDeployment, revision_key},
            show as of_service,
        },
    },
};

fn status(status: RolloutStatus) -> Status {
    match status {
        RolloutStatus::Pending => Status::Pending,
        RolloutStatus::InProgress => Status::InProgress,
        RolloutStatus::Successful => Status::Successful,
        RolloutStatus::StopRequested => Status::StopRequested,
        RolloutStatus::Stopped => Status::Stopped,
        RolloutStatus::RollbackRequested | RolloutStatus::RollbackInProgress => Status::RollbackInProgress,
        RolloutStatus::RollbackSuccessful => Status::RollbackSuccessful,
        RolloutStatus::RollbackFailed => Status::RollbackFailed,
    }
}

fn watched(monitor: Monitor) -> Watched {
    match monitor {
        Monitor::Triggered => Watched::Triggered,
        Monitor::Monitoring => Watched::Monitoring,
        Monitor::MonitoringComplete => Watched::MonitoringComplete,
        Monitor::Disabled => Watched::Disabled,
    }
}

/// The daemon, and the key of what its service has under `CLUSTER/NAME/ID`.
fn parts(
    view: &View,
    scope: &Scope,
    arn: &str,
    kind: &str,
) -> Result<Option<(Arc<Daemon>, String)>, ApiError> {
    let key = key_of(scope, Some(arn), kind, 3)?;
    let Some((daemon, id)) = key.rsplit_once('/') else { return Ok(None) };
    let daemon = view.get::<Daemon>(scope, daemon);
    Ok(daemon.map(|daemon| {
        let key = revision_key(&daemon.cluster, &service_name(&daemon.name), id);
        (daemon, key)
    }))
}

pub async fn describe(
    call: Call,
    input: DescribeDaemonDeploymentsRequest,
) -> Result<DescribeDaemonDeploymentsResponse, ApiError> {
    let scope = call.scope();
    let view = call.services.state.view();
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in bounded(input.daemon_deployment_arns, "daemonDeploymentArns")? {
        let known = parts(&view, scope, &arn, "daemon-deployment")?;
        let record =
            known.and_then(|(daemon, key)| Some((daemon, view.get::<ServiceDeployment>(scope, &key)?)));
        match record {
            Some((daemon, record)) => found.push(shape(&view, scope, &daemon, &record)),
            None => failures.push(missing(arn)),
        }
    }
    Ok(DescribeDaemonDeploymentsResponse { daemon_deployments: Some(found), failures: Some(failures) })
}

fn shape(view: &View, scope: &Scope, daemon: &Daemon, record: &ServiceDeployment) -> ecs::DaemonDeployment {
    let rollout = of_service::rollout(view, scope, record);
    let detail = |source: &deployment::Source| {
        let counts = show::counts(view, scope, daemon, &source.deployment);
        let total = |of: fn(&Count) -> i32| Some(counts.values().map(of).sum());
        ecs::DaemonDeploymentRevisionDetail {
            arn: Some(daemon.arn_of(scope, "daemon-revision", Some(&source.revision))),
            capacity_providers: Some(
                counts
                    .iter()
                    .map(|(name, count)| ecs::DaemonDeploymentCapacityProvider {
                        arn: Some(providers::arn(scope, name)),
                        running_instance_count: Some(count.running),
                        draining_instance_count: Some(count.draining),
                        without_daemon_instance_count: Some(count.without),
                    })
                    .collect(),
            ),
            total_running_instance_count: total(|count| count.running),
            total_draining_instance_count: total(|count| count.draining),
            total_without_daemon_instance_count: total(|count| count.without),
        }
    };
    let alarms = record.configuration.0.alarms.as_ref();
    ecs::DaemonDeployment {
        daemon_deployment_arn: Some(daemon.arn_of(scope, "daemon-deployment", Some(&record.id))),
        cluster_arn: Some(daemon.cluster_arn(scope)),
        status: Some(status(rollout.status)),
        status_reason: rollout.status_reason.clone(),
        created_at: Some(time(rollout.created_at)),
        started_at: rollout.started_at.map(time),
        finished_at: rollout.finished_at.map(time),
        stopped_at: rollout.stopped_at.map(time),
        source_daemon_revisions: Some(rollout.sources.iter().map(detail).collect()),
        target_daemon_revision: Some(detail(&rollout.target)),
        deployment_configuration: Some(configuration(record)),
        circuit_breaker: Some(ecs::DaemonCircuitBreaker {
            status: Some(watched(rollout.circuit_breaker)),
            failure_count: of_service::count(rollout.failure_count),
            threshold: of_service::count(rollout.threshold),
        }),
        alarms: Some(ecs::DaemonDeploymentAlarms {
            status: Some(watched(rollout.alarms)),
            alarm_names: alarms.and_then(|alarms| alarms.alarm_names.clone()),
            triggered_alarm_names: Some(rollout.triggered_alarms.clone()),
        }),
        rollback: rollout.rollback.as_ref().map(|rollback| ecs::DaemonRollback {
            reason: Some(rollback.reason.clone()),
            started_at: Some(time(rollback.started_at)),
            rollback_target_daemon_revision_arn: Some(daemon.arn_of(
                scope,
                "daemon-revision",
                Some(&rollback.to.revision),
            )),
            rollback_capacity_providers: Some(
                daemon.capacity_providers.iter().map(|name| providers::arn(scope, name)).collect(),
            ),
        }),
    }
}

/// That which the deployment began with.
fn configuration(record: &ServiceDeployment) -> ecs::DaemonDeploymentConfiguration {
    let given = &record.configuration.0;
    ecs::DaemonDeploymentConfiguration {
        drain_percent: given.minimum_healthy_percent.map(|stay| f64::from(100 - stay)),
        bake_time_in_minutes: given.bake_time_in_minutes,
        alarms: given.alarms.as_ref().map(|alarms| ecs::DaemonAlarmConfiguration {
            alarm_names: alarms.alarm_names.clone(),
            enable: alarms.enable,
        }),
    }
}

pub async fn list(
    call: Call,
    input: ListDaemonDeploymentsRequest,
) -> Result<ListDaemonDeploymentsResponse, ApiError> {
    let scope = call.scope();
    let key = daemon_key(scope, input.daemon_arn.as_deref())?;
    let view = call.services.state.view();
    let daemon = view.get::<Daemon>(scope, &key).ok_or_else(not_found)?;
    let wanted = input.status.unwrap_or_default();
    let wanted = |state| wanted.is_empty() || wanted.contains(&status(state));
    let found = newest_first(&view, scope, &daemon.service_key(), input.created_at, wanted);
    let list = format!("daemon-deployments/{scope}/{key}");
    let page = page(&call, &list, found, order, input.next_token, input.max_results)?;
    let summary = |(record, rollout): &Listed| ecs::DaemonDeploymentSummary {
        daemon_deployment_arn: Some(daemon.arn_of(scope, "daemon-deployment", Some(&record.id))),
        daemon_arn: Some(daemon.arn(scope)),
        cluster_arn: Some(daemon.cluster_arn(scope)),
        status: Some(status(rollout.status)),
        status_reason: rollout.status_reason.clone(),
        created_at: Some(time(rollout.created_at)),
        started_at: rollout.started_at.map(time),
        finished_at: rollout.finished_at.map(time),
        stopped_at: rollout.stopped_at.map(time),
        target_daemon_revision_arn: Some(daemon.arn_of(
            scope,
            "daemon-revision",
            Some(&rollout.target.revision),
        )),
    };
    Ok(ListDaemonDeploymentsResponse {
        daemon_deployments: Some(page.items.iter().map(summary).collect()),
        next_token: page.next_token,
    })
}

pub async fn describe_revisions(
    call: Call,
    input: DescribeDaemonRevisionsRequest,
) -> Result<DescribeDaemonRevisionsResponse, ApiError> {
    let scope = call.scope();
    let view = call.services.state.view();
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in bounded(input.daemon_revision_arns, "daemonRevisionArns")? {
        let known = parts(&view, scope, &arn, "daemon-revision")?;
        let record = known.and_then(|(daemon, key)| Some((daemon, view.get::<Revision>(scope, &key)?)));
        let Some((daemon, record)) = record else {
            failures.push(missing(arn));
            continue;
        };
        let made_of = daemon.revisions.get(&record.id).cloned().unwrap_or_else(AwsJson::default);
        let images = record.details.0.container_images.iter().flatten();
        found.push(ecs::DaemonRevision {
            daemon_revision_arn: Some(arn),
            daemon_arn: Some(daemon.arn(scope)),
            cluster_arn: Some(daemon.cluster_arn(scope)),
            created_at: Some(time(record.created_at)),
            container_images: Some(
                images
                    .map(|image| ecs::DaemonContainerImage {
                        container_name: image.container_name.clone(),
                        image: image.image.clone(),
                        image_digest: image.image_digest.clone(),
                    })
                    .collect(),
            ),
            ..made_of.0
        });
    }
    Ok(DescribeDaemonRevisionsResponse { daemon_revisions: Some(found), failures: Some(failures) })
}
