//! Processes and connections on nodes that the control plane talks to, each with a bounded way there and back.
//!
//! A stream belongs to the connection of its node: when that ends, so does the stream. It lives in this process alone; whoever opened
//! it holds it, and letting go of it ends what is on the node.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use agent_protocol::{
    AcsMessage,
    stream::{Begin, Down, MOST_BYTES, Piece, StreamDown, StreamUp, TerminalSize, Up, WINDOW},
};
use tokio::sync::{Semaphore, mpsc};

use super::InstanceKey;

/// Of a stream: a window of output, the word that it began and those at its end.
const EVENTS: usize = WINDOW + 4;

/// The node of this machine, or a container instance.
pub type NodeKey = Option<InstanceKey>;

/// All nodes that are there and all streams to them.
#[derive(Debug, Clone, Default)]
pub struct Streams(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// The number of the node's connection, and how it is told.
    nodes: HashMap<NodeKey, (u64, mpsc::Sender<AcsMessage>)>,
    open: HashMap<String, Open>,
    last_number: u64,
}

#[derive(Debug)]
struct Open {
    node: NodeKey,
    connection: u64,
    events: mpsc::Sender<Up>,
    credit: Arc<Semaphore>,
}

/// A node's place; leaving it ends the node's streams.
#[derive(Debug)]
pub struct Joined {
    node: NodeKey,
    number: u64,
    streams: Streams,
}

/// A stream to something on a node: what is said there, and what is heard from there. [`Up::Taken`] is not among it; `None` is the end
/// of the node's connection.
#[derive(Debug)]
pub struct NodeStream {
    pub to: ToNode,
    pub from: mpsc::Receiver<Up>,
}

/// The way there. Dropping it ends what the stream is to.
#[derive(Debug)]
pub struct ToNode {
    id: String,
    streams: Streams,
    node: mpsc::Sender<AcsMessage>,
    credit: Arc<Semaphore>,
}

/// The node is not connected, or is no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node is not connected")]
pub struct NotConnected;

impl Streams {
    /// From now on the node is told over `messages`. One that was there before has its streams ended.
    pub fn join(&self, node: NodeKey, messages: mpsc::Sender<AcsMessage>) -> Joined {
        let mut known = self.lock();
        known.last_number += 1;
        let number = known.last_number;
        known.nodes.insert(node.clone(), (number, messages));
        known.open.retain(|_, open| open.node != node);
        Joined { node, number, streams: self.clone() }
    }

    /// Whether the node can be reached.
    pub fn reaches(&self, node: &NodeKey) -> bool {
        self.lock().nodes.contains_key(node)
    }

    /// Begins something. `id`: unique.
    ///
    /// # Errors
    /// When the node is not connected.
    pub async fn open(&self, node: &NodeKey, id: String, begin: Begin) -> Result<NodeStream, NotConnected> {
        let (events, heard) = mpsc::channel(EVENTS);
        let credit = Arc::new(Semaphore::new(WINDOW));
        let to = {
            let mut known = self.lock();
            let (connection, to) = known.nodes.get(node).cloned().ok_or(NotConnected)?;
            let open = Open { node: node.clone(), connection, events, credit: Arc::clone(&credit) };
            known.open.insert(id.clone(), open);
            to
        };
        let to = ToNode { id, streams: self.clone(), node: to, credit };
        to.say(Down::Begin(Box::new(begin))).await?;
        Ok(NodeStream { to, from: heard })
    }

    /// Takes a word of a node. One about a stream that is not its own has no effect.
    pub fn heard(&self, node: &NodeKey, said: StreamUp) {
        let mut known = self.lock();
        let Some(open) = known.open.get(&said.stream).filter(|open| open.node == *node) else { return };
        let taken = match said.say {
            Up::Taken(pieces) => {
                // Never more than the window, whatever a node says.
                let room = WINDOW.saturating_sub(open.credit.available_permits());
                open.credit.add_permits(room.min(pieces as usize));
                true
            }
            word => open.events.try_send(word).is_ok(),
        };
        if !taken {
            tracing::warn!(stream = said.stream, "a node says more about a stream than it may");
            known.open.remove(&said.stream);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let mut known = self.streams.lock();
        if known.nodes.get(&self.node).is_some_and(|(number, _)| *number == self.number) {
            known.nodes.remove(&self.node);
        }
        known.open.retain(|_, open| open.connection != self.number);
    }
}

impl ToNode {
    /// Waits until the node takes another piece, and sends it: [`MOST_BYTES`] at most, the rest is left in `bytes`. Cancel-safe up to the moment of
    /// sending.
    ///
    /// # Errors
    /// When the node has gone.
    pub async fn send(&self, bytes: &mut Vec<u8>) -> Result<(), NotConnected> {
        let permit = self.credit.acquire().await.map_err(|_| NotConnected)?;
        let to = self.node.reserve().await.map_err(|_| NotConnected)?;
        permit.forget();
        let rest = bytes.split_off(bytes.len().min(MOST_BYTES));
        let piece = Piece(std::mem::replace(bytes, rest));
        to.send(AcsMessage::Stream(StreamDown { stream: self.id.clone(), say: Down::Data(piece) }));
        Ok(())
    }

    /// # Errors
    /// When the node has gone.
    pub async fn close_input(&self) -> Result<(), NotConnected> {
        self.say(Down::CloseInput).await
    }

    /// # Errors
    /// When the node has gone.
    pub async fn resize(&self, size: TerminalSize) -> Result<(), NotConnected> {
        self.say(Down::Resize(size)).await
    }

    /// One piece of output is done with.
    ///
    /// # Errors
    /// When the node has gone.
    pub async fn taken(&self) -> Result<(), NotConnected> {
        self.say(Down::Taken(1)).await
    }

    async fn say(&self, say: Down) -> Result<(), NotConnected> {
        let said = StreamDown { stream: self.id.clone(), say };
        self.node.send(AcsMessage::Stream(said)).await.map_err(|_| NotConnected)
    }
}

impl Drop for ToNode {
    fn drop(&mut self) {
        self.streams.lock().open.remove(&self.id);
        let end = AcsMessage::Stream(StreamDown { stream: std::mem::take(&mut self.id), say: Down::End });
        if let Err(mpsc::error::TrySendError::Full(end)) = self.node.try_send(end) {
            let node = self.node.clone();
            // Said as soon as there is room; a node that has gone needs no telling.
            tokio::spawn(async move { drop(node.send(end).await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use agent_protocol::stream::{Destination, What};
    use futures_util::FutureExt;

    use super::*;

    fn begin() -> Begin {
        let what = What::Connection(Destination { host: None, port: 80 });
        Begin { task_arn: "task".into(), container: "app".into(), what }
    }

    fn up(say: Up) -> StreamUp {
        StreamUp { stream: "s".into(), say }
    }

    async fn down(messages: &mut mpsc::Receiver<AcsMessage>) -> Down {
        let Some(AcsMessage::Stream(said)) = messages.recv().await else { panic!("a word about a stream") };
        assert_eq!(said.stream, "s");
        said.say
    }

    #[tokio::test]
    async fn words_go_both_ways_and_an_end_is_told() {
        let streams = Streams::default();
        assert!(streams.open(&None, "s".into(), begin()).await.is_err());
        let (sender, mut node) = mpsc::channel(64);
        let _joined = streams.join(None, sender);
        let mut stream = streams.open(&None, "s".into(), begin()).await.unwrap();
        assert!(matches!(down(&mut node).await, Down::Begin(_)));
        streams.heard(&None, up(Up::Began));
        assert_eq!(stream.from.recv().await, Some(Up::Began));
        // Another node's word about it counts for nothing.
        let other = InstanceKey::of_arn("arn:aws:ecs:eu-west-1:000000000000:container-instance/web/0123");
        streams.heard(&other, up(Up::OutputClosed));
        let mut long = vec![7; MOST_BYTES + 1];
        stream.to.send(&mut long).await.unwrap();
        assert_eq!(long, [7]);
        assert_eq!(down(&mut node).await, Down::Data(Piece(vec![7; MOST_BYTES])));
        streams.heard(&None, up(Up::Ended(None)));
        assert_eq!(stream.from.recv().await, Some(Up::Ended(None)));
        drop(stream);
        assert_eq!(down(&mut node).await, Down::End);
    }

    #[tokio::test]
    async fn no_more_goes_than_is_taken_in_either_direction() {
        let streams = Streams::default();
        let (sender, mut node) = mpsc::channel(64);
        let _joined = streams.join(None, sender);
        let mut stream = streams.open(&None, "s".into(), begin()).await.unwrap();
        for _ in 0..WINDOW {
            stream.to.send(&mut vec![1]).await.unwrap();
        }
        assert!(stream.to.send(&mut vec![2]).now_or_never().is_none());
        // A node cannot widen its window.
        streams.heard(&None, up(Up::Taken(u32::MAX)));
        for _ in 0..WINDOW {
            stream.to.send(&mut vec![3]).await.unwrap();
        }
        assert!(stream.to.send(&mut vec![4]).now_or_never().is_none());
        assert!(matches!(down(&mut node).await, Down::Begin(_)));
        for _ in 0..EVENTS {
            streams.heard(&None, up(Up::Output(Piece(vec![5]))));
        }
        streams.heard(&None, up(Up::Output(Piece(vec![6]))));
        for _ in 0..EVENTS {
            assert_eq!(stream.from.recv().await, Some(Up::Output(Piece(vec![5]))));
        }
        assert_eq!(stream.from.recv().await, None, "one that says too much is cut off");
    }

    #[tokio::test]
    async fn streams_end_with_their_nodes_connection() {
        let streams = Streams::default();
        let (sender, _node) = mpsc::channel(64);
        let first = streams.join(None, sender.clone());
        let mut stream = streams.open(&None, "s".into(), begin()).await.unwrap();
        let second = streams.join(None, sender);
        assert_eq!(stream.from.recv().await, None);
        drop(first);
        assert!(streams.reaches(&None), "the newer connection stays");
        drop(second);
        assert!(!streams.reaches(&None));
    }
}
