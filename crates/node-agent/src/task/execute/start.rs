//! From an image's name to a running container whose output is on its way.

use std::{sync::Arc, time::Duration};

use agent_protocol::{
    ControlError, LogDestination, RegistryLogin, RegistryLoginRequest,
    spec::{LogConfiguration, TaskSpec},
};
use container_runtime::{ContainerConfig, ContainerState, FailureKind, RuntimeError};
use task_lifecycle::Event;

use super::{
    super::{
        Happening, bridge,
        container::{Surroundings, container_config, parse_run_name, run_name},
    },
    Executor, tell,
};
use crate::{
    logs::{Destination, Shipper, ship},
    node::Node,
    ports::{ImageRequest, LocalImage, Outputs, Sandbox},
    retry::Backoff,
};

/// How often making a log stream is tried while the control plane cannot be reached.
const LOG_STREAM_ATTEMPTS: u32 = 10;

/// The published agent's limit.
const START_TIMEOUT: Duration = Duration::from_secs(180);
const START_TIMED_OUT: &str =
    "ContainerRuntimeTimeoutError: Could not transition to running; timed out after waiting 3m0s";

/// How often a start is tried while the sandbox is busy with what an earlier agent asked of it: over half a minute.
const START_ATTEMPTS: u32 = 12;

impl Executor {
    pub(super) fn pull_image(&mut self, container: usize) {
        let (node, spec, happening) =
            (Arc::clone(&self.node), Arc::clone(&self.spec), self.happening.clone());
        let pull = self.work.spawn(async move {
            let happening_now = match ensure_image(&node, &spec, container).await {
                Ok(image) => Happening::Image { container, image: Box::new(image) },
                Err(reason) => Happening::Event(Event::ImageFailed { container, reason }, node.clock.now()),
            };
            tell(&happening, happening_now);
        });
        self.pulls.push(pull);
    }

    pub(super) fn open_log(&mut self, container: usize) {
        let Some(destination) = log_destination(&self.spec, container) else {
            let now = self.node.clock.now();
            return tell(&self.happening, Happening::Event(Event::LogReady { container }, now));
        };
        let control = Arc::clone(&self.node.control);
        self.event(async move {
            let mut backoff = Backoff::default();
            let mut attempts = 0;
            loop {
                attempts += 1;
                match control.create_log_stream(destination.clone()).await {
                    Ok(()) => return Event::LogReady { container },
                    Err(ControlError::Unavailable(_)) if attempts < LOG_STREAM_ATTEMPTS => backoff.wait().await,
                    Err(error) => {
                        let reason = format!(
                            "ResourceInitializationError: failed to validate logger args: create stream has been \
                             retried {attempts} times: failed to create Cloudwatch log stream: {error}"
                        );
                        return Event::LogFailed { container, reason };
                    }
                }
            }
        });
    }

    pub(super) fn start(&mut self, container: usize, run: u32) {
        let Some(sandbox) = self.sandbox.clone() else {
            let reason = "CannotStartContainerError: the task has no sandbox".to_owned();
            let event = Event::StartFailed { container, run, reason };
            return tell(&self.happening, Happening::Event(event, self.node.clock.now()));
        };
        let name = run_name(&self.spec.containers[container].name, run);
        self.ship(&name, sandbox.as_ref());
        if run > 0 {
            self.bury(run_name(&self.spec.containers[container].name, run - 1), Arc::clone(&sandbox));
        }
        let (node, spec, dirs) = (Arc::clone(&self.node), Arc::clone(&self.spec), self.volume_dirs());
        let image = self.images[container].clone();
        let happening = self.happening.clone();
        self.work.spawn(async move {
            let started = async {
                let image = match image {
                    Some(image) => image,
                    None => ensure_image(&node, &spec, container).await?,
                };
                let bridged = match bridge::endpoint(&spec, container) {
                    Some(endpoint) => Some(
                        node.machine
                            .network
                            .attach_bridged(&endpoint)
                            .await
                            .map_err(|reason| format!("CannotStartContainerError: {reason}"))?,
                    ),
                    None => None,
                };
                let around = Surroundings {
                    bridged,
                    endpoint_url: node.config.endpoint_url.clone(),
                    metadata: node.config.metadata_of(spec.network_mode),
                };
                let config =
                    container_config(&spec, &spec.containers[container], run, &image, &dirs, &around)
                        .map_err(|reason| format!("CannotCreateContainerError: {reason}"))?;
                create_and_start(sandbox.as_ref(), &name, config).await.map_err(|error| error_text(&error))
            };
            let event = match tokio::time::timeout(START_TIMEOUT, started).await {
                Ok(Ok(Outcome::Started)) => Event::Started { container, run },
                Ok(Ok(Outcome::Underway)) => return,
                Ok(Err(reason)) => Event::StartFailed { container, run, reason },
                Err(_) => Event::StartFailed { container, run, reason: START_TIMED_OUT.to_owned() },
            };
            tell(&happening, Happening::Event(event, node.clock.now()));
        });
    }

    /// Removes an earlier run once its output has been shipped.
    fn bury(&mut self, name: String, sandbox: Arc<dyn Sandbox>) {
        let shipper = self.shippers.remove(&name);
        self.work.spawn(async move {
            if let Some(shipper) = shipper {
                // Aborted is as good as done.
                let _ = shipper.await;
            }
            if let Err(error) = sandbox.remove(&name).await {
                tracing::debug!(name, %error, "an earlier run could not be removed");
            }
        });
    }

    /// Begins to ship a run's output from where it was left, unless that goes on already.
    pub(in crate::task) fn ship(&mut self, name: &str, outputs: &(impl Outputs + ?Sized)) {
        if self.shippers.contains_key(name) {
            return;
        }
        let (container, _) = parse_run_name(name);
        let Some(index) = self.spec.containers.iter().position(|known| known.name == container) else {
            return;
        };
        let destination = match (&self.spec.containers[index].log, log_destination(&self.spec, index)) {
            (LogConfiguration::Awslogs(options), Some(stream)) => Destination::CloudWatch {
                control: Arc::clone(&self.node.control),
                stream,
                options: Box::new(options.clone()),
            },
            (LogConfiguration::None, _) => Destination::Nowhere,
            _ => Destination::Node,
        };
        let shipper = Shipper { destination, journal: self.journal.clone(), name: name.to_owned() };
        let tail = outputs.tail(name, self.journal.position(name));
        self.shippers.insert(name.to_owned(), tokio::spawn(ship(shipper, tail)));
    }
}

/// Takes up where an agent that was cut off in the middle of this left it.
async fn create_and_start(
    sandbox: &dyn Sandbox,
    name: &str,
    config: ContainerConfig,
) -> Result<Outcome, RuntimeError> {
    match sandbox.statuses().get(name).map(|status| status.state) {
        Some(ContainerState::Running) => return Ok(Outcome::Started),
        Some(ContainerState::Created) => {}
        Some(ContainerState::Exited) => {
            sandbox.remove(name).await?;
            sandbox.create(config).await?;
        }
        None => match sandbox.create(config).await {
            // It was being made when the agent was cut off, and is made by now.
            Err(error) if error.kind() == Some(FailureKind::AlreadyExists) => {}
            made => drop(made?),
        },
    }
    let mut backoff = Backoff::default();
    for _ in 0..START_ATTEMPTS {
        let refusal = match sandbox.start(name).await {
            Err(error) if error.kind() == Some(FailureKind::WrongState) => error,
            started => return started.map(|_| Outcome::Started),
        };
        // What the agent that was cut off had asked for is still going on: its start, or only its making.
        match sandbox.statuses().get(name).map(|status| status.state) {
            Some(ContainerState::Running | ContainerState::Exited) => return Ok(Outcome::Underway),
            Some(ContainerState::Created) | None => {
                tracing::debug!(name, %refusal, "an earlier request about the container goes on");
                backoff.wait().await;
            }
        }
    }
    sandbox.start(name).await.map(|_| Outcome::Started)
}

enum Outcome {
    Started,
    /// The sandbox's events will say what comes of it.
    Underway,
}

/// Makes a container's image present. The error is a reason for users.
pub(super) async fn ensure_image(
    node: &Node,
    spec: &TaskSpec,
    container: usize,
) -> Result<LocalImage, String> {
    let container = &spec.containers[container];
    let login = match &container.registry_credentials {
        Some(credentials) => Some(RegistryLogin {
            endpoint: None,
            repository: None,
            username: credentials.username.clone(),
            password: credentials.password.clone(),
        }),
        None => {
            let request = RegistryLoginRequest {
                image: container.image.clone(),
                task_arn: spec.task_arn.clone(),
                account: spec.account.clone(),
                region: spec.region.clone(),
            };
            node.control.registry_login(request).await.map_err(|error| {
                format!("ResourceInitializationError: unable to pull secrets or registry auth: {error}")
            })?
        }
    };
    let request = ImageRequest { image: container.image.clone(), holder: spec.task_id.clone(), login };
    let pulled = node.machine.images.ensure(request).await;
    pulled.map_err(|reason| format!("CannotPullContainerError: {reason}"))
}

/// `None` when the output does not go to a log group.
fn log_destination(spec: &TaskSpec, container: usize) -> Option<LogDestination> {
    let container = &spec.containers[container];
    let LogConfiguration::Awslogs(options) = &container.log else { return None };
    let stream = match &options.stream_prefix {
        Some(prefix) => format!("{prefix}/{}/{}", container.name, spec.task_id),
        None => container.runtime_id.clone(),
    };
    Some(LogDestination {
        account: spec.account.clone(),
        region: options.region.clone().unwrap_or_else(|| spec.region.clone()),
        group: options.group.clone(),
        stream,
        create_group: options.create_group,
    })
}

fn error_text(error: &RuntimeError) -> String {
    match error.kind() {
        Some(FailureKind::CannotStart) => format!("CannotStartContainerError: {error}"),
        _ => format!("CannotCreateContainerError: {error}"),
    }
}
