//! Where agents come in: the websocket's handshake, and what the door that is for agents alone offers.
//!
//! The path is `/ws` for both connections, as the published agent has it; what it asks for tells them apart: `clusterArn` and
//! `containerInstanceArn` for ACS, `cluster` and `containerInstance` for telemetry. The request is signed like any other, and its signer
//! must belong to the instance's account and be allowed `ecs:Poll` or `ecs:StartTelemetrySession` on it.
//!
//! The agents' door (`--agent-listen`) may be reached from other machines. It has TLS unless the operator takes it away or it is on loopback:
//! without it, what passes can be read and altered by whoever is on the way, and it belongs on a network that is trusted. To keep small
//! what a stranger can try there, it answers what an agent asks and nothing else, always with a signature of an issued key (or a
//! registry's token); no request body beyond an agent's.

use std::{net::SocketAddr, sync::Arc};

use agent_protocol::handshake::accept_key;
use aws_shapes_ecs as ecs;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use request_auth::Head;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{Role, WebSocketConfig},
};
use vocabulary::{Ids, Timestamp};

use super::{InstanceKey, session, telemetry};
use crate::{
    authorization,
    gateway::{
        ApiError, Call, Context, Origin, OverTls, Trust,
        body::{Body, full},
        credentials,
    },
    services::{Services, ecs::records::ContainerInstance, iam::instance_roles},
};

/// Where agents connect.
pub const PATH: &str = "/ws";

/// Operations of ECS that an agent calls.
const OPERATIONS: [&str; 8] = [
    "DiscoverPollEndpoint",
    "RegisterContainerInstance",
    "DeregisterContainerInstance",
    "UpdateContainerInstancesState",
    "PutAttributes",
    "SubmitTaskStateChange",
    "SubmitContainerStateChange",
    "SubmitAttachmentStateChanges",
];

/// Whether the agents' door offers an operation. A cluster that is missing is the operator's to make.
pub fn offers(service: &str, operation: &str) -> bool {
    service == "ECS" && OPERATIONS.contains(&operation)
}

/// The largest message and the most that may wait to be written, on either side's account.
pub(super) fn limits() -> WebSocketConfig {
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(agent_protocol::envelope::MAX_MESSAGE_BYTES);
    config.max_frame_size = Some(agent_protocol::envelope::MAX_MESSAGE_BYTES);
    config.max_write_buffer_size = 2 * agent_protocol::envelope::MAX_MESSAGE_BYTES;
    config
}

enum Purpose {
    Messages,
    Telemetry,
}

/// Answers the handshake and goes on with the connection behind it.
///
/// # Errors
/// When the request is no handshake, is not signed as it must be, or names no instance of the signer's.
pub fn upgrade(
    services: &Arc<Services>,
    trust: Trust,
    request: &mut Request<Incoming>,
    now: Timestamp,
) -> Result<Response<Body>, ApiError> {
    let refuse = |status, message: &str| ApiError::undeclared("InvalidParameterException", status, message);
    let accept = handshake(request.method(), request.headers())
        .ok_or_else(|| refuse(400, "A websocket's handshake is expected here."))?;
    let query = request.uri().query().unwrap_or_default().to_owned();
    let head = Head { method: request.method(), path: PATH, query: &query, headers: request.headers() };
    let caller = credentials::establish(services, trust, Some(ecs::SERVICE), &head, b"", now)?;
    let of_query = |name: &str| {
        query.split('&').find_map(|pair| Some(decode(pair.strip_prefix(name)?.strip_prefix('=')?)))
    };
    let (purpose, arn) = match (of_query("containerInstanceArn"), of_query("containerInstance")) {
        (Some(arn), _) => (Purpose::Messages, arn),
        (None, Some(arn)) => (Purpose::Telemetry, arn),
        (None, None) => return Err(refuse(400, "The container instance is not named.")),
    };
    let key = InstanceKey::of_arn(&arn).ok_or_else(|| refuse(400, "That is no container instance's ARN."))?;
    if key.scope.account != caller.principal.account {
        let message = format!("{} is not authorized to poll for {arn}", caller.principal.arn);
        return Err(ApiError::undeclared("AccessDeniedException", 403, message));
    }
    let action = match purpose {
        Purpose::Messages => "ecs:Poll",
        Purpose::Telemetry => "ecs:StartTelemetrySession",
    };
    let address = request.extensions().get().map(SocketAddr::ip);
    let secure = request.extensions().get::<OverTls>().is_some();
    let call = Call {
        services: Arc::clone(services),
        context: Arc::new(Context {
            scope: key.scope.clone(),
            principal: caller.principal,
            request_id: services.ids().uuid(),
            now,
            host: services.settings.public_name.clone(),
            origin: Origin { address, secure, ..Origin::default() },
        }),
    };
    authorization::authorize_action(&call, ecs::SERVICE, action, &key.arn())?;
    let registered =
        services.state.read(|view| view.get::<ContainerInstance>(&key.scope, &key.record()).is_some());
    if !registered {
        return Err(refuse(400, "The container instance is not registered."));
    }
    let profile = of_query("instanceProfile").filter(|name| !name.is_empty());
    if let Some(profile) = &profile {
        instance_roles::may_pass(&call, profile)?;
    }
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let origin = format!("{}://{host}", if secure { "https" } else { "http" });
    let upgraded = hyper::upgrade::on(request);
    let services = Arc::clone(services);
    tokio::spawn(async move {
        let stream = match upgraded.await {
            Ok(stream) => TokioIo::new(stream),
            Err(error) => return tracing::debug!(%error, "an agent's connection was not upgraded"),
        };
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(limits())).await;
        match purpose {
            Purpose::Messages => session::serve(services, key, socket, origin, profile).await,
            Purpose::Telemetry => telemetry::serve(services, key, socket).await,
        }
    });
    let mut answer = Response::new(full(""));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, http::HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, http::HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(answer)
}

/// What a handshake of RFC 6455 is answered; `None` when it is none.
pub(crate) fn handshake(method: &Method, headers: &HeaderMap) -> Option<http::HeaderValue> {
    let has = |name, wanted: &str| {
        let value = headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        value.is_some_and(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case(wanted)))
    };
    let fits = method == Method::GET
        && has(header::CONNECTION, "upgrade")
        && has(header::UPGRADE, "websocket")
        && has(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| fits && key.len() == 24)?;
    http::HeaderValue::from_str(&accept_key(key.as_bytes())).ok()
}

/// Undoes percent-encoding.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let nibble = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        match (bytes[at], nibble(at + 1), nibble(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 3;
            }
            (byte, _, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_are_known_by_their_headers() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, http::HeaderValue::from_static(value));
            }
            handshake(&Method::GET, &headers)
        };
        let whole = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            // The example of RFC 6455.
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert_eq!(of(&whole).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for missing in 0..whole.len() {
            let mut part = whole.to_vec();
            part.remove(missing);
            assert_eq!(of(&part), None, "without {}", whole[missing].0);
        }
        assert_eq!(handshake(&Method::POST, &HeaderMap::new()), None);
    }

    #[test]
    fn the_agents_door_offers_what_agents_ask() {
        assert!(offers("ECS", "RegisterContainerInstance"));
        for (service, operation) in [("ECS", "RunTask"), ("IAM", "ListUsers"), ("ECS", "DescribeTasks")] {
            assert!(!offers(service, operation), "{service} {operation}");
        }
        assert_eq!(decode("arn%3Aaws%3aecs%2"), "arn:aws:ecs%2");
    }
}
