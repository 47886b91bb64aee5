//! The distributed store: etcd v3, spoken to directly.
//!
//! etcd itself defines the semantics that [`Store`] asks for, so there is little to decide here: requests are translated,
//! errors are told apart by whether the change may have been made, and history is compacted every now and then, because an
//! etcd whose operator set no `--auto-compaction-retention` keeps it forever.
//!
//! Not here: TLS and etcd's own users. Run it on loopback or on a network of its own.

mod channel;
mod convert;
mod messages;
mod watch;

#[cfg(test)]
mod tests;

use std::{
    str::FromStr,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;

use self::{
    channel::{CallError, Channel},
    convert::Keys,
    messages as m,
};
use crate::{
    BoxFuture, KeyRange, Lease, LeaseId, LeaseStatus, RangeRequest, RangeResponse, Revision, Store,
    StoreError, Txn, TxnResponse, Watcher, store::check_ttl,
};

/// Where etcd is and how it is used.
#[derive(Debug, Clone)]
pub struct EtcdOptions {
    /// `host:port` of the members, tried in turn.
    pub endpoints: Vec<String>,
    /// Put in front of every key, so that several programs can share one etcd.
    pub prefix: String,
    /// History older than this is compacted, twice as old at most; none leaves that to the operator.
    pub keep_history: Option<Duration>,
}

/// A text that does not say where etcd is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form etcd://HOST[:PORT][,HOST[:PORT]…][/PREFIX]")]
pub struct InvalidEtcdUrl(pub String);

/// Where etcd listens for clients unless told otherwise.
const DEFAULT_PORT: u16 = 2379;

impl FromStr for EtcdOptions {
    type Err = InvalidEtcdUrl;

    /// Reads `etcd://HOST[:PORT][,HOST[:PORT]…][/PREFIX]`. The prefix is everything behind the first slash, as it stands.
    fn from_str(text: &str) -> Result<EtcdOptions, InvalidEtcdUrl> {
        let invalid = || InvalidEtcdUrl(text.to_owned());
        let rest = text.strip_prefix("etcd://").ok_or_else(invalid)?;
        let (hosts, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let endpoint = |host: &str| {
            let authority: http::uri::Authority = host.parse().map_err(|_| invalid())?;
            let name = authority.host();
            match authority.port_u16() {
                _ if name.is_empty() => Err(invalid()),
                Some(port) if host == format!("{name}:{port}") => Ok(host.to_owned()),
                None if host == name => Ok(format!("{host}:{DEFAULT_PORT}")),
                // A user, or a port that is none.
                _ => Err(invalid()),
            }
        };
        let endpoints = hosts.split(',').map(endpoint).collect::<Result<_, _>>()?;
        Ok(EtcdOptions { prefix: prefix.to_owned(), ..EtcdOptions::new(endpoints) })
    }
}

impl EtcdOptions {
    /// No prefix, five minutes of history.
    pub fn new(endpoints: Vec<String>) -> EtcdOptions {
        EtcdOptions { endpoints, prefix: String::new(), keep_history: Some(Duration::from_secs(300)) }
    }
}

/// A store kept by etcd.
pub struct EtcdStore(Arc<Client>);

struct Client {
    channel: Channel,
    keys: Keys,
}

impl EtcdStore {
    /// Connects, and asks for the revision to see that something answers.
    pub async fn connect(options: EtcdOptions) -> Result<EtcdStore, StoreError> {
        let keys = Keys { prefix: options.prefix.into() };
        let client = Arc::new(Client { channel: Channel::new(options.endpoints), keys });
        client.revision().await?;
        if let Some(period) = options.keep_history {
            tokio::spawn(compact_regularly(Arc::downgrade(&client), period));
        }
        Ok(EtcdStore(client))
    }
}

impl Client {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StoreError> {
        const DOING: &str = "reading from etcd";
        request.validate()?;
        let message = self.keys.range_request(&request);
        for attempts_left in [1, 0] {
            match self.channel.call("etcdserverpb.KV/Range", &message).await {
                Ok(answer) => return Ok(self.keys.range_response(answer)),
                // A read does no harm a second time.
                Err(CallError::Broken(error)) if attempts_left > 0 => {
                    tracing::debug!(%error, "reading from etcd again");
                }
                Err(error) => return Err(explain(DOING, error, request.revision)),
            }
        }
        Err(StoreError::Closed)
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        // Any key will do; the answer's header is what counts.
        let request = RangeRequest::new(KeyRange::key("revision")).count_only();
        Ok(self.range(request).await?.revision)
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        let request = m::CompactionRequest { revision };
        let answer = self.channel.call("etcdserverpb.KV/Compact", &request).await;
        let m::CompactionResponse {} = answer.map_err(|error| explain("compacting etcd", error, revision))?;
        Ok(())
    }

    async fn watch(&self, range: KeyRange, from: Revision) -> Result<Watcher, StoreError> {
        range.validate()?;
        let (key, range_end) = self.keys.range(&range);
        let create = m::WatchCreateRequest { key, range_end, start_revision: from };
        let request = m::WatchRequest { create_request: Some(create) };
        let opened = self.channel.subscribe("etcdserverpb.Watch/Watch", &request).await;
        let answers = opened.map_err(|error| explain(watch::DOING, error, from))?;
        watch::begin(answers, self.keys.clone()).await
    }
}

/// Compacts up to where the store was one period ago, so that everybody had that long to follow. Ends with the store.
async fn compact_regularly(client: Weak<Client>, period: Duration) {
    let mut previous: Option<Revision> = None;
    loop {
        tokio::time::sleep(period).await;
        let Some(client) = client.upgrade() else { return };
        let outcome = match previous {
            Some(revision) => client.compact(revision).await,
            None => Ok(()),
        };
        match outcome {
            // Another server was faster, or nothing happened since.
            Ok(()) | Err(StoreError::Compacted { .. }) => {}
            Err(error) => tracing::warn!(%error, "etcd's history was not compacted"),
        }
        previous = client.revision().await.ok();
    }
}

impl Store for EtcdStore {
    fn txn(&self, txn: Txn) -> BoxFuture<'_, Result<TxnResponse, StoreError>> {
        Box::pin(async move {
            txn.validate()?;
            let request = self.0.keys.txn_request(&txn);
            match self.0.channel.call("etcdserverpb.KV/Txn", &request).await {
                Ok(answer) => Ok(self.0.keys.txn_response(answer)),
                Err(error) => Err(explain_txn(error, &txn)),
            }
        })
    }

    fn range(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse, StoreError>> {
        Box::pin(self.0.range(request))
    }

    fn watch(&self, range: KeyRange, from: Revision) -> BoxFuture<'_, Result<Watcher, StoreError>> {
        Box::pin(self.0.watch(range, from))
    }

    fn lease_grant(&self, id: LeaseId, ttl_seconds: i64) -> BoxFuture<'_, Result<Lease, StoreError>> {
        Box::pin(async move {
            check_ttl(ttl_seconds)?;
            let request = m::LeaseGrantRequest { ttl: ttl_seconds, id: id.0 };
            let answer = self.0.channel.call("etcdserverpb.Lease/LeaseGrant", &request).await;
            let m::LeaseGrantResponse { id, ttl } =
                answer.map_err(|error| explain_lease("granting a lease of etcd", error, id))?;
            Ok(Lease { id: LeaseId(id), ttl_seconds: ttl })
        })
    }

    fn lease_keep_alive(&self, id: LeaseId) -> BoxFuture<'_, Result<Lease, StoreError>> {
        Box::pin(async move {
            let request = m::LeaseKeepAliveRequest { id: id.0 };
            let answer = self.0.channel.call("etcdserverpb.Lease/LeaseKeepAlive", &request).await;
            let m::LeaseKeepAliveResponse { ttl } =
                answer.map_err(|error| explain_lease("keeping a lease of etcd alive", error, id))?;
            if ttl > 0 { Ok(Lease { id, ttl_seconds: ttl }) } else { Err(StoreError::LeaseNotFound(id)) }
        })
    }

    fn lease_revoke(&self, id: LeaseId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let request = m::LeaseRevokeRequest { id: id.0 };
            let answer = self.0.channel.call("etcdserverpb.Lease/LeaseRevoke", &request).await;
            let m::LeaseRevokeResponse {} =
                answer.map_err(|error| explain_lease("revoking a lease of etcd", error, id))?;
            Ok(())
        })
    }

    fn lease_time_to_live(&self, id: LeaseId) -> BoxFuture<'_, Result<LeaseStatus, StoreError>> {
        Box::pin(async move {
            let request = m::LeaseTimeToLiveRequest { id: id.0, keys: true };
            let answer = self.0.channel.call("etcdserverpb.Lease/LeaseTimeToLive", &request).await;
            let m::LeaseTimeToLiveResponse { ttl, granted_ttl, keys } =
                answer.map_err(|error| explain_lease("asking etcd for a lease", error, id))?;
            if ttl < 0 {
                return Err(StoreError::LeaseNotFound(id));
            }
            let mut keys: Vec<Bytes> = keys.into_iter().map(|key| self.0.keys.inside(key)).collect();
            keys.sort_unstable();
            Ok(LeaseStatus { granted_seconds: granted_ttl, remaining_seconds: ttl, keys })
        })
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.0.compact(revision))
    }
}

/// What etcd's errors mean. It tells them apart by text as well as by code, and the text is part of its API.
fn explain(doing: &'static str, error: CallError, asked: Revision) -> StoreError {
    let CallError::Status { message, .. } = &error else { return StoreError::backend(doing, error) };
    if message.contains("required revision has been compacted") {
        StoreError::Compacted { compacted: None }
    } else if message.contains("required revision is a future revision") {
        StoreError::FutureRevision { requested: asked }
    } else if message.contains("database space exceeded") {
        StoreError::DiskFull { place: "etcd (its quota is used up)".to_owned() }
    } else {
        StoreError::backend(doing, error)
    }
}

fn explain_lease(doing: &'static str, error: CallError, id: LeaseId) -> StoreError {
    match &error {
        CallError::Status { message, .. } if message.contains("requested lease not found") => {
            StoreError::LeaseNotFound(id)
        }
        CallError::Status { message, .. } if message.contains("lease already exists") => {
            StoreError::LeaseExists(id)
        }
        _ => explain(doing, error, 0),
    }
}

/// A transaction that may have been carried out must not look like one that was refused.
fn explain_txn(error: CallError, txn: &Txn) -> StoreError {
    const DOING: &str = "writing to etcd";
    let leases = txn.success.iter().chain(&txn.failure).filter_map(|op| match op {
        crate::Op::Put { lease, .. } if *lease != LeaseId::NONE => Some(*lease),
        _ => None,
    });
    let asked = txn.success.iter().chain(&txn.failure).filter_map(|op| match op {
        crate::Op::Range(request) => Some(request.revision),
        _ => None,
    });
    match error {
        CallError::Broken(_) => StoreError::unknown(DOING, error),
        CallError::Status { code, .. } if OUTCOME_UNKNOWN.contains(&code) => {
            StoreError::unknown(DOING, error)
        }
        CallError::Status { ref message, .. } if message.contains("requested lease not found") => {
            StoreError::LeaseNotFound(leases.max().unwrap_or(LeaseId::NONE))
        }
        error => explain(DOING, error, asked.max().unwrap_or(0)),
    }
}

/// gRPC's CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, INTERNAL and UNAVAILABLE. etcd says "request timed out" and "leader changed"
/// with the last.
const OUTCOME_UNKNOWN: [u32; 5] = [1, 2, 4, 13, 14];
