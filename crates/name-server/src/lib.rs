//! The name server of a machine's VPCs: what tasks find at their VPC's base address + 2 and at 169.254.169.253.
//!
//! It answers by itself the zones that the control plane publishes and the names that follow from addresses
//! (`ip-172-31-0-9.ec2.internal`, reverse names, `localhost`), and asks the machine's own resolvers about the rest. What a client
//! sees depends on where it asks from: a [`View`] belongs to the source ranges of a VPC. Clients outside all views, and bytes that are no
//! question, get no answer.
//!
//! | file | decides |
//! |---|---|
//! | `message`, `record`, `name` | bytes to structure and back |
//! | `zone`, `private_names`, `table` | what is known here, and to whom; pure |
//! | `forward` | asking others: order, times, memory |
//! | `respond` | the answer to a client's bytes |
//! | `server` | sockets and bounds |
//!
//! The wire format is read and written here rather than by a library: that is 600 lines with properties over arbitrary bytes,
//! where `hickory-proto` alone would add 34 crates to the tree (internationalised names and their Unicode tables
//! for the most part), and forwarding wants records passed on as they came.
//!
//! Not here: wildcards, delegations, transfers, dynamic updates, DNSSEC (signatures pass through unverified), IPv6 addresses of
//! our own, encrypted transports.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use name_server::{Name, NameServer, NameServerConfig, PrivateNames, Upstream, View, ZoneTable};
//!
//! let range = "172.31.0.0/16".parse()?;
//! let view = View {
//!     sources: vec![range],
//!     dns_support: true,
//!     private_names: vec![PrivateNames { range, domain: Some(Name::parse("ec2.internal")?) }],
//!     zones: [].into_iter().collect(),
//! };
//! let (publish, tables) = tokio::sync::watch::channel(Arc::new(ZoneTable::new(1, vec![view])));
//! let config = NameServerConfig {
//!     listen: vec!["169.254.169.253:53".parse()?],
//!     upstream: Upstream::FromResolvConf("/etc/resolv.conf".into()),
//! };
//! let server = NameServer::start(config, tables).await?;
//! // A new table replaces the old one as a whole, at once.
//! publish.send_replace(Arc::new(ZoneTable::new(2, vec![])));
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

use std::net::Ipv4Addr;

mod forward;
mod message;
mod name;
mod private_names;
mod record;
mod respond;
mod server;
mod table;
mod zone;

#[cfg(test)]
mod tests;

pub use forward::Upstream;
pub use name::{Name, NameError};
pub use private_names::PrivateNames;
pub use record::{Data, RecordType};
pub use server::{NameServer, NameServerConfig, NameServerHandle, StartError};
pub use table::{View, ZoneTable, Zones};
pub use zone::{DEFAULT_NEGATIVE_TTL_SECONDS, MAX_RECORDS_PER_SET, MAX_RECORDS_PER_ZONE, Zone, ZoneError};

/// Where the VPCs' resolvers are reached from everywhere, and where this one listens on a machine.
pub const RESOLVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// The port of DNS.
pub const PORT: u16 = 53;
