//! A client's request as rules and targets see it, and the head that a target gets.

use std::{borrow::Cow, io::Write, net::SocketAddr};

use routing::{
    config::{ClientAddressHeader, DesyncMitigation},
    rules::{CompiledOutcome, Request},
};

use super::{clock::Clock, snapshot::ListenerConfig};
use crate::http1::{
    body::Body,
    head::{Field, Known, RequestHead, Version},
    syntax::{is_host, is_plain_name, members},
};

/// Addresses in `X-Forwarded-For` beyond which a request is refused (463), as documented.
const FORWARDED_LIMIT: usize = 30;

/// A request's head that is still in the buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub buffer: &'a [u8],
    pub head: &'a RequestHead,
    pub fields: &'a [Field],
    /// With the port, as the client gave it.
    pub authority: &'a [u8],
    /// With the query.
    pub path_and_query: &'a [u8],
    pub peer: SocketAddr,
}

impl<'a> Incoming<'a> {
    /// `None` when the target is of no form that a load balancer takes.
    pub(crate) fn new(
        buffer: &'a [u8],
        head: &'a RequestHead,
        fields: &'a [Field],
        peer: SocketAddr,
    ) -> Option<Incoming<'a>> {
        let target = head.target.of(buffer);
        let host = head.host.map_or(&b""[..], |host| host.of(buffer));
        let (authority, path_and_query) = match target {
            [b'/', ..] => (host, target),
            b"*" if head.method.of(buffer) == b"OPTIONS" => (host, target),
            _ => absolute(target)?,
        };
        Some(Incoming { buffer, head, fields, authority, path_and_query, peer })
    }

    pub(crate) fn values(&self, known: Known) -> impl Iterator<Item = &'a [u8]> {
        let (fields, buffer) = (self.fields, self.buffer);
        fields.iter().filter(move |field| field.known == known).map(move |field| field.value.of(buffer))
    }

    /// Whether `X-Forwarded-For` has too many addresses.
    pub(crate) fn is_forwarded_too_often(&self) -> bool {
        let addresses = self.values(Known::ForwardedFor).map(|value| members(value).count());
        addresses.sum::<usize>() > FORWARDED_LIMIT
    }
}

/// `http://host/path`: RFC 9112 §3.2.2. What it says goes before `Host`.
fn absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = [&b"http://"[..], b"https://"]
        .iter()
        .find(|scheme| target.len() > scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme))
        .map(|scheme| &target[scheme.len()..])?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() || !is_host(authority) || path.first() == Some(&b'?') {
        return None;
    }
    Some((authority, if path.is_empty() { b"/" } else { path }))
}

/// Host and port of an authority.
pub(crate) fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    match authority.iter().rposition(|byte| *byte == b':') {
        // A colon within brackets belongs to the address.
        Some(colon) if !authority[colon..].contains(&b']') => {
            (&authority[..colon], Some(&authority[colon + 1..]))
        }
        _ => (authority, None),
    }
}

impl Request for Incoming<'_> {
    fn method(&self) -> &[u8] {
        self.head.method.of(self.buffer)
    }

    fn path(&self) -> &[u8] {
        split_query(self.path_and_query).0
    }

    fn query(&self) -> &[u8] {
        split_query(self.path_and_query).1
    }

    fn host(&self) -> &[u8] {
        split_port(self.authority).0
    }

    fn any_header(&self, name: &str, holds: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.fields
            .iter()
            .filter(|field| field.name.of(self.buffer).eq_ignore_ascii_case(name.as_bytes()))
            .any(|field| holds(field.value.of(self.buffer)))
    }

    fn source(&self) -> std::net::IpAddr {
        self.peer.ip()
    }
}

/// Path and query, without the question mark.
pub(crate) fn split_query(path_and_query: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'?', path_and_query) {
        Some(mark) => (&path_and_query[..mark], &path_and_query[mark + 1..]),
        None => (path_and_query, b""),
    }
}

/// What TLS says about the client's connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsFacts {
    /// As access logs have them: `TLSv1.3`, `TLS_AES_128_GCM_SHA256`.
    pub version: &'static str,
    pub cipher: String,
    pub server_name: Option<String>,
    /// What targets are told of the client's certificate: names and values of headers.
    pub client_certificate: Vec<(&'static str, String)>,
}

/// The value of `X-Amzn-Trace-Id` to pass on: the client's, with our part, or a new one. Source: the guide's "Request tracing".
pub(crate) fn trace_id(received: Option<&[u8]>, clock: &Clock) -> String {
    let own = || {
        let random = (u128::from(clock.random()) << 64) | u128::from(clock.random());
        format!("1-{:08x}-{:024x}", clock.unix_seconds() as u32, random >> 32)
    };
    let received = received.map(String::from_utf8_lossy);
    let parts = received.iter().flat_map(|value| value.split(';')).map(str::trim);
    let kept: Vec<_> = parts.filter(|part| !part.is_empty() && !part.starts_with("Self=")).collect();
    if kept.iter().any(|part| part.starts_with("Root=")) {
        format!("Self={};{}", own(), kept.join(";"))
    } else if kept.is_empty() {
        format!("Root={}", own())
    } else {
        format!("Root={};{}", own(), kept.join(";"))
    }
}

/// The host to pass on. Unless it is preserved, it names the listener's port when that is not the usual one, and no port otherwise.
pub(crate) fn host_to_pass<'a>(authority: &'a [u8], listener: &ListenerConfig) -> Cow<'a, [u8]> {
    if listener.balancer.attributes.preserve_host_header || authority.is_empty() {
        return Cow::Borrowed(authority);
    }
    let (host, port) = split_port(authority);
    match (listener.address.port(), port) {
        (80 | 443, Some(port)) if port == b"80" || port == b"443" => Cow::Borrowed(host),
        (80 | 443, _) | (_, Some(_)) => Cow::Borrowed(authority),
        (port, None) => Cow::Owned([host, b":", port.to_string().as_bytes()].concat()),
    }
}

/// What the forwarding headers say.
pub(crate) struct Forwarding<'a> {
    pub listener: &'a ListenerConfig,
    pub peer: SocketAddr,
    pub tls: Option<&'a TlsFacts>,
    pub trace_id: &'a str,
}

impl Forwarding<'_> {
    /// The client, as `X-Forwarded-For` has it.
    pub(crate) fn client(&self) -> String {
        if self.listener.balancer.attributes.forwarded_client_port {
            self.peer.to_string()
        } else {
            self.peer.ip().to_string()
        }
    }

    /// The value of `X-Forwarded-For`, if it is sent.
    pub(crate) fn forwarded_for<'v>(&self, received: impl Iterator<Item = &'v [u8]>) -> Option<Vec<u8>> {
        let mut value = received.fold(Vec::new(), |mut value, one| {
            if !value.is_empty() {
                value.extend_from_slice(b", ");
            }
            value.extend_from_slice(one);
            value
        });
        match self.listener.balancer.attributes.forwarded_for {
            ClientAddressHeader::Remove => None,
            ClientAddressHeader::Preserve => (!value.is_empty()).then_some(value),
            ClientAddressHeader::Append => {
                if !value.is_empty() {
                    value.extend_from_slice(b", ");
                }
                value.extend_from_slice(self.client().as_bytes());
                Some(value)
            }
        }
    }
}

/// Writes the head for the target. Returns how many headers were dropped as invalid.
pub(crate) fn write_head(
    out: &mut Vec<u8>,
    incoming: &Incoming<'_>,
    outcome: &CompiledOutcome,
    forwarding: &Forwarding<'_>,
) -> usize {
    let Incoming { buffer, head, fields, .. } = *incoming;
    let attributes = &forwarding.listener.balancer.attributes;
    out.extend_from_slice(head.method.of(buffer));
    out.push(b' ');
    match std::str::from_utf8(incoming.path_and_query).ok().and_then(|url| outcome.rewritten_url(url)) {
        Some(url) => out.extend_from_slice(url.as_bytes()),
        None => out.extend_from_slice(incoming.path_and_query),
    }
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    match std::str::from_utf8(incoming.authority).ok().and_then(|host| outcome.rewritten_host(host)) {
        Some(host) => out.extend_from_slice(host.as_bytes()),
        None => out.extend_from_slice(&host_to_pass(incoming.authority, forwarding.listener)),
    }
    out.extend_from_slice(b"\r\n");
    let nominated: Vec<&[u8]> = incoming.values(Known::Connection).flat_map(members).collect();
    let mut dropped = 0;
    for field in fields {
        let name = field.name.of(buffer);
        match field.known {
            Known::Other
            | Known::Cookie
            | Known::UserAgent
            | Known::Trailer
            | Known::Date
            | Known::Server => {}
            Known::SetCookie | Known::TlsVersion | Known::TlsCipher if !attributes.tls_headers => {}
            Known::Te if field.value.of(buffer).eq_ignore_ascii_case(b"trailers") => {}
            Known::Upgrade if head.upgrade => {}
            // Of HTTP/1.0 it says nothing (RFC 9110 §10.1.1), and would begin to in a request of HTTP/1.1.
            Known::Expect if !field.value.of(buffer).eq_ignore_ascii_case(b"100-continue") => {}
            _ => continue,
        }
        if attributes.drop_invalid_header_fields && !is_plain_name(name) {
            dropped += 1;
            continue;
        }
        if field.known == Known::Other && forwarding.listener.clients.is_own(name) {
            continue;
        }
        if nominated.iter().any(|other| other.eq_ignore_ascii_case(name)) && field.known != Known::Upgrade {
            continue;
        }
        header(out, name, field.value.of(buffer));
    }
    match &head.body {
        Body::Length(0) if incoming.values(Known::ContentLength).next().is_none() => {}
        Body::Length(length) => {
            let _ = write!(out, "Content-Length: {length}\r\n");
        }
        Body::Chunked(_) | Body::UntilClose => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    if head.upgrade {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
    }
    if let Some(addresses) = forwarding.forwarded_for(incoming.values(Known::ForwardedFor)) {
        header(out, b"X-Forwarded-For", &addresses);
    }
    for (name, value) in forwarded(forwarding) {
        header(out, name.as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    dropped
}

/// The other headers that the load balancer adds.
pub(crate) fn forwarded<'a>(forwarding: &'a Forwarding<'_>) -> Vec<(&'static str, Cow<'a, str>)> {
    let listener = forwarding.listener;
    let mut headers = Vec::with_capacity(5);
    headers.push(("X-Forwarded-Proto", Cow::Borrowed(if listener.encrypted { "https" } else { "http" })));
    headers.push((
        "X-Forwarded-Port",
        match listener.address.port() {
            80 => Cow::Borrowed("80"),
            443 => Cow::Borrowed("443"),
            port => Cow::Owned(port.to_string()),
        },
    ));
    headers.push(("X-Amzn-Trace-Id", Cow::Borrowed(forwarding.trace_id)));
    if let Some(tls) = forwarding.tls.filter(|_| listener.balancer.attributes.tls_headers) {
        headers.push(("X-Amzn-Tls-Version", Cow::Borrowed(tls.version)));
        headers.push(("X-Amzn-Tls-Cipher-Suite", Cow::Borrowed(&tls.cipher)));
    }
    let client = forwarding.tls.iter().flat_map(|tls| &tls.client_certificate);
    headers.extend(client.map(|(name, value)| (*name, Cow::Borrowed(value.as_str()))));
    headers
}

pub(crate) fn header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// What the mitigation mode makes of an ambiguous request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mitigation {
    Pass,
    /// Passed on, and both connections are closed after it.
    Isolate,
    Refuse,
}

pub(crate) fn mitigation(head: &RequestHead, mode: DesyncMitigation) -> Mitigation {
    match mode {
        _ if !head.ambiguous => Mitigation::Pass,
        DesyncMitigation::Monitor => Mitigation::Pass,
        DesyncMitigation::Defensive => Mitigation::Isolate,
        DesyncMitigation::Strictest => Mitigation::Refuse,
    }
}

/// Whether a request may be sent twice: RFC 9110 §9.2.2.
pub(crate) fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE")
}

/// As in a request line.
pub(crate) fn version_name(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
    }
}
