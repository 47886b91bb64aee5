//! Moves bytes between a session and something on a node, so that the session never waits for either.

use agent_protocol::stream::{Begin, MOST_BYTES, TerminalSize, Up};
use tokio::{sync::mpsc, task::JoinSet};

use crate::agents::streams::{NodeKey, NodeStream, NotConnected, Streams};

/// Words that may wait for a carrier.
pub const QUEUE: usize = 256;

/// To a carrier.
#[derive(Debug)]
pub enum Order {
    Bytes(Vec<u8>),
    CloseInput,
    Resize(TerminalSize),
}

/// From a carrier: its number, and what it heard. `None`: the node has gone.
pub type Heard = (u32, Option<Up>);

/// A carrier as the session holds it. Dropping it ends what it carries to.
#[derive(Debug)]
pub struct Carrier {
    orders: mpsc::Sender<Order>,
}

impl Carrier {
    /// False when it has too much to do already, or has ended.
    pub fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// How many orders it takes yet.
    pub fn room(&self) -> usize {
        match self.orders.is_closed() {
            // What comes is lost, and holds nobody up.
            true => QUEUE,
            false => self.orders.capacity(),
        }
    }
}

/// What a carrier begins.
#[derive(Debug)]
pub struct Start {
    pub streams: Streams,
    pub node: NodeKey,
    /// The stream's id, unique.
    pub id: String,
    pub begin: Begin,
    pub number: u32,
    pub heard: mpsc::Sender<Heard>,
}

/// Starts one. It ends with the stream, or when the carrier is dropped.
pub fn start(tasks: &mut JoinSet<()>, start: Start) -> Carrier {
    let (orders, waiting) = mpsc::channel(QUEUE);
    tasks.spawn(async move {
        let Start { streams, node, id, begin, number, heard } = start;
        let carried = match streams.open(&node, id, begin).await {
            Ok(stream) => carry(number, stream, waiting, &heard).await,
            Err(gone) => Err(gone),
        };
        if let Err(NotConnected) = carried {
            // A session that is over does not hear it.
            let _ = heard.send((number, None)).await;
        }
    });
    Carrier { orders }
}

async fn carry(
    number: u32,
    stream: NodeStream,
    mut orders: mpsc::Receiver<Order>,
    heard: &mpsc::Sender<Heard>,
) -> Result<(), NotConnected> {
    let NodeStream { to, mut from } = stream;
    let (mut bytes, mut closing) = (Vec::new(), false);
    let mut holding: Option<Option<Up>> = None;
    loop {
        tokio::select! {
            order = orders.recv(), if closing || bytes.len() < MOST_BYTES => match order {
                None => return Ok(()),
                Some(_) if closing => {}
                Some(Order::Bytes(more)) => bytes.extend(more),
                Some(Order::CloseInput) => {
                    closing = true;
                    if bytes.is_empty() {
                        to.close_input().await?;
                    }
                }
                Some(Order::Resize(size)) => to.resize(size).await?,
            },
            sent = to.send(&mut bytes), if !bytes.is_empty() => {
                sent?;
                if closing && bytes.is_empty() {
                    to.close_input().await?;
                }
            }
            up = from.recv(), if holding.is_none() => holding = Some(up),
            room = heard.reserve(), if holding.is_some() => {
                // Nobody listens any more.
                let Ok(room) = room else { return Ok(()) };
                let word = holding.take().flatten();
                let is_piece = matches!(word, Some(Up::Output(_) | Up::Errors(_)));
                let is_last = matches!(word, None | Some(Up::Ended(_) | Up::Refused(_)));
                room.send((number, word));
                if is_last {
                    return Ok(());
                }
                if is_piece {
                    to.taken().await?;
                }
            }
        }
    }
}
