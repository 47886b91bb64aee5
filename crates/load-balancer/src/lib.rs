//! The data planes of the load balancers: [`DataPlane`] takes configurations, checks targets and reports on them; `application` carries
//! requests, `network` connections and datagrams. `plane` drives both with the configuration and the health of targets.

mod application;
mod checks;
mod http1;
mod network;
mod plane;
mod sockets;
mod tls;

#[cfg(any(test, feature = "fuzzing"))]
pub use application::fuzzing;
pub use application::{AccessLog, Counter, Counts, Meters, Options};
pub use plane::{DataPlane, Reports};
pub use sockets::{Appearance, HostSockets, Lasting, Sockets};
