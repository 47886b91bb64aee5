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
        secrets::Secrets,
        shape,
    },
    Executor, tell,
};
use crate::{
    endpoint::file,
    logs::{Destination, Shipper, ship},
    node::Node,
    ports::{Bridged, ImageRequest, LocalImage, Outputs, Sandbox},
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
        let secrets = Arc::clone(&self.secrets);
        let pull = self.work.spawn(async move {
            let happening_now = match ensure_image(&node, &spec, &secrets, container).await {
                Ok(image) => Happening::Image { container, image: Box::new(image) },
                Err(reason) => Happening::Event(Event::ImageFailed { container, reason }, node.clock.now()),
            };
            tell(&happening, happening_now);
        });
        self.pulls.push(pull);
    }

    pub(super) fn open_log(&mut self, container: usize) {
        if !matches!(self.spec.containers[container].log, LogConfiguration::Awslogs(_)) {
            let now = self.node.clock.now();
            return tell(&self.happening, Happening::Event(Event::LogReady { container }, now));
        }
        let (node, spec, secrets) =
            (Arc::clone(&self.node), Arc::clone(&self.spec), Arc::clone(&self.secrets));
        self.event(async move {
            match create_log_stream(&node, &spec, &secrets, container).await {
                Ok(()) => Event::LogReady { container },
                Err(reason) => Event::LogFailed { container, reason },
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
        let (happening, secrets) = (self.happening.clone(), Arc::clone(&self.secrets));
        let journal = self.journal.clone();
        self.work.spawn(async move {
            let started = async {
                let image = match image {
                    Some(image) => image,
                    None => ensure_image(&node, &spec, &secrets, container).await?,
                };
                let spec = secrets.complete(&node, &spec).await?;
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
                let spec = bridge::linked(&node, spec, container).await?;
                let metadata_dir = node.config.metadata_files.then(|| journal.metadata_dir(&name));
                let file = |known: Option<&file::Known>| match &metadata_dir {
                    None => Ok(()),
                    Some(dir) => {
                        let instance = &node.config.container_instance_arn;
                        file::write(dir, instance, &spec, container, &image, known)
                    }
                };
                file(None)
                    .map_err(|error| format!("CannotCreateContainerError: the metadata file: {error}"))?;
                let known = known(&spec, container, bridged.as_ref());
                let around = Surroundings {
                    bridged,
                    endpoint_url: node.config.endpoint_url.clone(),
                    instance_metadata: node.config.instance_metadata.clone(),
                    metadata: node.config.metadata_of(spec.network_mode),
                    metadata_dir: metadata_dir.clone(),
                };
                let config =
                    container_config(&spec, &spec.containers[container], run, &image, &dirs, &around)
                        .map_err(|reason| format!("CannotCreateContainerError: {reason}"))?;
                let outcome = create_and_start(sandbox.as_ref(), &name, config)
                    .await
                    .map_err(|error| error_text(&error))?;
                if let Err(error) = file(Some(&known)) {
                    tracing::warn!(name, %error, "a container's metadata file could not be completed");
                }
                Ok(outcome)
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
        let tail = outputs.tail(name, self.journal.position(name));
        let (node, spec, secrets) =
            (Arc::clone(&self.node), Arc::clone(&self.spec), Arc::clone(&self.secrets));
        let (journal, name) = (self.journal.clone(), name.to_owned());
        let shipper = |destination| Shipper { destination, journal, name: name.clone() };
        let shipping = if spec.containers[index].log_awaits_secrets {
            let shipper = shipper(Destination::Node);
            tokio::spawn(async move {
                let destination = match secrets.complete(&node, &spec).await {
                    Ok(spec) => destination(&node, &spec, index),
                    Err(reason) => {
                        tracing::error!(
                            task = spec.task_id,
                            reason,
                            "a container's output stays on the node"
                        );
                        Destination::Node
                    }
                };
                ship(Shipper { destination, ..shipper }, tail).await;
            })
        } else {
            tokio::spawn(ship(shipper(destination(&node, &spec, index)), tail))
        };
        self.shippers.insert(name, shipping);
    }
}

/// What a container's metadata file says of its network.
fn known(spec: &TaskSpec, container: usize, bridged: Option<&Bridged>) -> file::Known {
    let of_mode = || {
        let own = shape::host_bindings(spec).into_iter().filter(|(owner, _)| *owner == container);
        own.map(|(_, binding)| binding).collect()
    };
    let own = spec.network_interface.as_ref().map(|interface| interface.private_address.to_string());
    file::Known {
        bindings: bridged.map_or_else(of_mode, |bridged| bridged.bindings.clone()),
        addresses: bridged.map(|bridged| bridged.address.to_string()).or(own).into_iter().collect(),
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
    spec: &Arc<TaskSpec>,
    secrets: &Secrets,
    container: usize,
) -> Result<LocalImage, String> {
    let spec = secrets.complete(node, spec).await?;
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
            node.control.registry_login(request).await.map_err(|error| match error {
                // Says all there is.
                ControlError::Refused { message, .. } => message,
                ControlError::Unavailable(_) => {
                    format!("ResourceInitializationError: unable to pull secrets or registry auth: {error}")
                }
            })?
        }
    };
    let request = ImageRequest { image: container.image.clone(), holder: spec.task_id.clone(), login };
    let pulled = node.machine.images.ensure(request).await;
    pulled.map_err(|reason| format!("CannotPullContainerError: {reason}"))
}

/// Makes the stream that a container's output goes to. The error is a reason for users.
async fn create_log_stream(
    node: &Node,
    spec: &Arc<TaskSpec>,
    secrets: &Secrets,
    container: usize,
) -> Result<(), String> {
    let spec = secrets.complete(node, spec).await?;
    let Some(destination) = log_destination(&spec, container) else { return Ok(()) };
    let mut backoff = Backoff::default();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            format!(
                "ResourceInitializationError: failed to validate logger args: create stream has been retried {attempts} times: \
                 failed to create Cloudwatch log {what}: {error}"
            )
        };
        match node.control.create_log_stream(destination.clone()).await {
            Ok(()) => return Ok(()),
            Err(ControlError::Unavailable(_)) if attempts < LOG_STREAM_ATTEMPTS => backoff.wait().await,
            Err(error @ ControlError::Unavailable(_)) => return Err(failed("stream", &error)),
            // The rest of the pipeline is AWS's: its log writer ends with 1.
            Err(ControlError::Refused { code, message }) => {
                let what = if message.contains("logs:CreateLogGroup") { "group" } else { "stream" };
                return Err(failed(what, &format_args!("{code}: {message} : exit status 1")));
            }
        }
    }
}

/// Where a container's output goes.
fn destination(node: &Node, spec: &TaskSpec, container: usize) -> Destination {
    match (&spec.containers[container].log, log_destination(spec, container)) {
        (LogConfiguration::Awslogs(options), Some(stream)) => Destination::CloudWatch {
            control: Arc::clone(&node.control),
            stream,
            options: Box::new(options.clone()),
        },
        (LogConfiguration::None, _) => Destination::Nowhere,
        _ => Destination::Node,
    }
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
        task_arn: spec.task_arn.clone(),
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
