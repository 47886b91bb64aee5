//! HTTP/2 and gRPC, toward clients and toward targets.
//!
//! Framing, flow control and streams are hyper's; what is decided about a request is decided as for HTTP/1.1, by the same rules and choices. A
//! slow side slows the other one down through the windows of HTTP/2, so what is held is bounded by them.

mod asked;
mod back;
mod body;
mod bridge;
mod forward;
mod front;

use std::future::Future;

use tokio::task::spawn_local;

pub(crate) use back::Pool;
pub(crate) use front::serve;

/// Runs hyper's parts on the thread that they belong to.
#[derive(Debug, Clone, Copy)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}
