//! Answers of the protocol: plain ones, and errors with the specification's codes and ECR's texts.

use blob_store::BlobError;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::error::CatalogError;
use super::manifest::ManifestError;
use super::route::Unroutable;
use crate::gateway::body::{Body, full};

/// An answer in the making.
pub type Answer = Response<Body>;

/// An error of the protocol: status, code of the specification, and what the user reads behind it.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    /// Headers that the status asks for.
    pub headers: Vec<(header::HeaderName, String)>,
    /// For the log: our own fault.
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new(), cause: None }
    }

    pub fn with_header(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn blob_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry")
    }

    pub fn manifest_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "Requested image not found")
    }

    pub fn upload_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
    }

    pub fn digest_invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
    }

    pub fn name_invalid(name: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "NAME_INVALID", format!("invalid repository name '{name}'"))
    }

    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let message = "the request failed because of an error in the registry";
        let mut refusal = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", message);
        refusal.cause = Some(cause.into());
        refusal
    }

    fn storage_full() -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "UNKNOWN", "the registry has no space left")
    }

    pub fn into_answer(self) -> Answer {
        if let Some(cause) = &self.cause {
            tracing::error!(error = %cause, "registry request failed");
        }
        let body = json!({ "errors": [{ "code": self.code, "message": self.message }] }).to_string();
        let mut answer = with_body(self.status, "application/json", body);
        for (name, value) in self.headers {
            set(&mut answer, name, &value);
        }
        answer
    }
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(full(Bytes::new()));
    *answer.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        set(&mut answer, header::CONTENT_LENGTH, "0");
    }
    answer
}

/// An answer with a body that is there as a whole.
pub fn with_body(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let body = body.into();
    let length = body.len();
    let mut answer = Response::new(full(body));
    *answer.status_mut() = status;
    set(&mut answer, header::CONTENT_TYPE, content_type);
    set(&mut answer, header::CONTENT_LENGTH, &length.to_string());
    answer
}

/// Sets a header. A value that cannot be one (none of ours contains line breaks) is left out.
pub fn set(answer: &mut Answer, name: impl header::IntoHeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

impl From<Unroutable> for Refusal {
    fn from(problem: Unroutable) -> Self {
        match problem {
            Unroutable::NoSuchPath => {
                Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "the registry knows no such path")
            }
            Unroutable::WrongMethod => Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "UNSUPPORTED",
                "the operation is unsupported at this path",
            ),
            Unroutable::InvalidName(name) => Self::name_invalid(&name),
            Unroutable::InvalidDigest(digest) => Self::digest_invalid(format!("invalid digest '{digest}'")),
            Unroutable::NoSuchUpload => Self::upload_unknown(),
        }
    }
}

impl From<ManifestError> for Refusal {
    fn from(error: ManifestError) -> Self {
        let status = match error {
            ManifestError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, "MANIFEST_INVALID", error.to_string())
    }
}

impl From<BlobError> for Refusal {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::NoSuchBlob(_) => Self::blob_unknown(),
            BlobError::NoSuchUpload(_) => Self::upload_unknown(),
            BlobError::UploadBusy(_) => {
                Self::new(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID", error.to_string())
            }
            BlobError::WrongOffset { length, .. } => {
                Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", error.to_string())
                    .with_header(header::RANGE, super::range::held(length))
            }
            BlobError::DigestMismatch { .. } => Self::digest_invalid(error.to_string()),
            BlobError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", error.to_string())
            }
            BlobError::TooManyUploads { .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", error.to_string())
            }
            BlobError::StorageFull { .. } => Self::storage_full(),
            BlobError::Io { .. } => Self::internal(error),
        }
    }
}

impl From<CatalogError> for Refusal {
    fn from(error: CatalogError) -> Self {
        let text = error.to_string();
        match error {
            CatalogError::RepositoryNotFound { .. } => Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", text),
            CatalogError::ImageNotFound => Self::manifest_unknown(),
            CatalogError::TagImmutable { .. } => Self::new(StatusCode::BAD_REQUEST, "TAG_INVALID", text),
            CatalogError::LayersNotFound { .. } => {
                Self::new(StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", text)
            }
            CatalogError::ReferencedImagesNotFound { .. } => {
                Self::new(StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", text)
            }
            CatalogError::ReferencedByIndex { .. } | CatalogError::LayerInUse { .. } => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", text)
            }
            CatalogError::DigestMismatch { .. } => Self::digest_invalid(text),
            CatalogError::RepositoryAlreadyExists { .. }
            | CatalogError::RepositoryNotEmpty { .. }
            | CatalogError::ImageAlreadyExists { .. } => Self::new(StatusCode::CONFLICT, "DENIED", text),
            CatalogError::Manifest(error) => error.into(),
            CatalogError::Blob(error) => error.into(),
            CatalogError::State(error) => Self::internal(error),
        }
    }
}
