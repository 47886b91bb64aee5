//! Sessions of roles: who may begin one, and the credentials that it gets.

use std::{sync::Arc, time::Duration};

use state_store::Tx;
use vocabulary::{AccountId, Arn, Ids, Timestamp};

use super::{
    access_keys::{Session, SessionCredentials, begin_session},
    names,
    policy_document::{self, Use},
    records::Role,
    trust::{self, Assumer, Question},
};

/// How long the credentials of a task hold, whatever the role says of sessions that users begin.
pub const TASK_SESSION: Duration = Duration::from_secs(6 * 60 * 60);

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

/// The role that an ARN names, whatever account it is in.
pub fn role(tx: &mut Tx, role_arn: &str) -> Option<(AccountId, Arc<Role>)> {
    let arn: Arn = role_arn.parse().ok()?;
    let path = arn.resource_of_kind("role").filter(|_| arn.service() == "iam")?;
    let account: AccountId = arn.account().parse().ok()?;
    let role = tx.get::<Role>(&names::global(&account), &names::key(names::last_segment(path)))?;
    (role.arn(&account) == role_arn).then_some((account, role))
}

/// Whether the role's trust policy allows what is asked.
pub fn trusts(role: &Role, question: &Question<'_>) -> bool {
    policy_document::parse(&role.trust, Use::Trust).is_ok_and(|document| trust::allows(&document, question))
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
    let context = [
        ("aws:SourceAccount", session.account.as_str()),
        ("aws:SourceArn", session.source_arn),
        ("aws:PrincipalServiceName", "ecs-tasks.amazonaws.com"),
        ("aws:PrincipalIsAWSService", "true"),
        ("aws:SecureTransport", "true"),
        ("sts:RoleSessionName", session.session_name),
    ];
    let question = Question {
        action: "sts:AssumeRole",
        assumer: Assumer::Service("ecs-tasks.amazonaws.com"),
        context: &context,
    };
    let found = role(tx, session.role_arn).filter(|(account, _)| account == session.account);
    found
        .filter(|(_, role)| trusts(role, &question))
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
