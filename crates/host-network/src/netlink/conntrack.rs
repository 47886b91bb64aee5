//! Forgetting tracked connections: all of an address that is given up, so that its next holder does not inherit
//! "established" for packets meant for the previous one, and single ones.

use std::net::{Ipv4Addr, SocketAddrV4};

use nix::{errno::Errno, sys::socket::SockProtocol};

use crate::spec::Transport;

use super::{
    message::{ACK, DUMP, Message, REQUEST, attributes},
    socket::{NetlinkError, Socket},
};

const SUBSYSTEM: u16 = 1;
const GET: u16 = (SUBSYSTEM << 8) | 1;
const DELETE: u16 = (SUBSYSTEM << 8) | 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_SOURCE_PORT: u16 = 2;
const PROTOCOL_DESTINATION_PORT: u16 = 3;
const IP_SOURCE: u16 = 1;
const IP_DESTINATION: u16 = 2;
const HEADER: [u8; 4] = [2, 0, 0, 0];

/// Forgets every IPv4 connection with one of `addresses` on either end, before or after translation.
/// Walks the whole connection table: call it off the path of starting tasks.
pub(crate) fn forget_connections(addresses: &[Ipv4Addr]) -> Result<usize, NetlinkError> {
    if addresses.is_empty() {
        return Ok(0);
    }
    let mut socket = Socket::open(SockProtocol::NetlinkNetFilter)?;
    let originals = socket.collect(Message::new(GET, REQUEST | DUMP, &HEADER), true, |message| {
        let attributes: Vec<_> = attributes(message.body.get(4..)?).collect();
        let tuple = |wanted| attributes.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
        let original = tuple(TUPLE_ORIGINAL)?;
        let concerned =
            names(original, addresses) || tuple(TUPLE_REPLY).is_some_and(|reply| names(reply, addresses));
        concerned.then(|| original.to_vec())
    })?;
    for original in &originals {
        let request =
            Message::new(DELETE, REQUEST | ACK, &HEADER).nest(TUPLE_ORIGINAL, |tuple| tuple.raw(original));
        match socket.request_all(vec![request]) {
            // Ended by itself meanwhile.
            Ok(()) | Err(NetlinkError::Refused { errno: Errno::ENOENT, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(originals.len())
}

fn names(tuple: &[u8], addresses: &[Ipv4Addr]) -> bool {
    attributes(tuple)
        .filter(|(kind, _)| *kind == TUPLE_IP)
        .flat_map(|(_, ip)| attributes(ip))
        .filter(|(kind, _)| [IP_SOURCE, IP_DESTINATION].contains(kind))
        .any(|(_, value)| addresses.iter().any(|address| address.octets() == value))
}

/// Single tracked connections, by what the packets of one of their directions look like.
#[derive(Debug)]
pub(crate) struct Connections(Socket);

impl Connections {
    pub(crate) fn open() -> Result<Connections, NetlinkError> {
        Ok(Connections(Socket::open(SockProtocol::NetlinkNetFilter)?))
    }

    /// The address, before any translation, of whoever began the connection that has such packets.
    pub(crate) fn begun_by(
        &mut self,
        protocol: Transport,
        source: SocketAddrV4,
        destination: SocketAddrV4,
    ) -> Result<Option<Ipv4Addr>, NetlinkError> {
        let request = tuple(Message::new(GET, REQUEST, &HEADER), protocol, source, destination);
        let found = self.0.collect(request, false, |message| {
            let original = inner(message.body.get(4..)?, TUPLE_ORIGINAL)?;
            let source = inner(inner(original, TUPLE_IP)?, IP_SOURCE)?;
            Some(Ipv4Addr::from(<[u8; 4]>::try_from(source).ok()?))
        });
        match found {
            Ok(found) => Ok(found.into_iter().next()),
            Err(NetlinkError::Refused { errno: Errno::ENOENT, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Forgets the connection that has such packets, if there is one.
    pub(crate) fn forget(
        &mut self,
        protocol: Transport,
        source: SocketAddrV4,
        destination: SocketAddrV4,
    ) -> Result<(), NetlinkError> {
        let request = tuple(Message::new(DELETE, REQUEST | ACK, &HEADER), protocol, source, destination);
        match self.0.request_all(vec![request]) {
            Err(NetlinkError::Refused { errno: Errno::ENOENT, .. }) => Ok(()),
            other => other,
        }
    }
}

/// The kernel looks for it in both directions, whichever it is said to be.
fn tuple(message: Message, protocol: Transport, source: SocketAddrV4, destination: SocketAddrV4) -> Message {
    let number = match protocol {
        Transport::Tcp => 6,
        Transport::Udp => 17,
    };
    message.nest(TUPLE_ORIGINAL, |tuple| {
        let tuple = tuple.nest(TUPLE_IP, |ip| {
            ip.attribute(IP_SOURCE, &source.ip().octets())
                .attribute(IP_DESTINATION, &destination.ip().octets())
        });
        tuple.nest(TUPLE_PROTOCOL, |ports| {
            ports
                .attribute(PROTOCOL_NUMBER, &[number])
                .attribute(PROTOCOL_SOURCE_PORT, &source.port().to_be_bytes())
                .attribute(PROTOCOL_DESTINATION_PORT, &destination.port().to_be_bytes())
        })
    })
}

fn inner(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}
