//! Doors to how messages of HTTP/1 are read and passed on, for the fuzz targets (feature `fuzzing`) and for the tests of what they found.
//! Each hands bytes through the very functions that requests and answers go through, and tells what came out.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::AtomicUsize},
    time::Instant,
};

use routing::config::{
    Action, ClientAddressHeader, ClientCertificates, Configuration, Forward, Interface, Listener,
    ListenerAttributes, ListenerProtocol, LoadBalancer, LoadBalancerAttributes, LoadBalancerKind, Outcome,
    Rewrite, Scheme, Transform,
};

use super::{
    clock::Clock,
    exchange::Facts,
    metrics::Metrics,
    pump::Framing,
    request::{self, Forwarding, Incoming},
    response::{self, Shape},
    snapshot::{self, Lasting, ListenerConfig},
    target::TargetState,
};
use crate::{
    http1::{
        body::Body,
        head::{Reader, RequestHead, Version},
    },
    network::Place,
};

/// How much of a body was there, what was its content, and whether its end was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub taken: usize,
    pub bytes: Vec<u8>,
    pub whole: bool,
}

/// A request that is passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// The head as it came, and as it goes.
    pub received: usize,
    pub head: Vec<u8>,
    pub method: Vec<u8>,
    /// What follows goes as it came.
    pub body: Content,
    /// It leaves no doubt about where it ends.
    pub ambiguous: bool,
}

/// Knows no targets and counts for nobody.
struct Nothing;

impl Lasting for Nothing {
    fn target(&self, _: &Place) -> Option<Arc<TargetState>> {
        None
    }

    fn turn(&mut self, _: &str) -> Arc<AtomicUsize> {
        Arc::default()
    }

    fn metrics(&mut self, _: &str) -> Arc<Metrics> {
        Arc::new(Metrics::new(1))
    }
}

/// A listener of a load balancer; each bit of `options` is an attribute, or a rewrite of the request.
fn listener(options: u8) -> Arc<ListenerConfig> {
    let is_set = |bit: u8| options & (1 << bit) != 0;
    let rewrite =
        |regex: &str, replace: &str| Rewrite { regex: regex.to_owned(), replace: replace.to_owned() };
    let mut transforms = Vec::new();
    if is_set(5) {
        transforms.push(Transform::Url(rewrite("^/a(.*)$", "$1")));
    }
    if is_set(6) {
        transforms.push(Transform::Host(rewrite("^www\\.(.*)", "$1")));
    }
    let attributes = LoadBalancerAttributes {
        drop_invalid_header_fields: is_set(0),
        preserve_host_header: is_set(1),
        tls_headers: is_set(2),
        forwarded_for: match (is_set(3), is_set(4)) {
            (true, _) => ClientAddressHeader::Remove,
            (_, true) => ClientAddressHeader::Preserve,
            _ => ClientAddressHeader::Append,
        },
        ..LoadBalancerAttributes::default()
    };
    let forward = Forward { target_groups: Vec::new(), stickiness_seconds: None };
    let listener = Listener {
        arn: "listener".to_owned(),
        protocol: ListenerProtocol::Http,
        port: if is_set(7) { 8080 } else { 80 },
        ssl_policy: None,
        alpn_policy: None,
        certificates: Vec::new(),
        client_certificates: ClientCertificates::default(),
        attributes: ListenerAttributes::default(),
        rules: Vec::new(),
        default: Outcome { transforms, action: Action::Forward(forward) },
    };
    let interface = Interface {
        id: "eni-1".to_owned(),
        subnet_id: String::new(),
        vpc_id: String::new(),
        zone: String::new(),
        private_address: Ipv4Addr::LOCALHOST,
        public_address: None,
        mac: String::new(),
        security_groups: Vec::new(),
    };
    let load_balancer = LoadBalancer {
        arn: "load-balancer".to_owned(),
        name: String::new(),
        dns_name: String::new(),
        kind: LoadBalancerKind::Application,
        scheme: Scheme::Internal,
        attributes,
        interfaces: vec![interface],
        listeners: vec![listener],
    };
    let configuration =
        Configuration { generation: 1, load_balancers: vec![load_balancer], target_groups: Vec::new() };
    let (doors, _): (BTreeMap<_, _>, _) =
        snapshot::listeners(&configuration, &mut Nothing, &|_, _| Err("there is none".to_owned()));
    doors.into_values().next().expect("it was configured")
}

/// Each made once: a listener takes longer than a request.
fn known(options: u8) -> Arc<ListenerConfig> {
    thread_local! {
        static KNOWN: std::cell::RefCell<BTreeMap<u8, Arc<ListenerConfig>>> = const { std::cell::RefCell::new(BTreeMap::new()) };
    }
    KNOWN.with_borrow_mut(|known| Arc::clone(known.entry(options).or_insert_with(|| listener(options))))
}

/// What of `bytes` belongs to a body, `part` bytes read at once; `None` when its framing is broken.
fn content(mut body: Body, bytes: &[u8], part: usize) -> Option<Content> {
    let (mut taken, mut found) = (0, Vec::new());
    while taken < bytes.len() && !body.is_over() {
        let end = bytes.len().min(taken + part.max(1));
        let piece = body.piece(&bytes[taken..end]).ok()?;
        if piece.content {
            found.extend_from_slice(&bytes[taken..taken + piece.length]);
        }
        taken += piece.length;
    }
    Some(Content { taken, bytes: found, whole: body.is_over() })
}

/// The head of a request, however its bytes came; `None` when it is refused, or not whole.
fn request_head(reader: &mut Reader, bytes: &[u8], part: usize) -> Option<RequestHead> {
    let whole = Reader::default().request(bytes);
    let mut parts = Ok(None);
    for end in (0..bytes.len()).step_by(part.max(1)).skip(1).chain([bytes.len()]) {
        parts = reader.request(&bytes[..end]);
        if !matches!(parts, Ok(None)) {
            break;
        }
    }
    assert_eq!(parts, whole, "parts make no difference");
    whole.ok().flatten()
}

/// A client's request as a target gets it; `None` when it is refused or its head is not whole.
///
/// # Panics
/// When it is not read in one way only, or what is passed on is not what was read.
pub fn pass_on(bytes: &[u8], options: u8, part: usize) -> Option<Passed> {
    let listener = known(options);
    let mut reader = Reader::default();
    let head = request_head(&mut reader, bytes, part)?;
    let peer = SocketAddr::from(([192, 0, 2, 7], 51_234));
    let incoming = Incoming::new(bytes, &head, reader.fields(), peer)?;
    if incoming.is_forwarded_too_often() {
        return None;
    }
    let forwarding = Forwarding { listener: &listener, peer, tls: None, trace_id: "Root=1-0-0" };
    let outcome = listener.rules.outcome(listener.rules.decide_index(&incoming));
    let mut out = Vec::new();
    request::write_head(&mut out, &incoming, outcome, &forwarding);

    let method = head.method.of(bytes).to_vec();
    let mut again = Reader::default();
    let sent = again.request(&out).expect("what is passed on is well-formed").expect("and whole");
    assert_eq!(sent.length, out.len(), "and nothing follows it");
    assert_eq!(sent.method.of(&out), method, "with the same method");
    assert_eq!(sent.body, head.body, "and as long a body");
    assert_eq!(sent.version, Version::Http11);
    assert!(!sent.expect, "no target is waited for");
    assert!(Incoming::new(&out, &sent, again.fields(), peer).is_some(), "and goes somewhere");

    let rest = &bytes[head.length..];
    let body = content(head.body.clone(), rest, part)?;
    assert_eq!(Some(&body), content(head.body, rest, rest.len()).as_ref(), "parts make no difference");
    Some(Passed { received: head.length, head: out, method, body, ambiguous: head.ambiguous })
}

/// A target's answer as a client gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub head: Vec<u8>,
    pub status: u16,
    /// None when what follows is another protocol.
    pub body: Option<Content>,
    pub keep_alive: bool,
}

/// A target's answer to a request with or without a body in its answer (`HEAD`), from a client of HTTP/1.0 or 1.1.
///
/// # Panics
/// When what is passed on does not end where it should, for a client that goes on reading.
pub fn answer(bytes: &[u8], to_head: bool, old_client: bool) -> Option<Answered> {
    let listener = known(0);
    let mut reader = Reader::default();
    let head = reader.response(bytes, to_head).ok().flatten()?;
    let rest = &bytes[head.length..];
    let facts = Facts {
        to_head,
        idempotent: true,
        upgrade: true,
        version: if old_client { Version::Http10 } else { Version::Http11 },
        keep_alive: true,
        isolate: false,
        cookies: Vec::new(),
        began: Instant::now(),
        received_bytes: 0,
        log: None,
    };
    if head.status < 200 && head.status != 101 {
        return None;
    }
    let shape = Shape::of(&head, &facts, true);
    let mut out = Vec::new();
    response::write_head(&mut out, bytes, &head, reader.fields(), &listener, &shape, &Clock::new());

    let sent = Reader::default().response(&out, to_head).expect("well-formed").expect("whole");
    assert_eq!((sent.length, sent.status), (out.len(), head.status));
    if head.status == 101 {
        return Some(Answered { head: out, status: 101, body: None, keep_alive: false });
    }
    match shape.framing {
        Framing::Kept => assert_eq!(sent.body, head.body, "as long a body"),
        Framing::IntoChunks => assert_eq!(sent.body, Body::chunked()),
        Framing::OutOfChunks => assert_eq!(sent.body, Body::UntilClose),
    }
    assert!(!shape.keep_alive || sent.body != Body::UntilClose, "a client that goes on knows where it ends");
    assert_eq!(sent.keep_alive, shape.keep_alive);
    let body = content(head.body, rest, 7)?;
    Some(Answered { head: out, status: head.status, body: Some(body), keep_alive: shape.keep_alive })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head_of(bytes: &[u8], options: u8) -> Option<String> {
        pass_on(bytes, options, 1).map(|passed| String::from_utf8(passed.head).unwrap())
    }

    #[test]
    fn a_host_is_one_wherever_it_stands() {
        assert!(head_of(b"GET http://a.example/b HTTP/1.1\r\nHost: x\r\n\r\n", 0).is_some());
        for target in ["http://a\"b/", "http://a\\b/", "http://user@a/", "http://a|b/", "http://\u{e9}/"] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(head_of(request.as_bytes(), 0), None, "{target}");
        }
    }

    #[test]
    fn an_old_client_waits_for_no_word() {
        let request = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx";
        let head = head_of(request, 0).expect("taken");
        assert!(!head.contains("Expect"), "{head}");
    }

    #[test]
    fn a_rewritten_target_is_one() {
        for (target, expected) in [("/a", "/"), ("/a?b", "/?b"), ("/a/b", "/b"), ("/b", "/b")] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            let head = head_of(request.as_bytes(), 1 << 5).expect("taken");
            assert!(head.starts_with(&format!("GET {expected} HTTP/1.1\r\n")), "{head}");
        }
    }

    #[test]
    fn the_length_is_told_whatever_is_said_of_the_connection() {
        let text =
            b"HTTP/1.1 200 OK\r\nConnection: content-length, x-a\r\nX-A: b\r\nContent-Length: 3\r\n\r\nabc";
        let answered = answer(text, false, false).expect("taken");
        let head = String::from_utf8(answered.head).unwrap();
        assert!(head.contains("\r\nContent-Length: 3\r\n") && !head.contains("X-A"), "{head}");
        assert!(answered.keep_alive);
    }
}
