//! What a pull is asked to do, and what it tells on the way.

use std::{fmt, sync::Arc};

use crate::{
    digest::Digest,
    platform::Platform,
    registry::{Credentials, Endpoint},
};

/// Gives the address of the registry that a reference names (`ACCOUNT.dkr.ecr.REGION.amazonaws.com`,
/// `docker.io`, …) where it is not the usual one; none leaves it at that.
pub type RewriteFn = Arc<dyn Fn(&str) -> Option<Endpoint> + Send + Sync>;

/// Hears how a pull comes along. Called often and from several threads: it should return at once.
pub type ProgressFn = Arc<dyn Fn(Progress) + Send + Sync>;

/// When the registry is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullPolicy {
    /// The registry says what the reference means now; layers that are present are not downloaded again.
    #[default]
    Always,
    /// As `Always`, but a present image serves when the registry cannot be reached (not when it refuses).
    AlwaysOrPresent,
    /// A present image serves without asking.
    IfNotPresent,
    /// Only a present image will do.
    Never,
}

/// How to pull.
#[derive(Clone, Default)]
pub struct PullOptions {
    pub credentials: Credentials,
    /// This machine's unless said otherwise.
    pub platform: Platform,
    pub policy: PullPolicy,
    /// Registries (`HOST` or `HOST:PORT`) to reach by plain HTTP. Those on loopback are anyway.
    pub plain_http_hosts: Vec<String>,
    pub rewrite: Option<RewriteFn>,
    pub progress: Option<ProgressFn>,
    /// Pins the image for this holder before the pull returns (see [`ImageStore::pin`]), so that no garbage
    /// collection comes between.
    pub pin_for: Option<String>,
}

impl fmt::Debug for PullOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullOptions")
            .field("credentials", &self.credentials)
            .field("platform", &self.platform)
            .field("policy", &self.policy)
            .field("plain_http_hosts", &self.plain_http_hosts)
            .field("pin_for", &self.pin_for)
            .finish_non_exhaustive()
    }
}

/// What happens in a pull, in this order: `Resolved` once, then the layers' in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The image is known: its digest, and how many bytes in how many layers are to be downloaded.
    Resolved { manifest_digest: Digest, layers: usize, download_bytes: u64 },
    /// So many compressed bytes of all layers have arrived, counted over this pull.
    Downloaded { bytes: u64 },
    /// A layer is complete; `was_present` when nothing had to be downloaded by this pull.
    LayerReady { diff_id: Digest, was_present: bool },
}
