//! The messages of the Agent Communication Service, member for member.
//!
//! Source: `ecs-agent/acs/model/api/api-2.json` of aws/amazon-ecs-agent. Every member is optional on the wire, as it
//! is there; what our own agent relies on is checked once, when a payload is taken in. Times are milliseconds since
//! the epoch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Sensitive, spec::TaskSpec};

macro_rules! acs_shapes {
    ($($(#[$doc:meta])* pub struct $name:ident { $($(#[$meta:meta])* pub $member:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
            #[serde(rename_all = "camelCase", default)]
            pub struct $name {
                $(
                    $(#[$meta])*
                    #[serde(skip_serializing_if = "Option::is_none")]
                    pub $member: Option<$type>,
                )*
            }
        )*
    };
}

acs_shapes! {
    /// Tasks to run, or to stop when their `desiredStatus` is STOPPED.
    pub struct PayloadMessage {
        pub container_instance_arn: String,
        pub cluster_arn: String,
        pub tasks: Vec<Task>,
        pub generated_at: i64,
        pub message_id: String,
        /// Orders the payloads: a later word about a task has a greater number.
        pub seq_num: i64,
        pub timeline: i64,
    }

    /// A task as ACS describes it. `cpu` is in vCPUs, `memory` in MiB.
    pub struct Task {
        pub arn: String,
        pub task_cluster_arn: String,
        pub containers: Vec<Container>,
        pub desired_status: String,
        pub family: String,
        pub overrides: String,
        pub version: String,
        pub zone: String,
        pub task_definition_account_id: String,
        pub volumes: Vec<Volume>,
        pub role_credentials: IamRoleCredentials,
        pub execution_role_credentials: IamRoleCredentials,
        pub elastic_network_interfaces: Vec<ElasticNetworkInterface>,
        pub cpu: f64,
        pub memory: i64,
        pub pid_mode: String,
        pub ipc_mode: String,
        pub launch_type: String,
        pub attachments: Vec<Attachment>,
        pub network_mode: String,
        pub service_name: String,
        pub group: String,
        /// Ours: the validated specification that our own agent runs from. A payload that only stops a task may
        /// leave it out.
        pub longshore: Box<TaskSpec>,
    }

    /// A container as ACS describes it; `docker_config` holds Docker's own JSON for the published agent.
    pub struct Container {
        pub name: String,
        pub image: String,
        pub command: Vec<String>,
        pub entry_point: Vec<String>,
        pub environment: BTreeMap<String, Sensitive>,
        pub essential: bool,
        pub cpu: i64,
        pub memory: i64,
        pub overrides: String,
        pub port_mappings: Vec<PortMapping>,
        pub mount_points: Vec<MountPoint>,
        pub volumes_from: Vec<VolumeFrom>,
        pub links: Vec<String>,
        pub privileged: bool,
        pub docker_config: DockerConfig,
        pub health_check_type: String,
        pub registry_authentication: RegistryAuthenticationData,
        pub logs_auth_strategy: String,
        pub depends_on: Vec<ContainerDependency>,
        pub start_timeout: i64,
        pub stop_timeout: i64,
        pub restart_policy: RestartPolicy,
        pub container_arn: String,
    }

    pub struct DockerConfig {
        pub version: String,
        pub config: String,
        pub host_config: String,
    }

    pub struct PortMapping {
        pub container_port: i64,
        pub host_port: i64,
        pub container_port_range: String,
        pub protocol: String,
    }

    pub struct MountPoint {
        pub source_volume: String,
        pub container_path: String,
        pub read_only: bool,
    }

    pub struct VolumeFrom {
        pub source_container: String,
        pub read_only: bool,
    }

    pub struct Volume {
        pub name: String,
        pub r#type: String,
        pub host: HostVolumeProperties,
        pub docker_volume_configuration: DockerVolumeConfiguration,
    }

    pub struct HostVolumeProperties {
        pub source_path: String,
    }

    pub struct DockerVolumeConfiguration {
        pub scope: String,
        pub autoprovision: bool,
        pub driver: String,
        pub driver_opts: BTreeMap<String, String>,
        pub labels: BTreeMap<String, String>,
    }

    pub struct ContainerDependency {
        pub container_name: String,
        pub condition: String,
    }

    /// `restart_attempt_period` is in seconds.
    pub struct RestartPolicy {
        pub enabled: bool,
        pub ignored_exit_codes: Vec<i64>,
        pub restart_attempt_period: i64,
    }

    pub struct RegistryAuthenticationData {
        pub r#type: String,
        pub ecr_auth_data: EcrAuthData,
        pub asm_auth_data: AsmAuthData,
    }

    pub struct EcrAuthData {
        pub registry_id: String,
        pub region: String,
        pub endpoint_override: String,
        pub use_execution_role: bool,
    }

    pub struct AsmAuthData {
        pub credentials_parameter: String,
        pub region: String,
    }

    pub struct ElasticNetworkInterface {
        pub name: String,
        pub mac_address: String,
        pub attachment_arn: String,
        #[serde(rename = "ec2Id")]
        pub ec2_id: String,
        pub index: i64,
        pub interface_association_protocol: String,
        #[serde(rename = "ipv4Addresses")]
        pub ipv4_addresses: Vec<Ipv4AddressAssignment>,
        #[serde(rename = "ipv6Addresses")]
        pub ipv6_addresses: Vec<Ipv6AddressAssignment>,
        pub domain_name: Vec<String>,
        pub domain_name_servers: Vec<String>,
        pub private_dns_name: String,
        #[serde(rename = "subnetGatewayIpv4Address")]
        pub subnet_gateway_ipv4_address: String,
        #[serde(rename = "subnetGatewayIpv6Address")]
        pub subnet_gateway_ipv6_address: String,
    }

    pub struct Ipv4AddressAssignment {
        pub private_address: String,
        pub primary: bool,
    }

    pub struct Ipv6AddressAssignment {
        pub address: String,
        pub primary: bool,
    }

    pub struct Attachment {
        pub attachment_arn: String,
        pub attachment_type: String,
        pub attachment_properties: Vec<AttachmentProperty>,
    }

    pub struct AttachmentProperty {
        pub name: String,
        pub value: String,
    }

    /// Role credentials; `expiration` is RFC 3339 text.
    pub struct IamRoleCredentials {
        pub credentials_id: String,
        pub role_arn: String,
        pub access_key_id: String,
        pub secret_access_key: Sensitive,
        pub session_token: Sensitive,
        pub expiration: String,
        pub credential_scope: String,
    }

    /// Fresh credentials for a running task. `role_type` is TaskApplication or TaskExecution.
    pub struct IamRoleCredentialsMessage {
        pub task_arn: String,
        pub task_cluster_arn: String,
        pub role_credentials: IamRoleCredentials,
        pub role_type: String,
        pub message_id: String,
    }

    pub struct IamRoleCredentialsAckRequest {
        pub message_id: String,
        pub expiration: String,
        pub credentials_id: String,
    }

    pub struct AckRequest {
        pub cluster: String,
        pub container_instance: String,
        pub message_id: String,
    }

    pub struct NackRequest {
        pub cluster: String,
        pub container_instance: String,
        pub message_id: String,
        pub reason: String,
    }

    pub struct HeartbeatMessage {
        pub healthy: bool,
        pub message_id: String,
    }

    pub struct HeartbeatAckRequest {
        pub message_id: String,
    }

    /// Every task that the control plane believes to be on the instance. What the agent runs beyond it, it asks about
    /// with a [`TaskStopVerificationMessage`] before it stops anything.
    pub struct TaskManifestMessage {
        pub container_instance_arn: String,
        pub cluster_arn: String,
        pub tasks: Vec<TaskIdentifier>,
        pub generated_at: i64,
        pub message_id: String,
        pub timeline: i64,
    }

    pub struct TaskIdentifier {
        pub task_arn: String,
        pub task_cluster_arn: String,
        pub desired_status: String,
    }

    pub struct TaskStopVerificationMessage {
        pub message_id: String,
        pub stop_candidates: Vec<TaskIdentifier>,
    }

    pub struct TaskStopVerificationAck {
        pub generated_at: i64,
        pub message_id: String,
        pub stop_tasks: Vec<TaskIdentifier>,
    }

    pub struct AttachTaskNetworkInterfacesMessage {
        pub container_instance_arn: String,
        pub cluster_arn: String,
        pub task_arn: String,
        pub task_cluster_arn: String,
        pub generated_at: i64,
        pub message_id: String,
        pub wait_timeout_ms: i64,
        pub elastic_network_interfaces: Vec<ElasticNetworkInterface>,
    }

    pub struct AttachInstanceNetworkInterfacesMessage {
        pub container_instance_arn: String,
        pub cluster_arn: String,
        pub generated_at: i64,
        pub message_id: String,
        pub wait_timeout_ms: i64,
        pub elastic_network_interfaces: Vec<ElasticNetworkInterface>,
    }

    pub struct ConfirmAttachmentMessage {
        pub container_instance_arn: String,
        pub cluster_arn: String,
        pub task_arn: String,
        pub task_cluster_arn: String,
        pub generated_at: i64,
        pub message_id: String,
        pub wait_timeout_ms: i64,
        pub attachment: Attachment,
    }

    /// Both PerformUpdateMessage and StageUpdateMessage.
    pub struct UpdateMessage {
        pub container_instance_arn: String,
        pub cluster_arn: String,
        pub update_info: UpdateInfo,
        pub message_id: String,
    }

    pub struct UpdateInfo {
        pub location: String,
        pub signature: String,
    }

    pub struct ErrorMessage {
        pub message: String,
    }

    pub struct CloseMessage {
        pub message: String,
    }
}
