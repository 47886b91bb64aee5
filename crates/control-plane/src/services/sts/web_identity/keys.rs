//! The keys with which providers sign their tokens: fetched from the provider, kept for a while, never taken from the token.
//!
//! A provider publishes at `/.well-known/openid-configuration` where its keys are (OpenID Connect Discovery 1.0), and there a set of them
//! (RFC 7517). Both are fetched over TLS alone, without following redirects, bounded in time and size. Who the server is is proved by a
//! certificate of an authority that the machine trusts, or by one whose thumbprint the provider was registered with.

mod fetch;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_shapes_sts::errors;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use tokio::sync::Semaphore;
use vocabulary::Timestamp;

use super::token::{Algorithm, Token};
use crate::{gateway::ApiError, services::iam::records::OidcProvider};

/// How long keys are used without asking again.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// A token that none of the keys signed makes them be fetched anew, but no more often: anybody can send such a token.
const RENEWED_AT_MOST_EVERY: Duration = Duration::from_secs(60);
/// Providers that are remembered.
const MOST: usize = 1000;
/// Fetches under way at once; who comes on top waits.
const MOST_FETCHES: usize = 4;
/// Keys of one provider that are looked at.
const MOST_KEYS: usize = 100;

/// A set of keys, as a provider publishes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct KeySet {
    #[serde(default)]
    keys: Vec<Key>,
}

/// One key; those of other kinds are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of the providers that tokens were seen of.
pub struct IdentityKeys {
    known: Mutex<HashMap<String, (Timestamp, Arc<KeySet>)>>,
    fetches: Semaphore,
}

impl Default for IdentityKeys {
    fn default() -> IdentityKeys {
        IdentityKeys { known: Mutex::default(), fetches: Semaphore::new(MOST_FETCHES) }
    }
}

impl std::fmt::Debug for IdentityKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdentityKeys")
    }
}

impl IdentityKeys {
    /// Whether the provider signed the token.
    ///
    /// # Errors
    /// `IDPCommunicationError` when the provider cannot be asked, `InvalidIdentityToken` when it did not.
    pub async fn verify(
        &self,
        provider: &OidcProvider,
        token: &Token,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&provider.url).cloned();
        if let Some((fetched, keys)) = known.filter(|(fetched, _)| now.since(*fetched) < FRESH) {
            if keys.verify(token) {
                return Ok(());
            }
            if now.since(fetched) < RENEWED_AT_MOST_EVERY {
                return Err(unverified());
            }
        }
        let _place = self.fetches.acquire().await.map_err(ApiError::internal)?;
        let keys = Arc::new(fetch::keys(provider).await.map_err(|error| {
            tracing::warn!(provider = provider.url, %error, "the keys of an identity provider could not be fetched");
            let message = format!("Couldn't retrieve verification key from your identity provider: {error}");
            ApiError::new(&errors::IDP_COMMUNICATION_ERROR_EXCEPTION, message)
        })?);
        let signed = keys.verify(token);
        self.remember(&provider.url, keys, now);
        if signed { Ok(()) } else { Err(unverified()) }
    }

    pub(super) fn remember(&self, provider: &str, keys: Arc<KeySet>, now: Timestamp) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(provider.to_owned(), (now, keys));
    }
}

fn unverified() -> ApiError {
    ApiError::new(
        &errors::INVALID_IDENTITY_TOKEN_EXCEPTION,
        "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements",
    )
}

impl KeySet {
    /// Whether one of the keys signed the token: the one that the token names, where both have a name.
    pub fn verify(&self, token: &Token) -> bool {
        let named = |key: &&Key| match (&key.kid, &token.key_id) {
            (Some(own), Some(wanted)) => own == wanted,
            _ => true,
        };
        let signs = |key: &&Key| key.r#use.as_deref().is_none_or(|purpose| purpose == "sig");
        self.keys.iter().take(MOST_KEYS).filter(named).filter(signs).any(|key| key.verify(token))
    }
}

impl Key {
    fn verify(&self, token: &Token) -> bool {
        let part = |text: &Option<String>| {
            text.as_ref().and_then(|text| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok())
        };
        let (message, signature) = (token.signed.as_bytes(), token.signature.as_slice());
        let of_rsa = match token.algorithm {
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Algorithm::Es256 | Algorithm::Es384 => {
                let (curve, algorithm) = match token.algorithm {
                    Algorithm::Es256 => ("P-256", &ECDSA_P256_SHA256_FIXED),
                    _ => ("P-384", &ECDSA_P384_SHA384_FIXED),
                };
                let (Some(x), Some(y)) = (part(&self.x), part(&self.y)) else { return false };
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                return self.kty == "EC"
                    && self.crv.as_deref() == Some(curve)
                    && UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok();
            }
        };
        let (Some(n), Some(e)) = (part(&self.n), part(&self.e)) else { return false };
        // Leading zeros are not part of the number.
        let trimmed = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
        let public = RsaPublicKeyComponents { n: trimmed(&n), e: trimmed(&e) };
        self.kty == "RSA" && public.verify(of_rsa, message, signature).is_ok()
    }
}
