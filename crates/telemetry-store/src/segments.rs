//! The set of event files: found on disk at start, made when an event falls into a new window, unlinked by
//! retention. Only so many are kept open; the least recently used close first.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{error::StoreError, segment::Segment};

const PREFIX: &str = "events-";
const SUFFIX: &str = ".sqlite";

/// The first millisecond of the window whose file this is; none of what is no such file.
pub(crate) fn start_of(path: &Path) -> Option<i64> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()
}

pub(crate) struct Segments {
    dir: Option<PathBuf>,
    window: i64,
    max_open: usize,
    max_bytes: Option<u64>,
    by_start: RwLock<BTreeMap<i64, Arc<Segment>>>,
    tick: AtomicU64,
}

impl Segments {
    /// The segments below `dir`, of `window` milliseconds each; `None` keeps all in temporary databases.
    pub fn open(
        dir: Option<&Path>,
        window: i64,
        max_open: usize,
        max_bytes: Option<u64>,
    ) -> Result<Segments, StoreError> {
        let mut by_start = BTreeMap::new();
        if let Some(dir) = dir {
            for entry in fs::read_dir(dir).map_err(StoreError::io("list", dir))? {
                let path = entry.map_err(StoreError::io("list", dir))?.path();
                if let Some(start) = start_of(&path) {
                    let segment = Segment::new(Some(path), start, start.saturating_add(window), max_bytes);
                    by_start.insert(start, Arc::new(segment));
                }
            }
        }
        Ok(Segments {
            dir: dir.map(Path::to_owned),
            window,
            max_open,
            max_bytes,
            by_start: RwLock::new(by_start),
            tick: AtomicU64::new(0),
        })
    }

    /// The start of the window that `timestamp` falls into.
    pub fn window_of(&self, timestamp: i64) -> i64 {
        timestamp.div_euclid(self.window).saturating_mul(self.window)
    }

    /// The segment of a window, made when it is not there.
    pub fn get_or_create(&self, start: i64) -> Result<Arc<Segment>, StoreError> {
        let known = self.by_start.read().unwrap_or_else(PoisonError::into_inner).get(&start).cloned();
        let segment = match known {
            Some(segment) => segment,
            None => {
                let path = self.dir.as_ref().map(|dir| dir.join(format!("{PREFIX}{start}{SUFFIX}")));
                let segment =
                    Arc::new(Segment::new(path, start, start.saturating_add(self.window), self.max_bytes));
                segment.create()?;
                self.sync_dir()?;
                self.by_start.write().unwrap_or_else(PoisonError::into_inner).insert(start, segment.clone());
                segment
            }
        };
        self.used(&segment);
        Ok(segment)
    }

    /// All segments, oldest window first.
    pub fn all(&self) -> Vec<Arc<Segment>> {
        self.by_start.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Notes a use, and closes others when too many are open.
    pub fn used(&self, segment: &Segment) {
        segment.touch(self.tick.fetch_add(1, Ordering::Relaxed));
        let mut open: Vec<_> = self.all().into_iter().filter(|segment| segment.holds_connections()).collect();
        if open.len() > self.max_open {
            open.sort_by_key(|segment| segment.last_used.load(Ordering::Relaxed));
            for idle in &open[..open.len() - self.max_open] {
                idle.close();
            }
        }
    }

    /// Unlinks a segment's files. A reader that has it open still reads it to the end.
    pub fn drop_file(&self, segment: &Segment) -> Result<(), StoreError> {
        self.by_start.write().unwrap_or_else(PoisonError::into_inner).remove(&segment.start);
        segment.set_gone();
        segment.close();
        let Some(path) = segment.path() else { return Ok(()) };
        // The log first: left without its database it would be applied to a later one of the same name.
        for suffix in ["-wal", "-shm", ""] {
            let mut file = path.as_os_str().to_owned();
            file.push(suffix);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", path)(error));
                }
                _ => {}
            }
        }
        self.sync_dir()
    }

    pub fn close(&self) {
        for segment in self.all() {
            segment.close();
        }
    }

    fn sync_dir(&self) -> Result<(), StoreError> {
        let Some(dir) = &self.dir else { return Ok(()) };
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("sync", dir))
    }
}
