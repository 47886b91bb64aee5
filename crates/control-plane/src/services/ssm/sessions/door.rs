//! Where the clients of sessions come in: `/v1/data-channel/SESSION`, a websocket.
//!
//! The first message is text with the session's token; whoever has it may speak for the session, as on AWS. A signature, which the plugin
//! sends along where it has credentials, is not looked at. What is no websocket, or names no open session, is refused before that.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    board::{self, Sessions, Wire},
    wire::{MOST_BYTES, OpenDataChannel},
};
use crate::{
    agents::door::handshake,
    gateway::{
        ApiError,
        body::{Body, full},
    },
    services::Services,
};

/// Before the session's id.
const PREFIX: &str = "/v1/data-channel/";
/// How long a client may take to say its token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a frame may take to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to read the end of a session, and to close its side.
const LINGER_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that says nothing of its own for so long is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(60);

/// The session that a path leads to.
pub fn session_of(path: &str) -> Option<&str> {
    path.strip_prefix(PREFIX).filter(|id| !id.is_empty() && !id.contains('/'))
}

/// The path of a session, with what its clients ask for.
pub fn path_of(session: &str) -> String {
    format!("{PREFIX}{session}?role=publish_subscribe")
}

/// Answers the handshake and goes on with the connection behind it.
///
/// # Errors
/// When the request is no websocket's, or there is no such session.
pub fn upgrade(
    services: &Arc<Services>,
    request: &mut Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let refuse = |code, status, message: &str| ApiError::undeclared(code, status, message);
    let accept = handshake(request.method(), request.headers())
        .ok_or_else(|| refuse("BadRequestException", 400, "A websocket's handshake is expected here."))?;
    let id = session_of(request.uri().path()).unwrap_or_default().to_owned();
    if !services.sessions.has(&id) {
        return Err(refuse("DoesNotExistException", 404, "There is no such session."));
    }
    let upgraded = hyper::upgrade::on(request);
    let sessions = services.sessions.clone();
    tokio::spawn(async move {
        let stream = match upgraded.await {
            Ok(stream) => TokioIo::new(stream),
            Err(error) => return tracing::debug!(%error, "a session's connection was not upgraded"),
        };
        let mut limits = WebSocketConfig::default();
        limits.max_message_size = Some(MOST_BYTES);
        limits.max_frame_size = Some(MOST_BYTES);
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(limits)).await;
        serve(&sessions, &id, socket).await;
    });
    let mut answer = Response::new(full(""));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, http::HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, http::HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(answer)
}

/// Lets a client in that has the token, and moves its bytes until either side ends.
pub(super) async fn serve<S>(sessions: &Sessions, id: &str, mut socket: WebSocketStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let token = tokio::time::timeout(TOKEN_TIMEOUT, token(&mut socket)).await.ok().flatten();
    let admitted = token.and_then(|token| sessions.admit(id, &token));
    let (line, wire) = board::line();
    let taken = match admitted {
        Some(session) => session.send(line).await.is_ok(),
        None => false,
    };
    if !taken {
        let reason = "The token is not this session's.".into();
        let frame = CloseFrame { code: CloseCode::Policy, reason };
        let _ = tokio::time::timeout(WRITE_TIMEOUT, socket.close(Some(frame))).await;
        return;
    }
    carry(socket, wire).await;
}

/// The token in the first message.
async fn token<S>(socket: &mut WebSocketStream<S>) -> Option<String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let bytes = match socket.next().await?.ok()? {
            Message::Text(text) => text.as_bytes().to_vec(),
            Message::Binary(bytes) => bytes.to_vec(),
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) | Message::Frame(_) => return None,
        };
        return serde_json::from_slice::<OpenDataChannel>(&bytes).ok().map(|open| open.token_value);
    }
}

async fn carry<S>(socket: WebSocketStream<S>, wire: Wire)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut sink, mut stream) = socket.split();
    let Wire { mut out, incoming } = wire;
    let reading = async {
        while let Some(Ok(frame)) = stream.next().await {
            let bytes = match frame {
                Message::Binary(bytes) => bytes.to_vec(),
                Message::Text(text) => text.as_bytes().to_vec(),
                Message::Close(_) => return,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            // Of a session that is over nobody needs it. It is read all the same: a socket that is closed with something unread takes
            // back what was written and not read yet, the last of the output among it.
            let _ = incoming.send(bytes).await;
        }
    };
    let writing = async {
        loop {
            let frame = match tokio::time::timeout(PING_INTERVAL, out.recv()).await {
                Ok(Some(bytes)) => Message::binary(bytes),
                Ok(None) => break,
                Err(_) => Message::Ping(Vec::new().into()),
            };
            match tokio::time::timeout(WRITE_TIMEOUT, sink.send(frame)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
        // The other side may have gone without waiting for it.
        let _ = tokio::time::timeout(WRITE_TIMEOUT, sink.close()).await;
    };
    tokio::pin!(reading);
    tokio::select! {
        () = &mut reading => {}
        () = writing => {
            let _ = tokio::time::timeout(LINGER_TIMEOUT, reading).await;
        }
    }
}
