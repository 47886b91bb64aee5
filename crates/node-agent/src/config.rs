//! How an agent is set up on its machine.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use agent_protocol::spec::NetworkMode;
use vocabulary::{Seal, Transfers};

/// Where tasks find credentials and metadata, as on AWS.
pub const METADATA_ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(169, 254, 170, 2);

#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Keeps images, tasks and volumes; survives restarts of the agent.
    pub data_dir: PathBuf,
    /// Sockets and namespaces; may vanish with the machine's reboot. Short: it is part of socket names.
    pub run_dir: PathBuf,
    /// The binary that answers `EXE shim …`.
    pub exe: PathBuf,
    /// Parent of every cgroup, absolute within each hierarchy.
    pub cgroup_root: String,
    /// Names this node in acknowledgements.
    pub cluster_arn: String,
    pub container_instance_arn: String,
    /// Where credentials and metadata are served; 169.254.170.2:80 unless a test needs another. `None`: nowhere.
    pub metadata_listen: Option<SocketAddr>,
    /// `AWS_ENDPOINT_URL` of containers that do not set it themselves: an address that tasks can reach.
    pub endpoint_url: Option<String>,
    /// `AWS_EC2_METADATA_SERVICE_ENDPOINT` of containers in the machine's own network: where the instance's metadata is, whose well-known
    /// address may be somebody else's there. `None`: nowhere.
    pub instance_metadata: Option<String>,
    /// Shims that wait ready for the next tasks.
    pub idle_shims: usize,
    /// Whether containers find a file about themselves (`ECS_ENABLE_CONTAINER_METADATA`).
    pub metadata_files: bool,
    /// Seals what the journal keeps of tasks: their credentials and environments lie on no disk as they are.
    pub seal: Arc<dyn Seal>,
    /// Images being pulled.
    pub transfers: Transfers,
    /// The certificate of the platform's authority, in PEM, where images are pulled from it over TLS.
    pub authority: Option<String>,
}

impl AgentConfig {
    pub fn new(
        data_dir: impl Into<PathBuf>,
        run_dir: impl Into<PathBuf>,
        exe: impl Into<PathBuf>,
        seal: Arc<dyn Seal>,
    ) -> AgentConfig {
        AgentConfig {
            data_dir: data_dir.into(),
            run_dir: run_dir.into(),
            exe: exe.into(),
            cgroup_root: "/longshore".to_owned(),
            cluster_arn: String::new(),
            container_instance_arn: String::new(),
            metadata_listen: Some(SocketAddr::from((METADATA_ADDRESS, 80))),
            endpoint_url: None,
            instance_metadata: None,
            idle_shims: 4,
            metadata_files: false,
            seal,
            transfers: Transfers::default(),
            authority: None,
        }
    }

    /// `http://ADDRESS` of credentials and metadata for tasks of this mode. Those with a network of their own ask the well-known address,
    /// which is translated where another holds it; those in the machine's are told where this agent's own is.
    pub fn metadata_of(&self, mode: NetworkMode) -> String {
        match (mode, self.metadata_listen) {
            (NetworkMode::Host, Some(address)) if address.port() == 80 => format!("http://{}", address.ip()),
            (NetworkMode::Host, Some(address)) => format!("http://{address}"),
            _ => format!("http://{METADATA_ADDRESS}"),
        }
    }

    /// One directory for each task.
    pub fn tasks_dir(&self) -> PathBuf {
        self.data_dir.join("tasks")
    }

    /// What the agent was told and observed.
    pub fn journal_file(&self) -> PathBuf {
        self.data_dir.join("journal")
    }

    /// What stopped tasks left, until it is deleted.
    pub fn trash_dir(&self) -> PathBuf {
        self.data_dir.join("trash")
    }

    /// Named volumes that outlive tasks.
    pub fn shared_volumes_dir(&self) -> PathBuf {
        self.data_dir.join("volumes")
    }
}
