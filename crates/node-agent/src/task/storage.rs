//! Ends a task that keeps more on the node's disk than its ephemeral storage allows.
//!
//! On FARGATE a task has a disk of its own, and a write beyond it fails. Here tasks share the node's file system, and few file systems
//! keep quotas per directory. So what a task's containers and its own volumes hold is counted, and a task
//! that holds too much is stopped, before it takes the room of all others. Counting walks over every file, and is left
//! out as long as the file system as a whole has not grown by what the task still may take.
//!
//! Layers of images are shared between tasks and do not count.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(5);
/// Counted this often when the file system has changed at all: what one task removed, another may have written.
const LONGEST_TRUST: Duration = Duration::from_secs(60);
/// Files that are looked at. Beyond, a task holds too many to be counted in time; what was counted so far decides.
const MOST_FILES: usize = 2_000_000;

/// Returns once `directories` together hold more than `limit` bytes. Tells `told` whenever it has looked.
pub(super) async fn exceeded(directories: Vec<PathBuf>, limit: u64, told: impl Fn(u64)) {
    // What the task held, what its file system held then, and when.
    let mut last: Option<(u64, u64, Instant)> = None;
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let Some(all) = directories.first().and_then(|directory| used_bytes(directory)) else { continue };
        if let Some((own, before, when)) = last
            && (all == before || own + all.saturating_sub(before) <= limit && when.elapsed() < LONGEST_TRUST)
        {
            continue;
        }
        let counted = directories.clone();
        match tokio::task::spawn_blocking(move || held_bytes(&counted, limit)).await {
            Ok(own) if own > limit => return,
            Ok(own) => {
                told(own);
                last = Some((own, all, Instant::now()));
            }
            Err(panic) => tracing::error!(%panic, "a task's files could not be counted"),
        }
    }
}

/// What the file system of `directory` holds; none before the directory is there.
fn used_bytes(directory: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(directory).ok()?;
    Some(system.f_blocks.saturating_sub(system.f_bfree).saturating_mul(system.f_frsize))
}

/// What directories hold on their file systems, until it is more than `enough`. What cannot be read, since it is being removed, does not count.
fn held_bytes(directories: &[PathBuf], enough: u64) -> u64 {
    let (mut bytes, mut files) = (0_u64, 0_usize);
    // A file with several names counts once.
    let mut linked = HashSet::new();
    for top in directories {
        let Ok(device) = fs::symlink_metadata(top).map(|about| about.dev()) else { continue };
        let mut rest = vec![top.clone()];
        while let Some(directory) = rest.pop() {
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries.flatten() {
                let about: io::Result<fs::Metadata> = entry.metadata();
                let Ok(about) = about else { continue };
                files += 1;
                if about.dev() != device
                    || (about.nlink() > 1 && !about.is_dir() && !linked.insert(about.ino()))
                {
                    continue;
                }
                bytes = bytes.saturating_add(about.blocks().saturating_mul(512));
                if bytes > enough || files > MOST_FILES {
                    return bytes;
                }
                if about.is_dir() {
                    rest.push(entry.path());
                }
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn written(path: &Path, mebibytes: usize) {
        fs::write(path, vec![1; mebibytes * MIB]).unwrap();
        fs::File::open(path).unwrap().sync_all().unwrap();
    }

    #[test]
    fn files_count_once_and_as_they_lie_on_the_disk() {
        let disk = tempfile::tempdir().unwrap();
        let (run, volumes) = (disk.path().join("run"), disk.path().join("volumes"));
        fs::create_dir_all(run.join("deep")).unwrap();
        fs::create_dir_all(&volumes).unwrap();
        written(&run.join("deep/file"), 2);
        fs::hard_link(run.join("deep/file"), run.join("again")).unwrap();
        std::os::unix::fs::symlink("/proc", run.join("elsewhere")).unwrap();
        written(&volumes.join("file"), 1);
        let sparse = fs::File::create(volumes.join("sparse")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        let held = held_bytes(&[run, volumes, disk.path().join("missing")], u64::MAX);
        assert!((3 * MIB as u64..4 * MIB as u64).contains(&held), "{held}");
    }

    #[tokio::test]
    async fn a_task_that_holds_too_much_is_found_and_one_that_does_not_is_left() {
        let disk = tempfile::tempdir().unwrap();
        let (modest, greedy) = (disk.path().join("modest"), disk.path().join("greedy"));
        for (directory, size) in [(&modest, 1), (&greedy, 3)] {
            fs::create_dir(directory).unwrap();
            written(&directory.join("file"), size);
        }
        let limit = 2 * MIB as u64;
        tokio::select! {
            biased;
            () = exceeded(vec![modest], limit, |_| {}) => panic!("1 MiB is less than 2"),
            () = exceeded(vec![greedy], limit, |_| {}) => {}
        }
    }
}
