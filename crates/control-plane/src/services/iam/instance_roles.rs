//! The role of an instance: the one in the instance profile that the machine was started with, and the credentials that it gets.
//!
//! Whether a machine may have a profile is decided as its agent connects: who hands a role to a machine needs `iam:PassRole` for it, as with
//! EC2's RunInstances. The role has to trust `ec2.amazonaws.com`. Which role a profile has may change while the machine runs.

use std::{sync::Arc, time::Duration};

use agent_protocol::{InstanceRole, Sensitive};
use aws_shapes_iam as iam;
use state_store::View;
use vocabulary::{AccountId, Scope, Timestamp};

use super::{
    access_keys::{AccessKey, Session, begin_session},
    names,
    records::{self, InstanceProfile, Role},
    sessions::{self, SESSION_OF_THE_PLATFORM, TaskSession},
};
use crate::{
    authorization::{self, Wish},
    gateway::{ApiError, Call},
    services::{Services, ec2::records::global},
};

const SERVICE: &str = "ec2.amazonaws.com";
/// Credentials that end sooner are not handed out once more.
const LASTS: Duration = Duration::from_secs(30 * 60);

fn role(view: &View, scope: &Scope, profile: &InstanceProfile) -> Option<Arc<Role>> {
    profile.role.as_ref().and_then(|role| view.get::<Role>(scope, &names::key(role)))
}

/// Whether the caller may give the profile to a machine.
///
/// # Errors
/// `NoSuchEntity`, `AccessDenied`.
pub fn may_pass(call: &Call, profile: &str) -> Result<(), ApiError> {
    let scope = names::of(call);
    let view = call.services.state.view();
    let profile = records::see::<InstanceProfile>(&view, &scope, profile)?;
    let Some(role) = role(&view, &scope, &profile) else { return Ok(()) };
    let (holder, mut context) = authorization::of_call(call);
    context.set("iam:PassedToService", SERVICE);
    let arn = role.arn(&scope.account);
    let wish = Wish::new("iam:PassRole", &arn);
    authorization::authorize_with_resource_policy(&call.services, &holder, &context, iam::SERVICE, &wish)
}

/// The role of the profile with credentials for a machine; none when the profile has no role. `instance_arn` is the machine's: what the role's
/// trust policy knows as `aws:SourceArn`, and its last part names the session. With `keep`, credentials that it was given before are given
/// again as long as they last and are the role's.
///
/// # Errors
/// `NoSuchEntity` when the profile is not there, `AccessDenied` when its role does not trust EC2.
pub async fn credentials(
    services: &Services,
    account: &AccountId,
    profile: &str,
    instance_arn: &str,
    keep: Option<&str>,
    now: Timestamp,
) -> Result<Option<InstanceRole>, ApiError> {
    let scope = names::global(account);
    let mut ids = services.ids();
    services
        .state
        .transact(|tx| {
            let found = records::get::<InstanceProfile>(tx, &scope, profile)?;
            let Some(name) = &found.role else { return Ok(None) };
            let role = records::get::<Role>(tx, &scope, name)?;
            let arn = role.arn(account);
            let session = TaskSession {
                role_arn: &arn,
                session_name: names::last_segment(instance_arn),
                account,
                source_arn: instance_arn,
                duration: SESSION_OF_THE_PLATFORM,
                now,
            };
            if !sessions::trusts_service(&role, SERVICE, &session) {
                let message =
                    format!("{SERVICE} is not authorized to perform: sts:AssumeRole on resource: {arn}");
                return Err(ApiError::undeclared("AccessDenied", 403, message));
            }
            let principal = sessions::principal(account, &role, session.session_name);
            let lasts = |key: &AccessKey| {
                key.active
                    && key.principal_id == principal.1
                    && key.expires_at.is_some_and(|end| end > now + LASTS)
            };
            let kept = keep.and_then(|id| Some((id, tx.get::<AccessKey>(&global(), id)?)));
            let given = match kept.filter(|(_, key)| lasts(key)) {
                Some((id, key)) => InstanceRole {
                    access_key_id: id.to_owned(),
                    secret_access_key: Sensitive::new(key.secret.clone()),
                    session_token: Sensitive::new(key.session_token.clone().unwrap_or_default()),
                    issued_at: key.created_at,
                    expires_at: key.expires_at.unwrap_or(now),
                    ..shown(account, &found, &role)
                },
                None => {
                    let times = (now, now + session.duration);
                    let made = begin_session(tx, account, principal, Session::default(), times, &mut ids);
                    InstanceRole {
                        access_key_id: made.access_key,
                        secret_access_key: Sensitive::new(made.secret),
                        session_token: Sensitive::new(made.session_token),
                        issued_at: now,
                        expires_at: made.expires_at,
                        ..shown(account, &found, &role)
                    }
                }
            };
            Ok(Some(given))
        })
        .await
}

/// Without credentials yet.
fn shown(account: &AccountId, profile: &InstanceProfile, role: &Role) -> InstanceRole {
    InstanceRole {
        profile_arn: names::arn(account, "instance-profile", &profile.path, &profile.name),
        profile_id: profile.id.clone(),
        role_name: role.name.clone(),
        access_key_id: String::new(),
        secret_access_key: Sensitive::new(String::new()),
        session_token: Sensitive::new(String::new()),
        issued_at: Timestamp::from_millis(0),
        expires_at: Timestamp::from_millis(0),
    }
}
