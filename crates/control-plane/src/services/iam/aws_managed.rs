//! The managed policies that AWS itself provides, as far as container workloads and those who run them use them.
//!
//! Names, paths, versions and documents are AWS's, in `aws_managed.json`; of each policy there is the present version only. Unique
//! ids are derived from the ARN.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use vocabulary::{Ids, Timestamp};

use super::{
    names,
    records::{Policy, Version},
};

#[derive(Deserialize)]
struct Written<'a> {
    name: String,
    path: String,
    /// `v6`
    version: String,
    created: i64,
    updated: i64,
    #[serde(borrow)]
    document: &'a RawValue,
}

/// All of them, by ARN.
pub static POLICIES: LazyLock<BTreeMap<String, Arc<Policy>>> = LazyLock::new(|| {
    let written: Vec<Written<'_>> =
        serde_json::from_str(include_str!("aws_managed.json")).expect("the policies are valid JSON");
    written.into_iter().map(policy).collect()
});

/// Ids that are always the same for the same ARN.
struct FromDigest([u8; 32]);

impl Ids for FromDigest {
    fn fill(&mut self, bytes: &mut [u8]) {
        for (byte, from) in bytes.iter_mut().zip(self.0) {
            *byte = from;
        }
    }
}

fn policy(written: Written<'_>) -> (String, Arc<Policy>) {
    let arn = format!("arn:aws:iam::aws:policy{}{}", written.path, written.name);
    let digest: [u8; 32] = Sha256::digest(arn.as_bytes()).into();
    let number = written.version.trim_start_matches('v').parse().expect("a version is v and a number");
    let version = Version {
        document: written.document.get().to_owned(),
        created_at: Timestamp::from_millis(written.updated),
    };
    let policy = Policy {
        name: written.name,
        path: written.path,
        id: names::unique_id(&mut FromDigest(digest), "ANPA"),
        description: None,
        created_at: Timestamp::from_millis(written.created),
        updated_at: Timestamp::from_millis(written.updated),
        tags: BTreeMap::new(),
        versions: BTreeMap::from([(number, version)]),
        default_version: number,
        next_version: number + 1,
    };
    (arn, Arc::new(policy))
}
