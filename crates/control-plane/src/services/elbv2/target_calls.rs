//! The API of targets.

use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::{
    DeregisterTargetsInput, DeregisterTargetsOutput, DescribeTargetHealthInput, DescribeTargetHealthOutput,
    RegisterTargetsInput, RegisterTargetsOutput,
};

use super::{
    errors::{invalid_target, validation},
    groups, names,
    records::{Target, TargetGroup, target_key},
    targets::{self, Health, State, TargetId},
};
use crate::gateway::{ApiError, Call};

fn parse(given: Option<Vec<elbv2::TargetDescription>>) -> Result<Vec<TargetId>, ApiError> {
    let given = given.unwrap_or_default();
    if given.len() > targets::MOST_TARGETS {
        return Err(validation(format!("At most '{}' targets can be specified", targets::MOST_TARGETS)));
    }
    let target = |one: elbv2::TargetDescription| {
        if one.quic_server_id.is_some() {
            return Err(invalid_target("Longshore does not support QUIC"));
        }
        let port = one.port.and_then(|port| u16::try_from(port).ok());
        Ok(TargetId { id: one.id.unwrap_or_default(), port, zone: one.availability_zone })
    };
    given.into_iter().map(target).collect()
}

pub async fn register(call: Call, input: RegisterTargetsInput) -> Result<RegisterTargetsOutput, ApiError> {
    let (arn, wanted) = (input.target_group_arn.unwrap_or_default(), parse(input.targets)?);
    names::check_arn(&arn, "targetgroup")?;
    if wanted.is_empty() {
        return Err(validation("A target must be specified"));
    }
    // Refused as a whole, before the first is written: they may be more than a transaction holds.
    for batch in wanted.chunks(targets::BATCH) {
        call.services
            .state
            .transact(|tx| {
                for target in &wanted {
                    targets::admissible(tx.view(), call.scope(), &arn, target)?;
                }
                for target in batch {
                    targets::register(tx, call.scope(), &arn, target, call.now())?;
                }
                Ok::<_, ApiError>(())
            })
            .await?;
    }
    Ok(RegisterTargetsOutput {})
}

pub async fn deregister(
    call: Call,
    input: DeregisterTargetsInput,
) -> Result<DeregisterTargetsOutput, ApiError> {
    let (arn, wanted) = (input.target_group_arn.unwrap_or_default(), parse(input.targets)?);
    let scope = call.scope();
    names::check_arn(&arn, "targetgroup")?;
    if wanted.is_empty() {
        return Err(validation("A target must be specified"));
    }
    // A target without a port stands for all its ports.
    let view = call.services.state.view();
    let group = groups::see(&view, scope, &arn)?;
    let mut each = Vec::new();
    for target in wanted {
        if target.port.is_some() {
            each.push(target);
            continue;
        }
        let registered = view.scan_prefix::<Target>(scope, &format!("{}/{}:", group.key(), target.id));
        each.extend(registered.map(|(_, found)| TargetId { port: Some(found.port), ..target.clone() }));
    }
    for batch in each.chunks(targets::BATCH) {
        call.services
            .state
            .transact(|tx| {
                for target in batch {
                    targets::deregister(tx, scope, &arn, target, call.now())?;
                }
                Ok::<_, ApiError>(())
            })
            .await?;
    }
    Ok(DeregisterTargetsOutput {})
}

pub async fn health(
    call: Call,
    input: DescribeTargetHealthInput,
) -> Result<DescribeTargetHealthOutput, ApiError> {
    let (arn, wanted) = (input.target_group_arn.unwrap_or_default(), parse(input.targets)?);
    let scope = call.scope();
    let view = call.services.state.view();
    let group = groups::see(&view, scope, &arn)?;
    let board = &call.services.target_health;
    let mut described = Vec::new();
    if wanted.is_empty() {
        for (_, target) in view.scan_prefix::<Target>(scope, &targets::prefix(&group)) {
            let health = targets::health_of(&view, board, scope, &group, &target, call.now());
            if health.state != State::Absent {
                described.push(shape(&group, &target, health));
            }
        }
    }
    for one in wanted {
        let port = one.port.unwrap_or(group.port);
        let found = view.get::<Target>(scope, &target_key(&group.key(), &one.id, port));
        let health = targets::health(&view, board, scope, &arn, &one, call.now());
        let target = found.map(|found| (*found).clone()).unwrap_or(Target {
            id: one.id,
            port,
            zone: one.zone,
            registered_at: call.now(),
            registration: 0,
            draining: None,
        });
        described.push(shape(&group, &target, health));
    }
    Ok(DescribeTargetHealthOutput { target_health_descriptions: Some(described) })
}

fn shape(group: &TargetGroup, target: &Target, health: Health) -> elbv2::TargetHealthDescription {
    let unregistered =
        || Health::new(State::Unused, "Target.NotRegistered", "Target is not registered to the target group");
    let health = if health.state == State::Absent { unregistered() } else { health };
    let state = match health.state {
        State::Absent | State::Unused => elbv2::TargetHealthStateEnum::Unused,
        State::Initial => elbv2::TargetHealthStateEnum::Initial,
        State::Healthy => elbv2::TargetHealthStateEnum::Healthy,
        State::Unhealthy => elbv2::TargetHealthStateEnum::Unhealthy,
        State::Draining => elbv2::TargetHealthStateEnum::Draining,
        State::Unavailable => elbv2::TargetHealthStateEnum::Unavailable,
    };
    let check_port = group.health_check.port.unwrap_or(target.port);
    elbv2::TargetHealthDescription {
        target: Some(elbv2::TargetDescription {
            id: Some(target.id.clone()),
            port: Some(i32::from(target.port)),
            availability_zone: target.zone.clone(),
            quic_server_id: None,
        }),
        health_check_port: Some(check_port.to_string()),
        target_health: Some(elbv2::TargetHealth {
            state: Some(state),
            reason: health.reason.as_deref().and_then(elbv2::TargetHealthReasonEnum::parse),
            description: health.description,
        }),
        // There are no zonal shifts.
        administrative_override: Some(elbv2::AdministrativeOverride {
            state: Some(elbv2::TargetAdministrativeOverrideStateEnum::NoOverride),
            reason: Some(elbv2::TargetAdministrativeOverrideReasonEnum::AdministrativeOverrideNoOverride),
            description: Some("No override is currently active on target".to_owned()),
        }),
        anomaly_detection: None,
    }
}
