//! Whether the holder of a secret made a claim.

use std::time::Duration;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use vocabulary::Timestamp;

use crate::{AuthError, Head, Payload, Presented, canonical::canonical_request, claim::TIME_FORMAT};

/// How far the signer's clock may be from ours.
const CLOCK_SKEW: Duration = Duration::from_secs(15 * 60);

impl Presented {
    /// Whether this claim was made with `secret`, over this very request, at a time that still counts.
    /// `body` is the whole body as received; one that comes in pieces is looked at by [`Presented::unframe`], after this.
    ///
    /// # Errors
    /// [`AuthError::Skewed`], [`AuthError::Expired`] and [`AuthError::Mismatch`].
    pub fn verify(
        &self,
        head: &Head<'_>,
        body: &[u8],
        secret: &str,
        now: Timestamp,
    ) -> Result<(), AuthError> {
        self.check_time(now)?;
        let body_hash = || hex::encode(Sha256::digest(body));
        let payload_hash = match &self.payload {
            Payload::Unsigned | Payload::Streaming { .. } => {
                self.payload.word().unwrap_or_default().to_owned()
            }
            Payload::OfBody => body_hash(),
            Payload::Sha256(claimed) if *claimed == body_hash() => claimed.clone(),
            Payload::Sha256(_) => return Err(AuthError::Mismatch),
        };
        self.check_signature(head, &payload_hash, secret)
    }

    /// Whether the signature is that of this head with this word or digest for its body.
    pub(crate) fn check_signature(
        &self,
        head: &Head<'_>,
        payload_hash: &str,
        secret: &str,
    ) -> Result<(), AuthError> {
        let key = derive_key(secret, &self.date, &self.region, &self.service);
        let scope = format!("{}/{}/{}/aws4_request", self.date, self.region, self.service);
        let request = canonical_request(head, self, payload_hash);
        let claimed = hex::decode(&self.signature).map_err(|_| AuthError::Mismatch)?;
        mac(&key, &string_to_sign(&self.signed_at_text, &scope, &request))
            .verify_slice(&claimed)
            .map_err(|_| AuthError::Mismatch)
    }

    pub(crate) fn check_time(&self, now: Timestamp) -> Result<(), AuthError> {
        let minutes = CLOCK_SKEW.as_secs() / 60;
        if self.signed_at.since(now) > CLOCK_SKEW {
            return Err(AuthError::Skewed(format!(
                "Signature not yet current: {} is still later than {} ({} + {minutes} min.)",
                self.signed_at_text,
                basic(now + CLOCK_SKEW),
                basic(now)
            )));
        }
        let age = now.since(self.signed_at);
        match self.expires {
            Some(lifetime) if age > lifetime => Err(AuthError::Expired("Request has expired".to_owned())),
            None if age > CLOCK_SKEW => Err(AuthError::Skewed(format!(
                "Signature expired: {} is now earlier than {} ({} - {minutes} min.)",
                self.signed_at_text,
                basic(Timestamp::from_millis(now.as_millis() - CLOCK_SKEW.as_millis() as i64)),
                basic(now)
            ))),
            _ => Ok(()),
        }
    }
}

/// `YYYYMMDDTHHMMSSZ`
fn basic(at: Timestamp) -> String {
    time::OffsetDateTime::from_unix_timestamp(at.as_millis().div_euclid(1000))
        .ok()
        .and_then(|at| at.format(TIME_FORMAT).ok())
        .unwrap_or_default()
}

/// The signing key of a secret for one day, region and service.
pub fn derive_key(secret: &str, date: &str, region: &str, service: &str) -> [u8; 32] {
    let mut key = finish(mac(format!("AWS4{secret}").as_bytes(), date));
    for part in [region, service, "aws4_request"] {
        key = finish(mac(&key, part));
    }
    key
}

/// The signature, in lower-case hexadecimal, of a canonical request.
pub fn sign(key: &[u8; 32], signed_at: &str, scope: &str, canonical_request: &str) -> String {
    hex::encode(finish(mac(key, &string_to_sign(signed_at, scope, canonical_request))))
}

fn string_to_sign(signed_at: &str, scope: &str, canonical_request: &str) -> String {
    let digest = hex::encode(Sha256::digest(canonical_request));
    format!("AWS4-HMAC-SHA256\n{signed_at}\n{scope}\n{digest}")
}

pub(crate) fn mac(key: &[u8], text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac
}

fn finish(mac: Hmac<Sha256>) -> [u8; 32] {
    mac.finalize().into_bytes().into()
}
