//! The client's end of a session's data channel: the handshake, what is sent again, what is encrypted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use control_plane::session_manager::{
    OWN_CLIENT,
    channel::{Channel, acknowledge},
    cipher::{self, Challenge, Cipher, Encrypted, Encryption},
    wire::{
        ACTION_SUCCEEDED, Acknowledgement, ChannelClosed, HandshakeRequest, HandshakeResponse, Kind, Message,
        OpenDataChannel, Payload, ProcessedAction, RequestedAction, uuid_text,
    },
};
use futures_util::{SinkExt, StreamExt};
use node_agent::remote::Socket;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message as Frame;

use super::keys::Keys;

/// How long the other side may take to be heard at all.
const SILENCE: Duration = Duration::from_secs(300);

/// How a session ended.
pub struct Ended {
    pub exit_code: Option<i32>,
    /// Why it did not end as it should.
    pub reason: Option<String>,
}

/// What comes of a session.
pub enum Event {
    /// The handshake is over.
    Open,
    /// In order, and in the clear.
    Data(Payload, Vec<u8>),
    Closed(Ended),
}

pub struct Line<'a> {
    socket: Socket,
    channel: Channel,
    began: Instant,
    keys: &'a Keys<'a>,
    cipher: Option<Cipher>,
    /// Session types that the caller can have.
    types: &'static [&'static str],
}

impl<'a> Line<'a> {
    /// # Errors
    /// When the connection breaks.
    pub async fn open(
        mut socket: Socket,
        token: String,
        keys: &'a Keys<'a>,
        types: &'static [&'static str],
    ) -> anyhow::Result<Line<'a>> {
        let open = OpenDataChannel {
            message_schema_version: "1.0".to_owned(),
            request_id: uuid_text(&fresh_id()?),
            token_value: token,
            client_id: uuid_text(&fresh_id()?),
            client_version: version(),
        };
        socket.send(Frame::text(serde_json::to_string(&open)?)).await.context("opening the session")?;
        let channel = Channel::new(Kind::Input);
        Ok(Line { socket, channel, began: Instant::now(), keys, cipher: None, types })
    }

    /// Whether more may be said.
    pub fn has_room(&self) -> bool {
        self.channel.has_room()
    }

    /// # Errors
    /// When the connection breaks.
    pub async fn say(&mut self, kind: Payload, payload: Vec<u8>) -> anyhow::Result<()> {
        let payload = match &self.cipher {
            Some(cipher) if Cipher::covers(kind) => cipher.seal(&payload, fresh_nonce()?),
            _ => payload,
        };
        let bytes = self.channel.send(kind, payload, fresh_id()?, stamp(), self.began.elapsed());
        self.write(bytes).await
    }

    /// The next event. With `deliver` false only the channel is kept going, and nothing but the end is told: whoever has no room for
    /// data loses none. May be dropped at any time once the session is open.
    ///
    /// # Errors
    /// When the connection breaks, or what comes makes no sense.
    pub async fn next(&mut self, deliver: bool) -> anyhow::Result<Event> {
        loop {
            if deliver && let Some(event) = self.take().await? {
                return Ok(event);
            }
            let due = self.channel.next_due().map_or(Instant::now() + SILENCE, |due| self.began + due);
            tokio::select! {
                frame = self.socket.next() => match frame {
                    Some(Ok(Frame::Binary(bytes))) => {
                        if let Some(ended) = self.hear(&bytes).await? {
                            return Ok(Event::Closed(ended));
                        }
                    }
                    Some(Ok(Frame::Close(frame))) => {
                        let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                        bail!("the session's connection was closed. {reason}");
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(anyhow!(error).context("the session's connection broke")),
                    None => bail!("the session's connection was closed"),
                },
                () = sleep_until(due) => {
                    let now = self.began.elapsed();
                    if let Some(bytes) = self.channel.due(now).context("the session does not answer")? {
                        self.write(bytes).await?;
                    }
                }
            }
        }
    }

    async fn write(&mut self, bytes: Vec<u8>) -> anyhow::Result<()> {
        self.socket.send(Frame::binary(bytes)).await.context("the session's connection broke")
    }

    async fn hear(&mut self, bytes: &[u8]) -> anyhow::Result<Option<Ended>> {
        let message = Message::decode(bytes).context("the session sends what is no message")?;
        match message.kind {
            Kind::Output => {
                let acknowledgement = acknowledge(&message, fresh_id()?, stamp());
                if self.channel.receive(message) {
                    self.write(acknowledgement).await?;
                }
            }
            Kind::Acknowledge => {
                if let Ok(content) = serde_json::from_slice::<Acknowledgement>(&message.payload) {
                    let now = self.began.elapsed();
                    self.channel.acknowledged(content.acknowledged_message_sequence_number, now);
                }
            }
            Kind::ChannelClosed => {
                let closed: ChannelClosed = serde_json::from_slice(&message.payload)
                    .context("the session's last word cannot be read")?;
                let reason = Some(closed.output).filter(|text| !text.is_empty());
                return Ok(Some(Ended { exit_code: closed.exit_code, reason }));
            }
            Kind::Input | Kind::Start | Kind::Pause => {}
        }
        Ok(None)
    }

    /// The next of what has come in order.
    async fn take(&mut self) -> anyhow::Result<Option<Event>> {
        while let Some(message) = self.channel.next_in_order() {
            match message.payload_kind {
                Payload::HandshakeRequest => self.shake_hands(&message.payload).await?,
                Payload::EncryptionChallenge => self.meet_challenge(&message.payload).await?,
                Payload::HandshakeComplete => return Ok(Some(Event::Open)),
                kind => {
                    let payload = match &self.cipher {
                        Some(cipher) if Cipher::covers(kind) => {
                            cipher.open(&message.payload).context("the session's data cannot be decrypted")?
                        }
                        _ => message.payload,
                    };
                    return Ok(Some(Event::Data(kind, payload)));
                }
            }
        }
        Ok(None)
    }

    async fn shake_hands(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        let request: HandshakeRequest =
            serde_json::from_slice(payload).context("the session's handshake cannot be read")?;
        let mut processed = Vec::new();
        for action in request.requested_client_actions {
            let outcome = self.carry_out(&action).await;
            let (action_status, action_result, error) = match outcome {
                Ok(result) => (ACTION_SUCCEEDED, result, String::new()),
                Err(error) => (ACTION_SUCCEEDED + 1, Value::Null, format!("{error:#}")),
            };
            let action_type = action.action_type;
            processed.push(ProcessedAction { action_type, action_status, action_result, error });
        }
        let response = HandshakeResponse {
            client_version: version(),
            processed_client_actions: processed,
            errors: None,
        };
        self.say(Payload::HandshakeResponse, serde_json::to_vec(&response)?).await
    }

    /// What the handshake asks for.
    async fn carry_out(&mut self, action: &RequestedAction) -> anyhow::Result<Value> {
        let asked = &action.action_parameters;
        match action.action_type.as_str() {
            "SessionType" => {
                let known = self.types.iter().any(|known| asked["SessionType"] == *known);
                known
                    .then_some(Value::Null)
                    .with_context(|| format!("{} is not supported", asked["SessionType"]))
            }
            cipher::ACTION => {
                let Encryption { key_id } = serde_json::from_value(asked.clone())?;
                let key = self.keys.make(&key_id).await?;
                let cipher = Cipher::new(Kind::Input, &key.plain).context("KMS made no key for a session")?;
                self.cipher = Some(cipher);
                Ok(json!(Encrypted { ciphertext: key.ciphertext }))
            }
            other => bail!("{other} is not supported"),
        }
    }

    /// Shows that this side has the same key.
    async fn meet_challenge(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        let asked: Challenge = serde_json::from_slice(payload).context("the challenge cannot be read")?;
        let cipher = self.cipher.as_ref().context("a challenge, and no key")?;
        let text = STANDARD.decode(asked.challenge).ok().and_then(|sealed| cipher.open(&sealed));
        let text = text.context("the session has another key than this client")?;
        let answer = Challenge { challenge: STANDARD.encode(cipher.seal(&text, fresh_nonce()?)) };
        self.say(Payload::EncryptionAnswer, serde_json::to_vec(&answer)?).await
    }
}

fn version() -> String {
    format!("{OWN_CLIENT}{}", env!("CARGO_PKG_VERSION"))
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no randomness: {error}"))?;
    Ok(bytes)
}

fn fresh_nonce() -> anyhow::Result<[u8; 12]> {
    random()
}

fn fresh_id() -> anyhow::Result<[u8; 16]> {
    let mut id = random()?;
    (id[6], id[8]) = (id[6] & 0x0f | 0x40, id[8] & 0x3f | 0x80);
    Ok(id)
}

/// Milliseconds since 1970.
fn stamp() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
