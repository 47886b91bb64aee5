//! Secrets Manager: secrets with versions and stages, their policies, rotation, replicas in other regions, and a window before they are gone.
//!
//! A value lies in the store as the ciphertext that KMS made of it, with the secret's key or the service's own (`alias/aws/secretsmanager`), bound
//! to the secret's ARN and the version. It is decrypted in the name of whoever asks for it: both the secret's and the key's policies count.
//!
//! Not here: Lambda functions that rotate ([`rotation`] says what does instead), secrets that other companies' services manage, replicas in
//! other accounts, and more than one policy for a secret.

mod deletion;
mod errors;
mod filters;
mod names;
mod password;
mod policies;
mod reads;
pub mod records;
mod replication;
mod rotation;
mod schedule;
mod stages;
mod tags;
pub mod upkeep;
mod values;
mod writes;

#[cfg(test)]
mod tests;

use aws_shapes_secretsmanager as secrets;

use crate::gateway::Operations;
pub use policies::facts;
pub use values::{Which, value};

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(secrets::SERVICE)
        .on::<secrets::CreateSecret, _, _>(writes::create)
        .on::<secrets::PutSecretValue, _, _>(writes::put)
        .on::<secrets::UpdateSecret, _, _>(writes::update)
        .on::<secrets::UpdateSecretVersionStage, _, _>(stages::update)
        .on::<secrets::GetSecretValue, _, _>(reads::get)
        .on::<secrets::BatchGetSecretValue, _, _>(reads::batch_get)
        .on::<secrets::DescribeSecret, _, _>(reads::describe)
        .on::<secrets::ListSecretVersionIds, _, _>(reads::list_versions)
        .on::<secrets::ListSecrets, _, _>(filters::list)
        .on::<secrets::DeleteSecret, _, _>(deletion::delete)
        .on::<secrets::RestoreSecret, _, _>(deletion::restore)
        .on::<secrets::GetRandomPassword, _, _>(password::get)
        .on::<secrets::GetResourcePolicy, _, _>(policies::get)
        .on::<secrets::PutResourcePolicy, _, _>(policies::put)
        .on::<secrets::DeleteResourcePolicy, _, _>(policies::delete)
        .on::<secrets::ValidateResourcePolicy, _, _>(policies::validate)
        .on::<secrets::RotateSecret, _, _>(rotation::rotate)
        .on::<secrets::CancelRotateSecret, _, _>(rotation::cancel)
        .on::<secrets::ReplicateSecretToRegions, _, _>(replication::replicate)
        .on::<secrets::RemoveRegionsFromReplication, _, _>(replication::remove_regions)
        .on::<secrets::StopReplicationToReplica, _, _>(replication::stop)
        .on::<secrets::TagResource, _, _>(tags::add)
        .on::<secrets::UntagResource, _, _>(tags::remove);
}

/// Declares the service's records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables.with::<records::Secret>().with::<records::SecretValue>()
}
