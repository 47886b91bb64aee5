//! What the agent was told and observed, kept where a restarted agent finds it.
//!
//! One file for all tasks, `journal`, to which lines are appended: a task's specification, its record (what was observed and
//! begun) before actions begin, how far a container's output was shipped, and that the task is gone. The last line of a kind counts.
//! A file for each of these would be made and removed with every task, which costs more than all else that a start does on the disk.
//! A specification holds credentials and environments: it is sealed, for its own task. The rest tells no secrets.
//! The file is written anew, without what is past, when it has grown, and at the start; a line that a crash tore is none.
//!
//! A new task is flushed to the disk once, before anything is reported of it ([`TaskJournal::flush`]): a control plane that has heard of a task
//! finds it known after a crash of the machine. What is written later is not flushed: it has to survive the agent's death, which the
//! page cache does. When the machine itself goes down the containers go with it, and the control plane, which is durable, says
//! again what shall run.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    io::{self, BufRead, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use agent_protocol::spec::TaskSpec;
use base64::{Engine, engine::general_purpose::STANDARD};
use container_runtime::LogPosition;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use task_lifecycle::TaskFacts;
use vocabulary::Seal;

use crate::{node::Node, trash::Trash};

/// The file is not written anew before it is this large.
const SMALLEST_REWRITE: u64 = 4 << 20;
/// Nor before it is this many times as large as what counted when it was last written.
const GROWTH: u64 = 4;

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
    /// The signals that the containers' images name for their end, by the container's place: an agent that takes the task up again need not ask
    /// for images, nor for the secrets that open their registries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stop_signals: BTreeMap<usize, String>,
}

/// A line of the file. A specification is sealed, in base 64; a record is kept as it was written: only their own task reads them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Sealed(String, String),
    Record(String, Box<serde_json::value::RawValue>),
    Position(String, String, LogPosition),
    Gone(String),
}

/// What counts of a task.
#[derive(Debug, Default)]
struct Held {
    /// Sealed.
    spec: Option<String>,
    record: Option<Box<serde_json::value::RawValue>>,
    positions: BTreeMap<String, LogPosition>,
}

/// The journal of all tasks.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    seal: Arc<dyn Seal>,
    open: Mutex<Open>,
    /// By task and container.
    positions: Mutex<HashMap<String, BTreeMap<String, LogPosition>>>,
    /// What an earlier agent left, until its task is loaded: the file is not read once for each of them.
    found: Mutex<BTreeMap<String, Held>>,
    /// How much of the file is known to be on the disk; held while it is flushed, so that those who wait find it done.
    flushed: Mutex<(u64, u64)>,
}

#[derive(Debug)]
struct Open {
    file: Arc<fs::File>,
    size: u64,
    /// Counts the files: a size belongs to one of them.
    generation: u64,
    rewrite_at: u64,
}

impl Journal {
    /// Opens the journal at `path`, or begins it, and leaves out what is past.
    pub(crate) fn open(path: PathBuf, seal: Arc<dyn Seal>) -> Result<Journal, JournalError> {
        let failed = |source| JournalError { path: path.clone(), source };
        let (open, tasks) = rewrite(&path, 0).map_err(failed)?;
        let positions = tasks.iter().map(|(task, held)| (task.clone(), held.positions.clone())).collect();
        Ok(Journal {
            path,
            seal,
            open: Mutex::new(open),
            positions: Mutex::new(positions),
            found: Mutex::new(tasks),
            flushed: Mutex::new((0, 0)),
        })
    }

    /// Every task that is written of.
    pub(crate) fn tasks(&self) -> BTreeSet<String> {
        self.read().into_keys().collect()
    }

    fn read(&self) -> BTreeMap<String, Held> {
        let _open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        read(&self.path).unwrap_or_else(|error| {
            tracing::error!(path = %self.path.display(), %error, "the journal cannot be read");
            BTreeMap::new()
        })
    }

    fn append(&self, lines: &[Line]) -> Result<(), JournalError> {
        let write = || {
            let mut text = Vec::new();
            for line in lines {
                serde_json::to_writer(&mut text, line)?;
                text.push(b'\n');
            }
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = (&*open.file).write_all(&text) {
                // Half a line would spoil the next one.
                open.file.set_len(open.size)?;
                return Err(error);
            }
            open.size += text.len() as u64;
            if open.size >= open.rewrite_at {
                match rewrite(&self.path, open.generation + 1) {
                    Ok((anew, _)) => *open = anew,
                    // What was to be written is: it is tried again when the file has grown further.
                    Err(error) => {
                        tracing::warn!(path = %self.path.display(), %error, "the journal could not be written anew");
                        open.rewrite_at = open.size + SMALLEST_REWRITE;
                    }
                }
            }
            Ok(())
        };
        write().map_err(|source| JournalError { path: self.path.clone(), source })
    }

    /// Waits until what is written is on the disk. Those who come together wait for one flush.
    fn flush(&self) -> io::Result<()> {
        let (file, state) = {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            (Arc::clone(&open.file), (open.generation, open.size))
        };
        let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        if *flushed >= state {
            return Ok(());
        }
        // All that is in the file by now goes with it.
        let length = file.metadata()?.len();
        file.sync_data()?;
        *flushed = (*flushed).max((state.0, length));
        Ok(())
    }
}

/// What counts of each task. Lines that are not whole are left out.
fn read(path: &Path) -> io::Result<BTreeMap<String, Held>> {
    let mut tasks = BTreeMap::<String, Held>::new();
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(tasks),
        other => other?,
    };
    for text in io::BufReader::new(file).split(b'\n') {
        match serde_json::from_slice(&text?) {
            Ok(Line::Sealed(task, spec)) => tasks.entry(task).or_default().spec = Some(spec),
            Ok(Line::Record(task, record)) => tasks.entry(task).or_default().record = Some(record),
            Ok(Line::Position(task, name, position)) => {
                tasks.entry(task).or_default().positions.insert(name, position);
            }
            Ok(Line::Gone(task)) => drop(tasks.remove(&task)),
            Err(error) => tracing::warn!(%error, "a torn line of the journal is ignored"),
        }
    }
    Ok(tasks)
}

/// Writes the file anew with what counts, which is given back.
fn rewrite(path: &Path, generation: u64) -> io::Result<(Open, BTreeMap<String, Held>)> {
    let tasks = read(path)?;
    let temporary = path.with_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Appended to, whatever was cut off before: a write that failed halfway must not leave a gap.
    let mut file = fs::OpenOptions::new().append(true).create_new(true).mode(0o600).open(&temporary)?;
    let mut text = Vec::new();
    for (task, held) in &tasks {
        let lines = (held.spec.iter().map(|spec| Line::Sealed(task.clone(), spec.clone())))
            .chain(held.record.iter().map(|record| Line::Record(task.clone(), record.clone())))
            .chain(held.positions.iter().map(|(name, at)| Line::Position(task.clone(), name.clone(), *at)));
        for line in lines {
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
    }
    file.write_all(&text)?;
    // It takes the place of what was flushed already.
    file.sync_data()?;
    fs::rename(&temporary, path)?;
    fs::File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    let size = text.len() as u64;
    let rewrite_at = (size * GROWTH).max(SMALLEST_REWRITE);
    Ok((Open { file: Arc::new(file), size, generation, rewrite_at }, tasks))
}

/// The journal of one task, and its directory.
#[derive(Debug, Clone)]
pub(crate) struct TaskJournal {
    task: String,
    dir: PathBuf,
    journal: Arc<Journal>,
    trash: Arc<Trash>,
}

impl TaskJournal {
    pub(crate) fn new(node: &Node, task_id: &str) -> TaskJournal {
        TaskJournal {
            task: task_id.to_owned(),
            dir: node.config.tasks_dir().join(task_id),
            journal: Arc::clone(&node.journal),
            trash: Arc::clone(&node.trash),
        }
    }

    /// Takes a new task in: after this, a restarted agent knows it.
    pub(crate) fn begin(&self, spec: &TaskSpec, record: &Record) -> Result<(), JournalError> {
        make_dir(&self.dir)?;
        let lines = [self.sealed(spec)?, Line::Record(self.task.clone(), self.raw(record)?)];
        self.journal.append(&lines)
    }

    /// Waits until the journal as it is would survive a crash of the machine. Works on the disk.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.journal.flush()
    }

    pub(crate) fn save(&self, record: &Record) -> Result<(), JournalError> {
        self.journal.append(&[Line::Record(self.task.clone(), self.raw(record)?)])
    }

    pub(crate) fn save_spec(&self, spec: &TaskSpec) -> Result<(), JournalError> {
        self.journal.append(&[self.sealed(spec)?])
    }

    pub(crate) fn save_position(&self, container: &str, position: LogPosition) -> Result<(), JournalError> {
        self.journal.append(&[Line::Position(self.task.clone(), container.to_owned(), position)])?;
        let mut positions = self.journal.positions.lock().unwrap_or_else(PoisonError::into_inner);
        positions.entry(self.task.clone()).or_default().insert(container.to_owned(), position);
        Ok(())
    }

    /// Everything written of the task; `None` when there is no whole journal.
    pub(crate) fn load(&self) -> Option<(TaskSpec, Record)> {
        let found = self.journal.found.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.task);
        let held = found.or_else(|| self.journal.read().remove(&self.task))?;
        Some((self.opened(&held.spec?)?, self.parse(held.record?.get().as_bytes())?))
    }

    /// How far a container's output was shipped.
    pub(crate) fn position(&self, container: &str) -> LogPosition {
        let positions = self.journal.positions.lock().unwrap_or_else(PoisonError::into_inner);
        positions.get(&self.task).and_then(|own| own.get(container)).copied().unwrap_or_default()
    }

    /// Where the task's sandbox lives.
    pub(crate) fn sandbox_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// Where the metadata file of a container's run is.
    pub(crate) fn metadata_dir(&self, run: &str) -> PathBuf {
        self.dir.join("metadata").join(run)
    }

    /// Volumes that live as long as the task.
    pub(crate) fn volumes_dir(&self) -> PathBuf {
        self.dir.join("volumes")
    }

    /// Removes what the task's containers had, but not the journal itself.
    pub(crate) fn remove_contents(&self) -> io::Result<()> {
        self.remove_sandbox_dir()?;
        self.trash.throw(&self.volumes_dir())
    }

    pub(crate) fn remove_sandbox_dir(&self) -> io::Result<()> {
        self.trash.throw(&self.sandbox_dir())
    }

    /// Forgets the task, and removes its directory.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.journal.append(&[Line::Gone(self.task.clone())]).map_err(|error| error.source)?;
        self.journal.positions.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.task);
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

    fn raw(&self, value: &impl Serialize) -> Result<Box<serde_json::value::RawValue>, JournalError> {
        serde_json::value::to_raw_value(value)
            .map_err(|error| JournalError { path: self.journal.path.clone(), source: error.into() })
    }

    fn sealed(&self, spec: &TaskSpec) -> Result<Line, JournalError> {
        let text = serde_json::to_vec(spec)
            .map_err(|error| JournalError { path: self.journal.path.clone(), source: error.into() })?;
        let sealed = self.journal.seal.seal(&self.place(), &text);
        Ok(Line::Sealed(self.task.clone(), STANDARD.encode(sealed)))
    }

    fn opened(&self, sealed: &str) -> Option<TaskSpec> {
        let opened =
            STANDARD.decode(sealed).ok().and_then(|sealed| self.journal.seal.open(&self.place(), &sealed));
        if opened.is_none() {
            tracing::error!(task = self.task, "what the journal says was sealed with another key");
        }
        self.parse(&opened?)
    }

    /// What a specification is sealed for.
    fn place(&self) -> String {
        format!("specification {}", self.task)
    }

    fn parse<T: DeserializeOwned>(&self, text: &[u8]) -> Option<T> {
        serde_json::from_slice(text)
            .inspect_err(
                |error| tracing::warn!(task = self.task, %error, "what the journal says cannot be read"),
            )
            .ok()
    }
}

/// The ids of all tasks that have a directory.
pub(crate) fn task_dirs(tasks_dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(tasks_dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Makes a directory that only root reads, when it is missing: what is in it holds credentials.
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
        file.write_all(&text)?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| JournalError { path: path.to_owned(), source })
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = fs::read(path).ok()?;
    serde_json::from_slice(&text)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "a torn file is ignored"))
        .ok()
}

#[cfg(test)]
mod tests;
