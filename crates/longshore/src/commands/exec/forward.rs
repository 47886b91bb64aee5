//! `--forward LOCAL:REMOTE`: a port of this machine's loopback, whose connections go on from within the task.
//!
//! All connections share one session, multiplexed as newer versions of the plugin do it. A connection whose reader is slow holds up the
//! others, and none of their bytes are lost: what cannot be handed on is not taken.

use std::{
    collections::{HashMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
};

use anyhow::Context;
use control_plane::session_manager::{
    smux::{Frame, Frames},
    wire::{Payload, flag},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
};

use super::line::{Ended, Event, Line};

/// The session type of a forwarded port.
pub const TYPES: &[&str] = &["Port"];
/// What one frame to the session carries: with its header one message.
const DATA_BYTES: usize = 4096 - 8;
/// Pieces that may wait for a connection, and for the session.
const QUEUE: usize = 64;
/// As many as a session takes.
const MOST_CONNECTIONS: usize = 128;

/// `LOCAL:REMOTE`, or `LOCAL:HOST:REMOTE` for a host that the task reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// 0: any that is free.
    pub local: u16,
    pub host: Option<String>,
    pub remote: u16,
}

impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Forward, String> {
        let wrong = || "give LOCAL:REMOTE or LOCAL:HOST:REMOTE".to_owned();
        let (local, rest) = text.split_once(':').ok_or_else(wrong)?;
        let (host, remote) = match rest.rsplit_once(':') {
            None => (None, rest),
            Some((host, remote)) => {
                let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
                (Some(host.to_owned()).filter(|host| !host.is_empty()), remote)
            }
        };
        let port = |text: &str| text.parse::<u16>().map_err(|_| format!("{text} is no port"));
        let (local, remote) = (port(local)?, port(remote)?);
        if remote == 0 || (host.is_none() && rest.contains(':')) {
            return Err(wrong());
        }
        Ok(Forward { local, host, remote })
    }
}

impl Forward {
    /// The port here.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn listen(&self) -> anyhow::Result<TcpListener> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.local));
        TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))
    }
}

/// From a connection: its number, and what it says. None: it says no more.
type Said = (u32, Option<Vec<u8>>);

struct Forwarding<'a> {
    line: Line<'a>,
    frames: Frames,
    /// By their numbers: where to their data goes.
    open: HashMap<u32, mpsc::Sender<Vec<u8>>>,
    /// What has come and was not handed on yet.
    waiting: VecDeque<Frame>,
    next_stream: u32,
    said: mpsc::Sender<Said>,
    tasks: JoinSet<()>,
}

/// Forwards until the session ends; an interrupt ends it.
///
/// # Errors
/// When the session's connection breaks, or the other side speaks something else.
pub async fn forward(line: Line<'_>, listener: TcpListener, begun: impl FnOnce()) -> anyhow::Result<Ended> {
    let (sender, mut said) = mpsc::channel(QUEUE);
    let mut forwarding = Forwarding {
        line,
        frames: Frames::default(),
        open: HashMap::new(),
        waiting: VecDeque::new(),
        next_stream: 1,
        said: sender,
        tasks: JoinSet::new(),
    };
    let mut ends = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (mut begun, mut is_open) = (Some(begun), false);
    loop {
        forwarding.hand_on().await?;
        let (deliver, room) = (forwarding.waiting.is_empty(), forwarding.line.has_room());
        let blocked = forwarding.blocked();
        let more = is_open && room && forwarding.open.len() < MOST_CONNECTIONS;
        tokio::select! {
            event = forwarding.line.next(deliver) => match event? {
                Event::Open => {
                    is_open = true;
                    if let Some(begun) = begun.take() {
                        begun();
                    }
                }
                Event::Data(Payload::Output, bytes) => forwarding.take(&bytes)?,
                Event::Data(Payload::Flag, number) if number == flag::CONNECT_TO_PORT_ERROR.to_be_bytes() => {
                    eprintln!("longshore: a connection was refused: nothing listens at the port");
                }
                Event::Data(..) => {}
                Event::Closed(ended) => return Ok(ended),
            },
            () = has_room(blocked) => {}
            accepted = listener.accept(), if more => {
                // One that is gone already is no harm; another that cannot be accepted will be told by the next.
                if let Ok((stream, _)) = accepted {
                    forwarding.begin(stream).await?;
                }
            }
            Some((stream, data)) = said.recv(), if room => forwarding.pass(stream, data).await?,
            () = interrupted(&mut ends) => {
                // A second one ends this at once.
                if !is_open {
                    return Ok(Ended { exit_code: None, reason: None });
                }
                is_open = false;
                forwarding.line.say(Payload::Flag, flag::TERMINATE_SESSION.to_be_bytes().to_vec()).await?;
            }
        }
    }
}

async fn interrupted((interrupt, terminate): &mut (Signal, Signal)) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Waits for room in a connection's queue; for ever, where nothing waits.
async fn has_room(blocked: Option<mpsc::Sender<Vec<u8>>>) {
    match blocked {
        // Also when the connection has gone.
        Some(sender) => drop(sender.reserve().await),
        None => std::future::pending().await,
    }
}

impl Forwarding<'_> {
    async fn begin(&mut self, stream: TcpStream) -> anyhow::Result<()> {
        while self.tasks.try_join_next().is_some() {}
        let number = self.next_stream;
        // A client's streams have odd numbers.
        self.next_stream = self.next_stream.wrapping_add(2);
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.open.insert(number, sender);
        self.tasks.spawn(carry(number, stream, receiver, self.said.clone()));
        self.say(Frame::Open(number)).await
    }

    async fn pass(&mut self, stream: u32, data: Option<Vec<u8>>) -> anyhow::Result<()> {
        if !self.open.contains_key(&stream) {
            return Ok(());
        }
        match data {
            Some(data) => self.say(Frame::Data(stream, data)).await,
            None => self.say(Frame::Close(stream)).await,
        }
    }

    async fn say(&mut self, frame: Frame) -> anyhow::Result<()> {
        self.line.say(Payload::Output, frame.encode()).await
    }

    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.frames.push(bytes);
        while let Some(frame) = self.frames.take()? {
            self.waiting.push_back(frame);
        }
        Ok(())
    }

    /// Hands frames on, as far as their connections take them.
    async fn hand_on(&mut self) -> anyhow::Result<()> {
        while let Some(frame) = self.waiting.pop_front() {
            match frame {
                Frame::Data(stream, data) => match self.open.get(&stream).map(|to| to.try_send(data)) {
                    Some(Err(mpsc::error::TrySendError::Full(data))) => {
                        self.waiting.push_front(Frame::Data(stream, data));
                        return Ok(());
                    }
                    Some(Err(mpsc::error::TrySendError::Closed(_))) => {
                        self.open.remove(&stream);
                        self.say(Frame::Close(stream)).await?;
                    }
                    Some(Ok(())) | None => {}
                },
                // What was handed on before is still written.
                Frame::Close(stream) => drop(self.open.remove(&stream)),
                Frame::Open(_) | Frame::Nothing => {}
            }
        }
        Ok(())
    }

    /// The connection that what waits is for.
    fn blocked(&self) -> Option<mpsc::Sender<Vec<u8>>> {
        match self.waiting.front() {
            Some(Frame::Data(stream, _)) => self.open.get(stream).cloned(),
            _ => None,
        }
    }
}

/// One connection, until the session ends it.
async fn carry(number: u32, stream: TcpStream, mut data: mpsc::Receiver<Vec<u8>>, said: mpsc::Sender<Said>) {
    let (mut read, mut write) = stream.into_split();
    let reading = async {
        let mut buffer = vec![0; DATA_BYTES];
        loop {
            let piece = match read.read(&mut buffer).await {
                Ok(0) | Err(_) => None,
                Ok(count) => Some(buffer[..count].to_vec()),
            };
            let is_last = piece.is_none();
            if said.send((number, piece)).await.is_err() || is_last {
                break;
            }
        }
        // What the task answers may still come.
        std::future::pending::<()>().await;
    };
    let writing = async {
        while let Some(bytes) = data.recv().await {
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}

#[cfg(test)]
mod tests {
    use super::Forward;

    #[test]
    fn ports_are_read() {
        let of = |text: &str| text.parse::<Forward>();
        assert_eq!(of("8080:80"), Ok(Forward { local: 8080, host: None, remote: 80 }));
        let to_host = Forward { local: 0, host: Some("db.internal".to_owned()), remote: 5432 };
        assert_eq!(of("0:db.internal:5432"), Ok(to_host));
        assert_eq!(of("1:[fd00::1]:2").unwrap().host.as_deref(), Some("fd00::1"));
        for wrong in ["80", "a:80", "80:0", "80:", ":80", "70000:80", "8080::80"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
