//! The two kinds of byte ranges of the protocol: `Range` of a download, `Content-Range` of an uploaded chunk.

use std::ops::Range;

/// What a download is to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    Whole,
    /// Half-open, within the blob.
    Part(Range<u64>),
    Unsatisfiable,
}

/// Reads a `Range` header (RFC 9110 §14.2) for a blob of `length` bytes. What is malformed, of another unit or several ranges
/// is answered with the whole, which the RFC allows.
pub fn wanted(header: Option<&str>, length: u64) -> Wanted {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::Whole };
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first > last => Wanted::Whole,
        (Ok(first), _) if first >= length => Wanted::Unsatisfiable,
        (Ok(first), Ok(last)) => Wanted::Part(first..last.saturating_add(1).min(length)),
        (Ok(first), Err(_)) if last.trim().is_empty() => Wanted::Part(first..length),
        (Err(_), Ok(0)) if first.trim().is_empty() => Wanted::Unsatisfiable,
        (Err(_), Ok(suffix)) if first.trim().is_empty() => {
            Wanted::Part(length.saturating_sub(suffix)..length)
        }
        _ => Wanted::Whole,
    }
}

/// Reads an upload's `Content-Range`: `FIRST-LAST`, both inclusive, as the distribution specification writes it
/// (a leading `bytes ` and a trailing `/TOTAL` are tolerated). Half-open, `None` when malformed.
pub fn chunk(header: &str) -> Option<Range<u64>> {
    let spec = header.trim();
    let spec = spec.strip_prefix("bytes ").unwrap_or(spec);
    let spec = spec.split_once('/').map_or(spec, |(range, _)| range);
    let (first, last) = spec.split_once('-')?;
    let (first, last) = (first.trim().parse::<u64>().ok()?, last.trim().parse::<u64>().ok()?);
    let end = last.checked_add(1)?;
    if first < end { Some(first..end) } else { None }
}

/// The `Range` header that says what an upload holds. An empty one is written `0-0`, for want of a form for it.
pub fn held(length: u64) -> String {
    format!("0-{}", length.saturating_sub(1))
}
