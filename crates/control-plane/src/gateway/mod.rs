//! The front door: every request comes in here, and every answer goes out.
//!
//! In this order: which operation is it; who calls; is the input what the model says; answer; encode. A request that fails one of these goes
//! no further, and the error goes out in the protocol that the client spoke. `/v2/` is the registry's, `/health` the operator's, and a load
//! balancer's host name is that balancer's, whatever the path.

mod balancers;
pub mod body;
mod call;
mod console;
pub mod credentials;
mod error;
mod operations;
mod origin;
mod server;

pub use call::{Call, Context, Origin, Principal};
pub use credentials::Trust;
pub use error::ApiError;
pub use operations::{Answer, Operations, ServiceOperations, Streamed};
pub use server::{Gateway, Listening, OverTls};
