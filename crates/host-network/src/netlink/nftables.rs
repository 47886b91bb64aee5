//! Elements of nftables sets and maps, added and removed in one transaction.
//!
//! Tables, chains and rules are written by the `nft` program. Elements come and go with every task, and starting
//! a program for each costs more than the rest of attaching an interface together (4–8 ms against 0.1 ms, measured).
//! The layout is that of `include/uapi/linux/netfilter/nf_tables.h`: keys are concatenated fields, each padded to
//! four bytes, addresses in network order.

use nix::sys::socket::SockProtocol;

use super::{
    message::{ACK, CREATE, Message, REQUEST},
    socket::{NetlinkError, Socket},
};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_ELEMENT: u16 = (SUBSYSTEM << 8) | 12;
const DELETE_ELEMENT: u16 = (SUBSYSTEM << 8) | 14;
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const LIST_ELEMENT: u16 = 1;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
const JUMP: i32 = -3;
const FAMILY_INET: u8 = 1;

/// What a map's element maps to; a plain set's element maps to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    None,
    Value(Vec<u8>),
    /// Go on in this chain and come back.
    Jump(String),
}

/// One element of a set or map, with its key in the kernel's layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub set: String,
    pub key: Vec<u8>,
    pub data: Data,
}

/// A socket for transactions on the sets of one `inet` table.
#[derive(Debug)]
pub(crate) struct Nftables {
    socket: Socket,
    table: String,
}

impl Nftables {
    pub(crate) fn open(table: &str) -> Result<Nftables, NetlinkError> {
        Ok(Nftables { socket: Socket::open(SockProtocol::NetlinkNetFilter)?, table: table.to_owned() })
    }

    /// Removes `removed`, then adds `added`; all of it or, on an error, nothing.
    /// The position of a refused request counts `removed` first.
    pub(crate) fn change(&mut self, removed: &[Element], added: &[Element]) -> Result<(), NetlinkError> {
        let count = removed.len() + added.len();
        if count == 0 {
            return Ok(());
        }
        // The kernel tells every refusal, asked or not, and all answers in order: the last one's acknowledgement stands for all. A thousand
        // of them would not fit the socket's receive buffer.
        let flags = |position: usize| if position + 1 == count { REQUEST | ACK } else { REQUEST };
        let mut sent = Vec::with_capacity(count + 2);
        sent.push(Message::new(BATCH_BEGIN, REQUEST, &header(0, SUBSYSTEM)));
        let each = removed.iter().enumerate();
        sent.extend(each.map(|(position, element)| self.message(DELETE_ELEMENT, flags(position), element)));
        let each = added.iter().enumerate().map(|(position, element)| (removed.len() + position, element));
        sent.extend(
            each.map(|(position, element)| self.message(NEW_ELEMENT, flags(position) | CREATE, element)),
        );
        sent.push(Message::new(BATCH_END, REQUEST, &header(0, SUBSYSTEM)));
        self.socket.exchange(sent, 1, 1)
    }

    fn message(&self, kind: u16, flags: u16, element: &Element) -> Message {
        Message::new(kind, flags, &header(FAMILY_INET, 0))
            .text(LIST_TABLE, &self.table)
            .text(LIST_SET, &element.set)
            .nest(LIST_ELEMENTS, |list| {
                list.nest(LIST_ELEMENT, |message| {
                    let message = message.nest(ELEMENT_KEY, |key| key.attribute(DATA_VALUE, &element.key));
                    match &element.data {
                        Data::None => message,
                        Data::Value(value) => {
                            message.nest(ELEMENT_DATA, |data| data.attribute(DATA_VALUE, value))
                        }
                        Data::Jump(chain) => message.nest(ELEMENT_DATA, |data| {
                            data.nest(DATA_VERDICT, |verdict| {
                                verdict
                                    .attribute(VERDICT_CODE, &JUMP.to_be_bytes())
                                    .text(VERDICT_CHAIN, chain)
                            })
                        }),
                    }
                })
            })
    }
}

/// `nfgenmsg`: family, version 0, resource id in network order.
fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}
