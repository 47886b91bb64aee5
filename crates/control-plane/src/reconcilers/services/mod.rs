//! One look at one service: its targets first, then its plan, each in one transaction that is committed only if what it was
//! decided by still holds.

mod carry;
mod snapshot;
mod starting;
mod targets;

use std::{sync::Arc, time::Duration};

use deployment::Limits;
use state_store::{Fence, Tx, View};
use vocabulary::{Scope, Timestamp};

use crate::{
    gateway::ApiError,
    services::{
        Services,
        ecs::{
            records::Task,
            services::{
                balancers,
                records::{Service, ServiceStatus, revision_key_of, revision_of},
            },
        },
    },
};

/// Starts, stops and notes of one plan. A started task with an interface and two addresses is 4 writes, a stopped one with
/// five targets 6; a transaction takes 128.
const CHANGES: Limits = Limits { changes: 10 };

/// Looks at the service `key` and does what is due. `capacity`: placement is worth another try. Answers after how long
/// it is to be looked at again even if nothing changes.
///
/// # Errors
/// Those of the store; the same look can be taken again.
pub async fn look(
    services: &Arc<Services>,
    fence: Option<&Fence>,
    scope: &Scope,
    key: &str,
    capacity: bool,
) -> Result<Option<Duration>, ApiError> {
    let now = services.now();
    let wake_at = look_at(services, fence, scope, key, capacity, now).await?;
    Ok(wake_at.map(|at| at.since(now)))
}

/// [`look`] with the time given.
///
/// # Errors
/// As there.
pub async fn look_at(
    services: &Arc<Services>,
    fence: Option<&Fence>,
    scope: &Scope,
    key: &str,
    capacity: bool,
    now: Timestamp,
) -> Result<Option<Timestamp>, ApiError> {
    let drained_at = targets::keep_up(services, fence, scope, key, now).await?;
    let planned_at = carry::plan(services, fence, scope, key, capacity, now).await?;
    Ok(match (drained_at, planned_at) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    })
}

/// The service, unless nothing is to be done for it any more.
fn service_in(tx: &mut Tx, fence: Option<&Fence>, scope: &Scope, key: &str) -> Option<Arc<Service>> {
    if let Some(fence) = fence {
        tx.fence(fence);
    }
    tx.get::<Service>(scope, key).filter(|service| service.status != ServiceStatus::Inactive)
}

/// Its tasks as the snapshot has them, unguarded: what is acted on is read again.
fn tasks(view: &View, scope: &Scope, key: &str) -> Vec<Arc<Task>> {
    view.by_index::<Task>(scope, "service", key).map(|(_, task)| task).collect()
}

/// The container instances that are to have a task of a DAEMON service, by id, as it is now, in this transaction too.
///
/// # Errors
/// When what it is made of is gone.
pub fn eligible(
    tx: &mut Tx,
    services: &Services,
    scope: &Scope,
    service: &Service,
) -> Result<Vec<String>, ApiError> {
    starting::Starting { services, scope, service, records: &[] }.eligible(tx)
}

/// Whether any of its deployments or task sets is behind load balancers.
pub fn is_balanced(view: &View, scope: &Scope, service: &Service) -> bool {
    let deployments = service.state.deployments.iter().map(|deployment| deployment.id.as_str());
    let sets = service.state.task_sets.iter().map(|set| set.id.as_str());
    deployments.chain(sets).any(|id| {
        revision_of(view, scope, service, id)
            .is_some_and(|revision| !balancers::attachments(&revision).is_empty())
    })
}
