//! Almost everything AWS keeps belongs to one account in one region.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AccountId, Arn, Region};

/// An account in a region: the name space of clusters, repositories, log groups and the like.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    pub account: AccountId,
    pub region: Region,
}

impl Scope {
    pub fn new(account: AccountId, region: Region) -> Scope {
        Scope { account, region }
    }

    /// The ARN of `resource` of `service` in this account and region.
    pub fn arn(&self, service: &str, resource: impl fmt::Display) -> Arn {
        Arn::new(service, self.region.as_str(), self.account.as_str(), resource.to_string())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}
