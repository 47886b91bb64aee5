//! Rules of listeners, as they are kept: what a request must have, and what is done with it.

use serde::{Deserialize, Serialize};

use crate::services::tagging::Tags;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// 16 hex digits.
    pub id: String,
    pub conditions: Vec<Condition>,
    pub actions: Vec<Action>,
    pub transforms: Vec<Transform>,
    pub tags: Tags,
}

/// What a request must have. The values of one condition are alternatives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Condition {
    Path(Patterns),
    Host(Patterns),
    Header {
        name: String,
        patterns: Patterns,
    },
    /// Key, or none for any, and value.
    Query(Vec<(Option<String>, String)>),
    Method(Vec<String>),
    /// CIDR blocks.
    SourceIp(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Patterns {
    /// With `*` and `?`.
    Wildcard(Vec<String>),
    Regex(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Transform {
    Host { regex: String, replace: String },
    Url { regex: String, replace: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    pub order: Option<i32>,
    pub does: Does,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Does {
    Forward {
        groups: Vec<WeightedGroup>,
        /// How long a client stays with the group that it was given, in seconds; none: each request is given one anew.
        sticky_seconds: Option<u32>,
    },
    Redirect(Redirect),
    FixedResponse {
        status: u16,
        content_type: Option<String>,
        body: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightedGroup {
    pub arn: String,
    /// 0–999; none was given: 1.
    pub weight: Option<u16>,
}

/// Each part may hold `#{protocol}`, `#{host}`, `#{port}`, `#{path}`, `#{query}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    pub protocol: String,
    pub host: String,
    pub port: String,
    pub path: String,
    pub query: String,
    /// 301 rather than 302.
    pub permanent: bool,
}

impl Action {
    /// ARNs of the target groups that it forwards to.
    pub fn target_groups(&self) -> Vec<String> {
        match &self.does {
            Does::Forward { groups, .. } => groups.iter().map(|group| group.arn.clone()).collect(),
            Does::Redirect(_) | Does::FixedResponse { .. } => Vec::new(),
        }
    }
}
