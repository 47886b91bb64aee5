//! What passes through a session that is encrypted under a key of KMS's: AES-256 in Galois/counter mode, a key for each direction.
//!
//! The client has KMS make a data key of 64 bytes, with the session and its target as the encryption context, and sends its ciphertext along with
//! its answer to the handshake; the other side has KMS decrypt that. The first half is the key of what the client hears, the second
//! of what it says. A text is a random nonce of 96 bits, the ciphertext and its tag. Only the content of sessions is encrypted: output, errors,
//! exit status, input; not handshakes, sizes and flags. Source: `src/encryption` and `src/datachannel` of aws/session-manager-plugin.
//!
//! Random nonces of 96 bits are good for 2^32 messages under one key (NIST SP 800-38D), which are four terabytes of a session's messages.

use std::collections::BTreeMap;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

use super::wire::{Kind, Payload};

/// The data key, both halves.
pub const KEY_BYTES: usize = 64;
/// What the session sends, and the client has to send back.
pub const CHALLENGE_BYTES: usize = 64;
/// The action of the handshake.
pub const ACTION: &str = "KMSEncryption";

/// One side's keys.
pub struct Cipher {
    sealing: LessSafeKey,
    opening: LessSafeKey,
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

impl Cipher {
    /// `side`: [`Kind::Output`] for the session, [`Kind::Input`] for its client. None when the key has not [`KEY_BYTES`] bytes.
    pub fn new(side: Kind, data_key: &[u8]) -> Option<Cipher> {
        let (heard, said) = data_key.split_at_checked(KEY_BYTES / 2)?;
        let key = |bytes| UnboundKey::new(&AES_256_GCM, bytes).ok().map(LessSafeKey::new);
        let (heard, said) = (key(heard)?, key(said)?);
        Some(match side {
            Kind::Input => Cipher { sealing: said, opening: heard },
            _ => Cipher { sealing: heard, opening: said },
        })
    }

    /// Whether payloads of this kind are encrypted.
    pub fn covers(kind: Payload) -> bool {
        matches!(kind, Payload::Output | Payload::StdErr | Payload::ExitCode)
    }

    /// `nonce`: random.
    pub fn seal(&self, plaintext: &[u8], nonce: [u8; NONCE_LEN]) -> Vec<u8> {
        let mut sealed = nonce.to_vec();
        let mut text = plaintext.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealing = self.sealing.seal_in_place_append_tag(nonce, Aad::empty(), &mut text);
        sealing.expect("a message is far shorter than what the cipher takes");
        sealed.extend(text);
        sealed
    }

    /// None when it was not sealed by the other side.
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.opening.open_in_place(nonce, Aad::empty(), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

/// The encryption context of a session's data key.
pub fn context(session: &str, target: &str) -> BTreeMap<String, String> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    BTreeMap::from([pair("aws:ssm:SessionId", session), pair("aws:ssm:TargetId", target)])
}

/// What the handshake asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    #[serde(rename = "KMSKeyId")]
    pub key_id: String,
}

/// What the client did about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encrypted {
    /// The data key's ciphertext, in base64.
    #[serde(rename = "KMSCipherTextKey")]
    pub ciphertext: String,
}

/// Both the question and its answer: a text, sealed, in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Challenge {
    pub challenge: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_seals_the_other_opens() {
        let key: Vec<u8> = (0..64).collect();
        let session = Cipher::new(Kind::Output, &key).unwrap();
        let client = Cipher::new(Kind::Input, &key).unwrap();
        let sealed = session.seal(b"output", [1; 12]);
        assert_eq!(sealed.len(), 12 + 6 + 16);
        assert_eq!(client.open(&sealed).as_deref(), Some(&b"output"[..]));
        assert_eq!(session.open(&client.seal(b"", [2; 12])).as_deref(), Some(&b""[..]));
        // Not by whoever sealed it, altered, or cut off.
        assert_eq!(session.open(&sealed), None);
        let mut altered = sealed.clone();
        *altered.last_mut().unwrap() ^= 1;
        assert_eq!(client.open(&altered), None);
        assert_eq!(client.open(&sealed[..11]), None);
        for wrong in [0, 32, 63, 65] {
            assert!(Cipher::new(Kind::Input, &vec![0; wrong]).is_none(), "{wrong}");
        }
    }
}
