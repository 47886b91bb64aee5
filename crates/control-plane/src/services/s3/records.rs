//! What S3 keeps. Buckets are known by their names across all accounts, so everything lies in the platform's own scope.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use state_store::Record;
use vocabulary::{AccountId, Region, Timestamp};

use super::{
    content::Piece,
    digests::{Algorithm, Checksum, Extent},
};
use crate::services::tagging::Tags;

/// A bucket; its id is its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    pub name: String,
    pub owner: AccountId,
    pub region: Region,
    pub created_at: Timestamp,
    pub tags: Tags,
    /// The policy document as it was given.
    pub policy: Option<String>,
    /// None: taken away; everything is let through then that the policy allows.
    pub public_access: Option<PublicAccessBlock>,
}

impl Record for Bucket {
    const SERVICE: &'static str = "s3";
    const KIND: &'static str = "bucket";
    const SCHEMA_VERSION: u32 = 1;
}

/// What is kept from the public. The two about access lists have no effect, as there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicAccessBlock {
    pub block_acls: bool,
    pub ignore_acls: bool,
    /// A policy that lets the public in is refused.
    pub block_policy: bool,
    /// A policy that lets the public in lets in nobody but the bucket's own account.
    pub restrict_buckets: bool,
}

impl PublicAccessBlock {
    /// What a new bucket has.
    pub const ALL: PublicAccessBlock =
        PublicAccessBlock { block_acls: true, ignore_acls: true, block_policy: true, restrict_buckets: true };
}

/// What an object says of itself: the headers that it was put with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub content_disposition: Option<String>,
    pub cache_control: Option<String>,
    pub expires: Option<String>,
    /// `x-amz-meta-…`, without the prefix.
    pub metadata: BTreeMap<String, String>,
}

/// An object; its id is `BUCKET/KEY`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    pub length: u64,
    pub pieces: Vec<Piece>,
    /// Whether it was uploaded in parts, which then are its pieces.
    pub in_parts: bool,
    /// Without quotes.
    pub etag: String,
    pub checksum: Checksum,
    pub modified_at: Timestamp,
    pub description: Description,
    pub tags: Tags,
}

impl Record for Object {
    const SERVICE: &'static str = "s3";
    const KIND: &'static str = "object";
    const SCHEMA_VERSION: u32 = 1;
}

/// An upload in parts; its id is `BUCKET/ID`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub id: String,
    pub bucket: String,
    pub key: String,
    pub initiated_at: Timestamp,
    /// Who began it: the principal's ARN.
    pub initiator: String,
    pub description: Description,
    pub tags: Tags,
    pub algorithm: Algorithm,
    pub extent: Extent,
    /// How often a part has taken another's place.
    pub replaced: u64,
    /// Whether the client named the algorithm, and so has to give each part's checksum when it completes a composite one.
    pub chosen: bool,
}

impl Record for Upload {
    const SERVICE: &'static str = "s3";
    const KIND: &'static str = "upload";
    const SCHEMA_VERSION: u32 = 1;
}

/// A part; its id is `UPLOAD/NUMBER`, the number with five digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub number: u32,
    pub piece: Piece,
    /// Without quotes.
    pub etag: String,
    /// Of the upload's algorithm, in base 64.
    pub checksum: String,
    /// What the client checked it with, where that is another kind.
    pub given: Option<(Algorithm, String)>,
    pub modified_at: Timestamp,
}

impl Record for Part {
    const SERVICE: &'static str = "s3";
    const KIND: &'static str = "part";
    const SCHEMA_VERSION: u32 = 1;
}

pub fn object_id(bucket: &str, key: &str) -> String {
    format!("{bucket}/{key}")
}

pub fn upload_id(bucket: &str, id: &str) -> String {
    format!("{bucket}/{id}")
}

pub fn part_id(upload: &str, number: u32) -> String {
    format!("{upload}/{number:05}")
}
