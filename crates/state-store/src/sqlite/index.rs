//! Which row holds which version of which key: the part of the store that is kept in memory.
//!
//! The rows on disk are a log in the order of revisions, so a write only ever appends. What a B-tree by key would have to
//! be read for (does the key exist, since when, is the compare true) is answered here without touching SQLite. Versions
//! above the committed revision belong to the group commit under way: readers ask as of the committed revision and do
//! not see them, and [`Index::forget_after`] drops them when the commit fails.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
};

use bytes::Bytes;

use crate::{Compare, KeyRange, LeaseId, Operand, Relation, Revision};

/// Bits of a row id that number the changes within one revision.
const SUB_BITS: u32 = 20;

/// Keys that one revision can change. A delete of more is refused; a million keys are far beyond what the store is for.
pub(super) const MAX_CHANGES_PER_REVISION: usize = 1 << SUB_BITS;

/// Where a version is stored: revision and position within it, as SQLite's integer key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowId(pub i64);

impl RowId {
    pub fn new(revision: Revision, sub: usize) -> RowId {
        debug_assert!(sub < MAX_CHANGES_PER_REVISION);
        RowId(revision << SUB_BITS | sub as i64)
    }

    /// The lowest id of a revision.
    pub fn first_of(revision: Revision) -> RowId {
        RowId(revision << SUB_BITS)
    }

    pub fn revision(self) -> Revision {
        self.0 >> SUB_BITS
    }
}

/// A key at one point of history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub row: RowId,
    pub create_revision: Revision,
    /// Number of puts since creation; 0 marks a deletion.
    pub version: i64,
    pub lease: LeaseId,
}

impl Version {
    /// What a key that does not exist is judged as.
    const MISSING: Version = Version { row: RowId(0), create_revision: 0, version: 0, lease: LeaseId::NONE };

    pub fn is_deletion(&self) -> bool {
        self.version == 0
    }
}

#[derive(Debug, Default)]
pub(super) struct Index {
    /// Versions of a key, oldest first; never empty.
    keys: BTreeMap<Bytes, Vec<Version>>,
    /// Every change that compaction has not passed, oldest first.
    history: VecDeque<(RowId, Bytes)>,
}

impl Index {
    /// Records the next change. Rows must arrive in ascending order.
    pub fn push(&mut self, key: Bytes, version: Version) {
        debug_assert!(self.history.back().is_none_or(|(row, _)| *row < version.row));
        self.history.push_back((version.row, key.clone()));
        self.keys.entry(key).or_default().push(version);
    }

    /// The newest version of `key`, committed or not, unless it is deleted.
    pub fn head(&self, key: &[u8]) -> Option<&Version> {
        self.keys.get(key)?.last().filter(|version| !version.is_deletion())
    }

    /// Keys of `range` that exist as of `revision`, ascending.
    pub fn range(&self, range: &KeyRange, revision: Revision) -> impl Iterator<Item = (&Bytes, &Version)> {
        self.keys.range::<[u8], _>(bounds(range)).filter_map(move |(key, versions)| {
            let version = versions.iter().rev().find(|version| version.row.revision() <= revision)?;
            (!version.is_deletion()).then_some((key, version))
        })
    }

    /// Whether `compare` holds for the newest versions. `value` reads the value of a row.
    pub fn holds<E>(
        &self,
        compare: &Compare,
        mut value: impl FnMut(RowId) -> Result<Bytes, E>,
    ) -> Result<bool, E> {
        if let Some(answer) = self.not_modified_since(compare) {
            return Ok(answer);
        }
        let mut empty = true;
        for (_, version) in self.range(&compare.range, Revision::MAX) {
            empty = false;
            let holds = match &compare.operand {
                Operand::Value(operand) => compare.relation.holds(&value(version.row)?[..], &operand[..]),
                _ => property_holds(compare, version),
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(!empty || property_holds(compare, &Version::MISSING))
    }

    /// A shortcut for the guard of a scan, `mod_revision < R` over a large range: only keys changed since R can break it,
    /// and those are at the end of the history.
    fn not_modified_since(&self, compare: &Compare) -> Option<bool> {
        let (Relation::Less, Operand::ModRevision(bound)) = (compare.relation, &compare.operand) else {
            return None;
        };
        // With a bound of zero or less even an empty range fails, and before the history begins nothing is known.
        if *bound <= 0 || self.history.front().is_none_or(|(row, _)| row.revision() >= *bound) {
            return None;
        }
        let newer = self.history.iter().rev().take_while(|(row, _)| row.revision() >= *bound);
        let broken = newer
            .filter(|(_, key)| compare.range.contains(key))
            .any(|(_, key)| self.head(key).is_some_and(|version| version.row.revision() >= *bound));
        Some(!broken)
    }

    /// Drops what a failed commit left behind.
    pub fn forget_after(&mut self, revision: Revision) {
        while let Some((_, key)) = self.history.pop_back_if(|(row, _)| row.revision() > revision) {
            if let Some(versions) = self.keys.get_mut(&key) {
                versions.retain(|version| version.row.revision() <= revision);
                if versions.is_empty() {
                    self.keys.remove(&key);
                }
            }
        }
    }

    /// Number of changes that compaction has not passed.
    pub fn history_len(&self) -> usize {
        self.history.len()
    }

    /// The revision of the `n`-th oldest change that compaction has not passed.
    pub fn history_revision(&self, n: usize) -> Option<Revision> {
        self.history.get(n).map(|(row, _)| row.revision())
    }

    /// Passes compaction over at most `limit` changes up to `revision` and returns the rows that are of no more use:
    /// values superseded at or before `revision`, and deletions.
    pub fn compact(&mut self, revision: Revision, limit: usize) -> Vec<RowId> {
        let mut dead = Vec::new();
        for _ in 0..limit {
            if self.history.front().is_none_or(|(row, _)| row.revision() > revision) {
                break;
            }
            let Some((_, key)) = self.history.pop_front() else { break };
            let Some(versions) = self.keys.get_mut(&key) else { continue };
            let Some(current) = versions.iter().rposition(|version| version.row.revision() <= revision)
            else {
                continue;
            };
            let keep_from = if versions[current].is_deletion() { current + 1 } else { current };
            dead.extend(versions.drain(..keep_from).map(|version| version.row));
            if versions.is_empty() {
                self.keys.remove(&key);
            }
        }
        dead
    }
}

fn bounds(range: &KeyRange) -> (Bound<&[u8]>, Bound<&[u8]>) {
    let start: &[u8] = range.start();
    let end = match range.end() {
        _ if range.is_single() => Bound::Included(start),
        // BTreeMap panics on a range that runs backwards; this one is empty as well.
        Some(end) if end[..] <= *start => return (Bound::Excluded(start), Bound::Included(start)),
        Some(end) => Bound::Excluded(&end[..]),
        None => Bound::Unbounded,
    };
    (Bound::Included(start), end)
}

fn property_holds(compare: &Compare, version: &Version) -> bool {
    let relation = compare.relation;
    match &compare.operand {
        Operand::CreateRevision(operand) => relation.holds(&version.create_revision, operand),
        Operand::ModRevision(operand) => relation.holds(&version.row.revision(), operand),
        Operand::Version(operand) => relation.holds(&version.version, operand),
        Operand::Lease(operand) => relation.holds(&version.lease, operand),
        Operand::Value(_) => false,
    }
}
