//! Calls against the service, and turns of its loops, on a clock that stands.

mod alarms;
mod data;
mod measured;

use aws_schema::Timestamp;
use aws_shapes_cloudwatch::{
    ComparisonOperator, Dimension, GetMetricStatisticsInput, MetricDatum, PutMetricAlarmInput,
    PutMetricDataInput, Statistic,
};

use super::{put_data, statistics};
use crate::{gateway::ApiError, services::testing::Fixture};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;

fn at(fixture: &Fixture, millis: i64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(fixture.now().as_millis() + millis))
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension { name: text(name), value: text(value) }
}

fn value(value: f64) -> MetricDatum {
    MetricDatum { metric_name: text("Failures"), value: Some(value), ..MetricDatum::default() }
}

async fn put(fixture: &Fixture, data: Vec<MetricDatum>) -> Result<(), ApiError> {
    let input = PutMetricDataInput {
        namespace: text("Shop"),
        metric_data: Some(data),
        ..PutMetricDataInput::default()
    };
    put_data::put(fixture.call(), input).await.map(drop)
}

/// Sums of the last ten minutes, by the minute, the oldest first.
async fn sums(fixture: &Fixture, name: &str) -> Vec<f64> {
    let input = GetMetricStatisticsInput {
        namespace: text("Shop"),
        metric_name: text(name),
        start_time: at(fixture, -10 * MINUTE),
        end_time: at(fixture, MINUTE),
        period: Some(60),
        statistics: Some(vec![Statistic::Sum]),
        ..GetMetricStatisticsInput::default()
    };
    let mut points = statistics::get(fixture.call(), input).await.unwrap().datapoints.unwrap();
    points.sort_by_key(|point| point.timestamp.map(|at| at.as_millis()));
    points.into_iter().map(|point| point.sum.unwrap()).collect()
}

/// More than ten failures in one of the last minutes.
fn failing(name: &str) -> PutMetricAlarmInput {
    PutMetricAlarmInput {
        alarm_name: text(name),
        namespace: text("Shop"),
        metric_name: text("Failures"),
        statistic: Some(Statistic::Sum),
        period: Some(60),
        evaluation_periods: Some(1),
        threshold: Some(10.0),
        comparison_operator: Some(ComparisonOperator::GreaterThanThreshold),
        ..PutMetricAlarmInput::default()
    }
}
