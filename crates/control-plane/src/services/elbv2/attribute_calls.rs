//! The API of attributes.

use agent_protocol::LogKind;
use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::{
    DescribeListenerAttributesInput, DescribeListenerAttributesOutput, DescribeLoadBalancerAttributesInput,
    DescribeLoadBalancerAttributesOutput, DescribeTargetGroupAttributesInput,
    DescribeTargetGroupAttributesOutput, ModifyListenerAttributesInput, ModifyListenerAttributesOutput,
    ModifyLoadBalancerAttributesInput, ModifyLoadBalancerAttributesOutput, ModifyTargetGroupAttributesInput,
    ModifyTargetGroupAttributesOutput,
};

use super::{
    access_logs,
    attributes::{self, Known},
    balancers,
    errors::invalid_configuration,
    groups, listeners,
    records::{Attributes, Listener, LoadBalancer, Protocol, TargetGroup},
};
use crate::gateway::{ApiError, Call};

/// The shapes of all attributes.
macro_rules! shapes {
    ($shape:ident, $table:expr, $own:expr) => {
        attributes::all($table, $own)
            .into_iter()
            .map(|(key, value)| elbv2::$shape { key: Some(key), value: Some(value) })
            .collect()
    };
}

fn pairs<T>(
    given: Option<Vec<T>>,
    pair: impl Fn(T) -> (Option<String>, Option<String>),
) -> Vec<(Option<String>, Option<String>)> {
    given.unwrap_or_default().into_iter().map(pair).collect()
}

pub async fn describe_load_balancer(
    call: Call,
    input: DescribeLoadBalancerAttributesInput,
) -> Result<DescribeLoadBalancerAttributesOutput, ApiError> {
    let arn = input.load_balancer_arn.unwrap_or_default();
    let found = call.services.state.read(|view| balancers::see(view, call.scope(), &arn))?;
    let table = attributes::of_load_balancer(found.kind);
    Ok(DescribeLoadBalancerAttributesOutput {
        attributes: Some(shapes!(LoadBalancerAttribute, &table, &found.attributes)),
    })
}

pub async fn modify_load_balancer(
    call: Call,
    input: ModifyLoadBalancerAttributesInput,
) -> Result<ModifyLoadBalancerAttributesOutput, ApiError> {
    let arn = input.load_balancer_arn.unwrap_or_default();
    let given = pairs(input.attributes, |one| (one.key, one.value));
    let found = call.services.state.read(|view| balancers::see(view, call.scope(), &arn))?;
    let table = attributes::of_load_balancer(found.kind);
    let wanted = attributes::changed(&table, "Load balancer", &found.attributes, given.clone())?;
    for kind in [LogKind::Access, LogKind::Connection] {
        let place = access_logs::place(&found, &wanted, kind);
        let before = access_logs::place(&found, &found.attributes, kind);
        if let Some(place) = place.filter(|place| before.as_ref() != Some(place)) {
            let subject = access_logs::Subject::of(call.scope(), &found);
            access_logs::check(&call.services, &subject, &place, kind).await?;
        }
    }
    let (table, own) = call
        .services
        .state
        .transact(|tx| {
            let found = balancers::get(tx, call.scope(), &arn)?;
            let table = attributes::of_load_balancer(found.kind);
            let changed = attributes::changed(&table, "Load balancer", &found.attributes, given.clone())?;
            let put = LoadBalancer { attributes: changed.clone(), ..(*found).clone() };
            tx.put(call.scope(), &found.key(), put);
            Ok::<_, ApiError>((table, changed))
        })
        .await?;
    Ok(ModifyLoadBalancerAttributesOutput { attributes: Some(shapes!(LoadBalancerAttribute, &table, &own)) })
}

pub async fn describe_listener(
    call: Call,
    input: DescribeListenerAttributesInput,
) -> Result<DescribeListenerAttributesOutput, ApiError> {
    let arn = input.listener_arn.unwrap_or_default();
    let found = call.services.state.read(|view| listeners::see(view, call.scope(), &arn))?;
    let table = attributes::of_listener(found.protocol);
    Ok(DescribeListenerAttributesOutput {
        attributes: Some(shapes!(ListenerAttribute, &table, &found.attributes)),
    })
}

pub async fn modify_listener(
    call: Call,
    input: ModifyListenerAttributesInput,
) -> Result<ModifyListenerAttributesOutput, ApiError> {
    let arn = input.listener_arn.unwrap_or_default();
    let given = pairs(input.attributes, |one| (one.key, one.value));
    let (table, own) = call
        .services
        .state
        .transact(|tx| {
            let found = listeners::get(tx, call.scope(), &arn)?;
            let table = attributes::of_listener(found.protocol);
            let changed = attributes::changed(&table, "Listener", &found.attributes, given.clone())?;
            tx.put(call.scope(), &found.key(), Listener { attributes: changed.clone(), ..(*found).clone() });
            Ok::<_, ApiError>((table, changed))
        })
        .await?;
    Ok(ModifyListenerAttributesOutput { attributes: Some(shapes!(ListenerAttribute, &table, &own)) })
}

pub async fn describe_target_group(
    call: Call,
    input: DescribeTargetGroupAttributesInput,
) -> Result<DescribeTargetGroupAttributesOutput, ApiError> {
    let arn = input.target_group_arn.unwrap_or_default();
    let found = call.services.state.read(|view| groups::see(view, call.scope(), &arn))?;
    let table = attributes::of_target_group(&found);
    Ok(DescribeTargetGroupAttributesOutput {
        attributes: Some(shapes!(TargetGroupAttribute, &table, &found.attributes)),
    })
}

pub async fn modify_target_group(
    call: Call,
    input: ModifyTargetGroupAttributesInput,
) -> Result<ModifyTargetGroupAttributesOutput, ApiError> {
    let arn = input.target_group_arn.unwrap_or_default();
    let given = pairs(input.attributes, |one| (one.key, one.value));
    let (table, own) = call
        .services
        .state
        .transact(|tx| {
            let found = groups::get(tx, call.scope(), &arn)?;
            let table = attributes::of_target_group(&found);
            stickiness_type(found.protocol, &given)?;
            let changed = attributes::changed(&table, "Target group", &found.attributes, given.clone())?;
            together(found.protocol, &table, &changed)?;
            tx.put(
                call.scope(),
                &found.key(),
                TargetGroup { attributes: changed.clone(), ..(*found).clone() },
            );
            Ok::<_, ApiError>((table, changed))
        })
        .await?;
    Ok(ModifyTargetGroupAttributesOutput { attributes: Some(shapes!(TargetGroupAttribute, &table, &own)) })
}

/// Whether the kind of stickiness that a request names is one, and one of the protocol's.
fn stickiness_type(protocol: Protocol, given: &[(Option<String>, Option<String>)]) -> Result<(), ApiError> {
    let named = given.iter().find(|(key, _)| key.as_deref() == Some("stickiness.type"));
    let Some(value) = named.and_then(|(_, value)| value.as_deref()) else { return Ok(()) };
    let fits = match value {
        "lb_cookie" | "app_cookie" => protocol.is_application(),
        "source_ip" => !protocol.is_application(),
        _ => {
            return Err(invalid_configuration(
                "'Stickiness type' must be one of [app_cookie, lb_cookie, source_ip]",
            ));
        }
    };
    if fits {
        return Ok(());
    }
    Err(invalid_configuration(format!(
        "Stickiness type '{value}' is not supported for target groups with the {} protocol",
        protocol.as_str()
    )))
}

/// Attributes that do not go together.
fn together(protocol: Protocol, table: &[Known], own: &Attributes) -> Result<(), ApiError> {
    let value = |key| attributes::get(table, own, key);
    if protocol == Protocol::Tls && value("stickiness.enabled") == "true" {
        return Err(invalid_configuration(
            "You cannot enable stickiness on target groups with the TLS protocol",
        ));
    }
    let algorithm = value("load_balancing.algorithm.type");
    let slow_start = !matches!(value("slow_start.duration_seconds"), "" | "0");
    if slow_start && algorithm != "round_robin" {
        return Err(invalid_configuration(
            "Slow start is only supported with the load balancing algorithm 'round_robin'",
        ));
    }
    if value("stickiness.type") == "app_cookie" && value("stickiness.enabled") == "true" {
        let name = value("stickiness.app_cookie.cookie_name");
        if name.is_empty() {
            return Err(invalid_configuration(
                "A cookie name must be specified for the stickiness type 'app_cookie'",
            ));
        }
        if name.starts_with("AWSALB") {
            return Err(invalid_configuration(format!("The cookie name '{name}' is reserved")));
        }
    }
    Ok(())
}
