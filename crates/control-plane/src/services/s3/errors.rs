//! S3's errors in its words. Source: "Error responses" of the S3 API reference.

use crate::gateway::ApiError;

fn error(code: &'static str, status: u16, message: impl Into<String>) -> ApiError {
    ApiError::undeclared(code, status, message)
}

pub fn no_such_bucket() -> ApiError {
    error("NoSuchBucket", 404, "The specified bucket does not exist")
}

pub fn no_such_key() -> ApiError {
    error("NoSuchKey", 404, "The specified key does not exist.")
}

pub fn no_such_upload() -> ApiError {
    error(
        "NoSuchUpload",
        404,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
    )
}

pub fn no_such_version() -> ApiError {
    error("NoSuchVersion", 404, "The specified version does not exist.")
}

pub fn bucket_exists() -> ApiError {
    error(
        "BucketAlreadyExists",
        409,
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.",
    )
}

pub fn bucket_owned() -> ApiError {
    error(
        "BucketAlreadyOwnedByYou",
        409,
        "Your previous request to create the named bucket succeeded and you already own it.",
    )
}

pub fn bucket_not_empty() -> ApiError {
    error("BucketNotEmpty", 409, "The bucket you tried to delete is not empty")
}

pub fn too_many_buckets() -> ApiError {
    error("TooManyBuckets", 400, "You have attempted to create more buckets than allowed")
}

pub fn invalid_bucket_name() -> ApiError {
    error("InvalidBucketName", 400, "The specified bucket is not valid.")
}

pub fn illegal_location() -> ApiError {
    error(
        "IllegalLocationConstraintException",
        400,
        "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.",
    )
}

pub fn location_of_another_region(location: &str) -> ApiError {
    error(
        "IllegalLocationConstraintException",
        400,
        format!(
            "The {location} location constraint is incompatible for the region specific endpoint this request was sent to."
        ),
    )
}

pub fn invalid_location() -> ApiError {
    error("InvalidLocationConstraint", 400, "The specified location-constraint is not valid")
}

pub fn key_too_long() -> ApiError {
    error("KeyTooLongError", 400, "Your key is too long")
}

pub fn metadata_too_large() -> ApiError {
    error("MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size")
}

pub fn entity_too_large() -> ApiError {
    error("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size")
}

pub fn entity_too_small() -> ApiError {
    error("EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size")
}

pub fn missing_length() -> ApiError {
    error("MissingContentLength", 411, "You must provide the Content-Length HTTP header.")
}

pub fn incomplete_body() -> ApiError {
    error(
        "IncompleteBody",
        400,
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
    )
}

pub fn request_timeout() -> ApiError {
    error(
        "RequestTimeout",
        400,
        "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.",
    )
}

pub fn message_too_long() -> ApiError {
    error("MaxMessageLengthExceeded", 400, "Your request was too big.")
}

pub fn invalid_digest() -> ApiError {
    error("InvalidDigest", 400, "The Content-MD5 you specified was invalid.")
}

pub fn bad_digest() -> ApiError {
    error("BadDigest", 400, "The Content-MD5 you specified did not match what we received.")
}

pub fn bad_checksum(algorithm: &str) -> ApiError {
    error("BadDigest", 400, format!("The {algorithm} you specified did not match the calculated checksum."))
}

pub fn bad_sha256() -> ApiError {
    error(
        "XAmzContentSHA256Mismatch",
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    )
}

pub fn signature_mismatch() -> ApiError {
    error(
        "SignatureDoesNotMatch",
        403,
        "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
    )
}

pub fn invalid_request(message: impl Into<String>) -> ApiError {
    error("InvalidRequest", 400, message)
}

pub fn invalid_argument(message: impl Into<String>) -> ApiError {
    error("InvalidArgument", 400, message)
}

pub fn malformed_xml() -> ApiError {
    error(
        "MalformedXML",
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
}

pub fn invalid_part() -> ApiError {
    error(
        "InvalidPart",
        400,
        "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
    )
}

pub fn invalid_part_order() -> ApiError {
    error(
        "InvalidPartOrder",
        400,
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
    )
}

pub fn precondition_failed() -> ApiError {
    error("PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold")
}

pub fn not_modified() -> ApiError {
    error("NotModified", 304, "Not Modified")
}

pub fn invalid_range() -> ApiError {
    error("InvalidRange", 416, "The requested range is not satisfiable")
}

pub fn invalid_part_number() -> ApiError {
    error("InvalidPartNumber", 416, "The requested partnumber is not satisfiable")
}

pub fn invalid_storage_class() -> ApiError {
    error("InvalidStorageClass", 400, "The storage class you specified is not valid")
}

pub fn no_lists_of_access() -> ApiError {
    error("AccessControlListNotSupported", 400, "The bucket does not allow ACLs")
}

pub fn invalid_tag(message: impl Into<String>) -> ApiError {
    error("InvalidTag", 400, message)
}

pub fn no_such_tag_set() -> ApiError {
    error("NoSuchTagSet", 404, "The TagSet does not exist")
}

pub fn no_such_policy() -> ApiError {
    error("NoSuchBucketPolicy", 404, "The bucket policy does not exist")
}

pub fn malformed_policy(message: impl Into<String>) -> ApiError {
    error("MalformedPolicy", 400, message)
}

pub fn no_public_access_block() -> ApiError {
    error("NoSuchPublicAccessBlockConfiguration", 404, "The public access block configuration was not found")
}

pub fn access_denied() -> ApiError {
    error("AccessDenied", 403, "Access Denied")
}

/// Something of S3 that this platform does not have: said rather than passed over.
pub fn not_implemented(what: &str) -> ApiError {
    error("NotImplemented", 501, format!("Longshore does not implement {what} of S3 yet."))
}

pub fn full(cause: super::content::ContentError) -> ApiError {
    error("InsufficientStorage", 507, "There is no space left for objects on this machine.").caused_by(cause)
}

impl From<super::content::ContentError> for ApiError {
    fn from(cause: super::content::ContentError) -> ApiError {
        match cause {
            super::content::ContentError::Full(_) => full(cause),
            _ => error("InternalError", 500, "We encountered an internal error. Please try again.")
                .caused_by(cause),
        }
    }
}
