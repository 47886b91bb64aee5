//! Load balancers by name at the front door: a request whose `Host` is `NAME-ID.REGION.elb.localhost` goes to that balancer's
//! HTTP listener, and what comes back is passed on as it comes. Who speaks TLS is passed on to its HTTPS listener ([`encrypted`]).
//!
//! Browsers and most resolvers take every name under `localhost` for this machine (RFC 6761 §6.3), so a balancer's DNS name works
//! as it is with the front door's port behind it. It is a convenience of the operator's door: the request reaches the balancer from the
//! host's own address and is subject to its security groups like any other. Tasks have the name server instead, and no way
//! through here, which would lead around their own groups.
//!
//! Names of balancers never reach the API, known or not: a page that a balancer serves must not speak for the user.

pub(super) mod encrypted;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use state_store::View;
use vocabulary::Scope;

use super::body::{Body, full};
use crate::services::{
    ec2::records::NetworkInterface,
    ecs::{express, ingress},
    elb::records as elb,
    elbv2::records::{Listener, LoadBalancer, Node, Protocol},
};

/// The domains of load balancers' names, and of the endpoints of express services, which are rules of a load balancer.
const DOMAINS: [&str; 2] = [".elb.localhost", express::DOMAIN];
/// A balancer is on this machine: it answers at once, or its security groups keep us out.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whether a host's name, in lower case, belongs to a load balancer.
pub(super) fn is_name(host: &str) -> bool {
    DOMAINS.iter().any(|domain| host.ends_with(domain))
}

/// The balancer's name that a request is for, in lower case, without its port.
pub(super) fn name_of<B>(request: &Request<B>) -> Option<String> {
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).or(authority)?;
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).trim_end_matches('.');
    let host = host.to_ascii_lowercase();
    is_name(&host).then_some(host)
}

/// Where a balancer's name leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Listener(SocketAddr),
    /// There is no balancer of this name.
    Unknown,
    /// It has no listener that speaks plain HTTP, or several and none of them on port 80.
    NoListener,
}

/// Looks a name up: the listener on port 80 that speaks plain HTTP, or the only one that does. TCP listeners count as such: they pass
/// on whatever is said.
pub(super) fn door(view: &View, name: &str) -> Door {
    choose(listeners_of(view, name, Speech::Plain), 80)
}

/// The same for a client that speaks TLS: the listener on port 443, or the only one that ends TLS.
pub(super) fn encrypted_door(view: &View, name: &str) -> Option<SocketAddr> {
    match choose(listeners_of(view, name, Speech::Encrypted), 443) {
        Door::Listener(address) => Some(address),
        Door::Unknown | Door::NoListener => None,
    }
}

fn choose(found: Option<(Vec<u16>, Option<Ipv4Addr>)>, usual: u16) -> Door {
    let Some((ports, node)) = found else { return Door::Unknown };
    let port = match ports.as_slice() {
        ports if ports.contains(&usual) => usual,
        [only] => *only,
        _ => return Door::NoListener,
    };
    node.map_or(Door::NoListener, |address| Door::Listener((address, port).into()))
}

/// What a client says to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speech {
    Plain,
    Encrypted,
}

/// The ports that can be spoken to so, and the address of the first node.
fn listeners_of(view: &View, name: &str, speech: Speech) -> Option<(Vec<u16>, Option<Ipv4Addr>)> {
    let address = |scope: &Scope, nodes: &[Node]| {
        let interface = view.get::<NetworkInterface>(scope, &nodes.first()?.interface_id)?;
        Some(interface.private_address)
    };
    let named = view.scan_all::<LoadBalancer>().find(|found| found.value.dns_name.eq_ignore_ascii_case(name));
    let named = named.map(|found| (found.scope, found.value));
    let of_service = || {
        let found = ingress::endpoints(view).find(|(host, ..)| host == name);
        found.map(|(_, scope, balancer)| (scope, balancer))
    };
    if let Some((scope, balancer)) = named.or_else(of_service) {
        let fitting: &[Protocol] = match speech {
            Speech::Plain => &[Protocol::Http, Protocol::Tcp, Protocol::TcpUdp],
            Speech::Encrypted => &[Protocol::Https, Protocol::Tls],
        };
        let listeners = view.scan_prefix::<Listener>(&scope, &format!("{}/", balancer.key()));
        let ports = listeners.filter(|(_, one)| fitting.contains(&one.protocol)).map(|(_, one)| one.port);
        return Some((ports.collect(), address(&scope, &balancer.nodes)));
    }
    let found =
        view.scan_all::<elb::LoadBalancer>().find(|found| found.value.dns_name.eq_ignore_ascii_case(name))?;
    let listeners = found.value.listeners.iter();
    let ports = listeners.filter(|(_, one)| match speech {
        Speech::Plain => matches!(one.protocol, elb::Protocol::Http | elb::Protocol::Tcp),
        Speech::Encrypted => matches!(one.protocol, elb::Protocol::Https | elb::Protocol::Ssl),
    });
    Some((ports.map(|(port, _)| *port).collect(), address(&found.scope, &found.value.nodes)))
}

/// Passes a request on and its answer back.
pub(super) async fn pass(
    request: Request<Incoming>,
    name: &str,
    door: Door,
    client: SocketAddr,
) -> Response<Body> {
    let address = match door {
        Door::Listener(address) => address,
        Door::Unknown => {
            return refused(StatusCode::NOT_FOUND, &format!("There is no load balancer named {name}."));
        }
        Door::NoListener => {
            let text = format!(
                "{name} has no HTTP listener on port 80 and not exactly one elsewhere; speak HTTPS, or use its own address."
            );
            return refused(StatusCode::SERVICE_UNAVAILABLE, &text);
        }
    };
    match exchange(request, address, client).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(name, %address, %error, "a load balancer could not be reached");
            let text = format!(
                "{name} does not answer at {address}: {error}. Its security groups may not let this machine in."
            );
            refused(StatusCode::SERVICE_UNAVAILABLE, &text)
        }
    }
}

async fn exchange(
    mut request: Request<Incoming>,
    address: SocketAddr,
    client: SocketAddr,
) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
    let stream = connecting.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    // Answers in one piece are not worth waiting for more.
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a load balancer ended");
        }
    });
    let upgrading = upgrade_of(request.headers());
    let ours = upgrading.is_some().then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    if let Some(authority) = parts.uri.authority().filter(|_| !parts.headers.contains_key(header::HOST)) {
        parts.headers.insert(header::HOST, HeaderValue::from_str(authority.as_str())?);
    }
    parts.uri = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).parse()?;
    parts.version = Version::HTTP_11;
    keep_end_to_end(&mut parts.headers, upgrading.as_ref());
    let from = HeaderValue::from_str(&client.ip().to_string())?;
    let chain = match parts.headers.get(&FORWARDED_FOR) {
        Some(before) => HeaderValue::from_bytes(&[before.as_bytes(), b", ", from.as_bytes()].concat())?,
        None => from,
    };
    parts.headers.insert(FORWARDED_FOR, chain);
    let mut answer = sender.send_request(Request::from_parts(parts, body)).await?;
    let switched =
        upgrade_of(answer.headers()).filter(|_| answer.status() == StatusCode::SWITCHING_PROTOCOLS);
    if let (Some(ours), Some(_)) = (ours, &switched) {
        let theirs = hyper::upgrade::on(&mut answer);
        tokio::spawn(async move {
            let (Ok(ours), Ok(theirs)) = tokio::join!(ours, theirs) else { return };
            // Either side may end it in whatever way it likes.
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(ours), &mut TokioIo::new(theirs)).await;
        });
    }
    let (mut parts, body) = answer.into_parts();
    keep_end_to_end(&mut parts.headers, switched.as_ref());
    // The client's own connection may be of another version.
    parts.version = Version::default();
    Ok(Response::from_parts(parts, body.map_err(io::Error::other).boxed_unsync()))
}

/// The protocol that is asked for or switched to.
fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let names = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let asked =
        names.flat_map(|names| names.split(',')).any(|name| name.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(header::UPGRADE).filter(|_| asked).cloned()
}

/// Takes out what is about one connection only (RFC 9110 §7.6.1), and puts an upgrade back in.
fn keep_end_to_end(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"] {
        headers.remove(name);
    }
    if let Some(upgrade) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, upgrade.clone());
    }
}

fn refused(status: StatusCode, text: &str) -> Response<Body> {
    let mut answer = Response::new(full(Bytes::from(format!("{text}\n"))));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    // What is left of the request's body would be read as the next request.
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

#[cfg(test)]
mod tests;
