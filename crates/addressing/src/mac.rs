//! Hardware addresses of interfaces. They begin with 02, as EC2's do: locally administered, unicast.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};
use vocabulary::Ids;

/// A 48-bit hardware address, written as six lower-case hexadecimal pairs with colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

/// Why a text is not a hardware address an interface may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    #[error("'{0}' is not six hexadecimal pairs with colons")]
    Syntax(String),
    #[error("{0} is a group address, an interface needs a unicast one")]
    Group(MacAddress),
}

impl MacAddress {
    /// Refuses group (multicast and broadcast) addresses.
    pub fn new(octets: [u8; 6]) -> Result<MacAddress, MacError> {
        match octets[0] & 1 {
            0 => Ok(MacAddress(octets)),
            _ => Err(MacError::Group(MacAddress(octets))),
        }
    }

    /// `02:` and forty bits from `ids`. Two interfaces of one VPC may not share one: the caller checks.
    pub fn generate(ids: &mut impl Ids) -> MacAddress {
        let mut octets = [0; 6];
        ids.fill(&mut octets);
        octets[0] = 0x02;
        MacAddress(octets)
    }

    pub const fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for MacAddress {
    type Err = MacError;

    fn from_str(text: &str) -> Result<MacAddress, MacError> {
        let syntax = || MacError::Syntax(text.chars().take(64).collect());
        let mut octets = [0; 6];
        let mut pairs = text.split(':');
        for octet in &mut octets {
            let pair = pairs.next().ok_or_else(syntax)?;
            if pair.len() != 2 || !pair.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(syntax());
            }
            *octet = u8::from_str_radix(pair, 16).map_err(|_| syntax())?;
        }
        match pairs.next() {
            None => MacAddress::new(octets),
            Some(_) => Err(syntax()),
        }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for MacAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<MacAddress, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
