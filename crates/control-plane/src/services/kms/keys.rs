//! Keys: making, showing, switching on and off, deleting.

use std::{sync::Arc, time::Duration};

use aws_schema::Unit;
use aws_shapes_kms::{
    CancelKeyDeletionRequest, CancelKeyDeletionResponse, CreateKeyRequest, CreateKeyResponse,
    DescribeKeyRequest, DescribeKeyResponse, DisableKeyRequest, EnableKeyRequest, KeyListEntry, KeySpec,
    KeyState, KeyUsageType, ListKeysRequest, ListKeysResponse, OriginType, ResourceOwnerType,
    ScheduleKeyDeletionRequest, ScheduleKeyDeletionResponse, UpdateKeyDescriptionRequest,
};
use state_store::Tx;
use vocabulary::Ids;

use super::{
    crypto, errors,
    grants::check_tokens,
    managed,
    names::{self, Found},
    paging::{Wanted, page},
    policies,
    records::{Key, Kind, MaterialOrigin, State},
    shapes, tags,
};
use crate::{
    convert::time,
    gateway::{ApiError, Call},
};

/// Keys of an account in a region; AWS allows ten times as many, which nobody needs in tables that are held in memory.
const MOST_KEYS: usize = 10_000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub async fn create(call: Call, input: CreateKeyRequest) -> Result<CreateKeyResponse, ApiError> {
    let kind = wanted(&input)?;
    let given_tags = tags::given(input.tags)?;
    let ids = &mut call.services.ids();
    let id = ids.uuid();
    let scope = call.scope().clone();
    let policy = match input.policy {
        Some(policy) => {
            let bypass = input.bypass_policy_lockout_safety_check == Some(true);
            policies::check(&call, &id, &policy, bypass)?;
            policy
        }
        None => policies::default_policy(scope.account.as_str()),
    };
    let key = Arc::new(Key {
        id: id.clone(),
        kind,
        description: input.description.unwrap_or_default(),
        state: State::Enabled,
        managed_by: None,
        policy,
        created_at: call.now(),
        materials: vec![crypto::material(kind, MaterialOrigin::First, call.now(), ids)],
        rotation: None,
        tags: given_tags,
    });
    call.services
        .state
        .transact(|tx| {
            if tx.view().scan::<Key>(&scope).take(MOST_KEYS).count() == MOST_KEYS {
                return Err(errors::limit("keys", MOST_KEYS));
            }
            tx.put::<Key>(&scope, &id, Arc::clone(&key));
            Ok(())
        })
        .await?;
    Ok(CreateKeyResponse { key_metadata: Some(shapes::metadata(&scope, &key)) })
}

/// The kind of key that is asked for, when it is one of those that are made here.
fn wanted(input: &CreateKeyRequest) -> Result<Kind, ApiError> {
    if input.custom_key_store_id.is_some() || input.xks_key_id.is_some() {
        return Err(errors::unsupported("Custom key stores are not supported."));
    }
    if input.origin.is_some_and(|origin| origin != OriginType::AwsKms) {
        return Err(errors::unsupported("Keys have material of the platform's own: Origin must be AWS_KMS."));
    }
    if input.multi_region == Some(true) {
        return Err(errors::unsupported("Multi-Region keys are not supported."));
    }
    let older = input.customer_master_key_spec.and_then(|spec| KeySpec::parse(spec.as_str()));
    if input.key_spec.is_some() && older.is_some() {
        let message = "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.";
        return Err(errors::validation(message));
    }
    let spec = input.key_spec.or(older).unwrap_or(KeySpec::SymmetricDefault);
    let kind = shapes::kind(spec).ok_or_else(|| {
        errors::unsupported(format!(
            "Keys of the kind {spec} are not supported: keys are symmetric (SYMMETRIC_DEFAULT) or for authentication codes (HMAC_*)."
        ))
    })?;
    match (kind, input.key_usage) {
        (Kind::Mac(_), None) => Err(errors::validation(
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
        )),
        (kind, Some(usage)) if usage != shapes::usage(kind) => {
            Err(errors::validation(format!("KeyUsage {usage} is not compatible with KeySpec {spec}")))
        }
        (kind, None | Some(KeyUsageType::EncryptDecrypt | KeyUsageType::GenerateVerifyMac)) => Ok(kind),
        (_, Some(usage)) => Err(errors::unsupported(format!("KeyUsage {usage} is not supported."))),
    }
}

pub async fn describe(call: Call, input: DescribeKeyRequest) -> Result<DescribeKeyResponse, ApiError> {
    check_tokens(&call, input.grant_tokens.as_deref())?;
    let id = input.key_id.unwrap_or_default();
    managed::at_first_use(&call, &id).await?;
    let found = call.services.state.read(|view| names::see(view, call.scope(), &id))?;
    Ok(DescribeKeyResponse { key_metadata: Some(shapes::metadata(&found.scope, &found.key)) })
}

pub async fn list(call: Call, input: ListKeysRequest) -> Result<ListKeysResponse, ApiError> {
    let view = call.services.state.view();
    let scope = call.scope();
    // Nothing is shared between accounts but by policies, which make no list.
    let own = input
        .resource_owners
        .as_ref()
        .is_none_or(|owners| owners.is_empty() || owners.contains(&ResourceOwnerType::Self_));
    let keys = view.scan::<Key>(scope).filter(|_| own);
    let page = page(&call, "keys", keys, |(id, _)| (*id).to_owned(), Wanted::new(input.marker, input.limit))?;
    let entry = |(id, key): (&str, Arc<Key>)| KeyListEntry {
        key_id: Some(id.to_owned()),
        key_arn: Some(key.arn(scope)),
    };
    Ok(ListKeysResponse {
        truncated: Some(page.next_token.is_some()),
        next_marker: page.next_token,
        keys: Some(page.items.into_iter().map(entry).collect()),
    })
}

/// Changes the key that `id` names.
pub async fn change(
    call: &Call,
    id: &str,
    change: impl Fn(&Found, &mut Key) -> Result<(), ApiError>,
) -> Result<Found, ApiError> {
    call.services
        .state
        .transact(|tx: &mut Tx| {
            let found = names::get_key(tx, call.scope(), id)?;
            let mut changed = Key::clone(&found.key);
            change(&found, &mut changed)?;
            let key = Arc::new(changed);
            tx.put::<Key>(&found.scope, &found.key.id, Arc::clone(&key));
            Ok(Found { key, ..found })
        })
        .await
}

/// Refuses what a key that is to be deleted may not be used for.
pub fn not_pending(found: &Found) -> Result<(), ApiError> {
    match found.key.state {
        State::PendingDeletion { .. } => Err(errors::pending_deletion(&found.arn())),
        State::Enabled | State::Disabled => Ok(()),
    }
}

/// Refuses what takes a key that is switched on.
pub fn enabled(found: &Found) -> Result<(), ApiError> {
    not_pending(found)?;
    if found.key.state == State::Disabled { Err(errors::disabled(&found.arn())) } else { Ok(()) }
}

/// AWS's own keys are its services' to change.
pub fn customers(found: &Found) -> Result<(), ApiError> {
    match &found.key.managed_by {
        None => Ok(()),
        Some(service) => Err(errors::not_authorized(format!(
            "{} is the key of {service}, which alone may change it.",
            found.arn()
        ))),
    }
}

pub async fn enable(call: Call, input: EnableKeyRequest) -> Result<Unit, ApiError> {
    set(&call, input.key_id, State::Enabled).await
}

pub async fn disable(call: Call, input: DisableKeyRequest) -> Result<Unit, ApiError> {
    set(&call, input.key_id, State::Disabled).await
}

async fn set(call: &Call, id: Option<String>, state: State) -> Result<Unit, ApiError> {
    change(call, &id.unwrap_or_default(), |found, key| {
        not_pending(found)?;
        customers(found)?;
        key.state = state;
        Ok(())
    })
    .await?;
    Ok(Unit)
}

pub async fn update_description(call: Call, input: UpdateKeyDescriptionRequest) -> Result<Unit, ApiError> {
    let description = input.description.unwrap_or_default();
    change(&call, &input.key_id.unwrap_or_default(), |found, key| {
        not_pending(found)?;
        customers(found)?;
        key.description.clone_from(&description);
        Ok(())
    })
    .await?;
    Ok(Unit)
}

pub async fn schedule_deletion(
    call: Call,
    input: ScheduleKeyDeletionRequest,
) -> Result<ScheduleKeyDeletionResponse, ApiError> {
    let window_days = input.pending_window_in_days.unwrap_or(30);
    if !(7..=30).contains(&window_days) {
        return Err(errors::validation(format!(
            "Value '{window_days}' at 'pendingWindowInDays' is not between 7 and 30."
        )));
    }
    let at = call.now() + DAY * window_days.unsigned_abs();
    let found = change(&call, &input.key_id.unwrap_or_default(), |found, key| {
        not_pending(found)?;
        customers(found)?;
        key.state = State::PendingDeletion { at, window_days };
        Ok(())
    })
    .await?;
    Ok(ScheduleKeyDeletionResponse {
        deletion_date: Some(time(at)),
        key_id: Some(found.arn()),
        key_state: Some(KeyState::PendingDeletion),
        pending_window_in_days: Some(window_days),
    })
}

pub async fn cancel_deletion(
    call: Call,
    input: CancelKeyDeletionRequest,
) -> Result<CancelKeyDeletionResponse, ApiError> {
    let found = change(&call, &input.key_id.unwrap_or_default(), |found, key| {
        if !matches!(key.state, State::PendingDeletion { .. }) {
            return Err(errors::invalid_state(format!("{} is not pending deletion.", found.arn())));
        }
        key.state = State::Disabled;
        Ok(())
    })
    .await?;
    Ok(CancelKeyDeletionResponse { key_id: Some(found.arn()) })
}
