//! One container of a task.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use task_lifecycle::{Dependency, RestartPolicy};

use crate::Sensitive;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerSpec {
    pub name: String,
    /// As the definition names it.
    pub image: String,
    /// `TASKID-DIGITS`; names the container to the runtime and in `/v4/ID`.
    pub runtime_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_arn: Option<String>,
    pub essential: bool,
    /// Replaces the image's entry point, and then also its command. `None`: the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<Vec<String>>,
    /// Replaces the image's command. `None`: the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// In the definition's order, overrides applied; a later entry of the same name wins. Values may be secrets
    /// in all but name, so they do not show in `Debug`.
    #[serde(default)]
    pub environment: Vec<EnvironmentVariable>,
    /// Contents of the environment files, in order: lines `NAME=VALUE`. The first that sets a name wins, and `environment` over them all.
    #[serde(default)]
    pub environment_files: Vec<Sensitive>,
    /// Secrets, already resolved. They win over both.
    #[serde(default)]
    pub secrets: Vec<EnvironmentVariable>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// `uid`, `uid:gid`, `user`, `user:group` and mixtures, resolved in the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Relative share, 1024 to a core.
    #[serde(default)]
    pub cpu_units: u32,
    /// Hard limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// Soft limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_reservation_mib: Option<u32>,
    #[serde(default)]
    pub port_mappings: Vec<PortMapping>,
    #[serde(default)]
    pub mount_points: Vec<MountPoint>,
    #[serde(default)]
    pub volumes_from: Vec<VolumesFrom>,
    #[serde(default)]
    pub linux_parameters: LinuxParameters,
    #[serde(default)]
    pub ulimits: Vec<Ulimit>,
    /// `sysctl`s: name to value.
    #[serde(default)]
    pub system_controls: BTreeMap<String, String>,
    #[serde(default)]
    pub readonly_root_filesystem: bool,
    #[serde(default)]
    pub privileged: bool,
    #[serde(default)]
    pub pseudo_terminal: bool,
    #[serde(default)]
    pub interactive: bool,
    #[serde(default)]
    pub dns_servers: Vec<String>,
    #[serde(default)]
    pub dns_search_domains: Vec<String>,
    #[serde(default)]
    pub extra_hosts: Vec<ExtraHost>,
    /// Containers of the task that it knows by name, in network mode `bridge`.
    #[serde(default)]
    pub links: Vec<Link>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(default)]
    pub docker_labels: BTreeMap<String, String>,
    #[serde(default)]
    pub depends_on: Vec<Dependency>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timeout_seconds: Option<u32>,
    /// `None`: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout_seconds: Option<u32>,
    /// The signal that asks it to end. `None`: the image's, or SIGTERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// `None`: no check (the definition has none, or `NONE`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    #[serde(default)]
    pub log: LogConfiguration,
    /// Whether options of it are secrets, which come with the task's others.
    #[serde(default)]
    pub log_awaits_secrets: bool,
    /// Credentials of a private registry (`repositoryCredentials`), already resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_credentials: Option<RegistryCredentials>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentVariable {
    pub name: String,
    pub value: Sensitive,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// Of a range (`containerPortRange`) the first.
    pub container_port: u16,
    /// Of a range the last, above the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_container_port: Option<u16>,
    /// The host's port. `None` in `bridge` mode: one of the ephemeral range is picked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    pub protocol: TransportProtocol,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl PortMapping {
    /// How many ports it is, which are as many of the host's in a row.
    pub fn count(&self) -> u16 {
        let last = self.last_container_port.unwrap_or(self.container_port);
        last.saturating_sub(self.container_port).saturating_add(1)
    }
}

/// That a container finds another one by a name beside its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    pub container_name: String,
    pub alias: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportProtocol {
    #[default]
    Tcp,
    Udp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountPoint {
    pub source_volume: String,
    pub container_path: String,
    #[serde(default)]
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumesFrom {
    pub source_container: String,
    #[serde(default)]
    pub read_only: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LinuxParameters {
    /// Without the `CAP_` prefix; `ALL` stands for all.
    pub capabilities_add: Vec<String>,
    pub capabilities_drop: Vec<String>,
    pub devices: Vec<Device>,
    /// Run a small init as process 1, which forwards signals and reaps.
    pub init_process_enabled: bool,
    /// Size of `/dev/shm`. `None`: 64 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_memory_size_mib: Option<u32>,
    pub tmpfs: Vec<Tmpfs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_swap_mib: Option<u32>,
    /// 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swappiness: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    pub host_path: String,
    /// `None`: the same as on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_path: Option<String>,
    /// Any of r, w, m, in that order; never empty.
    pub permissions: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tmpfs {
    pub container_path: String,
    pub size_mib: u32,
    #[serde(default)]
    pub mount_options: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ulimit {
    /// As ECS names it: `nofile`, `nproc`, `core`, …
    pub name: String,
    /// −1 stands for unlimited.
    pub soft_limit: i64,
    pub hard_limit: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtraHost {
    pub hostname: String,
    pub ip_address: String,
}

/// A check with its defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// The words to run: `CMD` as given, `CMD-SHELL` as `/bin/sh -c TEXT`.
    pub command: Vec<String>,
    pub interval_seconds: u32,
    pub timeout_seconds: u32,
    pub retries: u32,
    #[serde(default)]
    pub start_period_seconds: u32,
}

/// Where output goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum LogConfiguration {
    /// Kept on the node only, within bounds.
    #[default]
    JsonFile,
    /// To a log group.
    Awslogs(Awslogs),
    /// Nowhere.
    None,
}

/// The options of the `awslogs` driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Awslogs {
    pub group: String,
    /// `None`: the task's region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<vocabulary::Region>,
    /// The stream is `PREFIX/CONTAINER/TASKID`; without a prefix, the runtime id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_prefix: Option<String>,
    #[serde(default)]
    pub create_group: bool,
    /// `strftime`-like; a line that matches begins an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datetime_format: Option<String>,
    /// A regular expression; a line that matches begins an event. Wins over nothing: a definition has one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiline_pattern: Option<String>,
    #[serde(default)]
    pub mode: LogMode,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum LogMode {
    /// The container waits when its output cannot be kept.
    #[default]
    Blocking,
    /// Output beyond the buffer is dropped.
    NonBlocking { max_buffer_bytes: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryCredentials {
    pub username: String,
    pub password: Sensitive,
}
