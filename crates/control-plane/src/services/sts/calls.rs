//! Who one is, and the sessions of roles.

use std::time::Duration;

use aws_shapes_sts as sts;
use aws_shapes_sts::{
    AssumeRoleRequest, AssumeRoleResponse, GetAccessKeyInfoRequest, GetAccessKeyInfoResponse,
    GetCallerIdentityRequest, GetCallerIdentityResponse, errors,
};
use policy::Context;
use state_store::View;

use crate::{
    authorization::{self, Holder},
    gateway::{ApiError, Call},
    services::{
        ec2::records::global,
        iam::{
            access_keys::{AccessKey, Session, SessionCredentials, begin_session},
            names::time,
            policy_document::{self, Use},
            sessions,
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

/// What a trust policy may ask about a session that is to begin.
pub fn circumstances(call: &Call, holder: &Holder, session: &Session, name: &str) -> Context {
    let mut context = authorization::context_of(call, holder);
    context.set("sts:RoleSessionName", name);
    context.set_all("aws:TagKeys", session.tags.keys().cloned());
    for (key, value) in &session.tags {
        context.set(&format!("aws:RequestTag/{key}"), value.as_str());
    }
    context.set_all("sts:TransitiveTagKeys", session.transitive_tags.iter().cloned());
    if let Some(identity) = &session.source_identity {
        context.set("sts:SourceIdentity", identity.as_str());
    }
    context
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
        ..Session::default()
    };
    let (mut ids, caller) = (call.services.ids(), &call.principal);
    let chained = caller.arn.contains(":assumed-role/");
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
            let holder = call.services.holders.find(tx.view(), &call);
            let mut context = circumstances(&call, &holder, &session, &session_name);
            if let Some(id) = &input.external_id {
                context.set("sts:ExternalId", id.as_str());
            }
            let tagged = (!session.tags.is_empty()).then_some("sts:TagSession");
            let identified = session.source_identity.as_ref().map(|_| "sts:SetSourceIdentity");
            for action in [Some("sts:AssumeRole"), tagged, identified].into_iter().flatten() {
                if !authorization::may_assume(&holder, &context, &account, &role, action).is_allowed() {
                    return Err(refused(action));
                }
            }
            if seconds > role.max_session_seconds {
                return Err(invalid(
                    "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
                ));
            }
            if chained && seconds > CHAINED_SECONDS {
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
