//! Signed requests: JSON calls of ECS, and the handshake of a websocket.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use agent_protocol::{
    ControlError,
    envelope::MAX_MESSAGE_BYTES,
    handshake::{accept_key, request_key},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, upgrade::Upgraded};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use request_auth::{Credentials, Unsigned, sign_request};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::Value;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{Role, WebSocketConfig},
};
use vocabulary::Timestamp;

use super::RemoteConfig;

/// How long a request may take: a control plane that does not answer is tried again.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Answers are small; one that is not is a mistake.
const LARGEST_ANSWER: usize = 1 << 20;

/// A client's end of a websocket.
pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A service of the JSON protocol: what its signatures name, and what stands before an operation's name.
#[derive(Debug, Clone, Copy)]
pub struct JsonService {
    pub name: &'static str,
    pub target: &'static str,
}

const ECS: JsonService = JsonService { name: "ecs", target: "AmazonEC2ContainerServiceV20141113" };

/// Over TLS or not, as the endpoint says.
enum Transport {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Tls(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

/// A control plane's APIs, called with one key.
pub struct Api {
    transport: Transport,
    endpoint: Uri,
    region: String,
    credentials: Credentials,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Api {
    pub(super) fn new(config: &RemoteConfig) -> Result<Api, ControlError> {
        let (region, credentials) = (config.region.clone(), config.credentials.clone());
        Api::over(&config.endpoint, region, credentials, config.authority.as_deref())
    }

    /// The APIs at an endpoint, `http://HOST:PORT` or `https://…`. `authority`: a certificate in PEM to trust beside the machine's own.
    ///
    /// # Errors
    /// When the endpoint or the certificate cannot be used.
    pub fn over(
        endpoint: &str,
        region: String,
        credentials: Credentials,
        authority: Option<&str>,
    ) -> Result<Api, ControlError> {
        let endpoint = parse(endpoint)?;
        let transport = if endpoint.scheme_str() == Some("https") {
            let trusted = trusted(authority);
            let trusted = trusted
                .map_err(|error| refused("InvalidEndpoint", format!("no certificates to trust: {error}")))?;
            let connector =
                HttpsConnectorBuilder::new().with_tls_config(trusted).https_only().enable_http1().build();
            Transport::Tls(Client::builder(TokioExecutor::new()).build(connector))
        } else {
            Transport::Plain(Client::builder(TokioExecutor::new()).build_http())
        };
        Ok(Api { transport, endpoint, region, credentials })
    }

    /// Calls an operation of ECS.
    pub(super) async fn call(&self, operation: &str, input: &Value) -> Result<Value, ControlError> {
        self.call_of(ECS, operation, input).await
    }

    /// Calls an operation of a service.
    ///
    /// # Errors
    /// [`ControlError::Refused`] with the service's code and message; [`ControlError::Unavailable`] when there is no answer.
    pub async fn call_of(
        &self,
        service: JsonService,
        operation: &str,
        input: &Value,
    ) -> Result<Value, ControlError> {
        let body = Bytes::from(input.to_string());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        let target = format!("{}.{operation}", service.target);
        headers.insert("x-amz-target", HeaderValue::from_str(&target).map_err(unusable)?);
        let request = self.signed(service.name, Method::POST, &self.endpoint, "/", "", headers, body)?;
        let answer = tokio::time::timeout(TIMEOUT, async {
            let (parts, body) = self.send(request).await?.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await;
            Ok((parts.status, body.map_err(|error| unavailable(error.as_ref()))?.to_bytes()))
        });
        let (status, body) = answer.await.unwrap_or_else(|error| Err(unavailable(&error)))?;
        let output: Value = serde_json::from_slice(&body).unwrap_or_default();
        match status {
            StatusCode::OK => Ok(output),
            status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                Err(ControlError::Unavailable(format!("{operation}: {status}")))
            }
            status => {
                let member = |names: [&str; 2]| names.iter().find_map(|name| output.get(*name)?.as_str());
                let code = member(["__type", "code"]).unwrap_or(status.as_str());
                let code = code.rsplit(['#', ':']).next().unwrap_or(code);
                Err(refused(code, member(["message", "Message"]).unwrap_or_default()))
            }
        }
    }

    /// Opens a websocket at the path `ws` below `endpoint`.
    pub(super) async fn open_socket(
        &self,
        endpoint: &str,
        query: &[(&'static str, String)],
    ) -> Result<Socket, ControlError> {
        let endpoint = parse(endpoint)?;
        let path = format!("{}/ws", endpoint.path().trim_end_matches('/'));
        let pairs: Vec<String> =
            query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        self.open_socket_at(ECS.name, &endpoint, &path, &pairs.join("&"), MAX_MESSAGE_BYTES).await
    }

    /// Opens a websocket at `url`, `ws://HOST:PORT/PATH?QUERY` or `wss://…`, for messages of at most `most_bytes`.
    ///
    /// # Errors
    /// When it is refused, or is none.
    pub async fn open_socket_of(
        &self,
        service: &'static str,
        url: &str,
        most_bytes: usize,
    ) -> Result<Socket, ControlError> {
        // The scheme is the one of the endpoint: what a control plane behind a proxy says of itself must not take the TLS away.
        let (_, rest) = url.split_once("://").ok_or_else(|| unusable("it is no URL"))?;
        let scheme = self.endpoint.scheme_str().unwrap_or("http");
        let url: Uri = format!("{scheme}://{rest}").parse().map_err(unusable)?;
        self.open_socket_at(service, &url, url.path(), url.query().unwrap_or_default(), most_bytes).await
    }

    async fn open_socket_at(
        &self,
        service: &'static str,
        endpoint: &Uri,
        path: &str,
        query: &str,
        most_bytes: usize,
    ) -> Result<Socket, ControlError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(unusable)?;
        let key = request_key(random);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_str(&key).map_err(unusable)?);
        let request = self.signed(service, Method::GET, endpoint, path, query, headers, Bytes::new())?;
        let opened = tokio::time::timeout(TIMEOUT, async {
            let answer = self.send(request).await?;
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                let status = answer.status();
                let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
                let body = body.map(|body| body.to_bytes()).unwrap_or_default();
                let text = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
                return Err(ControlError::Unavailable(format!("the websocket was refused: {status} {text}")));
            }
            let accepted = answer.headers().get(header::SEC_WEBSOCKET_ACCEPT);
            if accepted.is_none_or(|accepted| accepted.as_bytes() != accept_key(key.as_bytes()).as_bytes()) {
                return Err(ControlError::Unavailable("that is no websocket".to_owned()));
            }
            hyper::upgrade::on(answer).await.map_err(|error| unavailable(&error))
        });
        let stream = opened.await.unwrap_or_else(|error| Err(unavailable(&error)))?;
        let mut limits = WebSocketConfig::default();
        limits.max_message_size = Some(most_bytes);
        limits.max_frame_size = Some(most_bytes);
        limits.max_write_buffer_size = limits.write_buffer_size + 2 * most_bytes;
        Ok(WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, Some(limits)).await)
    }

    /// The same scheme as this agent was told: what a control plane behind a proxy says of itself must not take the TLS away.
    pub(super) fn as_told(&self, endpoint: &str) -> String {
        match (self.endpoint.scheme_str(), endpoint.split_once("://")) {
            (Some("https"), Some((_, rest))) => format!("https://{rest}"),
            _ => endpoint.to_owned(),
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ControlError> {
        let answer = match &self.transport {
            Transport::Plain(client) => client.request(request).await,
            Transport::Tls(client) => client.request(request).await,
        };
        answer.map_err(|error| unavailable(&error))
    }

    #[expect(clippy::too_many_arguments, reason = "each is one part of the request")]
    fn signed(
        &self,
        service: &str,
        method: Method,
        endpoint: &Uri,
        path: &str,
        query: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, ControlError> {
        let authority = endpoint.authority().ok_or_else(|| unusable("it names no host"))?;
        headers.insert(header::HOST, HeaderValue::from_str(authority.as_str()).map_err(unusable)?);
        let unsigned = Unsigned { method: &method, path, query, body: &body, region: &self.region, service };
        let now = Timestamp::from(SystemTime::now());
        sign_request(&unsigned, &mut headers, &self.credentials, now).map_err(unusable)?;
        let question = if query.is_empty() { String::new() } else { format!("?{query}") };
        let uri = format!("{}://{authority}{path}{question}", endpoint.scheme_str().unwrap_or("http"));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().map_err(unusable)?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// The machine's certificates and the platform's.
fn trusted(authority: Option<&str>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in CertificateDer::pem_slice_iter(authority.unwrap_or_default().as_bytes()) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn parse(endpoint: &str) -> Result<Uri, ControlError> {
    let uri: Uri = endpoint.parse().map_err(unusable)?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(_)) => Ok(uri),
        _ => Err(unusable("give http://HOST:PORT or https://HOST:PORT")),
    }
}

fn unusable(reason: impl std::fmt::Display) -> ControlError {
    refused("InvalidEndpoint", format!("the control plane's address cannot be used: {reason}"))
}

fn refused(code: &str, message: impl Into<String>) -> ControlError {
    ControlError::Refused { code: code.to_owned(), message: message.into() }
}

/// With what lies beneath it, in one line.
fn unavailable(error: &(dyn std::error::Error + 'static)) -> ControlError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    ControlError::Unavailable(text)
}

/// Percent-encodes all but the unreserved characters.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_checked_and_names_encoded() {
        for wrong in ["127.0.0.1:4566", "ftp://host", "http://", "nonsense with blanks"] {
            assert!(matches!(parse(wrong), Err(ControlError::Refused { .. })), "{wrong}");
        }
        assert!(parse("http://127.0.0.1:4566/").is_ok());
        assert_eq!(encode("arn:aws/x y~"), "arn%3Aaws%2Fx%20y~");
    }
}
