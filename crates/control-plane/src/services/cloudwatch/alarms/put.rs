//! PutMetricAlarm, PutCompositeAlarm.

use aws_schema::Unit;
use aws_shapes_cloudwatch::{PutCompositeAlarmInput, PutMetricAlarmInput, errors};
use metrics::{alarm::State, composite::Rule};
use serde_json::json;
use state_store::{Tx, View};
use vocabulary::{Arn, Scope, Timestamp};

use super::{remember, watched::Watched};
use crate::{
    convert::AwsJson,
    gateway::{ApiError, Call},
    services::{
        cloudwatch::{
            errors::validation,
            records::{Alarm, Happened, HistoryItem, Watches, arn},
            tags,
        },
        tagging::Tags,
    },
};

/// Alarms of an account in a region.
const MOST_ALARMS: usize = 5000;

pub async fn metric(call: Call, mut input: PutMetricAlarmInput) -> Result<Unit, ApiError> {
    let members = [
        ("EvaluationCriteria", input.evaluation_criteria.is_some()),
        ("EvaluationWindow", input.evaluation_window.is_some()),
        ("EvaluationInterval", input.evaluation_interval.is_some()),
        ("WarmUpConfiguration", input.warm_up_configuration.is_some()),
        ("ActionConfiguration", input.action_configuration.is_some()),
    ];
    refuse_unknown(&members)?;
    let scope = call.scope();
    Watched::of(scope, &input)?;
    check_actions([&input.ok_actions, &input.alarm_actions, &input.insufficient_data_actions])?;
    let tags = tags::given(input.tags.take())?;
    let name = input.alarm_name.clone().unwrap_or_default();
    let enabled = input.actions_enabled.unwrap_or(true);
    put(&call, &name, Watches::Metric(AwsJson(input)), enabled, tags).await
}

pub async fn composite(call: Call, mut input: PutCompositeAlarmInput) -> Result<Unit, ApiError> {
    let members = [
        ("ActionsSuppressor", input.actions_suppressor.is_some()),
        ("ActionsSuppressorWaitPeriod", input.actions_suppressor_wait_period.is_some()),
        ("ActionsSuppressorExtensionPeriod", input.actions_suppressor_extension_period.is_some()),
        ("ActionConfiguration", input.action_configuration.is_some()),
    ];
    refuse_unknown(&members)?;
    check_actions([&input.ok_actions, &input.alarm_actions, &input.insufficient_data_actions])?;
    let scope = call.scope();
    let name = input.alarm_name.clone().unwrap_or_default();
    let rule = rule_of(&input)?;
    let view = call.services.state.view();
    for child in rule.children() {
        if own_name(scope, child) == name {
            return Err(validation(format!("The alarm {name} can not rest on itself.")));
        }
        if view.get::<Alarm>(scope, own_name(scope, child)).is_none() {
            return Err(validation(format!(
                "Could not save the composite alarm as alarms [{child}] in the alarm rule do not exist"
            )));
        }
        if rests_on(&view, scope, own_name(scope, child), &name, 0) {
            return Err(validation(format!(
                "The alarm {child} rests on {name} already, which would make a circle."
            )));
        }
    }
    let tags = tags::given(input.tags.take())?;
    let enabled = input.actions_enabled.unwrap_or(true);
    put(&call, &name, Watches::Composite(AwsJson(input)), enabled, tags).await
}

/// The rule of a composite alarm.
///
/// # Errors
/// `ValidationError`.
pub fn rule_of(given: &PutCompositeAlarmInput) -> Result<Rule, ApiError> {
    let text = given.alarm_rule.as_deref().unwrap_or_default();
    text.parse().map_err(|error| validation(format!("AlarmRule is not valid: {error}")))
}

/// The name in a rule without what makes it an ARN of this account and region.
pub fn own_name<'a>(scope: &Scope, text: &'a str) -> &'a str {
    text.strip_prefix(&arn(scope, "")).unwrap_or(text)
}

/// Whether a composite alarm's rule names another, by itself or by those that it names. Circles are found before they are made, so that
/// the depth is that of what there is.
fn rests_on(view: &View, scope: &Scope, name: &str, on: &str, depth: usize) -> bool {
    let Some(alarm) = view.get::<Alarm>(scope, name) else { return false };
    let Watches::Composite(AwsJson(given)) = &alarm.watches else { return false };
    let Ok(rule) = rule_of(given) else { return false };
    depth > 64
        || rule
            .children()
            .iter()
            .map(|child| own_name(scope, child))
            .any(|child| child == on || rests_on(view, scope, child, on, depth + 1))
}

fn refuse_unknown(members: &[(&str, bool)]) -> Result<(), ApiError> {
    match members.iter().find(|(_, there)| *there) {
        Some((name, _)) => Err(validation(format!("{name} is not there on this platform."))),
        None => Ok(()),
    }
}

fn check_actions(actions: [&Option<Vec<String>>; 3]) -> Result<(), ApiError> {
    for action in actions.into_iter().flatten().flatten() {
        if action.parse::<Arn>().is_err() {
            return Err(validation(format!("Invalid arn syntax: {action}")));
        }
    }
    Ok(())
}

async fn put(call: &Call, name: &str, watches: Watches, enabled: bool, tags: Tags) -> Result<Unit, ApiError> {
    let (scope, now) = (call.scope(), call.now());
    call.services
        .state
        .transact(|tx| {
            let there = tx.get::<Alarm>(scope, name);
            let alarm = match &there {
                Some(there) if there.is_composite() != matches!(watches, Watches::Composite(_)) => {
                    return Err(validation(format!(
                        "The alarm {name} exists already and is of another type."
                    )));
                }
                // Its state stays until it is evaluated, and its tags are changed by other operations.
                Some(there) => Alarm {
                    watches: watches.clone(),
                    actions_enabled: enabled,
                    configured_at: now.max(there.configured_at + std::time::Duration::from_millis(1)),
                    ..(**there).clone()
                },
                None => {
                    // Counted without a guard: two at once may go over by one, which harms nothing.
                    if tx.view().scan::<Alarm>(scope).count() >= MOST_ALARMS {
                        let message = format!("There can be at most {MOST_ALARMS} alarms.");
                        return Err(ApiError::new(&errors::LIMIT_EXCEEDED_FAULT, message));
                    }
                    Alarm {
                        name: name.to_owned(),
                        watches: watches.clone(),
                        actions_enabled: enabled,
                        configured_at: now,
                        state: State::InsufficientData,
                        reason: "Unchecked: Initial alarm creation".to_owned(),
                        reason_data: None,
                        state_updated_at: now,
                        tags: tags.clone(),
                    }
                }
            };
            configured(tx, scope, &alarm, if there.is_some() { "Update" } else { "Create" }, now);
            tx.put(scope, name, alarm);
            Ok(())
        })
        .await?;
    Ok(Unit)
}

/// Remembers that an alarm was created, updated or deleted.
pub fn configured(tx: &mut Tx, scope: &Scope, alarm: &Alarm, what: &str, now: Timestamp) {
    let words = match what {
        "Create" => "created",
        "Update" => "updated",
        _ => "deleted",
    };
    let data = json!({"version": "1.0", "type": what, "alarmArn": alarm.arn(scope), "actionsEnabled": alarm.actions_enabled});
    let item = HistoryItem {
        at: now,
        kind: Happened::Configuration,
        summary: format!("Alarm \"{}\" {words}", alarm.name).chars().take(255).collect(),
        data: data.to_string(),
    };
    remember(tx, scope, alarm, vec![item]);
}
