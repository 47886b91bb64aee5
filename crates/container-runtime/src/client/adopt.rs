//! Finds tasks again: connects to a shim that still runs, or buries one that does not.
//!
//! The shim holds a lock on `TASK_DIR` for as long as it lives; the kernel lets go of it however the shim ends. That, not a
//! process id, decides whether it is alive.

use super::task::{TaskHandle, container_dir, output_dir};
use crate::cgroup;
use crate::config::TaskSandbox;
use crate::error::RuntimeError;
use crate::output::{LogPosition, LogTail};
use crate::protocol::Op;
use crate::shim::files;
use crate::status::now;
use crate::status::{ContainerState, Statuses};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// What was found in a task's directory.
#[derive(Debug)]
pub enum Adopted {
    Running(TaskHandle),
    Dead(DeadTask),
}

/// A task whose shim is gone: after [`TaskHandle::shutdown`], or killed. Nothing of it runs any more.
#[derive(Debug, Clone)]
pub struct DeadTask {
    pub sandbox: TaskSandbox,
    /// Every container that was not removed. One that ran when the shim was killed is exited with `exit: None` and an `error`.
    pub statuses: Statuses,
}

impl DeadTask {
    /// A container's output from a position on; ends after what was written.
    pub fn tail(&self, name: &str, from: LogPosition) -> LogTail {
        LogTail::finished(name.to_owned(), output_dir(&self.sandbox.dir, name), from)
    }
}

/// Said of containers whose end nobody saw.
pub(crate) const SHIM_KILLED: &str =
    "the process that watched over the container was killed; the container was killed with it";

/// How long a shim that is alive may take to listen: it does so within a millisecond of its assignment.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn adopt(dir: &Path) -> Result<Adopted, RuntimeError> {
    let sandbox = read_sandbox(dir)?;
    let socket = socket_path(&sandbox.run_dir, &sandbox.task_id);
    let deadline = tokio::time::Instant::now() + LISTEN_TIMEOUT;
    loop {
        match connect(&socket).await {
            Ok(stream) => {
                let task = TaskHandle::over(sandbox.clone(), stream);
                match task.call(Op::Hello).await {
                    Ok(_) => return Ok(Adopted::Running(task)),
                    // It died while we asked: look again.
                    Err(RuntimeError::ShimGone { .. } | RuntimeError::ConnectionLost { .. }) => {}
                    Err(e) => return Err(e),
                }
            }
            Err(_) => {
                if !files::is_locked(dir).map_err(RuntimeError::io("lock", dir))? {
                    return bury(dir).await.map(Adopted::Dead);
                }
            }
        }
        if tokio::time::Instant::now() > deadline {
            return Err(RuntimeError::ShimGone {
                task: sandbox.task_id,
                reason: "it lives but does not listen".to_owned(),
            });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Kills what a dead shim left, removes its cgroups and socket, and completes the statuses on disk.
pub(super) async fn bury(dir: &Path) -> Result<DeadTask, RuntimeError> {
    let sandbox = read_sandbox(dir)?;
    let owned = sandbox.clone();
    tokio::task::spawn_blocking(move || bury_blocking(owned)).await.unwrap_or_else(|e| {
        Err(RuntimeError::ShimGone {
            task: sandbox.task_id,
            reason: format!("cleaning up after it failed: {e}"),
        })
    })
}

fn bury_blocking(sandbox: TaskSandbox) -> Result<DeadTask, RuntimeError> {
    // Held until the end: no two bury one task, and nobody buries a live one.
    let lock = files::lock(&sandbox.dir).map_err(RuntimeError::io("lock", &sandbox.dir))?;
    let Some(_lock) = lock else {
        return Err(RuntimeError::ShimGone {
            task: sandbox.task_id,
            reason: "its lock is still held".to_owned(),
        });
    };
    let group = cgroup::task_path(&sandbox.cgroup_root, &sandbox.task_id);
    cgroup::kill_and_remove(&group).map_err(RuntimeError::io("clean up the cgroup", &group))?;
    for path in
        [socket_path(&sandbox.run_dir, &sandbox.task_id), index_path(&sandbox.run_dir, &sandbox.task_id)]
    {
        remove_if_there(&path)?;
    }
    match std::fs::remove_dir_all(files::Places::of(&sandbox).run) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(RuntimeError::io("remove what the shim left in", &sandbox.run_dir)(e));
        }
        _ => {}
    }
    let mut statuses =
        files::read_statuses(&sandbox.dir).map_err(RuntimeError::io("read statuses in", &sandbox.dir))?;
    for (name, status) in &mut statuses {
        if status.state != ContainerState::Exited {
            status.state = ContainerState::Exited;
            status.exited_at = Some(now());
            status.error = Some(SHIM_KILLED.to_owned());
            files::write_status(&container_dir(&sandbox.dir, name), status)
                .map_err(RuntimeError::io("write the status in", container_dir(&sandbox.dir, name)))?;
        }
    }
    Ok(DeadTask { sandbox, statuses })
}

fn read_sandbox(dir: &Path) -> Result<TaskSandbox, RuntimeError> {
    files::read_json(&dir.join(files::SANDBOX)).map_err(RuntimeError::io("read the task in", dir))
}

fn remove_if_there(path: &Path) -> Result<(), RuntimeError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(RuntimeError::io("remove", path)(e)),
        _ => Ok(()),
    }
}

pub(crate) fn socket_path(run_dir: &Path, task_id: &str) -> PathBuf {
    run_dir.join(format!("{task_id}.sock"))
}

pub(crate) fn index_path(run_dir: &Path, task_id: &str) -> PathBuf {
    run_dir.join(format!("{task_id}.json"))
}

/// Connects to a socket whose path may be longer than a socket address holds.
pub(super) async fn connect(path: &Path) -> io::Result<UnixStream> {
    let short = files::ShortPath::of(path)?;
    UnixStream::connect(short.path()).await
}
