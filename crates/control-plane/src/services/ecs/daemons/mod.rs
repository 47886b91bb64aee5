//! Daemons: one task of a daemon task definition on each container instance of some capacity providers.
//!
//! A daemon is run as a service with the DAEMON scheduling strategy that clients of services do not see: its name is `daemon:NAME`, which no
//! service can have, and so is its tasks' group. Deployments, revisions, the circuit breaker, alarms and roll-backs are that service's.
//! Its definitions lie among the task definitions under a family that no task definition can have ([`definitions::family`]).
//!
//! On AWS only instances that AWS manages have daemons: an update drains instances and puts new ones in their place, and so does the end
//! of a critical daemon's task. Machines here are their owner's. An update replaces the tasks in place, as many at a time as
//! `drainPercent` says and one at least; critical daemons are refused.

mod create;
mod definitions;
mod deployments;
mod records;
mod show;
mod update;

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::errors;
use vocabulary::Scope;

use super::names::{invalid, own_resource};
use crate::gateway::{ApiError, Operations};
pub use definitions::purge;
pub use records::{Daemon, Definition, service_name};
pub use update::sweep;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(ecs::SERVICE)
        .on::<ecs::RegisterDaemonTaskDefinition, _, _>(definitions::register)
        .on::<ecs::DescribeDaemonTaskDefinition, _, _>(definitions::describe)
        .on::<ecs::ListDaemonTaskDefinitions, _, _>(definitions::list)
        .on::<ecs::DeleteDaemonTaskDefinition, _, _>(definitions::delete)
        .on::<ecs::CreateDaemon, _, _>(create::create)
        .on::<ecs::UpdateDaemon, _, _>(update::update)
        .on::<ecs::DeleteDaemon, _, _>(update::delete)
        .on::<ecs::DescribeDaemon, _, _>(show::describe)
        .on::<ecs::ListDaemons, _, _>(show::list)
        .on::<ecs::DescribeDaemonDeployments, _, _>(deployments::describe)
        .on::<ecs::ListDaemonDeployments, _, _>(deployments::list)
        .on::<ecs::DescribeDaemonRevisions, _, _>(deployments::describe_revisions);
}

/// Declares the records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables.with::<Daemon>().with::<Definition>().with::<records::Latest>()
}

fn not_found() -> ApiError {
    ApiError::new(&errors::DAEMON_NOT_FOUND_EXCEPTION, "The specified daemon was not found.")
}

fn not_active() -> ApiError {
    ApiError::new(&errors::DAEMON_NOT_ACTIVE_EXCEPTION, "The specified daemon is not active.")
}

/// What follows `kind/` in an ARN, of so many parts.
fn key_of(scope: &Scope, arn: Option<&str>, kind: &str, parts: usize) -> Result<String, ApiError> {
    let arn = arn.unwrap_or_default();
    let key = own_resource(scope, arn, kind)?;
    key.filter(|key| key.split('/').count() == parts)
        .ok_or_else(|| invalid(format!("Invalid identifier: {arn} is not the ARN of a {kind}.")))
}
