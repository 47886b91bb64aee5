//! Answers from upstream, kept for as long as they say (RFC 1035 §7.4, RFC 2308), within a bound of memory.
//!
//! Two generations stand for the order of use: new and used entries are in the young one; when that has grown to its share, it
//! becomes the old one and what was old is forgotten. Every operation takes constant time.

use std::{collections::HashMap, mem, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Answer, Key};
use crate::{
    message::Code,
    record::{Record, RecordType},
};

/// For both generations together: some ten thousand ordinary answers.
const MAX_BYTES: usize = 8 << 20;
/// No answer is believed for longer than a day, whatever it says.
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// RFC 2308 §5 recommends one to three hours.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(60 * 60);
/// What an entry takes beside its bytes, roughly.
const ENTRY_BYTES: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Cache {
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    entries: HashMap<Key, Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    answer: Arc<Answer>,
    expires: Instant,
    bytes: usize,
}

impl Cache {
    pub fn get(&mut self, key: &Key, now: Instant) -> Option<Arc<Answer>> {
        let fresh = |entry: &Entry| entry.expires > now;
        if let Some(entry) = self.young.entries.get(key) {
            return fresh(entry).then(|| Arc::clone(&entry.answer));
        }
        let entry = self.old.entries.remove(key)?;
        self.old.bytes -= entry.bytes;
        let answer = fresh(&entry).then(|| Arc::clone(&entry.answer))?;
        self.insert(key.clone(), entry);
        Some(answer)
    }

    /// Keeps `answer` if it may be kept.
    pub fn put(&mut self, key: Key, answer: &Arc<Answer>) {
        let Some(lifetime) = lifetime(answer) else { return };
        let records = answer.records();
        let bytes = records.map(|record| record.data.len() + record.name.wire().len() + 48).sum::<usize>();
        let bytes = bytes + key.question.name.wire().len() + ENTRY_BYTES;
        if bytes > MAX_BYTES / 8 {
            return;
        }
        self.insert(key, Entry { answer: Arc::clone(answer), expires: answer.received + lifetime, bytes });
    }

    fn insert(&mut self, key: Key, entry: Entry) {
        if self.young.bytes + entry.bytes > MAX_BYTES / 2 {
            self.old = mem::take(&mut self.young);
        }
        self.young.bytes += entry.bytes;
        if let Some(replaced) = self.young.entries.insert(key, entry) {
            self.young.bytes -= replaced.bytes;
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.young.entries.len() + self.old.entries.len()
    }
}

/// How long an answer may be kept; `None` when not at all.
pub(crate) fn lifetime(answer: &Answer) -> Option<Duration> {
    if answer.truncated {
        return None;
    }
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    let kind = answer.question.kind;
    let answered =
        answer.answers.iter().any(|record| record.kind == kind && record.kind != RecordType::CNAME)
            || (kind == RecordType::CNAME && !answer.answers.is_empty());
    let shortest = answer.records().map(|record| record.ttl_seconds).min();
    let lifetime = match answer.code {
        Code::NO_ERROR if answered => seconds(shortest?).min(MAX_TTL),
        Code::NO_ERROR | Code::NO_NAME => {
            // Without a start of authority nobody has said for how long (RFC 2308 §5).
            let negative = answer.authorities.iter().find_map(Record::negative_ttl_seconds)?;
            seconds(negative.min(shortest?)).min(MAX_NEGATIVE_TTL)
        }
        _ => return None,
    };
    (!lifetime.is_zero()).then_some(lifetime)
}
