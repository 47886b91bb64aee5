//! One evaluation of one metric alarm.

use metrics::{
    alarm::{Datum, Verdict, evaluate, range},
    text,
};
use serde_json::json;
use vocabulary::{Scope, Timestamp};

use super::{Change, iso, run::SETTLED_SECONDS, watched::Watched};
use crate::{
    convert::AwsJson,
    gateway::ApiError,
    services::{
        Services,
        cloudwatch::{
            queries::{self, Of},
            records::{Alarm, Watches},
        },
    },
};

/// What an alarm is to be now; none when it stays as it is.
///
/// # Errors
/// Those of the metric store.
pub async fn verdict(
    services: &Services,
    scope: &Scope,
    alarm: &Alarm,
    now: Timestamp,
) -> Result<Option<Change>, ApiError> {
    let Watches::Metric(AwsJson(given)) = &alarm.watches else { return Ok(None) };
    let watched = Watched::of(scope, given)?;
    let seconds = now.as_millis().div_euclid(1000);
    // Up to the last period that is over and has come in.
    let seconds = if watched.period < 60 { seconds } else { seconds - SETTLED_SECONDS };
    let to = seconds - seconds.rem_euclid(watched.period);
    let periods = range(watched.rule.evaluation_periods);
    let from = to - watched.period * i64::try_from(periods).unwrap_or(1);
    let computed = queries::compute(services, &watched.queries, (from, to)).await?;
    let decisive = &watched.queries[watched.decisive];
    let series = computed.series(decisive)?;
    let points = series.first().map(|(_, points)| points.clone()).unwrap_or_default();
    let sums = computed.sums.get(&decisive.id);
    let datum = |at: i64| match points.get(&at) {
        None => Datum::Missing,
        Some(_)
            if watched.samples_needed.is_some_and(|needed| {
                sums.and_then(|sums| sums.get(&at)).is_some_and(|sum| sum.samples < needed)
            }) =>
        {
            Datum::TooLittle
        }
        Some(value) => Datum::Value(*value),
    };
    let data: Vec<(i64, Datum)> = (0..periods)
        .map(|back| to - watched.period * (periods - back) as i64)
        .map(|at| (at, datum(at)))
        .collect();
    let Some(verdict) = evaluate(&watched.rule, &data) else { return Ok(None) };
    if verdict.state == alarm.state {
        return Ok(None);
    }
    let reason_data = reason_data(&watched, &verdict, sums, now);
    Ok(Some(Change { state: verdict.state, reason: verdict.reason, reason_data: Some(reason_data) }))
}

fn reason_data(
    watched: &Watched,
    verdict: &Verdict,
    sums: Option<&std::collections::BTreeMap<i64, metrics::Summary>>,
    now: Timestamp,
) -> String {
    let (statistic, unit) = match &watched.queries[watched.decisive].of {
        Of::Metric { metric, statistic, .. } => (Some(statistic.as_str()), metric.unit.as_deref()),
        Of::Expression { .. } => (None, None),
    };
    let recent: Vec<f64> = verdict.evaluated.iter().rev().map(|(_, value)| *value).collect();
    // The member is bounded; the newest come first.
    let evaluated: Vec<serde_json::Value> = verdict
        .evaluated
        .iter()
        .take(20)
        .map(|(at, value)| {
            let samples = sums.and_then(|sums| sums.get(at)).map(|sum| sum.samples);
            json!({"timestamp": text::long(*at), "sampleCount": samples, "value": value})
        })
        .collect();
    json!({
        "version": "1.0",
        "queryDate": iso(now),
        "startDate": verdict.evaluated.last().map(|(at, _)| text::long(*at)),
        "statistic": statistic,
        "unit": unit,
        "period": watched.period,
        "recentDatapoints": &recent[recent.len().saturating_sub(20)..],
        "threshold": watched.rule.threshold,
        "evaluatedDatapoints": evaluated,
    })
    .to_string()
}
