//! Has shims made, some of them ahead of need.
//!
//! A process started once, the fork server, has done everything that does not depend on a task: exec, dynamic linking, cgroup, signal
//! set-up. Shims are copies of it. It holds one end of a socket pair as its standard input, each shim one end of another, and each ends
//! when the other end closes, so that none outlives the agent unassigned.

use crate::config::RuntimeConfig;
use crate::error::RuntimeError;
use crate::protocol::{self, Op, Request};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
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
    server: ForkServer,
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

    /// Ends the fork server; the next shim would start another.
    pub(super) fn close(&self) {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
            None => spawn(&self.server, config),
        }
    }

    /// In the background: starting the fork server takes milliseconds that no caller should wait for.
    fn refill(&self, config: &RuntimeConfig) {
        let state = Arc::clone(&self.state);
        let server = Arc::clone(&self.server);
        let config = config.clone();
        tokio::task::spawn_blocking(move || {
            loop {
                {
                    let state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    if state.idle.len() >= state.wanted {
                        return;
                    }
                }
                match spawn(&server, &config) {
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

/// The agent's end of the fork server's connection.
type ForkServer = Arc<Mutex<Option<UnixStream>>>;

/// A shim, made by the fork server, which is started if there is none or somebody killed it.
fn spawn(server: &ForkServer, config: &RuntimeConfig) -> Result<IdleShim, RuntimeError> {
    let failed = |source| RuntimeError::Spawn { exe: config.exe.clone(), source };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(connection) = server.as_ref()
        && hand_over(connection, &theirs).is_ok()
    {
        return Ok(IdleShim { stream: ours });
    }
    let connection = start(config).map_err(failed)?;
    hand_over(&connection, &theirs).map_err(failed)?;
    *server = Some(connection);
    Ok(IdleShim { stream: ours })
}

fn hand_over(server: &UnixStream, descriptor: &UnixStream) -> io::Result<()> {
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    // A server that is stopped must not hold up whoever wants a shim: a full connection counts as a broken one.
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(server, &[IoSlice::new(&[0])], &mut ancillary, flags)?;
    Ok(())
}

fn start(config: &RuntimeConfig) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
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
        .spawn()?;
    // Somebody must collect the exit status for as long as this process is the parent.
    tokio::spawn(async move { child.wait().await });
    Ok(ours)
}
