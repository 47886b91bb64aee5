//! A session, from the first connection of its client to its end.
//!
//! It is both sides of what is two services at AWS: the message gateway that clients connect to, and the agent in the container. In this order: a client
//! connects with a token; the handshake tells it what kind of session this is; then bytes go both ways between the channel
//! ([`Channel`]) and what the session works with on the node ([`work`]). A client whose connection breaks may come back with a new token
//! for a minute; what was not acknowledged is then sent again.
//!
//! It ends when the work does, when nothing has passed for the idle timeout, when it has lasted as long as it may, when it is terminated, when its client
//! stays away, or with the connection to the node. Then what the client has not acknowledged is waited for, a few seconds at most.

mod handshake;
mod times;

use std::{sync::Arc, time::Duration};

use agent_protocol::stream::TerminalSize;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use vocabulary::{Ids, Scope};

use super::{
    board::{Desk, Line},
    channel::{self, Channel},
    cipher::Cipher,
    encryption::Sent,
    plan::Plan,
    records::{SessionStatus, record},
    target::Reached,
    transcript::Transcript,
    wire::{ChannelClosed, Kind, Message, Payload, Size},
    work::{Outcome, Work},
};
use crate::services::Services;
pub use times::Patience;

/// How long the last of the output may take to be acknowledged.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(5);
/// Everything that a session is made of.
pub struct Opening {
    pub services: Arc<Services>,
    pub scope: Scope,
    pub plan: Plan,
    pub target: String,
    pub reached: Reached,
    pub transcript: Option<Transcript>,
    pub patience: Patience,
    pub desk: Desk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody has connected.
    Awaited,
    Handshake(Instant),
    Open,
    /// The work is over; the client has not heard all of it.
    Closing(Instant),
}

/// What the session ends with.
#[derive(Debug, Default)]
struct End {
    failed: bool,
    /// Shown by the client; nothing after an end as it should be.
    output: String,
    exit_code: Option<i32>,
}

struct Session {
    opening: Opening,
    channel: Channel,
    line: Option<Line>,
    /// When the client went away, or when the session began.
    away_since: Instant,
    stage: Stage,
    began: Instant,
    active_at: Instant,
    paused: bool,
    /// What the client says of itself.
    client_version: String,
    /// Once the client has sent the data key.
    cipher: Option<Cipher>,
    /// While it is to be shown that both sides have the same key.
    challenge: Option<Sent>,
    work: Work,
    end: End,
}

/// Runs a session to its end, and records what became of it.
pub async fn run(opening: Opening) {
    let (services, scope) = (Arc::clone(&opening.services), opening.scope.clone());
    let id = opening.desk.id().to_owned();
    let now = Instant::now();
    let work = Work::new(&opening.services, &opening.plan, &opening.reached, &id);
    let mut session = Session {
        opening,
        channel: Channel::new(Kind::Output),
        line: None,
        away_since: now,
        stage: Stage::Awaited,
        began: now,
        active_at: now,
        paused: false,
        client_version: String::new(),
        cipher: None,
        challenge: None,
        work,
        end: End::default(),
    };
    session.talk().await;
    session.say_goodbye();
    let Session { opening, end, .. } = session;
    if let Some(transcript) = opening.transcript {
        transcript.finish().await;
    }
    let status = if end.failed { SessionStatus::Failed } else { SessionStatus::Terminated };
    record(&services, &scope, &id, status, Some(end.output)).await;
}

impl Session {
    async fn talk(&mut self) {
        loop {
            self.pass_on();
            if let Stage::Closing(latest) = self.stage
                && (self.channel.is_settled() || latest <= Instant::now())
            {
                return;
            }
            let deadline = self.deadline();
            let can_hear = self.stage == Stage::Open && self.channel.has_room() && !self.paused;
            tokio::select! {
                line = self.opening.desk.lines.recv() => match line {
                    Some(line) => self.connected(line).await,
                    None => return,
                },
                _ = self.opening.desk.ending.recv() => return,
                frame = next_frame(&mut self.line) => match frame {
                    Some(bytes) => self.hear(&bytes),
                    None => self.disconnected().await,
                },
                heard = self.work.hear(), if can_hear => {
                    let outcome = self.work.take(heard);
                    self.take(outcome).await;
                }
                () = sleep_until(deadline) => {
                    if self.tick().is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn stamp(&self) -> u64 {
        u64::try_from(self.opening.services.now().as_millis()).unwrap_or(0)
    }

    fn fresh_id(&self) -> [u8; 16] {
        let mut id = [0; 16];
        self.opening.services.ids().fill(&mut id);
        (id[6], id[8]) = (id[6] & 0x0f | 0x40, id[8] & 0x3f | 0x80);
        id
    }

    fn fail(&mut self, reason: &str) -> Result<(), ()> {
        (self.end.failed, self.end.output) = (true, reason.to_owned());
        Err(())
    }

    /// Takes a new connection; one that was there before is closed.
    async fn connected(&mut self, line: Line) {
        self.line = Some(line);
        self.active_at = Instant::now();
        let again = self.channel.again(self.now());
        again.into_iter().for_each(|bytes| self.write(bytes));
        if self.stage == Stage::Awaited {
            self.stage = Stage::Handshake(Instant::now() + self.opening.patience.handshake);
            self.ask_for_handshake();
        }
        self.note(SessionStatus::Connected).await;
    }

    async fn disconnected(&mut self) {
        self.line = None;
        self.away_since = Instant::now();
        self.note(SessionStatus::Disconnected).await;
    }

    async fn note(&self, status: SessionStatus) {
        let Opening { services, scope, desk, .. } = &self.opening;
        record(services, scope, desk.id(), status, None).await;
    }

    /// Sends a data message.
    fn say(&mut self, kind: Payload, payload: Vec<u8>) {
        let payload = match &self.cipher {
            Some(cipher) if Cipher::covers(kind) => {
                let mut nonce = [0; 12];
                self.opening.services.ids().fill(&mut nonce);
                cipher.seal(&payload, nonce)
            }
            _ => payload,
        };
        let (id, created, now) = (self.fresh_id(), self.stamp(), self.now());
        let bytes = self.channel.send(kind, payload, id, created, now);
        self.write(bytes);
    }

    /// Without waiting: a client that does not read is as good as gone, and hears everything again when it is back.
    fn write(&mut self, bytes: Vec<u8>) {
        if let Some(line) = &self.line
            && let Err(mpsc::error::TrySendError::Full(_)) = line.out.try_send(bytes)
        {
            (self.line, self.away_since) = (None, Instant::now());
        }
    }

    /// Takes a frame of the client. What is no message is passed over, as the agent does.
    fn hear(&mut self, bytes: &[u8]) {
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(error) => {
                let session = self.opening.desk.id();
                return tracing::debug!(session, %error, "a client sends what is no message");
            }
        };
        match message.kind {
            Kind::Input => {
                let acknowledgement = channel::acknowledge(&message, self.fresh_id(), self.stamp());
                if self.channel.receive(message) {
                    self.write(acknowledgement);
                }
            }
            Kind::Acknowledge => {
                let content = serde_json::from_slice::<super::wire::Acknowledgement>(&message.payload);
                if let Ok(content) = content {
                    let now = self.now();
                    self.channel.acknowledged(content.acknowledged_message_sequence_number, now);
                }
            }
            Kind::Pause => self.paused = true,
            Kind::Start => self.paused = false,
            // A client does not say these.
            Kind::Output | Kind::ChannelClosed => {}
        }
    }

    /// Hands the client's messages to the work, in order, as far as it takes them.
    fn pass_on(&mut self) {
        while matches!(self.stage, Stage::Handshake(_) | Stage::Open) && self.work.has_room() {
            let Some(message) = self.channel.next_in_order() else { return };
            match (self.stage, message.payload_kind) {
                (Stage::Handshake(_), Payload::HandshakeResponse) => self.shake_hands(&message.payload),
                (Stage::Handshake(_), Payload::EncryptionAnswer) => self.check_answer(&message.payload),
                // Typed ahead, by a client that does not know of handshakes: not for this session.
                (Stage::Handshake(_), _) | (_, Payload::HandshakeResponse) => {}
                (_, Payload::Size) => {
                    if let Ok(size) = serde_json::from_slice::<Size>(&message.payload) {
                        let at_most = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
                        self.work
                            .resize(TerminalSize { rows: at_most(size.rows), columns: at_most(size.cols) });
                    }
                }
                (_, Payload::Output) => {
                    self.active_at = Instant::now();
                    let input = match &self.cipher {
                        None => Ok(message.payload),
                        Some(cipher) => cipher
                            .open(&message.payload)
                            .ok_or_else(|| "the client's input cannot be decrypted".to_owned()),
                    };
                    if let Err(reason) = input.and_then(|input| self.work.input(input)) {
                        let _ = self.fail(&reason);
                        self.close();
                    }
                }
                (_, Payload::Flag) => {
                    self.active_at = Instant::now();
                    let flag = message.payload.first_chunk::<4>().map_or(0, |flag| u32::from_be_bytes(*flag));
                    if self.work.flag(flag) {
                        self.close();
                    }
                }
                _ => {}
            }
        }
    }

    async fn take(&mut self, outcome: Outcome) {
        for (kind, payload) in outcome.said {
            self.active_at = Instant::now();
            if let (Some(transcript), Payload::Output | Payload::StdErr) =
                (&mut self.opening.transcript, kind)
            {
                transcript.push(&payload).await;
            }
            self.say(kind, payload);
        }
        if let Some(over) = outcome.over {
            self.end.exit_code = over.exit_code;
            if let Some(reason) = over.failure {
                let _ = self.fail(&reason);
            }
            self.close();
        }
    }

    /// Nothing new is said; the client may take what it was told.
    fn close(&mut self) {
        if !matches!(self.stage, Stage::Closing(_)) {
            self.stage = Stage::Closing(Instant::now() + LAST_WORDS_TIMEOUT);
        }
    }

    /// The client is told that the channel is closed, and why; then its connection is.
    fn say_goodbye(&mut self) {
        let (id, created) = (self.fresh_id(), self.stamp());
        let closed = ChannelClosed {
            message_id: super::wire::uuid_text(&id),
            created_date: created.to_string(),
            destination_id: self.opening.target.clone(),
            session_id: self.opening.desk.id().to_owned(),
            message_type: Kind::ChannelClosed.name().to_owned(),
            schema_version: 1,
            output: self.end.output.clone(),
            exit_code: self.end.exit_code,
        };
        let payload = serde_json::to_vec(&closed).unwrap_or_default();
        let (kind, payload_kind) = (Kind::ChannelClosed, Payload::None);
        let message = Message { kind, created, sequence: 0, flags: 0, id, payload_kind, payload };
        self.write(message.encode());
        self.line = None;
    }
}

/// The client's next frame; never, while there is no client.
async fn next_frame(line: &mut Option<Line>) -> Option<Vec<u8>> {
    match line {
        Some(line) => line.incoming.recv().await,
        None => std::future::pending().await,
    }
}
