//! CloudWatch: metrics and alarms.
//!
//! Metrics are in the metric store, beside the state; alarms and what happened to them are records. What the platform measures itself
//! goes into the same store (`meters`), under the names that AWS has for it. The arithmetic of both is the core `metrics`.
//!
//! Not here: dashboards, anomaly detection, metric streams, Metrics Insights, contributors, PromQL. What asks for one of them is refused.

pub mod alarms;
mod errors;
mod get_data;
mod list;
pub mod meters;
mod put_data;
mod queries;
mod reading;
pub mod records;
mod statistics;
mod tags;
#[cfg(test)]
mod tests;

use aws_shapes_cloudwatch as cloudwatch;

use crate::gateway::Operations;
use alarms::{calls, describe, put};
use records::{Alarm, History};

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(cloudwatch::SERVICE)
        .on::<cloudwatch::PutMetricData, _, _>(put_data::put)
        .on::<cloudwatch::GetMetricData, _, _>(get_data::get)
        .on::<cloudwatch::GetMetricStatistics, _, _>(statistics::get)
        .on::<cloudwatch::ListMetrics, _, _>(list::list)
        .on::<cloudwatch::PutMetricAlarm, _, _>(put::metric)
        .on::<cloudwatch::PutCompositeAlarm, _, _>(put::composite)
        .on::<cloudwatch::DescribeAlarms, _, _>(describe::alarms)
        .on::<cloudwatch::DescribeAlarmsForMetric, _, _>(describe::for_metric)
        .on::<cloudwatch::DescribeAlarmHistory, _, _>(describe::history)
        .on::<cloudwatch::DeleteAlarms, _, _>(calls::delete)
        .on::<cloudwatch::SetAlarmState, _, _>(calls::set_state)
        .on::<cloudwatch::EnableAlarmActions, _, _>(calls::enable)
        .on::<cloudwatch::DisableAlarmActions, _, _>(calls::disable)
        .on::<cloudwatch::TagResource, _, _>(tags::tag)
        .on::<cloudwatch::UntagResource, _, _>(tags::untag)
        .on::<cloudwatch::ListTagsForResource, _, _>(tags::list);
}

/// Declares the service's records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables.with::<Alarm>().with::<History>()
}
