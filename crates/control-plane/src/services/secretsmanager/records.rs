//! What Secrets Manager keeps.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use state_store::Record;
use vocabulary::{Scope, Timestamp};

use crate::services::tagging::Tags;

pub const CURRENT: &str = "AWSCURRENT";
pub const PREVIOUS: &str = "AWSPREVIOUS";
pub const PENDING: &str = "AWSPENDING";

/// A secret, without its values; its id is its name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Secret {
    pub name: String,
    /// Six characters behind the name in the ARN, so that a later secret of the same name is another.
    pub suffix: String,
    pub description: Option<String>,
    /// As it was given; none: the service's own key.
    pub kms_key: Option<String>,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
    /// The day on which a value was last given out, at midnight.
    pub accessed_on: Option<Timestamp>,
    pub rotated_at: Option<Timestamp>,
    pub deletion: Option<Deletion>,
    /// The policy document, as it was written.
    pub policy: Option<String>,
    pub rotation: Option<Rotation>,
    /// By version id.
    pub versions: BTreeMap<String, Version>,
    /// In other regions, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replicas: BTreeMap<String, Replica>,
    /// The region of the secret that this one is a replica of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_of: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: Tags,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Deletion {
    pub marked_at: Timestamp,
    /// When it is gone for good.
    pub at: Timestamp,
}

/// One value's circumstances.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Version {
    pub created_at: Timestamp,
    pub stages: BTreeSet<String>,
    /// The ARN of the key that its value is encrypted with; none while a rotation has not given it one.
    pub key_arn: Option<String>,
    pub accessed_on: Option<Timestamp>,
}

/// How a secret is rotated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    pub enabled: bool,
    /// The ARN of a task definition: what it runs gives the secret its next value.
    pub hook: String,
    pub rules: Rules,
    /// Empty unless it is on.
    pub next: Option<Timestamp>,
    /// The version that a rotation under way is to make current.
    pub pending: Option<Pending>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub version_id: String,
    pub begun_at: Timestamp,
    /// The ARN of the task that does it, once it was started.
    pub task_arn: Option<String>,
}

/// When a secret is rotated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    pub after_days: Option<i64>,
    /// `rate(…)`
    pub schedule: Option<String>,
    /// `3h`
    pub window: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    pub kms_key: Option<String>,
    /// Why there is none.
    pub failure: Option<String>,
}

impl Record for Secret {
    const SERVICE: &'static str = "secretsmanager";
    const KIND: &'static str = "secret";
    const SCHEMA_VERSION: u32 = 1;
}

impl Secret {
    pub fn arn(&self, scope: &Scope) -> String {
        arn(scope, &self.name, &self.suffix)
    }

    /// The version that a stage is attached to.
    pub fn at(&self, stage: &str) -> Option<(&String, &Version)> {
        self.versions.iter().find(|(_, version)| version.stages.contains(stage))
    }

    /// Moves `stage` to the version `id`, which is there. Moving `AWSCURRENT` leaves `AWSPREVIOUS` where it was.
    pub fn attach(&mut self, stage: &str, id: &str) {
        if stage == CURRENT
            && let Some(before) = self.at(CURRENT).map(|(before, _)| before.clone())
            && before != id
        {
            self.attach(PREVIOUS, &before);
        }
        for version in self.versions.values_mut() {
            version.stages.remove(stage);
        }
        if let Some(version) = self.versions.get_mut(id) {
            version.stages.insert(stage.to_owned());
            // What was the one before is no longer when it is current again.
            if stage == CURRENT {
                version.stages.remove(PREVIOUS);
            }
        }
    }
}

pub fn arn(scope: &Scope, name: &str, suffix: &str) -> String {
    scope.arn("secretsmanager", format_args!("secret:{name}-{suffix}")).to_string()
}

/// The value of a version; its id is `NAME/SUFFIX/VERSION`, which no later secret of the same name has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretValue {
    /// The ciphertext that KMS made of it, in base 64.
    pub blob: String,
    pub binary: bool,
}

impl Record for SecretValue {
    const SERVICE: &'static str = "secretsmanager";
    const KIND: &'static str = "value";
    const SCHEMA_VERSION: u32 = 1;
}

pub fn value_id(secret: &Secret, version_id: &str) -> String {
    format!("{}/{}/{version_id}", secret.name, secret.suffix)
}
