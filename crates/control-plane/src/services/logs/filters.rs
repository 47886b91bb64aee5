//! Metric and subscription filters: there are none, because nothing would act on them yet. Asking for those of a group
//! is answered truthfully; making one is not possible (501). What a pattern lets through can be tried out.

use aws_shapes_logs::{
    DescribeMetricFiltersRequest, DescribeMetricFiltersResponse, DescribeSubscriptionFiltersRequest,
    DescribeSubscriptionFiltersResponse, MetricFilterMatchRecord, TestMetricFilterRequest,
    TestMetricFilterResponse,
};

use super::{
    names::{group, invalid, required},
    pattern::FilterPattern,
};
use crate::gateway::{ApiError, Call};

pub async fn describe_metric(
    call: Call,
    input: DescribeMetricFiltersRequest,
) -> Result<DescribeMetricFiltersResponse, ApiError> {
    if let Some(name) = input.log_group_name {
        call.services.logs.state.read(|view| group(view, call.scope(), &name))?;
    }
    Ok(DescribeMetricFiltersResponse { metric_filters: Some(Vec::new()), next_token: None })
}

pub async fn describe_subscription(
    call: Call,
    input: DescribeSubscriptionFiltersRequest,
) -> Result<DescribeSubscriptionFiltersResponse, ApiError> {
    call.services.logs.state.read(|view| group(view, call.scope(), &required(input.log_group_name)))?;
    Ok(DescribeSubscriptionFiltersResponse { subscription_filters: Some(Vec::new()), next_token: None })
}

pub async fn test_metric(
    _: Call,
    input: TestMetricFilterRequest,
) -> Result<TestMetricFilterResponse, ApiError> {
    let pattern =
        FilterPattern::parse(&required(input.filter_pattern)).map_err(|error| invalid(error.to_string()))?;
    let messages = input.log_event_messages.unwrap_or_default();
    let matches = messages.into_iter().zip(1..).filter(|(message, _)| pattern.matches(message));
    let record = |(message, number): (String, i64)| MetricFilterMatchRecord {
        extracted_values: Some(pattern.extract(&message)),
        event_message: Some(message),
        event_number: Some(number),
    };
    Ok(TestMetricFilterResponse { matches: Some(matches.map(record).collect()) })
}
