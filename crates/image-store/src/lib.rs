//! The node's image store: pulls images from OCI registries, unpacks them while they come in, and keeps their layers
//! as directories that overlayfs stacks, shared between images and tasks.
//!
//! The path of a layer: download (resumed when it breaks) → digest of the compressed bytes → decompression → digest
//! of the archive → entries created inside a temporary directory → checked → renamed to its place. Nothing is visible
//! under its final name before it is complete, so that a crash at any moment leaves only what `open` sweeps away.
//! Concurrent pulls of one layer share one download.
//!
//! Durability without waiting for the disk: a fresh layer is marked with the boot it was written in. A background
//! `syncfs` takes the mark off; after a crash of the machine, not merely of this process, layers that still bear the
//! mark of an earlier boot are thrown away, since their content may never have reached the disk.
//!
//! What it does not do: mount anything, run anything, push, or decide about credentials.

mod config;
mod digest;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod image;
mod limits;
mod manifest;
mod platform;
mod reference;
mod registry;
mod store;
mod tar;
mod unpack;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use config::{ImageConfig, ImageHealthcheck};
pub use digest::{Digest, InvalidDigest};
pub use error::{PullError, RegistryError, StoreError};
pub use image::{Image, Layer, OverlayError, OverlayLowers};
pub use limits::Limits;
pub use platform::{InvalidPlatform, Platform};
pub use reference::{InvalidReference, Reference};
pub use registry::{Credentials, Endpoint, InvalidEndpoint, Retries, Timeouts};
pub use store::{
    GcPolicy, GcReport, ImageStore, ImageSummary, Progress, ProgressFn, PullOptions, PullPolicy, RewriteFn,
    StoreOptions,
};
pub use unpack::UnpackError;
