//! What is computed over a body while it passes: MD5 for the entity tag, SHA-256 when the signature names one, and the checksum that the
//! client or the platform chose.

use base64::{Engine, engine::general_purpose::STANDARD};
use md5::Md5;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::crc::{self, Crc};

/// The checksums that can be verified here, by S3's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    #[serde(rename = "CRC32")]
    Crc32,
    #[serde(rename = "CRC32C")]
    Crc32c,
    #[serde(rename = "CRC64NVME")]
    Crc64Nvme,
    #[serde(rename = "SHA1")]
    Sha1,
    #[serde(rename = "SHA256")]
    Sha256,
}

impl Algorithm {
    pub const ALL: [Algorithm; 5] =
        [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme, Algorithm::Sha1, Algorithm::Sha256];

    /// `CRC32`
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "CRC32",
            Algorithm::Crc32c => "CRC32C",
            Algorithm::Crc64Nvme => "CRC64NVME",
            Algorithm::Sha1 => "SHA1",
            Algorithm::Sha256 => "SHA256",
        }
    }

    pub fn of_name(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// By the header that carries it: `x-amz-checksum-crc32`.
    pub fn of_header(name: &str) -> Option<Algorithm> {
        let name = name.trim().to_ascii_lowercase();
        Algorithm::of_name(name.strip_prefix("x-amz-checksum-")?)
    }

    fn crc(self) -> Option<crc::Kind> {
        match self {
            Algorithm::Crc32 => Some(crc::Kind::Crc32),
            Algorithm::Crc32c => Some(crc::Kind::Crc32c),
            Algorithm::Crc64Nvme => Some(crc::Kind::Crc64Nvme),
            Algorithm::Sha1 | Algorithm::Sha256 => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Algorithm::Crc32 | Algorithm::Crc32c => 4,
            Algorithm::Crc64Nvme => 8,
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
        }
    }

    /// Whether the text can be a checksum of this kind.
    pub fn can_be(self, text: &str) -> bool {
        STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == self.bytes())
    }

    /// Whether the whole's checksum follows from those of its parts.
    pub fn joins(self) -> bool {
        self.crc().is_some()
    }

    /// The checksum of parts put together, from each part's checksum and length: of all their bytes. None when the kind cannot, or one of the
    /// texts is no checksum.
    pub fn joined<'a>(self, parts: impl IntoIterator<Item = (&'a str, u64)>) -> Option<String> {
        let kind = self.crc()?;
        let mut whole = None;
        for (text, length) in parts {
            let check = crc::from_bytes(kind, &STANDARD.decode(text).ok()?)?;
            whole = Some(match whole {
                None => check,
                Some(before) => kind.join(before, check, length),
            });
        }
        Some(STANDARD.encode(crc::to_bytes(kind, whole?)))
    }

    /// The checksum of the parts' checksums, with their number behind it.
    pub fn composite<'a>(self, parts: impl IntoIterator<Item = &'a str>) -> Option<String> {
        let mut sum = Sum::new(self);
        let mut number = 0;
        for text in parts {
            sum.update(&STANDARD.decode(text).ok()?);
            number += 1;
        }
        Some(format!("{}-{number}", sum.finish()))
    }
}

/// Whether a checksum is of an object's bytes or of its parts' checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extent {
    #[serde(rename = "FULL_OBJECT")]
    Full,
    #[serde(rename = "COMPOSITE")]
    Composite,
}

/// A checksum that is kept with an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    pub algorithm: Algorithm,
    pub extent: Extent,
    /// Base 64, with the number of parts behind it where it is composite.
    pub value: String,
}

/// What to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub sha256: bool,
    pub checksum: Algorithm,
    /// Another checksum: what the platform keeps where the client says one of another kind.
    pub second: Option<Algorithm>,
}

/// The digests under way.
pub struct Digests {
    md5: Md5,
    sha256: Option<Sha256>,
    checksum: Sum,
    second: Option<Sum>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub md5: [u8; 16],
    /// Lower-case hexadecimal.
    pub sha256: Option<String>,
    pub algorithm: Algorithm,
    /// Base 64.
    pub checksum: String,
    /// Base 64, where a second one was wanted.
    pub second: Option<String>,
}

impl Outcome {
    /// The entity tag of a body in one piece.
    pub fn etag(&self) -> String {
        hex::encode(self.md5)
    }
}

impl Digests {
    pub fn new(wanted: Wanted) -> Digests {
        Digests {
            md5: Md5::new(),
            sha256: wanted.sha256.then(Sha256::new),
            checksum: Sum::new(wanted.checksum),
            second: wanted.second.map(Sum::new),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        self.checksum.update(bytes);
        if let Some(second) = &mut self.second {
            second.update(bytes);
        }
    }

    pub fn finish(self) -> Outcome {
        Outcome {
            md5: self.md5.finalize().into(),
            sha256: self.sha256.map(|sha256| hex::encode(sha256.finalize())),
            algorithm: self.checksum.algorithm,
            checksum: self.checksum.finish(),
            second: self.second.map(Sum::finish),
        }
    }
}

/// The digests of a body that is there as a whole.
pub fn of(bytes: &[u8], wanted: Wanted) -> Outcome {
    let mut digests = Digests::new(wanted);
    digests.update(bytes);
    digests.finish()
}

/// The entity tag of an object of parts: the MD5 of their MD5s and their number. None when one is no MD5.
pub fn etag_of_parts<'a>(etags: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut md5 = Md5::new();
    let mut number = 0;
    for etag in etags {
        md5.update(hex::decode(etag).ok()?);
        number += 1;
    }
    Some(format!("{}-{number}", hex::encode(md5.finalize())))
}

struct Sum {
    algorithm: Algorithm,
    state: Running,
}

enum Running {
    Crc(crc::Kind, Crc),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Sum {
    fn new(algorithm: Algorithm) -> Sum {
        let state = match (algorithm.crc(), algorithm) {
            (Some(kind), _) => Running::Crc(kind, Crc::new(kind)),
            (None, Algorithm::Sha1) => Running::Sha1(Sha1::new()),
            (None, _) => Running::Sha256(Sha256::new()),
        };
        Sum { algorithm, state }
    }

    fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            Running::Crc(_, crc) => crc.update(bytes),
            Running::Sha1(sha1) => sha1.update(bytes),
            Running::Sha256(sha256) => sha256.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self.state {
            Running::Crc(kind, crc) => STANDARD.encode(crc::to_bytes(kind, crc.finish())),
            Running::Sha1(sha1) => STANDARD.encode(sha1.finalize()),
            Running::Sha256(sha256) => STANDARD.encode(sha256.finalize()),
        }
    }
}
