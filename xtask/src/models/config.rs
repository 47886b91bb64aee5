//! `models/import.toml`: which package, which services, which operations.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub source: PinnedPackage,
    pub services: BTreeMap<String, Selection>,
    /// Services whose shapes only the wire tests use.
    pub tests: BTreeMap<String, Selection>,
}

/// The package that the models come from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedPackage {
    pub botocore: String,
    /// Digest of the wheel, hexadecimal.
    pub sha256: String,
}

/// The operations of one service.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Selection {
    Whole(Whole),
    Operations(Vec<String>),
}

/// The word `"all"`.
#[derive(Debug, Deserialize)]
pub enum Whole {
    #[serde(rename = "all")]
    All,
}

impl Config {
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("parse {}", path.display()))
    }
}
