//! What a rule asks of a request. Source of the forms: `RuleCondition` of the ELBv2 model and the application load
//! balancer's guide on conditions.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

/// One condition; it holds when any of its values does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The path, without the query. Wildcards are case-sensitive here.
    Path(Vec<Pattern>),
    /// The host's name without the port, whatever its case.
    Host(Vec<Pattern>),
    /// A header's value, whatever its case, of any of the lines with that name.
    Header { name: String, values: Vec<Pattern> },
    /// Any parameter of the query, whatever its case.
    Query(Vec<QueryPattern>),
    /// The method, exactly.
    Method(Vec<String>),
    /// Where the connection comes from; `X-Forwarded-For` does not count.
    Source(Vec<AddressRange>),
}

/// How a value is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// `*` stands for any characters or none, `?` for exactly one; a backslash takes the meaning from what follows.
    Wildcard(String),
    /// A regular expression that has to match somewhere in the value.
    Regex(String),
}

/// A parameter: `key=value` when there is a key, else any parameter with that value. Wildcards in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryPattern {
    pub key: Option<String>,
    pub value: String,
}

/// A block of addresses, as text `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    base: IpAddr,
    prefix_bits: u8,
}

/// Text that is no block of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a block of addresses")]
pub struct InvalidAddressRange(pub String);

impl AddressRange {
    /// Whether the address is in the block. An IPv4 address is never in a block of IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix_bits)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix_bits)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for AddressRange {
    type Err = InvalidAddressRange;

    fn from_str(text: &str) -> Result<AddressRange, InvalidAddressRange> {
        let invalid = || InvalidAddressRange(text.to_owned());
        let (base, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let base: IpAddr = base.parse().map_err(|_| invalid())?;
        let prefix_bits: u8 = prefix.parse().map_err(|_| invalid())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        if prefix_bits > most {
            return Err(invalid());
        }
        Ok(AddressRange { base, prefix_bits })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix_bits)
    }
}

impl TryFrom<String> for AddressRange {
    type Error = InvalidAddressRange;

    fn try_from(text: String) -> Result<AddressRange, InvalidAddressRange> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> String {
        range.to_string()
    }
}
