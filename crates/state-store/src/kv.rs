//! The words of the store: revisions, keys, ranges of keys, and what happened to them.

use std::fmt;

use bytes::Bytes;

use crate::{InvalidRequest, StoreError};

/// A point in the store's history. One counter for the whole store; it grows by one with every transaction that
/// changes something. An empty store is at revision 1, so the first write makes revision 2. Zero means "none" or "latest".
pub type Revision = i64;

/// Names a lease. Never zero: a key with lease zero has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

impl LeaseId {
    /// What a key that no lease holds carries.
    pub const NONE: LeaseId = LeaseId(0);
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A key with its value and where both stand in history.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyValue {
    pub key: Bytes,
    /// Empty when the request asked for keys only.
    pub value: Bytes,
    /// Revision of the put that brought the key into being, after its last deletion.
    pub create_revision: Revision,
    /// Revision of the latest put.
    pub mod_revision: Revision,
    /// Number of puts since `create_revision`, from 1.
    pub version: i64,
    /// The lease that deletes the key when it ends, or [`LeaseId::NONE`].
    pub lease: LeaseId,
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KeyValue { key, value, create_revision, mod_revision, version, lease } = self;
        write!(f, "{}", String::from_utf8_lossy(key))?;
        write!(
            f,
            "={} @{mod_revision} (since {create_revision}, v{version}",
            String::from_utf8_lossy(value)
        )?;
        if *lease != LeaseId::NONE {
            write!(f, ", lease {lease}")?;
        }
        f.write_str(")")
    }
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Put(KeyValue),
    Delete { key: Bytes, revision: Revision },
}

impl Event {
    pub fn key(&self) -> &Bytes {
        match self {
            Event::Put(kv) => &kv.key,
            Event::Delete { key, .. } => key,
        }
    }

    /// The revision that the change made.
    pub fn revision(&self) -> Revision {
        match self {
            Event::Put(kv) => kv.mod_revision,
            Event::Delete { revision, .. } => *revision,
        }
    }
}

/// One key, or all keys from `start` up to, not including, an end.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    start: Bytes,
    end: RangeEnd,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum RangeEnd {
    /// Only `start` itself.
    Single,
    Before(Bytes),
    Unbounded,
}

impl KeyRange {
    /// Exactly `key`.
    pub fn key(key: impl Into<Bytes>) -> KeyRange {
        KeyRange { start: key.into(), end: RangeEnd::Single }
    }

    /// Every key that begins with `prefix`; all keys for an empty one.
    pub fn prefix(prefix: impl Into<Bytes>) -> KeyRange {
        let start = prefix.into();
        let end = after_prefix(&start).map_or(RangeEnd::Unbounded, RangeEnd::Before);
        KeyRange { start, end }
    }

    /// Keys in `start..end`; none when `end <= start`.
    pub fn between(start: impl Into<Bytes>, end: impl Into<Bytes>) -> KeyRange {
        KeyRange { start: start.into(), end: RangeEnd::Before(end.into()) }
    }

    /// `start` and every key after it.
    pub fn from(start: impl Into<Bytes>) -> KeyRange {
        KeyRange { start: start.into(), end: RangeEnd::Unbounded }
    }

    pub fn all() -> KeyRange {
        KeyRange::from(Bytes::new())
    }

    /// The first key that can be in the range.
    pub fn start(&self) -> &Bytes {
        &self.start
    }

    pub fn is_single(&self) -> bool {
        self.end == RangeEnd::Single
    }

    /// The first key after the range; none when it has no end or is a single key.
    pub fn end(&self) -> Option<&Bytes> {
        match &self.end {
            RangeEnd::Before(end) => Some(end),
            RangeEnd::Single | RangeEnd::Unbounded => None,
        }
    }

    /// The part of the range that lies after `key`, for paging.
    pub fn after(&self, key: &[u8]) -> KeyRange {
        let mut start = Vec::with_capacity(key.len() + 1);
        start.extend_from_slice(key);
        start.push(0);
        match &self.end {
            RangeEnd::Single => KeyRange::between(start.clone(), start),
            end => KeyRange { start: start.into(), end: end.clone() },
        }
    }

    /// Errors: a single key that is empty, which cannot exist.
    pub(crate) fn validate(&self) -> Result<(), StoreError> {
        if self.is_single() && self.start.is_empty() { Err(InvalidRequest::EmptyKey.into()) } else { Ok(()) }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            RangeEnd::Single => key == self.start,
            RangeEnd::Before(end) => key >= &self.start[..] && key < &end[..],
            RangeEnd::Unbounded => key >= &self.start[..],
        }
    }
}

impl fmt::Debug for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(&self.start))?;
        match &self.end {
            RangeEnd::Single => Ok(()),
            RangeEnd::Before(end) => write!(f, "..{}", String::from_utf8_lossy(end)),
            RangeEnd::Unbounded => f.write_str(".."),
        }
    }
}

/// The first key after all those that begin with `prefix`; none when there is no such key (`ff ff …`).
fn after_prefix(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end.into())
}
