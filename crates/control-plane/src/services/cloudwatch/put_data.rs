//! PutMetricData.

use std::sync::Arc;

use aws_schema::Unit;
use aws_shapes_cloudwatch as cloudwatch;
use aws_shapes_cloudwatch::{MetricDatum, PutMetricDataInput};
use metrics::Summary;
use telemetry_store::{MetricKey, MetricSample};
use vocabulary::{Scope, Timestamp};

use super::errors::{combination, invalid_value, missing, store};
use crate::gateway::{ApiError, Call};

/// Metrics in one request.
const MOST_METRICS: usize = 1000;
/// Values in one datum.
const MOST_VALUES: usize = 150;
/// 2 to this power is the greatest value, and its negative the least.
const GREATEST_POWER: i32 = 360;
/// How old, and how far in the future, samples may be.
const OLDEST_SECONDS: i64 = 14 * metrics::DAY_SECONDS;
const NEWEST_SECONDS: i64 = 2 * 3600;

pub async fn put(call: Call, input: PutMetricDataInput) -> Result<Unit, ApiError> {
    if input.strict_entity_validation == Some(true) {
        return Err(invalid_value(
            "Entities are not kept by this platform and can not be validated strictly.",
        ));
    }
    let namespace = input.namespace.unwrap_or_default();
    if namespace.starts_with("AWS/") {
        return Err(invalid_value("The value AWS/ for parameter Namespace is invalid."));
    }
    printable(&namespace, "Namespace")?;
    let of_entities = input.entity_metric_data.into_iter().flatten().filter_map(|entity| entity.metric_data);
    let data: Vec<MetricDatum> = input.metric_data.into_iter().chain(of_entities).flatten().collect();
    if data.is_empty() {
        return Err(missing("MetricData"));
    }
    if data.len() > MOST_METRICS {
        return Err(invalid_value(format!(
            "The collection MetricData must not have a size greater than {MOST_METRICS}."
        )));
    }
    let namespace: Arc<str> = namespace.into();
    let mut samples = Vec::with_capacity(data.len());
    for (index, datum) in data.into_iter().enumerate() {
        let place = format!("MetricData.member.{}", index + 1);
        samples.push(sample(call.scope(), &namespace, datum, &place, call.now())?);
    }
    call.services.metrics.put(samples, call.now()).await.map_err(store)?;
    Ok(Unit)
}

fn sample(
    scope: &Scope,
    namespace: &Arc<str>,
    datum: MetricDatum,
    place: &str,
    now: Timestamp,
) -> Result<MetricSample, ApiError> {
    let at = datum.timestamp.map_or(now.as_millis(), |at| at.as_millis()).div_euclid(1000);
    let now = now.as_millis().div_euclid(1000);
    if at < now - OLDEST_SECONDS {
        return Err(invalid_value(format!(
            "The parameter {place}.Timestamp must specify a time within the past two weeks."
        )));
    }
    if at > now + NEWEST_SECONDS {
        return Err(invalid_value(format!(
            "The parameter {place}.Timestamp must specify a time no more than two hours in the future."
        )));
    }
    let high_resolution = match datum.storage_resolution {
        None | Some(60) => false,
        Some(1) => true,
        Some(other) => {
            return Err(invalid_value(format!(
                "The value {other} for parameter {place}.StorageResolution is invalid: it must be 1 or 60."
            )));
        }
    };
    let summary = summary(&datum, place)?;
    let name = datum.metric_name.unwrap_or_default();
    printable(&name, &format!("{place}.MetricName"))?;
    let key = key(scope, namespace, &name, datum.dimensions.as_deref(), place)?;
    let unit = datum.unit.unwrap_or(cloudwatch::StandardUnit::None).as_str();
    Ok(MetricSample { key, unit: unit.into(), at, high_resolution, summary })
}

fn summary(datum: &MetricDatum, place: &str) -> Result<Summary, ApiError> {
    let checked = |value: f64, what: &str| {
        if value.is_nan() || value.abs() > 2.0_f64.powi(GREATEST_POWER) {
            return Err(invalid_value(format!("The value {value} for parameter {place}.{what} is invalid.")));
        }
        Ok(value)
    };
    let exclusive = |one: &str, other: &str| {
        combination(format!(
            "The parameters {place}.{one} and {place}.{other} are mutually exclusive and you have specified both."
        ))
    };
    let values = datum.values.as_deref().filter(|values| !values.is_empty());
    match (datum.value, &datum.statistic_values, values) {
        (Some(_), Some(_), _) => Err(exclusive("Value", "StatisticValues")),
        (Some(_), _, Some(_)) => Err(exclusive("Value", "Values")),
        (_, Some(_), Some(_)) => Err(exclusive("StatisticValues", "Values")),
        (None, None, None) => Err(missing(&format!("{place}.Value"))),
        (Some(value), None, None) => Ok(Summary::of_value(checked(value, "Value")?)),
        (None, Some(set), None) => {
            let part = |value: Option<f64>, what| checked(value.unwrap_or_default(), what);
            let samples = part(set.sample_count, "StatisticValues.SampleCount")?;
            let sum = part(set.sum, "StatisticValues.Sum")?;
            let minimum = part(set.minimum, "StatisticValues.Minimum")?;
            let maximum = part(set.maximum, "StatisticValues.Maximum")?;
            if samples <= 0.0 {
                return Err(invalid_value(format!(
                    "The value {samples} for parameter {place}.StatisticValues.SampleCount is invalid."
                )));
            }
            if minimum > maximum {
                return Err(combination(format!(
                    "The parameter {place}.StatisticValues.Maximum must be greater than {place}.StatisticValues.Minimum."
                )));
            }
            Ok(Summary::of_set(samples, sum, minimum, maximum))
        }
        (None, None, Some(values)) => {
            if values.len() > MOST_VALUES {
                return Err(invalid_value(format!(
                    "The collection {place}.Values must not have a size greater than {MOST_VALUES}."
                )));
            }
            let counts = datum.counts.as_deref();
            if counts.is_some_and(|counts| counts.len() != values.len()) {
                return Err(invalid_value(format!(
                    "The parameters {place}.Values and {place}.Counts must be of the same size."
                )));
            }
            let mut pairs = Vec::with_capacity(values.len());
            for (index, value) in values.iter().enumerate() {
                let count = counts.and_then(|counts| counts.get(index)).copied().unwrap_or(1.0);
                let count = checked(count, "Counts")?;
                if count < 0.0 {
                    return Err(invalid_value(format!(
                        "The value {count} for parameter {place}.Counts is invalid."
                    )));
                }
                pairs.push((checked(*value, "Values")?, count));
            }
            let summary = Summary::of_values(pairs);
            if summary.is_empty() {
                return Err(invalid_value(format!(
                    "The parameter {place}.Counts must not be zero throughout."
                )));
            }
            Ok(summary)
        }
    }
}

/// The metric of a request.
///
/// # Errors
/// `InvalidParameterValue` for dimensions that are given twice, or are no printable text.
pub fn key(
    scope: &Scope,
    namespace: &Arc<str>,
    name: &str,
    dimensions: Option<&[cloudwatch::Dimension]>,
    place: &str,
) -> Result<MetricKey, ApiError> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for dimension in dimensions.unwrap_or_default() {
        let name = dimension.name.as_deref().unwrap_or_default();
        let value = dimension.value.as_deref().unwrap_or_default();
        for text in [name, value] {
            printable(text, &format!("{place}.Dimensions"))?;
            if text.trim().is_empty() {
                return Err(invalid_value(format!(
                    "The parameter {place}.Dimensions must contain at least one non-whitespace character in each name and value."
                )));
            }
        }
        if name.starts_with(':') {
            return Err(invalid_value(format!(
                "The value {name} for parameter {place}.Dimensions is invalid."
            )));
        }
        if pairs.iter().any(|(there, _)| *there == name) {
            return Err(invalid_value(format!(
                "No two dimensions of one metric can have the same name, as {name} of {place}.Dimensions."
            )));
        }
        pairs.push((name, value));
    }
    Ok(MetricKey::new(scope.clone(), Arc::clone(namespace), name, pairs))
}

/// Names are ASCII without control characters.
fn printable(text: &str, what: &str) -> Result<(), ApiError> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_control()) {
        return Ok(());
    }
    Err(invalid_value(format!("The parameter {what} must contain printable ASCII characters only.")))
}
