//! Accounts and regions: validated once at the edge, then carried as types that cannot be wrong.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// An AWS account: exactly twelve decimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(Arc<str>);

/// A region name. Any name of AWS's form works (`us-east-1`, `eu-example-9`): a platform on one's own machines
/// has no fixed list of regions.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(Arc<str>);

/// Text that is not an account id or a region name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentity {
    #[error("`{0}` is not an account id: it must be 12 digits")]
    Account(String),
    #[error(
        "`{0}` is not a region name: it must be 1 to 63 lower-case letters, digits and hyphens, and begin with a letter"
    )]
    Region(String),
}

impl AccountId {
    /// The account that a local platform answers as when nothing else is said.
    pub fn local() -> AccountId {
        AccountId("000000000000".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` has the form of an account id.
    pub fn is_valid(text: &str) -> bool {
        text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
    }
}

impl Region {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` has the form of a region name.
    pub fn is_valid(text: &str) -> bool {
        (1..=63).contains(&text.len())
            && text.as_bytes()[0].is_ascii_lowercase()
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    }
}

impl FromStr for AccountId {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if AccountId::is_valid(text) {
            Ok(AccountId(text.into()))
        } else {
            Err(InvalidIdentity::Account(text.to_owned()))
        }
    }
}

impl FromStr for Region {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if Region::is_valid(text) {
            Ok(Region(text.into()))
        } else {
            Err(InvalidIdentity::Region(text.to_owned()))
        }
    }
}

macro_rules! text_conversions {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = InvalidIdentity;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_conversions!(AccountId);
text_conversions!(Region);
