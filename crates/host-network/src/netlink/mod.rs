//! Netlink, as far as interfaces need it: links, addresses, routes and neighbours (`rtnetlink`), elements of
//! nftables sets (`nf_tables`) and forgetting tracked connections (`ctnetlink`).
//!
//! One codec for three protocols, blocking sockets and several requests per system call: attaching an interface is
//! two round trips to the kernel, which is most of what keeps it under a millisecond. A socket stays in the network
//! namespace of the thread that opened it, so a namespace is configured from outside through a socket opened inside.
//!
//! It knows message layouts (RFC 3549, `include/uapi/linux` of the kernel), nothing of VPCs.

mod conntrack;
mod message;
mod nftables;
pub(crate) mod route;

mod socket;

#[cfg(test)]
mod tests;

pub(crate) use conntrack::{Connections, forget_connections};
#[cfg(test)]
pub(crate) use message::Message;
pub(crate) use nftables::{Data, Element, Nftables};
pub(crate) use route::{NextHop, ROUTE_PROTOCOL, Route, Rtnetlink};
pub use socket::NetlinkError;
