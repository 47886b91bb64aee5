//! Pax extended headers: `LENGTH KEY=VALUE\n` records.

use super::TarError;

/// The records that matter for a layer; the others are skipped.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse_major: Option<u64>,
    pub(super) sparse_name: Option<Vec<u8>>,
    pub(super) sparse_real_size: Option<u64>,
    /// Offsets and lengths in turn: `GNU.sparse.map` (0.1), or `offset` and `numbytes` records (0.0).
    pub(super) sparse_map: Vec<u64>,
    has_sparse_map: bool,
    any: bool,
}

impl Records {
    pub(super) fn is_empty(&self) -> bool {
        !self.any
    }

    pub(super) fn is_sparse(&self) -> bool {
        self.sparse_major == Some(1) || self.has_sparse_map
    }
}

pub(super) fn parse(mut bytes: &[u8]) -> Result<Records, TarError> {
    let mut records = Records { any: true, ..Records::default() };
    while !bytes.is_empty() {
        // Some writers fill the block with zeros beyond the records.
        if bytes.iter().all(|b| *b == 0) {
            break;
        }
        let (key, value, rest) = record(bytes).ok_or(TarError::Malformed("a malformed pax record"))?;
        apply(&mut records, key, value)?;
        bytes = rest;
    }
    if !records.sparse_map.len().is_multiple_of(2) {
        return Err(TarError::Malformed("a sparse map with an odd number of values"));
    }
    Ok(records)
}

fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|b| *b == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
    if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
        return None;
    }
    let body = &bytes[space + 1..length - 1];
    let equals = body.iter().position(|b| *b == b'=')?;
    Some((&body[..equals], &body[equals + 1..], &bytes[length..]))
}

fn apply(records: &mut Records, key: &[u8], value: &[u8]) -> Result<(), TarError> {
    let number = || decimal(value).ok_or(TarError::Malformed("a pax number that is none"));
    // An empty value takes an earlier record back (POSIX pax, "extended header keyword precedence").
    let is_deletion = value.is_empty();
    match key {
        b"path" => records.path = (!is_deletion).then(|| value.to_vec()),
        b"linkpath" => records.link_path = (!is_deletion).then(|| value.to_vec()),
        b"size" => records.size = if is_deletion { None } else { Some(number()?) },
        b"uid" => records.uid = if is_deletion { None } else { Some(number()?) },
        b"gid" => records.gid = if is_deletion { None } else { Some(number()?) },
        b"mtime" => {
            records.mtime = match is_deletion {
                true => None,
                false => Some(time(value).ok_or(TarError::Malformed("a pax time that is none"))?),
            }
        }
        b"GNU.sparse.major" => records.sparse_major = Some(number()?),
        b"GNU.sparse.name" => records.sparse_name = Some(value.to_vec()),
        b"GNU.sparse.realsize" | b"GNU.sparse.size" => records.sparse_real_size = Some(number()?),
        b"GNU.sparse.map" => {
            records.has_sparse_map = true;
            records.sparse_map = value
                .split(|b| *b == b',')
                .map(decimal)
                .collect::<Option<_>>()
                .ok_or(TarError::Malformed("a sparse map that is none"))?;
        }
        b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
            records.has_sparse_map = true;
            records.sparse_map.push(number()?);
        }
        _ => {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.".as_slice()) {
                records.xattrs.push((name.to_vec(), value.to_vec()));
            }
        }
    }
    Ok(())
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Decimal seconds with an optional sign and fraction; digits beyond nanoseconds are dropped.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let (is_negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |b| *b == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let mut nanoseconds = 0_u32;
    if let Some(fraction) = parts.next() {
        let mut unit = 100_000_000;
        for digit in fraction {
            if !digit.is_ascii_digit() {
                return None;
            }
            nanoseconds += u32::from(digit - b'0') * unit;
            unit /= 10;
        }
    }
    Some(match (is_negative, nanoseconds) {
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}
