//! Another deployment controller for a service that is there, by UpdateService.
//!
//! From ECS to EXTERNAL the deployment becomes the primary task set, and the other way round; CODE_DEPLOY gives its sets to either. The tasks go
//! on. Source: the developer guide, updating service parameters, and its page on troubles with such updates, whose texts these are where it
//! has them.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::DeploymentControllerType::{self, CodeDeploy, Ecs, External};
use deployment::CannotHandOver;
use state_store::Tx;
use vocabulary::{Scope, Timestamp};

use super::{
    balancers,
    records::{Revision, Service, TaskSet, revision_key},
};
use crate::{
    gateway::ApiError,
    services::{ecs::names::invalid, tagging::Tags},
};

/// What is written beside the service's record.
#[derive(Debug, Default)]
pub struct Handover {
    /// The set that the deployment became, and its revision under the set's name.
    made: Option<(TaskSet, Revision)>,
    /// The key of the set that became the deployment.
    gone: Option<String>,
}

impl Handover {
    pub fn write(self, tx: &mut Tx, scope: &Scope) {
        if let Some((set, revision)) = self.made {
            tx.put(scope, &set.key(), set);
            tx.put(scope, &revision.key(), revision);
        }
        if let Some(key) = self.gone {
            tx.delete::<TaskSet>(scope, &key);
        }
    }
}

/// Gives the service, as it was read, to another controller.
///
/// # Errors
/// `InvalidParameterException` for what cannot be changed so, or not now.
pub fn change(
    tx: &mut Tx,
    scope: &Scope,
    service: &mut Service,
    to: DeploymentControllerType,
    now: Timestamp,
) -> Result<Handover, ApiError> {
    let from = service.controller();
    let mut handover = Handover::default();
    match (from, to) {
        (Ecs, External) => give(tx, scope, service, now, &mut handover)?,
        (External | CodeDeploy, Ecs) => take(tx, scope, service, now, &mut handover)?,
        (CodeDeploy, External) => {
            _ = service.state.only_task_set(primary(service).as_deref()).map_err(refusal)?;
        }
        _ => {
            return Err(invalid(format!(
                "Updating the deployment controller from {} to {} is not supported.",
                from.as_str(),
                to.as_str()
            )));
        }
    }
    service.settings.0.deployment_controller = Some(ecs::DeploymentController { r#type: Some(to) });
    Ok(handover)
}

/// `ecs-svc/DIGITS` of the primary set.
fn primary(service: &Service) -> Option<String> {
    service.primary_task_set.as_ref().map(|id| format!("ecs-svc/{id}"))
}

fn give(
    tx: &mut Tx,
    scope: &Scope,
    service: &mut Service,
    now: Timestamp,
    handover: &mut Handover,
) -> Result<(), ApiError> {
    let given = service.state.give_to_task_sets(service.desired_count, now).map_err(refusal)?;
    service.deployment = None;
    let Some(source) = given else { return Ok(()) };
    let key = revision_key(&service.cluster, &service.name, &source.revision);
    let revision = tx.get::<Revision>(scope, &key);
    let revision = revision.ok_or_else(|| ApiError::internal("a deployment is without its revision"))?;
    if !revision.connections.is_empty() {
        return Err(invalid("gatewayConnectors are supported with the ECS deployment controller only."));
    }
    let id = source.deployment.strip_prefix("ecs-svc/").unwrap_or(&source.deployment).to_owned();
    let set = TaskSet {
        id: id.clone(),
        cluster: service.cluster.clone(),
        service: service.name.clone(),
        external_id: None,
        started_by: None,
        created_at: now,
        tags: Tags::new(),
    };
    service.primary_task_set = Some(id.clone());
    let mut copy = Revision { id, ..(*revision).clone() };
    // Nothing is shifted between two target groups any more.
    if let Some(balancers) = &mut copy.details.0.load_balancers {
        *balancers = balancers::in_use(&revision.details.0);
    }
    handover.made = Some((set, copy));
    Ok(())
}

fn take(
    tx: &mut Tx,
    scope: &Scope,
    service: &mut Service,
    now: Timestamp,
    handover: &mut Handover,
) -> Result<(), ApiError> {
    let name = primary(service);
    let id = service.primary_task_set.clone().unwrap_or_default();
    let key = revision_key(&service.cluster, &service.name, &id);
    let made = tx.get::<TaskSet>(scope, &key).map_or(now, |set| set.created_at);
    // A set's revision has its digits.
    let taken = service.state.take_from_task_sets(name.as_deref(), (&id, made), service.desired_count, now);
    taken.map_err(refusal)?;
    handover.gone = Some(key);
    service.primary_task_set = None;
    Ok(())
}

fn refusal(why: CannotHandOver) -> ApiError {
    invalid(match why {
        CannotHandOver::StillDeploying => {
            "Updating the deployment controller is not supported during an ongoing service deployment. Please wait until the deployment has completed and try again."
        }
        CannotHandOver::SeveralTaskSets => {
            "Updating the deployment controller is not supported when there are multiple tasksets in the service. Please ensure your service has only one taskset and try again."
        }
        CannotHandOver::NoPrimary => {
            "Updating the deployment controller requires a primary taskset in the service. Please ensure your service has a primary taskset and try again."
        }
    })
}
