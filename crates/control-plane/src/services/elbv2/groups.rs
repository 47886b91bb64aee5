//! Target groups.

use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::{
    CreateTargetGroupInput, CreateTargetGroupOutput, DeleteTargetGroupInput, DeleteTargetGroupOutput,
    DescribeTargetGroupsInput, DescribeTargetGroupsOutput, ModifyTargetGroupInput, ModifyTargetGroupOutput,
    errors,
};
use std::sync::Arc;

use state_store::{Tx, View};
use vocabulary::{Ids, Scope};

use super::{
    arns, balancers, checks,
    errors::{target_group_not_found, unsupported, validation},
    names, page,
    records::{
        Attributes, HealthCheck, Listener, Protocol, ProtocolVersion, Target, TargetGroup, TargetType,
        load_balancer_arn,
    },
    tags, targets,
};
use crate::{
    gateway::{ApiError, Call},
    services::ec2::{networks, records::Vpc},
};

/// Target groups in a region.
pub const MOST_GROUPS: usize = 3000;

/// The target group with this ARN, in a transaction.
///
/// # Errors
/// `TargetGroupNotFound`.
pub fn get(tx: &mut Tx, scope: &Scope, arn: &str) -> Result<Arc<TargetGroup>, ApiError> {
    let found = arns::key(scope, arn, "targetgroup").and_then(|key| tx.get::<TargetGroup>(scope, key));
    found.ok_or_else(|| target_group_not_found(arn))
}

/// As [`get`], to look at.
///
/// # Errors
/// `TargetGroupNotFound`; `ValidationError` for what is no ARN of a target group.
pub fn see(view: &View, scope: &Scope, arn: &str) -> Result<Arc<TargetGroup>, ApiError> {
    names::check_arn(arn, "targetgroup")?;
    let found = arns::key(scope, arn, "targetgroup").and_then(|key| view.get::<TargetGroup>(scope, key));
    found.ok_or_else(|| target_group_not_found(arn))
}

/// A target group as a request describes it, without an id.
fn described(input: CreateTargetGroupInput) -> Result<TargetGroup, ApiError> {
    let name = names::target_group(input.name)?;
    let target_type = match input.target_type {
        None | Some(elbv2::TargetTypeEnum::Instance) => TargetType::Instance,
        Some(elbv2::TargetTypeEnum::Ip) => TargetType::Ip,
        Some(elbv2::TargetTypeEnum::Lambda) => return Err(unsupported("targets of the type 'lambda'")),
        Some(elbv2::TargetTypeEnum::Alb) => return Err(unsupported("targets of the type 'alb'")),
    };
    if input.ip_address_type == Some(elbv2::TargetGroupIpAddressTypeEnum::Ipv6) {
        return Err(unsupported("IPv6 addresses"));
    }
    if input.target_control_port.is_some() {
        return Err(unsupported("target control ports"));
    }
    let protocol = input.protocol.ok_or_else(|| validation("A protocol must be specified"))?;
    let protocol = Protocol::parse(protocol.as_str())
        .ok_or_else(|| unsupported(&format!("target groups with the protocol '{protocol}'")))?;
    let port = input.port.ok_or_else(|| validation("A port must be specified"))?;
    let vpc_id = input.vpc_id.ok_or_else(|| validation("A VPC ID must be specified"))?;
    let version = match input.protocol_version.as_deref() {
        Some(version) if !protocol.is_application() => {
            return Err(validation(format!(
                "Protocol version '{version}' is not supported for target groups with the protocol '{}'",
                protocol.as_str()
            )));
        }
        None if !protocol.is_application() => None,
        None | Some("HTTP1") => Some(ProtocolVersion::Http1),
        Some("HTTP2") => Some(ProtocolVersion::Http2),
        Some("GRPC") => Some(ProtocolVersion::Grpc),
        Some(other) => {
            return Err(validation(format!(
                "Protocol version '{other}' must be one of 'HTTP1', 'HTTP2', 'GRPC'"
            )));
        }
    };
    let wanted = checks::Wanted {
        enabled: input.health_check_enabled,
        protocol: input.health_check_protocol,
        port: input.health_check_port,
        path: input.health_check_path,
        interval_seconds: input.health_check_interval_seconds,
        timeout_seconds: input.health_check_timeout_seconds,
        healthy_threshold: input.healthy_threshold_count,
        unhealthy_threshold: input.unhealthy_threshold_count,
        matcher: input.matcher,
    };
    Ok(TargetGroup {
        name,
        id: String::new(),
        target_type,
        protocol,
        version,
        port: u16::try_from(port).map_err(|_| validation("The port must be between 1 and 65535"))?,
        vpc_id,
        health_check: checks::made(protocol, version, wanted)?,
        attributes: Attributes::new(),
        tags: tags::given(input.tags)?,
    })
}

pub async fn create(call: Call, input: CreateTargetGroupInput) -> Result<CreateTargetGroupOutput, ApiError> {
    let scope = call.scope();
    let wanted = described(input)?;
    networks::ensure_default(&call.services, scope).await?;
    let made = call
        .services
        .state
        .transact(|tx| {
            if tx.get::<Vpc>(scope, &wanted.vpc_id).is_none() {
                return Err(validation(format!("The VPC ID '{}' is not found", wanted.vpc_id)));
            }
            if let Some((_, there)) = tx.by_index::<TargetGroup>(scope, "name", &wanted.name).pop() {
                let same = TargetGroup {
                    id: there.id.clone(),
                    attributes: there.attributes.clone(),
                    ..wanted.clone()
                };
                if *there == same {
                    return Ok(same);
                }
                return Err(ApiError::new(
                    &errors::DUPLICATE_TARGET_GROUP_NAME_EXCEPTION,
                    format!(
                        "A target group with the same name '{}' exists, but with different settings",
                        wanted.name
                    ),
                ));
            }
            if tx.view().scan::<TargetGroup>(scope).count() >= MOST_GROUPS {
                return Err(ApiError::new(
                    &errors::TOO_MANY_TARGET_GROUPS_EXCEPTION,
                    format!("The maximum number of target groups '{MOST_GROUPS}' has been reached"),
                ));
            }
            let made = TargetGroup { id: call.services.ids().hex(16), ..wanted.clone() };
            tx.put(scope, &made.key(), made.clone());
            Ok(made)
        })
        .await?;
    let shown = shape(&call.services.state.view(), scope, &made);
    Ok(CreateTargetGroupOutput { target_groups: Some(vec![shown]) })
}

pub async fn modify(call: Call, input: ModifyTargetGroupInput) -> Result<ModifyTargetGroupOutput, ApiError> {
    let scope = call.scope();
    let arn = input.target_group_arn.unwrap_or_default();
    names::check_arn(&arn, "targetgroup")?;
    let wanted = checks::Wanted {
        enabled: input.health_check_enabled,
        protocol: input.health_check_protocol,
        port: input.health_check_port,
        path: input.health_check_path,
        interval_seconds: input.health_check_interval_seconds,
        timeout_seconds: input.health_check_timeout_seconds,
        healthy_threshold: input.healthy_threshold_count,
        unhealthy_threshold: input.unhealthy_threshold_count,
        matcher: input.matcher,
    };
    let changed = call
        .services
        .state
        .transact(|tx| {
            let before = get(tx, scope, &arn)?;
            let health_check =
                checks::changed(before.protocol, before.version, &before.health_check, wanted.clone())?;
            let changed = TargetGroup { health_check, ..(*before).clone() };
            tx.put(scope, &changed.key(), changed.clone());
            Ok::<_, ApiError>(changed)
        })
        .await?;
    let shown = shape(&call.services.state.view(), scope, &changed);
    Ok(ModifyTargetGroupOutput { target_groups: Some(vec![shown]) })
}

pub async fn describe(
    call: Call,
    input: DescribeTargetGroupsInput,
) -> Result<DescribeTargetGroupsOutput, ApiError> {
    let scope = call.scope();
    let (arns, names) = (input.target_group_arns.unwrap_or_default(), input.names.unwrap_or_default());
    let ways = [input.load_balancer_arn.is_some(), !arns.is_empty(), !names.is_empty()];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        return Err(validation(
            "Target group names, target group ARNs, and a load balancer ARN cannot be specified at the same time",
        ));
    }
    let view = call.services.state.view();
    for arn in &arns {
        see(&view, scope, arn).map_err(none_found)?;
    }
    let named = |name: &&String| view.by_index::<TargetGroup>(scope, "name", name).next().is_none();
    if names.iter().find(named).is_some() {
        return Err(ApiError::new(
            &errors::TARGET_GROUP_NOT_FOUND_EXCEPTION,
            "One or more target groups not found",
        ));
    }
    let of_balancer = match &input.load_balancer_arn {
        None => None,
        Some(arn) => {
            let balancer = balancers::see(&view, scope, arn)?;
            let listeners = view.scan_prefix::<Listener>(scope, &format!("{}/", balancer.key()));
            Some(listeners.flat_map(|(_, listener)| listener.target_groups()).collect::<Vec<_>>())
        }
    };
    let chosen = |group: &TargetGroup| {
        (arns.is_empty() || arns.contains(&group.arn(scope)))
            && (names.is_empty() || names.contains(&group.name))
            && of_balancer.as_ref().is_none_or(|all| all.contains(&group.arn(scope)))
    };
    let all = view.scan::<TargetGroup>(scope).map(|(_, one)| one).filter(|one| chosen(one));
    let page = page(&call, "target groups", all, |one| one.key(), input.marker, input.page_size)?;
    let shown = page.items.iter().map(|one| shape(&view, scope, one));
    Ok(DescribeTargetGroupsOutput { target_groups: Some(shown.collect()), next_marker: page.next_token })
}

/// Describing says it so.
fn none_found(error: ApiError) -> ApiError {
    if error.code == "TargetGroupNotFound" {
        return ApiError::new(
            &errors::TARGET_GROUP_NOT_FOUND_EXCEPTION,
            "One or more target groups not found",
        );
    }
    error
}

pub async fn delete(call: Call, input: DeleteTargetGroupInput) -> Result<DeleteTargetGroupOutput, ApiError> {
    let scope = call.scope();
    let arn = input.target_group_arn.unwrap_or_default();
    names::check_arn(&arn, "targetgroup")?;
    let group = call
        .services
        .state
        .transact(|tx| {
            let group = get(tx, scope, &arn).map_err(none_found)?;
            if !tx.by_index::<Listener>(scope, "target-group", &arn).is_empty() {
                return Err(ApiError::new(
                    &errors::RESOURCE_IN_USE_EXCEPTION,
                    format!("The target group '{arn}' is currently in use by a listener or a rule"),
                ));
            }
            tx.delete::<TargetGroup>(scope, &group.key());
            Ok(group)
        })
        .await?;
    // Nothing leads to them any more; what a crash leaves of them is removed by the upkeep.
    forget_targets(&call, &group).await?;
    Ok(DeleteTargetGroupOutput {})
}

async fn forget_targets(call: &Call, group: &TargetGroup) -> Result<(), ApiError> {
    let scope = call.scope();
    let all: Vec<String> = call.services.state.read(|view| {
        view.scan_prefix::<Target>(scope, &targets::prefix(group)).map(|(id, _)| id.to_owned()).collect()
    });
    for batch in all.chunks(targets::BATCH) {
        call.services
            .state
            .transact(|tx| {
                for id in batch {
                    tx.delete::<Target>(scope, id);
                }
                Ok::<_, ApiError>(())
            })
            .await?;
    }
    Ok(())
}

/// As the API shows a target group.
fn shape(view: &View, scope: &Scope, group: &TargetGroup) -> elbv2::TargetGroup {
    let arn = group.arn(scope);
    let listeners = view.by_index::<Listener>(scope, "target-group", &arn);
    let mut balancers: Vec<String> =
        listeners.map(|(_, listener)| load_balancer_arn(scope, &listener.load_balancer)).collect();
    balancers.sort();
    balancers.dedup();
    let HealthCheck { protocol, port, path, interval_seconds, timeout_seconds, .. } = &group.health_check;
    let number = |number: u32| i32::try_from(number).ok();
    let protocol_of = |protocol: Protocol| elbv2::ProtocolEnum::parse(protocol.as_str());
    let grpc = group.version == Some(ProtocolVersion::Grpc);
    let matcher = group.health_check.matcher.clone().map(|codes| {
        let (grpc_code, http_code) = if grpc { (Some(codes), None) } else { (None, Some(codes)) };
        elbv2::Matcher { grpc_code, http_code }
    });
    elbv2::TargetGroup {
        target_group_arn: Some(arn),
        target_group_name: Some(group.name.clone()),
        protocol: protocol_of(group.protocol),
        port: Some(i32::from(group.port)),
        vpc_id: Some(group.vpc_id.clone()),
        health_check_enabled: Some(true),
        health_check_protocol: protocol_of(*protocol),
        health_check_port: Some(port.map_or_else(|| "traffic-port".to_owned(), |port| port.to_string())),
        health_check_interval_seconds: number(*interval_seconds),
        health_check_timeout_seconds: number(*timeout_seconds),
        healthy_threshold_count: number(group.health_check.healthy_threshold),
        unhealthy_threshold_count: number(group.health_check.unhealthy_threshold),
        health_check_path: path.clone(),
        matcher,
        load_balancer_arns: Some(balancers),
        target_type: Some(match group.target_type {
            TargetType::Ip => elbv2::TargetTypeEnum::Ip,
            TargetType::Instance => elbv2::TargetTypeEnum::Instance,
        }),
        protocol_version: group.version.map(|version| {
            match version {
                ProtocolVersion::Http1 => "HTTP1",
                ProtocolVersion::Http2 => "HTTP2",
                ProtocolVersion::Grpc => "GRPC",
            }
            .to_owned()
        }),
        ip_address_type: Some(elbv2::TargetGroupIpAddressTypeEnum::Ipv4),
        ..elbv2::TargetGroup::default()
    }
}
