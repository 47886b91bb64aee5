//! The sessions that are open in this process: who may come in, and who wants one to end.
//!
//! A client comes in with the token that StartSession or ResumeSession gave it. Only the newest token of a session counts, and only its digest is
//! kept, in memory: a session does not outlive this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use vocabulary::{Ids, Scope};

/// As Session Manager has it unless its preferences say otherwise; ECS Exec always.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// Sessions of this process at once: each holds up to a megabyte.
const MOST_SESSIONS: usize = 1000;
/// Frames that may wait on the way in before the client is not read, and on the way out before it counts as gone.
const LINE_IN: usize = 32;
const LINE_OUT: usize = 1024;
const TOKEN_BYTES: usize = 48;

/// The client's end of a data channel.
#[derive(Debug)]
pub struct Line {
    /// Whole messages to the client. Dropping it closes the connection.
    pub out: mpsc::Sender<Vec<u8>>,
    /// Whole messages from the client.
    pub incoming: mpsc::Receiver<Vec<u8>>,
}

/// The other end, for whoever moves the bytes.
#[derive(Debug)]
pub struct Wire {
    pub out: mpsc::Receiver<Vec<u8>>,
    pub incoming: mpsc::Sender<Vec<u8>>,
}

/// A line and its other end.
pub fn line() -> (Line, Wire) {
    let (out, to_client) = mpsc::channel(LINE_OUT);
    let (from_client, incoming) = mpsc::channel(LINE_IN);
    (Line { out, incoming }, Wire { out: to_client, incoming: from_client })
}

/// What the session itself waits for.
#[derive(Debug)]
pub struct Desk {
    pub lines: mpsc::Receiver<Line>,
    /// Closed or sent to: the session shall end.
    pub ending: mpsc::Receiver<()>,
    place: Place,
}

impl Desk {
    pub fn id(&self) -> &str {
        &self.place.id
    }
}

#[derive(Debug)]
struct Place {
    id: String,
    sessions: Sessions,
}

#[derive(Debug)]
struct Live {
    scope: Scope,
    token: [u8; 32],
    lines: mpsc::Sender<Line>,
    end: mpsc::Sender<()>,
}

/// All of them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sessions {
    live: Arc<Mutex<HashMap<String, Live>>>,
    /// How long nothing may happen in a session whose document does not say.
    pub idle_timeout: Duration,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions::new(IDLE_TIMEOUT)
    }
}

/// There is no room for another session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MOST_SESSIONS} sessions are open, which is the most there can be")]
pub struct Full;

impl Sessions {
    pub fn new(idle_timeout: Duration) -> Sessions {
        Sessions { live: Arc::default(), idle_timeout }
    }

    /// Opens a place for a session, and answers the token for its client.
    ///
    /// # Errors
    /// When there are too many.
    pub fn enter(&self, scope: &Scope, id: &str, ids: &mut impl Ids) -> Result<(Desk, String), Full> {
        let (lines, incoming) = mpsc::channel(1);
        let (end, ending) = mpsc::channel(1);
        let token = fresh_token(ids);
        let live = Live { scope: scope.clone(), token: digest(&token), lines, end };
        let mut all = self.lock();
        if all.len() >= MOST_SESSIONS {
            return Err(Full);
        }
        all.insert(id.to_owned(), live);
        let place = Place { id: id.to_owned(), sessions: self.clone() };
        Ok((Desk { lines: incoming, ending, place }, token))
    }

    /// A new token for a session that is open; the one before is void.
    pub fn renew(&self, scope: &Scope, id: &str, ids: &mut impl Ids) -> Option<String> {
        let mut all = self.lock();
        let live = all.get_mut(id).filter(|live| live.scope == *scope)?;
        let token = fresh_token(ids);
        live.token = digest(&token);
        Some(token)
    }

    /// The way in for who has the token. Compared by digests, so that time tells nothing of it.
    pub fn admit(&self, id: &str, token: &str) -> Option<mpsc::Sender<Line>> {
        let all = self.lock();
        let live = all.get(id)?;
        (digest(token) == live.token).then(|| live.lines.clone())
    }

    /// Whether this session is open here.
    pub fn has(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    /// Ends a session. False when there is none.
    pub fn end(&self, scope: &Scope, id: &str) -> bool {
        let all = self.lock();
        let Some(live) = all.get(id).filter(|live| live.scope == *scope) else { return false };
        // One that is asked twice ends once.
        let _ = live.end.try_send(());
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.id);
    }
}

fn fresh_token(ids: &mut impl Ids) -> String {
    let mut bytes = [0; TOKEN_BYTES];
    ids.fill(&mut bytes);
    STANDARD.encode(bytes)
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
