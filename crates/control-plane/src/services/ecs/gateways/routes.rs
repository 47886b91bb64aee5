//! Routes as the API shows them: DescribeGatewayRoute, ListGatewayRoutes, DescribeGatewayResources, and the connections of a service's revision.

use std::sync::Arc;

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    DescribeGatewayResourcesRequest, DescribeGatewayResourcesResponse, DescribeGatewayRouteRequest,
    DescribeGatewayRouteResponse, ListGatewayRoutesRequest, ListGatewayRoutesResponse, errors,
};
use state_store::View;
use vocabulary::Scope;

use super::{
    connect, find, name_of,
    records::{Balancer, Connection, Gateway, Route, arn},
};
use crate::{
    gateway::{ApiError, Call},
    services::{
        Settings,
        ec2::groups,
        ecs::{
            ingress::{
                self,
                parts::{self, PORT},
            },
            names::{cluster_name, invalid, own_resource},
        },
    },
};

/// Load balancers in one answer of DescribeGatewayResources, and how many unless it says so.
const MOST_RESOURCES: i32 = 20;
const DEFAULT_RESOURCES: i32 = 10;

pub async fn describe(
    call: Call,
    input: DescribeGatewayRouteRequest,
) -> Result<DescribeGatewayRouteResponse, ApiError> {
    let scope = call.scope();
    let given = input.gateway_route_arn.unwrap_or_default();
    let key = own_resource(scope, &given, "gateway-route")?
        .ok_or_else(|| invalid("gatewayRouteArn must be the ARN of a gateway route."))?;
    let view = call.services.state.view();
    let found = view.get::<Route>(scope, &key).ok_or_else(|| {
        ApiError::new(&errors::RESOURCE_NOT_FOUND_EXCEPTION, "The specified gateway route was not found.")
    })?;
    Ok(DescribeGatewayRouteResponse {
        gateway_route: Some(shape(&view, &call.services.settings, scope, &found)),
    })
}

/// The load balancer that a route is on.
fn balancer_of(view: &View, scope: &Scope, route: &Route) -> Option<(Arc<Gateway>, Balancer)> {
    let gateway = view.get::<Gateway>(scope, &route.gateway)?;
    let balancer = gateway.balancers.iter().find(|one| one.suffix == route.balancer)?.clone();
    Some((gateway, balancer))
}

fn certificate(view: &View, scope: &Scope, balancer: &Balancer) -> Option<String> {
    parts::listener_of(view, scope, balancer.load_balancer.as_deref()?)?.certificate.clone()
}

fn shape(view: &View, settings: &Settings, scope: &Scope, route: &Route) -> ecs::GatewayRoute {
    let on = balancer_of(view, scope, route);
    let resources = on.map(|(gateway, balancer)| {
        let rules = |group: &str, from: Option<&str>, port: i32| {
            let ids = ingress::groups::rule_ids(view, scope, group, port, from);
            ids.map(|id| scope.arn("ec2", format_args!("security-group-rule/{id}")).to_string()).collect()
        };
        let of = balancer.group.iter().chain(gateway.inbound_group());
        let groups = of.map(|id| ecs::GatewayRouteLoadBalancerSecurityGroup {
            arn: Some(groups::arn(scope, id)),
            rule_arns: Some(rules(id, None, PORT)),
        });
        ecs::GatewayRouteAlbResources {
            acm_certificate_arn: certificate(view, scope, &balancer),
            listener_arn: balancer.listener.clone(),
            listener_rule_arn: route.parts.rule.clone(),
            load_balancer_arn: balancer.load_balancer.clone(),
            load_balancer_security_groups: Some(groups.collect()),
            service_security_group_arn: route.parts.service_group.as_ref().map(|id| groups::arn(scope, id)),
            test_listener_rule_arns: Some(route.parts.test_rule.iter().cloned().collect()),
        }
    });
    ecs::GatewayRoute {
        gateway_route_arn: Some(route.arn(scope)),
        service_arn: Some(route.service_arn(scope)),
        service_container_port_name: Some(route.port_name.clone()),
        service_url: Some(ingress::url(settings, &route.host(scope))),
        status: Some(route.status.shape()),
        resources: Some(ecs::GatewayRouteResources {
            host_shared_alb: Some(resources.into_iter().collect()),
        }),
    }
}

pub async fn list(
    call: Call,
    input: ListGatewayRoutesRequest,
) -> Result<ListGatewayRoutesResponse, ApiError> {
    let scope = call.scope();
    let view = call.services.state.view();
    let gateway = input.gateway.as_deref().map(|given| name_of(scope, Some(given))).transpose()?;
    if let Some(name) = &gateway {
        find(&view, scope, name)?;
    }
    let cluster = input.cluster.as_deref().map(|given| cluster_name(scope, Some(given))).transpose()?;
    let statuses = input.status.unwrap_or_default();
    let service = input.service;
    let chosen = |route: &Route| {
        gateway.as_ref().is_none_or(|name| *name == route.gateway)
            && cluster.as_ref().is_none_or(|name| *name == route.cluster)
            && service
                .as_ref()
                .is_none_or(|given| *given == route.service || *given == route.service_arn(scope))
            && input.service_container_port_name.as_ref().is_none_or(|name| *name == route.port_name)
            && (statuses.is_empty() || statuses.contains(&route.status.shape()))
    };
    let all: Vec<_> =
        view.scan::<Route>(scope).map(|(_, route)| route).filter(|route| chosen(route)).collect();
    let page = super::super::page(
        &call,
        "gateway routes",
        all,
        |route| route.key(),
        input.next_token,
        input.max_results,
    )?;
    let summary = |route: &Route| ecs::GatewayRouteSummary {
        gateway_route_arn: Some(route.arn(scope)),
        gateway_arn: Some(arn(scope, &route.gateway)),
        cluster_arn: Some(route.cluster_arn(scope)),
        service_arn: Some(route.service_arn(scope)),
        service_container_port_name: Some(route.port_name.clone()),
        status: Some(route.status.shape()),
    };
    Ok(ListGatewayRoutesResponse {
        gateway_routes: Some(page.items.iter().map(|route| summary(route)).collect()),
        next_token: page.next_token,
    })
}

pub async fn resources(
    call: Call,
    input: DescribeGatewayResourcesRequest,
) -> Result<DescribeGatewayResourcesResponse, ApiError> {
    let scope = call.scope();
    let name = name_of(scope, input.gateway.as_deref())?;
    let view = call.services.state.view();
    let found = find(&view, scope, &name)?;
    let size = input.max_results.unwrap_or(DEFAULT_RESOURCES);
    if !(1..=MOST_RESOURCES).contains(&size) {
        return Err(invalid(format!("maxResults must be between 1 and {MOST_RESOURCES}.")));
    }
    let all = found.balancers.iter().filter(|balancer| balancer.load_balancer.is_some()).cloned();
    let list = format!("gateway resources of {name}");
    let page = super::super::page(
        &call,
        &list,
        all,
        |balancer| balancer.suffix.clone(),
        input.next_token,
        Some(size),
    )?;
    let routes: Vec<_> = view.scan_prefix::<Route>(scope, &format!("{name}/")).map(|(_, one)| one).collect();
    let shape = |balancer: &Balancer| {
        let on = routes.iter().filter(|route| route.balancer == balancer.suffix);
        ecs::ElbGatewayResources {
            gateway_route_arns: Some(on.map(|route| route.arn(scope)).collect()),
            listener_arn: balancer.listener.clone(),
            load_balancer_arn: balancer.load_balancer.clone(),
            security_group: balancer.group.clone(),
        }
    };
    Ok(DescribeGatewayResourcesResponse {
        gateway_resources: Some(ecs::GatewayResources {
            gateway_arn: Some(found.arn(scope)),
            resources: Some(ecs::GatewayInfrastructureResources {
                host_shared_alb: Some(page.items.iter().map(shape).collect()),
            }),
        }),
        next_token: page.next_token,
    })
}

/// The connections of a revision, as it shows them: what it was made with, and how the routes are today.
pub fn managed(
    view: &View,
    settings: &Settings,
    scope: &Scope,
    connections: &[Connection],
) -> Option<ecs::ECSManagedResources> {
    let shape = |connection: &Connection| {
        let route = view.get::<Route>(scope, &connection.route);
        let on = route.as_ref().and_then(|route| balancer_of(view, scope, route));
        let gateway = connection.route.split('/').next().unwrap_or_default();
        let resources = on.as_ref().map(|(gateway, balancer)| {
            let of = balancer.group.iter().chain(gateway.inbound_group());
            ecs::GatewayConnectionAlbResources {
                acm_certificate_arn: certificate(view, scope, balancer),
                alternate_target_group_arn: connection.alternate.clone(),
                listener_arn: balancer.listener.clone(),
                listener_rule_arn: Some(connection.rule.clone()),
                load_balancer_arn: balancer.load_balancer.clone(),
                load_balancer_security_group_arns: Some(of.map(|id| groups::arn(scope, id)).collect()),
                target_group_arn: Some(connection.target_group.clone()),
                test_listener_rule_arn: connect::test_rule_of(connection, |key| view.get(scope, key)),
            }
        });
        ecs::GatewayConnection {
            gateway_arn: Some(arn(scope, gateway)),
            gateway_route_arn: Some(
                scope.arn("ecs", format_args!("gateway-route/{}", connection.route)).to_string(),
            ),
            port_name: route.as_ref().map(|route| route.port_name.clone()),
            service_url: route.as_ref().map(|route| ingress::url(settings, &route.host(scope))),
            access_type: on.as_ref().map(|(gateway, _)| gateway.access_type()),
            status: route.as_ref().map(|route| route.status.shape()),
            resources: Some(ecs::GatewayConnectionResources {
                host_shared_alb: Some(resources.into_iter().collect()),
            }),
        }
    };
    (!connections.is_empty()).then(|| ecs::ECSManagedResources {
        gateway_connections: Some(connections.iter().map(shape).collect()),
        ..Default::default()
    })
}
