//! Keys as other services use them, in the name of whoever asked them: Secrets Manager for its secrets, Parameter Store for SecureStrings.
//!
//! The user's right to the key is checked here, with the service as `kms:ViaService`. Unlike [Encrypt] there is no limit to the plaintext:
//! what a service keeps is bounded by the service.
//!
//! [Encrypt]: super::cipher::encrypt

use state_store::{Tx, View};
use vocabulary::Scope;

use super::{
    access::{User, check_user},
    cipher::usable,
    crypto::{self, EncryptionContext},
    errors::invalid_ciphertext,
    managed,
    names::{self, Found},
    records::Key,
};
use crate::{gateway::ApiError, services::Services};

/// What came of encrypting.
#[derive(Debug, Clone)]
pub struct Encrypted {
    pub blob: Vec<u8>,
    /// The key that did it.
    pub key_arn: String,
}

/// How something is encrypted.
#[derive(Debug, Clone, Copy)]
pub struct With<'a> {
    /// An id, an ARN or an alias; `alias/aws/NAME` is made at its first use.
    pub key: &'a str,
    /// What the user has to be allowed: `kms:GenerateDataKey`, as Secrets Manager asks, or `kms:Encrypt`.
    pub action: &'a str,
    pub context: &'a EncryptionContext,
}

/// Encrypts, as part of the transaction that stores what comes of it.
///
/// # Errors
/// KMS's own: `NotFoundException`, `DisabledException`, `KMSInvalidStateException`, `AccessDeniedException`, ….
pub fn encrypt(
    services: &Services,
    tx: &mut Tx,
    scope: &Scope,
    with: &With<'_>,
    plaintext: &[u8],
    user: &User<'_>,
) -> Result<Encrypted, ApiError> {
    let found = managed::get_or_make(tx, scope, with.key, services.now(), &mut services.ids())?;
    check_user(services, user, &found, with.action, with.context)?;
    let found = usable(found)?;
    let blob = crypto::encrypt(&found.scope, &found.key, plaintext, with.context);
    Ok(Encrypted { blob, key_arn: found.arn() })
}

/// Decrypts what [`encrypt`] made. Asks for `kms:Decrypt`.
///
/// # Errors
/// KMS's own: `InvalidCiphertextException`, `DisabledException`, `KMSInvalidStateException`, `AccessDeniedException`, ….
pub fn decrypt(
    services: &Services,
    view: &View,
    blob: &[u8],
    context: &EncryptionContext,
    user: &User<'_>,
) -> Result<Vec<u8>, ApiError> {
    let header = crypto::header(blob).ok_or_else(invalid_ciphertext)?;
    let key = view.get::<Key>(&header.scope, &header.key_id).ok_or_else(invalid_ciphertext)?;
    let found = Found { scope: header.scope.clone(), key };
    check_user(services, user, &found, "kms:Decrypt", context)?;
    let found = usable(found)?;
    crypto::decrypt(&found.key, &header, blob, context).ok_or_else(invalid_ciphertext)
}

/// Whether a ciphertext was made with the key that `named` (an id, an ARN or an alias) means now.
pub fn is_made_with(view: &View, scope: &Scope, named: &str, blob: &[u8]) -> bool {
    let Some(header) = crypto::header(blob) else { return false };
    names::see(view, scope, named)
        .is_ok_and(|found| found.scope == header.scope && found.key.id == header.key_id)
}
