//! The documents of the task metadata endpoint, version 4 (and 3, which lacks a few members), and credentials.
//! Source: the developer guide, "task metadata endpoint version 4 for tasks on Fargate".

use agent_protocol::spec::{
    Awslogs, LaunchType, LogConfiguration, NetworkMode, PortMapping, RoleCredentials, TransportProtocol,
};
use serde_json::{Map, Value, json};
use task_lifecycle::{ContainerFacts, HealthStatus, ImageFacts, ProcessFacts};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use vocabulary::Timestamp;

use super::view::ViewState;

/// Ports of one mapping that are told: as many as a container on the bridge can have.
const MOST_PORTS: usize = 1000;

pub(super) fn container(state: &ViewState, index: usize, version: &str) -> Value {
    let (spec, facts) = (&state.spec.containers[index], &state.facts.containers[index]);
    let image = state.images[index].as_ref();
    let mut document = Map::new();
    let mut set = |name: &str, value: Value| drop(document.insert(name.to_owned(), value));
    set("DockerId", json!(spec.runtime_id));
    set("Name", json!(spec.name));
    set("DockerName", json!(spec.name));
    set("Image", json!(spec.image));
    set(
        "ImageID",
        json!(
            image
                .map(|image| image.config_digest.clone())
                .or(match &facts.image {
                    ImageFacts::Ready { digest } => digest.clone(),
                    _ => None,
                })
                .unwrap_or_default()
        ),
    );
    set("Labels", labels(state, index));
    set("DesiredStatus", json!(desired_status(state)));
    set(
        "KnownStatus",
        json!(match facts.process {
            ProcessFacts::NotStarted => "NONE",
            ProcessFacts::Starting => "CREATED",
            ProcessFacts::Running { .. } => "RUNNING",
            ProcessFacts::Exited(_) | ProcessFacts::Failed => "STOPPED",
        }),
    );
    if let Some(exit) = facts.exit() {
        set("ExitCode", json!(exit.code));
        set("FinishedAt", json!(rfc3339(exit.at)));
    }
    let mut limits = json!({"CPU": spec.cpu_units});
    if let Some(memory) = spec.memory_mib {
        limits["Memory"] = json!(memory);
    }
    set("Limits", limits);
    if let Some(at) = state.facts.pull_stopped_at.or(facts.first_started_at) {
        set("CreatedAt", json!(rfc3339(at)));
    }
    if let Some(at) = facts.first_started_at {
        set("StartedAt", json!(rfc3339(at)));
    }
    set("Type", json!("NORMAL"));
    if spec.health_check.is_some() {
        let status = facts.health.status;
        let known = (status != HealthStatus::Unknown).then_some(facts.first_started_at).flatten();
        set("Health", json!({"status": status.as_str(), "statusSince": known.map(rfc3339)}));
    }
    let ports: Vec<Value> = spec.port_mappings.iter().flat_map(|mapping| ports(mapping, facts)).collect();
    if !ports.is_empty() {
        set("Ports", json!(ports));
    }
    if !spec.volumes_from.is_empty() || !spec.mount_points.is_empty() {
        let volumes: Vec<Value> = spec
            .mount_points
            .iter()
            .map(|point| json!({"DockerName": point.source_volume, "Destination": point.container_path}))
            .collect();
        set("Volumes", json!(volumes));
    }
    if version == "v4" {
        if let LogConfiguration::Awslogs(options) = &spec.log {
            set("LogDriver", json!("awslogs"));
            set("LogOptions", log_options(state, index, options));
        }
        let arn = spec.container_arn.clone().unwrap_or_else(|| {
            state.spec.task_arn.replacen(":task/", ":container/", 1) + "/" + &spec.runtime_id
        });
        set("ContainerARN", json!(arn));
        set("Snapshotter", json!("overlayfs"));
        set("RestartCount", json!(facts.run));
    }
    set("Networks", json!([network(state, index, version)]));
    Value::Object(document)
}

pub(super) fn task(state: &ViewState, version: &str, now: Timestamp) -> Value {
    let (spec, facts) = (&state.spec, &state.facts);
    let containers: Vec<Value> =
        (0..spec.containers.len()).map(|index| container(state, index, version)).collect();
    let known = facts.reported.as_ref().map_or("PENDING", |change| change.status.as_str());
    let mut document = json!({
        "Cluster": match spec.launch_type { LaunchType::Fargate => &spec.cluster_arn, _ => &spec.cluster_name },
        "TaskARN": spec.task_arn,
        "Family": spec.family,
        "Revision": spec.revision.to_string(),
        "DesiredStatus": desired_status(state),
        "KnownStatus": known,
        "AvailabilityZone": spec.availability_zone,
        "Containers": containers,
    });
    let mut set = |name: &str, value: Value| document[name] = value;
    let mut limits = Map::new();
    if let Some(units) = spec.cpu_units {
        limits.insert("CPU".to_owned(), json!(f64::from(units) / 1024.0));
    }
    if let Some(memory) = spec.memory_mib {
        limits.insert("Memory".to_owned(), json!(memory));
    }
    set("Limits", Value::Object(limits));
    for (name, at) in [
        ("PullStartedAt", facts.pull_started_at),
        ("PullStoppedAt", facts.pull_stopped_at),
        ("ExecutionStoppedAt", facts.execution_stopped_at),
    ] {
        if let Some(at) = at {
            set(name, json!(rfc3339(at)));
        }
    }
    if version == "v4" {
        set("FaultInjectionEnabled", json!(false));
        if let Some(drift) = clock_drift(now) {
            set("ClockDrift", drift);
        }
        let launch_type = match spec.launch_type {
            LaunchType::Fargate => "FARGATE",
            LaunchType::Ec2 => "EC2",
            LaunchType::External => "EXTERNAL",
        };
        set("LaunchType", json!(launch_type));
        if let Some(interface) = &spec.network_interface {
            set("VPCID", json!(interface.vpc_id));
        }
        if let Some(service) = &spec.service_name {
            set("ServiceName", json!(service));
        }
        if let Some(gib) = spec.ephemeral_storage_gib {
            set(
                "EphemeralStorageMetrics",
                json!({"Utilized": state.stored_bytes() >> 20, "Reserved": u64::from(gib) * 1024}),
            );
        }
    }
    document
}

/// How right the machine's clock is; none where the kernel does not say.
fn clock_drift(now: Timestamp) -> Option<Value> {
    let state = container_runtime::clock_state().ok()?;
    Some(json!({
        "ClockErrorBound": state.error_bound_milliseconds,
        "ReferenceTimestamp": rfc3339(now),
        "ClockSynchronizationStatus": if state.is_synchronized { "SYNCHRONIZED" } else { "NOT_SYNCHRONIZED" },
    }))
}

pub(super) fn credentials(role: &RoleCredentials) -> Value {
    json!({
        "RoleArn": role.role_arn,
        "AccessKeyId": role.access_key_id,
        "SecretAccessKey": role.secret_access_key.expose(),
        "Token": role.session_token.expose(),
        "Expiration": rfc3339(role.expiration),
    })
}

/// The ports that the container listens on, each of a range, and where the machine has them.
fn ports(mapping: &PortMapping, facts: &ContainerFacts) -> Vec<Value> {
    let protocol = match mapping.protocol {
        TransportProtocol::Tcp => "tcp",
        TransportProtocol::Udp => "udp",
    };
    let port = |container_port: u16| {
        let mut document = json!({"ContainerPort": container_port, "Protocol": protocol});
        let bound = facts.network_bindings.iter().filter(|binding| binding.protocol == protocol);
        let mut bound = bound.filter_map(|binding| Some((binding, binding.host_port_of(container_port)?)));
        if let Some((binding, host_port)) = bound.next() {
            document["HostPort"] = json!(host_port);
            document["HostIp"] = json!(binding.bind_ip);
        }
        document
    };
    let last = mapping.container_port.saturating_add(mapping.count() - 1);
    (mapping.container_port..=last).take(MOST_PORTS).map(port).collect()
}

fn labels(state: &ViewState, index: usize) -> Value {
    let (task, container) = (&state.spec, &state.spec.containers[index]);
    let mut labels: Map<String, Value> =
        container.docker_labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    for (name, value) in [
        ("cluster", task.cluster_arn.clone()),
        ("container-name", container.name.clone()),
        ("task-arn", task.task_arn.clone()),
        ("task-definition-family", task.family.clone()),
        ("task-definition-version", task.revision.to_string()),
    ] {
        labels.insert(format!("com.amazonaws.ecs.{name}"), json!(value));
    }
    Value::Object(labels)
}

fn log_options(state: &ViewState, index: usize, options: &Awslogs) -> Value {
    let (task, container) = (&state.spec, &state.spec.containers[index]);
    let stream = match &options.stream_prefix {
        Some(prefix) => format!("{prefix}/{}/{}", container.name, task.task_id),
        None => container.runtime_id.clone(),
    };
    let region = options.region.as_ref().unwrap_or(&task.region);
    json!({"awslogs-group": options.group, "awslogs-region": region.as_str(), "awslogs-stream": stream})
}

fn network(state: &ViewState, index: usize, version: &str) -> Value {
    let Some(interface) = &state.spec.network_interface else {
        let mode = match state.spec.network_mode {
            NetworkMode::Host => "host",
            NetworkMode::Bridge => "bridge",
            NetworkMode::Awsvpc => "awsvpc",
            NetworkMode::None => "none",
        };
        let own = state.addresses.get(index).map(|address| vec![address.to_string()]).unwrap_or_default();
        return json!({"NetworkMode": mode, "IPv4Addresses": own});
    };
    let mut network =
        json!({"NetworkMode": "awsvpc", "IPv4Addresses": [interface.private_address.to_string()]});
    if version == "v4" {
        let subnet = interface.subnet_cidr;
        let servers: Vec<String> = interface.dns_servers.iter().map(ToString::to_string).collect();
        network["AttachmentIndex"] = json!(0);
        network["MACAddress"] = json!(interface.mac_address.to_string());
        network["IPv4SubnetCIDRBlock"] = json!(subnet.to_string());
        network["DomainNameServers"] = json!(servers);
        network["DomainNameSearchList"] = json!(interface.dns_search_domains);
        network["PrivateDNSName"] = json!(interface.private_dns_name);
        network["SubnetGatewayIpv4Address"] =
            json!(format!("{}/{}", interface.router_address, subnet.prefix_len()));
    }
    network
}

fn desired_status(state: &ViewState) -> &'static str {
    match state.facts.stop {
        None => "RUNNING",
        Some(_) => "STOPPED",
    }
}

/// `2026-11-21T07:30:00.123Z`.
pub(super) fn rfc3339(at: Timestamp) -> String {
    let nanoseconds = i128::from(at.as_millis()) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds);
    time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}
