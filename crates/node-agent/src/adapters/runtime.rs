//! Sandboxes by `container-runtime`.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use container_runtime::{
    AttachConfig, AttachControl, ContainerConfig, ContainerStats, ContainerStatus, DeadTask, Event,
    EventStream, ExecConfig, ExecOutcome, LogPosition, LogRecord, LogTail, RuntimeError, Statuses,
    TaskHandle, TaskSandbox, WindowSize,
};

use crate::ports::{Adopted, BoxFuture, Conversation, Events, Outputs, Process, Runtime, Sandbox, Tail};

pub(super) struct RealRuntime(pub(super) container_runtime::Runtime);

struct RealSandbox(TaskHandle);

struct DeadOutputs(DeadTask);

impl Runtime for RealRuntime {
    fn launch(&self, sandbox: TaskSandbox) -> BoxFuture<'_, Result<Arc<dyn Sandbox>, RuntimeError>> {
        Box::pin(async move {
            let task = self.0.launch(sandbox).await?;
            Ok(Arc::new(RealSandbox(task)) as Arc<dyn Sandbox>)
        })
    }

    fn adopt<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, Result<Adopted, RuntimeError>> {
        Box::pin(async move {
            Ok(match self.0.adopt(dir).await? {
                container_runtime::Adopted::Running(task) => Adopted::Running(Arc::new(RealSandbox(task))),
                container_runtime::Adopted::Dead(dead) => {
                    Adopted::Dead { statuses: dead.statuses.clone(), outputs: Arc::new(DeadOutputs(dead)) }
                }
            })
        })
    }

    fn sweep(&self, known_task_ids: BTreeSet<String>) -> BoxFuture<'_, Result<(), RuntimeError>> {
        Box::pin(async move {
            let report = self.0.sweep(&known_task_ids).await?;
            if !report.shut_down.is_empty() || !report.buried.is_empty() {
                tracing::info!(?report, "sandboxes of unknown tasks were removed");
            }
            Ok(())
        })
    }

    fn nudge(&self) {
        self.0.nudge();
    }

    fn dispose(&self) -> BoxFuture<'_, Result<(), RuntimeError>> {
        Box::pin(self.0.dispose())
    }
}

impl Outputs for RealSandbox {
    fn tail(&self, name: &str, from: LogPosition) -> Box<dyn Tail> {
        Box::new(self.0.tail(name, from))
    }
}

impl Outputs for DeadOutputs {
    fn tail(&self, name: &str, from: LogPosition) -> Box<dyn Tail> {
        Box::new(self.0.tail(name, from))
    }
}

impl Tail for LogTail {
    fn next_batch(&mut self, limit: usize) -> BoxFuture<'_, Result<Vec<LogRecord>, RuntimeError>> {
        Box::pin(LogTail::next_batch(self, limit))
    }

    fn acknowledge(&self, position: LogPosition) {
        LogTail::acknowledge(self, position);
    }
}

impl Sandbox for RealSandbox {
    fn create(&self, config: ContainerConfig) -> BoxFuture<'_, Result<ContainerStatus, RuntimeError>> {
        Box::pin(self.0.create(config))
    }

    fn start<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<ContainerStatus, RuntimeError>> {
        Box::pin(self.0.start(name))
    }

    fn signal<'a>(&'a self, name: &'a str, signal: i32) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.0.signal(name, signal))
    }

    fn kill_all<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.0.kill_all(name))
    }

    fn exec<'a>(
        &'a self,
        name: &'a str,
        config: ExecConfig,
    ) -> BoxFuture<'a, Result<ExecOutcome, RuntimeError>> {
        Box::pin(self.0.exec(name, config))
    }

    fn attach<'a>(
        &'a self,
        name: &'a str,
        config: AttachConfig,
    ) -> BoxFuture<'a, Result<Conversation, RuntimeError>> {
        Box::pin(async move {
            let attached = self.0.attach(name, config).await?;
            Ok(Conversation {
                input: Box::new(attached.input),
                output: Box::new(attached.output),
                errors: attached.errors.map(|errors| Box::new(errors) as _),
                process: Box::new(attached.control),
            })
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.0.remove(name))
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), RuntimeError>> {
        Box::pin(self.0.shutdown())
    }

    fn statuses(&self) -> Statuses {
        self.0.statuses()
    }

    fn events(&self, seen: Statuses) -> Box<dyn Events> {
        Box::new(self.0.events_since(seen))
    }

    fn stats(&self, name: &str) -> Option<ContainerStats> {
        let stats = self.0.stats(name);
        stats.inspect_err(|error| tracing::debug!(name, %error, "counters cannot be read")).ok().flatten()
    }
}

impl Process for AttachControl {
    fn resize(&self, size: WindowSize) -> std::io::Result<()> {
        AttachControl::resize(self, size)
    }

    fn signal(&mut self, signal: i32) -> BoxFuture<'_, Result<(), RuntimeError>> {
        Box::pin(AttachControl::signal(self, signal))
    }

    fn ended(&mut self) -> BoxFuture<'_, Result<ExecOutcome, RuntimeError>> {
        Box::pin(AttachControl::ended(self))
    }
}

impl Events for EventStream {
    fn next(&mut self) -> BoxFuture<'_, Option<Event>> {
        Box::pin(EventStream::next(self))
    }
}
