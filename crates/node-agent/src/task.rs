//! One task on the node: an actor that plans with the pure core, keeps the journal, and begins what was planned.
//!
//! Order in every round: plan, record the plan as begun, write the journal, then act. Whatever comes of an action returns as a
//! [`Happening`] to the same queue that everything else comes through, so that nothing is decided in two places.

mod bridge;
pub(crate) mod container;
mod environment;
mod etc_files;
mod execute;
mod recover;
pub(crate) mod removal;
mod secrets;
pub(crate) mod shape;
mod storage;
mod translate;
pub(crate) mod volumes;

use std::{sync::Arc, time::Duration};

use agent_protocol::{
    spec::{RoleCredentials, TaskSpec},
    state::AttachmentStatus,
};
use task_lifecycle::{Event, NetworkFacts, TaskFacts, TaskShape, observe, plan};
use tokio::sync::mpsc;
use vocabulary::Timestamp;

use crate::{
    endpoint::TaskView,
    journal::{Record, TaskJournal},
    node::Node,
    outbox::Outbox,
    ports::{Bridged, LocalImage, Sandbox},
};
use execute::Executor;

/// Commands to a task that wait for it; the agent sends a handful in a task's life.
const COMMAND_QUEUE: usize = 16;

/// What the agent tells a task.
#[derive(Debug)]
pub(crate) enum Command {
    /// With the payload's sequence.
    Stop {
        sequence: i64,
    },
    /// Stop, and kill what has not ended by itself after `grace`.
    StopSoon {
        grace: Duration,
    },
    TaskRole(RoleCredentials),
    ExecutionRole(RoleCredentials),
}

/// What comes of the actions.
pub(crate) enum Happening {
    Event(Event, Timestamp),
    Network(Option<std::path::PathBuf>),
    /// Of every container, in order.
    Bridged(Vec<Bridged>),
    Sandbox(Arc<dyn Sandbox>),
    Image {
        container: usize,
        image: Box<LocalImage>,
    },
}

pub(crate) struct Task {
    node: Arc<Node>,
    spec: Arc<TaskSpec>,
    shape: TaskShape,
    record: Record,
    journal: TaskJournal,
    view: Arc<TaskView>,
    outbox: Outbox,
    executor: Executor,
    happenings: mpsc::UnboundedReceiver<Happening>,
    commands: mpsc::Receiver<Command>,
}

/// Why a task cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    #[error(transparent)]
    Shape(#[from] task_lifecycle::InvalidShape),
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
    #[error("{what} {name:?} is not a name")]
    Name { what: &'static str, name: String },
}

impl Task {
    /// Takes a new task in: when this returns, a restarted agent would know it.
    pub(crate) fn begin(
        node: &Arc<Node>,
        spec: TaskSpec,
        sequence: i64,
    ) -> Result<(Task, mpsc::Sender<Command>), TaskError> {
        check_names(&spec)?;
        let id = &spec.task_id;
        let shape = shape::shape(&spec)?;
        let journal = TaskJournal::new(node, id);
        let record = Record { sequence, facts: TaskFacts::new(&shape), stop_signals: Default::default() };
        node.trash.a_task_starts();
        journal.begin(&spec, &record)?;
        Ok(Task::new(node, spec, shape, record, journal))
    }

    fn new(
        node: &Arc<Node>,
        spec: TaskSpec,
        shape: TaskShape,
        record: Record,
        journal: TaskJournal,
    ) -> (Task, mpsc::Sender<Command>) {
        let (happening, happenings) = mpsc::unbounded_channel();
        let (command, commands) = mpsc::channel(COMMAND_QUEUE);
        let spec = Arc::new(spec);
        let view = Arc::new(TaskView::new(Arc::clone(&spec), record.facts.clone()));
        let mut executor = Executor::new(node, &spec, journal.clone(), Arc::clone(&view), happening);
        executor.stop_signals.clone_from(&record.stop_signals);
        let (flushed, task_id) = (journal.clone(), spec.task_id.clone());
        // Beside the start, which does not wait for it.
        let flushing = tokio::task::spawn_blocking(move || flushed.flush());
        let durable = async move {
            if let Err(error) = flushing.await.unwrap_or_else(|panic| Err(std::io::Error::other(panic))) {
                // Going on is right: see [`Task::step`].
                tracing::error!(task = task_id, %error, "the journal could not be flushed");
            }
        };
        let outbox = Outbox::after(durable, Arc::clone(&node.control));
        let node = Arc::clone(node);
        (Task { node, spec, shape, record, journal, view, outbox, executor, happenings, commands }, command)
    }

    pub(crate) fn arn(&self) -> &str {
        &self.spec.task_arn
    }

    pub(crate) fn id(&self) -> &str {
        &self.spec.task_id
    }

    pub(crate) fn cluster_arn(&self) -> &str {
        &self.spec.cluster_arn
    }

    /// Of the task's own interface, or those of its containers.
    pub(crate) fn interface_ids(&self) -> Vec<String> {
        let own = self.spec.network_interface.iter().map(|interface| interface.interface_id.clone());
        own.chain(bridge::endpoints(&self.spec).into_iter().map(|endpoint| endpoint.id)).collect()
    }

    pub(crate) fn view(&self) -> Arc<TaskView> {
        Arc::clone(&self.view)
    }

    pub(crate) fn sequence(&self) -> i64 {
        self.record.sequence
    }

    /// Lives until the task is stopped, nothing of it is left, and the control plane knows.
    pub(crate) async fn run(mut self) {
        if !self.record.facts.is_stopped() {
            self.node.directory.insert(&self.view);
        }
        if self.record.facts.network == NetworkFacts::Attached {
            // Found again after a restart of the agent.
            self.executor.find_bridged();
        }
        loop {
            let wake_at = self.step();
            if self.record.facts.is_stopped() {
                break;
            }
            let now = self.node.clock.now();
            tokio::select! {
                biased;
                Some(command) = self.commands.recv() => self.take_command(command),
                Some(happening) = self.happenings.recv() => self.take(happening),
                () = sleep(wake_at.map(|at| at.since(now))) => {}
            }
            // What came together is planned for together.
            while let Ok(happening) = self.happenings.try_recv() {
                self.take(happening);
            }
        }
        self.outbox.drained().await;
        self.node.directory.remove(&self.view);
        self.journal.remove_in_background(self.id()).await;
    }

    /// Plans and begins until there is nothing more to begin. Answers when to look again.
    fn step(&mut self) -> Option<Timestamp> {
        let now = self.node.clock.now();
        let (plan, report) = plan(&self.shape, &self.record.facts, now);
        if plan.stop.is_none() && plan.actions.is_empty() && plan.change.is_none() {
            return plan.wake_at;
        }
        self.record.facts.apply(&plan, now);
        if let Err(error) = self.journal.save(&self.record) {
            // Going on is right: the containers are real whether or not it could be written down.
            tracing::error!(task = self.id(), %error, "the journal could not be written");
        }
        self.view.set_facts(self.record.facts.clone());
        tracing::debug!(task = self.id(), actions = ?plan.actions, waiting = ?report.waiting, "planned");
        for action in plan.actions {
            self.executor.begin(action, &self.outbox);
        }
        if let Some(change) = plan.change {
            self.outbox.task(change);
        }
        plan.wake_at
    }

    fn take(&mut self, happening: Happening) {
        let (event, at) = match happening {
            Happening::Event(event, at) => {
                if event == Event::NetworkDetached && self.spec.network_interface.is_some() {
                    self.outbox.attachment(self.executor.attachment(AttachmentStatus::Detached));
                }
                (event, at)
            }
            Happening::Network(netns) => {
                if netns.is_some() {
                    self.outbox.attachment(self.executor.attachment(AttachmentStatus::Attached));
                }
                self.executor.netns = netns;
                let bindings = shape::host_bindings(&self.spec);
                (Event::NetworkAttached { bindings }, self.node.clock.now())
            }
            Happening::Bridged(attached) => {
                self.view.set_addresses(attached.iter().map(|one| one.address).collect());
                self.node.directory.insert(&self.view);
                (Event::NetworkAttached { bindings: bridge::bindings(&attached) }, self.node.clock.now())
            }
            Happening::Sandbox(sandbox) => {
                self.executor.hold(sandbox);
                (Event::SandboxReady, self.node.clock.now())
            }
            Happening::Image { container, image } => {
                let digest = Some(image.manifest_digest.clone());
                self.view.set_image(container, LocalImage::clone(&image));
                if let Some(signal) = &image.config.stop_signal {
                    // Written down before the container is started.
                    self.record.stop_signals.insert(container, signal.clone());
                    self.executor.stop_signals.insert(container, signal.clone());
                }
                self.executor.images[container] = Some(*image);
                (Event::ImageReady { container, digest }, self.node.clock.now())
            }
        };
        observe(&self.shape, &mut self.record.facts, event, at);
    }

    fn take_command(&mut self, command: Command) {
        match command {
            Command::Stop { sequence } => {
                if sequence >= self.record.sequence {
                    self.record.sequence = sequence;
                    self.stop();
                }
            }
            Command::StopSoon { grace } => {
                self.shape =
                    shape::with_stop_timeout(&self.spec, grace).unwrap_or_else(|_| self.shape.clone());
                self.stop();
            }
            Command::TaskRole(role) => self.change_spec(|spec| spec.task_role = Some(role)),
            Command::ExecutionRole(role) => self.change_spec(|spec| spec.execution_role = Some(role)),
        }
    }

    fn stop(&mut self) {
        observe(&self.shape, &mut self.record.facts, Event::StopRequested, self.node.clock.now());
        self.executor.abort_pulls();
    }

    fn change_spec(&mut self, change: impl FnOnce(&mut TaskSpec)) {
        change(Arc::make_mut(&mut self.spec));
        if let Err(error) = self.journal.save_spec(&self.spec) {
            tracing::error!(task = self.id(), %error, "the journal could not be written");
        }
        self.view.set_spec(Arc::clone(&self.spec));
        self.executor.spec = Arc::clone(&self.spec);
    }
}

/// What becomes part of a path, here or in the runtime, must be one component of it. Volumes are checked where their places are
/// ([`volumes::place`]), so that a task that is taken can say what is wrong with them.
fn check_names(spec: &TaskSpec) -> Result<(), TaskError> {
    let containers = spec
        .containers
        .iter()
        .flat_map(|container| [("container", &container.name), ("runtime id", &container.runtime_id)]);
    for (what, name) in [("task id", &spec.task_id)].into_iter().chain(containers) {
        if !volumes::is_plain_name(name) {
            return Err(TaskError::Name { what, name: name.clone() });
        }
    }
    Ok(())
}

async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
