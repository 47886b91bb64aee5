//! Content digests: `ALGORITHM:HEX`, checked when parsed.
//!
//! sha256 and sha512 are the algorithms that the OCI image specification registers. Anything else is refused when
//! it is parsed, so that an unverifiable digest never gets as far as a download.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};

/// A digest in its canonical form, `sha256:` and 64 lower-case hexadecimal digits (or `sha512:` and 128).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Box<str>);

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid digest {text:?}")]
pub struct InvalidDigest {
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Digest {
    /// The sha256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::sha256();
        hasher.update(bytes);
        hasher.finish()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hexadecimal digits alone.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// A name for a file: the digits for sha256, `sha512-` and the digits for sha512.
    pub(crate) fn file_name(&self) -> String {
        match self.algorithm() {
            Algorithm::Sha256 => self.hex().to_owned(),
            Algorithm::Sha512 => format!("sha512-{}", self.hex()),
        }
    }

    /// A fresh hasher of this digest's own algorithm, to check content against it.
    pub(crate) fn hasher(&self) -> Hasher {
        match self.algorithm() {
            Algorithm::Sha256 => Hasher::sha256(),
            Algorithm::Sha512 => Hasher::Sha512(Box::default()),
        }
    }

    /// The digest of `bytes` by this digest's own algorithm.
    pub(crate) fn recompute(&self, bytes: &[u8]) -> Digest {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish()
    }

    fn algorithm(&self) -> Algorithm {
        if self.0.starts_with("sha512:") { Algorithm::Sha512 } else { Algorithm::Sha256 }
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Digest, InvalidDigest> {
        let length = match text.split_once(':') {
            Some(("sha256", hex)) if hex.len() == 64 => Some(hex),
            Some(("sha512", hex)) if hex.len() == 128 => Some(hex),
            _ => None,
        };
        match length {
            Some(hex) if hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) => {
                Ok(Digest(text.into()))
            }
            _ => Err(InvalidDigest { text: text.chars().take(160).collect() }),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A running hash of either algorithm.
#[derive(Clone)]
pub(crate) enum Hasher {
    Sha256(Box<Sha256>),
    Sha512(Box<Sha512>),
}

impl Hasher {
    pub(crate) fn sha256() -> Hasher {
        Hasher::Sha256(Box::default())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(inner) => inner.update(bytes),
            Hasher::Sha512(inner) => inner.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        let text = match self {
            Hasher::Sha256(inner) => format!("sha256:{}", hex::encode(inner.finalize())),
            Hasher::Sha512(inner) => format!("sha512:{}", hex::encode(inner.finalize())),
        };
        Digest(text.into())
    }
}
