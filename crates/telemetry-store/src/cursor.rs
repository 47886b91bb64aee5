//! Page tokens that only the store can make.
//!
//! A token carries a position and a keyed hash over it and the question it belongs to, so that a token that was
//! made up, altered, or taken from another question is an error rather than a page from somewhere else. The
//! key is made once per store and kept in its catalog: tokens outlive restarts.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use vocabulary::Timestamp;

use crate::model::Position;

/// Bytes of the hash kept in a token: 96 bits are beyond guessing and keep tokens short.
const TAG_BYTES: usize = 12;

/// A token that this store did not hand out for this question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not one that was handed out for this request")]
pub struct InvalidCursor;

#[derive(Debug, Clone)]
pub(crate) struct CursorKey(pub [u8; 32]);

impl CursorKey {
    pub fn seal(&self, position: Position, question: &str) -> String {
        let mut bytes = payload(position).to_vec();
        let tag = self.mac(&bytes, question).finalize().into_bytes();
        bytes.extend_from_slice(&tag[..TAG_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub fn open(&self, token: &str, question: &str) -> Result<Position, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| InvalidCursor)?;
        let (payload, tag) = bytes.split_at_checked(16).ok_or(InvalidCursor)?;
        if tag.len() != TAG_BYTES {
            return Err(InvalidCursor);
        }
        self.mac(payload, question).verify_truncated_left(tag).map_err(|_| InvalidCursor)?;
        let word = |range: std::ops::Range<usize>| payload[range].try_into().map_err(|_| InvalidCursor);
        Ok(Position {
            timestamp: Timestamp::from_millis(i64::from_be_bytes(word(0..8)?)),
            sequence: u64::from_be_bytes(word(8..16)?),
        })
    }

    fn mac(&self, payload: &[u8], question: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(payload);
        mac.update(question.as_bytes());
        mac
    }
}

fn payload(position: Position) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&position.timestamp.as_millis().to_be_bytes());
    bytes[8..].copy_from_slice(&position.sequence.to_be_bytes());
    bytes
}
