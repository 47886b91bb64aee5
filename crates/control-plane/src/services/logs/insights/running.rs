//! Queries at work: each a task that reads the store and feeds the engine.
//!
//! Results are kept in memory for the latest queries. Nothing is lost with them: the query itself is a record, and a
//! result that is asked for and not at hand is computed again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use telemetry_store::{Direction, LogQuery, StoreError, StoredEvent, StreamSelection, TelemetryStore};
use tokio::{sync::watch, task::AbortHandle};
use vocabulary::Timestamp;

use super::engine::{Engine, Row};

/// Queries that run at once, in all accounts together.
const MOST_RUNNING: usize = 30;
/// Results at hand.
const MOST_KEPT: usize = 50;
/// Events read between two looks at whether there is more to do.
const STEP: usize = 20_000;

/// A group to read, and from when on.
#[derive(Debug, Clone)]
pub struct Source {
    pub events: telemetry_store::LogGroupKey,
    /// As `@log` shows the group.
    pub log: String,
    pub from: Timestamp,
    pub until: Timestamp,
}

#[derive(Debug, Clone)]
pub enum Progress {
    Running,
    Complete(Arc<Outcome>),
    Failed(String),
    Cancelled,
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub rows: Vec<Row>,
    pub scanned: u64,
    pub matched: u64,
    pub bytes: u64,
}

/// The queries of this process.
#[derive(Debug, Clone, Default)]
pub struct Queries(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    live: HashMap<String, Live>,
    /// Counts up, so that the oldest result can be told.
    started: u64,
}

#[derive(Debug)]
struct Live {
    progress: watch::Receiver<Progress>,
    abort: AbortHandle,
    number: u64,
}

/// As many queries run as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyRunning;

impl Queries {
    /// Starts a query under `id`; one that is known already goes on. `pointer` makes an event's `@ptr`.
    pub fn start(
        &self,
        id: &str,
        telemetry: &TelemetryStore,
        sources: Vec<Source>,
        engine: Engine,
        pointer: impl Fn(&Source, &StoredEvent) -> String + Send + Sync + 'static,
    ) -> Result<(), TooManyRunning> {
        let mut table = self.table();
        if table.live.contains_key(id) {
            return Ok(());
        }
        let is_running = |live: &&Live| matches!(*live.progress.borrow(), Progress::Running);
        if table.live.values().filter(is_running).count() >= MOST_RUNNING {
            return Err(TooManyRunning);
        }
        while table.live.len() >= MOST_KEPT {
            let finished = table.live.iter().filter(|(_, live)| !is_running(live));
            let Some(oldest) = finished.min_by_key(|(_, live)| live.number).map(|(id, _)| id.clone()) else {
                break;
            };
            table.live.remove(&oldest);
        }
        let (sender, progress) = watch::channel(Progress::Running);
        let telemetry = telemetry.clone();
        let task = tokio::spawn(async move {
            let ended = match run(&telemetry, sources, engine, Arc::new(pointer)).await {
                Ok(outcome) => Progress::Complete(Arc::new(outcome)),
                Err(reason) => Progress::Failed(reason),
            };
            sender.send_replace(ended);
        });
        table.started += 1;
        let live = Live { progress, abort: task.abort_handle(), number: table.started };
        table.live.insert(id.to_owned(), live);
        Ok(())
    }

    /// How far a query is, after waiting up to `patience` for its end; `None` when it is not known here.
    pub async fn progress(&self, id: &str, patience: Duration) -> Option<Progress> {
        let mut progress = self.table().live.get(id)?.progress.clone();
        let ended = progress.wait_for(|progress| !matches!(progress, Progress::Running));
        let waited = tokio::time::timeout(patience, ended).await;
        Some(match waited {
            Ok(Ok(ended)) => ended.clone(),
            // The task was aborted before it said anything.
            Ok(Err(_)) => Progress::Cancelled,
            Err(_) => Progress::Running,
        })
    }

    /// Ends a running query; says whether there was one.
    pub fn stop(&self, id: &str) -> bool {
        let table = self.table();
        let Some(live) = table.live.get(id) else { return false };
        let running = matches!(*live.progress.borrow(), Progress::Running);
        live.abort.abort();
        running
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Pointer = Arc<dyn Fn(&Source, &StoredEvent) -> String + Send + Sync>;

async fn run(
    telemetry: &TelemetryStore,
    sources: Vec<Source>,
    engine: Engine,
    pointer: Pointer,
) -> Result<Outcome, String> {
    let (newest_first, limit) = (engine.newest_first(), engine.limit() as u64);
    let shared = Arc::new(Mutex::new((engine, None)));
    for source in sources {
        let matched_before = lock(&shared).0.matched;
        let mut query = LogQuery {
            group: source.events.clone(),
            streams: StreamSelection::All,
            from: Some(source.from),
            until: Some(source.until),
            direction: Direction::Backward,
            after: None,
            limit: usize::MAX,
            scan_limit: STEP,
            byte_limit: usize::MAX,
        };
        loop {
            let (state, source, pointer) = (Arc::clone(&shared), source.clone(), Arc::clone(&pointer));
            // The engine looks at every event where it is read; none is carried further.
            let feed = move |event: &StoredEvent| {
                let (engine, failure) = &mut *lock(&state);
                if failure.is_none() {
                    *failure = engine.push(&source.log, event, || pointer(&source, event)).err();
                }
                false
            };
            let page = telemetry
                .query(query.clone(), Box::new(feed))
                .await
                .map_err(|error: StoreError| error.to_string())?;
            let (engine, failure) = &*lock(&shared);
            if let Some(failure) = failure {
                return Err(failure.to_string());
            }
            let enough = newest_first && engine.matched - matched_before >= limit;
            match page.next {
                Some(next) if !enough => query.after = Some(next),
                _ => break,
            }
        }
    }
    let (engine, _) = Arc::into_inner(shared)
        .ok_or("the query is still being read")?
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let (scanned, matched, bytes) = (engine.scanned, engine.matched, engine.bytes);
    let rows = engine.finish().map_err(|failure| failure.to_string())?;
    Ok(Outcome { rows, scanned, matched, bytes })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
