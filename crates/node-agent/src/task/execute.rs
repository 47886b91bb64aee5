//! Carries out what was planned. Every action runs by itself and tells its outcome as a [`Happening`]; none of them decides
//! what comes next.

mod start;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use agent_protocol::{
    spec::{NetworkMode, TaskSpec},
    state::{AttachmentStateChange, AttachmentStatus},
};
use container_runtime::ExecConfig;
use task_lifecycle::{Action, Event};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinHandle, JoinSet},
};

use super::{
    Happening, bridge,
    container::{parse_run_name, run_name, sandbox, signal_number},
    removal,
    secrets::Secrets,
    storage,
    translate::translate,
    volumes::{VolumeDirs, make_volumes},
};
use crate::{
    endpoint::TaskView,
    journal::TaskJournal,
    node::Node,
    outbox::Outbox,
    ports::{LocalImage, Sandbox},
};

/// How long the end of a task waits for a control plane that takes no logs.
const LOG_DRAIN_TIMEOUT: Duration = Duration::from_secs(600);
/// How long the process of a failed health check has beyond its timeout to be reported.
const EXEC_GRACE: Duration = Duration::from_secs(5);

pub(super) struct Executor {
    node: Arc<Node>,
    pub(super) spec: Arc<TaskSpec>,
    journal: TaskJournal,
    view: Arc<TaskView>,
    happening: mpsc::UnboundedSender<Happening>,
    pub(super) netns: Option<PathBuf>,
    pub(super) images: Vec<Option<LocalImage>>,
    /// What images name, by the container's place.
    pub(super) stop_signals: BTreeMap<usize, String>,
    secrets: Arc<Secrets>,
    sandbox: Option<Arc<dyn Sandbox>>,
    pulls: Vec<AbortHandle>,
    work: JoinSet<()>,
    /// One for each run of a container, by the run's name.
    shippers: HashMap<String, JoinHandle<()>>,
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.shippers.values().for_each(JoinHandle::abort);
    }
}

impl Executor {
    pub(super) fn new(
        node: &Arc<Node>,
        spec: &Arc<TaskSpec>,
        journal: TaskJournal,
        view: Arc<TaskView>,
        happening: mpsc::UnboundedSender<Happening>,
    ) -> Executor {
        Executor {
            node: Arc::clone(node),
            spec: Arc::clone(spec),
            journal,
            view,
            happening,
            netns: None,
            images: vec![None; spec.containers.len()],
            stop_signals: BTreeMap::new(),
            secrets: Arc::default(),
            sandbox: None,
            pulls: Vec::new(),
            work: JoinSet::new(),
            shippers: HashMap::new(),
        }
    }

    pub(super) fn begin(&mut self, action: Action, outbox: &Outbox) {
        // Finished work is let go as new work comes.
        while self.work.try_join_next().is_some() {}
        match action {
            Action::AttachNetwork => self.attach_network(outbox),
            Action::PrepareSandbox => self.prepare_sandbox(),
            Action::PullImage { container } => self.pull_image(container),
            Action::OpenLog { container } => self.open_log(container),
            Action::Start { container, run } => self.start(container, run),
            Action::CheckHealth { container, run, timeout } => self.check_health(container, run, timeout),
            Action::Terminate { container } => self.terminate(container),
            Action::Kill { container } => self.kill(container),
            Action::RemoveSandbox => self.remove_sandbox(),
            Action::DetachNetwork => self.detach_network(),
            Action::CleanUp => self.clean_up(),
        }
    }

    /// Nobody waits for images any more.
    pub(super) fn abort_pulls(&mut self) {
        self.pulls.drain(..).for_each(|pull| pull.abort());
    }

    /// Keeps a sandbox and listens to it.
    pub(super) fn hold(&mut self, sandbox: Arc<dyn Sandbox>) {
        self.view.set_sandbox(Some(Arc::clone(&sandbox)));
        self.sandbox = Some(Arc::clone(&sandbox));
        let mut events = sandbox.events(Default::default());
        let (happening, spec, clock) = (self.happening.clone(), Arc::clone(&self.spec), self.node.clock);
        self.work.spawn(async move {
            while let Some(event) = events.next().await {
                if let Some((event, at)) = translate(&spec, event, clock.now()) {
                    tell(&happening, Happening::Event(event, at));
                }
            }
        });
        if let Some(gib) = self.spec.ephemeral_storage_gib {
            let directories = vec![self.journal.sandbox_dir(), self.journal.volumes_dir()];
            let view = Arc::clone(&self.view);
            self.event(async move {
                storage::exceeded(directories, u64::from(gib) << 30, |bytes| view.set_stored_bytes(bytes))
                    .await;
                let reason = format!("The task used more than the {gib} GiB of its ephemeral storage");
                Event::StorageExceeded { reason }
            });
        }
    }

    fn event(&mut self, work: impl Future<Output = Event> + Send + 'static) -> AbortHandle {
        let (happening, clock) = (self.happening.clone(), self.node.clock);
        self.work.spawn(async move {
            let event = work.await;
            tell(&happening, Happening::Event(event, clock.now()));
        })
    }

    fn attach_network(&mut self, outbox: &Outbox) {
        if self.spec.network_mode == NetworkMode::Bridge {
            return self.attach_bridged();
        }
        let Some(interface) = self.spec.network_interface.clone() else {
            return tell(&self.happening, Happening::Network(None));
        };
        if self.spec.network_mode != NetworkMode::Awsvpc {
            return tell(&self.happening, Happening::Network(None));
        }
        outbox.attachment(self.attachment(AttachmentStatus::Attaching));
        let (node, happening) = (Arc::clone(&self.node), self.happening.clone());
        self.work.spawn(async move {
            let happening_now = match node.machine.network.attach(&interface).await {
                Ok(netns) => Happening::Network(Some(netns)),
                Err(reason) => {
                    let reason = format!(
                        "ResourceInitializationError: failed to configure network interface {}: {reason}",
                        interface.interface_id
                    );
                    Happening::Event(Event::NetworkFailed { reason }, node.clock.now())
                }
            };
            tell(&happening, happening_now);
        });
    }

    fn attach_bridged(&mut self) {
        let (node, spec, happening) =
            (Arc::clone(&self.node), Arc::clone(&self.spec), self.happening.clone());
        self.work.spawn(async move {
            let happening_now = match bridge::attach(&node, &spec).await {
                Ok(attached) => Happening::Bridged(attached),
                Err(reason) => Happening::Event(Event::NetworkFailed { reason }, node.clock.now()),
            };
            tell(&happening, happening_now);
        });
    }

    /// Learns the containers' addresses again: who asks for metadata is known by them.
    pub(super) fn find_bridged(&mut self) {
        if self.spec.network_mode == NetworkMode::Bridge {
            self.attach_bridged();
        }
    }

    pub(super) fn attachment(&self, status: AttachmentStatus) -> AttachmentStateChange {
        AttachmentStateChange {
            cluster: self.spec.cluster_arn.clone(),
            task: self.spec.task_arn.clone(),
            attachment_arn: self
                .spec
                .network_interface
                .as_ref()
                .map_or_else(String::new, |interface| interface.attachment_arn.clone()),
            status,
        }
    }

    fn volume_dirs(&self) -> VolumeDirs {
        VolumeDirs { task: self.journal.volumes_dir(), shared: self.node.config.shared_volumes_dir() }
    }

    fn prepare_sandbox(&mut self) {
        let (node, spec, happening) =
            (Arc::clone(&self.node), Arc::clone(&self.spec), self.happening.clone());
        let (netns, dir, dirs) = (self.netns.clone(), self.journal.sandbox_dir(), self.volume_dirs());
        let secrets = Arc::clone(&self.secrets);
        self.work.spawn(async move {
            let prepared = async {
                // A task that may not have what it needs shall not begin.
                secrets.complete(&node, &spec).await?;
                let failed = |reason: String| format!("ResourceInitializationError: {reason}");
                let of_volumes = Arc::clone(&spec);
                let made = tokio::task::spawn_blocking(move || make_volumes(&of_volumes, &dirs)).await;
                made.unwrap_or_else(|panic| Err(failed(panic.to_string())))?;
                let netns = match (&spec.network_interface, netns) {
                    // After a restart of the agent: the interface is there and says where.
                    (Some(interface), None) => {
                        Some(node.machine.network.attach(interface).await.map_err(failed)?)
                    }
                    (_, netns) => netns,
                };
                let sandbox = sandbox(&spec, dir, netns).map_err(failed)?;
                node.machine
                    .runtime
                    .launch(sandbox)
                    .await
                    .map_err(|error| failed(format!("unable to create the task's sandbox: {error}")))
            };
            tell(
                &happening,
                match prepared.await {
                    Ok(sandbox) => Happening::Sandbox(sandbox),
                    Err(reason) => Happening::Event(Event::SandboxFailed { reason }, node.clock.now()),
                },
            );
        });
    }

    fn check_health(&mut self, container: usize, run: u32, timeout: Duration) {
        let spec = &self.spec.containers[container];
        let (Some(sandbox), Some(check)) = (self.sandbox.clone(), &spec.health_check) else { return };
        let name = run_name(&spec.name, run);
        let timeout_ms = Some(timeout.as_millis() as u64);
        let config = ExecConfig { timeout_ms, ..ExecConfig::new(check.command.clone()) };
        self.event(async move {
            // The runtime ends a check that takes too long; should it not, it has failed all the same.
            let outcome = tokio::time::timeout(timeout + EXEC_GRACE, sandbox.exec(&name, config)).await;
            let passed = matches!(outcome, Ok(Ok(outcome)) if outcome.exit_code == 0 && !outcome.timed_out);
            Event::HealthChecked { container, run, passed }
        });
    }

    /// The names of a container's runs that live.
    fn running(&self, container: usize) -> Option<(Arc<dyn Sandbox>, Vec<String>)> {
        let sandbox = self.sandbox.clone()?;
        let name = &self.spec.containers[container].name;
        let statuses = sandbox.statuses();
        let alive =
            statuses.iter().filter(|(run, status)| parse_run_name(run).0 == name && !status.is_exited());
        let names = alive.map(|(run, _)| run.clone()).collect();
        Some((sandbox, names))
    }

    fn terminate(&mut self, container: usize) {
        let Some((sandbox, names)) = self.running(container) else { return };
        let asked = self.spec.containers[container].stop_signal.as_ref();
        let signal = asked.or_else(|| self.stop_signals.get(&container)).cloned();
        self.work.spawn(async move {
            for name in names {
                if let Err(error) = sandbox.signal(&name, signal_number(signal.as_deref())).await {
                    tracing::warn!(name, %error, "a container could not be asked to end");
                }
            }
        });
    }

    fn kill(&mut self, container: usize) {
        let Some((sandbox, names)) = self.running(container) else { return };
        self.work.spawn(async move {
            for name in names {
                if let Err(error) = sandbox.kill_all(&name).await {
                    tracing::warn!(name, %error, "a container could not be killed");
                }
            }
        });
    }

    fn remove_sandbox(&mut self) {
        self.view.set_sandbox(None);
        let sandbox = self.sandbox.take();
        let (node, task, dir) =
            (Arc::clone(&self.node), self.spec.task_id.clone(), self.journal.sandbox_dir());
        self.event(async move {
            removal::remove_sandbox(&node, &task, &dir, sandbox).await;
            Event::SandboxRemoved
        });
    }

    fn detach_network(&mut self) {
        // From here on the address may be another task's.
        self.node.directory.remove(&self.view);
        self.netns = None;
        let (node, spec) = (Arc::clone(&self.node), Arc::clone(&self.spec));
        self.event(async move {
            removal::detach_all(&node, &spec).await;
            Event::NetworkDetached
        });
    }

    fn clean_up(&mut self) {
        let shippers = std::mem::take(&mut self.shippers);
        let (node, journal, task) = (Arc::clone(&self.node), self.journal.clone(), self.spec.task_id.clone());
        self.abort_pulls();
        self.event(async move {
            let mut shippers: Vec<_> = shippers.into_values().collect();
            let all_shipped = async {
                for shipper in &mut shippers {
                    // Aborted is as good as done.
                    let _ = shipper.await;
                }
            };
            if tokio::time::timeout(LOG_DRAIN_TIMEOUT, all_shipped).await.is_err() {
                tracing::warn!(task, "output of a stopped task was not taken in time and is lost");
                shippers.iter().for_each(JoinHandle::abort);
            }
            let removed = tokio::task::spawn_blocking(move || journal.remove_contents()).await;
            if let Ok(Err(error)) = removed {
                tracing::warn!(task, %error, "a stopped task's directory could not be removed");
            }
            node.machine.images.release(&task).await;
            Event::CleanedUp
        });
    }
}

/// The receiver is the task itself: when it is gone, nobody needs to know.
pub(super) fn tell(happening: &mpsc::UnboundedSender<Happening>, what: Happening) {
    let _ = happening.send(what);
}
