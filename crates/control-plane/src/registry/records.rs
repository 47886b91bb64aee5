//! What the registry keeps in the state store. Bytes (layers, manifests) are in the blob store; this is what points at them.

use std::collections::{BTreeMap, BTreeSet};

use blob_store::Digest;
use serde::{Deserialize, Serialize};
use state_store::{Record, Tables};
use vocabulary::{Scope, Timestamp};

use super::manifest::Descriptor;

const SERVICE: &str = "ecr";

/// A repository and its settings. Id: its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    pub name: String,
    pub created_at: Timestamp,
    pub mutability: Mutability,
    pub scan_on_push: bool,
    pub encryption: Encryption,
    /// The repository policy's text as it was given.
    pub policy: Option<String>,
    pub lifecycle: Option<Lifecycle>,
    pub preview: Option<Lifecycle>,
    pub tags: BTreeMap<String, String>,
}

/// Which tags may be moved to another image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutability {
    pub mode: MutabilityMode,
    /// Wildcard patterns of the tags for which the opposite holds; empty unless the mode is one with exclusion.
    pub exclusions: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MutabilityMode {
    Mutable,
    Immutable,
    ImmutableWithExclusion,
    MutableWithExclusion,
}

impl Mutability {
    /// Every tag may be moved: ECR's default.
    pub fn mutable() -> Self {
        Self { mode: MutabilityMode::Mutable, exclusions: Vec::new() }
    }

    /// Whether this tag, once given, stays where it is.
    pub fn fixes(&self, tag: &str) -> bool {
        let excluded = || self.exclusions.iter().any(|pattern| wildcard_matches(pattern, tag));
        match self.mode {
            MutabilityMode::Mutable => false,
            MutabilityMode::Immutable => true,
            MutabilityMode::ImmutableWithExclusion => !excluded(),
            MutabilityMode::MutableWithExclusion => excluded(),
        }
    }
}

/// Matches with `*` for any run of characters. Linear in both texts: on a mismatch only the last star takes one more.
pub fn wildcard_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut in_text) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while in_text < text.len() {
        if pattern.get(at) == Some(&b'*') {
            retry = Some((at + 1, in_text));
            at += 1;
        } else if pattern.get(at) == Some(&text[in_text]) {
            at += 1;
            in_text += 1;
        } else if let Some((after_star, taken)) = retry {
            retry = Some((after_star, taken + 1));
            at = after_star;
            in_text = taken + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// What the client asked for. Blobs lie on the machine's own disk, encrypted as that disk is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    pub kind: String,
    pub key: Option<String>,
}

/// A lifecycle policy's text and when it was last applied (or previewed).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    pub text: String,
    pub evaluated_at: Timestamp,
}

impl Record for Repository {
    const SERVICE: &'static str = SERVICE;
    const KIND: &'static str = "repository";
    const SCHEMA_VERSION: u32 = 1;
}

/// A manifest or index in a repository. Id: `NAME@DIGEST`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub repository: String,
    pub digest: Digest,
    pub media_type: String,
    pub artifact_type: Option<String>,
    /// Length of the manifest itself.
    pub manifest_bytes: u64,
    /// Sum of configuration and layers; an index has none.
    pub size_bytes: Option<u64>,
    pub pushed_at: Timestamp,
    pub last_pulled_at: Option<Timestamp>,
    /// In the order in which they were given.
    pub tags: Vec<String>,
    pub blobs: Vec<Digest>,
    pub children: Vec<Digest>,
    /// The indexes of this repository that refer to it; while there are any, it stays.
    pub parents: BTreeSet<Digest>,
    pub subject: Option<Digest>,
}

impl Image {
    pub fn id(repository: &str, digest: &Digest) -> String {
        format!("{repository}@{digest}")
    }
}

impl Record for Image {
    const SERVICE: &'static str = SERVICE;
    const KIND: &'static str = "image";
    const SCHEMA_VERSION: u32 = 1;
}

/// Where a tag points. Id: `NAME:TAG`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    pub name: String,
    pub digest: Digest,
}

impl Tag {
    pub fn id(repository: &str, tag: &str) -> String {
        format!("{repository}:{tag}")
    }
}

impl Record for Tag {
    const SERVICE: &'static str = SERVICE;
    const KIND: &'static str = "tag";
    const SCHEMA_VERSION: u32 = 1;
}

/// A blob that a repository holds, referred to or not. Id: `NAME@DIGEST`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    pub repository: String,
    pub digest: Digest,
    pub size_bytes: u64,
    pub pushed_at: Timestamp,
}

impl Layer {
    pub fn id(repository: &str, digest: &Digest) -> String {
        format!("{repository}@{digest}")
    }
}

impl Record for Layer {
    const SERVICE: &'static str = SERVICE;
    const KIND: &'static str = "layer";
    const SCHEMA_VERSION: u32 = 1;
}

/// One line of the referrers list of a subject. Id: `NAME@SUBJECT@DIGEST`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referrer {
    pub subject: Digest,
    pub descriptor: Descriptor,
    pub artifact_type: Option<String>,
    pub annotations: BTreeMap<String, String>,
}

impl Referrer {
    pub fn id(repository: &str, subject: &Digest, digest: &Digest) -> String {
        format!("{repository}@{subject}@{digest}")
    }
}

impl Record for Referrer {
    const SERVICE: &'static str = SERVICE;
    const KIND: &'static str = "referrer";
    const SCHEMA_VERSION: u32 = 1;
}

/// Written whenever a repository loses a layer, so that whoever relies on its layers can compare it. Id: the repository's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerFence {
    /// The layer that went last.
    pub removed: Digest,
}

impl Record for LayerFence {
    const SERVICE: &'static str = SERVICE;
    const KIND: &'static str = "layer-fence";
    const SCHEMA_VERSION: u32 = 1;
}

/// What repositories look like that come into being by themselves. Id: its prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Names below this (`team` means `team/...`), or [`Template::ROOT`] for all that no other template is for.
    pub prefix: String,
    pub description: Option<String>,
    pub mutability: Mutability,
    pub encryption: Encryption,
    pub policy: Option<String>,
    pub lifecycle: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// Whether a push creates the repository.
    pub on_push: bool,
    /// All purposes, in the API's words.
    pub applied_for: Vec<String>,
    pub role: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Template {
    pub const ROOT: &'static str = "ROOT";

    /// Whether it is for a repository of that name.
    pub fn is_for(&self, name: &str) -> bool {
        let prefix = self.prefix.trim_end_matches('/');
        self.prefix == Self::ROOT || name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether it is for repositories that replication makes.
    pub fn on_replication(&self) -> bool {
        self.applied_for.iter().any(|purpose| purpose == "REPLICATION")
    }

    /// The repository that it makes.
    pub fn repository(&self, name: &str, now: Timestamp) -> Repository {
        Repository {
            name: name.to_owned(),
            created_at: now,
            mutability: self.mutability.clone(),
            scan_on_push: false,
            encryption: self.encryption.clone(),
            policy: self.policy.clone(),
            lifecycle: self.lifecycle.clone().map(|text| Lifecycle { text, evaluated_at: now }),
            preview: None,
            tags: self.tags.clone(),
        }
    }
}

impl Record for Template {
    const SERVICE: &'static str = SERVICE;
    const KIND: &'static str = "template";
    const SCHEMA_VERSION: u32 = 1;
}

/// Where images of a registry appear as well. Id: [`Replication::ID`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replication {
    pub rules: Vec<ReplicationRule>,
    /// Images pushed before are left alone.
    pub since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationRule {
    pub destinations: Vec<Scope>,
    /// Beginnings of repository names; none means every repository.
    pub prefixes: Vec<String>,
}

impl Replication {
    pub const ID: &'static str = "rules";

    /// The registries that a repository's images go to, each once.
    pub fn destinations(&self, repository: &str) -> Vec<Scope> {
        let applies = |rule: &&ReplicationRule| {
            rule.prefixes.is_empty() || rule.prefixes.iter().any(|prefix| repository.starts_with(prefix))
        };
        let all = self.rules.iter().filter(applies).flat_map(|rule| rule.destinations.iter().cloned());
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl Record for Replication {
    const SERVICE: &'static str = SERVICE;
    const KIND: &'static str = "replication";
    const SCHEMA_VERSION: u32 = 1;
}

/// A principal whose pulls are not recorded, such as a scanner that pulls everything. Id: its ARN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullExclusion {
    pub principal: String,
    pub created_at: Timestamp,
}

impl Record for PullExclusion {
    const SERVICE: &'static str = SERVICE;
    const KIND: &'static str = "pull-exclusion";
    const SCHEMA_VERSION: u32 = 1;
}

/// Declares the tables of all of the above.
pub fn tables(tables: Tables) -> Tables {
    tables
        .with::<Repository>()
        .with::<Image>()
        .with::<Tag>()
        .with::<Layer>()
        .with::<Referrer>()
        .with::<LayerFence>()
        .with::<Template>()
        .with::<Replication>()
        .with::<PullExclusion>()
}
