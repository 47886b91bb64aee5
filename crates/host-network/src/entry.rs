//! The sets and maps of the ruleset that follow the interfaces, and which of their elements an interface makes.
//!
//! Each element can be written as text (for `nft`, when the whole ruleset is loaded) and as the kernel's bytes
//! (for single changes). Both forms stand beside each other here because they must mean the same.

use std::{collections::BTreeSet, net::Ipv4Addr};

use addressing::MacAddress;

use crate::{
    netlink::{Data, Element},
    spec::{GroupId, InterfaceSpec, Published, Transport},
    state::{Interface, Unions},
};

/// One element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    /// Packets with this source and hardware address may come from this interface; no others may.
    Owner { interface: String, address: Ipv4Addr, mac: MacAddress },
    /// Where packets to this address are judged.
    Ingress { address: Ipv4Addr, chain: String },
    /// Where packets from this address are judged.
    Egress { address: Ipv4Addr, chain: String },
    /// The address is one of the group's.
    Member { group: GroupId, address: Ipv4Addr },
    /// The public address means this private one.
    Public { public: Ipv4Addr, private: Ipv4Addr },
    /// The private address appears outside as this public one.
    Holder { private: Ipv4Addr, public: Ipv4Addr },
    /// The node's port leads to this one.
    Published { port: Published, address: Ipv4Addr },
}

impl Entry {
    /// All elements of an interface. `unions` has a chain for its groups where they are several.
    pub(crate) fn of(interface: &Interface, unions: &Unions) -> BTreeSet<Entry> {
        let spec = &interface.spec;
        let InterfaceSpec { address, mac, .. } = *spec;
        let mut entries = BTreeSet::from([Entry::Owner { interface: interface.slot.clone(), address, mac }]);
        if let Some(name) = chain_suffix(&spec.security_groups, unions) {
            entries.insert(Entry::Ingress { address, chain: format!("in-{name}") });
            entries.insert(Entry::Egress { address, chain: format!("out-{name}") });
        }
        entries
            .extend(spec.security_groups.iter().map(|group| Entry::Member { group: group.clone(), address }));
        if let Some(public) = spec.public_address {
            entries.insert(Entry::Public { public, private: address });
            entries.insert(Entry::Holder { private: address, public });
        }
        entries.extend(spec.published.iter().map(|port| Entry::Published { port: *port, address }));
        entries
    }

    pub(crate) fn set(&self) -> String {
        match self {
            Entry::Owner { .. } => "owners".to_owned(),
            Entry::Ingress { .. } => "ingress-by-address".to_owned(),
            Entry::Egress { .. } => "egress-by-address".to_owned(),
            Entry::Member { group, .. } => members_set(group),
            Entry::Public { .. } => "public-to-private".to_owned(),
            Entry::Holder { .. } => "private-to-public".to_owned(),
            Entry::Published { port, .. } => match port.protocol {
                Transport::Tcp => "published-tcp".to_owned(),
                Transport::Udp => "published-udp".to_owned(),
            },
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Entry::Owner { interface, address, mac } => format!("\"{interface}\" . {address} . {mac}"),
            Entry::Ingress { address, chain } | Entry::Egress { address, chain } => {
                format!("{address} : jump {chain}")
            }
            Entry::Member { address, .. } => address.to_string(),
            Entry::Public { public, private } => format!("{public} : {private}"),
            Entry::Holder { private, public } => format!("{private} : {public}"),
            Entry::Published { port, address } => {
                format!("{} : {address} . {}", port.host_port, port.container_port)
            }
        }
    }

    pub(crate) fn element(&self) -> Element {
        let (key, data) = match self {
            Entry::Owner { interface, address, mac } => {
                // ifname (16 bytes) . ipv4_addr (4) . ether_addr (6, padded to 8)
                let mut key = vec![0; 28];
                key[..interface.len().min(15)]
                    .copy_from_slice(&interface.as_bytes()[..interface.len().min(15)]);
                key[16..20].copy_from_slice(&address.octets());
                key[20..26].copy_from_slice(&mac.octets());
                (key, Data::None)
            }
            Entry::Ingress { address, chain } | Entry::Egress { address, chain } => {
                (address.octets().to_vec(), Data::Jump(chain.clone()))
            }
            Entry::Member { address, .. } => (address.octets().to_vec(), Data::None),
            Entry::Public { public, private } => {
                (public.octets().to_vec(), Data::Value(private.octets().to_vec()))
            }
            Entry::Holder { private, public } => {
                (private.octets().to_vec(), Data::Value(public.octets().to_vec()))
            }
            Entry::Published { port, address } => {
                // ipv4_addr (4) . inet_service (2, padded to 4)
                let mut value = address.octets().to_vec();
                value.extend(port.container_port.to_be_bytes());
                value.extend([0, 0]);
                (port.host_port.to_be_bytes().to_vec(), Data::Value(value))
            }
        };
        Element { set: self.set(), key, data }
    }
}

pub(crate) fn members_set(group: &GroupId) -> String {
    format!("members-{group}")
}

/// What stands behind `in-` and `out-` in the names of the chains for these groups; nothing for no groups.
pub(crate) fn chain_suffix(groups: &BTreeSet<GroupId>, unions: &Unions) -> Option<String> {
    match groups.len() {
        0 => None,
        1 => groups.first().map(GroupId::to_string),
        _ => unions.get(groups).map(|number| format!("union-{number}")),
    }
}
