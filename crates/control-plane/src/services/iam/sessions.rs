//! Sessions of roles: who may begin one, and the credentials that it gets.

use std::{sync::Arc, time::Duration};

use policy::{Context, Principal};
use state_store::{Tx, View};
use vocabulary::{AccountId, Arn, Ids, Timestamp};

use super::{
    access_keys::{Session, SessionCredentials, begin_session},
    names,
    records::Role,
};
use crate::authorization::{self, Holder};

/// How long the sessions hold that the platform begins itself, for instances and (unless the operator chose otherwise) for tasks, whatever the
/// role says of sessions that users begin.
pub const SESSION_OF_THE_PLATFORM: Duration = Duration::from_secs(6 * 60 * 60);

/// A role cannot be used for a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "ECS was unable to assume the role '{role_arn}' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
)]
pub struct CannotAssume {
    pub role_arn: String,
}

/// Which credentials a task is to get.
#[derive(Debug, Clone)]
pub struct TaskSession<'a> {
    pub role_arn: &'a str,
    /// The task's id is what ECS takes.
    pub session_name: &'a str,
    /// The task's account; its role has to be in the same one.
    pub account: &'a AccountId,
    /// The task's ARN: what a trust policy knows as `aws:SourceArn`.
    pub source_arn: &'a str,
    pub duration: Duration,
    pub now: Timestamp,
}

/// Where the role that an ARN names would be.
fn place(role_arn: &str) -> Option<(AccountId, String)> {
    let arn: Arn = role_arn.parse().ok()?;
    let path = arn.resource_of_kind("role").filter(|_| arn.service() == "iam")?;
    Some((arn.account().parse().ok()?, names::key(names::last_segment(path))))
}

/// The role that an ARN names, whatever account it is in.
pub fn role(tx: &mut Tx, role_arn: &str) -> Option<(AccountId, Arc<Role>)> {
    let (account, id) = place(role_arn)?;
    let role = tx.get::<Role>(&names::global(&account), &id)?;
    (role.arn(&account) == role_arn).then_some((account, role))
}

/// As [`role`], for who only looks.
pub fn role_in_view(view: &View, role_arn: &str) -> Option<(AccountId, Arc<Role>)> {
    let (account, id) = place(role_arn)?;
    let role = view.get::<Role>(&names::global(&account), &id)?;
    (role.arn(&account) == role_arn).then_some((account, role))
}

/// Whether the role lets a service begin the session.
pub fn trusts_service(role: &Role, service: &str, session: &TaskSession<'_>) -> bool {
    let holder = Holder::bare(Principal::service(service), service);
    let context = Context::new()
        .with("aws:SourceAccount", session.account.as_str())
        .with("aws:SourceArn", session.source_arn)
        .with("aws:PrincipalServiceName", service)
        .with("aws:PrincipalIsAWSService", "true")
        .with("aws:SecureTransport", "true")
        .with("aws:CurrentTime", session.now.as_millis().div_euclid(1000).to_string())
        .with("aws:EpochTime", session.now.as_millis().div_euclid(1000).to_string())
        .with("sts:RoleSessionName", session.session_name);
    authorization::may_assume(&holder, &context, session.account, role, "sts:AssumeRole").is_allowed()
}

/// ARN and unique id of a session.
pub fn principal(account: &AccountId, role: &Role, session_name: &str) -> (String, String) {
    let arn = format!("arn:aws:sts::{account}:assumed-role/{}/{session_name}", role.name);
    (arn, format!("{}:{session_name}", role.id))
}

/// Whether tasks can have this role: it is in the account, and trusts `ecs-tasks.amazonaws.com`.
///
/// # Errors
/// [`CannotAssume`], in ECS's words.
pub fn task_role(tx: &mut Tx, session: &TaskSession<'_>) -> Result<Arc<Role>, CannotAssume> {
    let found = role(tx, session.role_arn).filter(|(account, _)| account == session.account);
    found
        .filter(|(_, role)| trusts_service(role, "ecs-tasks.amazonaws.com", session))
        .map(|(_, role)| role)
        .ok_or_else(|| CannotAssume { role_arn: session.role_arn.to_owned() })
}

/// Issues the credentials of a task's role.
///
/// # Errors
/// [`CannotAssume`] when the role is not there or does not trust ECS tasks.
pub fn task_credentials(
    tx: &mut Tx,
    session: &TaskSession<'_>,
    ids: &mut impl Ids,
) -> Result<SessionCredentials, CannotAssume> {
    let role = task_role(tx, session)?;
    let principal = principal(session.account, &role, session.session_name);
    let times = (session.now, session.now + session.duration);
    Ok(begin_session(tx, session.account, principal, Session::default(), times, ids))
}
