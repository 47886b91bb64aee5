//! CreateGateway, UpdateGateway, DeleteGateway, DescribeGateway, ListGateways.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    CreateGatewayRequest, CreateGatewayResponse, DeleteGatewayRequest, DeleteGatewayResponse,
    DescribeGatewayRequest, DescribeGatewayResponse, ListGatewaysRequest, ListGatewaysResponse,
    UpdateGatewayRequest, UpdateGatewayResponse,
};
use state_store::Tx;
use vocabulary::Scope;

use super::{
    changes, find, find_in, name_of,
    records::{Association, Failure, Gateway, GatewayStatus, Route},
    unsupported,
};
use crate::{
    convert::{AwsJson, time},
    gateway::{ApiError, Call},
    services::{
        ec2::records::SecurityGroup,
        ecs::{
            ingress::{Place, place},
            names::{invalid, is_valid},
            tags,
        },
    },
};

/// The default of `maxAlbCount`. Source: the API reference.
const DEFAULT_BALANCERS: i32 = 10;
/// As many as an account has load balancers.
const MOST_BALANCERS: i32 = 50;
/// Gateways of an account in a region.
const MOST_GATEWAYS: usize = 100;
/// Values of a condition of a rule.
const MOST_VALUES: usize = 5;

pub async fn create(call: Call, input: CreateGatewayRequest) -> Result<CreateGatewayResponse, ApiError> {
    let scope = call.scope();
    let name = input.name.unwrap_or_default();
    if !is_valid(&name) {
        return Err(invalid("The gateway name must be 1 to 255 letters, numbers, hyphens and underscores."));
    }
    let role_arn = input.infrastructure_role_arn.filter(|role| !role.is_empty());
    let role_arn = role_arn.ok_or_else(|| invalid("infrastructureRoleArn must be specified."))?;
    let given = input.configuration.and_then(|given| given.host_shared_alb);
    let mut wanted = given.ok_or_else(|| invalid("configuration must have exactly one variant."))?;
    let tags = tags::checked(input.tags)?;
    check_fixed(&wanted)?;
    check(&wanted)?;
    let subnets = wanted.network_configuration.as_ref().and_then(|network| network.subnets.as_deref());
    let public = wanted.scheme != Some(ecs::GatewayElbScheme::Internal);
    let Place { vpc_id, subnets, public: outside } = place(&call, subnets).await?;
    if public && outside != subnets.len() {
        return Err(invalid(
            "The subnets of an internet-facing gateway must have a route to an internet gateway.",
        ));
    }
    defaults(&mut wanted, subnets);
    check_group(&call, &vpc_id, wanted.network_configuration.as_ref())?;
    let token = input.client_token.filter(|token| !token.is_empty());
    let made = Gateway {
        name: name.clone(),
        role_arn,
        deletion_protection: input.deletion_protection.unwrap_or(true),
        propagates_tags: input.propagate_tags != Some(ecs::PropagateGatewayTags::None),
        configuration: AwsJson(wanted),
        vpc_id,
        status: GatewayStatus::Active,
        status_reason: None,
        failures: Vec::new(),
        balancers: Vec::new(),
        tags,
        token,
        deleted: false,
        created_at: call.now(),
        updated_at: call.now(),
    };
    let made = call
        .services
        .state
        .transact(|tx| {
            if let Some(there) = tx.get::<Gateway>(scope, &name) {
                return match (&there.token, &made.token) {
                    (Some(before), Some(now)) if before == now && !there.deleted => Ok((*there).clone()),
                    _ if there.deleted => {
                        Err(invalid(format!("The gateway {name} is being deleted. Try again in a moment.")))
                    }
                    _ => Err(invalid(format!("A gateway with the name {name} already exists."))),
                };
            }
            if tx.view().scan::<Gateway>(scope).count() >= MOST_GATEWAYS {
                return Err(invalid(format!("An account can have {MOST_GATEWAYS} gateways at most.")));
            }
            tx.put(scope, &name, made.clone());
            Ok::<_, ApiError>(made.clone())
        })
        .await?;
    Ok(CreateGatewayResponse {
        gateway_arn: Some(made.arn(scope)),
        name: Some(made.name),
        status: Some(ecs::GatewayStatus::Active),
    })
}

/// What cannot be changed later.
fn check_fixed(wanted: &ecs::HostSharedAlbConfiguration) -> Result<(), ApiError> {
    if wanted.port.is_some_and(|port| port != 443)
        || wanted.protocol.is_some_and(|protocol| protocol != ecs::GatewayAlbProtocol::Https)
    {
        return Err(invalid("A gateway supports the protocol HTTPS on port 443 only."));
    }
    let network = wanted.network_configuration.as_ref();
    if network
        .and_then(|network| network.ip_address_type)
        .is_some_and(|kind| kind != ecs::GatewayElbIpAddressType::Ipv4)
    {
        return Err(unsupported("IPv6 addresses of gateways (ipAddressType)"));
    }
    Ok(())
}

/// What can.
fn check(wanted: &ecs::HostSharedAlbConfiguration) -> Result<(), ApiError> {
    if wanted.web_acl_arn.as_ref().is_some_and(|arn| !arn.is_empty()) {
        return Err(unsupported("web ACLs of gateways (webACLArn)"));
    }
    if wanted.max_alb_count.is_some_and(|count| !(1..=MOST_BALANCERS).contains(&count)) {
        return Err(invalid(format!("maxAlbCount must be between 1 and {MOST_BALANCERS}.")));
    }
    if let Some(header) = wanted.test_traffic_rules.as_ref().and_then(|rules| rules.header.as_ref()) {
        let values = header.values.as_deref().unwrap_or_default();
        let named = header.name.as_ref().is_some_and(|name| !name.is_empty());
        if !named || values.is_empty() || values.len() > MOST_VALUES {
            return Err(invalid(format!(
                "The header of testTrafficRules must have a name and 1 to {MOST_VALUES} values."
            )));
        }
    }
    let logs = wanted.access_logs.as_ref().and_then(|logs| logs.destination.as_ref());
    if logs.is_some_and(|logs| {
        logs.s3.as_ref().is_none_or(|s3| s3.bucket.as_deref().unwrap_or_default().is_empty())
    }) {
        return Err(invalid("The destination of accessLogs must name a bucket."));
    }
    Ok(())
}

/// The security group that lets clients in is in the gateway's VPC.
fn check_group(
    call: &Call,
    vpc_id: &str,
    network: Option<&ecs::GatewayElbNetworkConfiguration>,
) -> Result<(), ApiError> {
    let Some(id) = network.and_then(|network| network.inbound_security_group.as_ref()) else { return Ok(()) };
    let found = call.services.state.read(|view| view.get::<SecurityGroup>(call.scope(), id));
    match found {
        Some(group) if group.vpc_id == vpc_id => Ok(()),
        Some(_) => {
            Err(invalid(format!("The security group {id} is not in the VPC {vpc_id} of the gateway.")))
        }
        None => Err(invalid(format!("The security group '{id}' does not exist"))),
    }
}

fn defaults(wanted: &mut ecs::HostSharedAlbConfiguration, subnets: Vec<String>) {
    wanted.port.get_or_insert(443);
    wanted.protocol.get_or_insert(ecs::GatewayAlbProtocol::Https);
    wanted.scheme.get_or_insert(ecs::GatewayElbScheme::InternetFacing);
    wanted.max_alb_count.get_or_insert(DEFAULT_BALANCERS);
    wanted.http_desync.get_or_insert(ecs::GatewayAlbDesyncMitigationMode::Defensive);
    let network = wanted.network_configuration.get_or_insert_default();
    network.subnets = Some(subnets);
    network.ip_address_type.get_or_insert(ecs::GatewayElbIpAddressType::Ipv4);
}

pub async fn update(call: Call, input: UpdateGatewayRequest) -> Result<UpdateGatewayResponse, ApiError> {
    let scope = call.scope();
    let name = name_of(scope, input.gateway.as_deref())?;
    let before = call.services.state.read(|view| find(view, scope, &name))?;
    let given = match input.configuration {
        Some(given) => Some(
            given.host_shared_alb.ok_or_else(|| invalid("configuration must have exactly one variant."))?,
        ),
        None => None,
    };
    let inbound = given
        .as_ref()
        .and_then(|given| given.network_configuration.as_ref())
        .and_then(|network| network.inbound_security_group.clone());
    let overlaid = |configuration: &ecs::HostSharedAlbConfiguration| {
        let mut wanted = configuration.clone();
        let Some(given) = given.clone() else { return wanted };
        wanted.max_alb_count = given.max_alb_count.or(wanted.max_alb_count);
        wanted.access_logs = given.access_logs.or(wanted.access_logs);
        wanted.http_desync = given.http_desync.or(wanted.http_desync);
        wanted.test_traffic_rules = given.test_traffic_rules.or(wanted.test_traffic_rules);
        wanted.web_acl_arn = given.web_acl_arn.or(wanted.web_acl_arn);
        if inbound.is_some() {
            let network = wanted.network_configuration.get_or_insert_default();
            network.inbound_security_group = inbound.clone().filter(|id| !id.is_empty());
        }
        wanted
    };
    let wanted = overlaid(&before.configuration.0);
    check(&wanted)?;
    check_group(&call, &before.vpc_id, wanted.network_configuration.as_ref())?;
    let updated = call
        .services
        .state
        .transact(|tx| {
            let there = find_in(tx, scope, &name)?;
            let mut gateway = (*there).clone();
            gateway.configuration = AwsJson(overlaid(&gateway.configuration.0));
            if let Some(protection) = input.deletion_protection {
                gateway.deletion_protection = protection;
            }
            if let Some(propagate) = input.propagate_tags {
                gateway.propagates_tags = propagate == ecs::PropagateGatewayTags::Gateway;
            }
            if let Some(role) = input.infrastructure_role_arn.clone().filter(|role| !role.is_empty()) {
                gateway.role_arn = role;
            }
            gateway.status = GatewayStatus::UpdateInProgress;
            gateway.status_reason = None;
            gateway.failures = Vec::new();
            gateway.updated_at = call.now();
            tx.put(scope, &name, gateway.clone());
            Ok::<_, ApiError>(gateway)
        })
        .await?;
    let (gateway_arn, name) = (updated.arn(scope), updated.name.clone());
    // The load balancers follow by themselves; what a crash leaves undone is done by the upkeep.
    tokio::spawn(async move {
        if let Err(error) = changes::apply(&call, &updated.name).await {
            tracing::warn!(gateway = updated.name, %error, "a gateway's update is tried again later");
        }
    });
    Ok(UpdateGatewayResponse {
        gateway_arn: Some(gateway_arn),
        name: Some(name),
        status: Some(ecs::GatewayStatus::UpdateInProgress),
    })
}

pub async fn delete(call: Call, input: DeleteGatewayRequest) -> Result<DeleteGatewayResponse, ApiError> {
    let scope = call.scope();
    let name = name_of(scope, input.gateway.as_deref())?;
    let deleted = call
        .services
        .state
        .transact(|tx| {
            let there = find_in(tx, scope, &name)?;
            if there.deletion_protection {
                return Err(invalid(format!(
                    "The gateway {name} cannot be deleted because deletion protection is enabled."
                )));
            }
            if !of_gateway::<Association>(tx, scope, &name).is_empty() {
                return Err(invalid(format!(
                    "The gateway {name} cannot be deleted while it is associated with clusters. Disassociate all clusters first."
                )));
            }
            // Routes go before the association does; one that is made just now belongs to nobody.
            if !of_gateway::<Route>(tx, scope, &name).is_empty() {
                return Err(invalid(format!("The gateway {name} cannot be deleted while it has gateway routes.")));
            }
            let gateway = Gateway { deleted: true, updated_at: call.now(), ..(*there).clone() };
            tx.put(scope, &name, gateway.clone());
            Ok::<_, ApiError>(gateway)
        })
        .await?;
    if let Err(error) = changes::tidy(&call, &name).await {
        tracing::warn!(gateway = name, %error, "what is left of a gateway is removed later");
    }
    Ok(DeleteGatewayResponse {
        gateway_arn: Some(deleted.arn(scope)),
        name: Some(name),
        status: Some(ecs::GatewayStatus::Deleted),
    })
}

fn of_gateway<R: state_store::Record>(tx: &mut Tx, scope: &Scope, name: &str) -> Vec<String> {
    tx.scan_prefix::<R>(scope, &format!("{name}/")).into_iter().map(|(id, _)| id).collect()
}

pub async fn describe(
    call: Call,
    input: DescribeGatewayRequest,
) -> Result<DescribeGatewayResponse, ApiError> {
    let scope = call.scope();
    let name = name_of(scope, input.gateway.as_deref())?;
    let found = call.services.state.read(|view| find(view, scope, &name))?;
    Ok(DescribeGatewayResponse { gateway: Some(shape(scope, &found)) })
}

fn shape(scope: &Scope, gateway: &Gateway) -> ecs::Gateway {
    let is = gateway.configuration.0.clone();
    let count = gateway.balancers.iter().filter(|balancer| balancer.load_balancer.is_some()).count();
    let failure = |failure: &Failure| ecs::GatewayResourceFailure {
        arn: Some(failure.arn.clone()),
        errors: Some(vec![ecs::GatewayOperationError {
            operation: Some(failure.operation.clone()),
            code: Some(failure.code.clone()),
            message: Some(failure.message.clone()),
        }]),
    };
    ecs::Gateway {
        gateway_arn: Some(gateway.arn(scope)),
        name: Some(gateway.name.clone()),
        status: Some(gateway.status.shape()),
        status_reason: gateway.status_reason.clone(),
        failures: Some(gateway.failures.iter().map(failure).collect()),
        infrastructure_role_arn: Some(gateway.role_arn.clone()),
        deletion_protection: Some(gateway.deletion_protection),
        configuration: Some(ecs::DescribeGatewayConfiguration {
            host_shared_alb: Some(ecs::DescribeGatewayAlbConfiguration {
                access_logs: is.access_logs,
                current_alb_count: i32::try_from(count).ok(),
                http_desync: is.http_desync,
                max_alb_count: is.max_alb_count,
                network_configuration: is.network_configuration,
                port: is.port,
                protocol: is.protocol,
                scheme: is.scheme,
                test_traffic_rules: is.test_traffic_rules,
                web_acl_arn: is.web_acl_arn,
            }),
        }),
        access_type: Some(gateway.access_type()),
        propagate_tags: Some(match gateway.propagates_tags {
            true => ecs::PropagateGatewayTags::Gateway,
            false => ecs::PropagateGatewayTags::None,
        }),
        tags: Some(tags::shape(&gateway.tags)),
        created_at: Some(time(gateway.created_at)),
        updated_at: Some(time(gateway.updated_at)),
    }
}

pub async fn list(call: Call, input: ListGatewaysRequest) -> Result<ListGatewaysResponse, ApiError> {
    let scope = call.scope();
    let names = input.names.unwrap_or_default();
    if names.len() > 10 {
        return Err(invalid("At most 10 gateway names can be specified."));
    }
    let statuses = input.status.unwrap_or_default();
    let chosen = |gateway: &Gateway| {
        !gateway.deleted
            && (names.is_empty() || names.contains(&gateway.name))
            && (statuses.is_empty() || statuses.contains(&gateway.status.shape()))
    };
    let view = call.services.state.view();
    let all: Vec<_> =
        view.scan::<Gateway>(scope).map(|(_, gateway)| gateway).filter(|gateway| chosen(gateway)).collect();
    let page = super::super::page(
        &call,
        "gateways",
        all,
        |gateway| gateway.name.clone(),
        input.next_token,
        input.max_results,
    )?;
    let summary = |gateway: &Gateway| ecs::GatewaySummary {
        gateway_arn: Some(gateway.arn(scope)),
        name: Some(gateway.name.clone()),
        status: Some(gateway.status.shape()),
        created_at: Some(time(gateway.created_at)),
    };
    Ok(ListGatewaysResponse {
        gateways: Some(page.items.iter().map(|gateway| summary(gateway)).collect()),
        next_token: page.next_token,
    })
}
