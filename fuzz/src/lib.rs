//! What several fuzz targets need: inputs taken apart in the same way, and plain second opinions to hold decisions against.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// An HTTP request as the control plane gets it, already through an HTTP server.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// `METHOD TARGET`, lines of `name: value`, an empty line, the body; lines end in LF. `None` for what no HTTP server would hand on.
    pub fn read(data: &'a [u8]) -> Option<Request<'a>> {
        let (first, mut rest) = line(data)?;
        let (method, target) = first.split_once(' ')?;
        let (method, uri) = (method.parse().ok()?, target.parse().ok()?);
        let mut headers = HeaderMap::new();
        loop {
            let (text, after) = line(rest)?;
            rest = after;
            if text.is_empty() {
                return Some(Request { method, uri, headers, body: rest });
            }
            let (name, value) = text.split_once(':')?;
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_bytes(value.trim().as_bytes()).ok()?);
        }
    }
}

/// The first line and what follows it.
fn line(data: &[u8]) -> Option<(&str, &[u8])> {
    let end = memchr::memchr(b'\n', data)?;
    Some((std::str::from_utf8(&data[..end]).ok()?, &data[end + 1..]))
}

/// Two texts: the first line, and the rest.
pub fn two(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

/// A pattern with `*` and `?`, by the definition: a table of which beginnings of the pattern match which beginnings of the value.
pub fn glob<T: PartialEq + Copy>(pattern: &[T], value: &[T], star: T, one: T) -> bool {
    let mut row = vec![false; value.len() + 1];
    row[0] = true;
    for piece in pattern {
        let mut next = vec![false; value.len() + 1];
        next[0] = row[0] && *piece == star;
        for (at, letter) in value.iter().enumerate() {
            next[at + 1] = match *piece {
                piece if piece == star => row[at + 1] || next[at],
                piece => row[at] && (piece == one || piece == *letter),
            };
        }
        row = next;
    }
    row[value.len()]
}
