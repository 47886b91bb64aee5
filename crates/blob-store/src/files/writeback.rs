//! Early writeback: while an upload arrives, what is already in the page cache is sent to the disk in the background.
//!
//! Without it the sync at the end of a large upload waits for all of its bytes at once, while the disk sat idle during the
//! transfer. This is a hint only: it opens the file for itself, so that an error is still reported to the final
//! sync, which decides.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes between two rounds. Small uploads never reach it and pay for one sync only.
const STEP_BYTES: u64 = 16 * 1024 * 1024;

pub(super) struct Writeback {
    path: PathBuf,
    pending: u64,
    running: Arc<AtomicBool>,
    wanted: bool,
}

impl Writeback {
    /// `wanted`: whether the upload will be synced at its end at all.
    pub(super) fn new(path: PathBuf, wanted: bool) -> Self {
        Self { path, pending: 0, running: Arc::default(), wanted }
    }

    /// Counts written bytes and starts a round when enough have gathered and none is under way.
    pub(super) fn written(&mut self, bytes: u64) {
        self.pending += bytes;
        if !self.wanted || self.pending < STEP_BYTES || self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        self.pending = 0;
        let (path, running) = (self.path.clone(), Arc::clone(&self.running));
        tokio::task::spawn_blocking(move || {
            // The upload may be finished or gone by now; then there is nothing to push.
            let _ = File::open(path).and_then(|file| file.sync_data());
            running.store(false, Ordering::Release);
        });
    }
}
