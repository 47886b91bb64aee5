//! Alarms as answers show them.

use aws_shapes_cloudwatch::{CompositeAlarm, MetricAlarm, StateValue};
use metrics::alarm::State;
use vocabulary::Scope;

use crate::{
    convert::{AwsJson, time},
    services::cloudwatch::records::{Alarm, Watches},
};

pub fn state(state: State) -> StateValue {
    match state {
        State::Ok => StateValue::Ok,
        State::Alarm => StateValue::Alarm,
        State::InsufficientData => StateValue::InsufficientData,
    }
}

/// None for a composite alarm.
pub fn metric(scope: &Scope, alarm: &Alarm) -> Option<MetricAlarm> {
    let Watches::Metric(AwsJson(given)) = &alarm.watches else { return None };
    let given = given.clone();
    Some(MetricAlarm {
        alarm_name: Some(alarm.name.clone()),
        alarm_arn: Some(alarm.arn(scope)),
        alarm_description: given.alarm_description,
        alarm_configuration_updated_timestamp: Some(time(alarm.configured_at)),
        actions_enabled: Some(alarm.actions_enabled),
        ok_actions: Some(given.ok_actions.unwrap_or_default()),
        alarm_actions: Some(given.alarm_actions.unwrap_or_default()),
        insufficient_data_actions: Some(given.insufficient_data_actions.unwrap_or_default()),
        state_value: Some(state(alarm.state)),
        state_reason: Some(alarm.reason.clone()),
        state_reason_data: alarm.reason_data.clone(),
        state_updated_timestamp: Some(time(alarm.state_updated_at)),
        state_transitioned_timestamp: Some(time(alarm.state_updated_at)),
        dimensions: given.metrics.is_none().then(|| given.dimensions.unwrap_or_default()),
        metric_name: given.metric_name,
        namespace: given.namespace,
        statistic: given.statistic,
        extended_statistic: given.extended_statistic,
        period: given.period,
        unit: given.unit,
        evaluation_periods: given.evaluation_periods,
        datapoints_to_alarm: given.datapoints_to_alarm,
        threshold: given.threshold,
        comparison_operator: given.comparison_operator,
        treat_missing_data: given.treat_missing_data,
        evaluate_low_sample_count_percentile: given.evaluate_low_sample_count_percentile,
        metrics: given.metrics,
        ..MetricAlarm::default()
    })
}

/// None for a metric alarm.
pub fn composite(scope: &Scope, alarm: &Alarm) -> Option<CompositeAlarm> {
    let Watches::Composite(AwsJson(given)) = &alarm.watches else { return None };
    let given = given.clone();
    Some(CompositeAlarm {
        alarm_name: Some(alarm.name.clone()),
        alarm_arn: Some(alarm.arn(scope)),
        alarm_description: given.alarm_description,
        alarm_configuration_updated_timestamp: Some(time(alarm.configured_at)),
        actions_enabled: Some(alarm.actions_enabled),
        ok_actions: Some(given.ok_actions.unwrap_or_default()),
        alarm_actions: Some(given.alarm_actions.unwrap_or_default()),
        insufficient_data_actions: Some(given.insufficient_data_actions.unwrap_or_default()),
        alarm_rule: given.alarm_rule,
        state_value: Some(state(alarm.state)),
        state_reason: Some(alarm.reason.clone()),
        state_reason_data: alarm.reason_data.clone(),
        state_updated_timestamp: Some(time(alarm.state_updated_at)),
        state_transitioned_timestamp: Some(time(alarm.state_updated_at)),
        ..CompositeAlarm::default()
    })
}
