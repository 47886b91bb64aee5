//! Files in sealed segments: AES-256 in Galois/counter mode, so that any part of an object can be read without the rest.
//!
//! Each file has a key of its own, derived from the installation's secret and the file's random name; a segment's number is its nonce. A segment
//! that was moved, changed, cut off or taken from another file does not open. How many there have to be is in the record.

use hmac::{Hmac, Mac};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::Sha256;

use super::FileName;

/// Plain bytes in a segment: what the shortest read costs, and few enough tags to not matter.
pub const SEGMENT_BYTES: usize = 64 * 1024;
pub const TAG_BYTES: usize = 16;

/// The key of one file.
pub struct FileKey(LessSafeKey);

impl FileKey {
    pub fn of(secret: &[u8; 32], name: &FileName) -> FileKey {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
        mac.update(name.0.as_bytes());
        let key: [u8; 32] = mac.finalize().into_bytes().into();
        let key = UnboundKey::new(&AES_256_GCM, &key).expect("the key has the algorithm's length");
        FileKey(LessSafeKey::new(key))
    }

    /// Seals in place and appends the tag.
    pub fn seal(&self, number: u64, segment: &mut Vec<u8>) {
        self.0
            .seal_in_place_append_tag(nonce(number), Aad::empty(), segment)
            .expect("a segment is far below the algorithm's limit of 64 GiB");
    }

    /// Opens in place; the plain bytes, unless the segment is not what was sealed under this number.
    pub fn open<'a>(&self, number: u64, sealed: &'a mut [u8]) -> Option<&'a [u8]> {
        self.0.open_in_place(nonce(number), Aad::empty(), sealed).ok().map(|plain| &*plain)
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Where a segment begins in its file.
pub fn offset_of(number: u64) -> u64 {
    number * (SEGMENT_BYTES + TAG_BYTES) as u64
}
