//! A running task, as the agent holds it.

use super::attach::{self, Attached};
use super::connection::{self, Call, Picture, Shared};
use super::events::EventStream;
use crate::cgroup::stats::{self, ContainerStats};
use crate::config::{AttachConfig, ContainerConfig, ExecConfig, TaskSandbox};
use crate::error::RuntimeError;
use crate::output::{LogPosition, LogTail};
use crate::protocol::{Answer, Op};
use crate::status::{ContainerStatus, ExecOutcome, Statuses};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Calls waiting to be sent: more than an agent ever has for one task.
const CALL_QUEUE: usize = 64;

/// A task whose shim runs. Cheap to clone; dropping the last clone closes the connection and leaves the task running.
#[derive(Debug, Clone)]
pub struct TaskHandle {
    shared: Arc<Shared>,
    calls: mpsc::Sender<Call>,
    acknowledge: mpsc::UnboundedSender<(String, LogPosition)>,
}

impl TaskHandle {
    pub(super) fn connect(
        sandbox: TaskSandbox,
        stream: std::os::unix::net::UnixStream,
    ) -> Result<TaskHandle, RuntimeError> {
        let failed = RuntimeError::io("use the connection of", sandbox.dir.clone());
        stream
            .set_nonblocking(true)
            .and_then(|()| tokio::net::UnixStream::from_std(stream))
            .map(|stream| TaskHandle::over(sandbox, stream))
            .map_err(failed)
    }

    pub(super) fn over(sandbox: TaskSandbox, stream: tokio::net::UnixStream) -> TaskHandle {
        let (calls, call_receiver) = mpsc::channel(CALL_QUEUE);
        let (acknowledge, acknowledgements) = mpsc::unbounded_channel();
        let picture = watch::channel(Arc::new(Picture::default())).0;
        let shared = Arc::new(Shared { sandbox, picture, outputs: Default::default() });
        tokio::spawn(connection::serve(Arc::clone(&shared), stream, call_receiver, acknowledgements));
        TaskHandle { shared, calls, acknowledge }
    }

    pub(super) async fn call(&self, op: Op) -> Result<Answer, RuntimeError> {
        let request = op.name();
        let (answer, receiver) = oneshot::channel();
        let lost = || RuntimeError::ConnectionLost { task: self.task_id().to_owned(), request };
        self.calls.send(Call { op, answer }).await.map_err(|_| lost())?;
        receiver.await.map_err(|_| lost())?
    }

    pub fn task_id(&self) -> &str {
        &self.shared.sandbox.task_id
    }

    pub fn dir(&self) -> &Path {
        &self.shared.sandbox.dir
    }

    pub fn sandbox(&self) -> &TaskSandbox {
        &self.shared.sandbox
    }

    /// Sets a container up, to its last step before the program runs.
    ///
    /// # Errors
    /// [`crate::FailureKind::CannotCreate`] with the reason; [`RuntimeError::Invalid`] for what could never work (unknown user,
    /// capability, limit); [`crate::FailureKind::AlreadyExists`].
    pub async fn create(&self, config: ContainerConfig) -> Result<ContainerStatus, RuntimeError> {
        self.status_of(Op::Create(Box::new(config))).await
    }

    /// Runs the program of a created container; returns once it is really executing.
    ///
    /// # Errors
    /// [`crate::FailureKind::CannotStart`] with text such as `exec: "nope": executable file not found in $PATH`; the container is then exited
    /// and its status holds the same text.
    pub async fn start(&self, name: &str) -> Result<ContainerStatus, RuntimeError> {
        self.status_of(Op::Start { name: name.to_owned() }).await
    }

    /// Sends a signal to the container's first process. An exited container is left alone.
    pub async fn signal(&self, name: &str, signal: i32) -> Result<(), RuntimeError> {
        self.done(Op::Signal { name: name.to_owned(), signal }).await
    }

    /// Kills every process of the container. Its end is reported as any other.
    pub async fn kill_all(&self, name: &str) -> Result<(), RuntimeError> {
        self.done(Op::KillAll { name: name.to_owned() }).await
    }

    /// Runs a further process in a running container and waits for its end.
    ///
    /// # Errors
    /// When the container does not run or the process could not be made. A program that is not found is an outcome with exit code 127.
    pub async fn exec(&self, name: &str, config: ExecConfig) -> Result<ExecOutcome, RuntimeError> {
        match self.call(Op::Exec { name: name.to_owned(), config: Box::new(config) }).await? {
            Answer::Exec(outcome) => Ok(*outcome),
            other => Err(RuntimeError::Protocol(format!("{other:?} for exec"))),
        }
    }

    /// Runs a further process in a running container and hands over its streams. It has the container's user, capabilities, filter,
    /// namespaces, cgroup, limits and environment, and ends when what is handed over is dropped.
    ///
    /// # Errors
    /// As those of [`TaskHandle::exec`], and [`RuntimeError::NotExecuted`] when the program is not there or may not be executed.
    pub async fn attach(&self, name: &str, config: AttachConfig) -> Result<Attached, RuntimeError> {
        attach::attach(&self.shared.socket_path(), self.task_id(), name, config).await
    }

    /// Removes a created or exited container with its files, output included; a running one is refused.
    pub async fn remove(&self, name: &str) -> Result<(), RuntimeError> {
        self.done(Op::Remove { name: name.to_owned() }).await
    }

    /// Kills and removes everything of the task but its directory, which keeps statuses and output for whoever reads them yet.
    pub async fn shutdown(&self) -> Result<(), RuntimeError> {
        self.done(Op::Shutdown).await
    }

    /// What is known now, without asking the shim.
    pub fn statuses(&self) -> Statuses {
        self.shared.picture.borrow().statuses.clone()
    }

    pub fn status(&self, name: &str) -> Option<ContainerStatus> {
        self.shared.picture.borrow().statuses.get(name).cloned()
    }

    /// Waits for a container's end. `None` when it was removed, never was, or the shim is gone without an answer.
    pub async fn wait(&self, name: &str) -> Option<ContainerStatus> {
        let mut pictures = self.shared.picture.subscribe();
        let picture = pictures
            .wait_for(|picture| {
                picture.gone.is_some() || picture.statuses.get(name).is_none_or(ContainerStatus::is_exited)
            })
            .await
            .ok()?;
        picture.statuses.get(name).filter(|status| status.is_exited()).cloned()
    }

    /// Everything that happens from now on.
    pub fn events(&self) -> EventStream {
        let pictures = self.shared.picture.subscribe();
        let seen = self.statuses();
        EventStream::new(pictures, seen)
    }

    /// Everything that happened since the caller saw `seen`: after an adoption, what it had persisted.
    pub fn events_since(&self, seen: Statuses) -> EventStream {
        EventStream::new(self.shared.picture.subscribe(), seen)
    }

    /// A container's output from a position on ([`LogPosition::default`] is the beginning of what is kept).
    pub fn tail(&self, name: &str, from: LogPosition) -> LogTail {
        let more = self.shared.outputs.subscribe(name);
        LogTail::live(name.to_owned(), output_dir(self.dir(), name), from, more, self.acknowledge.clone())
    }

    /// Reads what the kernel counts for one container; `None` when it has no cgroup any more.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn stats(&self, name: &str) -> Result<Option<ContainerStats>, RuntimeError> {
        let sandbox = &self.shared.sandbox;
        stats::read(&crate::cgroup::container_path(&sandbox.cgroup_root, &sandbox.task_id, name))
    }

    /// The same for the task as a whole.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn task_stats(&self) -> Result<Option<ContainerStats>, RuntimeError> {
        let sandbox = &self.shared.sandbox;
        stats::read(&crate::cgroup::task_path(&sandbox.cgroup_root, &sandbox.task_id))
    }

    async fn status_of(&self, op: Op) -> Result<ContainerStatus, RuntimeError> {
        match self.call(op).await? {
            Answer::Status(status) => Ok(*status),
            other => Err(RuntimeError::Protocol(format!("{other:?} for a status"))),
        }
    }

    async fn done(&self, op: Op) -> Result<(), RuntimeError> {
        self.call(op).await.map(drop)
    }
}

/// Where a container's output segments are.
pub(crate) fn output_dir(task_dir: &Path, name: &str) -> PathBuf {
    container_dir(task_dir, name).join("output")
}

pub(crate) fn container_dir(task_dir: &Path, name: &str) -> PathBuf {
    task_dir.join("containers").join(name)
}
