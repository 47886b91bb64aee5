//! The agent's side: starts shims, finds them again, cleans up after them.

mod adopt;
mod attach;
mod connection;
mod events;
mod pool;
mod sweep;
mod task;

pub use adopt::{Adopted, DeadTask};
pub(crate) use adopt::{index_path, socket_path};
pub use attach::{AttachControl, Attached};
pub use events::EventStream;
pub use sweep::SweepReport;
pub use task::TaskHandle;

use crate::cgroup;
use crate::config::{RuntimeConfig, TaskSandbox, valid_name};
use crate::error::RuntimeError;
use crate::mount_points;
use crate::protocol::Op;
use pool::{IdleShim, Pool};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

/// Runs tasks on this machine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: RuntimeConfig,
    pool: Pool,
}

impl Runtime {
    /// Makes the run directory (mode 0700) and the cgroups that the shims live in. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When either cannot be made, or the cgroup root is not an absolute path.
    pub fn new(config: RuntimeConfig) -> Result<Runtime, RuntimeError> {
        if !config.cgroup_root.starts_with('/')
            || config.cgroup_root.len() < 2
            || config.cgroup_root.contains("..")
        {
            return Err(RuntimeError::Invalid(format!(
                "cgroup root {:?} is not an absolute path",
                config.cgroup_root
            )));
        }
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&config.run_dir)
            .map_err(RuntimeError::io("make", &config.run_dir))?;
        mount_points::make(&config.run_dir)?;
        Ok(Runtime { inner: Arc::new(Inner { config, pool: Pool::default() }) })
    }

    pub fn config(&self) -> &RuntimeConfig {
        &self.inner.config
    }

    /// Keeps `count` shims started and waiting, so that [`Runtime::launch`] need not start one. They end with this process.
    /// The pool refills itself after each launch.
    pub fn prepare(&self, count: usize) {
        self.inner.pool.keep(count, &self.inner.config);
    }

    /// Says that a task will be launched within a tenth of a second or so: the kernel's first cgroup move after a pause takes about ten
    /// milliseconds, which then pass while the caller makes the task's network. Costs next to nothing; needs a prepared shim, else does nothing.
    pub fn nudge(&self) {
        self.inner.pool.nudge();
    }

    /// Starts a task's shim, with its cgroup, ready for containers.
    ///
    /// # Errors
    /// When the sandbox is invalid, a task of that name runs already, or the shim cannot be started or set up.
    pub async fn launch(&self, mut sandbox: TaskSandbox) -> Result<TaskHandle, RuntimeError> {
        if !valid_name(&sandbox.task_id, 128) {
            return Err(RuntimeError::Invalid(format!("task id {:?}", sandbox.task_id)));
        }
        sandbox.run_dir = self.inner.config.run_dir.clone();
        sandbox.cgroup_root = self.inner.config.cgroup_root.clone();
        self.nudge();
        let IdleShim { stream } = self.inner.pool.take(&self.inner.config)?;
        let task = TaskHandle::connect(sandbox.clone(), stream)?;
        task.call(Op::Assign(Box::new(sandbox))).await?;
        Ok(task)
    }

    /// Finds the task of a directory again after a restart of the agent: its running shim, or what became of it. When the shim
    /// is gone, everything it left is killed and its cgroups are removed first.
    ///
    /// # Errors
    /// When there is no task in the directory, or what is there cannot be read.
    pub async fn adopt(&self, dir: &Path) -> Result<Adopted, RuntimeError> {
        adopt::adopt(dir).await
    }

    /// Ends the waiting shims and the fork server, and removes the runtime's own cgroups and run directory, unless tasks still live in them: for an agent that
    /// leaves nothing behind. Tasks are not touched. To launch again, make a new runtime.
    ///
    /// # Errors
    /// When what is empty cannot be removed.
    pub async fn dispose(&self) -> Result<(), RuntimeError> {
        self.prepare(0);
        self.inner.pool.close();
        let config = self.inner.config.clone();
        let dispose = move || {
            let root = &config.cgroup_root;
            cgroup::remove_root_if_unused(root).map_err(RuntimeError::io("remove the cgroup", root))?;
            mount_points::remove_if_alone(&config.run_dir)
                .map_err(RuntimeError::io("clear", &config.run_dir))?;
            match std::fs::remove_dir(&config.run_dir) {
                Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                    Err(RuntimeError::io("remove", &config.run_dir)(e))
                }
                _ => Ok(()),
            }
        };
        tokio::task::spawn_blocking(dispose).await.map_err(|e| RuntimeError::Protocol(e.to_string()))?
    }

    /// Removes what is left of tasks that nobody knows: their shims, processes, cgroups, sockets; not their directories.
    pub async fn sweep(
        &self,
        known_task_ids: &std::collections::BTreeSet<String>,
    ) -> Result<SweepReport, RuntimeError> {
        sweep::sweep(&self.inner.config.run_dir, &self.inner.config.cgroup_root, known_task_ids).await
    }
}
