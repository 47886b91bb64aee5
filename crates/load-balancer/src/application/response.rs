//! The head of a target's answer, as the client gets it.

use routing::config::ResponseHeader;

use super::{clock::Clock, exchange::Facts, pump::Framing, request::header, snapshot::ListenerConfig};
use crate::http1::{
    body::Body,
    head::{Field, Known, ResponseHead, Version},
    syntax::members,
};

/// What is different about the answer on the client's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub framing: Framing,
    /// The client's connection goes on after it.
    pub keep_alive: bool,
    switched: bool,
}

impl Shape {
    /// `uploaded`: all of the request has been read.
    pub(crate) fn of(head: &ResponseHead, facts: &Facts, uploaded: bool) -> Shape {
        let switched = head.status == 101;
        let (framing, ends) = match (&head.body, facts.version) {
            _ if switched => (Framing::Kept, true),
            (Body::UntilClose, Version::Http11) => (Framing::IntoChunks, true),
            (Body::UntilClose, Version::Http10) => (Framing::Kept, false),
            (Body::Chunked(_), Version::Http10) => (Framing::OutOfChunks, false),
            _ => (Framing::Kept, true),
        };
        Shape { framing, keep_alive: facts.keep_alive && !facts.isolate && uploaded && ends, switched }
    }
}

pub(crate) fn write_head(
    out: &mut Vec<u8>,
    buffer: &[u8],
    head: &ResponseHead,
    fields: &[Field],
    listener: &ListenerConfig,
    shape: &Shape,
    clock: &Clock,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status_line.of(buffer));
    out.extend_from_slice(b"\r\n");
    let own = &listener.attributes.response_headers;
    let mut nominated = Vec::new();
    for field in fields.iter().filter(|field| field.known == Known::Connection) {
        nominated.extend(members(field.value.of(buffer)));
    }
    let chunked = matches!(head.body, Body::Chunked(_));
    let (mut dated, mut sized) = (false, false);
    for field in fields {
        let name = field.name.of(buffer);
        match field.known {
            Known::Connection | Known::KeepAlive | Known::ProxyConnection | Known::TransferEncoding => {
                continue;
            }
            Known::Upgrade if !shape.switched => continue,
            Known::ContentLength if sized || chunked || head.status < 200 || head.status == 204 => continue,
            Known::ContentLength => sized = true,
            Known::Server if !listener.attributes.server_header => continue,
            Known::Date => dated = true,
            Known::Other if is_own(own, name) => continue,
            _ => {}
        }
        // The length is of the message, whatever the target says of its connection: the client needs it.
        let of_message = field.known == Known::ContentLength;
        if !shape.switched && !of_message && nominated.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            continue;
        }
        header(out, name, field.value.of(buffer));
    }
    if !dated && !shape.switched {
        header(out, b"Date", &clock.date());
    }
    for one in own {
        header(out, one.name.as_bytes(), one.value.as_bytes());
    }
    match shape.framing {
        Framing::Kept if chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::IntoChunks => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Kept | Framing::OutOfChunks => {}
    }
    out.extend_from_slice(match (shape.switched, shape.keep_alive) {
        (true, _) => b"Connection: upgrade\r\n\r\n",
        (false, true) => b"Connection: keep-alive\r\n\r\n",
        (false, false) => b"Connection: close\r\n\r\n",
    });
}

fn is_own(own: &[ResponseHeader], name: &[u8]) -> bool {
    own.iter().any(|header| header.name.as_bytes().eq_ignore_ascii_case(name))
}
