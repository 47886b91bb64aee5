//! Keys as the API shows them.

use aws_shapes_kms::{
    CustomerMasterKeySpec, EncryptionAlgorithmSpec, KeyManagerType, KeyMetadata, KeySpec, KeyState,
    KeyUsageType, MacAlgorithmSpec, OriginType,
};
use vocabulary::Scope;

use super::records::{Key, Kind, MacBits, State};
use crate::convert::time;

pub fn spec(kind: Kind) -> KeySpec {
    match kind {
        Kind::Encryption => KeySpec::SymmetricDefault,
        Kind::Mac(MacBits::Bits224) => KeySpec::Hmac224,
        Kind::Mac(MacBits::Bits256) => KeySpec::Hmac256,
        Kind::Mac(MacBits::Bits384) => KeySpec::Hmac384,
        Kind::Mac(MacBits::Bits512) => KeySpec::Hmac512,
    }
}

/// The kind of key of a specification; none for those that this platform does not make.
pub fn kind(spec: KeySpec) -> Option<Kind> {
    let all = [MacBits::Bits224, MacBits::Bits256, MacBits::Bits384, MacBits::Bits512];
    let kinds = std::iter::once(Kind::Encryption).chain(all.map(Kind::Mac));
    kinds.into_iter().find(|kind| self::spec(*kind) == spec)
}

pub fn usage(kind: Kind) -> KeyUsageType {
    match kind {
        Kind::Encryption => KeyUsageType::EncryptDecrypt,
        Kind::Mac(_) => KeyUsageType::GenerateVerifyMac,
    }
}

/// `HMAC_SHA_256`; nothing for keys that encrypt.
pub fn mac_algorithm(kind: Kind) -> String {
    mac(kind).map(|algorithm| algorithm.to_string()).unwrap_or_default()
}

pub fn mac(kind: Kind) -> Option<MacAlgorithmSpec> {
    match kind {
        Kind::Encryption => None,
        Kind::Mac(MacBits::Bits224) => Some(MacAlgorithmSpec::HmacSha224),
        Kind::Mac(MacBits::Bits256) => Some(MacAlgorithmSpec::HmacSha256),
        Kind::Mac(MacBits::Bits384) => Some(MacAlgorithmSpec::HmacSha384),
        Kind::Mac(MacBits::Bits512) => Some(MacAlgorithmSpec::HmacSha512),
    }
}

pub fn state(key: &Key) -> KeyState {
    match key.state {
        State::Enabled => KeyState::Enabled,
        State::Disabled => KeyState::Disabled,
        State::PendingDeletion { .. } => KeyState::PendingDeletion,
    }
}

pub fn metadata(scope: &Scope, key: &Key) -> KeyMetadata {
    let spec = spec(key.kind);
    let deletion_date = match key.state {
        State::PendingDeletion { at, .. } => Some(time(at)),
        State::Enabled | State::Disabled => None,
    };
    KeyMetadata {
        aws_account_id: Some(scope.account.to_string()),
        arn: Some(key.arn(scope)),
        creation_date: Some(time(key.created_at)),
        current_key_material_id: (key.kind == Kind::Encryption).then(|| key.current().id.clone()),
        customer_master_key_spec: CustomerMasterKeySpec::parse(spec.as_str()),
        deletion_date,
        description: Some(key.description.clone()),
        enabled: Some(key.state == State::Enabled),
        encryption_algorithms: (key.kind == Kind::Encryption)
            .then(|| vec![EncryptionAlgorithmSpec::SymmetricDefault]),
        key_id: Some(key.id.clone()),
        key_manager: Some(match key.managed_by {
            Some(_) => KeyManagerType::Aws,
            None => KeyManagerType::Customer,
        }),
        key_spec: Some(spec),
        key_state: Some(state(key)),
        key_usage: Some(usage(key.kind)),
        mac_algorithms: mac(key.kind).map(|algorithm| vec![algorithm]),
        multi_region: Some(false),
        origin: Some(OriginType::AwsKms),
        ..KeyMetadata::default()
    }
}
