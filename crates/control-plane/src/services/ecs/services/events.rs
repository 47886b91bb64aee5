//! The events of a service: what happened and why, the latest hundred.

use state_store::Tx;
use vocabulary::{Ids, Scope, Timestamp};

use super::records::{MOST_EVENTS, ServiceEvent, ServiceEvents};

/// Adds events, oldest first, to those of the service with this key.
pub fn tell(
    tx: &mut Tx,
    scope: &Scope,
    service: &str,
    messages: impl IntoIterator<Item = String>,
    now: Timestamp,
    ids: &mut dyn Ids,
) {
    let mut messages = messages.into_iter().peekable();
    if messages.peek().is_none() {
        return;
    }
    let mut kept = tx.get::<ServiceEvents>(scope, service).map(|found| (*found).clone()).unwrap_or_default();
    for message in messages {
        kept.events.push_front(ServiceEvent { id: ids.uuid(), created_at: now, message });
    }
    kept.events.truncate(MOST_EVENTS);
    tx.put(scope, service, kept);
}
