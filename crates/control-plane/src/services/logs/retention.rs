//! Acting on retention: what groups no longer keep, and what deleted groups and streams left behind.
//!
//! Run from time to time and after start; running it twice does nothing the second time.

use std::collections::HashMap;

use telemetry_store::{RetentionOutcome, RetentionPolicy};
use vocabulary::Timestamp;

use super::{
    Logs, groups, insights,
    names::streams,
    records::{Group, Stream, group_of_events},
    store_error,
};
use crate::gateway::ApiError;

/// Removes expired events at `now`, and everything of groups and streams that are no longer there.
///
/// # Errors
/// Whatever the stores say; the next run goes on where this one stopped.
pub async fn sweep(logs: &Logs, now: Timestamp) -> Result<RetentionOutcome, ApiError> {
    sweep_deleted(logs).await?;
    insights::forget(logs, now).await?;
    let mut policy = RetentionPolicy { default_days: None, groups: HashMap::new() };
    logs.state.read(|view| {
        for found in view.scan_all::<Group>() {
            policy.groups.insert(found.value.events(&found.scope), found.value.retention_days);
        }
    });
    logs.telemetry.retain(policy, now).await.map_err(store_error)
}

/// Finishes deletions that a crash interrupted.
async fn sweep_deleted(logs: &Logs) -> Result<(), ApiError> {
    // Events first, records second: a record is always made before its first event, so what has events but no record
    // now has been deleted.
    for events in logs.telemetry.groups() {
        let (name, incarnation) = group_of_events(&events);
        let alive = logs.state.read(|view| {
            view.get::<Group>(&events.scope, name).filter(|group| group.incarnation == incarnation)
        });
        let Some(group) = alive else {
            logs.telemetry.delete_group(events).await.map_err(store_error)?;
            continue;
        };
        let with_events = logs.telemetry.streams(&events);
        let known = logs.state.read(|view| streams(view, &events.scope, &group, ""));
        let is_known = |name: &str| known.binary_search_by(|stream| stream.name.as_str().cmp(name)).is_ok();
        for stream in with_events.into_iter().filter(|name| !is_known(name)) {
            logs.telemetry.delete_stream(events.stream(stream)).await.map_err(store_error)?;
        }
    }
    let orphans: Vec<_> = logs.state.read(|view| {
        let of_group = |id: &str| id.split_once(':').map(|(group, _)| group.to_owned());
        view.scan_all::<Stream>()
            .filter_map(|found| Some((of_group(&found.id)?, found)))
            .filter(|(group, found)| {
                let group = view.get::<Group>(&found.scope, group);
                group.is_none_or(|group| group.incarnation != found.value.incarnation)
            })
            .map(|(group, found)| (found.scope, group, found.value.incarnation.clone()))
            .collect()
    });
    for (scope, group, incarnation) in orphans {
        groups::remove_streams(logs, &scope, &group, &incarnation).await?;
    }
    Ok(())
}
