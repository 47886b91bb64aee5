//! Alarms that watch over deployments.

use aws_shapes_ecs as ecs;
use metrics::alarm::State;
use state_store::View;
use vocabulary::Scope;

use crate::{
    gateway::ApiError,
    services::{cloudwatch::records::Alarm, ecs::names::invalid},
};

/// How the alarm with this name stands; none when there is no such alarm in this account and region.
pub fn state(view: &View, scope: &Scope, name: &str) -> Option<State> {
    view.get::<Alarm>(scope, name).map(|alarm| alarm.state)
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
    names.iter().filter(|name| state(view, scope, name) == Some(State::Alarm)).cloned().collect()
}

/// Whether deployments of a service with this configuration watch the alarm.
pub fn watched(configuration: Option<&ecs::DeploymentConfiguration>, name: &str) -> bool {
    let alarms =
        configuration.and_then(|given| given.alarms.as_ref()).filter(|alarms| alarms.enable == Some(true));
    alarms.is_some_and(|alarms| alarms.alarm_names.iter().flatten().any(|one| one == name))
}
