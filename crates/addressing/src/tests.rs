use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use proptest::prelude::*;
use vocabulary::{SeededIds, Timestamp};

use crate::{
    AddressPool, AllocationError, Cidr, CidrError, DEFAULT_PUBLIC_RANGE, MacAddress, MacError, QUARANTINE,
    vpc::{self, RangeError},
};

fn cidr(text: &str) -> Cidr {
    text.parse().expect("a range")
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().expect("an address")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

#[test]
fn ranges_are_canonical() {
    assert_eq!(cidr("100.68.0.18/18"), cidr("100.68.0.0/18"));
    assert_eq!(cidr("10.1.2.3/32").to_string(), "10.1.2.3/32");
    assert_eq!(cidr("1.2.3.4/0"), Cidr::ANYWHERE);
    assert_eq!(cidr("172.31.16.0/20").last(), ip("172.31.31.255"));
    assert_eq!(Cidr::ANYWHERE.size(), 1 << 32);
    assert_eq!(serde_json::to_string(&cidr("10.0.0.0/8")).expect("json"), r#""10.0.0.0/8""#);
}

#[test]
fn ranges_refuse_other_texts() {
    for text in [
        "",
        "/",
        "10.0.0.0",
        "10.0.0.0/",
        "10.0.0/8",
        "10.0.0.0/+8",
        "10.0.0.0/08",
        "::/0",
        "10.0.0.0/8 ",
        "1.2.3.4/100",
    ] {
        assert_eq!(text.parse::<Cidr>(), Err(CidrError::Syntax(text.to_owned())), "{text}");
    }
    assert_eq!("10.0.0.0/33".parse::<Cidr>(), Err(CidrError::PrefixLength(33)));
}

#[test]
fn hardware_addresses() {
    let mac = MacAddress::generate(&mut SeededIds::new(7));
    assert_eq!(mac.octets()[0], 0x02);
    assert_eq!(mac.to_string().parse(), Ok(mac));
    assert!(matches!("03:00:00:00:00:01".parse::<MacAddress>(), Err(MacError::Group(_))));
    for text in ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "2:0:0:0:0:1", "02:00:00:00:00:+1"] {
        assert!(matches!(text.parse::<MacAddress>(), Err(MacError::Syntax(_))), "{text}");
    }
}

#[test]
fn a_subnet_keeps_five_addresses_back() {
    let mut pool = AddressPool::subnet(cidr("10.0.0.0/28"));
    assert_eq!(pool.available(), 11);
    let given: Vec<_> = (0..11).map(|_| pool.allocate(at(0)).expect("free")).collect();
    assert_eq!((given[0], given[10]), (ip("10.0.0.4"), ip("10.0.0.14")));
    assert_eq!(
        pool.allocate(at(0)),
        Err(AllocationError::Exhausted { range: cidr("10.0.0.0/28"), usable: 11 })
    );
    for kept in ["10.0.0.0", "10.0.0.3", "10.0.0.15", "10.0.1.4"] {
        assert!(matches!(pool.claim(ip(kept)), Err(AllocationError::NotUsable { .. })), "{kept}");
    }
}

#[test]
fn a_released_address_rests_while_others_are_free() {
    let mut pool = AddressPool::subnet(cidr("10.0.0.0/29"));
    let given: Vec<_> = (0..3).map(|_| pool.allocate(at(0)).expect("free")).collect();
    assert!(pool.release(given[1], at(10)));
    assert!(!pool.release(given[1], at(10)));
    assert!(pool.release(given[0], at(20)));
    // Nothing else is left: the longest resting one goes first.
    assert_eq!(pool.allocate(at(21)), Ok(given[1]));
    assert_eq!(pool.allocate(at(21)), Ok(given[0]));
    assert!(matches!(pool.allocate(at(21)), Err(AllocationError::Exhausted { .. })));
}

#[test]
fn allocation_moves_on_and_comes_round() {
    let mut pool = AddressPool::subnet(cidr("10.0.0.0/28"));
    let first = pool.allocate(at(0)).expect("free");
    pool.release(first, at(0));
    assert_eq!(pool.allocate(at(200)), Ok(ip("10.0.0.5")), "next-fit, not lowest-free");
    for _ in 0..9 {
        pool.allocate(at(200)).expect("free");
    }
    assert_eq!(pool.allocate(at(200)), Ok(first), "comes round at the end");
}

#[test]
fn a_range_without_usable_addresses_is_exhausted() {
    for range in ["10.0.0.0/30", "10.0.0.0/32", "255.255.255.255/32", "0.0.0.0/32"] {
        let mut pool = AddressPool::subnet(cidr(range));
        assert_eq!(pool.allocate(at(0)), Err(AllocationError::Exhausted { range: cidr(range), usable: 0 }));
    }
}

#[test]
fn vpc_ranges() {
    let taken = [cidr("192.0.2.0/24"), cidr("10.8.0.0/16")];
    assert_eq!(vpc::check_vpc(cidr("10.0.0.0/16"), &taken), Ok(()));
    assert_eq!(vpc::check_vpc(cidr("10.0.0.0/15"), &taken), Err(RangeError::VpcSize(cidr("10.0.0.0/15"))));
    assert_eq!(vpc::check_vpc(cidr("10.0.0.0/29"), &taken), Err(RangeError::VpcSize(cidr("10.0.0.0/29"))));
    assert_eq!(
        vpc::check_vpc(cidr("10.8.7.0/24"), &taken),
        Err(RangeError::Routed(cidr("10.8.7.0/24"), cidr("10.8.0.0/16")))
    );
    for forbidden in ["0.1.0.0/16", "127.1.0.0/16", "169.254.0.0/16", "224.0.0.0/16", "255.255.0.0/16"] {
        assert!(
            matches!(vpc::check_vpc(cidr(forbidden), &[]), Err(RangeError::Forbidden(..))),
            "{forbidden}"
        );
    }
}

#[test]
fn subnet_ranges() {
    let (network, existing) = (cidr("10.0.0.0/16"), [cidr("10.0.0.0/20")]);
    assert_eq!(vpc::check_subnet(cidr("10.0.16.0/20"), network, &existing), Ok(()));
    assert_eq!(vpc::check_subnet(cidr("10.0.0.0/16"), network, &[]), Ok(()));
    assert_eq!(
        vpc::check_subnet(cidr("10.0.1.0/24"), network, &existing),
        Err(RangeError::Conflict(cidr("10.0.1.0/24"), existing[0]))
    );
    assert!(matches!(
        vpc::check_subnet(cidr("10.1.0.0/20"), network, &[]),
        Err(RangeError::OutsideVpc { .. })
    ));
    assert!(matches!(vpc::check_subnet(cidr("10.0.0.0/29"), network, &[]), Err(RangeError::SubnetSize(_))));
}

#[test]
fn default_ranges() {
    assert_eq!(vpc::choose_default_vpc(&[]), Some(vpc::FIRST_DEFAULT_VPC));
    assert_eq!(vpc::choose_default_vpc(&[vpc::FIRST_DEFAULT_VPC]), Some(cidr("172.30.0.0/16")));
    assert_eq!(vpc::choose_default_vpc(&[cidr("172.16.0.0/12")]), Some(cidr("10.0.0.0/16")));
    assert_eq!(
        vpc::choose_default_vpc(&[cidr("172.16.0.0/12"), cidr("10.0.0.0/8")]),
        Some(cidr("100.64.0.0/16"))
    );
    assert_eq!(vpc::choose_default_vpc(&[Cidr::ANYWHERE]), None);
    let subnets = vpc::default_subnets(vpc::FIRST_DEFAULT_VPC);
    assert_eq!(subnets, [cidr("172.31.0.0/20"), cidr("172.31.16.0/20"), cidr("172.31.32.0/20")]);
    assert_eq!(vpc::router(subnets[1]), ip("172.31.16.1"));
    assert_eq!(vpc::resolver(vpc::FIRST_DEFAULT_VPC), ip("172.31.0.2"));
}

#[derive(Debug, Clone)]
enum Step {
    Allocate,
    Claim(u32),
    Release(usize),
    Wait(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Allocate),
        1 => (0u32..40).prop_map(Step::Claim),
        3 => (0usize..32).prop_map(Step::Release),
        1 => (0i64..120).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// No address is held twice, none outside the usable ones is given, an allocation fails only when all are held,
    /// and a resting one is given only when nothing else is free.
    #[test]
    fn allocation_is_safe(steps in steps(), prefix_len in 26u8..=28) {
        let range = Cidr::new(ip("10.9.8.0"), prefix_len).expect("a range");
        let mut pool = AddressPool::subnet(range);
        let (mut held, mut released, mut now) = (BTreeSet::new(), std::collections::BTreeMap::new(), at(0));
        for step in steps {
            match step {
                Step::Allocate => match pool.allocate(now) {
                    Ok(address) => {
                        let offset = u32::from(address) - u32::from(range.base());
                        prop_assert!(offset >= 4 && u64::from(offset) < range.size() - 1);
                        if released.get(&address).is_some_and(|since| now.since(*since) < QUARANTINE) {
                            let resting = released.values().filter(|since| now.since(**since) < QUARANTINE).count();
                            prop_assert_eq!(held.len() + resting, pool.capacity() as usize, "others were free");
                        }
                        released.remove(&address);
                        prop_assert!(held.insert(address), "given twice");
                    }
                    Err(_) => prop_assert_eq!(held.len() as u64, pool.capacity()),
                },
                Step::Claim(offset) => {
                    let address = Ipv4Addr::from(u32::from(range.base()) + offset);
                    if pool.claim(address).is_ok() {
                        released.remove(&address);
                        prop_assert!(held.insert(address), "given twice");
                    }
                }
                Step::Release(index) => {
                    if let Some(address) = held.iter().copied().nth(index) {
                        prop_assert!(pool.release(address, now));
                        held.remove(&address);
                        released.insert(address, now);
                    }
                }
                Step::Wait(seconds) => now = now + Duration::from_secs(seconds as u64),
            }
            prop_assert_eq!(pool.held().collect::<BTreeSet<_>>(), held.clone());
            prop_assert_eq!(pool.available(), pool.capacity() - held.len() as u64);
        }
    }

    #[test]
    fn text_round_trips(address: u32, prefix_len in 0u8..=32) {
        let range = Cidr::new(address.into(), prefix_len).expect("a range");
        prop_assert_eq!(range.to_string().parse(), Ok(range));
        prop_assert!(range.contains(address.into()) && range.contains(range.last()));
        prop_assert_eq!(u64::from(u32::from(range.last()) - u32::from(range.base())) + 1, range.size());
    }

    #[test]
    fn parsing_never_panics(text in "\\PC{0,24}") {
        let _ = text.parse::<Cidr>();
        let _ = text.parse::<MacAddress>();
    }

    /// Overlap means: some address is in both.
    #[test]
    fn overlap_is_a_shared_address(a: u32, b: u32, la in 0u8..=32, lb in 0u8..=32) {
        let (a, b) = (Cidr::new(a.into(), la).expect("a"), Cidr::new(b.into(), lb).expect("b"));
        let shared = a.base().max(b.base()) <= a.last().min(b.last());
        prop_assert_eq!(a.overlaps(b), shared);
        prop_assert_eq!(b.overlaps(a), shared);
    }

    /// Chosen ranges are fit to be used, and choosing goes on until there are none, never twice the same.
    #[test]
    fn default_vpcs_never_collide(routes in prop::collection::vec((any::<u32>(), 8u8..=32), 0..20)) {
        let mut taken: Vec<Cidr> = routes.iter().map(|(a, l)| Cidr::new((*a).into(), *l).expect("a range")).collect();
        for _ in 0..40 {
            let Some(chosen) = vpc::choose_default_vpc(&taken) else { break };
            prop_assert_eq!(vpc::check_vpc(chosen, &taken), Ok(()));
            prop_assert!(!chosen.overlaps(DEFAULT_PUBLIC_RANGE));
            let mut existing = vec![];
            for subnet in vpc::default_subnets(chosen) {
                prop_assert_eq!(vpc::check_subnet(subnet, chosen, &existing), Ok(()));
                existing.push(subnet);
            }
            taken.push(chosen);
        }
    }
}
