//! Decides addresses: which ranges a VPC and its subnets may have, which address an interface gets, which
//! public address a task gets, and what hardware address goes with it.
//!
//! Everything here is a pure decision over values passed in: the time, fresh ids and what is already taken come
//! from the caller, who also stores the outcome. IPv4 only, as the product is today.
//!
//! - [`Cidr`]: a range in canonical form.
//! - [`vpc`]: the rules for VPC and subnet ranges, and the choice of default ones.
//! - [`AddressPool`]: hands out addresses of one range; quarantines released ones.
//! - [`MacAddress`]: locally administered unicast hardware addresses.
//!
//! It does not know which account or machine owns an address, and never looks at the host.

mod cidr;
mod mac;
mod pool;
pub mod vpc;

#[cfg(test)]
mod tests;

pub use cidr::{Cidr, CidrError};
pub use mac::{MacAddress, MacError};
pub use pool::{AddressPool, AllocationError, DEFAULT_PUBLIC_RANGE, QUARANTINE};
