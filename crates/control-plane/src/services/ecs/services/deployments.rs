//! Service deployments and service revisions: described, listed, stopped, continued.

use std::sync::Arc;

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    ContinueServiceDeploymentRequest, ContinueServiceDeploymentResponse, DescribeServiceDeploymentsRequest,
    DescribeServiceDeploymentsResponse, DescribeServiceRevisionsRequest, DescribeServiceRevisionsResponse,
    ListServiceDeploymentsRequest, ListServiceDeploymentsResponse, StopServiceDeploymentRequest,
    StopServiceDeploymentResponse, errors,
};
use deployment::{HookStatus, HookTarget, Monitor, Refused, Rollout, RolloutStatus, StopType};
use state_store::{Tx, View};
use vocabulary::Scope;

use super::{
    core,
    names::{self as own, key_of_arn},
    records::{Revision, Service, ServiceDeployment, revision_key, service_key},
    show,
};
use crate::{
    convert::time,
    gateway::{ApiError, Call},
    services::ecs::{
        missing,
        names::{self, cluster_name, invalid},
        page,
    },
};

/// Of one request. Source: the API reference.
const MOST_DESCRIBED: usize = 20;

pub async fn describe_revisions(
    call: Call,
    input: DescribeServiceRevisionsRequest,
) -> Result<DescribeServiceRevisionsResponse, ApiError> {
    let scope = call.scope();
    let arns = bounded(input.service_revision_arns, "serviceRevisionArns")?;
    let (mut revisions, mut failures) = (Vec::new(), Vec::new());
    let view = call.services.state.view();
    for arn in arns {
        match view.get::<Revision>(scope, &key_of_arn(scope, &arn, "service-revision")?) {
            Some(found) => {
                revisions.push(show::service_revision(&view, &call.services.settings, scope, &found));
            }
            None => failures.push(missing(arn)),
        }
    }
    Ok(DescribeServiceRevisionsResponse { service_revisions: Some(revisions), failures: Some(failures) })
}

pub async fn describe(
    call: Call,
    input: DescribeServiceDeploymentsRequest,
) -> Result<DescribeServiceDeploymentsResponse, ApiError> {
    let scope = call.scope();
    let arns = bounded(input.service_deployment_arns, "serviceDeploymentArns")?;
    let (mut deployments, mut failures) = (Vec::new(), Vec::new());
    let view = call.services.state.view();
    for arn in arns {
        match view.get::<ServiceDeployment>(scope, &key_of_arn(scope, &arn, "service-deployment")?) {
            Some(found) => deployments.push(shape(&view, scope, &found)),
            None => failures.push(missing(arn)),
        }
    }
    Ok(DescribeServiceDeploymentsResponse {
        service_deployments: Some(deployments),
        failures: Some(failures),
    })
}

/// What one request describes: something, and not too much.
pub fn bounded(given: Option<Vec<String>>, member: &str) -> Result<Vec<String>, ApiError> {
    match given.unwrap_or_default() {
        empty if empty.is_empty() => Err(invalid(format!("{member} cannot be empty."))),
        many if many.len() > MOST_DESCRIBED => {
            Err(invalid(format!("{member} can have at most {MOST_DESCRIBED} items.")))
        }
        given => Ok(given),
    }
}

/// A deployment in a list.
pub type Listed = (Arc<ServiceDeployment>, Rollout);

/// The deployments of a service (by its key) that were created within the bounds and whose state is wanted, the newest first.
pub fn newest_first(
    view: &View,
    scope: &Scope,
    service: &str,
    created_at: Option<ecs::CreatedAt>,
    wanted: impl Fn(RolloutStatus) -> bool,
) -> Vec<Listed> {
    let ecs::CreatedAt { after, before } = created_at.unwrap_or_default();
    let mut found: Vec<Listed> = view
        .scan_prefix::<ServiceDeployment>(scope, &format!("{service}/"))
        .map(|(_, record)| (record.clone(), show::rollout(view, scope, &record)))
        .filter(|(_, rollout)| {
            let created = rollout.created_at.as_millis();
            wanted(rollout.status)
                && after.is_none_or(|after| created >= after.as_millis())
                && before.is_none_or(|before| created <= before.as_millis())
        })
        .collect();
    found.sort_by_key(order);
    found
}

/// Where a deployment stands in a list, which is the key of a page. It counts down.
pub fn order((record, rollout): &Listed) -> String {
    format!("{:020}{}", i64::MAX - rollout.created_at.as_millis(), record.id)
}

pub async fn list(
    call: Call,
    input: ListServiceDeploymentsRequest,
) -> Result<ListServiceDeploymentsResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let name = own::service_name(scope, &cluster, input.service.as_deref().unwrap_or_default())?;
    let wanted = input.status.unwrap_or_default();
    let view = call.services.state.view();
    names::active_cluster(&view, scope, &cluster)?;
    let service = own::find(&view, scope, &cluster, &name)?;
    let wanted = |state| wanted.is_empty() || wanted.contains(&status(state));
    let found = newest_first(&view, scope, &service.key(), input.created_at, wanted);
    let list = format!("service-deployments/{scope}/{}", service.key());
    let page = page(&call, &list, found, order, input.next_token, input.max_results)?;
    let brief = |(record, rollout): &Listed| ecs::ServiceDeploymentBrief {
        service_deployment_arn: Some(record.arn(scope)),
        service_arn: Some(service.arn(scope)),
        cluster_arn: Some(service.cluster_arn(scope)),
        created_at: Some(time(rollout.created_at)),
        started_at: rollout.started_at.map(time),
        finished_at: rollout.finished_at.map(time),
        status: Some(status(rollout.status)),
        status_reason: rollout.status_reason.clone(),
        target_service_revision_arn: Some(revision_arn(scope, &service, &rollout.target.revision)),
    };
    Ok(ListServiceDeploymentsResponse {
        service_deployments: Some(page.items.iter().map(brief).collect()),
        next_token: page.next_token,
    })
}

fn revision_arn(scope: &Scope, service: &Service, id: &str) -> String {
    let key = revision_key(&service.cluster, &service.name, id);
    scope.arn("ecs", format_args!("service-revision/{key}")).to_string()
}

fn status(status: RolloutStatus) -> ecs::ServiceDeploymentStatus {
    match status {
        RolloutStatus::Pending => ecs::ServiceDeploymentStatus::Pending,
        RolloutStatus::InProgress => ecs::ServiceDeploymentStatus::InProgress,
        RolloutStatus::Successful => ecs::ServiceDeploymentStatus::Successful,
        RolloutStatus::StopRequested => ecs::ServiceDeploymentStatus::StopRequested,
        RolloutStatus::Stopped => ecs::ServiceDeploymentStatus::Stopped,
        RolloutStatus::RollbackRequested => ecs::ServiceDeploymentStatus::RollbackRequested,
        RolloutStatus::RollbackInProgress => ecs::ServiceDeploymentStatus::RollbackInProgress,
        RolloutStatus::RollbackSuccessful => ecs::ServiceDeploymentStatus::RollbackSuccessful,
        RolloutStatus::RollbackFailed => ecs::ServiceDeploymentStatus::RollbackFailed,
    }
}

fn monitor(monitor: Monitor) -> ecs::ServiceDeploymentRollbackMonitorsStatus {
    match monitor {
        Monitor::Triggered => ecs::ServiceDeploymentRollbackMonitorsStatus::Triggered,
        Monitor::Monitoring => ecs::ServiceDeploymentRollbackMonitorsStatus::Monitoring,
        Monitor::MonitoringComplete => ecs::ServiceDeploymentRollbackMonitorsStatus::MonitoringComplete,
        Monitor::Disabled => ecs::ServiceDeploymentRollbackMonitorsStatus::Disabled,
    }
}

/// A service deployment.
fn shape(view: &View, scope: &Scope, record: &ServiceDeployment) -> ecs::ServiceDeployment {
    let rollout = show::rollout(view, scope, record);
    let service = view.get::<Service>(scope, &service_key(&record.cluster, &record.service));
    let counts = service.as_ref().map(|service| show::Counts::new(view, scope, service)).unwrap_or_default();
    let summary = |source: &deployment::Source| {
        let known = service.as_ref().and_then(|service| {
            service.state.deployments.iter().find(|deployment| deployment.id == source.deployment)
        });
        let (running, pending) = counts.of(&source.deployment);
        let key = revision_key(&record.cluster, &record.service, &source.revision);
        ecs::ServiceRevisionSummary {
            arn: Some(scope.arn("ecs", format_args!("service-revision/{key}")).to_string()),
            requested_task_count: show::count(known.map_or(0, |known| known.desired_count)),
            running_task_count: show::count(running),
            pending_task_count: show::count(pending),
            requested_production_traffic_weight: known.map(|known| known.production_weight),
            requested_test_traffic_weight: known.map(|known| known.test_weight),
        }
    };
    let alarms = record.configuration.0.alarms.as_ref();
    ecs::ServiceDeployment {
        service_deployment_arn: Some(record.arn(scope)),
        service_arn: Some(
            scope.arn("ecs", format_args!("service/{}/{}", record.cluster, record.service)).to_string(),
        ),
        cluster_arn: Some(scope.arn("ecs", format_args!("cluster/{}", record.cluster)).to_string()),
        created_at: Some(time(rollout.created_at)),
        started_at: rollout.started_at.map(time),
        finished_at: rollout.finished_at.map(time),
        stopped_at: rollout.stopped_at.map(time),
        updated_at: Some(time(rollout.updated_at)),
        source_service_revisions: Some(rollout.sources.iter().map(summary).collect()),
        target_service_revision: Some(summary(&rollout.target)),
        status: Some(status(rollout.status)),
        status_reason: rollout.status_reason.clone(),
        lifecycle_stage: rollout.stage.map(stage),
        lifecycle_hook_details: (!rollout.hooks.is_empty()).then(|| rollout.hooks.iter().map(hook).collect()),
        deployment_configuration: Some(record.configuration.0.clone()),
        rollback: rollout.rollback.as_ref().map(|rollback| ecs::Rollback {
            reason: Some(rollback.reason.clone()),
            started_at: Some(time(rollback.started_at)),
            service_revision_arn: {
                let key = revision_key(&record.cluster, &record.service, &rollback.to.revision);
                Some(scope.arn("ecs", format_args!("service-revision/{key}")).to_string())
            },
        }),
        deployment_circuit_breaker: Some(ecs::ServiceDeploymentCircuitBreaker {
            status: Some(monitor(rollout.circuit_breaker)),
            failure_count: show::count(rollout.failure_count),
            threshold: show::count(rollout.threshold),
        }),
        alarms: Some(ecs::ServiceDeploymentAlarms {
            status: Some(monitor(rollout.alarms)),
            alarm_names: alarms.and_then(|alarms| alarms.alarm_names.clone()),
            triggered_alarm_names: (!rollout.triggered_alarms.is_empty())
                .then(|| rollout.triggered_alarms.clone()),
        }),
    }
}

fn stage(stage: deployment::Stage) -> ecs::ServiceDeploymentLifecycleStage {
    use deployment::Stage;
    use ecs::ServiceDeploymentLifecycleStage as Shown;
    match stage {
        Stage::ReconcileService => Shown::ReconcileService,
        Stage::PreScaleUp => Shown::PreScaleUp,
        Stage::ScaleUp => Shown::ScaleUp,
        Stage::PostScaleUp => Shown::PostScaleUp,
        Stage::TestTrafficShift => Shown::TestTrafficShift,
        Stage::PostTestTrafficShift => Shown::PostTestTrafficShift,
        Stage::ProductionTrafficShift => Shown::ProductionTrafficShift,
        Stage::PostProductionTrafficShift => Shown::PostProductionTrafficShift,
        Stage::BakeTime => Shown::BakeTime,
        Stage::CleanUp => Shown::CleanUp,
    }
}

fn hook(run: &deployment::HookRun) -> ecs::DeploymentLifecycleHookDetail {
    let (target_type, target_arn) = match &run.target {
        HookTarget::Lambda(arn) => (ecs::DeploymentLifecycleHookTargetType::AwsLambda, Some(arn.clone())),
        HookTarget::Pause => (ecs::DeploymentLifecycleHookTargetType::Pause, None),
    };
    ecs::DeploymentLifecycleHookDetail {
        hook_id: Some(run.id.clone()),
        target_type: Some(target_type),
        target_arn,
        status: Some(match run.status {
            HookStatus::AwaitingAction => ecs::DeploymentLifecycleHookStatus::AwaitingAction,
            HookStatus::InProgress => ecs::DeploymentLifecycleHookStatus::InProgress,
            HookStatus::Succeeded => ecs::DeploymentLifecycleHookStatus::Succeeded,
            HookStatus::Failed => ecs::DeploymentLifecycleHookStatus::Failed,
            HookStatus::TimedOut => ecs::DeploymentLifecycleHookStatus::TimedOut,
        }),
        expires_at: Some(time(run.expires_at)),
        timeout_action: Some(match run.timeout_action {
            deployment::HookAction::Rollback => ecs::DeploymentLifecycleHookAction::Rollback,
            deployment::HookAction::Continue => ecs::DeploymentLifecycleHookAction::Continue,
        }),
    }
}

fn deployment_not_found() -> ApiError {
    ApiError::new(
        &errors::SERVICE_DEPLOYMENT_NOT_FOUND_EXCEPTION,
        "The specified service deployment was not found.",
    )
}

/// The service whose deployment under way that is.
fn under_way(tx: &mut Tx, scope: &Scope, key: &str) -> Result<Service, ApiError> {
    let record = tx.get::<ServiceDeployment>(scope, key).ok_or_else(deployment_not_found)?;
    let service = service_key(&record.cluster, &record.service);
    let service = tx.get::<Service>(scope, &service).ok_or_else(deployment_not_found)?;
    if service.deployment.as_ref() != Some(&record.id) {
        return Err(not_in_progress());
    }
    Ok((*service).clone())
}

fn not_in_progress() -> ApiError {
    ApiError::new(&errors::CONFLICT_EXCEPTION, "The service deployment is not in progress.")
}

pub async fn stop(
    call: Call,
    input: StopServiceDeploymentRequest,
) -> Result<StopServiceDeploymentResponse, ApiError> {
    let scope = call.scope().clone();
    let arn = input.service_deployment_arn.unwrap_or_default();
    let key = key_of_arn(&scope, &arn, "service-deployment")?;
    let stop = match input.stop_type {
        Some(ecs::StopServiceDeploymentStopType::Abort) => StopType::Abort,
        Some(ecs::StopServiceDeploymentStopType::Rollback) | None => StopType::Rollback,
    };
    call.services
        .state
        .transact(|tx| {
            let mut service = under_way(tx, &scope, &key)?;
            service.state.request_stop(stop, call.now()).map_err(|refused| match refused {
                Refused::NotInProgress => not_in_progress(),
                other => invalid(format!("The service deployment cannot be stopped: {other}.")),
            })?;
            tx.put(&scope, &service.key(), service);
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(StopServiceDeploymentResponse { service_deployment_arn: Some(arn) })
}

pub async fn carry_on(
    call: Call,
    input: ContinueServiceDeploymentRequest,
) -> Result<ContinueServiceDeploymentResponse, ApiError> {
    let scope = call.scope().clone();
    let arn = input.service_deployment_arn.unwrap_or_default();
    let key = key_of_arn(&scope, &arn, "service-deployment")?;
    let hook = input.hook_id.unwrap_or_default();
    let action = core::hook_action(input.action.unwrap_or(ecs::DeploymentLifecycleHookAction::Continue));
    call.services
        .state
        .transact(|tx| {
            let mut service = under_way(tx, &scope, &key)?;
            service
                .state
                .answer_hook(&hook, action, call.now())
                .map_err(|refused| invalid(format!("The service deployment cannot go on: {refused}.")))?;
            tx.put(&scope, &service.key(), service);
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(ContinueServiceDeploymentResponse { service_deployment_arn: Some(arn) })
}
