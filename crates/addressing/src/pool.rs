//! Hands out the addresses of one range.
//!
//! Next-fit: each allocation looks from behind the previous one, so that an address comes round again as late as
//! possible; a client that still holds a connection or a cached name for a stopped task then reaches nobody rather
//! than a stranger. A released address additionally rests for [`QUARANTINE`]. When nothing but resting addresses is
//! left, the one that has rested longest is taken: the rest is a courtesy, exhaustion an outage.
//!
//! A pool is a plain value. It is built from the stored interfaces ([`AddressPool::subnet`] and
//! [`AddressPool::claim`]), and forgets quarantine with the process: that is bounded by the rest itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

use vocabulary::Timestamp;

use crate::Cidr;

/// How long a released address is kept back while others are free. Longer than common name caches (60 s).
pub const QUARANTINE: Duration = Duration::from_secs(90);

/// Public addresses come from here unless configured otherwise: the range reserved for benchmarks (RFC 2544),
/// which no one routes.
pub const DEFAULT_PUBLIC_RANGE: Cidr = Cidr::constant([198, 18, 0, 0], 16);

/// The addresses of one range: which are held, which rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressPool {
    range: Cidr,
    /// First and last address that may be handed out, inclusive.
    usable: (u32, u32),
    held: BTreeSet<u32>,
    resting: BTreeMap<u32, Timestamp>,
    /// Where the next search starts.
    cursor: u32,
}

/// Why an address was not handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllocationError {
    /// `InsufficientFreeAddressesInSubnet` in a subnet, `AddressLimitExceeded` for public addresses.
    #[error("{range} has no free address: all {usable} are held")]
    Exhausted { range: Cidr, usable: u64 },
    /// `InvalidIPAddress.InUse`.
    #[error("{address} of {range} is already held")]
    Held { range: Cidr, address: Ipv4Addr },
    /// `InvalidParameterValue`.
    #[error("{address} is outside the addresses of {range} that can be handed out ({first}–{last})")]
    NotUsable { range: Cidr, address: Ipv4Addr, first: Ipv4Addr, last: Ipv4Addr },
}

impl AddressPool {
    /// A subnet's addresses without the five that AWS keeps: base, router (+1), resolver (+2), future use (+3), last.
    /// Meant for subnets that passed [`crate::vpc::check_subnet`]; a range too small for the five is exhausted.
    pub fn subnet(range: Cidr) -> AddressPool {
        AddressPool::new(range, 4, 1)
    }

    /// A public range's addresses without its base and last.
    pub fn public(range: Cidr) -> AddressPool {
        AddressPool::new(range, 1, 1)
    }

    fn new(range: Cidr, kept_first: u32, kept_last: u32) -> AddressPool {
        let first = u32::from(range.base()).saturating_add(kept_first);
        let last = u32::from(range.last()).saturating_sub(kept_last);
        AddressPool {
            range,
            usable: (first, last),
            held: BTreeSet::new(),
            resting: BTreeMap::new(),
            cursor: first,
        }
    }

    pub fn range(&self) -> Cidr {
        self.range
    }

    /// How many addresses the pool can hand out in all.
    pub fn capacity(&self) -> u64 {
        let (first, last) = self.usable;
        (u64::from(last) + 1).saturating_sub(u64::from(first))
    }

    /// How many are not held, resting ones included: what EC2 calls `AvailableIpAddressCount`.
    pub fn available(&self) -> u64 {
        self.capacity() - self.held.len() as u64
    }

    pub fn held(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.held.iter().copied().map(Ipv4Addr::from)
    }

    /// Takes the next free address as of `now`.
    pub fn allocate(&mut self, now: Timestamp) -> Result<Ipv4Addr, AllocationError> {
        self.resting.retain(|_, since| now.since(*since) < QUARANTINE);
        let address = self
            .next_free()
            .or_else(|| self.longest_resting())
            .ok_or(AllocationError::Exhausted { range: self.range, usable: self.capacity() })?;
        self.take(address);
        Ok(Ipv4Addr::from(address))
    }

    /// Takes the address that the caller names, resting or not.
    pub fn claim(&mut self, address: Ipv4Addr) -> Result<(), AllocationError> {
        let (first, last) = self.usable;
        let number = u32::from(address);
        if number < first || number > last {
            let (first, last) = (Ipv4Addr::from(first), Ipv4Addr::from(last));
            return Err(AllocationError::NotUsable { range: self.range, address, first, last });
        }
        if self.held.contains(&number) {
            return Err(AllocationError::Held { range: self.range, address });
        }
        self.take(number);
        Ok(())
    }

    /// Gives an address back at `now`. `false`, and no change, when it was not held.
    pub fn release(&mut self, address: Ipv4Addr, now: Timestamp) -> bool {
        let number = u32::from(address);
        let was_held = self.held.remove(&number);
        if was_held {
            self.resting.insert(number, now);
        }
        was_held
    }

    fn take(&mut self, address: u32) {
        self.resting.remove(&address);
        self.held.insert(address);
        self.cursor = address.saturating_add(1);
    }

    fn next_free(&self) -> Option<u32> {
        let (first, last) = self.usable;
        let start = self.cursor.clamp(first, last.max(first));
        self.first_free_in(start, last).or_else(|| self.first_free_in(first, start.checked_sub(1)?))
    }

    /// Walks the taken addresses beside the candidates, so the cost is the length of the taken run, not of the range.
    fn first_free_in(&self, from: u32, to: u32) -> Option<u32> {
        if from > to {
            return None;
        }
        let mut held = self.held.range(from..=to).copied().peekable();
        let mut resting = self.resting.range(from..=to).map(|(address, _)| *address).peekable();
        let mut candidate = from;
        loop {
            let taken = held.next_if_eq(&candidate).or_else(|| resting.next_if_eq(&candidate));
            match taken {
                None => return Some(candidate),
                Some(_) if candidate == to => return None,
                Some(_) => candidate += 1,
            }
        }
    }

    fn longest_resting(&self) -> Option<u32> {
        self.resting.iter().min_by_key(|(address, since)| (**since, **address)).map(|(address, _)| *address)
    }
}
