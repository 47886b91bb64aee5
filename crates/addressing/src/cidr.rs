//! An IPv4 range in canonical form: the bits behind the prefix are always zero, so that equal ranges are equal values.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Serialize, de};

/// An IPv4 network: base address and prefix length (0–32). Ordered by base address, then prefix length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    base: u32,
    prefix_len: u8,
}

/// Why a text is not a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    #[error("'{0}' is not of the form A.B.C.D/LENGTH")]
    Syntax(String),
    #[error("a prefix length of {0} is outside 0–32")]
    PrefixLength(u8),
}

impl Cidr {
    /// The whole of IPv4, `0.0.0.0/0`.
    pub const ANYWHERE: Cidr = Cidr { base: 0, prefix_len: 0 };
    /// `169.254.0.0/16` (RFC 3927): metadata, credentials and resolver addresses live here.
    pub const LINK_LOCAL: Cidr = Cidr::constant([169, 254, 0, 0], 16);

    /// The range of `prefix_len` bits that contains `address`. Host bits are dropped, as EC2 does for
    /// VPCs, subnets and security group rules.
    pub fn new(address: Ipv4Addr, prefix_len: u8) -> Result<Cidr, CidrError> {
        if prefix_len > 32 {
            return Err(CidrError::PrefixLength(prefix_len));
        }
        Ok(Cidr { base: u32::from(address) & mask(prefix_len), prefix_len })
    }

    /// For ranges written in source; host bits are dropped, a length above 32 fails to compile.
    pub const fn constant(octets: [u8; 4], prefix_len: u8) -> Cidr {
        assert!(prefix_len <= 32);
        Cidr { base: u32::from_be_bytes(octets) & mask(prefix_len), prefix_len }
    }

    /// The range of one address, a /32.
    pub fn host(address: Ipv4Addr) -> Cidr {
        Cidr { base: u32::from(address), prefix_len: 32 }
    }

    pub fn base(self) -> Ipv4Addr {
        Ipv4Addr::from(self.base)
    }

    pub const fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    pub fn last(self) -> Ipv4Addr {
        Ipv4Addr::from(self.base | !mask(self.prefix_len))
    }

    /// How many addresses it spans, 1 to 2³².
    pub const fn size(self) -> u64 {
        1 << (32 - self.prefix_len)
    }

    /// The address `offset` behind the base, `None` when that lies outside.
    pub fn nth(self, offset: u32) -> Option<Ipv4Addr> {
        (u64::from(offset) < self.size()).then(|| Ipv4Addr::from(self.base + offset))
    }

    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix_len) == self.base
    }

    /// Whether every address of `other` is in this range (equal ranges cover each other).
    pub fn covers(self, other: Cidr) -> bool {
        self.prefix_len <= other.prefix_len && self.contains(other.base())
    }

    pub fn overlaps(self, other: Cidr) -> bool {
        self.covers(other) || other.covers(self)
    }
}

const fn mask(prefix_len: u8) -> u32 {
    match prefix_len {
        0 => 0,
        length => u32::MAX << (32 - length),
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Cidr, CidrError> {
        let syntax = || CidrError::Syntax(text.chars().take(64).collect());
        let (address, length) = text.split_once('/').ok_or_else(syntax)?;
        let digits = (1..=2).contains(&length.len()) && length.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || (length.len() == 2 && length.starts_with('0')) {
            return Err(syntax());
        }
        Cidr::new(address.parse().map_err(|_| syntax())?, length.parse().map_err(|_| syntax())?)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.base(), self.prefix_len)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Cidr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Cidr, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
