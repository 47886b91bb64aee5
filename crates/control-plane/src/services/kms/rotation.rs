//! Rotation: a key gets new material, and keeps the old for what was encrypted with it.

use std::time::Duration;

use aws_schema::Unit;
use aws_shapes_kms::{
    DisableKeyRotationRequest, EnableKeyRotationRequest, GetKeyRotationStatusRequest,
    GetKeyRotationStatusResponse, IncludeKeyMaterial, KeyMaterialState, ListKeyRotationsRequest,
    ListKeyRotationsResponse, RotateKeyOnDemandRequest, RotateKeyOnDemandResponse, RotationType,
    RotationsListEntry,
};
use vocabulary::{Scope, Timestamp};

use super::{
    crypto,
    errors::{limit, unsupported},
    keys::{change, customers, enabled, not_pending},
    names::{self, Found},
    paging::{Wanted, page},
    records::{Key, Kind, MaterialOrigin, Rotation},
};
use crate::{
    convert::time,
    gateway::{ApiError, Call},
    services::Services,
};

/// A year, where a request does not say.
const DEFAULT_PERIOD_DAYS: i32 = 365;
/// As on AWS, for the whole life of a key.
const MOST_ON_DEMAND: usize = 25;

fn rotates(found: &Found) -> Result<(), ApiError> {
    match found.key.kind {
        Kind::Encryption => Ok(()),
        Kind::Mac(_) => Err(unsupported(format!("{} cannot be rotated: it is an HMAC key.", found.arn()))),
    }
}

fn days(count: i32) -> Duration {
    Duration::from_secs(24 * 60 * 60) * count.unsigned_abs()
}

pub async fn enable(call: Call, input: EnableKeyRotationRequest) -> Result<Unit, ApiError> {
    let period_days = input.rotation_period_in_days.unwrap_or(DEFAULT_PERIOD_DAYS);
    change(&call, &input.key_id.unwrap_or_default(), |found, key| {
        enabled(found)?;
        customers(found)?;
        rotates(found)?;
        // Asked for again with the same period, the date stays.
        if key.rotation.is_none_or(|rotation| rotation.period_days != period_days) {
            key.rotation = Some(Rotation { period_days, next: call.now() + days(period_days) });
        }
        Ok(())
    })
    .await?;
    Ok(Unit)
}

pub async fn disable(call: Call, input: DisableKeyRotationRequest) -> Result<Unit, ApiError> {
    change(&call, &input.key_id.unwrap_or_default(), |found, key| {
        enabled(found)?;
        customers(found)?;
        rotates(found)?;
        key.rotation = None;
        Ok(())
    })
    .await?;
    Ok(Unit)
}

pub async fn status(
    call: Call,
    input: GetKeyRotationStatusRequest,
) -> Result<GetKeyRotationStatusResponse, ApiError> {
    let view = call.services.state.view();
    let found = names::see_key(&view, call.scope(), &input.key_id.unwrap_or_default())?;
    not_pending(&found)?;
    rotates(&found)?;
    let rotation = found.key.rotation;
    Ok(GetKeyRotationStatusResponse {
        key_id: Some(found.arn()),
        key_rotation_enabled: Some(rotation.is_some()),
        next_rotation_date: rotation.map(|rotation| time(rotation.next)),
        on_demand_rotation_start_date: None,
        rotation_period_in_days: rotation.map(|rotation| rotation.period_days),
    })
}

pub async fn on_demand(
    call: Call,
    input: RotateKeyOnDemandRequest,
) -> Result<RotateKeyOnDemandResponse, ApiError> {
    let fresh =
        crypto::material(Kind::Encryption, MaterialOrigin::OnDemand, call.now(), &mut call.services.ids());
    let found = change(&call, &input.key_id.unwrap_or_default(), |found, key| {
        enabled(found)?;
        customers(found)?;
        rotates(found)?;
        let made = key.materials.iter().filter(|one| one.origin == MaterialOrigin::OnDemand).count();
        if made >= MOST_ON_DEMAND {
            return Err(limit("rotations on demand of a key", MOST_ON_DEMAND));
        }
        key.materials.push(fresh.clone());
        Ok(())
    })
    .await?;
    Ok(RotateKeyOnDemandResponse { key_id: Some(found.key.id.clone()) })
}

pub async fn list(call: Call, input: ListKeyRotationsRequest) -> Result<ListKeyRotationsResponse, ApiError> {
    let view = call.services.state.view();
    let found = names::see_key(&view, call.scope(), &input.key_id.unwrap_or_default())?;
    not_pending(&found)?;
    rotates(&found)?;
    let all = input.include_key_material == Some(IncludeKeyMaterial::AllKeyMaterial);
    let materials = found.key.materials.iter().enumerate();
    let shown = materials.filter(|(_, one)| all || one.origin != MaterialOrigin::First);
    let wanted = Wanted::new(input.marker, input.limit);
    let list = format!("rotations {} {all}", found.key.id);
    let page = page(&call, &list, shown, |(at, _)| format!("{at:06}"), wanted)?;
    let last = found.key.materials.len() - 1;
    let entries = page.items.into_iter().map(|(at, one)| RotationsListEntry {
        key_id: Some(found.key.id.clone()),
        key_material_id: Some(one.id.clone()),
        key_material_state: Some(match at == last {
            true => KeyMaterialState::Current,
            false => KeyMaterialState::NonCurrent,
        }),
        rotation_date: (one.origin != MaterialOrigin::First).then(|| time(one.since)),
        rotation_type: match one.origin {
            MaterialOrigin::First => None,
            MaterialOrigin::Automatic => Some(RotationType::Automatic),
            MaterialOrigin::OnDemand => Some(RotationType::OnDemand),
        },
        ..RotationsListEntry::default()
    });
    Ok(ListKeyRotationsResponse {
        rotations: Some(entries.collect()),
        truncated: Some(page.next_token.is_some()),
        next_marker: page.next_token,
    })
}

/// Rotates the keys whose day has come; those that are switched off wait until they are on again.
///
/// # Errors
/// Those of the store.
pub async fn rotate_due(services: &Services, now: Timestamp) -> Result<(), ApiError> {
    let due = |key: &Key| {
        key.state == super::records::State::Enabled
            && key.rotation.is_some_and(|rotation| rotation.next <= now)
    };
    let keys: Vec<(Scope, String)> = services.state.read(|view| {
        let keys = view.scan_all::<Key>().filter(|found| due(&found.value));
        keys.map(|found| (found.scope, found.id)).collect()
    });
    for (scope, id) in keys {
        let fresh = crypto::material(Kind::Encryption, MaterialOrigin::Automatic, now, &mut services.ids());
        services
            .state
            .transact(|tx| {
                let Some(key) = tx.get::<Key>(&scope, &id).filter(|key| due(key)) else { return Ok(()) };
                let mut key = Key::clone(&key);
                key.materials.push(fresh.clone());
                key.rotation = key
                    .rotation
                    .map(|rotation| Rotation { next: now + days(rotation.period_days), ..rotation });
                tx.put(&scope, &id, key);
                Ok::<_, ApiError>(())
            })
            .await?;
    }
    Ok(())
}
