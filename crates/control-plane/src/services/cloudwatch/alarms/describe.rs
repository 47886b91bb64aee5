//! DescribeAlarms, DescribeAlarmsForMetric, DescribeAlarmHistory.

use std::sync::Arc;

use aws_shapes_cloudwatch::{
    AlarmHistoryItem, AlarmType, DescribeAlarmHistoryInput, DescribeAlarmHistoryOutput,
    DescribeAlarmsForMetricInput, DescribeAlarmsForMetricOutput, DescribeAlarmsInput, DescribeAlarmsOutput,
    HistoryItemType, ScanBy,
};
use state_store::View;
use vocabulary::Scope;

use super::{
    put::{own_name, rule_of},
    show,
};
use crate::{
    convert::{AwsJson, time},
    gateway::{ApiError, Call},
    services::cloudwatch::{
        errors::{combination, invalid_token, validation},
        records::{Alarm, Happened, History, Watches},
    },
};

const PAGE: usize = 50;
const HISTORY_PAGE: usize = 100;

pub async fn alarms(call: Call, input: DescribeAlarmsInput) -> Result<DescribeAlarmsOutput, ApiError> {
    let (scope, view) = (call.scope(), call.services.state.view());
    if input.alarm_names.is_some() && input.alarm_name_prefix.is_some() {
        return Err(combination("AlarmNamePrefix and AlarmNames are mutually exclusive."));
    }
    let types = input.alarm_types.unwrap_or_else(|| vec![AlarmType::MetricAlarm]);
    let family = match (&input.children_of_alarm_name, &input.parents_of_alarm_name) {
        (None, None) => None,
        (Some(_), Some(_)) => {
            return Err(combination("ChildrenOfAlarmName and ParentsOfAlarmName are mutually exclusive."));
        }
        (Some(parent), None) => Some(children(&view, scope, parent)?),
        (None, Some(child)) => Some(parents(&view, scope, child)),
    };
    let fits = |alarm: &Alarm| {
        let kind = if alarm.is_composite() { AlarmType::CompositeAlarm } else { AlarmType::MetricAlarm };
        let named = |names: &Vec<String>| names.contains(&alarm.name);
        let prefix = input.alarm_name_prefix.as_deref();
        (family.is_some() || types.contains(&kind))
            && input.alarm_names.as_ref().is_none_or(named)
            && prefix.is_none_or(|prefix| alarm.name.starts_with(prefix))
            && input.state_value.is_none_or(|wanted| show::state(alarm.state) == wanted)
            && family.as_ref().is_none_or(named)
            && input.action_prefix.as_deref().is_none_or(|prefix| {
                use metrics::alarm::State::{Alarm, InsufficientData, Ok};
                [Ok, Alarm, InsufficientData]
                    .iter()
                    .any(|state| alarm.actions(*state).iter().any(|action| action.starts_with(prefix)))
            })
    };
    let found = view.scan::<Alarm>(scope).map(|(_, alarm)| alarm).filter(|alarm| fits(alarm));
    let size = input.max_records.map_or(PAGE, |most| usize::try_from(most).unwrap_or(PAGE));
    let tokens = &call.services.page_tokens;
    let page = tokens
        .page("alarms", found, |alarm: &Arc<Alarm>| alarm.name.clone(), input.next_token.as_deref(), size)
        .map_err(|_| invalid_token())?;
    Ok(DescribeAlarmsOutput {
        metric_alarms: Some(page.items.iter().filter_map(|alarm| show::metric(scope, alarm)).collect()),
        composite_alarms: Some(page.items.iter().filter_map(|alarm| show::composite(scope, alarm)).collect()),
        log_alarms: None,
        next_token: page.next_token,
    })
}

/// The names of the alarms that a composite alarm rests on.
fn children(view: &View, scope: &Scope, parent: &str) -> Result<Vec<String>, ApiError> {
    let Some(alarm) = view.get::<Alarm>(scope, parent) else { return Ok(Vec::new()) };
    let Watches::Composite(AwsJson(given)) = &alarm.watches else { return Ok(Vec::new()) };
    let rule = rule_of(given)?;
    Ok(rule.children().iter().map(|child| own_name(scope, child).to_owned()).collect())
}

/// The names of the composite alarms that rest on an alarm.
fn parents(view: &View, scope: &Scope, child: &str) -> Vec<String> {
    let all = view.scan::<Alarm>(scope).map(|(_, alarm)| alarm);
    let rests = all.filter(|alarm| match &alarm.watches {
        Watches::Composite(AwsJson(given)) => {
            rule_of(given).is_ok_and(|rule| rule.children().iter().any(|one| own_name(scope, one) == child))
        }
        Watches::Metric(_) => false,
    });
    rests.map(|alarm| alarm.name.clone()).collect()
}

pub async fn for_metric(
    call: Call,
    input: DescribeAlarmsForMetricInput,
) -> Result<DescribeAlarmsForMetricOutput, ApiError> {
    let sorted = |dimensions: Option<Vec<aws_shapes_cloudwatch::Dimension>>| {
        let mut pairs: Vec<_> =
            dimensions.unwrap_or_default().into_iter().map(|one| (one.name, one.value)).collect();
        pairs.sort();
        pairs
    };
    let dimensions = sorted(input.dimensions);
    let (scope, view) = (call.scope(), call.services.state.view());
    let fits = |alarm: &Alarm| {
        let Watches::Metric(AwsJson(given)) = &alarm.watches else { return false };
        given.namespace == input.namespace
            && given.metric_name == input.metric_name
            && sorted(given.dimensions.clone()) == dimensions
            && input.statistic.is_none_or(|statistic| given.statistic == Some(statistic))
            && input
                .extended_statistic
                .as_ref()
                .is_none_or(|text| given.extended_statistic.as_ref() == Some(text))
            && input.period.is_none_or(|period| given.period == Some(period))
            && input.unit.is_none_or(|unit| given.unit == Some(unit))
    };
    let found = view.scan::<Alarm>(scope).filter(|(_, alarm)| fits(alarm));
    let shown = found.filter_map(|(_, alarm)| show::metric(scope, &alarm)).collect();
    Ok(DescribeAlarmsForMetricOutput { metric_alarms: Some(shown) })
}

pub async fn history(
    call: Call,
    input: DescribeAlarmHistoryInput,
) -> Result<DescribeAlarmHistoryOutput, ApiError> {
    if input.alarm_contributor_id.is_some() {
        return Err(validation("Alarms with contributors are not there on this platform."));
    }
    let (scope, view) = (call.scope(), call.services.state.view());
    let types = input.alarm_types.unwrap_or_else(|| vec![AlarmType::MetricAlarm]);
    let millis = |at: Option<aws_schema::Timestamp>| at.map(|at| at.as_millis());
    let (from, to) = (millis(input.start_date), millis(input.end_date));
    let mut items: Vec<(String, AlarmHistoryItem)> = Vec::new();
    for (name, history) in view.scan::<History>(scope) {
        let kind = if history.composite { AlarmType::CompositeAlarm } else { AlarmType::MetricAlarm };
        if input.alarm_name.as_deref().is_some_and(|wanted| wanted != name) || !types.contains(&kind) {
            continue;
        }
        for (index, item) in history.items.iter().enumerate() {
            let what = match item.kind {
                Happened::Configuration => HistoryItemType::ConfigurationUpdate,
                Happened::State => HistoryItemType::StateUpdate,
                Happened::Action => HistoryItemType::Action,
            };
            let at = item.at.as_millis();
            if input.history_item_type.is_some_and(|wanted| wanted != what)
                || from.is_some_and(|from| at < from)
                || to.is_some_and(|to| at > to)
            {
                continue;
            }
            let shown = AlarmHistoryItem {
                alarm_name: Some(name.to_owned()),
                alarm_type: Some(kind),
                timestamp: Some(time(item.at)),
                history_item_type: Some(what),
                history_summary: Some(item.summary.clone()),
                history_data: Some(item.data.clone()),
                ..AlarmHistoryItem::default()
            };
            items.push((format!("{at:020}/{index:06}/{name}"), shown));
        }
    }
    let ascending = input.scan_by == Some(ScanBy::TimestampAscending);
    items.sort_by(|(a, _), (b, _)| if ascending { a.cmp(b) } else { b.cmp(a) });
    let size = input.max_records.map_or(HISTORY_PAGE, |most| usize::try_from(most).unwrap_or(HISTORY_PAGE));
    let tokens = &call.services.page_tokens;
    let after = match &input.next_token {
        Some(token) => Some(tokens.open("alarm-history", token).map_err(|_| invalid_token())?),
        None => None,
    };
    let begin = after.map_or(0, |after| {
        items.partition_point(|(key, _)| if ascending { *key <= after } else { *key >= after })
    });
    let rest = &items[begin..];
    let next_token = (rest.len() > size).then(|| tokens.seal("alarm-history", &rest[size - 1].0));
    let shown = rest.iter().take(size).map(|(_, item)| item.clone()).collect();
    Ok(DescribeAlarmHistoryOutput { alarm_history_items: Some(shown), next_token })
}
