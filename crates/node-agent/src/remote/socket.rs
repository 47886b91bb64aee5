//! One websocket connection, from its beginning to its end.

use std::time::Duration;

use agent_protocol::{AcsMessage, DecodeError};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::{api::Socket, link::RemoteLink, telemetry::Telemetry};

/// The control plane sends a heartbeat about every minute; one that is silent for longer is gone.
const SILENCE: Duration = Duration::from_secs(200);
/// Frames that may wait to be written; callers wait beyond it.
const QUEUE: usize = 256;
/// How long a frame may take to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until the connection ends or nobody wants the messages any more.
pub(super) async fn serve(
    socket: Socket,
    link: &RemoteLink,
    messages: &mpsc::Sender<AcsMessage>,
    telemetry: Telemetry,
) {
    let (sink, mut stream) = socket.split();
    let (writer, queue) = mpsc::channel(QUEUE);
    link.attach(writer);
    // Both end with this connection, also when this is dropped.
    let _attached = Attached(link);
    let mut beside = tokio::task::JoinSet::new();
    beside.spawn(telemetry.publish(link.metrics()));
    let reading = async {
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE, stream.next()).await {
            let bytes = match &frame {
                Message::Text(text) => text.as_bytes(),
                Message::Binary(bytes) => bytes,
                Message::Close(_) => return,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            match AcsMessage::decode(bytes) {
                Ok(AcsMessage::Outcome(outcome)) => link.answered(outcome),
                Ok(message) => {
                    if messages.send(message).await.is_err() {
                        return;
                    }
                }
                Err(DecodeError::UnknownType(kind)) => {
                    tracing::debug!(kind, "the control plane says what is not known here");
                }
                Err(error) => return tracing::warn!(%error, "what the control plane says cannot be read"),
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = write(sink, queue) => tracing::debug!("the control plane does not take what is written"),
    }
}

struct Attached<'a>(&'a RemoteLink);

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.0.detach();
    }
}

async fn write(mut sink: SplitSink<Socket, Message>, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = queue.recv().await {
        // What the protocol encodes is JSON.
        let Ok(text) = String::from_utf8(frame) else { continue };
        match tokio::time::timeout(WRITE_TIMEOUT, sink.send(Message::text(text))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
