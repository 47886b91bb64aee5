//! In whose name a session does what on AWS an agent in the container does: opening the channels, keeping the output, decrypting the
//! session's key.
//!
//! It is the task's role. A task without one is not asked about its channels: on AWS it would have no credentials to open them, here nobody needs
//! any. Its output goes into a bucket in the name of whoever asks for the session: the bucket is named by those who set up the cluster, and neither
//! they nor the caller shall get into one by this that they may not write. Its session's key is decrypted as the task's account: the client
//! had to be allowed to make it, and nobody else is shown what it opens to. Its output goes into a log group of the account unasked.

use std::sync::Arc;

use aws_shapes_ecs as ecs;
use aws_shapes_s3 as s3;
use vocabulary::{Scope, Timestamp};

use super::{plan::LogTo, target::Reached};
use crate::{
    authorization::{self, Holder, Wish, authorize_with_resource_policy},
    gateway::{ApiError, Call, Origin},
    services::{
        Services,
        ecs::{records::Task, tasks::roles},
        iam::sessions::CannotAssume,
        s3::names,
    },
};

/// What the agent in a container asks for.
const CHANNEL_ACTIONS: [&str; 4] = [
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
];

/// Who asks for a session.
#[derive(Debug, Clone)]
pub struct Asker {
    holder: Arc<Holder>,
    origin: Origin,
}

impl Asker {
    pub fn of(call: &Call) -> Asker {
        Asker { holder: authorization::of_call(call).0, origin: call.origin.clone() }
    }
}

/// The task's role, where it has one.
///
/// # Errors
/// When the role is gone, or trusts tasks no longer.
fn role(
    services: &Services,
    scope: &Scope,
    reached: &Reached,
    now: Timestamp,
) -> Result<Option<Arc<Holder>>, CannotAssume> {
    let view = services.state.view();
    let Some(task) = view.get::<Task>(scope, &reached.task_key) else { return Ok(None) };
    let Some(role) = roles::wanted(&view, scope, &task) else { return Ok(None) };
    services.holders.of_role(&view, &role, "ecs-tasks.amazonaws.com", &reached.task_arn, now).map(Some)
}

/// Whoever decrypts the session's key: the task's role, or its account.
///
/// # Errors
/// As [`role`].
pub fn actor(
    services: &Services,
    scope: &Scope,
    reached: &Reached,
    now: Timestamp,
) -> Result<Arc<Holder>, CannotAssume> {
    let role = role(services, scope, reached, now)?;
    Ok(role.unwrap_or_else(|| {
        let account = &scope.account;
        Arc::new(Holder::bare(policy::Principal::root(account.clone()), account.as_str()))
    }))
}

fn denied(message: String) -> ApiError {
    ApiError::undeclared("AccessDeniedException", 400, message)
}

/// Whether the task's role lets an agent in the container open its channels, and write the session's output where it is to be kept.
///
/// # Errors
/// What the role is not allowed.
pub fn authorize(call: &Call, reached: &Reached, log: Option<&LogTo>) -> Result<(), ApiError> {
    let (services, scope) = (&call.services, call.scope());
    let role = role(services, scope, reached, call.now()).map_err(|refused| denied(refused.to_string()))?;
    if let Some(role) = &role {
        let context = role.context(&scope.region, call.now());
        let may = |action: &str, resource: &str| {
            let wish = Wish::new(action, resource);
            authorize_with_resource_policy(services, role, &context, ecs::SERVICE, &wish)
        };
        for action in CHANNEL_ACTIONS {
            may(action, "*")?;
        }
        if let Some(group) = log.and_then(|log| log.group.as_ref()) {
            let arn = scope.arn("logs", format_args!("log-group:{group}:*")).to_string();
            for action in ["logs:CreateLogStream", "logs:PutLogEvents"] {
                may(action, &arn)?;
            }
        }
        // The agent looks whether the bucket is encrypted, which all are here.
        if let Some(to) = log.and_then(|log| log.bucket.as_ref()).filter(|to| to.encrypted) {
            may("s3:GetEncryptionConfiguration", &names::bucket_arn(&to.name))?;
        }
    }
    if let Some(to) = log.and_then(|log| log.bucket.as_ref()) {
        // The session's id is not known yet; what policies tell apart is the prefix.
        let object = names::object_arn(&to.name, &to.key("session"));
        may_put(services, scope, (reached, &Asker::of(call)), &object, call.now())?;
    }
    Ok(())
}

/// Whether the task's role may put this object; of a task without one, whether the asker may.
///
/// # Errors
/// `AccessDenied`, `AccessDeniedException`.
pub fn may_put(
    services: &Services,
    scope: &Scope,
    (reached, asker): (&Reached, &Asker),
    object: &str,
    now: Timestamp,
) -> Result<(), ApiError> {
    let role = role(services, scope, reached, now).map_err(|refused| denied(refused.to_string()))?;
    let (holder, context) = match &role {
        Some(role) => (role, role.context(&scope.region, now)),
        None => (&asker.holder, asker.holder.context_from(&scope.region, now, &asker.origin)),
    };
    let wish = Wish::new("s3:PutObject", object);
    authorize_with_resource_policy(services, holder, &context, s3::SERVICE, &wish)
}
