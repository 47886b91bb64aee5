//! The image configuration: what an image says about how to run it.
//!
//! Read from the OCI image configuration, which Docker's is a superset of (`Healthcheck`, `OnBuild`, `Shell`).
//! Writers differ in what they leave out or set to null; both read as absent.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer};

use crate::{digest::Digest, platform::Platform};

/// The parts of an image's configuration that matter for running it. Missing members are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    pub os: String,
    pub architecture: String,
    pub variant: Option<String>,
    /// RFC 3339 time, as written by the builder.
    pub created: Option<String>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// `NAME=VALUE` strings in the image's order.
    pub env: Vec<String>,
    /// Empty means `/`.
    pub working_dir: String,
    /// `user`, `uid`, `user:group` or `uid:gid`; empty means root.
    pub user: String,
    /// `PORT/PROTOCOL`, sorted.
    pub exposed_ports: Vec<String>,
    /// Paths that should be volumes, sorted.
    pub volumes: Vec<String>,
    /// A name (`SIGQUIT`) or a number; none means SIGTERM.
    pub stop_signal: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// Docker's extension; none when the image has none.
    pub healthcheck: Option<ImageHealthcheck>,
}

/// Docker's `HEALTHCHECK`. Absent durations and retries mean "the default of whoever runs it".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageHealthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`.
    pub test: Vec<String>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub start_period: Option<Duration>,
    pub retries: Option<u32>,
}

/// The configuration, and the digests of its layers' uncompressed archives, lowest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParsedConfig {
    pub(crate) config: ImageConfig,
    pub(crate) diff_ids: Vec<Digest>,
}

/// Reads a configuration blob. The error says what is wrong with it.
pub(crate) fn parse(bytes: &[u8]) -> Result<ParsedConfig, String> {
    let wire: WireImage = serde_json::from_slice(bytes).map_err(|e| format!("image config: {e}"))?;
    let diff_ids = wire.rootfs.map(|r| r.diff_ids).unwrap_or_default();
    let run = wire.config.unwrap_or_default();
    let config = ImageConfig {
        os: wire.os,
        architecture: wire.architecture,
        variant: wire.variant.filter(|v| !v.is_empty()),
        created: wire.created,
        entrypoint: run.entrypoint,
        cmd: run.cmd,
        env: run.env,
        working_dir: run.working_dir,
        user: run.user,
        exposed_ports: run.exposed_ports.into_keys().collect(),
        volumes: run.volumes.into_keys().collect(),
        stop_signal: run.stop_signal.filter(|s| !s.is_empty()),
        labels: run.labels,
        healthcheck: run.healthcheck.and_then(WireHealthcheck::into_domain),
    };
    Ok(ParsedConfig { config, diff_ids })
}

impl ImageConfig {
    /// The platform the image was built for; none when the configuration does not say.
    pub fn platform(&self) -> Option<Platform> {
        (!self.os.is_empty() && !self.architecture.is_empty())
            .then(|| Platform::new(&self.os, &self.architecture, self.variant.as_deref()))
    }
}

#[derive(Deserialize)]
struct WireImage {
    #[serde(default, deserialize_with = "null_as_default")]
    os: String,
    #[serde(default, deserialize_with = "null_as_default")]
    architecture: String,
    variant: Option<String>,
    created: Option<String>,
    config: Option<WireRunConfig>,
    rootfs: Option<WireRootfs>,
}

#[derive(Deserialize)]
struct WireRootfs {
    #[serde(default, deserialize_with = "null_as_default")]
    diff_ids: Vec<Digest>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct WireRunConfig {
    #[serde(deserialize_with = "null_as_default")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    cmd: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    env: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    working_dir: String,
    #[serde(deserialize_with = "null_as_default")]
    user: String,
    #[serde(deserialize_with = "null_as_default")]
    exposed_ports: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(deserialize_with = "null_as_default")]
    volumes: BTreeMap<String, serde::de::IgnoredAny>,
    stop_signal: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    labels: BTreeMap<String, String>,
    healthcheck: Option<WireHealthcheck>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct WireHealthcheck {
    #[serde(deserialize_with = "null_as_default")]
    test: Vec<String>,
    interval: Option<i64>,
    timeout: Option<i64>,
    start_period: Option<i64>,
    retries: Option<i64>,
}

impl WireHealthcheck {
    /// An empty test means "inherit", which for a finished image is no check at all.
    fn into_domain(self) -> Option<ImageHealthcheck> {
        let nanoseconds = |n: Option<i64>| {
            n.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0).map(Duration::from_nanos)
        };
        (!self.test.is_empty()).then(|| ImageHealthcheck {
            interval: nanoseconds(self.interval),
            timeout: nanoseconds(self.timeout),
            start_period: nanoseconds(self.start_period),
            retries: self.retries.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0),
            test: self.test,
        })
    }
}

fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
