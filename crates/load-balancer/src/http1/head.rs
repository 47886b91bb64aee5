//! Heads of requests and responses, read line by line as they come.
//!
//! The reading is stricter than what servers usually take, since what passes here is read again by a target: lines end in CR LF, names
//! are tokens with nothing before the colon, values hold no control characters, a line never continues another, and how long the body is
//! has one answer. What breaks this is refused. Duplicate but equal lengths and bodies of requests that have none by custom
//! are read in one way only and yet marked as ambiguous, for the load balancer's mitigation mode to decide on.
//! Source: RFC 9112, and the levels of AWS's documentation of desync mitigation.

use std::ops::Range;

use super::{
    body::Body,
    lines::{length, request_line, status_line, version_of},
    names::known,
    syntax::{is_field_value, is_host, is_token, members, trimmed},
};

pub(crate) use super::names::Known;

/// Of a request line and of a single field, as documented for application load balancers.
pub(crate) const LINE_LIMIT_BYTES: usize = 16 << 10;
/// Of a request's whole head.
pub(crate) const HEAD_LIMIT_BYTES: usize = 64 << 10;
/// Of a response's whole head.
pub(crate) const RESPONSE_HEAD_LIMIT_BYTES: usize = 32 << 10;
/// Fields of one message: what a head of the greatest size holds when its fields are short.
const FIELD_LIMIT: usize = 1024;
/// Empty lines before a request, which some clients send after a body.
const EMPTY_LINES: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
}

/// A piece of the buffer that the head is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(crate) fn of<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        &buffer[self.start as usize..self.end as usize]
    }

    pub(super) fn new(range: Range<usize>) -> Span {
        Span { start: range.start as u32, end: range.end as u32 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    pub known: Known,
    pub name: Span,
    pub value: Span,
}

/// Why a head is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("malformed")]
    Malformed,
    #[error("more than one reading is possible")]
    Desync,
    #[error("the target of the request is too long")]
    TargetTooLong,
    #[error("too large")]
    TooLarge,
    #[error("transfer coding")]
    Coding,
    #[error("version")]
    Version,
    #[error("method")]
    Method,
}

impl Refusal {
    /// What a client is answered.
    pub(crate) fn status(self) -> u16 {
        match self {
            Refusal::Malformed | Refusal::Desync | Refusal::TooLarge => 400,
            Refusal::Method => 405,
            Refusal::TargetTooLong => 414,
            Refusal::Coding => 501,
            Refusal::Version => 505,
        }
    }
}

/// What a message's fields say about its body and its connection, gathered while reading.
#[derive(Debug, Default)]
struct Framing {
    length: Option<u64>,
    repeated: bool,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    expect: bool,
    host: Option<Span>,
}

/// Reads heads one after the other; its memory is used again.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Where the line that is being read begins.
    line: usize,
    /// No end of line up to here.
    searched: usize,
    first: Option<(Span, Span, Span)>,
    fields: Vec<Field>,
    framing: Framing,
    empty_lines: u32,
}

/// Where the parts of a request's head are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestHead {
    /// Bytes of the buffer that the head takes.
    pub length: usize,
    pub method: Span,
    pub target: Span,
    pub version: Version,
    pub host: Option<Span>,
    pub body: Body,
    /// The client wants to go on with this connection.
    pub keep_alive: bool,
    /// The client wants to go on with another protocol, and says so in both places.
    pub upgrade: bool,
    /// It waits for a word before it sends the body.
    pub expect: bool,
    /// Taken in one way, and still to be treated with care.
    pub ambiguous: bool,
}

/// Where the parts of a response's head are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    pub length: usize,
    pub status: u16,
    /// Code and phrase.
    pub status_line: Span,
    pub version: Version,
    pub body: Body,
    pub keep_alive: bool,
    pub upgrade: bool,
}

impl Reader {
    /// Forgets the last head.
    pub(crate) fn reset(&mut self) {
        self.line = 0;
        self.searched = 0;
        self.first = None;
        self.fields.clear();
        self.framing = Framing::default();
        self.empty_lines = 0;
    }

    /// The fields of the head that was read.
    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// A request's head at the beginning of the buffer; `None` when more is needed. Asked again with more, it goes on.
    ///
    /// # Errors
    /// As soon as what is there cannot become a head that is taken.
    pub(crate) fn request(&mut self, buffer: &[u8]) -> Result<Option<RequestHead>, Refusal> {
        let Some(length) = self.lines(buffer, HEAD_LIMIT_BYTES, true)? else { return Ok(None) };
        let (method, target, version) = self.first.ok_or(Refusal::Malformed)?;
        let version = version_of(version.of(buffer)).ok_or(Refusal::Version)?;
        let framing = &self.framing;
        if version == Version::Http10 && framing.chunked {
            return Err(Refusal::Desync);
        }
        if version == Version::Http11 && framing.host.is_none() {
            return Err(Refusal::Malformed);
        }
        let method_name = method.of(buffer);
        if matches!(method_name, b"TRACE" | b"CONNECT") {
            return Err(Refusal::Method);
        }
        let body = match (framing.chunked, framing.length) {
            (true, Some(_)) => return Err(Refusal::Desync),
            (true, None) => Body::chunked(),
            (false, Some(length)) => Body::Length(length),
            (false, None) => Body::Length(0),
        };
        let bodiless = matches!(method_name, b"GET" | b"HEAD" | b"DELETE" | b"OPTIONS");
        Ok(Some(RequestHead {
            length,
            method,
            target,
            version,
            host: framing.host,
            ambiguous: framing.repeated || (bodiless && body != Body::Length(0)),
            body,
            keep_alive: keeps(version, framing),
            upgrade: framing.upgrade && version == Version::Http11,
            expect: framing.expect && version == Version::Http11,
        }))
    }

    /// A response's head, to a request with that method.
    ///
    /// # Errors
    /// As soon as what is there cannot become a head that is taken.
    pub(crate) fn response(&mut self, buffer: &[u8], to_head: bool) -> Result<Option<ResponseHead>, Refusal> {
        let Some(length) = self.lines(buffer, RESPONSE_HEAD_LIMIT_BYTES, false)? else { return Ok(None) };
        let (version, code, status_line) = self.first.ok_or(Refusal::Malformed)?;
        let version = version_of(version.of(buffer)).ok_or(Refusal::Version)?;
        let status = code.of(buffer).iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        let framing = &self.framing;
        let (body, framed) = match (framing.chunked, framing.length) {
            _ if to_head || status < 200 || status == 204 || status == 304 => (Body::Length(0), true),
            (true, Some(_)) => return Err(Refusal::Desync),
            (true, None) => (Body::chunked(), true),
            (false, Some(length)) => (Body::Length(length), true),
            (false, None) => (Body::UntilClose, false),
        };
        Ok(Some(ResponseHead {
            length,
            status,
            status_line,
            version,
            body,
            keep_alive: framed && keeps(version, framing),
            upgrade: framing.upgrade,
        }))
    }

    fn lines(&mut self, buffer: &[u8], limit: usize, request: bool) -> Result<Option<usize>, Refusal> {
        loop {
            let Some(found) = memchr::memchr(b'\n', &buffer[self.searched..]) else {
                self.searched = buffer.len();
                if buffer.len() > limit {
                    return Err(Refusal::TooLarge);
                }
                if buffer.len() - self.line > LINE_LIMIT_BYTES {
                    return Err(self.too_long(request));
                }
                return Ok(None);
            };
            let end = self.searched + found;
            if end >= limit {
                return Err(Refusal::TooLarge);
            }
            if end - self.line > LINE_LIMIT_BYTES {
                return Err(self.too_long(request));
            }
            let start = std::mem::replace(&mut self.line, end + 1);
            self.searched = end + 1;
            let Some(line) = buffer[start..end].strip_suffix(b"\r") else { return Err(Refusal::Malformed) };
            if line.is_empty() {
                if self.first.is_some() {
                    return Ok(Some(end + 1));
                }
                self.empty_lines += 1;
                if !request || self.empty_lines > EMPTY_LINES {
                    return Err(Refusal::Malformed);
                }
            } else if self.first.is_none() {
                self.first =
                    Some(if request { request_line(line, start)? } else { status_line(line, start)? });
            } else {
                self.field(line, start)?;
            }
        }
    }

    fn too_long(&self, request: bool) -> Refusal {
        if request && self.first.is_none() { Refusal::TargetTooLong } else { Refusal::TooLarge }
    }

    fn field(&mut self, line: &[u8], start: usize) -> Result<(), Refusal> {
        if self.fields.len() == FIELD_LIMIT {
            return Err(Refusal::TooLarge);
        }
        let colon = memchr::memchr(b':', line).ok_or(Refusal::Malformed)?;
        let name = &line[..colon];
        // This refuses continued lines too: they begin with a space.
        if !is_token(name) {
            return Err(Refusal::Malformed);
        }
        let value = trimmed(&line[colon + 1..]);
        if !is_field_value(value) {
            return Err(Refusal::Malformed);
        }
        let from =
            start + colon + 1 + line[colon + 1..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let from = from.min(start + line.len());
        let field = Field {
            known: known(name),
            name: Span::new(start..start + colon),
            value: Span::new(from..from + value.len()),
        };
        self.framing.take(&field, value)?;
        self.fields.push(field);
        Ok(())
    }
}

impl Framing {
    fn take(&mut self, field: &Field, value: &[u8]) -> Result<(), Refusal> {
        match field.known {
            Known::ContentLength => {
                let length = length(value).ok_or(Refusal::Desync)?;
                match self.length {
                    Some(known) if known != length => return Err(Refusal::Desync),
                    Some(_) => self.repeated = true,
                    None => self.length = Some(length),
                }
            }
            Known::TransferEncoding => {
                if self.chunked {
                    return Err(Refusal::Desync);
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::Coding);
                }
                self.chunked = true;
            }
            Known::Connection => {
                for member in members(value) {
                    self.close |= member.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= member.eq_ignore_ascii_case(b"keep-alive");
                    self.upgrade |= member.eq_ignore_ascii_case(b"upgrade");
                }
            }
            Known::Expect => {
                self.expect |= value.eq_ignore_ascii_case(b"100-continue");
            }
            Known::Host => {
                if self.host.is_some() {
                    return Err(Refusal::Desync);
                }
                if !is_host(value) {
                    return Err(Refusal::Malformed);
                }
                self.host = Some(field.value);
            }
            _ => {}
        }
        Ok(())
    }
}

fn keeps(version: Version, framing: &Framing) -> bool {
    match version {
        Version::Http11 => !framing.close,
        Version::Http10 => framing.keep_alive && !framing.close,
    }
}
