//! The data planes of the load balancers.

mod sockets;

pub use sockets::{HostSockets, Sockets};
