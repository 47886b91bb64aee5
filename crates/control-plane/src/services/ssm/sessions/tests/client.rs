//! A client of sessions and a node of pretended containers.

use std::sync::atomic::{AtomicUsize, Ordering};

use std::{collections::BTreeMap, sync::Arc};

use agent_protocol::{
    AcsMessage,
    stream::{Begin, Down, Piece, ProcessEnd, StreamDown, StreamUp, TerminalSize, Up, What},
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Duration};

use super::super::{
    board::{self, IDLE_TIMEOUT, Wire},
    calls::{Asked, Opened, open},
    channel::{Channel, acknowledge},
    cipher::Cipher,
    plan::{self, Plan},
    preferences::Preferences,
    records::SessionRecord,
    run::Patience,
    target::Reached,
    wire::{Acknowledgement, ChannelClosed, Kind, Message, Payload},
};
use crate::{
    agents::streams::Joined,
    gateway::ApiError,
    services::{
        Services,
        testing::{Fixture, scope},
    },
};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node on which every process echoes its input and every connection shouts it back.
pub struct Node {
    pub fixture: Fixture,
    begun: mpsc::UnboundedReceiver<Begin>,
    sizes: mpsc::UnboundedReceiver<TerminalSize>,
    /// Streams that were ended from above.
    ended: mpsc::UnboundedReceiver<String>,
    place: Option<Joined>,
}

impl Node {
    pub async fn new() -> Node {
        let fixture = Fixture::new().await;
        let (sender, messages) = mpsc::channel(64);
        let place = fixture.services.agents.streams.join(None, sender);
        let (begins, begun) = mpsc::unbounded_channel();
        let (resized, sizes) = mpsc::unbounded_channel();
        let (ends, ended) = mpsc::unbounded_channel();
        tokio::spawn(pretend(Arc::clone(&fixture.services), messages, begins, resized, ends));
        Node { fixture, begun, sizes, ended, place: Some(place) }
    }

    pub fn services(&self) -> &Arc<Services> {
        &self.fixture.services
    }

    pub async fn begun(&mut self) -> Begin {
        within(self.begun.recv()).await.unwrap()
    }

    pub async fn resized(&mut self) -> TerminalSize {
        within(self.sizes.recv()).await.unwrap()
    }

    pub async fn ended(&mut self) -> String {
        within(self.ended.recv()).await.unwrap()
    }

    /// The agent goes.
    pub fn leave(&mut self) {
        self.place = None;
    }

    pub async fn open_plan(&self, plan: Plan) -> Opened {
        self.open_with(plan, Patience::default()).await
    }

    pub async fn open_with(&self, plan: Plan, patience: Patience) -> Opened {
        self.asked(plan, reached(), patience).await.unwrap()
    }

    pub async fn try_open(&self, plan: Plan) -> Result<Opened, ApiError> {
        self.asked(plan, reached(), Patience::default()).await
    }

    async fn asked(&self, plan: Plan, reached: Reached, patience: Patience) -> Result<Opened, ApiError> {
        // One document may be asked for more than once.
        static OPENED: AtomicUsize = AtomicUsize::new(0);
        let id = format!("root-{}-{}", plan.document, OPENED.fetch_add(1, Ordering::Relaxed));
        let asked = Asked { id, plan, target: "ecs:web_t1_t1-1".into(), reached, reason: None, patience };
        open(&self.fixture.call(), asked).await
    }

    pub async fn open(&self, document: &str, parameters: &[(&str, &str)]) -> Opened {
        let parameters: BTreeMap<String, Vec<String>> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect();
        let plan =
            plan::of_document(Some(document), &parameters, &Preferences::default(), IDLE_TIMEOUT).unwrap();
        self.open_plan(plan).await
    }

    pub async fn interactive(&self) -> Opened {
        self.open("AWS-StartInteractiveCommand", &[("command", "sh")]).await
    }

    /// A client that has come in.
    pub async fn connect(&self, opened: &Opened) -> Client {
        let mut client = Client {
            wire: self.line(opened).await,
            channel: Channel::new(Kind::Input),
            cipher: None,
            received: Vec::new(),
        };
        client.received.clear();
        client
    }

    pub async fn line(&self, opened: &Opened) -> Wire {
        let session = self.services().sessions.admit(&opened.id, &opened.token).expect("the token counts");
        let (line, wire) = board::line();
        session.send(line).await.expect("the session is there");
        wire
    }

    /// Waits until the record is as wanted.
    pub async fn recorded(&self, id: &str, wanted: impl Fn(&SessionRecord) -> bool) -> SessionRecord {
        let looking = async {
            loop {
                let found = self.services().state.read(|view| view.get::<SessionRecord>(&scope(), id));
                if let Some(found) = found.filter(|found| wanted(found)) {
                    return (*found).clone();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(looking).await
    }
}

pub fn reached() -> Reached {
    Reached {
        task_arn: "arn:aws:ecs:us-east-1:000000000000:task/web/t1".into(),
        task_key: "web/t1".into(),
        container: "app".into(),
        node: None,
    }
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

async fn pretend(
    services: Arc<Services>,
    mut messages: mpsc::Receiver<AcsMessage>,
    begun: mpsc::UnboundedSender<Begin>,
    sizes: mpsc::UnboundedSender<TerminalSize>,
    ended: mpsc::UnboundedSender<String>,
) {
    let say = |stream: &str, say: Up| {
        services.agents.streams.heard(&None, StreamUp { stream: stream.to_owned(), say });
    };
    let mut shouting = BTreeMap::new();
    while let Some(message) = messages.recv().await {
        let AcsMessage::Stream(StreamDown { stream, say: word }) = message else { continue };
        match word {
            Down::Begin(begin) => {
                let refused = matches!(&begin.what, What::Connection(to) if to.port == 9);
                shouting.insert(stream.clone(), matches!(begin.what, What::Connection(_)));
                let _ = begun.send(*begin);
                say(&stream, if refused { Up::Refused("refused".into()) } else { Up::Began });
            }
            Down::Data(Piece(bytes)) => {
                say(&stream, Up::Taken(1));
                match bytes.as_slice() {
                    b"quit" => {
                        let end = ProcessEnd { exit_code: 7, reason: None };
                        say(&stream, Up::Ended(Some(end)));
                    }
                    b"missing" => {
                        let reason = Some("exec: not found".to_owned());
                        say(&stream, Up::Ended(Some(ProcessEnd { exit_code: 127, reason })));
                    }
                    b"error" => say(&stream, Up::Errors(Piece(bytes))),
                    _ if shouting[&stream] => say(&stream, Up::Output(Piece(bytes.to_ascii_uppercase()))),
                    _ => say(&stream, Up::Output(Piece(bytes))),
                }
            }
            Down::CloseInput => match shouting[&stream] {
                true => say(&stream, Up::Ended(None)),
                false => say(&stream, Up::Ended(Some(ProcessEnd { exit_code: 0, reason: None }))),
            },
            Down::Resize(size) => drop(sizes.send(size)),
            Down::Signal(_) | Down::Taken(_) => {}
            Down::End => drop(ended.send(stream)),
        }
    }
}

/// Speaks as the plugin does, and acknowledges what it gets.
pub struct Client {
    pub wire: Wire,
    pub channel: Channel,
    /// Where the session is encrypted.
    pub cipher: Option<Cipher>,
    /// Data messages that came, in order.
    pub received: Vec<(Payload, Vec<u8>)>,
}

impl Client {
    pub async fn send(&mut self, kind: Payload, payload: &[u8]) {
        let payload = match &self.cipher {
            Some(cipher) if Cipher::covers(kind) => cipher.seal(payload, [9; 12]),
            _ => payload.to_vec(),
        };
        let bytes = self.channel.send(kind, payload, [4; 16], 1, Duration::ZERO);
        self.wire.incoming.send(bytes).await.expect("the session listens");
    }

    pub async fn type_in(&mut self, text: &str) {
        self.send(Payload::Output, text.as_bytes()).await;
    }

    /// The next message, acknowledged where it is to be. `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Message> {
        let bytes = within(self.wire.out.recv()).await?;
        let message = Message::decode(&bytes).expect("a message");
        match message.kind {
            Kind::Output => {
                let acknowledgement = acknowledge(&message, [5; 16], 1);
                if self.channel.receive(message.clone()) {
                    // It may have closed the line behind its last word.
                    let _ = self.wire.incoming.send(acknowledgement).await;
                }
                while let Some(message) = self.channel.next_in_order() {
                    let payload = match &self.cipher {
                        Some(cipher) if Cipher::covers(message.payload_kind) => {
                            cipher.open(&message.payload).expect("it was sealed by the session")
                        }
                        _ => message.payload,
                    };
                    self.received.push((message.payload_kind, payload));
                }
            }
            Kind::Acknowledge => {
                let content: Acknowledgement = serde_json::from_slice(&message.payload).expect("content");
                self.channel.acknowledged(content.acknowledged_message_sequence_number, Duration::ZERO);
            }
            _ => {}
        }
        Some(message)
    }

    /// Waits for a data message, and gives it.
    pub async fn data(&mut self) -> (Payload, Vec<u8>) {
        while self.received.is_empty() {
            self.next().await.expect("the connection is open");
        }
        self.received.remove(0)
    }

    /// What the handshake asked for.
    pub async fn shake_hands(&mut self, version: &str) -> Value {
        let (kind, payload) = self.data().await;
        assert_eq!(kind, Payload::HandshakeRequest);
        let request: Value = serde_json::from_slice(&payload).expect("a request");
        let response = json!({
            "ClientVersion": version,
            "ProcessedClientActions": [{"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": null, "Error": ""}],
            "Errors": null,
        });
        self.send(Payload::HandshakeResponse, response.to_string().as_bytes()).await;
        let (kind, payload) = self.data().await;
        assert_eq!(kind, Payload::HandshakeComplete);
        let complete: Value = serde_json::from_slice(&payload).expect("the end of it");
        assert_eq!(complete["CustomerMessage"], "");
        request
    }

    /// Waits for the channel to be closed.
    pub async fn closed(&mut self) -> ChannelClosed {
        loop {
            let message = self.next().await.expect("a last word");
            if message.kind == Kind::ChannelClosed {
                let closed = serde_json::from_slice(&message.payload).expect("content");
                assert!(within(self.wire.out.recv()).await.is_none(), "nothing comes behind it");
                return closed;
            }
        }
    }
}
