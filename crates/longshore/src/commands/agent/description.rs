//! What the machine says of itself as it registers.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context;
use node_agent::remote::{InstanceDescription, PortReservations};
use serde_json::json;

use super::Place;
use crate::cli::AgentArgs;

/// What the agent can do beside running containers, as task definitions ask for it. `awsvpc` (`ecs.capability.task-eni`) is not among them:
/// a VPC does not reach beyond the platform's own machine.
const CAPABILITIES: [&str; 20] = [
    "com.amazonaws.ecs.capability.docker-remote-api.1.17",
    "com.amazonaws.ecs.capability.docker-remote-api.1.18",
    "com.amazonaws.ecs.capability.docker-remote-api.1.19",
    "com.amazonaws.ecs.capability.docker-remote-api.1.21",
    "com.amazonaws.ecs.capability.docker-remote-api.1.24",
    "com.amazonaws.ecs.capability.docker-remote-api.1.25",
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "com.amazonaws.ecs.capability.logging-driver.json-file",
    "com.amazonaws.ecs.capability.logging-driver.none",
    "com.amazonaws.ecs.capability.privileged-container",
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.task-iam-role-network-host",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.container-port-range",
    "ecs.capability.container-restart-policy",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.execution-role-ecr-pull",
    "ecs.capability.pid-ipc-namespace-sharing",
];

pub(super) fn describe(
    args: &AgentArgs,
    data_dir: &Path,
    place: &Place,
) -> anyhow::Result<InstanceDescription> {
    let zone = args.availability_zone.clone().unwrap_or_else(|| format!("{}a", args.region));
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    let mut attributes: BTreeMap<String, Option<String>> =
        CAPABILITIES.iter().map(|name| ((*name).to_owned(), None)).collect();
    if args.external {
        attributes.insert("ecs.capability.external".to_owned(), None);
    }
    for (name, value) in [
        ("ecs.availability-zone", zone.as_str()),
        ("ecs.cpu-architecture", architecture),
        ("ecs.os-type", "linux"),
        ("ecs.os-family", "LINUX"),
    ] {
        attributes.insert(name.to_owned(), Some(value.to_owned()));
    }
    if let Some(provider) = &args.capacity_provider {
        attributes.insert("longshore.capacity-provider".to_owned(), Some(provider.clone()));
    }
    for (name, value) in &args.attributes {
        attributes.insert(name.clone(), Some(value.clone()));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut tcp = vec![22];
    tcp.extend(place.platform);
    Ok(InstanceDescription {
        cpu_units: u32::try_from(cores * 1024).unwrap_or(u32::MAX),
        memory_mib: total_memory_mib()?.saturating_sub(args.reserved_memory),
        reserved: PortReservations { tcp, udp: vec![] },
        attributes,
        identity: json!({
            "instanceId": instance_id(args, data_dir)?,
            "privateIp": place.address,
            "region": args.region.to_string(),
            "availabilityZone": zone,
            "architecture": architecture,
        }),
    })
}

fn total_memory_mib() -> anyhow::Result<u32> {
    let text = fs::read_to_string("/proc/meminfo").context("reading the machine's memory")?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: u64 = total
        .and_then(|total| total.trim().trim_end_matches("kB").trim().parse().ok())
        .context("/proc/meminfo does not say how much memory there is")?;
    Ok(u32::try_from(kib / 1024).unwrap_or(u32::MAX))
}

/// The name that was given, or one that is made up once.
fn instance_id(args: &AgentArgs, data_dir: &Path) -> anyhow::Result<String> {
    if let Some(id) = &args.instance_id {
        return Ok(id.clone());
    }
    let path = data_dir.join("instance-id");
    if let Ok(kept) = fs::read_to_string(&path) {
        return Ok(kept.trim().to_owned());
    }
    let random = fs::read_to_string("/proc/sys/kernel/random/uuid").context("reading randomness")?;
    let digits: String = random.chars().filter(char::is_ascii_hexdigit).take(17).collect();
    let id = format!("{}-{digits}", if args.external { "mi" } else { "i" });
    fs::write(&path, &id).with_context(|| format!("writing {}", path.display()))?;
    Ok(id)
}
