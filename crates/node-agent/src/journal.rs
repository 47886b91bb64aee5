//! What the agent was told and observed, kept where a restarted agent finds it.
//!
//! `TASKS/ID/task.json` is the specification, written once; `facts.json` what was observed and begun, rewritten whole before
//! actions begin; `logs/NAME.json` how far a container's output was shipped. Each is written beside its place
//! and renamed over it, so that a reader sees the old or the new one.
//!
//! A new journal is flushed to the disk once, before anything is reported of its task ([`TaskJournal::flush`]): a control plane that has
//! heard of a task finds it known after a crash of the machine. What is written later is not flushed: the journal has to survive the agent's death, which the page cache does. When the machine itself goes down the
//! containers go with it, and the control plane, which is durable, says again what shall run. A file that such a crash tore is
//! treated as absent.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use agent_protocol::spec::TaskSpec;
use container_runtime::LogPosition;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use task_lifecycle::TaskFacts;

use crate::{node::Node, trash::Trash};

/// A file of the journal that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}", path = path.display())]
pub struct JournalError {
    path: PathBuf,
    source: io::Error,
}

/// The changing part of a task's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// `seqNum` of the last payload taken for the task.
    pub sequence: i64,
    pub facts: TaskFacts,
}

/// The journal of one task.
#[derive(Debug, Clone)]
pub(crate) struct TaskJournal {
    dir: PathBuf,
    trash: Arc<Trash>,
}

impl TaskJournal {
    pub(crate) fn new(node: &Node, task_id: &str) -> TaskJournal {
        TaskJournal { dir: node.config.tasks_dir().join(task_id), trash: Arc::clone(&node.trash) }
    }

    /// Takes a new task in: after this, a restarted agent knows it.
    pub(crate) fn begin(&self, spec: &TaskSpec, record: &Record) -> Result<(), JournalError> {
        make_dir(&self.dir)?;
        make_dir(&self.dir.join("logs"))?;
        write_json(&self.dir.join("task.json"), spec)?;
        self.save(record)
    }

    /// Waits until the journal as it is would survive a crash of the machine. Works on the disk.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let around = self.dir.parent().into_iter().map(Path::to_owned);
        let own = [self.dir.join("task.json"), self.dir.join("facts.json"), self.dir.clone()];
        own.into_iter().chain(around).try_for_each(|path| fs::File::open(path)?.sync_all())
    }

    pub(crate) fn save(&self, record: &Record) -> Result<(), JournalError> {
        write_json(&self.dir.join("facts.json"), record)
    }

    pub(crate) fn save_spec(&self, spec: &TaskSpec) -> Result<(), JournalError> {
        write_json(&self.dir.join("task.json"), spec)
    }

    /// `None` when there is no whole journal.
    pub(crate) fn load(&self) -> Option<(TaskSpec, Record)> {
        Some((read_json(&self.dir.join("task.json"))?, read_json(&self.dir.join("facts.json"))?))
    }

    /// Where the task's sandbox lives.
    pub(crate) fn sandbox_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// Volumes that live as long as the task.
    pub(crate) fn volumes_dir(&self) -> PathBuf {
        self.dir.join("volumes")
    }

    /// `name`: of the container's run.
    pub(crate) fn position_file(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.json"))
    }

    pub(crate) fn position(&self, name: &str) -> LogPosition {
        read_json(&self.position_file(name)).unwrap_or_default()
    }

    /// Removes what the task's containers had, but not the journal itself.
    pub(crate) fn remove_contents(&self) -> io::Result<()> {
        self.remove_sandbox_dir()?;
        self.trash.throw(&self.volumes_dir())
    }

    pub(crate) fn remove_sandbox_dir(&self) -> io::Result<()> {
        self.trash.throw(&self.sandbox_dir())
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        self.trash.throw(&self.dir)
    }

    /// The same, for a stopped task and beside the runtime's own threads. What is left of it the next agent removes.
    pub(crate) async fn remove_in_background(&self, task: &str) {
        let journal = self.clone();
        let removed = tokio::task::spawn_blocking(move || journal.remove()).await;
        if let Err(error) = removed.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            tracing::warn!(task, %error, "the journal of a stopped task could not be removed");
        }
    }
}

/// The ids of all tasks that have a directory.
pub(crate) fn task_ids(tasks_dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(tasks_dir) else { return Vec::new() };
    let mut ids: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    ids.sort();
    ids
}

/// Makes a directory that only root reads, when it is missing: journals hold credentials.
pub(crate) fn make_dir(dir: &Path) -> Result<(), JournalError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| JournalError { path: dir.to_owned(), source })
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), JournalError> {
    let write = || {
        let temporary = path.with_extension("new");
        let text = serde_json::to_vec(value).map_err(io::Error::other)?;
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        io::Write::write_all(&mut file, &text)?;
        put_in_place(&temporary, path)
    };
    write().map_err(|source| JournalError { path: path.to_owned(), source })
}

/// Renames, and keeps the file that was there under the temporary name: the next change writes into it. Making and
/// removing a file for every change costs most of what a start costs on a file system without a journal.
fn put_in_place(temporary: &Path, path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, temporary, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        // None there yet, or a file system that cannot exchange.
        Err(_) => fs::rename(temporary, path),
    }
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = fs::read(path).ok()?;
    serde_json::from_slice(&text)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "a torn journal file is ignored"))
        .ok()
}
