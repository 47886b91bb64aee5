//! From what an alarm was given to what is evaluated.

use aws_shapes_cloudwatch::{ComparisonOperator, Metric, MetricDataQuery, MetricStat, PutMetricAlarmInput};
use metrics::{
    Statistic,
    alarm::{Comparison, Missing, Rule},
};
use vocabulary::Scope;

use crate::{
    gateway::ApiError,
    services::cloudwatch::{
        errors::validation,
        queries::{self, Of, Query},
    },
};

/// Queries of one alarm.
const MOST_QUERIES: usize = 10;
/// A period with its evaluation may look back this long: a day, and a week with periods of an hour or more.
const DAY: i64 = metrics::DAY_SECONDS;

/// What a metric alarm follows.
#[derive(Debug, Clone)]
pub struct Watched {
    pub rule: Rule,
    pub queries: Vec<Query>,
    /// The query whose value is held against the threshold.
    pub decisive: usize,
    /// Seconds.
    pub period: i64,
    /// A percentile that says nothing of fewer samples than this leaves the state as it is.
    pub samples_needed: Option<f64>,
}

impl Watched {
    /// Of an alarm as it was put.
    ///
    /// # Errors
    /// `ValidationError` for what AWS refuses, and for what is not there on this platform.
    pub fn of(scope: &Scope, given: &PutMetricAlarmInput) -> Result<Watched, ApiError> {
        let queries = match &given.metrics {
            Some(metrics) if !metrics.is_empty() => {
                single_metric_members(given)?;
                of_metrics(scope, metrics)?
            }
            _ => queries::understood(scope, &[single(given)?])?,
        };
        let decisive = queries.iter().position(|query| query.return_data).unwrap_or(0);
        let period = queries::period(&queries);
        if !matches!(period, 10 | 20 | 30) && period % 60 != 0 {
            return Err(validation("Period must be 10, 20, 30 or a multiple of 60"));
        }
        let evaluation_periods =
            given.evaluation_periods.ok_or_else(|| validation("EvaluationPeriods must be specified"))?;
        let datapoints_to_alarm = given.datapoints_to_alarm.unwrap_or(evaluation_periods);
        if datapoints_to_alarm > evaluation_periods {
            return Err(validation("DatapointsToAlarm must be less than or equal to EvaluationPeriods"));
        }
        let looks_back = period.saturating_mul(i64::from(evaluation_periods));
        if looks_back > 7 * DAY || (period < 3600 && looks_back > DAY) {
            return Err(validation(
                "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400), or a week with a Period of \
                 an hour or more (<= 604800)",
            ));
        }
        let count = |number: i32| usize::try_from(number).unwrap_or(1).max(1);
        Ok(Watched {
            rule: Rule {
                comparison: comparison(given)?,
                threshold: given.threshold.ok_or_else(|| validation("Threshold must be specified"))?,
                evaluation_periods: count(evaluation_periods),
                datapoints_to_alarm: count(datapoints_to_alarm),
                missing: missing(given.treat_missing_data.as_deref())?,
            },
            samples_needed: samples_needed(given, &queries[decisive])?,
            queries,
            decisive,
            period,
        })
    }
}

fn comparison(given: &PutMetricAlarmInput) -> Result<Comparison, ApiError> {
    if given.threshold_metric_id.is_some() {
        return Err(validation(
            "Anomaly detection is not there on this platform: ThresholdMetricId cannot be used",
        ));
    }
    match given.comparison_operator {
        Some(ComparisonOperator::GreaterThanOrEqualToThreshold) => Ok(Comparison::GreaterThanOrEqual),
        Some(ComparisonOperator::GreaterThanThreshold) => Ok(Comparison::Greater),
        Some(ComparisonOperator::LessThanThreshold) => Ok(Comparison::Less),
        Some(ComparisonOperator::LessThanOrEqualToThreshold) => Ok(Comparison::LessThanOrEqual),
        Some(
            other @ (ComparisonOperator::LessThanLowerOrGreaterThanUpperThreshold
            | ComparisonOperator::LessThanLowerThreshold
            | ComparisonOperator::GreaterThanUpperThreshold),
        ) => Err(validation(format!(
            "Anomaly detection is not there on this platform: {} cannot be used",
            other.as_str()
        ))),
        None => Err(validation("ComparisonOperator must be specified")),
    }
}

fn missing(given: Option<&str>) -> Result<Missing, ApiError> {
    match given {
        None | Some("missing") => Ok(Missing::Missing),
        Some("ignore") => Ok(Missing::Ignore),
        Some("breaching") => Ok(Missing::Breaching),
        Some("notBreaching") => Ok(Missing::NotBreaching),
        Some(other) => Err(validation(format!(
            "Option {other} is not supported for TreatMissingData. Supported options for TreatMissingData are: [breaching, notBreaching, ignore, missing]"
        ))),
    }
}

fn samples_needed(given: &PutMetricAlarmInput, decisive: &Query) -> Result<Option<f64>, ApiError> {
    match given.evaluate_low_sample_count_percentile.as_deref() {
        None | Some("evaluate") => Ok(None),
        Some("ignore") => match &decisive.of {
            Of::Metric { statistic, .. } => Ok(statistic.samples_needed()),
            Of::Expression { .. } => Ok(None),
        },
        Some(other) => Err(validation(format!(
            "Option {other} is not supported for EvaluateLowSampleCountPercentile. Supported options are: [evaluate, ignore]"
        ))),
    }
}

/// None of the members of an alarm on one metric.
fn single_metric_members(given: &PutMetricAlarmInput) -> Result<(), ApiError> {
    let members = [
        ("MetricName", given.metric_name.is_some()),
        ("Namespace", given.namespace.is_some()),
        ("Dimensions", given.dimensions.as_ref().is_some_and(|all| !all.is_empty())),
        ("Period", given.period.is_some()),
        ("Unit", given.unit.is_some()),
        ("Statistic", given.statistic.is_some()),
        ("ExtendedStatistic", given.extended_statistic.is_some()),
    ];
    match members.iter().find(|(_, there)| *there) {
        Some((name, _)) => Err(validation(format!("{name} must not be specified when Metrics is specified"))),
        None => Ok(()),
    }
}

fn of_metrics(scope: &Scope, given: &[MetricDataQuery]) -> Result<Vec<Query>, ApiError> {
    if given.len() > MOST_QUERIES {
        return Err(validation(format!("Metrics list must not have more than {MOST_QUERIES} elements")));
    }
    let queries = queries::understood(scope, given)?;
    if queries.iter().filter(|query| query.return_data).count() != 1 {
        return Err(validation("Exactly one element of the metrics list should return data."));
    }
    let mut periods: Vec<i64> = queries
        .iter()
        .filter_map(|query| match &query.of {
            Of::Metric { period, .. } => Some(*period),
            Of::Expression { period, .. } => *period,
        })
        .collect();
    periods.dedup();
    if periods.len() > 1 {
        return Err(validation("Period must be the same for all metrics of an alarm"));
    }
    if !queries.iter().any(|query| matches!(query.of, Of::Metric { .. })) {
        return Err(validation("Metrics list must contain at least one metric"));
    }
    Ok(queries)
}

/// An alarm on one metric, as a query.
fn single(given: &PutMetricAlarmInput) -> Result<MetricDataQuery, ApiError> {
    let (Some(namespace), Some(name)) = (&given.namespace, &given.metric_name) else {
        return Err(validation("Either MetricName and Namespace or Metrics must be specified"));
    };
    let stat = match (given.statistic, &given.extended_statistic) {
        (Some(_), Some(_)) => {
            return Err(validation("Statistic and ExtendedStatistic cannot both be specified"));
        }
        (None, None) => return Err(validation("Either Statistic or ExtendedStatistic must be specified")),
        (Some(statistic), None) => statistic.as_str().to_owned(),
        (None, Some(text)) => {
            let parsed: Option<Statistic> = text.parse().ok();
            if parsed.is_none_or(|parsed| parsed.is_simple()) {
                return Err(validation(format!("ExtendedStatistic {text} is not supported")));
            }
            text.clone()
        }
    };
    let metric = Metric {
        namespace: Some(namespace.clone()),
        metric_name: Some(name.clone()),
        dimensions: given.dimensions.clone(),
    };
    let period = given.period.ok_or_else(|| validation("Period must be specified"))?;
    Ok(MetricDataQuery {
        id: Some("m1".to_owned()),
        metric_stat: Some(MetricStat {
            metric: Some(metric),
            period: Some(period),
            stat: Some(stat),
            unit: given.unit,
        }),
        return_data: Some(true),
        ..MetricDataQuery::default()
    })
}
