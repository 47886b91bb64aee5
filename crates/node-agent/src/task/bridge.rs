//! Network mode `bridge`: every container of the task has an interface of its own on the node's bridge.
//!
//! Which ports were chosen is kept where they are published; making an interface that is there already answers it as it is, so that
//! nothing of it has to be remembered here.

use std::sync::Arc;

use agent_protocol::spec::{ExtraHost, NetworkMode, TaskSpec};
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

/// The task with the addresses of the container's links among its hosts.
pub(crate) async fn linked(
    node: &Node,
    spec: Arc<TaskSpec>,
    container: usize,
) -> Result<Arc<TaskSpec>, String> {
    let links = spec.containers.get(container).map(|one| one.links.clone()).unwrap_or_default();
    if links.is_empty() {
        return Ok(spec);
    }
    let mut named = (*spec).clone();
    for link in links {
        let found = spec.containers.iter().position(|one| one.name == link.container_name);
        let Some(other) = found.and_then(|other| endpoint(&spec, other)) else { continue };
        let bridged = node.machine.network.attach_bridged(&other).await;
        let address = bridged.map_err(|reason| format!("CannotStartContainerError: {reason}"))?.address;
        let names = match link.alias == link.container_name {
            true => link.alias,
            false => format!("{} {}", link.alias, link.container_name),
        };
        let host = ExtraHost { hostname: names, ip_address: address.to_string() };
        named.containers[container].extra_hosts.push(host);
    }
    Ok(Arc::new(named))
}

/// What DescribeTasks shows of them.
pub(crate) fn bindings(attached: &[Bridged]) -> Vec<(usize, NetworkBinding)> {
    let each = attached.iter().enumerate();
    each.flat_map(|(container, one)| one.bindings.iter().map(move |binding| (container, binding.clone())))
        .collect()
}
