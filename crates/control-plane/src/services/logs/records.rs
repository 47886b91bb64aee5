//! What the service keeps: groups, streams and resource policies. Events are in the telemetry store.
//!
//! A group carries an incarnation, made fresh when it is created. Streams name the incarnation that they belong to, and
//! events lie in the telemetry store under group name and incarnation. Deleting a group is therefore one small
//! transaction whatever it holds: what is left of the old incarnation is invisible at once and swept up later,
//! and a group of the same name begins empty.

use serde::{Deserialize, Serialize};
use state_store::Record;
use telemetry_store::LogGroupKey;
use vocabulary::{Scope, Timestamp};

use crate::services::tagging::Tags;

/// A log group. Id: its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub name: String,
    pub incarnation: String,
    pub created: Timestamp,
    pub class: String,
    /// `None` keeps events for ever.
    #[serde(default)]
    pub retention_days: Option<u32>,
    #[serde(default)]
    pub deletion_protection: bool,
    #[serde(default)]
    pub tags: Tags,
}

/// A log stream. Id: see [`stream_id`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    pub name: String,
    pub incarnation: String,
    pub created: Timestamp,
}

/// A resource policy of the account. Id: its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourcePolicy {
    pub name: String,
    pub document: String,
    pub updated: Timestamp,
}

impl Record for Group {
    const SERVICE: &'static str = "logs";
    const KIND: &'static str = "group";
    const SCHEMA_VERSION: u32 = 1;
}

impl Record for Stream {
    const SERVICE: &'static str = "logs";
    const KIND: &'static str = "stream";
    const SCHEMA_VERSION: u32 = 1;
}

impl Record for ResourcePolicy {
    const SERVICE: &'static str = "logs";
    const KIND: &'static str = "resource-policy";
    const SCHEMA_VERSION: u32 = 1;
}

/// `GROUP:STREAM`; neither name may hold a colon.
pub fn stream_id(group: &str, stream: &str) -> String {
    format!("{group}:{stream}")
}

impl Group {
    /// Where the group's events lie in the telemetry store.
    pub fn events(&self, scope: &Scope) -> LogGroupKey {
        LogGroupKey::new(scope.clone(), format!("{}:{}", self.name, self.incarnation))
    }

    pub fn arn(&self, scope: &Scope) -> String {
        scope.arn("logs", format_args!("log-group:{}", self.name)).to_string()
    }

    /// Events before this time are expired at `now`, whether they are still on disk or not.
    pub fn oldest_kept(&self, now: Timestamp) -> Option<Timestamp> {
        let days = i64::from(self.retention_days?);
        Some(Timestamp::from_millis(now.as_millis().saturating_sub(days * 86_400_000)))
    }
}

/// The group's name in a key made by [`Group::events`].
pub fn group_of_events(key: &LogGroupKey) -> (&str, &str) {
    key.group.rsplit_once(':').unwrap_or((&key.group, ""))
}
