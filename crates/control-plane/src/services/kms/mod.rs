//! Key Management Service: symmetric keys and keys for authentication codes, aliases, policies, grants, rotation.
//!
//! Key material is kept sealed ([`crate::secret`]) and never leaves this module; what it made leaves as a ciphertext that says which key
//! and which generation of it made it. Who may use a key is told in [`access`].
//!
//! Not here: asymmetric keys, imported material, custom key stores, keys of several regions. Asking for one is refused.

mod access;
mod aliases;
mod cipher;
mod crypto;
mod errors;
mod grants;
mod keys;
mod macs;
mod managed;
mod names;
mod paging;
mod policies;
pub mod records;
mod rotation;
mod shapes;
mod tags;
pub mod upkeep;
mod within;

#[cfg(test)]
mod tests;

use aws_shapes_kms as kms;

use crate::gateway::Operations;
pub use access::{User, asked, facts};
pub use crypto::EncryptionContext;
pub use within::{Encrypted, With, decrypt, encrypt, is_made_with};

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(kms::SERVICE)
        .on::<kms::CreateKey, _, _>(keys::create)
        .on::<kms::DescribeKey, _, _>(keys::describe)
        .on::<kms::ListKeys, _, _>(keys::list)
        .on::<kms::EnableKey, _, _>(keys::enable)
        .on::<kms::DisableKey, _, _>(keys::disable)
        .on::<kms::UpdateKeyDescription, _, _>(keys::update_description)
        .on::<kms::ScheduleKeyDeletion, _, _>(keys::schedule_deletion)
        .on::<kms::CancelKeyDeletion, _, _>(keys::cancel_deletion)
        .on::<kms::CreateAlias, _, _>(aliases::create)
        .on::<kms::UpdateAlias, _, _>(aliases::update)
        .on::<kms::DeleteAlias, _, _>(aliases::delete)
        .on::<kms::ListAliases, _, _>(aliases::list)
        .on::<kms::GetKeyPolicy, _, _>(policies::get)
        .on::<kms::PutKeyPolicy, _, _>(policies::put)
        .on::<kms::ListKeyPolicies, _, _>(policies::list)
        .on::<kms::CreateGrant, _, _>(grants::create)
        .on::<kms::ListGrants, _, _>(grants::list)
        .on::<kms::ListRetirableGrants, _, _>(grants::list_retirable)
        .on::<kms::RetireGrant, _, _>(grants::retire)
        .on::<kms::RevokeGrant, _, _>(grants::revoke)
        .on::<kms::Encrypt, _, _>(cipher::encrypt)
        .on::<kms::Decrypt, _, _>(cipher::decrypt)
        .on::<kms::ReEncrypt, _, _>(cipher::re_encrypt)
        .on::<kms::GenerateDataKey, _, _>(cipher::generate_data_key)
        .on::<kms::GenerateDataKeyWithoutPlaintext, _, _>(cipher::generate_data_key_without_plaintext)
        .on::<kms::GenerateRandom, _, _>(cipher::generate_random)
        .on::<kms::GenerateMac, _, _>(macs::generate)
        .on::<kms::VerifyMac, _, _>(macs::verify)
        .on::<kms::EnableKeyRotation, _, _>(rotation::enable)
        .on::<kms::DisableKeyRotation, _, _>(rotation::disable)
        .on::<kms::GetKeyRotationStatus, _, _>(rotation::status)
        .on::<kms::RotateKeyOnDemand, _, _>(rotation::on_demand)
        .on::<kms::ListKeyRotations, _, _>(rotation::list)
        .on::<kms::TagResource, _, _>(tags::add)
        .on::<kms::UntagResource, _, _>(tags::remove)
        .on::<kms::ListResourceTags, _, _>(tags::list);
}

/// Declares the service's records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables.with::<records::Key>().with::<records::Alias>().with::<records::Grant>()
}
