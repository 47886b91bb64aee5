//! What is done with a key's material: encrypting, decrypting, authenticating. Pure but for the randomness.
//!
//! A ciphertext says itself which key and which generation of it made it: a version, the key's account, region and id, the generation,
//! then nonce, ciphertext and tag. All that comes before the nonce and the encryption context are authenticated with it.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac};
use sha2::{Sha224, Sha256, Sha384, Sha512};
use vocabulary::{Ids, Scope};

use super::records::{Key, Kind, MacBits, Material, MaterialOrigin};
use crate::secret::SealingKey;

/// `EncryptionContext`
pub type EncryptionContext = BTreeMap<String, String>;

const VERSION: u8 = 1;

/// Where a ciphertext comes from, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub scope: Scope,
    pub key_id: String,
    generation: u32,
    length: usize,
}

/// Encrypts with the present generation of a key.
pub fn encrypt(scope: &Scope, key: &Key, plaintext: &[u8], context: &EncryptionContext) -> Vec<u8> {
    let origin = format!("{}/{}/{}", scope.account, scope.region, key.id);
    let generation = u32::try_from(key.materials.len() - 1).unwrap_or(u32::MAX);
    let mut blob = vec![VERSION, u8::try_from(origin.len()).expect("accounts, regions and ids are short")];
    blob.extend_from_slice(origin.as_bytes());
    blob.extend_from_slice(&generation.to_be_bytes());
    let sealed = sealing(key.current()).seal(authenticated(&blob, context), plaintext);
    blob.extend_from_slice(&sealed);
    blob
}

/// What a ciphertext says of itself; none when it is none of ours.
pub fn header(blob: &[u8]) -> Option<Header> {
    let (version, rest) = blob.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (origin, rest) = rest.split_at_checked(usize::from(*length))?;
    let generation = rest.first_chunk::<4>()?;
    let mut parts = std::str::from_utf8(origin).ok()?.splitn(3, '/');
    let (account, region, key_id) = (parts.next()?, parts.next()?, parts.next()?);
    (*version == VERSION).then_some(Header {
        scope: Scope::new(account.parse().ok()?, region.parse().ok()?),
        key_id: key_id.to_owned(),
        generation: u32::from_be_bytes(*generation),
        length: 2 + origin.len() + 4,
    })
}

/// The plaintext; none when the key, the context or a byte is another.
pub fn decrypt(key: &Key, header: &Header, blob: &[u8], context: &EncryptionContext) -> Option<Vec<u8>> {
    let material = key.materials.get(usize::try_from(header.generation).ok()?)?;
    let (said, sealed) = blob.split_at_checked(header.length)?;
    sealing(material).open(authenticated(said, context), sealed)
}

/// The material that made a ciphertext.
pub fn material_id(key: &Key, header: &Header) -> Option<String> {
    let material = key.materials.get(usize::try_from(header.generation).ok()?)?;
    Some(material.id.clone())
}

fn sealing(material: &Material) -> SealingKey {
    let secret = <[u8; 32]>::try_from(material.secret.as_slice());
    SealingKey::new(secret.expect("material of encryption keys has 32 bytes"))
}

/// Unambiguous: every text behind its length.
fn authenticated(said: &[u8], context: &EncryptionContext) -> Vec<u8> {
    let mut bytes = said.to_vec();
    for text in context.iter().flat_map(|(key, value)| [key, value]) {
        bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// A new generation of a key.
pub fn material(
    kind: Kind,
    origin: MaterialOrigin,
    now: vocabulary::Timestamp,
    ids: &mut impl Ids,
) -> Material {
    let length = match kind {
        Kind::Encryption | Kind::Mac(MacBits::Bits256) => 32,
        Kind::Mac(MacBits::Bits224) => 28,
        Kind::Mac(MacBits::Bits384) => 48,
        Kind::Mac(MacBits::Bits512) => 64,
    };
    let mut secret = vec![0; length];
    ids.fill(&mut secret);
    Material { id: ids.hex(64), secret, since: now, origin }
}

/// The code of `message`.
pub fn mac(material: &Material, bits: MacBits, message: &[u8]) -> Vec<u8> {
    macro_rules! with {
        ($digest:ty) => {{
            let mut mac = Hmac::<$digest>::new_from_slice(&material.secret).expect("any length will do");
            mac.update(message);
            mac.finalize().into_bytes().to_vec()
        }};
    }
    match bits {
        MacBits::Bits224 => with!(Sha224),
        MacBits::Bits256 => with!(Sha256),
        MacBits::Bits384 => with!(Sha384),
        MacBits::Bits512 => with!(Sha512),
    }
}

/// Whether `code` is that of `message`; takes as long whichever byte differs.
pub fn verify_mac(material: &Material, bits: MacBits, message: &[u8], code: &[u8]) -> bool {
    macro_rules! with {
        ($digest:ty) => {{
            let mut mac = Hmac::<$digest>::new_from_slice(&material.secret).expect("any length will do");
            mac.update(message);
            mac.verify_slice(code).is_ok()
        }};
    }
    match bits {
        MacBits::Bits224 => with!(Sha224),
        MacBits::Bits256 => with!(Sha256),
        MacBits::Bits384 => with!(Sha384),
        MacBits::Bits512 => with!(Sha512),
    }
}
