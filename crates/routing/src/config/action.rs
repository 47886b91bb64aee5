//! What a rule does with a request. Source of the forms: `Action` and `RuleTransform` of the ELBv2 model.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Forward(Forward),
    Redirect(Redirect),
    FixedResponse(FixedResponse),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    pub target_groups: Vec<WeightedTargetGroup>,
    /// How long a client stays with the target group it was given first (cookie `AWSALBTG`); unset when that is not asked for.
    pub stickiness_seconds: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightedTargetGroup {
    pub arn: String,
    /// 0 to 999; with 0 it gets nothing.
    pub weight: u32,
}

/// The parts of the address that the client is sent to. They may hold `#{protocol}`, `#{host}`, `#{port}`, `#{path}`
/// (without the leading slash) and `#{query}` of the request's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    pub protocol: RedirectProtocol,
    /// `#{host}` when the request did not say.
    pub host: String,
    /// 1 to 65535 or `#{port}`.
    pub port: String,
    /// With its leading slash: `/#{path}`.
    pub path: String,
    /// Without the question mark: `#{query}`.
    pub query: String,
    pub code: RedirectCode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectProtocol {
    Http,
    Https,
    /// `#{protocol}`.
    AsRequested,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectCode {
    /// 301.
    Permanent,
    /// 302.
    Found,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedResponse {
    /// 2xx, 4xx or 5xx.
    pub status: u16,
    /// Of the body, when there is one.
    pub content_type: Option<String>,
    /// At most 1,024 characters.
    pub body: String,
}

/// A change of the request before it is forwarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// Of the value of `Host`.
    Host(Rewrite),
    /// Of path and query.
    Url(Rewrite),
}

/// Where the expression matches first, the match becomes the replacement, in which `$1` to `$9` are its groups. A value that does not
/// match stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    pub regex: String,
    pub replace: String,
}
