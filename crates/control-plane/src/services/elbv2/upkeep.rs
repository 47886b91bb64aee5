//! What ends by itself: targets and instances whose time to drain is over, and targets of groups that are gone.

use std::{sync::Arc, time::Duration};

use state_store::{Change, Notice, StateError};
use vocabulary::{Scope, Timestamp};

use super::{
    records::{Target, TargetGroup},
    targets::BATCH,
};
use crate::{
    gateway::ApiError,
    services::{Services, elb::records::LoadBalancer as Classic, now},
};

/// When nothing is draining, the tables are looked at this often all the same.
const IDLE: Duration = Duration::from_secs(60);
/// Between attempts that fail.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until the process ends.
///
/// # Errors
/// When the tables stop following the store.
pub async fn run(services: Arc<Services>) -> Result<(), StateError> {
    let mut changes = services.state.watch::<Target>();
    let mut classic = services.state.watch::<Classic>();
    loop {
        let wait = match end_drained(&services, now()).await {
            Ok(None) => IDLE,
            Ok(Some(next)) => next.since(now()).min(IDLE),
            Err(error) => {
                tracing::error!(%error, cause = ?error.cause, "targets could not be taken out of their groups; it is tried again");
                PAUSE
            }
        };
        // Millisecond times: a wake-up just before the end would only be repeated.
        let sleep = tokio::time::sleep(wait + Duration::from_millis(1));
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = &mut sleep => break,
                notice = classic.next() => match notice? {
                    Notice::Resync => break,
                    Notice::Changes(changed) => {
                        let begun = changed.iter().any(|change| matches!(
                            change,
                            Change::Put { value, .. } if !value.draining.is_empty()
                        ));
                        if begun {
                            break;
                        }
                    }
                },
                notice = changes.next() => match notice? {
                    Notice::Resync => break,
                    Notice::Changes(changed) => {
                        let begun = changed.iter().any(|change| matches!(
                            change,
                            Change::Put { value, .. } if value.draining.is_some()
                        ));
                        if begun {
                            break;
                        }
                    }
                },
            }
        }
    }
}

/// Removes the targets whose draining is over, and those without a group. Says when the next one will be over.
///
/// # Errors
/// When the state cannot be changed.
pub async fn end_drained(services: &Services, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    let view = services.state.view();
    let mut next: Option<Timestamp> = None;
    let mut over: Vec<(Scope, String)> = Vec::new();
    for found in view.scan_all::<Target>() {
        let group = found.id.rsplit_once('/').map_or("", |(group, _)| group);
        if view.get::<TargetGroup>(&found.scope, group).is_none() {
            over.push((found.scope, found.id));
            continue;
        }
        match found.value.draining {
            Some(draining) if draining.until <= now => over.push((found.scope, found.id)),
            Some(draining) => next = Some(next.map_or(draining.until, |next| next.min(draining.until))),
            None => {}
        }
    }
    for batch in over.chunks(BATCH) {
        services
            .state
            .transact(|tx| {
                for (scope, id) in batch {
                    let group = id.rsplit_once('/').map_or("", |(group, _)| group);
                    let orphan = tx.get::<TargetGroup>(scope, group).is_none();
                    let ended =
                        |target: &Target| target.draining.is_some_and(|draining| draining.until <= now);
                    if tx.get::<Target>(scope, id).is_some_and(|target| orphan || ended(&target)) {
                        tx.delete::<Target>(scope, id);
                    }
                }
                Ok::<_, ApiError>(())
            })
            .await?;
    }
    let classic = end_classic(services, now).await?;
    Ok([next, classic].into_iter().flatten().min())
}

/// As [`end_drained`], of classic load balancers.
async fn end_classic(services: &Services, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    let view = services.state.view();
    let mut next: Option<Timestamp> = None;
    for found in view.scan_all::<Classic>() {
        let times = found.value.draining.values().filter(|until| **until > now);
        next = times.copied().chain(next).min();
        if found.value.draining.values().all(|until| *until > now) {
            continue;
        }
        services
            .state
            .transact(|tx| {
                if let Some(there) = tx.get::<Classic>(&found.scope, &found.id) {
                    let mut balancer = (*there).clone();
                    balancer.draining.retain(|_, until| *until > now);
                    tx.put(&found.scope, &found.id, balancer);
                }
                Ok::<_, ApiError>(())
            })
            .await?;
    }
    Ok(next)
}
