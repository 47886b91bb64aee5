//! What a task needs of an instance, from its definition and overrides.

use aws_shapes_ecs as ecs;
use placement::{Demand, Instance, Port, Protocol, Requirement};
use state_store::View;

use crate::{
    gateway::ApiError,
    services::{
        ec2::records::Subnet,
        ecs::{
            definitions::{cpu_units, memory_mib},
            names::client,
            tasks::launch::Launch,
        },
    },
};

/// What an instance must have and give.
#[derive(Debug)]
pub struct Needs {
    pub demand: Demand,
    pub required: Vec<Requirement>,
}

impl Needs {
    /// # Errors
    /// `ClientException` for sizes in the overrides that are none.
    pub fn of(view: &View, launch: &Launch<'_>) -> Result<Needs, ApiError> {
        let shape = &launch.definition.definition.0;
        Ok(Needs { demand: demand(shape, &launch.overrides.0)?, required: required(view, launch, shape) })
    }
}

/// The task's own size where it has one, else the sum of its containers'; memory: the reservation, or the limit without one.
fn demand(shape: &ecs::TaskDefinition, overrides: &ecs::TaskOverride) -> Result<Demand, ApiError> {
    let containers = || shape.container_definitions.iter().flatten();
    let own = |container: &ecs::ContainerDefinition| {
        overrides.container_overrides.iter().flatten().find(|own| own.name == container.name)
    };
    let sum = |of: &dyn Fn(&ecs::ContainerDefinition) -> Option<i32>| {
        containers().map(|container| of(container).unwrap_or(0).max(0).unsigned_abs()).sum::<u32>()
    };
    let text = |own: &Option<String>, defined: &Option<String>| own.clone().or_else(|| defined.clone());
    let cpu = match text(&overrides.cpu, &shape.cpu) {
        Some(text) => cpu_units(&text)
            .ok_or_else(|| client(format!("Invalid 'cpu' setting for task. Value '{text}' is not valid.")))?,
        None => sum(&|container| own(container).and_then(|own| own.cpu).or(container.cpu)),
    };
    let memory = match text(&overrides.memory, &shape.memory) {
        Some(text) => memory_mib(&text).ok_or_else(|| {
            client(format!("Invalid 'memory' setting for task. Value '{text}' is not valid."))
        })?,
        None => sum(&|container| {
            let own = own(container);
            own.and_then(|own| own.memory_reservation)
                .or(container.memory_reservation)
                .or_else(|| own.and_then(|own| own.memory))
                .or(container.memory)
        }),
    };
    let gpus = containers().flat_map(|container| {
        let own = own(container).and_then(|own| own.resource_requirements.as_ref());
        own.or(container.resource_requirements.as_ref()).into_iter().flatten()
    });
    let gpus = gpus.filter(|resource| resource.r#type == Some(ecs::ResourceType::Gpu));
    let gpus = gpus.filter_map(|resource| resource.value.as_deref()?.parse::<u32>().ok()).sum();
    let awsvpc = shape.network_mode == Some(ecs::NetworkMode::Awsvpc);
    let ports = if awsvpc { Vec::new() } else { ports(shape) };
    Ok(Demand { cpu, memory, ports, enis: u32::from(awsvpc), gpus })
}

/// The host ports that the definition names.
fn ports(shape: &ecs::TaskDefinition) -> Vec<Port> {
    let on_host = shape.network_mode == Some(ecs::NetworkMode::Host);
    let mappings = shape.container_definitions.iter().flatten();
    let mappings = mappings.flat_map(|container| container.port_mappings.iter().flatten());
    let named = mappings.filter_map(|mapping| {
        let own = mapping.host_port.filter(|port| *port != 0);
        let number = if on_host { own.or(mapping.container_port) } else { own };
        Some(Port {
            protocol: match mapping.protocol {
                Some(ecs::TransportProtocol::Udp) => Protocol::Udp,
                _ => Protocol::Tcp,
            },
            number: u16::try_from(number?).ok()?,
        })
    });
    let mut ports: Vec<Port> = named.collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// What AWS derives from the definition, the platform that it names, and a zone that its interface can be in.
fn required(view: &View, launch: &Launch<'_>, shape: &ecs::TaskDefinition) -> Vec<Requirement> {
    let plain = |attribute: &ecs::Attribute| {
        let name = attribute.name.clone()?;
        Some(Requirement { name, values: attribute.value.clone().into_iter().collect() })
    };
    let mut required: Vec<Requirement> =
        shape.requires_attributes.iter().flatten().filter_map(plain).collect();
    let architecture = shape.runtime_platform.as_ref().and_then(|platform| platform.cpu_architecture);
    if let Some(architecture) = architecture {
        let name = match architecture {
            ecs::CPUArchitecture::Arm64 => "arm64",
            _ => "x86_64",
        };
        required.push(Requirement { name: "ecs.cpu-architecture".to_owned(), values: vec![name.to_owned()] });
    }
    if shape.network_mode == Some(ecs::NetworkMode::Awsvpc) {
        let zones = subnets(view, launch).map(|subnet| subnet.availability_zone.clone()).collect();
        required.push(Requirement { name: Instance::ZONE.to_owned(), values: zones });
    }
    required
}

/// The given subnets that exist.
fn subnets<'a>(view: &'a View, launch: &'a Launch<'_>) -> impl Iterator<Item = std::sync::Arc<Subnet>> + 'a {
    let given = launch.network.and_then(|network| network.subnets.as_deref()).unwrap_or_default();
    given.iter().filter_map(|id| view.get::<Subnet>(launch.scope, id))
}

/// Those of the given subnets that are in the zone; none: not one.
pub fn subnets_in(view: &View, launch: &Launch<'_>, zone: &str) -> Option<Vec<String>> {
    let there = subnets(view, launch).filter(|subnet| subnet.availability_zone == zone);
    let there: Vec<String> = there.map(|subnet| subnet.id.clone()).collect();
    (!there.is_empty()).then_some(there)
}
