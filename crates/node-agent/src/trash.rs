//! What stopped tasks leave on the disk: out of the way at once, deleted when nothing starts.
//!
//! Deleting a task's files takes as long as starting one, and slows every start beside it. So a directory is renamed into
//! the trash, which is when it counts as gone, and the deleting waits for a moment without starts, but not for long: the room is needed again.
//! What is left in the trash when the agent dies, the next agent deletes.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// No start for this long, and the trash is emptied.
const QUIET: Duration = Duration::from_millis(500);
/// Emptied at the latest after this, however much starts.
const LATEST: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Trash {
    dir: PathBuf,
    next: AtomicU64,
    something: Notify,
    last_start: Mutex<Option<Instant>>,
}

impl Trash {
    /// Over a directory on the file system of what will be thrown away; made when it is missing.
    pub(crate) fn open(dir: &Path) -> Result<Trash, crate::journal::JournalError> {
        crate::journal::make_dir(dir)?;
        let names = fs::read_dir(dir).into_iter().flatten().flatten();
        let greatest = names.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok()).max();
        let trash = Trash {
            dir: dir.to_owned(),
            next: AtomicU64::new(greatest.map_or(0, |number| number + 1)),
            something: Notify::new(),
            last_start: Mutex::new(None),
        };
        if greatest.is_some() {
            trash.something.notify_one();
        }
        Ok(trash)
    }

    /// A directory that is gone when this returns; none is as good.
    pub(crate) fn throw(&self, directory: &Path) -> io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        match fs::rename(directory, self.dir.join(number.to_string())) {
            Ok(()) => {
                self.something.notify_one();
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // Mounted on, or on another file system.
            Err(_) => fs::remove_dir_all(directory),
        }
    }

    /// Deleting has time until the starts are over.
    pub(crate) fn a_task_starts(&self) {
        *self.last_start.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Deletes what is thrown away, until it is cancelled.
    pub(crate) async fn keep_empty(self: Arc<Trash>) {
        loop {
            self.something.notified().await;
            let latest = Instant::now() + LATEST;
            while let Some(quiet_at) = self.quiet_at()
                && quiet_at > Instant::now()
                && Instant::now() < latest
            {
                tokio::time::sleep_until(quiet_at.min(latest)).await;
            }
            let trash = Arc::clone(&self);
            // A panic in it leaves the rest for the next time.
            let _ = tokio::task::spawn_blocking(move || trash.empty()).await;
        }
    }

    /// Deletes everything now.
    pub(crate) fn empty(&self) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(path = %entry.path().display(), %error, "left over from a stopped task");
            }
        }
    }

    fn quiet_at(&self) -> Option<Instant> {
        self.last_start.lock().unwrap_or_else(PoisonError::into_inner).map(|start| start + QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(parent: &Path, name: &str) -> PathBuf {
        let dir = parent.join(name);
        fs::create_dir_all(dir.join("deep")).unwrap();
        fs::write(dir.join("deep/file"), b"x").unwrap();
        dir
    }

    fn held(trash: &Path) -> usize {
        fs::read_dir(trash).unwrap().count()
    }

    #[tokio::test(start_paused = true)]
    async fn deleting_waits_for_the_starts_but_not_for_ever() {
        let disk = tempfile::tempdir().unwrap();
        let (place, began) = (disk.path().join("trash"), Instant::now());
        let trash = Arc::new(Trash::open(&place).unwrap());
        let emptying = tokio::spawn(Arc::clone(&trash).keep_empty());
        trash.a_task_starts();
        let gone = with_file(disk.path(), "a");
        trash.throw(&gone).unwrap();
        assert!(!gone.exists());
        while held(&place) > 0 {
            assert!(began.elapsed() < LATEST * 2, "emptied at the latest after {LATEST:?}");
            trash.a_task_starts();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(began.elapsed() >= LATEST, "a start every 100 ms keeps it waiting");
        emptying.abort();
    }

    #[tokio::test]
    async fn the_next_agent_deletes_what_is_left() {
        let disk = tempfile::tempdir().unwrap();
        let place = disk.path().join("trash");
        Trash::open(&place).unwrap().throw(&with_file(disk.path(), "a")).unwrap();
        let trash = Arc::new(Trash::open(&place).unwrap());
        trash.throw(&with_file(disk.path(), "b")).unwrap();
        assert_eq!(held(&place), 2, "neither took the other's name");
        trash.throw(&disk.path().join("never there")).unwrap();
        let emptying = tokio::spawn(Arc::clone(&trash).keep_empty());
        for _ in 0..10_000 {
            if held(&place) == 0 {
                emptying.abort();
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{} directories are left", held(&place));
    }
}
