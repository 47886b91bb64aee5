//! Ranges of VPCs and subnets: what EC2 accepts, and which ones the defaults get.
//!
//! Every task's address is reachable from the host, whichever account or region it belongs to, so ranges of all VPCs
//! on a machine differ, and differ from what the machine already routes. AWS gives every default VPC 172.31.0.0/16;
//! here the first one gets it and each further one the next free /16.

use std::net::Ipv4Addr;

use crate::Cidr;

/// The range of the first default VPC, as everywhere on AWS.
pub const FIRST_DEFAULT_VPC: Cidr = Cidr::constant([172, 31, 0, 0], 16);
/// A default VPC has one default subnet in each of this many zones.
pub const DEFAULT_SUBNETS: usize = 3;
/// Prefix lengths that EC2 accepts for VPCs and for subnets.
pub const PREFIX_LENGTHS: std::ops::RangeInclusive<u8> = 16..=28;

/// Ranges no VPC can have: "this" network, loopback, link-local, multicast and reserved.
const FORBIDDEN: [Cidr; 4] = [
    Cidr::constant([0, 0, 0, 0], 8),
    Cidr::constant([127, 0, 0, 0], 8),
    Cidr::LINK_LOCAL,
    Cidr::constant([224, 0, 0, 0], 3),
];

/// Why a range cannot be a VPC's or a subnet's. The EC2 error code stands beside each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// `InvalidVpc.Range`.
    #[error("the VPC range {0} is not between /16 and /28")]
    VpcSize(Cidr),
    /// `InvalidParameterValue`.
    #[error("the VPC range {0} overlaps {1}, which cannot be used for networks")]
    Forbidden(Cidr, Cidr),
    /// `InvalidVpc.Range`.
    #[error("the VPC range {0} overlaps {1}, which this machine already routes")]
    Routed(Cidr, Cidr),
    /// `InvalidSubnet.Range`.
    #[error("the subnet range {0} is not between /16 and /28")]
    SubnetSize(Cidr),
    /// `InvalidSubnet.Range`.
    #[error("the subnet range {subnet} is not inside its VPC's range {vpc}")]
    OutsideVpc { subnet: Cidr, vpc: Cidr },
    /// `InvalidSubnet.Conflict`.
    #[error("the subnet range {0} overlaps the existing subnet {1}")]
    Conflict(Cidr, Cidr),
}

/// Whether `vpc` can be a VPC's range beside `taken`: other VPCs' ranges and what the machine routes.
pub fn check_vpc(vpc: Cidr, taken: &[Cidr]) -> Result<(), RangeError> {
    if !PREFIX_LENGTHS.contains(&vpc.prefix_len()) {
        return Err(RangeError::VpcSize(vpc));
    }
    if let Some(forbidden) = FORBIDDEN.into_iter().find(|range| range.overlaps(vpc)) {
        return Err(RangeError::Forbidden(vpc, forbidden));
    }
    match first_overlap(vpc, taken) {
        Some(routed) => Err(RangeError::Routed(vpc, routed)),
        None => Ok(()),
    }
}

/// Whether `subnet` can be one of `vpc` beside the VPC's `existing` subnets.
pub fn check_subnet(subnet: Cidr, vpc: Cidr, existing: &[Cidr]) -> Result<(), RangeError> {
    if !PREFIX_LENGTHS.contains(&subnet.prefix_len()) {
        return Err(RangeError::SubnetSize(subnet));
    }
    if !vpc.covers(subnet) {
        return Err(RangeError::OutsideVpc { subnet, vpc });
    }
    match first_overlap(subnet, existing) {
        Some(other) => Err(RangeError::Conflict(subnet, other)),
        None => Ok(()),
    }
}

/// The range for one more default VPC: 172.31.0.0/16, then the /16s below it in 172.16.0.0/12, then those of
/// 10.0.0.0/8 upwards, then of 100.64.0.0/10 (RFC 6598); the first that overlaps nothing in `taken`.
/// `None` when all 336 are taken.
pub fn choose_default_vpc(taken: &[Cidr]) -> Option<Cidr> {
    let private_b = (16..=31u8).rev().map(|second| Cidr::constant([172, second, 0, 0], 16));
    let private_a = (0..=255u8).map(|second| Cidr::constant([10, second, 0, 0], 16));
    let shared = (64..=127u8).map(|second| Cidr::constant([100, second, 0, 0], 16));
    private_b.chain(private_a).chain(shared).find(|candidate| first_overlap(*candidate, taken).is_none())
}

/// The default subnets of a default VPC: its first three /20s (for 172.31.0.0/16: .0.0, .16.0, .32.0).
/// `vpc` is a /16, as [`choose_default_vpc`] gives.
pub fn default_subnets(vpc: Cidr) -> [Cidr; DEFAULT_SUBNETS] {
    std::array::from_fn(|index| {
        let [a, b, ..] = vpc.base().octets();
        Cidr::constant([a, b, index as u8 * 16, 0], 20)
    })
}

/// The address a subnet's router answers at: base + 1.
pub fn router(subnet: Cidr) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.base()) + 1)
}

/// The address a VPC's name server answers at: base + 2.
pub fn resolver(vpc: Cidr) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(vpc.base()) + 2)
}

fn first_overlap(range: Cidr, others: &[Cidr]) -> Option<Cidr> {
    others.iter().copied().find(|other| other.overlaps(range))
}
