//! What requests to write have in common: what is refused because it is not here, what the client says of the body, and when it wants it
//! written at all.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    digests::{Algorithm, Outcome, Wanted},
    errors,
    payload::Payload,
    records::Object,
};
use crate::gateway::ApiError;

/// The checksums of an input, by algorithm; refuses those that cannot be verified.
macro_rules! checksums {
    ($input:expr) => {{
        let input = &$input;
        let beyond = [
            ("SHA512", &input.checksum_sha512),
            ("MD5", &input.checksum_md5),
            ("XXHASH64", &input.checksum_xxhash64),
            ("XXHASH3", &input.checksum_xxhash3),
            ("XXHASH128", &input.checksum_xxhash128),
        ];
        match beyond.into_iter().find(|(_, value)| value.is_some()) {
            Some((name, _)) => {
                Err($crate::services::s3::errors::not_implemented(&format!("the checksum {name}")))
            }
            None => Ok([
                ($crate::services::s3::digests::Algorithm::Crc32, input.checksum_crc32.clone()),
                ($crate::services::s3::digests::Algorithm::Crc32c, input.checksum_crc32_c.clone()),
                ($crate::services::s3::digests::Algorithm::Crc64Nvme, input.checksum_crc64_nvme.clone()),
                ($crate::services::s3::digests::Algorithm::Sha1, input.checksum_sha1.clone()),
                ($crate::services::s3::digests::Algorithm::Sha256, input.checksum_sha256.clone()),
            ]),
        }
    }};
}

/// Shows a checksum in an output.
macro_rules! show_checksum {
    ($output:expr, $algorithm:expr, $value:expr) => {{
        let value = Some($value.to_owned());
        match $algorithm {
            $crate::services::s3::digests::Algorithm::Crc32 => $output.checksum_crc32 = value,
            $crate::services::s3::digests::Algorithm::Crc32c => $output.checksum_crc32_c = value,
            $crate::services::s3::digests::Algorithm::Crc64Nvme => $output.checksum_crc64_nvme = value,
            $crate::services::s3::digests::Algorithm::Sha1 => $output.checksum_sha1 = value,
            $crate::services::s3::digests::Algorithm::Sha256 => $output.checksum_sha256 = value,
        }
    }};
}

/// Refuses what is asked of an object that is written and cannot be had. Everything is encrypted under the installation's key, so that of
/// encryptions only that one can be asked for.
macro_rules! refuse_what_is_not_here {
    ($input:expr) => {{
        let input = &$input;
        $crate::services::s3::checks::refuse(&$crate::services::s3::checks::Wishes {
            acl: input.acl.as_ref().map(|acl| acl.as_str()),
            grants: input.grant_full_control.is_some()
                || input.grant_read.is_some()
                || input.grant_read_acp.is_some()
                || input.grant_write_acp.is_some(),
            encryption: input.server_side_encryption.as_ref().map(|encryption| encryption.as_str()),
            own_key: input.sse_customer_algorithm.is_some() || input.sse_customer_key.is_some(),
            kms: input.ssekms_key_id.is_some() || input.ssekms_encryption_context.is_some(),
            storage_class: input.storage_class.as_ref().map(|class| class.as_str()),
            redirect: input.website_redirect_location.is_some(),
            lock: input.object_lock_mode.is_some()
                || input.object_lock_retain_until_date.is_some()
                || input.object_lock_legal_hold_status.is_some(),
        })
    }};
}

pub(super) use {checksums, refuse_what_is_not_here, show_checksum};

/// What is wished for that may not be here.
pub struct Wishes<'a> {
    pub acl: Option<&'a str>,
    pub grants: bool,
    pub encryption: Option<&'a str>,
    pub own_key: bool,
    pub kms: bool,
    pub storage_class: Option<&'a str>,
    pub redirect: bool,
    pub lock: bool,
}

/// # Errors
/// What AWS says where a bucket does not have it; `NotImplemented` else.
pub fn refuse(wishes: &Wishes<'_>) -> Result<(), ApiError> {
    // The owner owns everything in every bucket, as it is by default on AWS.
    if wishes.grants || wishes.acl.is_some_and(|acl| acl != "bucket-owner-full-control") {
        return Err(errors::no_lists_of_access());
    }
    if wishes.own_key {
        return Err(errors::not_implemented("encryption with keys of clients"));
    }
    if wishes.kms || wishes.encryption.is_some_and(|encryption| encryption != "AES256") {
        return Err(errors::not_implemented("encryption with keys of KMS"));
    }
    if wishes.storage_class.is_some_and(|class| class != "STANDARD") {
        return Err(errors::invalid_storage_class());
    }
    if wishes.redirect {
        return Err(errors::not_implemented("website redirects"));
    }
    if wishes.lock {
        return Err(errors::invalid_request("Bucket is missing Object Lock Configuration"));
    }
    Ok(())
}

/// What the client says of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    md5: Option<[u8; 16]>,
    sha256: Option<String>,
    pub algorithm: Algorithm,
    /// The checksum that stands in a header.
    value: Option<String>,
    /// The checksum comes behind the body.
    follows: bool,
    /// A checksum that is to be computed beside it.
    pub beside: Option<Algorithm>,
}

impl Said {
    /// # Errors
    /// `InvalidDigest`, `InvalidRequest` for checksums that contradict each other or cannot be read.
    pub fn of(
        md5: Option<&str>,
        named: Option<&str>,
        given: impl IntoIterator<Item = (Algorithm, Option<String>)>,
        payload: &Payload,
        default: Algorithm,
    ) -> Result<Said, ApiError> {
        let md5 = md5.map(|text| {
            let bytes = STANDARD.decode(text.trim()).ok();
            bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(errors::invalid_digest)
        });
        let mut given = given.into_iter().filter_map(|(algorithm, value)| Some((algorithm, value?)));
        let first = given.next();
        if given.next().is_some() {
            return Err(errors::invalid_request(
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            ));
        }
        let announced = payload.announced.as_deref().map(|name| {
            Algorithm::of_header(name).ok_or_else(|| {
                errors::invalid_request("The value specified in the x-amz-trailer header is not supported")
            })
        });
        let announced = announced.transpose()?;
        let (algorithm, value, follows) = match (first, announced) {
            (Some((algorithm, value)), None) if algorithm.can_be(&value) => (algorithm, Some(value), false),
            (Some((algorithm, _)), None) => {
                let name = algorithm.name().to_ascii_lowercase();
                return Err(errors::invalid_request(format!(
                    "Value for x-amz-checksum-{name} header is invalid."
                )));
            }
            (None, Some(algorithm)) => (algorithm, None, true),
            (Some(_), Some(_)) => {
                return Err(errors::invalid_request(
                    "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
                ));
            }
            (None, None) if named.is_some() => {
                return Err(errors::invalid_request(
                    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
                ));
            }
            (None, None) => (default, None, false),
        };
        if named.is_some_and(|named| Algorithm::of_name(named) != Some(algorithm)) {
            return Err(errors::invalid_request("Value for x-amz-sdk-checksum-algorithm header is invalid."));
        }
        Ok(Said {
            md5: md5.transpose()?,
            sha256: payload.sha256.clone(),
            algorithm,
            value,
            follows,
            beside: None,
        })
    }

    /// What has to be computed to know whether it is true.
    pub fn wanted(&self) -> Wanted {
        Wanted { sha256: self.sha256.is_some(), checksum: self.algorithm, second: self.beside }
    }

    /// Whether the client gave a checksum.
    pub fn has_checksum(&self) -> bool {
        self.value.is_some() || self.follows
    }

    pub fn has_digest(&self) -> bool {
        self.md5.is_some() || self.has_checksum()
    }

    /// Holds what was said against what came.
    ///
    /// # Errors
    /// `BadDigest`, `XAmzContentSHA256Mismatch`, `InvalidRequest` where a checksum was to follow and did not.
    pub fn check(&self, outcome: &Outcome, payload: &Payload) -> Result<(), ApiError> {
        if self.sha256.is_some() && self.sha256 != outcome.sha256 {
            return Err(errors::bad_sha256());
        }
        if self.md5.is_some_and(|md5| md5 != outcome.md5) {
            return Err(errors::bad_digest());
        }
        let came = |algorithm: Algorithm| {
            let mut of_it =
                payload.trailers.iter().filter(|(name, _)| Algorithm::of_header(name) == Some(algorithm));
            of_it.next().map(|(_, value)| value.as_str())
        };
        let claimed = match (&self.value, self.follows) {
            (Some(value), _) => Some(value.as_str()),
            (None, true) => Some(came(self.algorithm).ok_or_else(|| {
                errors::invalid_request("The checksum that x-amz-trailer announces did not follow the body.")
            })?),
            (None, false) => None,
        };
        match claimed {
            Some(claimed) if claimed != outcome.checksum => Err(errors::bad_checksum(self.algorithm.name())),
            _ => Ok(()),
        }
    }
}

/// Whether an entity tag is one of those in a condition.
pub fn names_etag(condition: &str, etag: &str) -> bool {
    condition.split(',').map(str::trim).any(|one| {
        let one = one.strip_prefix("W/").unwrap_or(one);
        one == "*" || one.trim_matches('"') == etag
    })
}

/// When something is to be written at all.
#[derive(Debug, Clone, Default)]
pub struct Unless {
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
}

impl Unless {
    /// # Errors
    /// `PreconditionFailed`; `NoSuchKey` where what is to be matched is not there; `NotImplemented` for other forms of `If-None-Match`.
    pub fn check(&self, present: Option<&Object>) -> Result<(), ApiError> {
        if let Some(condition) = &self.if_none_match {
            if condition.trim() != "*" {
                return Err(ApiError::undeclared(
                    "NotImplemented",
                    501,
                    "A header you provided implies functionality that is not implemented",
                ));
            }
            if present.is_some() {
                return Err(errors::precondition_failed());
            }
        }
        match (&self.if_match, present) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(errors::no_such_key()),
            (Some(condition), Some(object)) if names_etag(condition, &object.etag) => Ok(()),
            (Some(_), Some(_)) => Err(errors::precondition_failed()),
        }
    }
}
