//! Takes from the machine what a task had on it, again and again until it is gone: nothing is said to be removed that is not.
//!
//! Whoever calls these must be able to be dropped while they go on; the next agent finds what is left.

use std::{io::ErrorKind, path::Path, sync::Arc};

use agent_protocol::spec::{NetworkInterface, TaskSpec};
use container_runtime::RuntimeError;

use super::bridge;
use crate::{
    node::Node,
    ports::{Adopted, Sandbox},
    retry::Backoff,
};

/// Ends the sandbox in `dir`, known as `sandbox` if it is known at all.
pub(crate) async fn remove_sandbox(node: &Node, task: &str, dir: &Path, sandbox: Option<Arc<dyn Sandbox>>) {
    let mut known = sandbox;
    let mut backoff = Backoff::default();
    loop {
        let error = match &known {
            Some(sandbox) => match sandbox.shutdown().await {
                Ok(()) | Err(RuntimeError::ShimGone { .. }) => return,
                Err(error) => {
                    // Found anew, it may be reachable again or known to be dead.
                    known = None;
                    error
                }
            },
            None if !dir.exists() => return,
            None => match node.machine.runtime.adopt(dir).await {
                Ok(Adopted::Running(sandbox)) => {
                    known = Some(sandbox);
                    continue;
                }
                Ok(Adopted::Dead { .. }) => return,
                // There never was one, or the machine's crash tore its description and ended its processes.
                Err(RuntimeError::Io { source, .. })
                    if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) =>
                {
                    return;
                }
                Err(error) => error,
            },
        };
        tracing::warn!(task, %error, "a sandbox does not end");
        backoff.wait().await;
    }
}

/// Everything that the task has on the machine's network.
pub(crate) async fn detach_all(node: &Node, spec: &TaskSpec) {
    if let Some(interface) = &spec.network_interface {
        detach_network(node, interface).await;
    }
    for endpoint in bridge::endpoints(spec) {
        detach_bridged(node, &endpoint.id).await;
    }
}

pub(super) async fn detach_bridged(node: &Node, id: &str) {
    let mut backoff = Backoff::default();
    while let Err(error) = node.machine.network.detach_bridged(id).await {
        tracing::warn!(interface = id, error, "an interface could not be detached");
        backoff.wait().await;
    }
}

async fn detach_network(node: &Node, interface: &NetworkInterface) {
    let mut backoff = Backoff::default();
    while let Err(error) = node.machine.network.detach(interface).await {
        tracing::warn!(interface = interface.interface_id, error, "an interface could not be detached");
        backoff.wait().await;
    }
}
