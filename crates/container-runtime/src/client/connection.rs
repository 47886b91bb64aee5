//! Keeps one connection to a shim: sends requests, matches answers, keeps the picture of the task up to date, reconnects when
//! the connection breaks, and concludes that the shim is dead when nobody listens any more.

use super::adopt;
use crate::config::TaskSandbox;
use crate::error::{FailureKind, RuntimeError};
use crate::output::LogPosition;
use crate::protocol::{self, Answer, FrameBuffer, Message, Op, Request};
use crate::shim::files;
use crate::status::Statuses;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

/// What is known about a task; replaced as a whole, so that readers never see half a change.
#[derive(Debug, Clone, Default)]
pub(super) struct Picture {
    pub(super) statuses: Statuses,
    /// Once the shim is gone.
    pub(super) gone: Option<Gone>,
}

/// How a task's shim ended, and why.
#[derive(Debug, Clone)]
pub(super) struct Gone {
    /// Not because it was told to.
    pub(super) died: bool,
    pub(super) reason: String,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) op: Op,
    /// Dropped unanswered when the connection breaks.
    pub(super) answer: oneshot::Sender<Result<Answer, RuntimeError>>,
}

/// Wakes the tails of each container.
#[derive(Debug, Default)]
pub(super) struct OutputSignals {
    senders: Mutex<BTreeMap<String, watch::Sender<u64>>>,
    closed: std::sync::atomic::AtomicBool,
}

impl OutputSignals {
    pub(super) fn subscribe(&self, name: &str) -> watch::Receiver<u64> {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if self.closed.load(std::sync::atomic::Ordering::Acquire) {
            return watch::channel(0).1;
        }
        senders.entry(name.to_owned()).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    fn wake(&self, name: &str) {
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = senders.get(name) {
            sender.send_modify(|n| *n += 1);
        }
    }

    fn wake_all(&self) {
        for sender in self.senders.lock().unwrap_or_else(PoisonError::into_inner).values() {
            sender.send_modify(|n| *n += 1);
        }
    }

    fn remove(&self, name: &str) {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// No more output will come: every tail ends after what is on disk.
    fn close(&self) {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, std::sync::atomic::Ordering::Release);
        senders.clear();
    }
}

/// The parts that the handle and the connection share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) sandbox: TaskSandbox,
    pub(super) picture: watch::Sender<Arc<Picture>>,
    pub(super) outputs: OutputSignals,
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Picture)) {
        self.picture.send_modify(|picture| change(Arc::make_mut(picture)));
    }

    pub(super) fn socket_path(&self) -> PathBuf {
        adopt::socket_path(&self.sandbox.run_dir, &self.sandbox.task_id)
    }
}

type Pending = HashMap<u64, Call>;

/// Serves a task until its handle is dropped or its shim is gone.
pub(super) async fn serve(
    shared: Arc<Shared>,
    mut stream: UnixStream,
    mut calls: mpsc::Receiver<Call>,
    mut acknowledgements: mpsc::UnboundedReceiver<(String, LogPosition)>,
) {
    let mut next_id = 1u64;
    loop {
        let ended =
            serve_connection(&shared, &mut stream, &mut calls, &mut acknowledgements, &mut next_id).await;
        match ended {
            Ended::HandleDropped => return,
            Ended::ShutDown => {
                conclude(&shared, Gone { died: false, reason: "the task was shut down".to_owned() });
                break;
            }
            Ended::Broken(reason) => {
                tracing::debug!(task = shared.sandbox.task_id, reason, "connection to the shim broke");
            }
        }
        match find_again(&shared, &calls).await {
            Found::Alive(again) => stream = again,
            Found::Dead(reason) => {
                mourn(&shared).await;
                conclude(&shared, Gone { died: true, reason });
                break;
            }
            Found::NobodyAsks => return,
        }
    }
    // Everyone who still asks hears that the shim is gone.
    while let Some(call) = calls.recv().await {
        let reason =
            shared.picture.borrow().gone.as_ref().map(|gone| gone.reason.clone()).unwrap_or_default();
        let _ =
            call.answer.send(Err(RuntimeError::ShimGone { task: shared.sandbox.task_id.clone(), reason }));
    }
}

fn conclude(shared: &Shared, gone: Gone) {
    shared.outputs.close();
    shared.change(|picture| picture.gone = Some(gone));
}

enum Found {
    Alive(UnixStream),
    Dead(String),
    NobodyAsks,
}

/// Between attempts to reach a shim that lives but does not let anyone in.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Connects again for as long as the shim lives, which its lock tells.
async fn find_again(shared: &Shared, calls: &mpsc::Receiver<Call>) -> Found {
    loop {
        let error = match adopt::connect(&shared.socket_path()).await {
            Ok(stream) => return Found::Alive(stream),
            Err(error) => error,
        };
        if !files::is_locked(&shared.sandbox.dir).unwrap_or(false) {
            return Found::Dead(format!("the shim process died ({error})"));
        }
        if calls.is_closed() {
            return Found::NobodyAsks;
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// Cleans up after a dead shim and learns what it had written down.
async fn mourn(shared: &Shared) {
    match adopt::bury(&shared.sandbox.dir).await {
        Ok(dead) => shared.change(|picture| picture.statuses.extend(dead.statuses)),
        Err(error) => {
            tracing::warn!(task = shared.sandbox.task_id, %error, "cannot clean up after a dead shim");
        }
    }
}

enum Ended {
    HandleDropped,
    ShutDown,
    Broken(String),
}

async fn serve_connection(
    shared: &Shared,
    stream: &mut UnixStream,
    calls: &mut mpsc::Receiver<Call>,
    acknowledgements: &mut mpsc::UnboundedReceiver<(String, LogPosition)>,
    next_id: &mut u64,
) -> Ended {
    let mut pending = Pending::new();
    let mut frames = FrameBuffer::default();
    let mut buffer = vec![0; 64 << 10];
    let mut shutting_down = false;
    let mut calls_closed = false;
    let (mut reader, mut writer) = stream.split();
    let hello = protocol::frame(&Request { id: 0, op: Op::Hello });
    let mut outgoing = hello;
    loop {
        tokio::select! {
            written = writer.write(&outgoing), if !outgoing.is_empty() => match written {
                Ok(count) => drop(outgoing.drain(..count)),
                Err(e) => return broken(shared, pending, shutting_down, e.to_string()),
            },
            read = reader.read(&mut buffer) => match read {
                Ok(0) => return broken(shared, pending, shutting_down, "closed".to_owned()),
                Ok(count) => {
                    frames.push(&buffer[..count]);
                    loop {
                        match frames.next() {
                            Ok(Some(body)) => {
                                if let Err(reason) = receive(shared, &mut pending, &body) {
                                    return broken(shared, pending, shutting_down, reason);
                                }
                            }
                            Ok(None) => break,
                            Err(reason) => return broken(shared, pending, shutting_down, reason),
                        }
                    }
                }
                Err(e) => return broken(shared, pending, shutting_down, e.to_string()),
            },
            call = calls.recv(), if !calls_closed && outgoing.len() < protocol::MAX_FRAME_BYTES => match call {
                Some(Call { op, answer }) => {
                    let id = *next_id;
                    *next_id += 1;
                    shutting_down |= matches!(op, Op::Shutdown);
                    let request = Request { id, op };
                    outgoing.extend_from_slice(&protocol::frame(&request));
                    pending.insert(id, Call { op: request.op, answer });
                }
                None => calls_closed = true,
            },
            // Every handle and every tail can acknowledge: when none is left, nobody is interested.
            acknowledgement = acknowledgements.recv() => match acknowledgement {
                Some((name, position)) => {
                    let op = Op::Acknowledge { name, position };
                    outgoing.extend_from_slice(&protocol::frame(&Request { id: u64::MAX, op }));
                }
                None => return Ended::HandleDropped,
            },
        }
    }
}

/// The end of a connection: a shutdown in progress has succeeded, everything else is unknown to who asked.
fn broken(shared: &Shared, pending: Pending, shutting_down: bool, reason: String) -> Ended {
    for (_, Call { op, answer }) in pending {
        let result = match op {
            Op::Shutdown => Ok(Answer::Done),
            op => {
                Err(RuntimeError::ConnectionLost { task: shared.sandbox.task_id.clone(), request: op.name() })
            }
        };
        let _ = answer.send(result);
    }
    if shutting_down { Ended::ShutDown } else { Ended::Broken(reason) }
}

fn receive(shared: &Shared, pending: &mut Pending, body: &[u8]) -> Result<(), String> {
    let message: Message = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    match message {
        Message::Answer { id, result } => {
            match &result {
                Ok(Answer::Hello { statuses }) => {
                    shared.change(|picture| picture.statuses.clone_from(statuses));
                    shared.outputs.wake_all();
                }
                // The answer and the notice say the same; who asked must find it in the picture at once.
                Ok(Answer::Status(status)) => note(shared, status),
                _ => {}
            }
            if let Some(call) = pending.remove(&id) {
                let result = result.map_err(|refusal| match refusal.kind {
                    FailureKind::Invalid => RuntimeError::Invalid(refusal.message),
                    kind => RuntimeError::Failed { kind, message: refusal.message },
                });
                // Nobody waits any more: the caller gave up, which takes nothing back.
                let _ = call.answer.send(result);
            }
        }
        Message::Status(status) => note(shared, &status),
        Message::Removed { name } => {
            shared.change(|picture| drop(picture.statuses.remove(&name)));
            shared.outputs.remove(&name);
        }
        Message::Output { name } => shared.outputs.wake(&name),
    }
    Ok(())
}

fn note(shared: &Shared, status: &crate::status::ContainerStatus) {
    let unchanged = shared.picture.borrow().statuses.get(&status.name) == Some(status);
    if !unchanged {
        shared.change(|picture| drop(picture.statuses.insert(status.name.clone(), status.clone())));
    }
    if status.is_exited() {
        shared.outputs.wake(&status.name);
    }
}
