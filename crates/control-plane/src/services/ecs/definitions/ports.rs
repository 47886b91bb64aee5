//! The ports of a task definition: ranges, and that each port is mapped once.
//!
//! A range (`containerPortRange`) is of the container's ports; the host's are chosen, in `bridge` mode as many in a row as are free. Source: the
//! API reference, PortMapping.

use std::collections::BTreeMap;

use aws_shapes_ecs::{ContainerDefinition, NetworkMode, PortMapping, TransportProtocol};

use crate::{gateway::ApiError, services::ecs::names::client};

/// Ranges of a container.
const MOST_RANGES: usize = 100;

/// The first and the last port of `FIRST-LAST`, both from 1 to 65535, the last above the first.
pub fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let (first, last) = (port(first)?, port(last)?);
    (first < last).then_some((first, last))
}

/// Whether the container's ranges are ones, and none of its ports is in two of its mappings.
///
/// # Errors
/// `ClientException` for the first that is wrong.
pub fn check_ranges(
    container: &ContainerDefinition,
    name: &str,
    network_mode: NetworkMode,
) -> Result<(), ApiError> {
    let wrong = |text: String| {
        Err(client(format!("Invalid 'containerPortRange' setting for container '{name}'. {text}")))
    };
    let mappings = container.port_mappings.as_deref().unwrap_or_default();
    let ranges = || mappings.iter().filter_map(|mapping| mapping.container_port_range.as_deref());
    if ranges().count() > MOST_RANGES {
        return wrong(format!("A container can have at most {MOST_RANGES} port ranges."));
    }
    if ranges().next().is_some() && !matches!(network_mode, NetworkMode::Bridge | NetworkMode::Awsvpc) {
        return wrong("Port ranges are supported when networkMode is bridge or awsvpc.".to_owned());
    }
    for mapping in mappings {
        let Some(text) = &mapping.container_port_range else { continue };
        if range(text).is_none() {
            return wrong(format!(
                "'{text}' is not a range. The ports must be between 1 and 65535, and the first port must be less than the last port."
            ));
        }
        if mapping.host_port.is_some_and(|port| port != 0) {
            return wrong("A host port cannot be specified with a port range.".to_owned());
        }
    }
    // In the order of their ports two that overlap stand beside each other.
    let mut spans: Vec<(&str, u16, u16, bool)> = mappings.iter().filter_map(span).collect();
    spans.sort_unstable();
    let overlap = spans
        .windows(2)
        .find(|pair| pair[0].0 == pair[1].0 && pair[1].1 <= pair[0].2 && (pair[0].3 || pair[1].3));
    match overlap {
        Some(pair) => wrong(format!("Port {}/{} is in more than one port mapping.", pair[1].1, pair[1].0)),
        None => Ok(()),
    }
}

/// The protocol, the first and the last port of the container, and whether it is a range.
fn span(mapping: &PortMapping) -> Option<(&'static str, u16, u16, bool)> {
    let protocol = mapping.protocol.unwrap_or(TransportProtocol::Tcp).as_str();
    match &mapping.container_port_range {
        Some(text) => range(text).map(|(first, last)| (protocol, first, last, true)),
        None => {
            let port = u16::try_from(mapping.container_port?).ok()?;
            Some((protocol, port, port, false))
        }
    }
}

/// Whether no port is mapped twice where containers share them: those of the task's interface, or of the host.
///
/// # Errors
/// `ClientException` for the first that is.
pub fn check_unique(containers: &[ContainerDefinition], network_mode: NetworkMode) -> Result<(), ApiError> {
    let twice = |port: i32, protocol: &str, one: &str, other: &str| {
        client(format!(
            "Port {port}/{protocol} is mapped more than once, by the containers '{one}' and '{other}'."
        ))
    };
    let mut taken = BTreeMap::new();
    let mut spans: Vec<(&str, u16, u16, usize, &str)> = Vec::new();
    for container in containers {
        let name = container.name.as_deref().unwrap_or_default();
        for mapping in container.port_mappings.iter().flatten() {
            let protocol = mapping.protocol.unwrap_or(TransportProtocol::Tcp).as_str();
            let port = match network_mode {
                NetworkMode::Awsvpc | NetworkMode::Host => mapping.container_port,
                _ => mapping.host_port.filter(|port| *port != 0),
            };
            if let Some(port) = port
                && let Some(other) = taken.insert((protocol, port), name)
            {
                return Err(twice(port, protocol, other, name));
            }
            if let (NetworkMode::Awsvpc, Some((_, first, last, _))) = (network_mode, span(mapping)) {
                spans.push((protocol, first, last, spans.len(), name));
            }
        }
    }
    // There may be very many. In the order of their ports two that overlap stand beside each other; those of the same port were found
    // above.
    spans.sort_unstable();
    let overlap = spans.windows(2).find(|pair| pair[0].0 == pair[1].0 && pair[1].1 <= pair[0].2);
    match overlap {
        Some([before, after]) => {
            let (one, other) = if before.3 < after.3 { (before, after) } else { (after, before) };
            Err(twice(i32::from(after.1), after.0, one.4, other.4))
        }
        _ => Ok(()),
    }
}
