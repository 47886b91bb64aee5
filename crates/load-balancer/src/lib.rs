//! The data planes of the load balancers: [`DataPlane`] takes configurations, checks targets and reports on them; `network` carries connections
//! and datagrams. What carries requests is to be driven by `plane` in the same way as `network::NetworkPlane` is: `apply` with the
//! configuration and the health of targets, and the number of a target's requests in flight.

mod checks;
mod http1;
mod network;
mod plane;
mod sockets;
mod tls;

pub use plane::{DataPlane, Reports};
pub use sockets::{HostSockets, Sockets};
