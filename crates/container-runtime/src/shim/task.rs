//! The task that a shim holds: its lock, socket, namespaces and cgroup.

use super::clients::Asker;
use super::container::{Container, Phase};
use super::execution::Execution;
use super::files::Places;
use super::{files, process};
use crate::cgroup;
use crate::client::{index_path, socket_path};
use crate::config::{Network, TaskSandbox, valid_name};
use crate::error::FailureKind;
use crate::protocol::Refusal;
use crate::spec::capabilities;
use crate::spec::oci::{Isolation, Surroundings};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use rustix::mount::MountPropagationFlags;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Task {
    pub(super) sandbox: TaskSandbox,
    pub(super) places: Places,
    pub(super) listener: UnixListener,
    pub(super) around: Surroundings,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) executions: BTreeMap<u64, Execution>,
    pub(super) last_execution: u64,
    /// Ends of processes that no finished set-up has named yet.
    pub(super) early_ends: HashMap<Pid, WaitStatus>,
    /// Who waits for the end of everything.
    pub(super) shutting_down: Vec<Asker>,
    /// The machine's root with whatever is mounted below it later, which this process's own mount namespace may not show.
    machine_root: File,
    /// Open once it was needed.
    network: Option<File>,
    /// Holds the shared process-id namespace.
    pub(super) pause: Option<Pid>,
    /// Held by set-ups under way too, so that nobody cleans up after a dead shim before they have ended.
    lock: File,
    /// Readable to the end when this process is gone.
    alive: OwnedFd,
    _life: OwnedFd,
}

impl Task {
    /// Takes a task on. On an error nothing of it is left but, perhaps, its directory.
    pub(super) fn assign(sandbox: TaskSandbox) -> Result<Task, Refusal> {
        if !valid_name(&sandbox.task_id, 128) || !sandbox.dir.is_absolute() {
            let message = format!("task {:?} in {}", sandbox.task_id, sandbox.dir.display());
            return Err(Refusal::new(FailureKind::Invalid, message));
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&sandbox.dir)
            .map_err(|e| internal("making", &sandbox, e))?;
        let lock = files::lock(&sandbox.dir).map_err(|e| internal("locking", &sandbox, e))?;
        let exists =
            || Refusal::new(FailureKind::AlreadyExists, format!("task {} already exists", sandbox.task_id));
        let lock = lock.ok_or_else(exists)?;
        if sandbox.dir.join("containers").exists() {
            // What an earlier shim of this task left must be adopted, or its directory removed, first.
            return Err(exists());
        }
        let group = cgroup::task_path(&sandbox.cgroup_root, &sandbox.task_id);
        let socket = socket_path(&sandbox.run_dir, &sandbox.task_id);
        let run = Places::of(&sandbox).run;
        if run.exists() {
            // A dead shim's: the lock is ours.
            fs::remove_dir_all(&run).map_err(|e| internal("clearing", &sandbox, e))?;
        }
        Task::set_up(sandbox, lock, &group).inspect_err(|_| {
            let _ = cgroup::kill_and_remove(&group);
            let _ = fs::remove_file(socket);
            let _ = fs::remove_dir_all(run);
        })
    }

    fn set_up(sandbox: TaskSandbox, lock: File, group: &str) -> Result<Task, Refusal> {
        let places = Places::of(&sandbox);
        for path in [sandbox.dir.join("containers"), places.state(), places.run.join("bundles")] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o711)
                .create(path)
                .map_err(|e| internal("making", &sandbox, e))?;
        }
        files::write_json(&sandbox.dir.join(files::SANDBOX), &sandbox)
            .map_err(|e| internal("writing", &sandbox, e))?;
        let machine_root = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
            .open("/")
            .map_err(|e| internal("opening the root for", &sandbox, e))?;
        separate(&sandbox).map_err(|e| internal("separating", &sandbox, e))?;
        cgroup::limits::create_task(group, &sandbox.limits).map_err(|e| {
            Refusal::new(FailureKind::CannotCreate, format!("cgroup of task {}: {e}", sandbox.task_id))
        })?;
        let pause = if sandbox.share_pid {
            Some(
                hold_pid_namespace()
                    .map_err(|e| internal("making the process-id namespace of", &sandbox, e))?,
            )
        } else {
            None
        };
        let (alive, life) = super::helper::pipe().map_err(|e| internal("making a pipe for", &sandbox, e))?;
        let own_capabilities = capabilities::own().map_err(|e| internal("examining", &sandbox, e))?;
        let listener = listen(&sandbox).map_err(|e| internal("listening for", &sandbox, e))?;
        let own = |kind: &str| PathBuf::from(format!("/proc/{}/ns/{kind}", std::process::id()));
        let around = Surroundings {
            network: (sandbox.network == Network::Loopback).then(|| own("net")),
            pid: match pause {
                Some(pid) => Isolation::Joined(PathBuf::from(format!("/proc/{pid}/ns/pid"))),
                None if sandbox.host_pid => Isolation::Machine,
                None => Isolation::Own,
            },
            ipc: match sandbox.share_ipc {
                true => Isolation::Joined(own("ipc")),
                false if sandbox.host_ipc => Isolation::Machine,
                false => Isolation::Own,
            },
            cgroup: group.to_owned(),
            own_capabilities,
            alive: alive.as_raw_fd(),
        };
        Ok(Task {
            sandbox,
            places,
            listener,
            around,
            containers: BTreeMap::new(),
            executions: BTreeMap::new(),
            last_execution: 0,
            early_ends: HashMap::new(),
            shutting_down: Vec::new(),
            machine_root,
            network: None,
            pause,
            lock,
            alive,
            _life: life,
        })
    }

    /// Finds the task's network namespace: at the first container, not before, so that it can be made while the shim is launched.
    pub(super) fn find_network(&mut self) -> Result<(), Refusal> {
        let Network::Namespace(path) = &self.sandbox.network else { return Ok(()) };
        if self.network.is_some() {
            return Ok(());
        }
        let file = self.open_network(path)?;
        self.around.network = Some(descriptor_path(&file));
        self.network = Some(file);
        Ok(())
    }

    /// What is around a container that has a network namespace of its own. The file has to stay open until the set-up runs.
    pub(super) fn around_in(&self, network: &Path) -> Result<(Surroundings, File), Refusal> {
        let file = self.open_network(network)?;
        let around = Surroundings { network: Some(descriptor_path(&file)), ..self.around.clone() };
        Ok((around, file))
    }

    fn open_network(&self, path: &Path) -> Result<File, Refusal> {
        use rustix::fs::{Mode, OFlags, openat};
        let inside = path.strip_prefix("/").unwrap_or(path);
        let file = openat(&self.machine_root, inside, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| {
                let message = format!("network namespace {}: {}", path.display(), io::Error::from(e));
                Refusal::new(FailureKind::CannotCreate, message)
            })?;
        Ok(File::from(file))
    }

    /// Descriptors that a set-up needs beside its own.
    pub(super) fn kept(&self) -> Vec<RawFd> {
        let network = self.network.iter().map(AsRawFd::as_raw_fd);
        network.chain([self.lock.as_raw_fd(), self.alive.as_raw_fd()]).collect()
    }

    /// Some set-up is under way, so that the end of an unknown process may be the end of what it makes.
    pub(super) fn is_setting_up(&self) -> bool {
        self.containers.values().any(|c| c.helper.is_some())
            || self.executions.values().any(|e| e.helper.is_some())
    }

    pub(super) fn all_ended(&self) -> bool {
        self.executions.is_empty() && self.containers.values().all(|c| c.phase == Phase::Ended)
    }

    /// Removes everything but the task's directory.
    pub(super) fn dissolve(&self) -> io::Result<()> {
        let mut first_error = None;
        for container in self.containers.values() {
            first_error = first_error.or(container.release(&self.places).err());
        }
        if let Some(pause) = self.pause {
            let _ = nix::sys::signal::kill(pause, nix::sys::signal::Signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(pause, None);
        }
        let group = cgroup::task_path(&self.sandbox.cgroup_root, &self.sandbox.task_id);
        first_error = first_error.or(cgroup::kill_and_remove(&group).err());
        match fs::remove_dir_all(&self.places.run) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => first_error = first_error.or(Some(e)),
            _ => {}
        }
        for path in [
            socket_path(&self.sandbox.run_dir, &self.sandbox.task_id),
            index_path(&self.sandbox.run_dir, &self.sandbox.task_id),
        ] {
            match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => first_error = first_error.or(Some(e)),
                _ => {}
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

fn descriptor_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn internal(what: &str, sandbox: &TaskSandbox, e: io::Error) -> Refusal {
    Refusal::new(
        FailureKind::Internal,
        format!("{what} task {} in {}: {e}", sandbox.task_id, sandbox.dir.display()),
    )
}

/// Gives this process namespaces of its own: mounts always, so that none of them outlives it.
fn separate(sandbox: &TaskSandbox) -> io::Result<()> {
    let mut flags = CloneFlags::CLONE_NEWNS;
    if sandbox.share_ipc {
        flags |= CloneFlags::CLONE_NEWIPC;
    }
    if sandbox.network == Network::Loopback {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    unshare(flags)?;
    // What the machine mounts later is seen here; what is mounted here is not seen there.
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave)?;
    if sandbox.network == Network::Loopback {
        process::raise_loopback()?;
    }
    Ok(())
}

fn listen(sandbox: &TaskSandbox) -> io::Result<UnixListener> {
    let path = socket_path(&sandbox.run_dir, &sandbox.task_id);
    // The lock is ours: a socket here is a dead shim's.
    if let Err(e) = fs::remove_file(&path)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    let short = files::ShortPath::of(&path)?;
    let listener = UnixListener::bind(short.path())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    let index = serde_json::json!({"dir": sandbox.dir, "pid": std::process::id(), "cgroup_root": sandbox.cgroup_root});
    files::write_json(&index_path(&sandbox.run_dir, &sandbox.task_id), &index)?;
    Ok(listener)
}

/// A process that is first in a new process-id namespace and only waits: containers join it, and it reaps what they leave.
///
/// It is made by a process in between, which is in the way of dying with the shim: so it waits until it is the shim's own child.
fn hold_pid_namespace() -> io::Result<Pid> {
    let (mut reader, writer) = super::helper::pipe().map(|(r, w)| (File::from(r), File::from(w)))?;
    let (gate, opener) = super::helper::pipe().map(|(r, w)| (File::from(r), File::from(w)))?;
    let between = process::fork_into(move || {
        if unshare(CloneFlags::CLONE_NEWPID).is_err() {
            return 1;
        }
        let gate_number = gate.as_raw_fd();
        let pause = process::fork_into(move || {
            process::close_all_but(&[gate_number]);
            pause(gate)
        });
        let Ok(pause) = pause else { return 1 };
        i32::from((&writer).write_all(pause.to_string().as_bytes()).is_err())
    })?;
    nix::sys::wait::waitpid(between, None)?;
    super::helper::nonblocking(&reader)?;
    // All that is to come has come.
    let mut bytes = [0; 32];
    let count = reader.read(&mut bytes)?;
    let pid =
        String::from_utf8_lossy(&bytes[..count]).parse().map_err(|_| io::Error::other("no process made"))?;
    (&opener).write_all(b"!")?;
    Ok(Pid::from_raw(pid))
}

fn pause(mut gate: File) -> i32 {
    let opened = matches!(gate.read(&mut [0; 1]), Ok(1));
    if !opened || process::die_with_parent().is_err() || process::reset_signals().is_err() {
        return 1;
    }
    // Not a name from the host in every container's process list.
    let _ = process::set_name(c"pause");
    loop {
        if nix::sys::wait::waitpid(None, None).is_err() {
            // Nobody to reap now: sleep until there may be.
            process::wait_for_child();
        }
    }
}
