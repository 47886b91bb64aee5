//! The console at the front door: its files, the way to it, and the stream that tells its pages that something changed.
//!
//! The files are the same for everybody and hold nothing of the user's, so they are given to whoever asks by one of the door's own names; what
//! a page shows it fetches through the APIs, as any client does. The stream says *which kinds* of records changed in the caller's account and
//! region, never what they hold. A page that loses it asks more often instead.

use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use state_store::{AllChanges, Notice};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};
use vocabulary::Scope;

use super::{
    ApiError,
    body::{Body, full},
};
use crate::services::Services;

/// Pages that are told of changes at once. Each holds a connection and a subscription; the others ask from time to time.
const MOST_STREAMS: usize = 64;
/// Changes are gathered for this long, so that a deployment of hundreds of tasks does not make a page fetch hundreds of times.
const GATHER: Duration = Duration::from_millis(100);
/// A line is said at least this often, which is how either side learns that the other has gone.
const SILENCE: Duration = Duration::from_secs(15);
/// Then the page has to show its key again.
const LONGEST: Duration = Duration::from_secs(600);

/// Where a page hears of changes.
pub const CHANGES: &str = "/console/changes";

/// The console's share of a gateway.
pub struct Console {
    streams: Arc<Semaphore>,
    closing: watch::Sender<bool>,
}

impl Console {
    pub fn new() -> Console {
        Console { streams: Arc::new(Semaphore::new(MOST_STREAMS)), closing: watch::Sender::new(false) }
    }

    /// Ends the streams: they would keep a closing door open.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// What needs no caller: the way to the console, and its files.
    pub fn page<B>(request: &Request<B>) -> Option<Response<Body>> {
        let (method, headers) = (request.method(), request.headers());
        let (path, query) = (request.uri().path(), request.uri().query());
        if console::is_visit(method, path, query, headers) {
            return Some(console::welcome().map(full));
        }
        (path.starts_with(console::ROOT) && path != CHANGES)
            .then(|| console::answer(method, path, headers).map(full))
    }

    /// A line of JSON for every batch of changes in `scope`: `{"revision": 7, "changed": ["ecs/task"]}`. The first line has the scope that
    /// the caller speaks for; `"*"` stands for everything; a line without changes only says that the stream lives.
    ///
    /// # Errors
    /// 503 when as many pages listen as may.
    pub fn changes(&self, services: &Services, scope: Scope) -> Result<Response<Body>, ApiError> {
        let Ok(share) = Arc::clone(&self.streams).try_acquire_owned() else {
            return Err(ApiError::undeclared(
                "ServiceUnavailable",
                503,
                "Too many pages listen for changes.",
            ));
        };
        let first = format!(
            "{{\"revision\":{},\"account\":\"{}\",\"region\":\"{}\"}}\n",
            services.state.revision(),
            scope.account,
            scope.region
        );
        let listening = Listening {
            changes: services.state.changes(),
            state: services.state.clone(),
            scope,
            ends: Instant::now() + LONGEST,
            closing: self.closing.subscribe(),
            first: Some(first),
            _share: share,
        };
        let lines = stream::unfold(listening, |mut listening| async move {
            let line = listening.line().await?;
            Some((Ok::<_, io::Error>(Frame::data(Bytes::from(line))), listening))
        });
        let mut answer = Response::new(StreamBody::new(lines).boxed_unsync());
        let fields = answer.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(answer)
    }
}

/// One page that listens.
struct Listening {
    changes: AllChanges,
    state: state_store::State,
    scope: Scope,
    ends: Instant,
    closing: watch::Receiver<bool>,
    first: Option<String>,
    _share: OwnedSemaphorePermit,
}

impl Listening {
    /// The next line; none at the end of the stream.
    async fn line(&mut self) -> Option<String> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let mut kinds = BTreeSet::new();
        let silence = Instant::now() + SILENCE;
        let mut until = silence.min(self.ends);
        loop {
            let notice = tokio::select! {
                _ = self.closing.wait_for(|closing| *closing) => return None,
                notice = tokio::time::timeout_at(until, self.changes.next()) => notice,
            };
            match notice {
                Ok(Ok(notice)) => {
                    let before = kinds.len();
                    self.note(notice, &mut kinds);
                    if before == 0 && !kinds.is_empty() {
                        until = Instant::now() + GATHER;
                    }
                }
                // The tables are gone: the platform is going down.
                Ok(Err(_)) => return None,
                Err(_) if Instant::now() >= self.ends && kinds.is_empty() => return None,
                Err(_) => return Some(self.say(&kinds)),
            }
        }
    }

    fn note(&self, notice: Notice<state_store::Touched>, kinds: &mut BTreeSet<String>) {
        match notice {
            Notice::Resync => {
                kinds.insert("*".to_owned());
            }
            Notice::Changes(touched) => {
                kinds.extend(
                    touched
                        .iter()
                        .filter(|one| self.concerns(&one.scope))
                        .map(|one| format!("{}/{}", one.service, one.kind)),
                );
            }
        }
    }

    /// Some services keep their records in one region for the whole account, so that only the account counts.
    fn concerns(&self, scope: &Scope) -> bool {
        scope.account == self.scope.account
    }

    fn say(&self, kinds: &BTreeSet<String>) -> String {
        let revision = self.state.revision();
        if kinds.is_empty() {
            return format!("{{\"revision\":{revision}}}\n");
        }
        let names: Vec<String> = kinds.iter().map(|kind| format!("\"{kind}\"")).collect();
        format!("{{\"revision\":{revision},\"changed\":[{}]}}\n", names.join(","))
    }
}
