//! Network mode `bridge`: every container of the task has an interface of its own on the node's bridge.
//!
//! Which ports were chosen is kept where they are published; making an interface that is there already answers it as it is, so that
//! nothing of it has to be remembered here.

use agent_protocol::spec::{NetworkMode, TaskSpec};
use task_lifecycle::NetworkBinding;

use crate::{
    node::Node,
    ports::{BridgeEndpoint, Bridged},
};

/// The interface of a container; `None` in other modes.
pub(crate) fn endpoint(spec: &TaskSpec, container: usize) -> Option<BridgeEndpoint> {
    let ports = spec.containers.get(container)?.port_mappings.clone();
    let id = format!("eni-b-{}-{container}", spec.task_id);
    (spec.network_mode == NetworkMode::Bridge).then_some(BridgeEndpoint { id, ports })
}

/// Those of all containers.
pub(crate) fn endpoints(spec: &TaskSpec) -> Vec<BridgeEndpoint> {
    (0..spec.containers.len()).filter_map(|container| endpoint(spec, container)).collect()
}

/// Makes them all, or none.
pub(crate) async fn attach(node: &Node, spec: &TaskSpec) -> Result<Vec<Bridged>, String> {
    let mut attached = Vec::new();
    let endpoints = endpoints(spec);
    for endpoint in &endpoints {
        match node.machine.network.attach_bridged(endpoint).await {
            Ok(bridged) => attached.push(bridged),
            Err(reason) => {
                for made in &endpoints[..attached.len()] {
                    super::removal::detach_bridged(node, &made.id).await;
                }
                return Err(format!("CannotStartContainerError: {reason}"));
            }
        }
    }
    Ok(attached)
}

/// What DescribeTasks shows of them.
pub(crate) fn bindings(attached: &[Bridged]) -> Vec<(usize, NetworkBinding)> {
    let each = attached.iter().enumerate();
    each.flat_map(|(container, one)| one.bindings.iter().map(move |binding| (container, binding.clone())))
        .collect()
}
