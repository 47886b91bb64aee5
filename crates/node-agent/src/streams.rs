//! Processes and connections in containers that somebody talks to from far away.
//!
//! Each stream is a task of its own between the control plane's words and a process ([`process`]) or a socket ([`connection`]). All of
//! them end with the connection to the control plane and with the agent: nobody could talk to them any more. What waits is bounded by the
//! protocol's window, so that nothing here waits for a stream.

mod connection;
mod process;
mod resolve;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use agent_protocol::{
    AgentMessage,
    stream::{Begin, Down, MOST_BYTES, Piece, StreamDown, StreamUp, Up, WINDOW, What},
};
use container_runtime::ContainerState;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    task::JoinSet,
};

use crate::{endpoint::TaskView, node::Node, ports::Sandbox, task::container::parse_run_name};

/// Streams of a node at once: each is a process or a socket.
const MOST_STREAMS: usize = 256;
/// Words that may wait for a stream: a window of input and one of acknowledgements, and sizes of a window that is being dragged.
const QUEUE: usize = 2 * WINDOW + 128;

/// The streams of this node.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: HashMap<String, mpsc::Sender<Down>>,
    running: JoinSet<()>,
}

impl Streams {
    /// Takes a word about a stream. `find`: the task of an ARN.
    pub(crate) fn take(
        &mut self,
        node: &Arc<Node>,
        said: StreamDown,
        find: impl FnOnce(&str) -> Option<Arc<TaskView>>,
    ) {
        self.open.retain(|_, words| !words.is_closed());
        while self.running.try_join_next().is_some() {}
        match said.say {
            Down::Begin(begin) => self.begin(node, said.stream, *begin, find),
            Down::End => drop(self.open.remove(&said.stream)),
            word => {
                let Some(words) = self.open.get(&said.stream) else { return };
                if words.try_send(word).is_err() {
                    tracing::warn!(stream = said.stream, "a stream is sent more than it may be, and ends");
                    self.open.remove(&said.stream);
                }
            }
        }
    }

    /// Nobody is there any more to talk to them.
    pub(crate) fn end_all(&mut self) {
        self.open.clear();
        self.running.abort_all();
    }

    fn begin(
        &mut self,
        node: &Arc<Node>,
        stream: String,
        begin: Begin,
        find: impl FnOnce(&str) -> Option<Arc<TaskView>>,
    ) {
        let mouth = Mouth { node: Arc::clone(node), stream: stream.clone() };
        let target = match self.open.len() < MOST_STREAMS {
            true => find(&begin.task_arn).and_then(|view| Target::find(&view, &begin.container)),
            false => {
                let refused = Up::Refused("too many sessions are open on the node".to_owned());
                self.running.spawn(async move { drop(mouth.say(refused).await) });
                return;
            }
        };
        let (words, heard) = mpsc::channel(QUEUE);
        self.open.insert(stream, words);
        self.running.spawn(async move {
            let outcome = match target {
                None => mouth.say(Up::Refused("the container is not running".to_owned())).await,
                Some(target) => match begin.what {
                    What::Process(process) => process::run(&mouth, &target, process, heard).await,
                    What::Connection(to) => connection::run(&mouth, &target, &to, heard).await,
                },
            };
            if let Err(Over) = outcome {
                tracing::debug!(stream = mouth.stream, "a stream is over");
            }
        });
    }
}

/// A running container.
pub(crate) struct Target {
    sandbox: Arc<dyn Sandbox>,
    /// The name of its present run.
    name: String,
    pid: Option<i32>,
}

impl Target {
    fn find(view: &TaskView, container: &str) -> Option<Target> {
        let sandbox = view.snapshot().sandbox?;
        let statuses = sandbox.statuses();
        let mut running = statuses.iter().filter(|(run, status)| {
            parse_run_name(run).0 == container && status.state == ContainerState::Running
        });
        let (name, pid) = running.next_back().map(|(run, status)| (run.clone(), status.pid))?;
        Some(Target { sandbox, name, pid })
    }
}

/// Where a stream's words go.
struct Mouth {
    node: Arc<Node>,
    stream: String,
}

/// The control plane cannot be reached, or has let go of the stream.
#[derive(Debug)]
struct Over;

impl Mouth {
    async fn say(&self, say: Up) -> Result<(), Over> {
        let said = StreamUp { stream: self.stream.clone(), say };
        self.node.control.send(AgentMessage::Stream(said)).await.map_err(|_| Over)
    }
}

/// How many pieces the control plane takes yet.
#[derive(Debug)]
struct Credit(usize);

impl Credit {
    fn new() -> Credit {
        Credit(WINDOW)
    }

    fn taken(&mut self, pieces: u32) {
        self.0 = (self.0 + pieces as usize).min(WINDOW);
    }

    fn is_left(&self) -> bool {
        self.0 > 0
    }
}

/// Input that waits to be written. At most a window of it.
struct Input<W> {
    writer: Option<W>,
    waiting: VecDeque<Vec<u8>>,
    /// Of the first piece, what is written.
    written: usize,
    closed: bool,
}

impl<W: AsyncWrite + Unpin> Input<W> {
    fn new(writer: W) -> Input<W> {
        Input { writer: Some(writer), waiting: VecDeque::new(), written: 0, closed: false }
    }

    /// # Errors
    /// When more comes than the window holds.
    fn push(&mut self, Piece(bytes): Piece) -> Result<(), Over> {
        if self.waiting.len() >= WINDOW {
            return Err(Over);
        }
        self.waiting.push_back(bytes);
        Ok(())
    }

    /// Nothing comes behind what waits.
    fn close(&mut self) {
        self.closed = true;
    }

    fn has_work(&self) -> bool {
        !self.waiting.is_empty() || (self.closed && self.writer.is_some())
    }

    /// Writes some of it. True when a piece is done with. Cancel-safe.
    async fn write(&mut self) -> bool {
        let Some(first) = self.waiting.front() else {
            if let (true, Some(mut writer)) = (self.closed, self.writer.take()) {
                // A socket tells its other end; a pipe is closed by being dropped.
                let _ = writer.shutdown().await;
            }
            return false;
        };
        let rest = &first[self.written..];
        if let (Some(writer), false) = (&mut self.writer, rest.is_empty()) {
            match writer.write(rest).await {
                Ok(count @ 1..) => self.written += count,
                // Nobody reads it any more: it is passed over.
                Ok(0) | Err(_) => self.writer = None,
            }
        }
        if self.writer.is_none() || self.written >= first.len() {
            self.written = 0;
            self.waiting.pop_front();
            return true;
        }
        false
    }
}

/// Reads a piece; `None` at the end, or when there is nothing to read from. Cancel-safe.
async fn read<R: AsyncRead + Unpin>(reader: &mut Option<R>, buffer: &mut [u8]) -> Option<Piece> {
    let source = reader.as_mut()?;
    match source.read(&mut buffer[..MOST_BYTES]).await {
        Ok(count @ 1..) => Some(Piece(buffer[..count].to_vec())),
        // A terminal that nobody has open any more fails to be read.
        Ok(0) | Err(_) => {
            *reader = None;
            None
        }
    }
}

#[cfg(test)]
mod tests;
