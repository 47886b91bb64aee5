//! Links, addresses, routes and neighbours (`rtnetlink(7)`).

use std::net::Ipv4Addr;

use addressing::{Cidr, MacAddress};
use nix::{errno::Errno, sys::socket::SockProtocol};

use super::{
    message::{
        ACK, CREATE, DUMP, EXCLUSIVE, Message, REPLACE, REQUEST, Received, attributes, text_of, u32_at,
    },
    socket::{NetlinkError, Socket},
};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const NEW_NEIGHBOUR: u16 = 28;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_IFALIAS: u16 = 20;
const IFLA_GROUP: u16 = 27;
const IFLA_NET_NS_FD: u16 = 28;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;

const INET: u8 = 2;
const UP: u32 = 1;
const TABLE_MAIN: u8 = 254;
const TYPE_UNICAST: u8 = 1;
const TYPE_UNREACHABLE: u8 = 7;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const NEIGHBOUR_PERMANENT: u16 = 0x80;

/// Marks routes made here (`ip route` shows `proto 76`) unless told otherwise, so that they are found again and told from the host's own.
pub(crate) const ROUTE_PROTOCOL: u8 = 76;

/// A link as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub index: u32,
    pub name: String,
    pub kind: Option<String>,
}

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextHop {
    /// Straight out of a link; `source` is what the host's own packets get as their source.
    Link { index: u32, source: Option<Ipv4Addr> },
    /// To a router on a link.
    Gateway { index: u32, router: Ipv4Addr },
    /// Nowhere: the sender is told that the host is unreachable.
    Unreachable { metric: u32 },
}

/// A route of the main table as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub destination: Cidr,
    pub protocol: u8,
    /// `None` for unreachable routes and several next hops.
    pub link: Option<u32>,
    pub unreachable: bool,
    pub metric: u32,
}

/// A socket for `rtnetlink` requests in the namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Rtnetlink(Socket);

impl Rtnetlink {
    pub(crate) fn open() -> Result<Rtnetlink, NetlinkError> {
        Socket::open(SockProtocol::NetlinkRoute).map(Rtnetlink)
    }

    pub(crate) fn request_all(&mut self, requests: Vec<Message>) -> Result<(), NetlinkError> {
        self.0.request_all(requests)
    }

    /// Like [`Self::request_all`] with one request, where the kernel's "no such thing" is as good as done.
    pub(crate) fn request_gone(&mut self, request: Message) -> Result<(), NetlinkError> {
        match self.0.request_all(vec![request]) {
            Err(NetlinkError::Refused {
                errno: Errno::ENOENT | Errno::ENODEV | Errno::ESRCH | Errno::EADDRNOTAVAIL,
                ..
            }) => Ok(()),
            other => other,
        }
    }

    pub(crate) fn link(&mut self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let request = Message::new(GET_LINK, REQUEST, &link_header(0, 0, 0)).text(IFLA_IFNAME, name);
        match self.0.collect(request, false, link_of) {
            Ok(links) => Ok(links.into_iter().next()),
            Err(NetlinkError::Refused { errno: Errno::ENODEV, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        self.0.collect(Message::new(GET_LINK, REQUEST | DUMP, &link_header(0, 0, 0)), true, link_of)
    }

    /// IPv4 addresses with the index of the link that holds them.
    pub(crate) fn addresses(&mut self) -> Result<Vec<(u32, Ipv4Addr, u8)>, NetlinkError> {
        let request = Message::new(GET_ADDRESS, REQUEST | DUMP, &address_header(0, 0));
        self.0.collect(request, true, |message| {
            let (prefix_len, index) = (*message.body.get(1)?, u32_at(message.body, 4)?);
            let local = attributes(message.body.get(8..)?).find(|(kind, _)| *kind == IFA_LOCAL)?.1;
            Some((index, address_of(local)?, prefix_len))
        })
    }

    /// IPv4 routes of the main table.
    pub(crate) fn routes(&mut self) -> Result<Vec<Route>, NetlinkError> {
        let request = Message::new(GET_ROUTE, REQUEST | DUMP, &route_header(0, 0, 0, 0));
        self.0.collect(request, true, route_of)
    }
}

/// A veth pair: `name` here with `mac`, up; `peer` in the namespace behind the descriptor, down.
pub(crate) fn add_veth(name: &str, mac: MacAddress, peer: &str, peer_namespace: i32) -> Message {
    Message::new(NEW_LINK, REQUEST | ACK | CREATE | EXCLUSIVE, &link_header(0, UP, UP))
        .text(IFLA_IFNAME, name)
        .attribute(IFLA_ADDRESS, &mac.octets())
        .nest(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, |data| {
                data.nest(VETH_INFO_PEER, |link| {
                    link.raw(&link_header(0, 0, 0))
                        .text(IFLA_IFNAME, peer)
                        .attribute(IFLA_NET_NS_FD, &peer_namespace.to_ne_bytes())
                })
            })
        })
}

pub(crate) fn add_bridge(name: &str, mac: MacAddress) -> Message {
    Message::new(NEW_LINK, REQUEST | ACK | CREATE | EXCLUSIVE, &link_header(0, UP, UP))
        .text(IFLA_IFNAME, name)
        .attribute(IFLA_ADDRESS, &mac.octets())
        .nest(IFLA_LINKINFO, |info| info.text(IFLA_INFO_KIND, "bridge"))
}

pub(crate) fn set_link_up(index: u32) -> Message {
    Message::new(SET_LINK, REQUEST | ACK, &link_header(index, UP, UP))
}

/// Gives the link its hardware address and brings it up.
pub(crate) fn set_link_mac_up(index: u32, mac: MacAddress) -> Message {
    set_link_up(index).attribute(IFLA_ADDRESS, &mac.octets())
}

/// The text `ip link` shows as `alias`, for whoever looks at the host.
pub(crate) fn set_link_alias(index: u32, alias: &str) -> Message {
    Message::new(SET_LINK, REQUEST | ACK, &link_header(index, 0, 0)).attribute(IFLA_IFALIAS, alias.as_bytes())
}

pub(crate) fn set_link_group(index: u32, group: u32) -> Message {
    Message::new(SET_LINK, REQUEST | ACK, &link_header(index, 0, 0)).u32(IFLA_GROUP, group)
}

pub(crate) fn delete_link(index: u32) -> Message {
    Message::new(DELETE_LINK, REQUEST | ACK, &link_header(index, 0, 0))
}

/// Deletes every link of the group in one go: one wait for readers to leave instead of one per link.
pub(crate) fn delete_link_group(group: u32) -> Message {
    Message::new(DELETE_LINK, REQUEST | ACK, &link_header(0, 0, 0)).u32(IFLA_GROUP, group)
}

pub(crate) fn add_address(index: u32, address: Ipv4Addr, prefix_len: u8) -> Message {
    let message =
        Message::new(NEW_ADDRESS, REQUEST | ACK | CREATE | REPLACE, &address_header(index, prefix_len))
            .attribute(IFA_LOCAL, &address.octets())
            .attribute(IFA_ADDRESS, &address.octets());
    match Cidr::new(address, prefix_len) {
        Ok(range) if prefix_len < 31 => message.attribute(IFA_BROADCAST, &range.last().octets()),
        _ => message,
    }
}

pub(crate) fn delete_address(index: u32, address: Ipv4Addr, prefix_len: u8) -> Message {
    Message::new(DELETE_ADDRESS, REQUEST | ACK, &address_header(index, prefix_len))
        .attribute(IFA_LOCAL, &address.octets())
}

/// Adds a route, or replaces the one of the same destination and metric.
pub(crate) fn add_route(destination: Cidr, hop: NextHop, protocol: u8) -> Message {
    route(NEW_ROUTE, REQUEST | ACK | CREATE | REPLACE, destination, hop, protocol)
}

/// Only one of this protocol.
pub(crate) fn delete_route(destination: Cidr, hop: NextHop, protocol: u8) -> Message {
    route(DELETE_ROUTE, REQUEST | ACK, destination, hop, protocol)
}

/// A neighbour that is never asked for and never learnt anew.
pub(crate) fn add_neighbour(index: u32, address: Ipv4Addr, mac: MacAddress) -> Message {
    let mut header = vec![INET, 0, 0, 0];
    header.extend_from_slice(&index.to_ne_bytes());
    header.extend_from_slice(&NEIGHBOUR_PERMANENT.to_ne_bytes());
    header.extend_from_slice(&[0, 0]);
    Message::new(NEW_NEIGHBOUR, REQUEST | ACK | CREATE | REPLACE, &header)
        .attribute(NDA_DST, &address.octets())
        .attribute(NDA_LLADDR, &mac.octets())
}

fn route(kind: u16, flags: u16, destination: Cidr, hop: NextHop, protocol: u8) -> Message {
    let (scope, route_type) = match hop {
        NextHop::Link { .. } => (SCOPE_LINK, TYPE_UNICAST),
        NextHop::Gateway { .. } => (SCOPE_UNIVERSE, TYPE_UNICAST),
        NextHop::Unreachable { .. } => (SCOPE_UNIVERSE, TYPE_UNREACHABLE),
    };
    let header = route_header(destination.prefix_len(), protocol, scope, route_type);
    let message = Message::new(kind, flags, &header).attribute(RTA_DST, &destination.base().octets());
    match hop {
        NextHop::Link { index, source: None } => message.u32(RTA_OIF, index),
        NextHop::Link { index, source: Some(source) } => {
            message.u32(RTA_OIF, index).attribute(RTA_PREFSRC, &source.octets())
        }
        NextHop::Gateway { index, router } => {
            message.u32(RTA_OIF, index).attribute(RTA_GATEWAY, &router.octets())
        }
        NextHop::Unreachable { metric } => message.u32(RTA_PRIORITY, metric),
    }
}

fn link_header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

fn address_header(index: u32, prefix_len: u8) -> [u8; 8] {
    let mut header = [INET, prefix_len, 0, 0, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header
}

fn route_header(prefix_len: u8, protocol: u8, scope: u8, route_type: u8) -> [u8; 12] {
    [INET, prefix_len, 0, 0, TABLE_MAIN, protocol, scope, route_type, 0, 0, 0, 0]
}

fn link_of(message: Received<'_>) -> Option<Link> {
    let index = u32_at(message.body, 4)?;
    let (mut name, mut kind) = (None, None);
    for (attribute, value) in attributes(message.body.get(16..)?) {
        match attribute {
            IFLA_IFNAME => name = Some(text_of(value)),
            IFLA_LINKINFO => {
                kind = attributes(value)
                    .find(|(kind, _)| *kind == IFLA_INFO_KIND)
                    .map(|(_, value)| text_of(value));
            }
            _ => {}
        }
    }
    Some(Link { index, name: name?, kind })
}

fn route_of(message: Received<'_>) -> Option<Route> {
    let &[_, prefix_len, _, _, table, protocol, _, route_type, ..] = message.body else { return None };
    let mut route = Route {
        destination: Cidr::new(Ipv4Addr::UNSPECIFIED, prefix_len).ok()?,
        protocol,
        link: None,
        unreachable: route_type == TYPE_UNREACHABLE,
        metric: 0,
    };
    let mut table = u32::from(table);
    for (attribute, value) in attributes(message.body.get(12..)?) {
        match attribute {
            RTA_DST => route.destination = Cidr::new(address_of(value)?, prefix_len).ok()?,
            RTA_OIF => route.link = u32_at(value, 0),
            RTA_PRIORITY => route.metric = u32_at(value, 0)?,
            RTA_TABLE => table = u32_at(value, 0)?,
            _ => {}
        }
    }
    (table == u32::from(TABLE_MAIN)).then_some(route)
}

fn address_of(value: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?))
}
