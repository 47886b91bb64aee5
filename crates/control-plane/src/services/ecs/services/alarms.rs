//! Alarms that watch over deployments.

use aws_shapes_ecs as ecs;
use state_store::View;
use vocabulary::Scope;

use crate::{gateway::ApiError, services::ecs::names::invalid};

/// The state of a CloudWatch alarm of this account and region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmState {
    Ok,
    Alarm,
    InsufficientData,
}

/// How the alarm with this name stands; none when there is no such alarm, which is always so as long as CloudWatch has no
/// alarms here.
pub fn state(_view: &View, _scope: &Scope, _name: &str) -> Option<AlarmState> {
    None
}

/// # Errors
/// `InvalidParameterException` when deployments are to watch alarms that are not there.
pub fn check(
    view: &View,
    scope: &Scope,
    configuration: Option<&ecs::DeploymentConfiguration>,
) -> Result<(), ApiError> {
    let Some(alarms) = configuration.and_then(|given| given.alarms.as_ref()) else { return Ok(()) };
    let names = alarms.alarm_names.iter().flatten();
    let unknown: Vec<&str> =
        names.filter(|name| state(view, scope, name).is_none()).map(String::as_str).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(invalid(format!("The following CloudWatch alarms do not exist: [{}].", unknown.join(", "))))
}

/// Those of `names` that are in ALARM.
pub fn in_alarm(view: &View, scope: &Scope, names: &[String]) -> Vec<String> {
    names.iter().filter(|name| state(view, scope, name) == Some(AlarmState::Alarm)).cloned().collect()
}
