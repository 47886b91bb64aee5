//! Acting for a task with its execution role: what the platform does so that the task can run (pulls, log streams, secrets) it does
//! with the rights of that role and no others.
//!
//! On FARGATE a task without such a role has no rights at all. On a container instance its node acts with rights of its own, as a
//! container instance does on AWS with the instance's role.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use agent_protocol::spec::LaunchType;
use aws_schema::ServiceTable;
use state_store::{Revision, View};
use vocabulary::{Region, Scope, Timestamp};

use super::report::own_task;
use crate::{
    authorization::{Holder, Wish, authorize_with_resource_policy},
    gateway::ApiError,
    services::{
        Services,
        ecs::records::{Task, TaskDefinition, definition_id},
        iam::{
            records::{Policy, Role},
            sessions::CannotAssume,
        },
    },
};

/// Who assumes the role.
const SERVICE: &str = "ecs-tasks.amazonaws.com";
/// Tasks whose roles are remembered; more are looked up anew.
const MOST: usize = 4096;

/// The execution role of a task: an override's, or its definition's.
pub fn role_of(view: &View, scope: &Scope, task: &Task) -> Option<String> {
    let definition = view.get::<TaskDefinition>(scope, &definition_id(&task.family, task.revision));
    let own = || definition.and_then(|found| found.definition.0.execution_role_arn.clone());
    task.overrides.0.execution_role_arn.clone().or_else(own)
}

/// With whose rights something is done for a task.
#[derive(Debug, Clone)]
pub enum Rights {
    Role(Arc<Holder>),
    /// The node's own: everything in the task's account.
    Node,
    /// None: a task on FARGATE without an execution role.
    Nobody,
}

/// The rights by which things are done for a task.
///
/// # Errors
/// [`CannotAssume`] when the execution role is not there or does not trust ECS tasks.
pub fn rights(
    services: &Services,
    view: &View,
    scope: &Scope,
    task: &Task,
    now: Timestamp,
) -> Result<Rights, CannotAssume> {
    match role_of(view, scope, task) {
        Some(role) => services.holders.of_role(view, &role, SERVICE, &task.arn(scope), now).map(Rights::Role),
        None if task.launch_type == LaunchType::Fargate => Ok(Rights::Nobody),
        None => Ok(Rights::Node),
    }
}

impl Rights {
    /// Whether they reach for an action on a resource.
    ///
    /// # Errors
    /// The refusal in AWS's words.
    pub fn allow(
        &self,
        services: &Services,
        region: &Region,
        now: Timestamp,
        service: &'static ServiceTable,
        wish: &Wish<'_>,
    ) -> Result<(), ApiError> {
        match self {
            Rights::Node => Ok(()),
            Rights::Nobody => Err(ApiError::undeclared(
                "AccessDeniedException",
                400,
                format!(
                    "{} on {} needs an execution role, and the task has none.",
                    wish.action, wish.resource
                ),
            )),
            Rights::Role(holder) => {
                let context = holder.context(region, now);
                authorize_with_resource_policy(services, holder, &context, service, wish)
            }
        }
    }
}

/// The rights of tasks that were asked for lately: logs are written many times a second.
#[derive(Default)]
pub struct Known(Mutex<HashMap<String, (Stamp, Rights)>>);

/// When the tables that they follow from changed last. A task's role does not change.
type Stamp = [Revision; 2];

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known")
    }
}

impl Known {
    /// The rights by which things are done for the task with this ARN; nobody's for one that is not known.
    ///
    /// # Errors
    /// [`CannotAssume`].
    pub fn rights(
        &self,
        services: &Services,
        task_arn: &str,
        now: Timestamp,
    ) -> Result<Rights, CannotAssume> {
        let view = services.state.view();
        let stamp = [view.changed::<Role>(), view.changed::<Policy>()];
        if let Some((made, rights)) = self.lock().get(task_arn)
            && *made == stamp
        {
            return Ok(rights.clone());
        }
        let Some((scope, key)) = own_task(task_arn) else { return Ok(Rights::Nobody) };
        let Some(task) = view.get::<Task>(&scope, &key) else { return Ok(Rights::Nobody) };
        let rights = rights(services, &view, &scope, &task, now)?;
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(task_arn.to_owned(), (stamp, rights.clone()));
        Ok(rights)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Stamp, Rights)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
