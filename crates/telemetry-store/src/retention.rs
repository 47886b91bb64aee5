//! Forgetting: whole files where nothing in them is wanted any more, rows where a file is shared.
//!
//! Work is done in bounded steps by the writer thread, so that appends get their turn between steps.

use std::collections::HashMap;

use vocabulary::Timestamp;

use crate::{
    catalog::{Directory, StreamId},
    error::StoreError,
    model::LogGroupKey,
    segments::Segments,
};

/// Rows deleted in one step: some tens of milliseconds of writing, which is what an append may have to wait.
const STEP_ROWS: usize = 20_000;

/// How long events are kept, in days by event time. A group that is not named keeps its events for `default_days`;
/// `None` keeps them for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionPolicy {
    pub default_days: Option<u32>,
    pub groups: HashMap<LogGroupKey, Option<u32>>,
}

/// What a retention run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionOutcome {
    pub files_removed: usize,
    /// Events deleted one by one; those in removed files are not counted.
    pub events_deleted: usize,
}

impl RetentionPolicy {
    /// Events of `group` before this time are expired at `now`.
    pub fn cutoff(&self, group: &LogGroupKey, now: Timestamp) -> Option<Timestamp> {
        let days = self.groups.get(group).copied().unwrap_or(self.default_days)?;
        Some(Timestamp::from_millis(now.as_millis().saturating_sub(i64::from(days) * 86_400_000)))
    }
}

/// Does one step; true when there is nothing left to do.
pub(crate) fn step(
    segments: &Segments,
    directory: &Directory,
    policy: &RetentionPolicy,
    now: Timestamp,
    outcome: &mut RetentionOutcome,
) -> Result<bool, StoreError> {
    let mut budget = STEP_ROWS;
    for segment in segments.all() {
        let (expired, kept) = segment.with_summaries(|summaries| {
            let mut expired: Vec<(StreamId, i64)> = Vec::new();
            let mut kept = 0;
            for (stream, summary) in summaries {
                // Rows of a stream that the catalog does not know are those of a deleted one.
                let cutoff = match directory.key(*stream) {
                    None => i64::MAX,
                    Some(key) => policy.cutoff(&key.group, now).map_or(i64::MIN, Timestamp::as_millis),
                };
                kept += usize::from(summary.last_event.as_millis() >= cutoff);
                if summary.first_event.as_millis() < cutoff {
                    expired.push((*stream, cutoff));
                }
            }
            expired.sort_unstable();
            (expired, kept)
        })?;
        if kept == 0 {
            segments.drop_file(&segment)?;
            outcome.files_removed += 1;
            continue;
        }
        for (stream, cutoff) in expired {
            segments.used(&segment);
            let deleted = segment.purge(stream, cutoff, budget)?;
            outcome.events_deleted += deleted;
            budget -= deleted;
            if budget == 0 {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
