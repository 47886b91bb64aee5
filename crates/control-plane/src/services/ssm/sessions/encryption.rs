//! How a session comes by its cipher: the client's answer to the handshake holds a data key that whoever acts for the container has to be
//! able to decrypt, and a challenge shows that both sides have the same.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use vocabulary::{Ids, Scope};

use super::{
    agent,
    cipher::{self, CHALLENGE_BYTES, Challenge, Cipher, Encrypted},
    target::Reached,
    wire::Kind,
};
use crate::services::{Services, kms};

/// The session that a data key is for.
pub struct Of<'a> {
    pub session: &'a str,
    pub target: &'a str,
    pub reached: &'a Reached,
    /// The key of KMS's that it has to be made with.
    pub key: &'a str,
}

/// The cipher of a session, from what its client made of the handshake's action.
///
/// # Errors
/// Why there is none, for the client: what KMS says, or that the key is not one of a session.
pub fn cipher(services: &Services, scope: &Scope, of: &Of<'_>, result: &Value) -> Result<Cipher, String> {
    const FAILED: &str = "Fetching data key failed: Unable to retrieve data key";
    let failed = |reason: String| format!("{FAILED}, {reason}");
    let encrypted = ciphertext(result)
        .ok_or_else(|| failed("the client's answer has no ciphertext of one".to_owned()))?;
    let actor = agent::actor(services, scope, of.reached, services.now())
        .map_err(|refused| failed(format!("Error when decrypting data key: {refused}")))?;
    let context = actor.context(&scope.region, services.now());
    let user = kms::User { holder: &actor, context: &context, via: None };
    let encryption_context = cipher::context(of.session, of.target);
    let view = services.state.view();
    if !kms::is_made_with(&view, scope, of.key, &encrypted) {
        return Err(failed(format!("it was not made with the key {}", of.key)));
    }
    let key = kms::decrypt(services, &view, &encrypted, &encryption_context, &user).map_err(|error| {
        failed(format!("Error when decrypting data key {}: {}", error.code, error.message))
    })?;
    Cipher::new(Kind::Output, &key).ok_or_else(|| failed(format!("it has {} bytes and not 64", key.len())))
}

/// The ciphertext in what the client made of the action.
fn ciphertext(result: &Value) -> Option<Vec<u8>> {
    let encrypted: Encrypted = serde_json::from_value(result.clone()).ok()?;
    STANDARD.decode(encrypted.ciphertext).ok()
}

/// A challenge that was sent.
#[derive(Debug)]
pub struct Sent([u8; CHALLENGE_BYTES]);

/// A fresh challenge, and the payload that asks it.
pub fn challenge(cipher: &Cipher, ids: &mut impl Ids) -> (Sent, Vec<u8>) {
    let (mut text, mut nonce) = ([0; CHALLENGE_BYTES], [0; 12]);
    ids.fill(&mut text);
    ids.fill(&mut nonce);
    let challenge = Challenge { challenge: STANDARD.encode(cipher.seal(&text, nonce)) };
    (Sent(text), serde_json::to_vec(&challenge).unwrap_or_default())
}

impl Sent {
    /// Whether the client's answer is the one to this challenge.
    pub fn is_answered(&self, cipher: &Cipher, payload: &[u8]) -> bool {
        let answer = serde_json::from_slice::<Challenge>(payload).ok();
        let sealed = answer.and_then(|answer| STANDARD.decode(answer.challenge).ok());
        // Sealed under a key that no one else has: a comparison that takes its time would tell nothing to anybody.
        sealed.and_then(|sealed| cipher.open(&sealed)).is_some_and(|text| text == self.0)
    }
}
