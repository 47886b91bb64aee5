//! DeleteAlarms, SetAlarmState, EnableAlarmActions, DisableAlarmActions.

use aws_schema::Unit;
use aws_shapes_cloudwatch::{
    DeleteAlarmsInput, DisableAlarmActionsInput, EnableAlarmActionsInput, SetAlarmStateInput, StateValue,
    errors,
};
use metrics::alarm::State;

use super::{Change, change, put::configured};
use crate::{
    gateway::{ApiError, Call},
    services::cloudwatch::{errors::no_such_alarm, records::Alarm},
};

/// Alarms of one transaction: three operations each, and a transaction holds 128.
const BATCH: usize = 30;

pub async fn delete(call: Call, input: DeleteAlarmsInput) -> Result<Unit, ApiError> {
    let (scope, now) = (call.scope(), call.now());
    let names = input.alarm_names.unwrap_or_default();
    let view = call.services.state.view();
    if let Some(name) = names.iter().find(|name| view.get::<Alarm>(scope, name).is_none()) {
        return Err(no_such_alarm(name));
    }
    drop(view);
    for names in names.chunks(BATCH) {
        call.services
            .state
            .transact(|tx| {
                for name in names {
                    // Another may have deleted it meanwhile, which is as well.
                    if let Some(alarm) = tx.delete::<Alarm>(scope, name) {
                        configured(tx, scope, &alarm, "Delete", now);
                    }
                }
                Ok::<_, ApiError>(())
            })
            .await?;
    }
    Ok(Unit)
}

pub async fn set_state(call: Call, input: SetAlarmStateInput) -> Result<Unit, ApiError> {
    let (scope, now) = (call.scope(), call.now());
    let name = input.alarm_name.unwrap_or_default();
    if let Some(data) = &input.state_reason_data
        && serde_json::from_str::<serde_json::Value>(data).is_err()
    {
        return Err(ApiError::new(&errors::INVALID_FORMAT_FAULT, "StateReasonData is not valid JSON."));
    }
    let to = Change {
        state: match input.state_value {
            Some(StateValue::Alarm) => State::Alarm,
            Some(StateValue::InsufficientData) => State::InsufficientData,
            Some(StateValue::Ok) | None => State::Ok,
        },
        reason: input.state_reason.unwrap_or_default(),
        reason_data: input.state_reason_data,
    };
    call.services
        .state
        .transact(|tx| {
            let alarm = tx.get::<Alarm>(scope, &name).ok_or_else(|| no_such_alarm(&name))?;
            change(tx, scope, &alarm, to.clone(), now);
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(Unit)
}

pub async fn enable(call: Call, input: EnableAlarmActionsInput) -> Result<Unit, ApiError> {
    switch(&call, &input.alarm_names.unwrap_or_default(), true).await
}

pub async fn disable(call: Call, input: DisableAlarmActionsInput) -> Result<Unit, ApiError> {
    switch(&call, &input.alarm_names.unwrap_or_default(), false).await
}

/// Alarms that are not there are passed over, as AWS does.
async fn switch(call: &Call, names: &[String], enabled: bool) -> Result<Unit, ApiError> {
    let (scope, now) = (call.scope(), call.now());
    for names in names.chunks(BATCH) {
        call.services
            .state
            .transact(|tx| {
                for name in names {
                    let Some(there) = tx.get::<Alarm>(scope, name) else { continue };
                    if there.actions_enabled != enabled {
                        let alarm = Alarm { actions_enabled: enabled, ..(*there).clone() };
                        configured(tx, scope, &alarm, "Update", now);
                        tx.put(scope, name, alarm);
                    }
                }
                Ok::<_, ApiError>(())
            })
            .await?;
    }
    Ok(Unit)
}
