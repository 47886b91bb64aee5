//! Removes what nobody knows any more: after a crash of the agent's own store, or when a task's directory was deleted.

use super::adopt::{connect, index_path, socket_path};
use crate::cgroup;
use crate::error::RuntimeError;
use crate::mount_points;
use crate::protocol::{self, Op, Request};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What [`crate::Runtime::sweep`] removed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SweepReport {
    /// Tasks whose shim still ran and was told to end.
    pub shut_down: BTreeSet<String>,
    /// Tasks of which only cgroups, processes or files were left.
    pub buried: BTreeSet<String>,
}

/// A shim that is told to shut down kills its containers and ends; one that has not after this long is stuck, and its containers are
/// killed from outside.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn sweep(
    run_dir: &Path,
    cgroup_root: &str,
    known: &BTreeSet<String>,
) -> Result<SweepReport, RuntimeError> {
    let mut unknown: BTreeSet<String> =
        cgroup::children(cgroup_root).into_iter().filter(|name| name != cgroup::SHIMS).collect();
    let entries = std::fs::read_dir(run_dir).map_err(RuntimeError::io("list", run_dir))?;
    for entry in entries {
        let name = entry.map_err(RuntimeError::io("list", run_dir))?.file_name();
        if let Some(name) = name.to_str().filter(|name| *name != mount_points::NAME) {
            let task = name.strip_suffix(".sock").or_else(|| name.strip_suffix(".json")).unwrap_or(name);
            unknown.insert(task.to_owned());
        }
    }
    let mut report = SweepReport::default();
    for task in unknown.difference(known) {
        let shut_down = shut_down(&socket_path(run_dir, task)).await;
        let group = cgroup::task_path(cgroup_root, task);
        let path = group.clone();
        let left = tokio::task::spawn_blocking(move || cgroup::kill_and_remove(&path))
            .await
            .map_err(|e| RuntimeError::Protocol(e.to_string()))?
            .map_err(RuntimeError::io("clean up the cgroup", &group))?;
        let mut files = false;
        for path in [socket_path(run_dir, task), index_path(run_dir, task)] {
            files |= std::fs::remove_file(path).is_ok();
        }
        files |= std::fs::remove_dir_all(run_dir.join(task)).is_ok();
        if shut_down {
            report.shut_down.insert(task.clone());
        } else if left || files {
            report.buried.insert(task.clone());
        }
    }
    Ok(report)
}

/// True when a shim listened and has ended.
async fn shut_down(socket: &Path) -> bool {
    let Ok(mut stream) = connect(socket).await else { return false };
    let request = protocol::frame(&Request { id: 1, op: Op::Shutdown });
    if stream.write_all(&request).await.is_err() {
        return false;
    }
    let mut buffer = vec![0; 4096];
    let ended = async { while matches!(stream.read(&mut buffer).await, Ok(count) if count > 0) {} };
    tokio::time::timeout(SHUTDOWN_TIMEOUT, ended).await.is_ok()
}
