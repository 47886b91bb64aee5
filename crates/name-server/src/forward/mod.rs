//! Questions about everything else: to the machine's own resolvers, once per question at a time, and remembered.
//!
//! Servers are asked in the order given. The next one (or, with one server, the same again) is asked when a server fails or has
//! not answered for [`PATIENCE`]; whoever answers first counts. After [`DEADLINE`] the client is told that the question
//! could not be answered. No name is said not to exist unless a server said so.
//!
//! Equal questions that are under way are one question. That also ends loops: should the machine's resolver ask us in
//! turn, its question joins the one that it came from and both end at the deadline. Servers that are plainly ourselves
//! are left out from the start.

pub(crate) mod cache;
pub(crate) mod exchange;
pub(crate) mod resolv_conf;

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    io::AsyncReadExt,
    sync::{Semaphore, watch},
    time::{Instant, timeout_at},
};

use crate::{
    message::{Code, Message, Question},
    record::Record,
};
use cache::Cache;

/// How long one server may think before another is asked beside it.
const PATIENCE: Duration = Duration::from_millis(800);
/// When the client is told that there is no answer. Below what clients wait for (5 s in the C library, 2 s elsewhere).
const DEADLINE: Duration = Duration::from_millis(1900);
/// Each server once, a lone one twice.
const MIN_TRIES: usize = 2;
/// Questions under way upstream; beyond it they fail at once. Each holds a socket for every server asked, of the 1,024 files that a
/// process may commonly have.
const MAX_FLIGHTS: usize = 128;
/// The machine's resolvers may change while we run, on a laptop for example.
const REREAD_AFTER: Duration = Duration::from_secs(2);
const MAX_RESOLV_CONF_BYTES: u64 = 64 << 10;

/// Who is asked about names that are not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// The `nameserver` lines of this file, read again when they may have changed.
    FromResolvConf(PathBuf),
    Fixed(Vec<SocketAddr>),
    /// Nobody: such questions fail.
    None,
}

/// What makes answers interchangeable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub question: Question,
    pub dnssec_ok: bool,
    pub checking_disabled: bool,
}

/// What a server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub question: Question,
    pub code: Code,
    pub truncated: bool,
    pub answers: Vec<Record>,
    pub authorities: Vec<Record>,
    pub additionals: Vec<Record>,
    pub received: Instant,
}

/// Nobody answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unanswered;

type Outcome = Result<Arc<Answer>, Unanswered>;

pub(crate) struct Forwarder {
    upstream: Upstream,
    /// Where we listen ourselves.
    own: Vec<SocketAddr>,
    servers: tokio::sync::Mutex<Option<(Instant, Vec<SocketAddr>)>>,
    cache: Mutex<Cache>,
    flights: Mutex<HashMap<Key, watch::Receiver<Option<Outcome>>>>,
    room: Arc<Semaphore>,
}

impl Forwarder {
    pub fn new(upstream: Upstream, own: Vec<SocketAddr>) -> Arc<Forwarder> {
        Arc::new(Forwarder {
            upstream,
            own,
            servers: tokio::sync::Mutex::new(None),
            cache: Mutex::default(),
            flights: Mutex::default(),
            room: Arc::new(Semaphore::new(MAX_FLIGHTS)),
        })
    }

    /// What is remembered.
    pub fn cached(&self, key: &Key) -> Option<Arc<Answer>> {
        lock(&self.cache).get(key, Instant::now())
    }

    /// Asks, or waits for the answer of somebody who asks already.
    pub async fn resolve(self: &Arc<Forwarder>, key: Key) -> Outcome {
        let mut outcome = self.flight(key)?;
        match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(Unanswered)),
            Err(_) => Err(Unanswered),
        }
    }

    fn flight(self: &Arc<Forwarder>, key: Key) -> Result<watch::Receiver<Option<Outcome>>, Unanswered> {
        let mut flights = lock(&self.flights);
        if let Some(flight) = flights.get(&key) {
            return Ok(flight.clone());
        }
        let permit = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Unanswered)?;
        let (sender, receiver) = watch::channel(None);
        flights.insert(key.clone(), receiver.clone());
        drop(flights);
        let landing = Landing { forwarder: Arc::clone(self), key };
        tokio::spawn(async move {
            let outcome = landing.forwarder.ask(&landing.key).await;
            if let Ok(answer) = &outcome {
                lock(&landing.forwarder.cache).put(landing.key.clone(), answer);
            }
            drop(landing);
            drop(permit);
            // Nobody waits any more: no matter, it is remembered.
            let _ = sender.send(Some(outcome));
        });
        Ok(receiver)
    }

    /// Asks one server after the other.
    async fn ask(&self, key: &Key) -> Outcome {
        let deadline = Instant::now() + DEADLINE;
        let servers = self.servers().await;
        let tries = if servers.is_empty() { 0 } else { servers.len().max(MIN_TRIES) };
        let mut next = servers.iter().cycle().take(tries);
        let mut running = FuturesUnordered::new();
        let mut impatient = Instant::now();
        loop {
            if running.is_empty() || Instant::now() >= impatient {
                match next.next() {
                    Some(server) => {
                        running.push(async move { (*server, exchange::ask(*server, key).await) });
                        impatient = Instant::now() + PATIENCE;
                    }
                    None if running.is_empty() => return Err(Unanswered),
                    None => impatient = deadline,
                }
            }
            let until = impatient.min(deadline);
            match timeout_at(until, running.next()).await {
                Ok(Some((_, Ok(message)))) => return Ok(Arc::new(Answer::new(key, message))),
                Ok(Some((server, Err(error)))) => {
                    tracing::debug!(%server, %error, name = %key.question.name, "no answer");
                }
                Ok(None) => {}
                Err(_) if Instant::now() >= deadline => return Err(Unanswered),
                Err(_) => {}
            }
        }
    }

    /// The servers to ask, ourselves left out.
    async fn servers(&self) -> Vec<SocketAddr> {
        let path = match &self.upstream {
            Upstream::None => return Vec::new(),
            Upstream::Fixed(servers) => return self.others(servers.clone()),
            Upstream::FromResolvConf(path) => path,
        };
        let mut known = self.servers.lock().await;
        if let Some((read_at, servers)) = &*known
            && read_at.elapsed() < REREAD_AFTER
        {
            return servers.clone();
        }
        let text = match read(path).await {
            Ok(text) => text,
            Err(error) => {
                tracing::warn!(%error, "{} cannot be read: names outside cannot be resolved", path.display());
                String::new()
            }
        };
        let servers = self.others(resolv_conf::servers(&text));
        *known = Some((Instant::now(), servers.clone()));
        servers
    }

    fn others(&self, mut servers: Vec<SocketAddr>) -> Vec<SocketAddr> {
        servers.retain(|server| !self.own.contains(server));
        servers
    }
}

async fn read(path: &std::path::Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    tokio::fs::File::open(path).await?.take(MAX_RESOLV_CONF_BYTES).read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Takes the flight off the list, whatever happened to it.
struct Landing {
    forwarder: Arc<Forwarder>,
    key: Key,
}

impl Drop for Landing {
    fn drop(&mut self) {
        lock(&self.forwarder.flights).remove(&self.key);
    }
}

impl Answer {
    fn new(key: &Key, message: Message) -> Answer {
        Answer {
            question: key.question.clone(),
            code: message.code,
            truncated: message.truncated,
            answers: message.answers,
            authorities: message.authorities,
            additionals: message.additionals,
            received: Instant::now(),
        }
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.answers.iter().chain(&self.authorities).chain(&self.additionals)
    }
}

/// Every change under these locks is one call: a panic leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
