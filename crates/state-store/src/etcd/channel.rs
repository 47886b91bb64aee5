//! gRPC over HTTP/2, as much of it as etcd's API needs: one message out, messages back, a status at the end.
//!
//! One connection, shared by all calls and made anew when it breaks, to the next endpoint in turn. What matters to the
//! caller of a write is kept apart: a request that never left this process may be sent again, one that may have arrived may not.

use std::{
    convert::Infallible,
    error::Error,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::stream::{self, StreamExt};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request,
    body::{Frame, Incoming},
    client::conn::http2::{Builder, SendRequest},
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message;
use tokio::{net::TcpStream, sync::Mutex, time::timeout};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one message may take to be answered: longer than etcd itself takes to give up (about 7 seconds).
const CALL_TIMEOUT: Duration = Duration::from_secs(12);

/// Pings that notice a peer that vanished without a word, which a watch would otherwise wait for forever.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What etcd may send ahead. The first also sets how many small frames may wait to be read before the HTTP/2 library takes
/// them for an attack: its default is a few hundred changes.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const STREAM_WINDOW_BYTES: u32 = 8 << 20;

/// The largest answer that is accepted: a page of 5,000 records of 64 KiB does not reach it.
const MESSAGE_BYTES: usize = 512 << 20;

/// Bytes of flag and length in front of each message.
const PREFIX_BYTES: usize = 5;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Why a call was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The request was not sent.
    #[error("no etcd endpoint answers: {0}")]
    NotSent(Box<dyn Error + Send + Sync>),
    /// The request was sent, its outcome is not known.
    #[error("the connection to etcd broke: {0}")]
    Broken(Box<dyn Error + Send + Sync>),
    #[error("etcd answered: {message} (status {code})")]
    Status { code: u32, message: String },
}

pub(super) struct Channel {
    /// `host:port`.
    endpoints: Vec<String>,
    /// The endpoint to try next.
    turn: AtomicUsize,
    connection: Mutex<Option<SendRequest<Body>>>,
}

impl Channel {
    pub fn new(endpoints: Vec<String>) -> Channel {
        Channel { endpoints, turn: AtomicUsize::new(0), connection: Mutex::default() }
    }

    /// Sends one message and waits for the one that answers it.
    pub async fn call<Q: Message, A: Message + Default>(
        &self,
        method: &'static str,
        request: &Q,
    ) -> Result<A, CallError> {
        let answered = async {
            let body = Full::new(framed(request)).boxed_unsync();
            let mut answers = self.send(method, body).await?;
            let answer = answers.next().await?;
            answer.ok_or_else(|| CallError::Broken("the answer is empty".into()))
        };
        let late = || CallError::Broken(format!("no answer within {} s", CALL_TIMEOUT.as_secs()).into());
        timeout(CALL_TIMEOUT, answered).await.unwrap_or_else(|_| Err(late()))
    }

    /// Sends one message and leaves the call open for answers.
    pub async fn subscribe<Q: Message>(
        &self,
        method: &'static str,
        request: &Q,
    ) -> Result<Answers, CallError> {
        let first = stream::iter([Ok::<_, Infallible>(Frame::data(framed(request)))]);
        let body = StreamBody::new(first.chain(stream::pending()));
        self.send(method, body.boxed_unsync()).await
    }

    async fn send(&self, method: &'static str, body: Body) -> Result<Answers, CallError> {
        let mut request = Request::post(format!("http://etcd/{method}"))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .body(body)
            .map_err(|error| CallError::NotSent(error.into()))?;
        // A connection that turns out to be closed hands the request back: try each endpoint once more.
        for _ in 0..=self.endpoints.len() {
            let mut connection = self.connect().await?;
            match connection.try_send_request(request).await {
                Ok(response) => return Answers::begin(response),
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(CallError::Broken(refused.into_error().into())),
                },
            }
        }
        Err(CallError::NotSent("the connection is closed as soon as it is made".into()))
    }

    /// The connection, made anew if there is none that works.
    async fn connect(&self) -> Result<SendRequest<Body>, CallError> {
        let mut current = self.connection.lock().await;
        if let Some(connection) = current.as_mut()
            && connection.ready().await.is_ok()
        {
            return Ok(connection.clone());
        }
        *current = None;
        let mut failure: Box<dyn Error + Send + Sync> = "no endpoint is configured".into();
        for _ in 0..self.endpoints.len() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.endpoints.len();
            let endpoint = &self.endpoints[turn];
            match timeout(CONNECT_TIMEOUT, open(endpoint)).await {
                Ok(Ok(connection)) => return Ok(current.insert(connection).clone()),
                Ok(Err(error)) => failure = format!("{endpoint}: {error}").into(),
                Err(_) => failure = format!("{endpoint} does not answer").into(),
            }
        }
        Err(CallError::NotSent(failure))
    }
}

async fn open(endpoint: &str) -> Result<SendRequest<Body>, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(endpoint).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to etcd ended");
        }
    });
    Ok(sender)
}

/// Messages that come back from one call.
pub(super) struct Answers {
    body: Incoming,
    buffer: BytesMut,
}

impl Answers {
    fn begin(response: hyper::Response<Incoming>) -> Result<Answers, CallError> {
        // An error that comes before any message has its status among the headers.
        status(response.headers())?;
        if !response.status().is_success() {
            let message = format!("HTTP status {}", response.status());
            return Err(CallError::Status { code: u32::from(response.status().as_u16()), message });
        }
        Ok(Answers { body: response.into_body(), buffer: BytesMut::new() })
    }

    /// The next message; none when the call ended well. May be dropped and called again without losing any.
    pub async fn next<A: Message + Default>(&mut self) -> Result<Option<A>, CallError> {
        loop {
            if let Some(message) = self.take_message()? {
                return A::decode(message).map(Some).map_err(|error| CallError::Broken(error.into()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(CallError::Broken(error.into())),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => {
                        if let Some(trailers) = frame.trailers_ref() {
                            status(trailers)?;
                        }
                    }
                },
            }
        }
    }

    fn take_message(&mut self) -> Result<Option<Bytes>, CallError> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let [compressed, length @ ..] = *prefix;
        let length = u32::from_be_bytes(length) as usize;
        if compressed != 0 || length > MESSAGE_BYTES {
            return Err(CallError::Broken(
                format!("an answer of {length} bytes, or a compressed one").into(),
            ));
        }
        if self.buffer.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

/// The status that headers or trailers carry, when it is an error.
fn status(headers: &HeaderMap) -> Result<(), CallError> {
    const STATUS: HeaderName = HeaderName::from_static("grpc-status");
    const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
    let text = |name| headers.get(name).map(HeaderValue::as_bytes).map(String::from_utf8_lossy);
    match text(STATUS).as_deref() {
        None | Some("0") => Ok(()),
        Some(code) => Err(CallError::Status {
            code: code.parse().unwrap_or(UNKNOWN_STATUS),
            message: text(MESSAGE).unwrap_or_default().into_owned(),
        }),
    }
}

/// gRPC's code for errors without one.
const UNKNOWN_STATUS: u32 = 2;

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
    bytes.put_u8(0);
    // A request is limited to far less than 4 GiB before it gets here.
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    message.encode_raw(&mut bytes);
    bytes.freeze()
}
