//! The agent itself: starts, finds its tasks again, hands messages to them, ends.

mod caretaker;
mod ending;
mod messages;
mod metrics;

#[cfg(test)]
pub(crate) use messages::last_word;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use agent_protocol::{AcsMessage, ControlPlane, spec::NetworkState};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use crate::{
    balancers::{self, Balancers},
    clock::Clock,
    config::AgentConfig,
    endpoint::{Directory, Server, ServerError, TaskView},
    journal::{self, Journal, JournalError, TaskJournal},
    node::{Machine, Node},
    streams::Streams,
    task::{Command, Task},
    trash::Trash,
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
/// containers then run on unwatched until it is stopped or the agent restarted ([`caretaker`]), rather than the agent doing nothing else.
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
    emptying: JoinHandle<()>,
    network_generation: u64,
    balancers: Balancers,
    streams: Streams,
}

impl Drop for NodeAgent {
    fn drop(&mut self) {
        self.emptying.abort();
    }
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
    view: Arc<TaskView>,
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
            Some(address) => {
                Some(Server::start(address, Arc::clone(&directory), Arc::clone(&control)).await?)
            }
            None => None,
        };
        let journal = Arc::new(Journal::open(config.journal_file(), Arc::clone(&config.seal))?);
        let trash = Arc::new(Trash::open(&config.trash_dir())?);
        let emptying = tokio::spawn(Arc::clone(&trash).keep_empty());
        let metadata_address = server.as_ref().map(|server| server.address);
        let node = Arc::new(Node { config, machine, control, directory, clock, trash, journal });
        let balancers = Balancers::start(&node);
        let mut agent = NodeAgent {
            node,
            balancers,
            tasks: HashMap::new(),
            ended: VecDeque::new(),
            _server: server,
            emptying,
            network_generation: 0,
            streams: Streams::default(),
        };
        agent.recover().await;
        let (shutdown, asked) = oneshot::channel();
        let ended = tokio::spawn(agent.run(messages, asked));
        Ok(AgentHandle { shutdown: Some(shutdown), ended, metadata_address })
    }

    /// Finds every task of an earlier agent again, and removes what belongs to none: sandboxes first, since they are in the
    /// networks; networks before the state that they may stand in the way of; directories last.
    async fn recover(&mut self) {
        let tasks_dir = self.node.config.tasks_dir();
        let (mut found, mut torn) = (Vec::new(), Vec::new());
        let mut ids = self.node.journal.tasks();
        ids.append(&mut journal::task_dirs(&tasks_dir));
        for id in ids {
            let journal = TaskJournal::new(&self.node, &id);
            match Task::recover(&self.node, journal.clone()).await {
                Some(task) => found.push(task),
                None => torn.push(journal),
            }
        }
        let known: BTreeSet<String> = found.iter().map(|(task, _)| task.id().to_owned()).collect();
        let mut interfaces: BTreeSet<String> =
            found.iter().flat_map(|(task, _)| task.interface_ids()).collect();
        interfaces.extend(balancers::remembered(&self.node));
        let machine = &self.node.machine;
        if let Err(error) = machine.runtime.sweep(known.clone()).await {
            tracing::error!(%error, "sandboxes of no task could not be removed");
        }
        if let Err(error) = machine.network.retain(&interfaces).await {
            tracing::error!(error, "interfaces of no task could not be detached");
        }
        machine.images.retain(&known).await;
        for journal in torn {
            tracing::warn!(?journal, "a task without a whole journal is removed");
            if let Err(error) = journal.remove() {
                tracing::warn!(%error, "its directory could not be removed");
            }
        }
        if let Some(state) = journal::read_json::<NetworkState>(&self.network_file()) {
            self.apply_network(state).await;
            // Generations are compared within one connection only: a new control plane may count from elsewhere.
            self.network_generation = 0;
        }
        for (task, commands) in found {
            self.run_task(task, commands);
        }
    }

    fn run_task(&mut self, task: Task, commands: mpsc::Sender<Command>) {
        let (arn, task_id, cluster_arn) =
            (task.arn().to_owned(), task.id().to_owned(), task.cluster_arn().to_owned());
        let sequence = task.sequence();
        let view = task.view();
        let running = tokio::spawn(task.run());
        self.tasks.insert(arn, Slot { task_id, cluster_arn, revivals: 0, sequence, commands, running, view });
    }

    async fn run(
        mut self,
        mut messages: mpsc::Receiver<AcsMessage>,
        mut asked: oneshot::Receiver<ShutdownMode>,
    ) {
        let mut garbage = tokio::time::interval_at(Instant::now() + GARBAGE_INTERVAL, GARBAGE_INTERVAL);
        let mut collecting = JoinSet::new();
        let mut measuring = tokio::time::interval_at(Instant::now() + metrics::INTERVAL, metrics::INTERVAL);
        measuring.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (meter, mut publishing) = (metrics::Meter::default(), JoinSet::new());
        let mode = loop {
            tokio::select! {
                _ = garbage.tick() => {
                    self.bury_ended().await;
                    // Beside the messages: it reads and deletes much. One at a time is enough.
                    if collecting.try_join_next().is_some() || collecting.is_empty() {
                        let node = Arc::clone(&self.node);
                        collecting.spawn(async move { node.machine.images.collect_garbage().await });
                    }
                }
                _ = measuring.tick() => {
                    while publishing.try_join_next().is_some() {}
                    // One that takes longer than the interval is not joined by another.
                    if publishing.is_empty() && !self.tasks.is_empty() {
                        let views = self.tasks.values().map(|slot| Arc::clone(&slot.view)).collect();
                        publishing.spawn(meter.clone().publish(Arc::clone(&self.node), views));
                    }
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
        self.bury_ended().await;
        if matches!(mode, ShutdownMode::LeaveRunning) {
            self.finish_ending().await;
        }
        match mode {
            ShutdownMode::RemoveEverything { grace } => self.remove_everything(grace).await,
            // Nothing runs on: nothing has to stay for it.
            ShutdownMode::LeaveRunning if self.tasks.is_empty() => {
                self.remove_everything(Duration::ZERO).await;
            }
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
                Err(panic) => self.revive(arn, slot, &panic).await,
            }
        }
        let excess = self.ended.len().saturating_sub(REMEMBERED_ENDED_TASKS);
        self.ended.drain(..excess);
    }

    /// Takes a task up again whose actor panicked.
    async fn revive(&mut self, arn: String, slot: Slot, panic: &tokio::task::JoinError) {
        tracing::error!(task = slot.task_id, %panic, "the actor of a task ended in a panic");
        let journal = TaskJournal::new(&self.node, &slot.task_id);
        let recovered = match slot.revivals < MAX_REVIVALS {
            true => {
                let node = Arc::clone(&self.node);
                // In a task of its own, since it may panic as well.
                tokio::spawn(async move { Task::recover(&node, journal).await }).await.unwrap_or_default()
            }
            false => None,
        };
        let Some((task, commands)) = recovered else { return self.give_up(arn, slot) };
        self.run_task(task, commands);
        if let Some(revived) = self.tasks.get_mut(&arn) {
            revived.revivals = slot.revivals + 1;
            revived.sequence = revived.sequence.max(slot.sequence);
        }
    }

    /// Puts a caretaker in the place of a task that cannot be taken up again.
    fn give_up(&mut self, arn: String, mut slot: Slot) {
        tracing::error!(task = slot.task_id, "a task is left unwatched until it is stopped");
        let (commands, asked) = mpsc::channel(1);
        let reason = caretaker::UNWATCHED.to_owned();
        let last_word = messages::last_word(arn.clone(), slot.cluster_arn.clone(), None, reason);
        let care = caretaker::take_care(Arc::clone(&self.node), slot.task_id.clone(), last_word, asked);
        (slot.commands, slot.running) = (commands, tokio::spawn(care));
        self.tasks.insert(arn, slot);
    }

    fn network_file(&self) -> std::path::PathBuf {
        self.node.config.data_dir.join("network.json")
    }
}
