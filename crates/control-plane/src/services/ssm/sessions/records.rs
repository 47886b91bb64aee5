//! What is kept of a session: enough for DescribeSessions, also after it has ended.

use aws_shapes_ssm as ssm;
use serde::{Deserialize, Serialize};
use state_store::{Record, Tx};
use vocabulary::{Scope, Timestamp};

use crate::{gateway::ApiError, services::Services};

/// Ended sessions are shown for so long.
const HISTORY_MILLIS: i64 = 30 * 24 * 3_600_000;
/// Of one account and region; beyond it the oldest go.
const MOST_ENDED: usize = 1000;
/// Removed in one transaction, which has a limit.
const REMOVED_AT_ONCE: usize = 50;

/// A session; its id is the session's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionRecord {
    pub id: String,
    pub target: String,
    pub document: String,
    /// The ARN of who opened it.
    pub owner: String,
    pub reason: Option<String>,
    pub status: SessionStatus,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Why it failed.
    pub details: Option<String>,
    pub longest_minutes: Option<u32>,
    /// Where its output is kept.
    pub log_group: Option<String>,
    /// `BUCKET/KEY`
    #[serde(default)]
    pub log_object: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionStatus {
    /// Nobody has connected yet.
    Connecting,
    Connected,
    /// The client has gone and may come back.
    Disconnected,
    Terminated,
    Failed,
}

impl SessionStatus {
    pub fn is_over(self) -> bool {
        matches!(self, SessionStatus::Terminated | SessionStatus::Failed)
    }

    pub fn shape(self) -> ssm::SessionStatus {
        match self {
            SessionStatus::Connecting => ssm::SessionStatus::Connecting,
            SessionStatus::Connected => ssm::SessionStatus::Connected,
            SessionStatus::Disconnected => ssm::SessionStatus::Disconnected,
            SessionStatus::Terminated => ssm::SessionStatus::Terminated,
            SessionStatus::Failed => ssm::SessionStatus::Failed,
        }
    }
}

impl Record for SessionRecord {
    const SERVICE: &'static str = "ssm";
    const KIND: &'static str = "session";
    const SCHEMA_VERSION: u32 = 1;
}

/// Removes what is no longer shown. Part of the transaction that records another session's end.
pub fn prune(tx: &mut Tx, scope: &Scope, now: Timestamp) {
    let mut ended: Vec<(Timestamp, String)> = tx
        .view()
        .scan::<SessionRecord>(scope)
        .filter_map(|(id, record)| Some((record.ended_at?, id.to_owned())))
        .collect();
    ended.sort();
    let excess = ended.len().saturating_sub(MOST_ENDED);
    let is_old = |at: Timestamp| at.as_millis() < now.as_millis() - HISTORY_MILLIS;
    let old = ended.iter().take_while(|(at, _)| is_old(*at)).count();
    for (_, id) in ended.iter().take(excess.max(old).min(REMOVED_AT_ONCE)) {
        tx.delete::<SessionRecord>(scope, id);
    }
}

/// Writes what became of a session into its record.
pub async fn record(
    services: &Services,
    scope: &Scope,
    id: &str,
    status: SessionStatus,
    details: Option<String>,
) {
    let now = services.now();
    let written = services
        .state
        .transact(|tx| {
            let Some(found) = tx.get::<SessionRecord>(scope, id) else { return Ok(()) };
            let mut record = (*found).clone();
            if record.status.is_over() || record.status == status {
                return Ok(());
            }
            record.status = status;
            if status.is_over() {
                record.ended_at = Some(now);
                record.details = details.clone().filter(|text| !text.is_empty());
                prune(tx, scope, now);
            }
            tx.put(scope, id, record);
            Ok::<_, ApiError>(())
        })
        .await;
    if let Err(error) = written {
        tracing::error!(session = id, %error, "what became of a session could not be recorded");
    }
}
