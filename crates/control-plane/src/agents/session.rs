//! An agent's ACS connection: what it is told, what it acknowledges, what it calls.
//!
//! It begins with a manifest of the tasks that the agent has reported before, then everything is dispatched as to the node of this
//! machine. A payload that is not acknowledged is said again. A heartbeat goes out about once a minute; an agent from which nothing came for three
//! of them, or to which nothing can be written for half a minute, is let go: its tasks stay, and it connects again.
//!
//! Reading and writing go on apart, so that two sides with much to say do not wait for each other.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use agent_protocol::{AcsMessage, AgentMessage, DecodeError, acs, call, state::TaskStatus};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use vocabulary::Ids;

use super::{
    AgentLink, InstanceKey, calls, connected,
    dispatch::{Node, dispatch},
};
use crate::{
    gateway::ApiError,
    services::{
        Services,
        ecs::{
            records::{DesiredStatus, Task},
            tasks::report,
        },
    },
};

/// About a minute, as ECS has it; the jitter keeps a fleet from answering at once.
const HEARTBEAT: Duration = Duration::from_secs(60);
const HEARTBEAT_JITTER_SECONDS: u64 = 15;
/// An agent answers heartbeats, so that silence for this long is its end.
const SILENCE: Duration = Duration::from_secs(200);
/// How long a message may take to be written: a slow agent must not hold what waits behind it for ever.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// A payload that was not acknowledged for this long is sent again.
const RESEND_AFTER: Duration = Duration::from_secs(60);
/// Messages that may wait to be written. All of them are derived anew for the next connection.
const QUEUE: usize = 256;
/// Payloads that may wait for their acknowledgement before further ones wait to be sent.
const MOST_UNACKNOWLEDGED: usize = 1024;
/// Calls of an agent that are carried out at once; more wait in its own queue.
const MOST_CALLS: usize = 64;

/// Why a connection ended, for the log.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("it closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(#[from] tokio_tungstenite::tungstenite::Error),
    #[error("nothing was heard for {} s", SILENCE.as_secs())]
    Silent,
    #[error("it does not take what is written")]
    Slow,
    #[error("what it says cannot be read: {0}")]
    Nonsense(#[from] DecodeError),
    #[error("another connection has taken its place, or all are to end")]
    Displaced,
    #[error("the tables are no longer followed")]
    Tables,
    #[error("the container instance is not registered any more")]
    Unregistered,
    #[error("that it is connected could not be recorded: {0}")]
    Store(#[from] ApiError),
}

/// Serves a connection to its end. `origin`: how the agent reaches this door. `profile`: the instance profile that the machine has,
/// which whoever connected may give it.
pub(crate) async fn serve<S>(
    services: Arc<Services>,
    key: InstanceKey,
    socket: WebSocketStream<S>,
    origin: String,
    profile: Option<String>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (place, displaced) = services.agents.enter(&key);
    let (sink, stream) = socket.split();
    let (out, queue) = mpsc::channel(QUEUE);
    let mut writer = tokio::spawn(write(sink, queue));
    let mut session = Session {
        services: Arc::clone(&services),
        key: key.clone(),
        link: AgentLink::new(Arc::clone(&services)),
        origin,
        profile,
        out,
        unacknowledged: HashMap::new(),
        calls: JoinSet::new(),
    };
    let Err(end) = session.run(stream, displaced).await;
    tracing::info!(instance = key.arn(), %end, "an agent's connection ended");
    drop(session);
    drop(place);
    if let Err(error) = connected::record(&services, &key).await {
        tracing::error!(instance = key.arn(), %error, "that an agent is gone could not be recorded");
    }
    // What is in the queue is still written, for a while.
    if tokio::time::timeout(WRITE_TIMEOUT, &mut writer).await.is_err() {
        writer.abort();
    }
}

/// Writes what is to be said; ends, and with it the connection, when that takes too long.
async fn write<S>(mut sink: SplitSink<WebSocketStream<S>, Message>, mut queue: mpsc::Receiver<Vec<u8>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(frame) = queue.recv().await {
        // What the protocol encodes is JSON.
        let Ok(text) = String::from_utf8(frame) else { continue };
        match tokio::time::timeout(WRITE_TIMEOUT, sink.send(Message::text(text))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
    // The other side may have gone without waiting for it.
    let _ = tokio::time::timeout(WRITE_TIMEOUT, sink.close()).await;
}

struct Session {
    services: Arc<Services>,
    key: InstanceKey,
    link: AgentLink,
    origin: String,
    profile: Option<String>,
    out: mpsc::Sender<Vec<u8>>,
    /// By message id: what was sent, and when it is sent again.
    unacknowledged: HashMap<String, (AcsMessage, Instant)>,
    calls: JoinSet<call::Outcome>,
}

impl Session {
    async fn run<S>(
        &mut self,
        mut stream: SplitStream<WebSocketStream<S>>,
        mut displaced: oneshot::Receiver<()>,
    ) -> Result<Infallible, End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if !connected::record(&self.services, &self.key).await? {
            return Err(End::Unregistered);
        }
        tracing::info!(instance = self.key.arn(), "an agent is connected");
        let manifest = self.manifest();
        self.say(manifest).await?;
        let (sender, mut dispatched) = mpsc::channel(QUEUE);
        let node = Node::Instance(self.key.clone());
        // Ends with this connection.
        let mut dispatching = JoinSet::new();
        dispatching.spawn(dispatch(Arc::clone(&self.services), node, sender));
        let (words, mut spoken) = mpsc::channel(QUEUE);
        // Streams to the instance end with this connection too.
        let _joined = self.services.agents.streams.join(Some(self.key.clone()), words);
        let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, self.heartbeat_interval());
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        loop {
            tokio::select! {
                _ = &mut displaced => return Err(End::Displaced),
                message = dispatched.recv(), if self.unacknowledged.len() < MOST_UNACKNOWLEDGED => match message {
                    Some(message) => self.say(message).await?,
                    None => return Err(End::Tables),
                },
                Some(word) = spoken.recv() => self.say(word).await?,
                frame = stream.next(), if self.calls.len() < MOST_CALLS => {
                    heard_at = Instant::now();
                    self.hear(frame.ok_or(End::Closed)??).await?;
                }
                Some(outcome) = self.calls.join_next() => match outcome {
                    Ok(outcome) => self.say(AcsMessage::Outcome(outcome)).await?,
                    Err(error) => tracing::error!(%error, "a call of an agent ended without an answer"),
                },
                _ = heartbeat.tick() => {
                    if heard_at.elapsed() > SILENCE {
                        return Err(End::Silent);
                    }
                    let message_id = Some(self.services.ids().uuid());
                    self.say(AcsMessage::Heartbeat(acs::HeartbeatMessage { healthy: Some(true), message_id })).await?;
                    self.say_again().await?;
                }
            }
        }
    }

    fn heartbeat_interval(&self) -> Duration {
        let mut byte = [0];
        self.services.ids().fill(&mut byte);
        HEARTBEAT + Duration::from_secs(u64::from(byte[0]) % HEARTBEAT_JITTER_SECONDS)
    }

    async fn say(&mut self, mut message: AcsMessage) -> Result<(), End> {
        if let AcsMessage::Payload(payload) = &mut message {
            payload.container_instance_arn = Some(self.key.arn());
            if let Some(id) = payload.message_id.clone() {
                self.unacknowledged.insert(id, (message.clone(), Instant::now() + RESEND_AFTER));
            }
        }
        self.send(&message).await
    }

    async fn send(&self, message: &AcsMessage) -> Result<(), End> {
        match tokio::time::timeout(WRITE_TIMEOUT, self.out.send(message.encode())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Slow),
        }
    }

    async fn say_again(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (message, at) in self.unacknowledged.values_mut().filter(|(_, at)| *at <= now) {
            *at = now + RESEND_AFTER;
            due.push(message.clone());
        }
        for message in due {
            self.send(&message).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, frame: Message) -> Result<(), End> {
        let bytes = match &frame {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return Err(End::Closed),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(()),
        };
        match AgentMessage::decode(bytes) {
            Ok(AgentMessage::Ack(ack)) => self.acknowledged(ack.message_id),
            Ok(AgentMessage::Nack(nack)) => {
                tracing::warn!(instance = self.key.arn(), ?nack, "an agent refused a message");
                self.acknowledged(nack.message_id);
            }
            Ok(AgentMessage::HeartbeatAck(_) | AgentMessage::IamRoleCredentialsAck(_)) => {}
            Ok(AgentMessage::TaskStopVerification(question)) => {
                let answer = self.verify_stops(question);
                self.say(answer).await?;
            }
            Ok(AgentMessage::Call(call)) => {
                let caller = calls::Caller {
                    key: self.key.clone(),
                    origin: self.origin.clone(),
                    profile: self.profile.clone(),
                };
                let (link, services) = (self.link.clone(), Arc::clone(&self.services));
                self.calls.spawn(async move { calls::carry_out(&services, &link, &caller, *call).await });
            }
            Ok(AgentMessage::Stream(said)) => {
                self.services.agents.streams.heard(&Some(self.key.clone()), said);
            }
            // A later version's.
            Err(DecodeError::UnknownType(kind)) => {
                tracing::debug!(instance = self.key.arn(), kind, "an agent says what is not known here");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn acknowledged(&mut self, message_id: Option<String>) {
        self.unacknowledged.remove(&message_id.unwrap_or_default());
    }

    /// Every task that the agent has reported before and that has not stopped: what of it is not there any more, it says.
    fn manifest(&self) -> AcsMessage {
        let tasks: Vec<acs::TaskIdentifier> = self.services.state.read(|view| {
            view.scan_prefix::<Task>(&self.key.scope, &format!("{}/", self.key.cluster))
                .filter(|(_, task)| task.container_instance.as_deref() == Some(self.key.id.as_str()))
                .filter(|(_, task)| task.state.sequence > 0 && task.state.last_status != TaskStatus::Stopped)
                .map(|(_, task)| acs::TaskIdentifier {
                    task_arn: Some(task.arn(&self.key.scope)),
                    task_cluster_arn: Some(self.key.cluster_arn()),
                    desired_status: Some(task.desired_status.as_str().to_owned()),
                })
                .collect()
        });
        AcsMessage::TaskManifest(acs::TaskManifestMessage {
            container_instance_arn: Some(self.key.arn()),
            cluster_arn: Some(self.key.cluster_arn()),
            tasks: Some(tasks),
            generated_at: Some(self.services.now().as_millis()),
            message_id: Some(self.services.ids().uuid()),
            timeline: None,
        })
    }

    /// Which of the tasks that the agent asks about are to end: all but those that shall run there.
    fn verify_stops(&self, question: acs::TaskStopVerificationMessage) -> AcsMessage {
        let shall_run = |arn: &str| {
            let (scope, key) = report::own_task(arn)?;
            let task = self.services.state.read(|view| view.get::<Task>(&scope, &key))?;
            let here = scope == self.key.scope
                && task.cluster == self.key.cluster
                && task.container_instance.as_deref() == Some(self.key.id.as_str());
            (here && task.desired_status == DesiredStatus::Running).then_some(())
        };
        let candidates = question.stop_candidates.unwrap_or_default();
        let stop = candidates
            .into_iter()
            .filter(|task| shall_run(task.task_arn.as_deref().unwrap_or_default()).is_none())
            .collect();
        AcsMessage::TaskStopVerificationAck(acs::TaskStopVerificationAck {
            generated_at: Some(self.services.now().as_millis()),
            message_id: question.message_id,
            stop_tasks: Some(stop),
        })
    }
}
