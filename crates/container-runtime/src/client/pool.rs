//! Starts shim processes, some of them ahead of need.
//!
//! A waiting shim has done everything that does not depend on its task: exec, dynamic linking, session, cgroup, signal set-up. It holds one
//! end of a socket pair as its standard input and ends when the other end closes, so that none outlives the agent unassigned.

use crate::config::RuntimeConfig;
use crate::error::RuntimeError;
use crate::protocol::{self, Op, Request};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::process::Command;

/// A shim without a task. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct IdleShim {
    pub(super) stream: UnixStream,
}

impl IdleShim {
    /// False when somebody killed it while it waited: nothing is to be read from a live one.
    fn lives(&self) -> bool {
        use rustix::net::{RecvFlags, recv};
        let ended = recv(&self.stream, &mut [0; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        !matches!(ended, Ok((_, 0)) | Err(rustix::io::Errno::CONNRESET))
    }
}

#[derive(Debug, Default)]
pub(super) struct Pool {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    wanted: usize,
    idle: Vec<IdleShim>,
    nudged: Option<Instant>,
}

/// Shorter than a nudge works, so that none is missed. More of them would get into each other's way, and into that of
/// every process that starts: they take a lock that the whole machine has one of.
const NUDGE_INTERVAL: Duration = Duration::from_millis(80);

/// More waiting shims than this serve nobody: each costs memory.
const MOST_IDLE: usize = 64;

impl Pool {
    pub(super) fn keep(&self, count: usize, config: &RuntimeConfig) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.wanted = count.min(MOST_IDLE);
        let wanted = state.wanted;
        state.idle.truncate(wanted);
        drop(state);
        self.refill(config);
    }

    /// Tells one waiting shim that a container will be made soon, unless one was told a moment ago.
    pub(super) fn nudge(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.nudged.is_some_and(|nudged| now.duration_since(nudged) < NUDGE_INTERVAL) {
            return;
        }
        state.nudged = Some(now);
        if let Some(shim) = state.idle.last_mut() {
            // Small enough for any socket's buffer; a shim that is gone is noticed when it is used.
            let _ = shim.stream.write_all(&protocol::frame(&Request { id: 0, op: Op::Nudge }));
        }
    }

    /// A waiting shim, or a new one.
    pub(super) fn take(&self, config: &RuntimeConfig) -> Result<IdleShim, RuntimeError> {
        let waiting = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            std::iter::from_fn(|| state.idle.pop()).find(IdleShim::lives)
        };
        match waiting {
            Some(shim) => {
                self.refill(config);
                Ok(shim)
            }
            None => spawn(config),
        }
    }

    /// In the background: starting a process takes a millisecond or two that no caller should wait for.
    fn refill(&self, config: &RuntimeConfig) {
        let state = Arc::clone(&self.state);
        let config = config.clone();
        tokio::task::spawn_blocking(move || {
            loop {
                {
                    let state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    if state.idle.len() >= state.wanted {
                        return;
                    }
                }
                match spawn(&config) {
                    Ok(shim) => {
                        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                        // Fewer may be wanted by now; then this one ends at once.
                        if state.idle.len() < state.wanted {
                            state.idle.push(shim);
                        }
                    }
                    Err(error) => {
                        // The next launch starts its own, and reports the reason if it is still there.
                        tracing::warn!(%error, "cannot start a shim ahead of need");
                        return;
                    }
                }
            }
        });
    }
}

fn spawn(config: &RuntimeConfig) -> Result<IdleShim, RuntimeError> {
    let failed = |source| RuntimeError::Spawn { exe: config.exe.clone(), source };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let mut child = Command::new(&config.exe)
        .args(&config.shim_args)
        .arg(&config.cgroup_root)
        .current_dir("/")
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        // Until it has settled: why it cannot is worth seeing.
        .stderr(Stdio::inherit())
        .kill_on_drop(false)
        .spawn()
        .map_err(failed)?;
    // Somebody must collect the exit status for as long as this process is the parent.
    tokio::spawn(async move { child.wait().await });
    Ok(IdleShim { stream: ours })
}
