//! First lines of heads, and the values in heads that are more than text.

use std::ops::Range;

use super::{
    head::{Refusal, Span, Version},
    syntax::{is_field_value, is_target, is_token},
};

/// Digits only: no sign, no list, no spaces. Eighteen of them are more than anyone sends and cannot overflow.
pub(super) fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

pub(super) fn version_of(bytes: &[u8]) -> Option<Version> {
    match bytes {
        b"HTTP/1.1" => Some(Version::Http11),
        b"HTTP/1.0" => Some(Version::Http10),
        _ => None,
    }
}

pub(super) fn request_line(line: &[u8], start: usize) -> Result<(Span, Span, Span), Refusal> {
    let first = memchr::memchr(b' ', line).ok_or(Refusal::Malformed)?;
    let last = memchr::memrchr(b' ', line).ok_or(Refusal::Malformed)?;
    if first == last || !is_token(&line[..first]) || !is_target(&line[first + 1..last]) {
        return Err(Refusal::Malformed);
    }
    let version = &line[last + 1..];
    if !version.starts_with(b"HTTP/") {
        return Err(Refusal::Malformed);
    }
    let span = |range: Range<usize>| Span::new(start + range.start..start + range.end);
    Ok((span(0..first), span(first + 1..last), span(last + 1..line.len())))
}

pub(super) fn status_line(line: &[u8], start: usize) -> Result<(Span, Span, Span), Refusal> {
    let span = |range: Range<usize>| Span::new(start + range.start..start + range.end);
    let well_formed = line.len() >= 12
        && line[8] == b' '
        && (b'1'..=b'9').contains(&line[9])
        && line[10..12].iter().all(u8::is_ascii_digit)
        && line.get(12).is_none_or(|byte| *byte == b' ')
        && is_field_value(&line[9..]);
    if !well_formed {
        return Err(Refusal::Malformed);
    }
    Ok((span(0..8), span(9..12), span(9..line.len())))
}
