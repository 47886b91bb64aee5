//! A sorted set that is cheap to copy and cheap to change after a copy was taken.
//!
//! Two levels: a list of chunks of up to [`CHUNK`] entries. A copy shares everything. A change copies, where they are
//! shared, the list (one pointer per chunk) and one chunk: a few microseconds at 100,000 entries. Readers go through
//! sorted arrays, which is as fast as reading gets. Not a tree: one level less to maintain, at a size that a control
//! plane's tables do not outgrow.

use std::{fmt, sync::Arc};

/// Entries per chunk: between the cost of copying one and the number of them.
const CHUNK: usize = 256;

/// What an entry is sorted by; it never changes.
pub(super) trait Keyed {
    fn key(&self) -> &str;
}

pub(super) struct Sorted<T> {
    /// No chunk is empty.
    chunks: Arc<Vec<Arc<Vec<Arc<T>>>>>,
    len: usize,
}

impl<T> Clone for Sorted<T> {
    fn clone(&self) -> Sorted<T> {
        Sorted { chunks: self.chunks.clone(), len: self.len }
    }
}

impl<T> Default for Sorted<T> {
    fn default() -> Sorted<T> {
        Sorted { chunks: Arc::default(), len: 0 }
    }
}

impl<T: Keyed + fmt::Debug> fmt::Debug for Sorted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.from("")).finish()
    }
}

impl<T: Keyed> Sorted<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self, key: &str) -> Option<&Arc<T>> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let position = position(chunk, key).ok()?;
        chunk.get(position)
    }

    /// Adds `entry`, and returns the one of the same key that it replaces.
    pub fn insert(&mut self, entry: Arc<T>) -> Option<Arc<T>> {
        let found = self.chunk_of(entry.key());
        let chunks = Arc::make_mut(&mut self.chunks);
        // Behind the last chunk means: at its end.
        let at = found.min(chunks.len().saturating_sub(1));
        let Some(chunk) = chunks.get_mut(at) else {
            chunks.push(Arc::new(vec![entry]));
            self.len += 1;
            return None;
        };
        let chunk = Arc::make_mut(chunk);
        let position = match position(chunk, entry.key()) {
            Ok(position) => return Some(std::mem::replace(&mut chunk[position], entry)),
            Err(position) => position,
        };
        self.len += 1;
        if chunk.len() < CHUNK {
            chunk.insert(position, entry);
        } else if position == chunk.len() {
            // Ascending inserts leave full chunks behind instead of half empty ones.
            chunks.insert(at + 1, Arc::new(vec![entry]));
        } else {
            let mut upper = chunk.split_off(CHUNK / 2);
            match position.checked_sub(CHUNK / 2) {
                Some(position) => upper.insert(position, entry),
                None => chunk.insert(position, entry),
            }
            chunks.insert(at + 1, Arc::new(upper));
        }
        None
    }

    pub fn remove(&mut self, key: &str) -> Option<Arc<T>> {
        let at = self.chunk_of(key);
        let position = position(self.chunks.get(at)?, key).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut chunks[at]);
        let removed = chunk.remove(position);
        self.len -= 1;
        if chunk.is_empty() {
            chunks.remove(at);
        } else if at + 1 < chunks.len() && chunks[at].len() + chunks[at + 1].len() <= CHUNK / 2 {
            let next = chunks.remove(at + 1);
            Arc::make_mut(&mut chunks[at]).extend(next.iter().cloned());
        }
        Some(removed)
    }

    /// Entries from `key` on, ascending.
    pub fn from(&self, key: &str) -> impl Iterator<Item = &Arc<T>> + use<'_, T> {
        let at = self.chunk_of(key);
        let skip = self.chunks.get(at).map_or(0, |chunk| chunk.partition_point(|entry| entry.key() < key));
        self.chunks[at..].iter().flat_map(|chunk| chunk.iter()).skip(skip)
    }

    /// Entries whose key begins with `prefix`, from `key` on, ascending.
    pub fn prefix_from(&self, prefix: String, key: &str) -> impl Iterator<Item = &Arc<T>> + use<'_, T> {
        let from = if key > prefix.as_str() { key } else { &prefix };
        self.from(from).take_while(move |entry| entry.key().starts_with(&prefix))
    }

    /// The first chunk whose last entry is not before `key`: the only one that can hold it.
    fn chunk_of(&self, key: &str) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|last| last.key() < key))
    }
}

fn position<T: Keyed>(chunk: &[Arc<T>], key: &str) -> Result<usize, usize> {
    chunk.binary_search_by(|entry| entry.key().cmp(key))
}
