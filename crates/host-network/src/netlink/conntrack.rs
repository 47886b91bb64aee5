//! Forgetting tracked connections of an address that is given up, so that its next holder does not inherit
//! "established" for packets meant for the previous one.

use std::net::Ipv4Addr;

use nix::{errno::Errno, sys::socket::SockProtocol};

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
