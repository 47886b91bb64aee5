//! Alarms: put, shown, evaluated, and what follows from a change of state.

pub mod calls;
pub mod describe;
mod evaluate;
pub mod put;
pub mod run;
mod show;
mod watched;

use metrics::{alarm::State, text};
use serde_json::json;
use state_store::Tx;
use vocabulary::{Scope, Timestamp};

use super::records::{Alarm, Happened, History, HistoryItem};

/// What is remembered of an alarm: the last of this many things that happened.
const MOST_HISTORY: usize = 100;

/// A change of state, and why.
#[derive(Debug, Clone)]
pub struct Change {
    pub state: State,
    pub reason: String,
    pub reason_data: Option<String>,
}

/// Puts an alarm into a state. When it is another one than before, that is remembered, and so is what came of its actions.
pub fn change(tx: &mut Tx, scope: &Scope, alarm: &Alarm, change: Change, now: Timestamp) {
    let before = alarm.state;
    let after = Alarm {
        state: change.state,
        reason: change.reason,
        reason_data: change.reason_data,
        state_updated_at: now,
        ..alarm.clone()
    };
    if before != after.state {
        let state = |of: &Alarm| {
            let data: Option<serde_json::Value> =
                of.reason_data.as_deref().and_then(|data| serde_json::from_str(data).ok());
            json!({"stateValue": of.state.as_str(), "stateReason": of.reason, "stateReasonData": data})
        };
        let data = json!({"version": "1.0", "oldState": state(alarm), "newState": state(&after)});
        let summary = format!("Alarm updated from {} to {}", before.as_str(), after.state.as_str());
        let mut items = vec![HistoryItem { at: now, kind: Happened::State, summary, data: data.to_string() }];
        if after.actions_enabled {
            items.extend(after.actions(after.state).iter().map(|action| act(action, now)));
        }
        remember(tx, scope, &after, items);
    }
    let name = after.name.clone();
    tx.put(scope, &name, after);
}

/// What comes of an action. No kind of target that CloudWatch notifies is there on this platform, so that each fails and says so.
fn act(action: &str, now: Timestamp) -> HistoryItem {
    let service = action.split(':').nth(2).unwrap_or_default();
    let error = format!("This platform has no {service} that could be notified.");
    tracing::warn!(action, "an action of an alarm failed: its target is not on this platform");
    let data = json!({"actionState": "Failed", "notificationResource": action, "stateUpdateTimestamp": now.as_millis(), "error": error});
    HistoryItem {
        at: now,
        kind: Happened::Action,
        summary: shortened(&format!("Failed to execute action {action}: {error}"), 255),
        data: data.to_string(),
    }
}

/// Adds to what is remembered of an alarm.
pub fn remember(tx: &mut Tx, scope: &Scope, alarm: &Alarm, items: Vec<HistoryItem>) {
    let mut history = tx.get::<History>(scope, &alarm.name).map(|there| (*there).clone()).unwrap_or_default();
    history.composite = alarm.is_composite();
    history.items.extend(items);
    let over = history.items.len().saturating_sub(MOST_HISTORY);
    history.items.drain(..over);
    tx.put(scope, &alarm.name, history);
}

fn shortened(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// Times in `StateReasonData`.
fn iso(at: Timestamp) -> String {
    text::long(at.as_millis().div_euclid(1000))
}
