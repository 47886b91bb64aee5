//! What a pull or the store can fail with.
//!
//! The texts are those that ECS users know from stopped tasks, so that what they find when they search for one is
//! about their problem; the agent puts `CannotPullContainerError: ` in front. Addresses are shown without their
//! query, which may hold a signature.

use std::{io, path::PathBuf, sync::Arc};

use crate::{digest::Digest, platform::Platform, unpack::UnpackError};

/// Why an image could not be pulled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PullError {
    /// The registry did not give the manifest.
    #[error(
        "pull image manifest has been retried {attempts} time(s): failed to resolve ref {reference}: {cause}"
    )]
    Resolve { reference: String, attempts: u32, cause: RegistryError },
    /// The manifest or configuration is not what this store understands.
    #[error("failed to resolve ref {reference}: {detail}")]
    Unsupported { reference: String, detail: String },
    /// No image for the asked platform.
    #[error("image Manifest does not contain descriptor matching platform '{platform}'")]
    Platform { platform: Platform },
    /// The registry did not give a configuration or layer.
    #[error(
        "ref pull has been retried {attempts} time(s): failed to copy: httpReadSeeker: failed open: {cause}"
    )]
    Copy { attempts: u32, cause: RegistryError },
    /// Content that is not what its digest says.
    #[error("failed to copy: unexpected commit digest {actual}, expected {expected}: failed precondition")]
    Digest { expected: Digest, actual: Digest },
    /// A layer's archive was refused or could not be written.
    #[error("failed to extract layer {layer}: {cause}")]
    Extract { layer: Digest, cause: UnpackError },
    /// Not enough room, found before or while unpacking.
    #[error("failed to extract layer: write {path}: no space left on device{detail}")]
    NoSpace { path: PathBuf, detail: String },
    /// The image exceeds one of the [`Limits`](crate::Limits).
    #[error("image {reference} is refused: {what} is over the limit of {limit}")]
    OverLimit { reference: String, what: String, limit: u64 },
    /// The image must be present already (policy) and is not.
    #[error("image {reference} is not present and the pull policy does not allow pulling it")]
    NotPresent { reference: String },
    /// The store itself failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why one request to a registry gave no answer to use.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegistryError {
    #[error("not found")]
    NotFound,
    #[error(
        "pull access denied, repository does not exist or may require authorization{}",
        server_message(.message)
    )]
    Denied { message: String },
    #[error("failed to authorize: failed to fetch {kind} token: {detail}")]
    Token { kind: &'static str, detail: String },
    #[error("unexpected status from {method} request to {url}: {status}{}", server_message(.message))]
    Status { method: &'static str, url: String, status: http::StatusCode, message: String },
    #[error("failed to do request: {verb} \"{url}\": {detail}", verb = title_case(.method))]
    Transport { method: &'static str, url: String, detail: String },
    #[error("unexpected content from {url}: {detail}")]
    Content { url: String, detail: String },
}

impl RegistryError {
    /// Whether asking again may help: transport failures, server errors and "too many requests".
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            RegistryError::Transport { .. } => true,
            RegistryError::Status { status, .. } => {
                status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
            }
            _ => false,
        }
    }
}

fn server_message(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": server message: {message}") }
}

fn title_case(method: &str) -> &'static str {
    match method {
        "HEAD" => "Head",
        _ => "Get",
    }
}

/// Why the store's own files could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("image store: {doing} {path}: {source}")]
    Io { doing: &'static str, path: PathBuf, source: Arc<io::Error> },
    #[error("image store {path} is in use by another process")]
    Locked { path: PathBuf },
    #[error("image store {path} has layout version {found}, this program understands {known}")]
    Layout { path: PathBuf, found: String, known: u32 },
    #[error("image {name} is not in the store")]
    UnknownImage { name: String },
    #[error("image {name} is in use by {user}")]
    InUse { name: String, user: String },
    #[error("image store: a background task ended early: {detail}")]
    Task { detail: String },
    #[error("TLS cannot be set up: {detail}")]
    Tls { detail: String },
}

impl StoreError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.into();
        move |source| StoreError::Io { doing, path, source: Arc::new(source) }
    }
}
