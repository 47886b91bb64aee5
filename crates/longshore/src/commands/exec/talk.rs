//! The client's side of a session's data channel.

use std::{
    io::Write,
    os::fd::AsFd,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, anyhow, bail};
use control_plane::session_manager::{
    CLOSE_INPUT, OWN_CLIENT,
    channel::{Channel, acknowledge},
    wire::{
        ACTION_SUCCEEDED, Acknowledgement, ChannelClosed, HandshakeRequest, HandshakeResponse, Kind, Message,
        OpenDataChannel, Payload, ProcessedAction, uuid_text,
    },
};
use futures_util::{SinkExt, StreamExt};
use node_agent::remote::Socket;
use tokio::{
    io::AsyncReadExt,
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};
use tokio_tungstenite::tungstenite::Message as Frame;

use super::terminal::{self, RawTerminal};

/// What one message carries, as the plugin has it.
const INPUT_BYTES: usize = 1024;
/// How long the other side may take to be heard at all.
const SILENCE: Duration = Duration::from_secs(300);
/// Session types that this client can have.
const TYPES: [&str; 3] = ["Standard_Stream", "InteractiveCommands", "NonInteractiveCommands"];

/// Where the command's input comes from.
pub enum Input {
    /// It has none.
    None,
    /// Standard input, to its end.
    Stream,
    /// What is typed; the terminal is as it was when this is dropped.
    Terminal { _raw: RawTerminal },
}

/// How it ended.
pub struct Ended {
    pub exit_code: Option<i32>,
    /// Why it did not end as it should.
    pub reason: Option<String>,
}

pub struct Conversation {
    socket: Socket,
    token: String,
    channel: Channel,
    began: Instant,
}

impl Conversation {
    pub fn new(socket: Socket, token: &str) -> Conversation {
        Conversation {
            socket,
            token: token.to_owned(),
            channel: Channel::new(Kind::Input),
            began: Instant::now(),
        }
    }

    /// Talks to the session's end. The terminal is as it was when this returns.
    pub async fn run(mut self, input: Input) -> anyhow::Result<Ended> {
        let open = OpenDataChannel {
            message_schema_version: "1.0".to_owned(),
            request_id: uuid_text(&fresh_id()?),
            token_value: std::mem::take(&mut self.token),
            client_id: uuid_text(&fresh_id()?),
            client_version: version(),
        };
        self.socket.send(Frame::text(serde_json::to_string(&open)?)).await.context("opening the session")?;
        let mut resized = signal(SignalKind::window_change())?;
        let has_terminal = matches!(input, Input::Terminal { .. });
        let mut reading = !matches!(input, Input::None);
        let own = std::io::stdin().as_fd().try_clone_to_owned().context("standard input")?;
        let mut stdin = tokio::fs::File::from_std(own.into());
        let mut buffer = vec![0; INPUT_BYTES];
        let mut open = false;
        loop {
            let due = self.channel.next_due().map_or(Instant::now() + SILENCE, |due| self.began + due);
            tokio::select! {
                frame = self.socket.next() => match frame {
                    Some(Ok(Frame::Binary(bytes))) => match self.hear(&bytes).await? {
                        Heard::Nothing => {}
                        Heard::Open => {
                            open = true;
                            if has_terminal {
                                self.tell_size().await?;
                            } else if !reading {
                                self.say(Payload::Flag, CLOSE_INPUT.to_be_bytes().to_vec()).await?;
                            }
                        }
                        Heard::Closed(ended) => return Ok(ended),
                    },
                    Some(Ok(Frame::Close(frame))) => {
                        let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                        bail!("the session's connection was closed. {reason}");
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(anyhow!(error).context("the session's connection broke")),
                    None => bail!("the session's connection was closed"),
                },
                read = stdin.read(&mut buffer), if open && reading && self.channel.has_room() => match read {
                    Ok(0) | Err(_) => {
                        reading = false;
                        // A terminal that is gone takes the session along with it; a stream has said all.
                        self.say(Payload::Flag, CLOSE_INPUT.to_be_bytes().to_vec()).await?;
                    }
                    Ok(count) => self.say(Payload::Output, buffer[..count].to_vec()).await?,
                },
                _ = resized.recv(), if open && has_terminal => self.tell_size().await?,
                () = sleep_until(due) => {
                    let now = self.began.elapsed();
                    if let Some(bytes) = self.channel.due(now).context("the session does not answer")? {
                        self.write(bytes).await?;
                    }
                }
            }
        }
    }

    async fn tell_size(&mut self) -> anyhow::Result<()> {
        match terminal::size() {
            Some(size) => self.say(Payload::Size, serde_json::to_vec(&size)?).await,
            None => Ok(()),
        }
    }

    async fn say(&mut self, kind: Payload, payload: Vec<u8>) -> anyhow::Result<()> {
        let bytes = self.channel.send(kind, payload, fresh_id()?, stamp(), self.began.elapsed());
        self.write(bytes).await
    }

    async fn write(&mut self, bytes: Vec<u8>) -> anyhow::Result<()> {
        self.socket.send(Frame::binary(bytes)).await.context("the session's connection broke")
    }

    async fn hear(&mut self, bytes: &[u8]) -> anyhow::Result<Heard> {
        let message = Message::decode(bytes).context("the session sends what is no message")?;
        match message.kind {
            Kind::Output => {
                let acknowledgement = acknowledge(&message, fresh_id()?, stamp());
                if self.channel.receive(message) {
                    self.write(acknowledgement).await?;
                }
                self.take().await
            }
            Kind::Acknowledge => {
                if let Ok(content) = serde_json::from_slice::<Acknowledgement>(&message.payload) {
                    let now = self.began.elapsed();
                    self.channel.acknowledged(content.acknowledged_message_sequence_number, now);
                }
                Ok(Heard::Nothing)
            }
            Kind::ChannelClosed => {
                let closed: ChannelClosed = serde_json::from_slice(&message.payload)
                    .context("the session's last word cannot be read")?;
                let reason = Some(closed.output).filter(|text| !text.is_empty());
                Ok(Heard::Closed(Ended { exit_code: closed.exit_code, reason }))
            }
            Kind::Input | Kind::Start | Kind::Pause => Ok(Heard::Nothing),
        }
    }

    /// Takes what has come in order.
    async fn take(&mut self) -> anyhow::Result<Heard> {
        let mut heard = Heard::Nothing;
        while let Some(message) = self.channel.next_in_order() {
            match message.payload_kind {
                Payload::HandshakeRequest => self.shake_hands(&message.payload).await?,
                Payload::HandshakeComplete => heard = Heard::Open,
                Payload::Output => write_all(std::io::stdout(), &message.payload),
                Payload::StdErr => write_all(std::io::stderr(), &message.payload),
                // The last word has it too.
                _ => {}
            }
        }
        Ok(heard)
    }

    async fn shake_hands(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        let request: HandshakeRequest =
            serde_json::from_slice(payload).context("the session's handshake cannot be read")?;
        let processed = request.requested_client_actions.into_iter().map(|action| {
            let known = action.action_type == "SessionType"
                && TYPES.iter().any(|known| action.action_parameters["SessionType"] == *known);
            ProcessedAction {
                error: if known { String::new() } else { format!("{} is not supported", action.action_type) },
                action_status: if known { ACTION_SUCCEEDED } else { ACTION_SUCCEEDED + 1 },
                action_type: action.action_type,
                action_result: serde_json::Value::Null,
            }
        });
        let response = HandshakeResponse {
            client_version: version(),
            processed_client_actions: processed.collect(),
            errors: None,
        };
        self.say(Payload::HandshakeResponse, serde_json::to_vec(&response)?).await
    }
}

enum Heard {
    Nothing,
    Open,
    Closed(Ended),
}

fn version() -> String {
    format!("{OWN_CLIENT}{}", env!("CARGO_PKG_VERSION"))
}

/// Whoever reads it may have gone; the command goes on, as behind a pipe that is closed it would until it writes.
fn write_all(mut to: impl Write, bytes: &[u8]) {
    let _ = to.write_all(bytes).and_then(|()| to.flush());
}

fn fresh_id() -> anyhow::Result<[u8; 16]> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| anyhow!("no randomness: {error}"))?;
    (id[6], id[8]) = (id[6] & 0x0f | 0x40, id[8] & 0x3f | 0x80);
    Ok(id)
}

/// Milliseconds since 1970.
fn stamp() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
