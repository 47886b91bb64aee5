//! The agent itself: starts, finds its tasks again, hands messages to them, ends.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use agent_protocol::{
    AcsMessage, AgentMessage, ControlPlane, acs,
    spec::{NetworkState, RoleCredentials},
    state::{HealthStatus, StopCode, TaskStateChange, TaskStatus},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};
use vocabulary::Timestamp;

use crate::{
    clock::Clock,
    config::AgentConfig,
    endpoint::{Directory, Server, ServerError},
    journal::{self, JournalError, TaskJournal},
    node::{Machine, Node},
    outbox::Outbox,
    task::{Command, Task},
};

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Endpoint(#[from] ServerError),
    #[error("{what}: {reason}")]
    Machine { what: &'static str, reason: String },
}

/// What becomes of the tasks when the agent ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownMode {
    /// They run on; the next agent finds them.
    LeaveRunning,
    /// They are stopped, and killed after `grace` at the latest; then everything that was made on the machine is removed.
    RemoveEverything { grace: Duration },
}

/// Names of ended tasks that are remembered: far more than payloads can be on their way.
const REMEMBERED_ENDED_TASKS: usize = 4096;

/// How often a task whose actor panicked is taken up again from its journal. What panics this often does so for good: its
/// containers then run on unwatched until the agent is restarted, rather than the agent doing nothing else.
const MAX_REVIVALS: u32 = 3;

/// How often unused images are looked for, as the published agent does.
const GARBAGE_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// A running agent. Dropping it leaves the tasks running.
#[derive(Debug)]
pub struct AgentHandle {
    shutdown: Option<oneshot::Sender<ShutdownMode>>,
    ended: JoinHandle<()>,
    /// Where credentials and metadata are served.
    pub metadata_address: Option<std::net::SocketAddr>,
}

impl AgentHandle {
    /// Ends the agent and waits until it has.
    pub async fn shutdown(mut self, mode: ShutdownMode) {
        if let Some(shutdown) = self.shutdown.take() {
            // It may have ended by itself: its messages ended.
            let _ = shutdown.send(mode);
        }
        let _ = (&mut self.ended).await;
    }
}

impl Drop for AgentHandle {
    fn drop(&mut self) {
        if self.shutdown.is_some() {
            self.ended.abort();
        }
    }
}

/// The agent; see [`NodeAgent::start_on`].
pub struct NodeAgent {
    node: Arc<Node>,
    tasks: HashMap<String, Slot>,
    /// Tasks that ended lately, oldest first.
    ended: VecDeque<String>,
    /// Ends with the agent.
    _server: Option<Server>,
    network_generation: u64,
}

struct Slot {
    task_id: String,
    cluster_arn: String,
    /// How often the task's actor has been brought back after a panic.
    revivals: u32,
    /// `seqNum` of the last payload seen.
    sequence: i64,
    commands: mpsc::Sender<Command>,
    running: JoinHandle<()>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl NodeAgent {
    /// Starts an agent on this machine: [`Machine::real`], then [`NodeAgent::start_on`] it.
    ///
    /// # Errors
    /// Those of the two.
    pub async fn start(
        config: AgentConfig,
        network: host_network::NetworkConfig,
        control: Arc<dyn ControlPlane>,
        messages: mpsc::Receiver<AcsMessage>,
    ) -> Result<AgentHandle, AgentError> {
        let machine = Machine::real(&config, network).await?;
        NodeAgent::start_on(machine, config, control, messages).await
    }

    /// Starts an agent on `machine`. When this returns, every task of an earlier agent has been found again, what belonged to none is
    /// removed, and the metadata endpoint answers.
    ///
    /// # Errors
    /// When its directories cannot be made or the endpoint's address cannot be used.
    pub async fn start_on(
        machine: Machine,
        config: AgentConfig,
        control: Arc<dyn ControlPlane>,
        messages: mpsc::Receiver<AcsMessage>,
    ) -> Result<AgentHandle, AgentError> {
        NodeAgent::start_with_clock(machine, config, control, messages, Clock::System).await
    }

    pub(crate) async fn start_with_clock(
        machine: Machine,
        config: AgentConfig,
        control: Arc<dyn ControlPlane>,
        messages: mpsc::Receiver<AcsMessage>,
        clock: Clock,
    ) -> Result<AgentHandle, AgentError> {
        for dir in [&config.data_dir, &config.tasks_dir(), &config.shared_volumes_dir()] {
            journal::make_dir(dir)?;
        }
        let directory = Arc::<Directory>::default();
        let server = match config.metadata_listen {
            Some(address) => Some(Server::start(address, Arc::clone(&directory)).await?),
            None => None,
        };
        let metadata_address = server.as_ref().map(|server| server.address);
        let node = Arc::new(Node { config, machine, control, directory, clock });
        let mut agent = NodeAgent {
            node,
            tasks: HashMap::new(),
            ended: VecDeque::new(),
            _server: server,
            network_generation: 0,
        };
        agent.recover().await?;
        let (shutdown, asked) = oneshot::channel();
        let ended = tokio::spawn(agent.run(messages, asked));
        Ok(AgentHandle { shutdown: Some(shutdown), ended, metadata_address })
    }

    async fn recover(&mut self) -> Result<(), AgentError> {
        if let Some(state) = journal::read_json::<NetworkState>(&self.network_file()) {
            self.apply_network(state).await;
        }
        let tasks_dir = self.node.config.tasks_dir();
        let (mut known, mut interfaces) = (BTreeSet::new(), BTreeSet::new());
        for id in journal::task_ids(&tasks_dir) {
            let journal = TaskJournal::new(&tasks_dir, &id);
            match Task::recover(&self.node, journal.clone()).await {
                Some((task, commands)) => {
                    known.insert(id);
                    interfaces.extend(task.interface_id());
                    self.run_task(task, commands);
                }
                None => {
                    tracing::warn!(task = id, "a task without a whole journal is removed");
                    if let Err(error) = journal.remove() {
                        tracing::warn!(task = id, %error, "its directory could not be removed");
                    }
                }
            }
        }
        // Generations are compared within one connection only: a new control plane may count from elsewhere.
        self.network_generation = 0;
        self.node.machine.images.retain(&known).await;
        if let Err(error) = self.node.machine.network.retain(&interfaces).await {
            tracing::warn!(error, "interfaces of no task could not be detached");
        }
        let swept = self.node.machine.runtime.sweep(known).await;
        swept.map_err(|error| AgentError::Machine {
            what: "unknown sandboxes could not be removed",
            reason: error.to_string(),
        })
    }

    fn run_task(&mut self, task: Task, commands: mpsc::Sender<Command>) {
        let (arn, task_id, cluster_arn) =
            (task.arn().to_owned(), task.id().to_owned(), task.cluster_arn().to_owned());
        let sequence = task.sequence();
        let running = tokio::spawn(task.run());
        self.tasks.insert(arn, Slot { task_id, cluster_arn, revivals: 0, sequence, commands, running });
    }

    async fn run(
        mut self,
        mut messages: mpsc::Receiver<AcsMessage>,
        mut asked: oneshot::Receiver<ShutdownMode>,
    ) {
        let mut garbage = tokio::time::interval_at(Instant::now() + GARBAGE_INTERVAL, GARBAGE_INTERVAL);
        let mode = loop {
            tokio::select! {
                _ = garbage.tick() => {
                    self.bury_ended().await;
                    self.node.machine.images.collect_garbage().await;
                }
                mode = &mut asked => break mode.unwrap_or(ShutdownMode::LeaveRunning),
                message = messages.recv() => match message {
                    Some(message) => {
                        self.bury_ended().await;
                        self.take(message).await;
                    }
                    // The control plane is gone for good; the tasks are not.
                    None => break asked.await.unwrap_or(ShutdownMode::LeaveRunning),
                },
            }
        };
        match mode {
            ShutdownMode::RemoveEverything { grace } => self.remove_everything(grace).await,
            ShutdownMode::LeaveRunning => self.let_go().await,
        }
    }

    /// Lets go of tasks that have ended, but not of their names: a payload that was on its way meanwhile must not run them again.
    async fn bury_ended(&mut self) {
        let ended = self.tasks.iter().filter(|(_, slot)| slot.running.is_finished());
        for arn in ended.map(|(arn, _)| arn.clone()).collect::<Vec<_>>() {
            let Some(mut slot) = self.tasks.remove(&arn) else { continue };
            match (&mut slot.running).await {
                Ok(()) => self.ended.push_back(arn),
                Err(panic) => self.revive(slot, &panic).await,
            }
        }
        let excess = self.ended.len().saturating_sub(REMEMBERED_ENDED_TASKS);
        self.ended.drain(..excess);
    }

    /// Takes a task up again whose actor panicked.
    async fn revive(&mut self, slot: Slot, panic: &tokio::task::JoinError) {
        tracing::error!(task = slot.task_id, %panic, "the actor of a task ended in a panic");
        if slot.revivals >= MAX_REVIVALS {
            return;
        }
        let journal = TaskJournal::new(&self.node.config.tasks_dir(), &slot.task_id);
        if let Some((task, commands)) = Task::recover(&self.node, journal).await {
            let arn = task.arn().to_owned();
            self.run_task(task, commands);
            if let Some(revived) = self.tasks.get_mut(&arn) {
                revived.revivals = slot.revivals + 1;
                revived.sequence = revived.sequence.max(slot.sequence);
            }
        }
    }

    async fn take(&mut self, message: AcsMessage) {
        match message {
            AcsMessage::Payload(payload) => self.take_payload(payload).await,
            AcsMessage::NetworkState(state) => self.apply_network(state).await,
            AcsMessage::Heartbeat(heartbeat) => {
                let ack = acs::HeartbeatAckRequest { message_id: heartbeat.message_id };
                self.send(AgentMessage::HeartbeatAck(ack));
            }
            AcsMessage::IamRoleCredentials(message) => self.take_credentials(message).await,
            AcsMessage::TaskManifest(manifest) => self.take_manifest(manifest),
            AcsMessage::TaskStopVerificationAck(ack) => {
                for task in ack.stop_tasks.unwrap_or_default() {
                    self.stop(task.task_arn.as_deref().unwrap_or_default(), i64::MAX).await;
                }
            }
            // Interfaces come with the task's specification; that they are attached is reported as it happens.
            AcsMessage::AttachTaskNetworkInterfaces(message) => self.ack(message.message_id),
            AcsMessage::AttachInstanceNetworkInterfaces(message) => self.ack(message.message_id),
            AcsMessage::ConfirmAttachment(message) => self.ack(message.message_id),
            AcsMessage::PerformUpdate(message) | AcsMessage::StageUpdate(message) => {
                self.nack(message.message_id, "this agent is updated with its binary");
            }
            AcsMessage::Error(error) => tracing::warn!(?error, "the control plane reports an error"),
            AcsMessage::Close(close) => tracing::info!(?close, "the control plane closes the connection"),
        }
    }

    async fn take_payload(&mut self, payload: acs::PayloadMessage) {
        let sequence = payload.seq_num.unwrap_or(0);
        let mut refused = Vec::new();
        for task in payload.tasks.unwrap_or_default() {
            let (arn, cluster) = (task.arn.clone(), task.task_cluster_arn.clone());
            if let Err(reason) = self.take_task(task, sequence).await {
                tracing::error!(reason, "a task of a payload cannot be taken");
                if let Some(arn) = arn {
                    let reason = format!("ResourceInitializationError: {reason}");
                    self.report_last_word(
                        arn,
                        cluster.unwrap_or_default(),
                        Some(StopCode::TaskFailedToStart),
                        reason,
                    );
                }
                refused.push(reason);
            }
        }
        match refused.is_empty() {
            true => self.ack(payload.message_id),
            false => self.nack(payload.message_id, &refused.join("; ")),
        }
    }

    async fn take_task(&mut self, task: acs::Task, sequence: i64) -> Result<(), String> {
        let arn = task.arn.or_else(|| task.longshore.as_ref().map(|spec| spec.task_arn.clone()));
        let arn = arn.ok_or("a task without an ARN")?;
        if task.desired_status.as_deref() == Some("STOPPED") {
            if !self.stop(&arn, sequence).await {
                self.report_unknown(&arn, task.task_cluster_arn.unwrap_or_default());
            }
            return Ok(());
        }
        if let Some(slot) = self.tasks.get_mut(&arn) {
            // It runs (or has run) already: a repeated or older word changes nothing.
            slot.sequence = slot.sequence.max(sequence);
            return Ok(());
        }
        if self.ended.contains(&arn) {
            self.report_unknown(&arn, task.task_cluster_arn.unwrap_or_default());
            return Ok(());
        }
        let spec = task.longshore.ok_or_else(|| format!("task {arn} has no specification for this agent"))?;
        if spec.task_arn != arn {
            return Err(format!("task {arn} has the specification of {}", spec.task_arn));
        }
        let (task, commands) =
            Task::begin(&self.node, *spec, sequence).map_err(|error| format!("task {arn}: {error}"))?;
        self.run_task(task, commands);
        Ok(())
    }

    /// False when the task is not here.
    async fn stop(&mut self, arn: &str, sequence: i64) -> bool {
        let Some(slot) = self.tasks.get_mut(arn).filter(|slot| !slot.running.is_finished()) else {
            return false;
        };
        if sequence >= slot.sequence {
            slot.sequence = sequence;
            // A task that has just ended does not take commands, and need not.
            let _ = slot.commands.send(Command::Stop { sequence }).await;
        }
        true
    }

    /// Says of a task that the control plane believes here, and that is not, that it is stopped.
    fn report_unknown(&self, arn: &str, cluster: String) {
        self.report_last_word(
            arn.to_owned(),
            cluster,
            None,
            "The task is not on its node any more".to_owned(),
        );
    }

    fn report_last_word(&self, task: String, cluster: String, stop_code: Option<StopCode>, reason: String) {
        let change = TaskStateChange {
            cluster,
            task,
            sequence: TaskStateChange::LAST_WORD,
            status: TaskStatus::Stopped,
            reason: Some(reason),
            stop_code,
            connectivity_at: None,
            pull_started_at: None,
            pull_stopped_at: None,
            started_at: None,
            stopping_at: None,
            execution_stopped_at: None,
            health_status: HealthStatus::Unknown,
            containers: Vec::new(),
        };
        let outbox = Outbox::new(Arc::clone(&self.node.control));
        tokio::spawn(async move {
            outbox.task(change);
            outbox.drained().await;
        });
    }

    async fn take_credentials(&mut self, message: acs::IamRoleCredentialsMessage) {
        let Some((role, expiration)) = role_credentials(message.role_credentials.unwrap_or_default()) else {
            return tracing::warn!("credentials without an id or a readable expiration are ignored");
        };
        let credentials_id = Some(role.credentials_id.clone());
        let command = match message.role_type.as_deref() {
            Some("TaskExecution") => Command::ExecutionRole(role),
            _ => Command::TaskRole(role),
        };
        if let Some(slot) = self.tasks.get(&message.task_arn.unwrap_or_default()) {
            // A task that has just ended does not need them.
            let _ = slot.commands.send(command).await;
        }
        let message_id = message.message_id;
        let ack =
            acs::IamRoleCredentialsAckRequest { message_id, expiration: Some(expiration), credentials_id };
        self.send(AgentMessage::IamRoleCredentialsAck(ack));
    }

    /// Compares what the control plane believes to be here with what is. What only it knows, it is told to be stopped; about
    /// what only we know, it is asked.
    fn take_manifest(&mut self, manifest: acs::TaskManifestMessage) {
        self.ack(manifest.message_id.clone());
        let listed = manifest.tasks.unwrap_or_default();
        for task in &listed {
            let arn = task.task_arn.clone().unwrap_or_default();
            if !self.tasks.contains_key(&arn) {
                self.report_unknown(&arn, task.task_cluster_arn.clone().unwrap_or_default());
            }
        }
        let listed: BTreeSet<&str> = listed.iter().filter_map(|task| task.task_arn.as_deref()).collect();
        let stop_candidates: Vec<acs::TaskIdentifier> = self
            .tasks
            .iter()
            .filter(|(arn, slot)| !listed.contains(arn.as_str()) && !slot.running.is_finished())
            .map(|(arn, slot)| acs::TaskIdentifier {
                task_arn: Some(arn.clone()),
                task_cluster_arn: Some(slot.cluster_arn.clone()),
                desired_status: Some("STOPPED".to_owned()),
            })
            .collect();
        if !stop_candidates.is_empty() {
            self.send(AgentMessage::TaskStopVerification(acs::TaskStopVerificationMessage {
                message_id: manifest.message_id,
                stop_candidates: Some(stop_candidates),
            }));
        }
    }

    /// In line with the payloads: a task that needs a group finds it.
    async fn apply_network(&mut self, state: NetworkState) {
        if state.generation < self.network_generation {
            return;
        }
        self.network_generation = state.generation;
        if let Err(error) = journal::write_json(&self.network_file(), &state) {
            tracing::warn!(%error, "the network's state could not be remembered");
        }
        if let Err(error) = self.node.machine.network.apply(state).await {
            tracing::error!(error, "the network could not be brought to its new state");
        }
    }

    fn network_file(&self) -> std::path::PathBuf {
        self.node.config.data_dir.join("network.json")
    }

    /// Ends the actors where they are; the journal has what they know.
    async fn let_go(&mut self) {
        for (_, mut slot) in self.tasks.drain() {
            slot.running.abort();
            // Cancelled, as it was asked to be.
            let _ = (&mut slot.running).await;
        }
    }

    async fn remove_everything(&mut self, grace: Duration) {
        for slot in self.tasks.values() {
            let _ = slot.commands.send(Command::StopSoon { grace }).await;
        }
        for (_, mut slot) in self.tasks.drain() {
            // It ends by itself; a panic in it is as good as an end here, the sweep does the rest.
            let _ = (&mut slot.running).await;
        }
        if let Err(error) = self.node.machine.runtime.sweep(BTreeSet::new()).await {
            tracing::error!(%error, "sandboxes could not be removed");
        }
        if let Err(error) = self.node.machine.network.remove_everything().await {
            tracing::error!(error, "the network could not be removed");
        }
    }

    fn ack(&self, message_id: Option<String>) {
        let (cluster, container_instance) = self.names();
        self.send(AgentMessage::Ack(acs::AckRequest { cluster, container_instance, message_id }));
    }

    fn nack(&self, message_id: Option<String>, reason: &str) {
        let (cluster, container_instance) = self.names();
        let reason = Some(reason.to_owned());
        self.send(AgentMessage::Nack(acs::NackRequest { cluster, container_instance, message_id, reason }));
    }

    fn names(&self) -> (Option<String>, Option<String>) {
        let config = &self.node.config;
        (Some(config.cluster_arn.clone()), Some(config.container_instance_arn.clone()))
    }

    /// Without waiting: what is not acknowledged is said again by the control plane.
    fn send(&self, message: AgentMessage) {
        let control = Arc::clone(&self.node.control);
        tokio::spawn(async move {
            if let Err(error) = control.send(message).await {
                tracing::debug!(%error, "a message to the control plane was not taken");
            }
        });
    }
}

/// The validated form of refreshed credentials, and their expiration as it was written.
fn role_credentials(credentials: acs::IamRoleCredentials) -> Option<(RoleCredentials, String)> {
    let written = credentials.expiration?;
    let expiration = OffsetDateTime::parse(&written, &Rfc3339).ok()?;
    let milliseconds = i64::try_from(expiration.unix_timestamp_nanos() / 1_000_000).ok()?;
    let role = RoleCredentials {
        credentials_id: credentials.credentials_id?,
        role_arn: credentials.role_arn.unwrap_or_default(),
        access_key_id: credentials.access_key_id?,
        secret_access_key: credentials.secret_access_key?,
        session_token: credentials.session_token?,
        expiration: Timestamp::from_millis(milliseconds),
    };
    Some((role, written))
}
