//! The names that follow from addresses: `ip-172-31-0-9.ec2.internal` and back, `localhost` and back.
//!
//! EC2's resolver answers them for every address of the VPC, held by an interface or not, when the VPC has DNS support and
//! DNS hostnames (VPC guide, "DNS attributes for your VPC"). Nothing is stored: the name says the address.

use std::net::Ipv4Addr;

use addressing::Cidr;

use crate::{
    name::Name,
    record::{Data, Record, RecordType, Soa},
};

/// What EC2 gives with these answers.
const TTL_SECONDS: u32 = 60;
const LOOPBACK: Cidr = Cidr::constant([127, 0, 0, 0], 8);
/// The domains that all of EC2's private names are in: never asked of anyone else.
const PRIVATE_DOMAINS: [&str; 2] = ["ec2.internal", "compute.internal"];

/// The addresses of a VPC and the domain of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateNames {
    /// The VPC's range.
    pub range: Cidr,
    /// `ec2.internal` in us-east-1, `REGION.compute.internal` elsewhere; `None` when the VPC has no DNS hostnames: then
    /// neither its names nor its addresses are known to anyone.
    pub domain: Option<Name>,
}

/// What the rules say of a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Derived {
    Record(Record),
    NoData(Record),
    NoName(Record),
    /// Not a name of this kind.
    Outside,
}

/// Answers from the rules alone.
pub(crate) fn derive(name: &Name, kind: RecordType, networks: &[PrivateNames], serial: u32) -> Derived {
    let labels: Vec<&[u8]> = name.labels().collect();
    match labels.as_slice() {
        [.., last] if last.eq_ignore_ascii_case(b"localhost") => localhost(name, kind, serial),
        [reversed @ .., inverse, arpa]
            if inverse.eq_ignore_ascii_case(b"in-addr") && arpa.eq_ignore_ascii_case(b"arpa") =>
        {
            backward(name, kind, reversed, networks, serial)
        }
        [.., last] if last.eq_ignore_ascii_case(b"internal") => forward(name, kind, networks, serial),
        _ => Derived::Outside,
    }
}

/// The private domain that `name` is in.
pub(crate) fn private_domain(name: &Name) -> Option<Name> {
    let domains = PRIVATE_DOMAINS.iter().filter_map(|domain| Name::parse(domain).ok());
    domains.into_iter().find(|domain| name.is_within(domain))
}

/// RFC 6761 §6.3: `localhost` and everything below it is this machine, in every view.
fn localhost(name: &Name, kind: RecordType, serial: u32) -> Derived {
    let Ok(apex) = Name::parse("localhost") else { return Derived::Outside };
    match kind {
        RecordType::A => record(name, &Data::A(Ipv4Addr::LOCALHOST)),
        RecordType::SOA if *name == apex => Derived::Record(soa(&apex, serial)),
        _ => Derived::NoData(soa(&apex, serial)),
    }
}

fn forward(name: &Name, kind: RecordType, networks: &[PrivateNames], serial: u32) -> Derived {
    let Some(apex) = private_domain(name) else { return Derived::Outside };
    let soa = soa(&apex, serial);
    // The apex, the domains of regions and what is above them.
    if networks.iter().filter_map(|network| network.domain.as_ref()).any(|domain| domain.is_within(name))
        || *name == apex
    {
        return match kind {
            RecordType::SOA if *name == apex => Derived::Record(soa),
            _ => Derived::NoData(soa),
        };
    }
    let address = name.labels().next().and_then(address_of_label);
    let (Some(address), Some(domain)) = (address, name.parent()) else { return Derived::NoName(soa) };
    let known = |network: &PrivateNames| {
        network.range.contains(address) && network.domain.as_ref().is_some_and(|own| *own == domain)
    };
    match networks.iter().any(known) {
        true if kind == RecordType::A => record(name, &Data::A(address)),
        true => Derived::NoData(soa),
        false => Derived::NoName(soa),
    }
}

/// `ip-172-31-0-9` to 172.31.0.9; only the form that EC2 writes.
fn address_of_label(label: &[u8]) -> Option<Ipv4Addr> {
    let text = std::str::from_utf8(label).ok()?;
    let (prefix, rest) = text.split_at_checked(3)?;
    if !prefix.eq_ignore_ascii_case("ip-") || rest.contains('.') {
        return None;
    }
    // The parser refuses leading zeros and anything but four octets.
    rest.replace('-', ".").parse().ok()
}

fn backward(
    name: &Name,
    kind: RecordType,
    reversed: &[&[u8]],
    networks: &[PrivateNames],
    serial: u32,
) -> Derived {
    let mut octets = [0; 4];
    // The zone is the shortest name all of whose addresses are the VPC's.
    let mut zone: Option<(Name, Option<&PrivateNames>)> = None;
    for (index, label) in reversed.iter().rev().enumerate() {
        let octet = octet(label).filter(|_| index < 4);
        let Some(octet) = octet else {
            return zone.map_or(Derived::Outside, |(apex, _)| Derived::NoName(soa(&apex, serial)));
        };
        octets[index] = octet;
        if zone.is_none() {
            // At most four labels, so the length is at most 32.
            let Ok(covered) = Cidr::new(Ipv4Addr::from(octets), (index as u8 + 1) * 8) else { break };
            let owner = networks.iter().find(|network| network.range.covers(covered));
            if owner.is_some() || LOOPBACK.covers(covered) {
                let Some(apex) = ancestor(name, index + 3) else { break };
                zone = Some((apex, owner));
            }
        }
    }
    let Some((apex, owner)) = zone else { return Derived::Outside };
    let soa = soa(&apex, serial);
    if kind == RecordType::SOA && *name == apex {
        return Derived::Record(soa);
    }
    let address = Ipv4Addr::from(octets);
    let target = match (owner, reversed.len()) {
        (_, ..4) => return Derived::NoData(soa),
        (Some(network), _) => {
            network.domain.as_ref().and_then(|domain| domain.child(&label_of(address)).ok())
        }
        (None, _) if address == Ipv4Addr::LOCALHOST => Name::parse("localhost").ok(),
        (None, _) => None,
    };
    match target {
        None => Derived::NoName(soa),
        Some(target) if kind == RecordType::PTR => record(name, &Data::Ptr(target)),
        Some(_) => Derived::NoData(soa),
    }
}

fn label_of(address: Ipv4Addr) -> String {
    format!("ip-{}", address.to_string().replace('.', "-"))
}

/// One to three digits without leading zeros, up to 255.
fn octet(label: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(label).ok()?;
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// `name` or the name above it that has `depth` labels.
fn ancestor(name: &Name, depth: usize) -> Option<Name> {
    let mut name = name.clone();
    while name.depth() > depth {
        name = name.parent()?;
    }
    Some(name)
}

fn record(name: &Name, data: &Data) -> Derived {
    match Record::new(name.clone(), TTL_SECONDS, data) {
        Some(record) => Derived::Record(record),
        None => Derived::Outside,
    }
}

fn soa(apex: &Name, serial: u32) -> Record {
    Record::soa(&Soa { apex, serial, negative_ttl_seconds: TTL_SECONDS })
}
