//! A metric's values over time, in the periods and with the statistic that are asked for.

use std::{collections::BTreeMap, sync::Arc};

use metrics::{Points, Resolution, Statistic, Summary, in_periods};
use telemetry_store::MetricKey;

use super::errors::store;
use crate::{gateway::ApiError, services::Services};

/// Which metric, and which of its units: all if none is named.
#[derive(Debug, Clone)]
pub struct Metric {
    pub key: MetricKey,
    pub unit: Option<String>,
}

/// Sums of each unit, by the start of their period. `from` is where a period begins.
///
/// # Errors
/// Those of the store.
pub async fn units(
    services: &Services,
    metric: &Metric,
    (from, to): (i64, i64),
    period: i64,
) -> Result<Vec<(Arc<str>, BTreeMap<i64, Summary>)>, ApiError> {
    let resolution = Resolution::dividing(from, period);
    let read = services.metrics.read(&metric.key, metric.unit.as_deref(), (from, to), resolution);
    let found = read.await.map_err(store)?;
    Ok(found.into_iter().map(|one| (one.unit, in_periods(one.samples, from, period))).collect())
}

/// All units together.
///
/// # Errors
/// Those of the store.
pub async fn summaries(
    services: &Services,
    metric: &Metric,
    span: (i64, i64),
    period: i64,
) -> Result<BTreeMap<i64, Summary>, ApiError> {
    let mut together: BTreeMap<i64, Summary> = BTreeMap::new();
    for (at, summary) in units(services, metric, span, period).await?.into_iter().flat_map(|(_, sums)| sums) {
        match together.get_mut(&at) {
            Some(there) => there.merge(&summary),
            None => drop(together.insert(at, summary)),
        }
    }
    Ok(together)
}

/// The statistic of each period that has one.
pub fn points(summaries: &BTreeMap<i64, Summary>, statistic: &Statistic) -> Points {
    summaries.iter().filter_map(|(at, summary)| Some((*at, statistic.of(summary)?))).collect()
}
