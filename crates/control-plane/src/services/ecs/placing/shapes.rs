//! Instances and tasks, from their records to what the core knows of them.

use std::collections::BTreeMap;

use agent_protocol::state::TaskStatus;
use aws_shapes_ecs as ecs;
use placement::{ENI_UNLIMITED, Held, Instance, Phase, Port, Protocol, Standing};
use state_store::View;
use vocabulary::Scope;

use crate::services::ecs::records::{Attribute, ContainerInstance, DesiredStatus, InstanceStatus, Task};

/// The attribute of instances that are not EC2's.
const EXTERNAL: &str = "ecs.capability.external";

/// An instance with its custom attributes, which win over the agent's.
pub fn instance(view: &View, scope: &Scope, record: &ContainerInstance) -> Instance {
    let shape = &record.description.0;
    let mut attributes: BTreeMap<String, Option<String>> = shape
        .attributes
        .iter()
        .flatten()
        .filter_map(|attribute| Some((attribute.name.clone()?, attribute.value.clone())))
        .collect();
    let custom = view.scan_prefix::<Attribute>(scope, &format!("{}/{}/", record.cluster, record.id));
    attributes.extend(custom.map(|(_, attribute)| (attribute.name.clone(), attribute.value.clone())));
    let resources = shape.registered_resources.as_deref().unwrap_or_default();
    let find = |name: &str| resources.iter().find(|resource| resource.name.as_deref() == Some(name));
    let number = |name: &str| {
        let value = find(name).and_then(|resource| resource.integer_value).unwrap_or(0);
        value.max(0).unsigned_abs()
    };
    let ports = |name: &str, protocol| {
        let values = find(name).into_iter().flat_map(|resource| resource.string_set_value.iter().flatten());
        let ports = values.filter_map(move |text| Some(Port { protocol, number: text.parse().ok()? }));
        ports.collect::<Vec<_>>()
    };
    let gpus = find("GPU").map_or(0, |resource| resource.string_set_value.as_ref().map_or(0, Vec::len));
    let instance_type = attributes.get("ecs.instance-type").and_then(Option::as_deref);
    Instance {
        id: record.id.clone(),
        ec2_instance_id: record.ec2_instance_id.clone(),
        standing: match record.status {
            InstanceStatus::Active => Standing::Active,
            InstanceStatus::Draining => Standing::Draining,
        },
        connected: record.agent_connected,
        external: attributes.contains_key(EXTERNAL),
        agent_version: shape.version_info.as_ref().and_then(|info| info.agent_version.clone()),
        registered_at: record.registered_at,
        cpu: number("CPU"),
        memory: number("MEMORY"),
        reserved_ports: [ports("PORTS", Protocol::Tcp), ports("PORTS_UDP", Protocol::Udp)].concat(),
        enis: instance_type.map_or(ENI_UNLIMITED, task_interfaces),
        gpus: u32::try_from(gpus).unwrap_or(u32::MAX),
        attributes,
    }
}

/// Interfaces that tasks may have on an instance of a type: what EC2 allows types of that size, less the primary one. A
/// type that EC2 does not have is a machine of one's own, which has no such bound.
fn task_interfaces(instance_type: &str) -> u32 {
    let size = instance_type.split_once('.').map(|(_, size)| size).unwrap_or_default();
    match size {
        "nano" | "micro" => 1,
        "small" | "medium" | "large" => 2,
        "xlarge" | "2xlarge" => 3,
        "4xlarge" | "8xlarge" | "9xlarge" | "12xlarge" => 7,
        "16xlarge" | "18xlarge" | "24xlarge" | "32xlarge" | "48xlarge" | "metal" => 14,
        _ => ENI_UNLIMITED,
    }
}

/// What a task holds of its instance; none: nothing, since it has stopped or is on no instance.
pub fn held(task: &Task) -> Option<Held> {
    if task.state.last_status >= TaskStatus::Stopped {
        return None;
    }
    Some(Held {
        instance: task.container_instance.clone()?,
        group: task.group.clone(),
        demand: task.reserved.clone().unwrap_or_default(),
        wanted: task.desired_status == DesiredStatus::Running,
        phase: match task.state.last_status {
            status if status < TaskStatus::Running => Phase::Pending,
            TaskStatus::Running => Phase::Running,
            _ => Phase::Ending,
        },
    })
}

/// What an instance has left, as the API shows it.
pub fn remaining(registered: &[ecs::Resource], usage: &placement::Usage) -> Vec<ecs::Resource> {
    let whole = |left: i64| i32::try_from(left).unwrap_or(if left < 0 { i32::MIN } else { i32::MAX });
    let ports = |protocol| {
        let of = usage.ports.iter().filter(move |port| port.protocol == protocol);
        Some(of.map(|port| port.number.to_string()).collect())
    };
    let left = |resource: &ecs::Resource| {
        let mut left = resource.clone();
        match resource.name.as_deref() {
            Some("CPU") => left.integer_value = Some(whole(usage.free_cpu)),
            Some("MEMORY") => left.integer_value = Some(whole(usage.free_memory)),
            Some("PORTS") => left.string_set_value = ports(Protocol::Tcp),
            Some("PORTS_UDP") => left.string_set_value = ports(Protocol::Udp),
            Some("GPU") => {
                let most = usize::try_from(usage.free_gpus).unwrap_or(0);
                left.string_set_value.get_or_insert_default().truncate(most);
            }
            _ => {}
        }
        left
    };
    registered.iter().map(left).collect()
}
