//! GetMetricStatistics.

use std::collections::BTreeMap;

use super::{
    errors::{combination, invalid_value},
    put_data::key,
    reading::{self, Metric},
};
use crate::gateway::{ApiError, Call};
use aws_schema::Timestamp;
use aws_shapes_cloudwatch::{Datapoint, GetMetricStatisticsInput, GetMetricStatisticsOutput, StandardUnit};
use metrics::{Statistic, Summary, rounded_start};

/// Data points of one answer.
const MOST_POINTS: i64 = 1440;

pub async fn get(call: Call, input: GetMetricStatisticsInput) -> Result<GetMetricStatisticsOutput, ApiError> {
    let simple = input.statistics.unwrap_or_default();
    let extended: Vec<Statistic> = input
        .extended_statistics
        .iter()
        .flatten()
        .map(|text| {
            let parsed: Option<Statistic> = text.parse().ok();
            parsed.filter(|parsed| !parsed.is_simple()).ok_or_else(|| {
                invalid_value(format!("The value {text} for parameter ExtendedStatistics is not supported."))
            })
        })
        .collect::<Result<_, _>>()?;
    if simple.is_empty() && extended.is_empty() {
        return Err(combination(
            "At least one of the parameters Statistics and ExtendedStatistics must be specified.",
        ));
    }
    let period = valid_period(input.period.unwrap_or(0))?;
    let second = |at: Option<Timestamp>| at.map_or(0, |at| at.as_millis().div_euclid(1000));
    let (asked_from, to) = (second(input.start_time), second(input.end_time));
    if asked_from >= to {
        return Err(combination("The parameter StartTime must be less than the parameter EndTime."));
    }
    let count = (to - asked_from).saturating_add(period - 1) / period;
    if count > MOST_POINTS {
        return Err(combination(format!(
            "You have requested up to {count} datapoints, which exceeds the limit of {MOST_POINTS}. You may reduce the datapoints \
             requested by increasing Period, or decreasing the time range."
        )));
    }
    let from = rounded_start(asked_from, period, call.now().as_millis().div_euclid(1000));
    let name = input.metric_name.unwrap_or_default();
    let namespace = input.namespace.unwrap_or_default().into();
    let metric = Metric {
        key: key(call.scope(), &namespace, &name, input.dimensions.as_deref(), "Metric")?,
        unit: input.unit.map(|unit| unit.as_str().to_owned()),
    };
    let units = reading::units(&call.services, &metric, (from, to), period).await?;
    let wanted: Vec<&str> = simple.iter().map(|statistic| statistic.as_str()).collect();
    let points = units.iter().flat_map(|(unit, sums)| {
        sums.iter().filter_map(|(at, sum)| datapoint(*at, sum, unit, &wanted, &extended))
    });
    Ok(GetMetricStatisticsOutput { label: Some(name), datapoints: Some(points.collect()) })
}

/// None when nothing that is asked for is known.
fn datapoint(
    at: i64,
    sum: &Summary,
    unit: &str,
    simple: &[&str],
    extended: &[Statistic],
) -> Option<Datapoint> {
    let given = |name: &str, value: f64| simple.contains(&name).then_some(value);
    let extended: BTreeMap<String, f64> = extended
        .iter()
        .filter_map(|statistic| Some((statistic.as_str().to_owned(), statistic.of(sum)?)))
        .collect();
    if simple.is_empty() && extended.is_empty() {
        return None;
    }
    Some(Datapoint {
        timestamp: Some(Timestamp::from_millis(at * 1000)),
        sample_count: given("SampleCount", sum.samples),
        average: given("Average", sum.average()),
        sum: given("Sum", sum.sum),
        minimum: given("Minimum", sum.minimum),
        maximum: given("Maximum", sum.maximum),
        unit: StandardUnit::parse(unit),
        extended_statistics: (!extended.is_empty()).then_some(extended),
    })
}

/// A period of metrics in seconds.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn valid_period(period: i32) -> Result<i64, ApiError> {
    let period = i64::from(period);
    if [1, 5, 10, 20, 30].contains(&period)
        || (period > 0 && period % 60 == 0 && period <= metrics::DAY_SECONDS)
    {
        return Ok(period);
    }
    Err(invalid_value(format!(
        "The value {period} for parameter Period is invalid: it must be 1, 5, 10, 20, 30 or a multiple of 60, and at most 86400."
    )))
}
