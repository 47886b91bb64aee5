//! The files of a task's directory and how they are written.
//!
//! A file that matters is replaced by renaming, so that a reader sees the old or the new one. Nothing is flushed to the disk: what
//! these files describe does not outlive the machine's own crash, and a flush would stand in every container's way.

use crate::config::TaskSandbox;
use crate::mount_points;
use crate::status::{ContainerStatus, Statuses};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where a task's files are: what others read, or is large, in its own directory; what only its running shim needs in the run directory, where
/// files cost nothing.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) task: PathBuf,
    pub(crate) run: PathBuf,
}

impl Places {
    pub(crate) fn of(sandbox: &TaskSandbox) -> Places {
        Places { task: sandbox.dir.clone(), run: sandbox.run_dir.join(&sandbox.task_id) }
    }

    /// Status, output, and the layers that the container writes.
    pub(crate) fn lasting(&self, name: &str) -> PathBuf {
        self.task.join("containers").join(name)
    }

    /// The OCI bundle: its `config.json`, the mounted root, generated files.
    pub(crate) fn bundle(&self, name: &str) -> PathBuf {
        self.run.join("bundles").join(name)
    }

    /// The layer below the image's.
    pub(crate) fn mount_points(&self) -> Option<PathBuf> {
        self.run.parent().and_then(mount_points::layer)
    }

    /// libcontainer's own files.
    pub(crate) fn state(&self) -> PathBuf {
        self.run.join("state")
    }
}

/// The [`crate::TaskSandbox`].
pub(crate) const SANDBOX: &str = "sandbox.json";
const STATUS: &str = "status.json";

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    serde_json::from_slice(&fs::read(path)?).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::other)?;
    let temporary = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&bytes)?;
    // The file that was there is kept under the temporary name, for the next change to write into: files are not made and
    // removed for every change, which is dear on some file systems.
    match renameat_with(CWD, &temporary, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        // None there yet, or a file system that cannot exchange.
        Err(_) => fs::rename(temporary, path),
    }
}

pub(crate) fn write_status(container_dir: &Path, status: &ContainerStatus) -> io::Result<()> {
    write_json(&container_dir.join(STATUS), status)
}

/// The status of every container that has one. A half-made container without a status is none.
pub(crate) fn read_statuses(task_dir: &Path) -> io::Result<Statuses> {
    let mut statuses = Statuses::new();
    let entries = match fs::read_dir(task_dir.join("containers")) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(statuses),
        Err(e) => return Err(e),
    };
    for entry in entries {
        match read_json::<ContainerStatus>(&entry?.path().join(STATUS)) {
            Ok(status) => drop(statuses.insert(status.name.clone(), status)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(statuses)
}

/// Takes the lock that says "this task's shim lives", on the directory itself, for as long as the file is open. `None` when another holds it.
pub(crate) fn lock(task_dir: &Path) -> io::Result<Option<File>> {
    let file = File::open(task_dir)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

pub(crate) fn is_locked(task_dir: &Path) -> io::Result<bool> {
    Ok(lock(task_dir)?.is_none())
}

/// A path that fits a socket address: itself, or the same through an open directory.
#[derive(Debug)]
pub(crate) struct ShortPath {
    path: PathBuf,
    /// Keeps `/proc/self/fd/N` valid.
    _directory: Option<File>,
}

/// `sun_path` less the final zero.
const LONGEST_SOCKET_PATH: usize = 107;

impl ShortPath {
    pub(crate) fn of(path: &Path) -> io::Result<ShortPath> {
        if path.as_os_str().as_bytes().len() <= LONGEST_SOCKET_PATH {
            return Ok(ShortPath { path: path.to_owned(), _directory: None });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let directory =
            fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(parent)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        Ok(ShortPath { path, _directory: Some(directory) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
