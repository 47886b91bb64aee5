//! What the platform measures itself, under the names that AWS has for it: tasks of services and container instances (`AWS/ECS`), load balancers
//! and target groups (`AWS/ApplicationELB`, `AWS/NetworkELB`, `AWS/ELB`).
//!
//! What nodes measure comes with their messages and is put at once, under the time at which it was measured. What follows from the tables,
//! how many targets are healthy and how much of a cluster is taken, is looked at once a minute.

mod balancers;
mod clusters;
mod tasks;

use std::{sync::Arc, time::Duration};

use agent_protocol::tcs::PublishMetricsRequest;
use metrics::Summary;
use telemetry_store::{MetricKey, MetricSample};
use tokio::time::MissedTickBehavior;
use vocabulary::{Scope, Timestamp};

use super::errors::store;
use crate::{gateway::ApiError, services::Services};

const MINUTE: Duration = Duration::from_secs(60);
/// Files go by the hour at the earliest.
const RETENTION_MINUTES: u64 = 30;

/// Puts what a node has measured.
///
/// # Errors
/// Those of the metric store.
pub async fn take(
    services: &Services,
    request: &PublishMetricsRequest,
    now: Timestamp,
) -> Result<(), ApiError> {
    let at = at(request.timestamp.unwrap_or(now), now);
    let samples = {
        let view = services.state.view();
        let mut samples = tasks::samples(&view, &request.task_metrics, at);
        samples.extend(balancers::samples(services, &view, &request.balancer_metrics, at, now));
        samples
    };
    services.metrics.put(samples, now).await.map_err(store)
}

/// The time that a node says, unless its clock is far off.
fn at(said: Timestamp, now: Timestamp) -> i64 {
    let (said, now) = (said.as_millis().div_euclid(1000), now.as_millis().div_euclid(1000));
    if (said - now).abs() < 3600 { said } else { now }
}

/// Looks at the tables once a minute, and forgets old metrics, until the process ends.
pub async fn run(services: Arc<Services>) {
    let mut minutes = tokio::time::interval(MINUTE);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in 0_u64.. {
        minutes.tick().await;
        let now = services.now();
        if let Err(error) = look(&services, now).await {
            tracing::warn!(%error, cause = ?error.cause, "what was measured in this minute is not kept");
        }
        if count % RETENTION_MINUTES == 0
            && let Err(error) = services.metrics.retain(now).await
        {
            tracing::error!(%error, "old metrics could not be removed; it is tried again in half an hour");
        }
    }
}

/// Puts what follows from the tables now.
///
/// # Errors
/// Those of the metric store.
pub async fn look(services: &Services, now: Timestamp) -> Result<(), ApiError> {
    let samples = {
        let view = services.state.view();
        let at = now.as_millis().div_euclid(1000);
        let mut samples = balancers::health(services, &view, at, now);
        samples.extend(clusters::samples(services, &view, at));
        samples
    };
    services.metrics.put(samples, now).await.map_err(store)
}

fn sample(
    scope: &Scope,
    namespace: &str,
    name: &str,
    dimensions: &[(&str, &str)],
    unit: &str,
    at: i64,
    summary: Summary,
) -> MetricSample {
    let key = MetricKey::new(scope.clone(), namespace, name, dimensions.iter().copied());
    MetricSample { key, unit: unit.into(), at, high_resolution: false, summary }
}
