//! Who one is, and the sessions of roles.

use std::time::Duration;

use aws_shapes_sts as sts;
use aws_shapes_sts::{
    AssumeRoleRequest, AssumeRoleResponse, GetAccessKeyInfoRequest, GetAccessKeyInfoResponse,
    GetCallerIdentityRequest, GetCallerIdentityResponse, errors,
};
use state_store::View;
use vocabulary::AccountId;

use crate::{
    gateway::{ApiError, Call},
    services::{
        ec2::records::global,
        iam::{
            access_keys::{AccessKey, Session, SessionCredentials, begin_session},
            names::{self, time},
            policy_document::{self, Use},
            records::Role,
            sessions,
            trust::{Assumer, Question},
        },
        tagging,
    },
};

/// Sessions that begin further sessions may do so for an hour at most.
const CHAINED_SECONDS: u32 = 3600;

pub async fn get_caller_identity(
    call: Call,
    _: GetCallerIdentityRequest,
) -> Result<GetCallerIdentityResponse, ApiError> {
    Ok(GetCallerIdentityResponse {
        account: Some(call.principal.account.to_string()),
        arn: Some(call.principal.arn.clone()),
        user_id: Some(call.principal.user_id.clone()),
    })
}

pub async fn get_access_key_info(
    call: Call,
    input: GetAccessKeyInfoRequest,
) -> Result<GetAccessKeyInfoResponse, ApiError> {
    let id = input.access_key_id.unwrap_or_default();
    let key = call.services.state.read(|view| view.get::<AccessKey>(&global(), &id));
    let key = key.ok_or_else(|| invalid(format!("{id} is not an access key of this platform.")))?;
    Ok(GetAccessKeyInfoResponse { account: Some(key.account.to_string()) })
}

/// `ValidationError`
pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::undeclared("ValidationError", 400, message)
}

pub fn denied(message: impl Into<String>) -> ApiError {
    ApiError::undeclared("AccessDenied", 403, message)
}

/// The part of an answer that is the same in every call.
pub fn shape(credentials: &SessionCredentials) -> sts::Credentials {
    sts::Credentials {
        access_key_id: Some(credentials.access_key.clone()),
        secret_access_key: Some(credentials.secret.clone()),
        session_token: Some(credentials.session_token.clone()),
        expiration: Some(time(credentials.expires_at)),
    }
}

/// A check of a code from a device; there are no devices.
pub fn no_devices(serial_number: Option<&String>) -> Result<(), ApiError> {
    match serial_number {
        None => Ok(()),
        Some(_) => Err(denied("MultiFactorAuthentication failed, unable to validate MFA code.")),
    }
}

/// The policies passed with a call, checked in form and kept with the session.
pub fn passed_policies(
    policy: Option<String>,
    arns: Option<Vec<sts::PolicyDescriptorType>>,
) -> Result<(Option<String>, Vec<String>), ApiError> {
    if let Some(document) = &policy {
        let table = &errors::MALFORMED_POLICY_DOCUMENT_EXCEPTION;
        policy_document::parse(document, Use::Inline)
            .map_err(|error| ApiError::new(table, error.to_string()))?;
    }
    let arns: Vec<String> = arns.unwrap_or_default().into_iter().filter_map(|policy| policy.arn).collect();
    if arns.len() > 10 {
        return Err(invalid("At most 10 managed policies can be passed with a session."));
    }
    Ok((policy, arns))
}

/// Tags passed with a call.
pub fn passed_tags(tags: Option<Vec<sts::Tag>>) -> Result<tagging::Tags, ApiError> {
    let pairs = tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
    tagging::checked(pairs).map_err(|error| invalid(error.to_string()))
}

/// The ARN of the role whose session the caller is, as its policies name it.
fn caller_role(view: &View, call: &Call) -> Option<String> {
    let (_, rest) = call.principal.arn.split_once(":assumed-role/")?;
    let (name, _) = rest.split_once('/')?;
    let account: &AccountId = &call.principal.account;
    let role = view.get::<Role>(&names::global(account), &names::key(name))?;
    Some(role.arn(account))
}

/// The session with what the caller's own session hands on: its transitive tags and its source identity.
fn inherited(view: &View, call: &Call, session: &Session) -> Result<Session, ApiError> {
    let mut session = session.clone();
    let Some(key) = view.get::<AccessKey>(&global(), &call.principal.access_key) else { return Ok(session) };
    let from = &key.session;
    for name in &from.transitive_tags {
        let Some(value) = from.tags.get(name) else { continue };
        if session.tags.insert(name.clone(), value.clone()).is_some_and(|given| given != *value) {
            return Err(invalid(format!(
                "The tag key {name} is transitive and cannot be given another value."
            )));
        }
        if !session.transitive_tags.contains(name) {
            session.transitive_tags.push(name.clone());
        }
    }
    if let Some(identity) = &from.source_identity {
        if session.source_identity.as_ref().is_some_and(|given| given != identity) {
            return Err(invalid("The source identity of a session cannot be changed."));
        }
        session.source_identity = Some(identity.clone());
    }
    Ok(session)
}

pub async fn assume_role(call: Call, input: AssumeRoleRequest) -> Result<AssumeRoleResponse, ApiError> {
    let role_arn = input.role_arn.unwrap_or_default();
    let session_name = input.role_session_name.unwrap_or_default();
    let seconds = input.duration_seconds.unwrap_or(3600).unsigned_abs();
    no_devices(input.serial_number.as_ref())?;
    let (policy, policy_arns) = passed_policies(input.policy, input.policy_arns)?;
    let session = Session {
        policy,
        policy_arns,
        tags: passed_tags(input.tags)?,
        transitive_tags: input.transitive_tag_keys.unwrap_or_default(),
        source_identity: input.source_identity,
        issuer: None,
    };
    let (mut ids, caller) = (call.services.ids(), &call.principal);
    let (credentials, source_identity) = call
        .services
        .state
        .transact(|tx| {
            let refused = |action: &str| {
                denied(format!(
                    "User: {} is not authorized to perform: {action} on resource: {role_arn}",
                    caller.arn
                ))
            };
            let (account, role) = sessions::role(tx, &role_arn).ok_or_else(|| refused("sts:AssumeRole"))?;
            let session = inherited(tx.view(), &call, &session)?;
            let own_role = caller_role(tx.view(), &call);
            let mut context = vec![
                ("aws:PrincipalArn", own_role.as_deref().unwrap_or(&caller.arn)),
                ("aws:PrincipalAccount", caller.account.as_str()),
                ("aws:userid", &caller.user_id),
                ("sts:RoleSessionName", &session_name),
            ];
            if let Some((_, path)) = caller.arn.split_once(":user/") {
                context.push(("aws:username", names::last_segment(path)));
            }
            context.extend(input.external_id.as_deref().map(|id| ("sts:ExternalId", id)));
            context.extend(session.source_identity.as_deref().map(|name| ("sts:SourceIdentity", name)));
            let assumer = Assumer::Aws {
                account: caller.account.as_str(),
                arn: &caller.arn,
                role_arn: own_role.as_deref(),
            };
            let tagged = (!session.tags.is_empty()).then_some("sts:TagSession");
            let identified = session.source_identity.as_ref().map(|_| "sts:SetSourceIdentity");
            for action in [Some("sts:AssumeRole"), tagged, identified].into_iter().flatten() {
                let question = Question { action, assumer: assumer.clone(), context: &context };
                if !sessions::trusts(&role, &question) {
                    return Err(refused(action));
                }
            }
            if seconds > role.max_session_seconds {
                return Err(invalid(
                    "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
                ));
            }
            if own_role.is_some() && seconds > CHAINED_SECONDS {
                return Err(invalid(
                    "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
                ));
            }
            let principal = sessions::principal(&account, &role, &session_name);
            let times = (call.now(), call.now() + Duration::from_secs(seconds.into()));
            let source_identity = session.source_identity.clone();
            let credentials = begin_session(tx, &account, principal, session, times, &mut ids);
            Ok::<_, ApiError>((credentials, source_identity))
        })
        .await?;
    Ok(AssumeRoleResponse {
        credentials: Some(shape(&credentials)),
        assumed_role_user: Some(sts::AssumedRoleUser {
            assumed_role_id: Some(credentials.principal_id),
            arn: Some(credentials.principal_arn),
        }),
        packed_policy_size: session.policy.as_ref().map(|policy| packed_percent(policy)),
        source_identity,
        ..AssumeRoleResponse::default()
    })
}

/// How much of the room for passed policies is taken, in percent; AWS packs them in a way that it does not tell.
pub fn packed_percent(policy: &str) -> i32 {
    const ROOM: usize = 2048;
    i32::try_from((policy.len() * 100).div_ceil(ROOM)).unwrap_or(i32::MAX)
}
