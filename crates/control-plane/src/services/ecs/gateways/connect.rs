//! The routes of a service: what is made for each before the service's request commits.

use std::sync::Arc;

use aws_shapes_ecs as ecs;
use aws_shapes_elbv2 as elbv2;
use sha2::{Digest, Sha256};
use state_store::{Tx, View};
use vocabulary::{Ids, Scope};

pub use super::routes::managed;
use super::{
    MOST_ROUTES, changes, choose, find_in,
    records::{Balancer, Connection, Gateway, Parts, Route, RouteStatus},
};
use crate::{
    gateway::{ApiError, Call},
    services::{
        ec2::records::{SecurityGroup, Subnet},
        ecs::{
            express::DOMAIN,
            ingress::{
                Acting,
                parts::{PORT, PROTECTION, RuleWanted},
            },
            names::invalid,
            services::{
                asked::Wanted,
                records::{Service as ServiceRecord, service_key},
                weights,
            },
        },
    },
};

/// Priorities of rules for test traffic, which come before the others.
const TEST: std::ops::RangeInclusive<u32> = 1..=1000;
const PRODUCTION: std::ops::RangeInclusive<u32> = 1001..=2000;

/// What a service asks its gateways for.
struct Service<'a> {
    cluster: &'a str,
    name: &'a str,
    connector: &'a ecs::GatewayConnector,
    port_name: String,
    container: String,
    port: i32,
    /// Whether its deployments shift traffic between two target groups.
    shifts: bool,
}

/// The routes that the service as it is wanted is behind, made as far as they were not there. None without a connector.
///
/// # Errors
/// `InvalidParameterException` when no gateway fits; those of whatever is made.
pub async fn connect(
    call: &Call,
    cluster: &str,
    name: &str,
    wanted: &Wanted,
) -> Result<Vec<Connection>, ApiError> {
    let connectors = wanted.revision.gateway_connectors.as_deref().unwrap_or_default();
    let [connector] = connectors else {
        return match connectors {
            [] => Ok(Vec::new()),
            _ => Err(invalid("A service can have one gateway connector at most.")),
        };
    };
    let view = call.services.state.view();
    let (container, port) = choose::port(&view, call.scope(), wanted, connector)?;
    let fitting = choose::gateways(&view, call.scope(), cluster, wanted, connector)?;
    drop(view);
    let configuration = wanted.settings.deployment_configuration.as_ref();
    let strategy = configuration.and_then(|given| given.strategy);
    let service = Service {
        cluster,
        name,
        connector,
        port_name: connector.port_name.clone().unwrap_or_default(),
        container,
        port,
        shifts: strategy.is_some_and(|strategy| strategy != ecs::DeploymentStrategy::Rolling),
    };
    let mut connections = Vec::new();
    for gateway in fitting {
        connections.push(one(call, &gateway, &service).await?);
    }
    Ok(connections)
}

async fn one(call: &Call, gateway: &Gateway, service: &Service<'_>) -> Result<Connection, ApiError> {
    let scope = call.scope();
    let acting = Acting::begin(call, &gateway.role_arn, &gateway.arn(scope), &gateway.propagated())?;
    let begun = call.services.state.transact(|tx| begin(tx, call, &gateway.name, service)).await?;
    let (gateway, mut route) = begun;
    match make(&acting, &gateway, service, &mut route).await {
        Ok(()) => {
            route.status = RouteStatus::Active;
            route.reason = None;
            changes::keep_route(call, &route).await?;
            connection(&route, service)
                .ok_or_else(|| ApiError::internal("a route was made without its parts"))
        }
        Err(error) => {
            route.status = match route.status {
                RouteStatus::CreateInProgress => RouteStatus::CreateFailed,
                _ => RouteStatus::UpdateFailed,
            };
            route.reason = Some(error.message.clone());
            if let Err(gone) = changes::keep_route(call, &route).await {
                tracing::debug!(route = route.key(), %gone, "a route that could not be made has gone already");
            }
            Err(error)
        }
    }
}

fn connection(route: &Route, service: &Service<'_>) -> Option<Connection> {
    let parts = &route.parts;
    Some(Connection {
        route: route.key(),
        container: service.container.clone(),
        port: service.port,
        service_group: parts.service_group.clone()?,
        target_group: parts.target_group.clone()?,
        alternate: parts.alternate.clone().filter(|_| service.shifts),
        rule: parts.rule.clone()?,
        test_rule: parts.test_rule.clone().filter(|_| service.shifts),
        chosen: parts.target_group.clone()?,
    })
}

/// The service's route on the gateway, written down before anything of it is made, with a place on a load balancer.
fn begin(
    tx: &mut Tx,
    call: &Call,
    gateway: &str,
    service: &Service<'_>,
) -> Result<(Gateway, Route), ApiError> {
    let scope = call.scope();
    let mut gateway = (*find_in(tx, scope, gateway)?).clone();
    let routes = tx.scan_prefix::<Route>(scope, &format!("{}/", gateway.name));
    let own = |route: &Route| {
        (route.cluster.as_str(), route.service.as_str()) == (service.cluster, service.name)
            && !route.is_leaving()
    };
    if let Some((_, there)) = routes.iter().find(|(_, route)| own(route)) {
        let mut route = (**there).clone();
        route.port_name.clone_from(&service.port_name);
        route.port = service.port;
        // Whoever makes it now looks after it until its revision knows it.
        route.claimed = false;
        route.updated_at = call.now();
        route.status = match route.parts.rule {
            None => RouteStatus::CreateInProgress,
            Some(_) => RouteStatus::UpdateInProgress,
        };
        tx.put(scope, &route.key(), route.clone());
        return Ok((gateway, route));
    }
    let mut ids = call.services.ids();
    let room = |balancer: &&Balancer| {
        let on = routes.iter().filter(|(_, route)| route.balancer == balancer.suffix).count();
        !balancer.leaving && on < MOST_ROUTES
    };
    let balancer = match gateway.balancers.iter().find(room) {
        Some(there) => there.suffix.clone(),
        None => {
            let most = gateway.configuration.0.max_alb_count.unwrap_or(1).max(1).unsigned_abs() as usize;
            if gateway.balancers.len() >= most {
                return Err(invalid(format!(
                    "The gateway {} has no room for another service: its {most} load balancers have {MOST_ROUTES} gateway routes each.",
                    gateway.name
                )));
            }
            let suffix = ids.hex(8);
            gateway.balancers.push(Balancer { suffix: suffix.clone(), ..Balancer::default() });
            let name = gateway.name.clone();
            tx.put(scope, &name, gateway.clone());
            suffix
        }
    };
    let route = Route {
        id: ids.hex(32),
        gateway: gateway.name.clone(),
        cluster: service.cluster.to_owned(),
        service: service.name.to_owned(),
        port_name: service.port_name.clone(),
        port: service.port,
        status: RouteStatus::CreateInProgress,
        reason: None,
        suffix: ids.hex(8),
        balancer,
        parts: Parts::default(),
        claimed: false,
        updated_at: call.now(),
    };
    tx.put(scope, &route.key(), route.clone());
    Ok((gateway, route))
}

/// Makes what is not there yet; each part is written down as soon as it is made.
async fn make(
    acting: &Acting,
    gateway: &Gateway,
    service: &Service<'_>,
    route: &mut Route,
) -> Result<(), ApiError> {
    let call = &acting.call;
    let found = gateway.balancers.iter().find(|one| one.suffix == route.balancer).cloned();
    let mut balancer = found.ok_or_else(|| ApiError::internal("a route is on no load balancer"))?;
    let outcome = make_balancer(acting, gateway, &mut balancer).await;
    changes::keep_balancer(call, &gateway.name, &balancer).await?;
    outcome?;
    let (group, listener) =
        (balancer.group.clone().unwrap_or_default(), balancer.listener.clone().unwrap_or_default());
    let outcome = make_parts(acting, gateway, service, route, (&group, &listener)).await;
    changes::keep_route(call, route).await?;
    outcome
}

async fn make_balancer(acting: &Acting, gateway: &Gateway, balancer: &mut Balancer) -> Result<(), ApiError> {
    if balancer.group.is_none() {
        let name = format!("ecs-gateway-{}-{}", balancer.suffix, gateway.name);
        let about = "Made for load balancers of Amazon ECS gateways";
        let group = acting.security_group(&gateway.vpc_id, &name, about).await?;
        balancer.group = Some(group);
        changes::keep_balancer(&acting.call, &gateway.name, balancer).await?;
    }
    if let (Some(group), None) = (&balancer.group, gateway.inbound_group()) {
        acting.admit(group, PORT, None).await?;
    }
    if balancer.load_balancer.is_none() {
        let groups = balancer.group.iter().chain(gateway.inbound_group()).cloned().collect();
        let name = format!("ecs-gateway-{}", balancer.suffix);
        let made = acting.load_balancer(&name, gateway.subnets(), groups, gateway.is_public()).await?;
        balancer.load_balancer = Some(made);
        changes::keep_balancer(&acting.call, &gateway.name, balancer).await?;
    }
    let arn = balancer.load_balancer.clone().unwrap_or_default();
    if balancer.listener.is_none() {
        acting.set_attributes(&arn, &attributes(gateway)).await?;
        let region = &acting.call.scope().region;
        balancer.listener = Some(acting.listener(&arn, &format!("{region}{DOMAIN}")).await?);
    }
    Ok(())
}

/// What a gateway says of its load balancers.
pub(super) fn attributes(gateway: &Gateway) -> Vec<(&'static str, String)> {
    let configuration = &gateway.configuration.0;
    let desync = configuration.http_desync.unwrap_or(ecs::GatewayAlbDesyncMitigationMode::Defensive);
    let mut all = vec![
        (PROTECTION, gateway.deletion_protection.to_string()),
        ("routing.http.desync_mitigation_mode", desync.as_str().to_owned()),
    ];
    let logs = configuration.access_logs.as_ref().and_then(|logs| logs.destination.as_ref()?.s3.as_ref());
    if let Some(logs) = logs {
        all.push(("access_logs.s3.enabled", "true".to_owned()));
        all.push(("access_logs.s3.bucket", logs.bucket.clone().unwrap_or_default()));
        all.push(("access_logs.s3.prefix", logs.prefix.clone().unwrap_or_default()));
    }
    all
}

async fn make_parts(
    acting: &Acting,
    gateway: &Gateway,
    service: &Service<'_>,
    route: &mut Route,
    (balancer_group, listener): (&str, &str),
) -> Result<(), ApiError> {
    let call = &acting.call;
    if route.parts.service_group.is_none() {
        let name = service_group(service.cluster, service.name);
        let about = "Made for a service behind Amazon ECS gateways";
        route.parts.service_group = Some(acting.security_group(&gateway.vpc_id, &name, about).await?);
        changes::keep_route(call, route).await?;
    }
    let group = route.parts.service_group.clone().unwrap_or_default();
    let check = service.connector.health_check.as_ref().and_then(|check| check.health_check_port);
    for port in [Some(service.port), check].into_iter().flatten() {
        if !route.parts.ports.contains(&port) {
            acting.admit(&group, port, Some(balancer_group)).await?;
            route.parts.ports.push(port);
            changes::keep_route(call, route).await?;
        }
    }
    if route.parts.target_group.is_none() {
        route.parts.target_group = Some(target_group(acting, gateway, service, &route.suffix, 1).await?);
        changes::keep_route(call, route).await?;
    }
    if service.shifts && route.parts.alternate.is_none() {
        route.parts.alternate = Some(target_group(acting, gateway, service, &route.suffix, 2).await?);
        changes::keep_route(call, route).await?;
    }
    let groups: Vec<String> =
        route.parts.target_group.iter().chain(&route.parts.alternate).cloned().collect();
    for group in &groups {
        settle_group(acting, group, service.connector).await?;
    }
    let host = route.host(acting.call.scope());
    match &route.parts.rule {
        None => {
            let wanted = RuleWanted { host: &host, header: None, groups: &groups, priorities: PRODUCTION };
            route.parts.rule = Some(acting.rule(listener, wanted).await?);
            changes::keep_route(call, route).await?;
        }
        Some(rule) => {
            for group in &groups {
                acting.forward_to_as_well(rule, group).await?;
            }
        }
    }
    if service.shifts && route.parts.test_rule.is_none() {
        // The header may have come since the route was begun. An update of the gateway that comes after this look finds the route as it is
        // by now.
        let gateway = call.services.state.read(|view| view.get::<Gateway>(call.scope(), &gateway.name));
        if let Some(header) = gateway.as_ref().and_then(|gateway| gateway.test_header()) {
            route.parts.test_rule = first_test_rule(acting, route, listener, header).await?;
        }
    }
    Ok(())
}

/// A rule for test traffic of a route that has the rest and had no header for that, and is to have one now. It leads where the deployment that
/// is under way says, else where the requests of users go. Answers the rule that the route has then, which somebody else may have made; none
/// without deployments that shift traffic, or without the route.
///
/// # Errors
/// Those of the steps. No rule is left behind then, unless the role may not delete it: then the next attempt takes it.
pub async fn first_test_rule(
    acting: &Acting,
    route: &Route,
    listener: &str,
    header: (&str, &[String]),
) -> Result<Option<String>, ApiError> {
    let parts = &route.parts;
    let (Some(first), Some(second), Some(production)) = (&parts.target_group, &parts.alternate, &parts.rule)
    else {
        // Its service's deployments shift no traffic.
        return Ok(None);
    };
    let groups = [first.clone(), second.clone()];
    let host = route.host(acting.call.scope());
    let wanted = RuleWanted { host: &host, header: Some(header), groups: &groups, priorities: TEST };
    let rule = acting.rule(listener, wanted).await?;
    let kept = match acting.share_as(&rule, production).await {
        Ok(()) => keep_test_rule(&acting.call, route, &rule).await,
        Err(error) => Err(error),
    };
    match kept {
        Ok(kept) if kept.as_ref() == Some(&rule) => Ok(kept),
        Ok(kept) => acting.delete_rule(&rule).await.map(|()| kept),
        Err(error) => {
            let there = |view: &View| view.get::<Route>(acting.call.scope(), &route.key());
            let there = acting.call.services.state.read(there);
            // The same rule may be somebody else's, who has written it down.
            if there.is_none_or(|there| there.parts.test_rule.as_ref() != Some(&rule))
                && let Err(left) = acting.delete_rule(&rule).await
            {
                tracing::warn!(rule, %left, "a rule for test traffic is left to the next attempt");
            }
            Err(error)
        }
    }
}

/// Writes the rule down unless the route has another one by now, and gives it its share of a deployment that is under way. Answers the
/// route's rule.
async fn keep_test_rule(call: &Call, route: &Route, rule: &str) -> Result<Option<String>, ApiError> {
    let scope = call.scope();
    let made = Parts { test_rule: Some(rule.to_owned()), ..Parts::default() };
    let kept = call.services.state.transact(|tx| {
        let Some(there) = tx.get::<Route>(scope, &route.key()) else { return Ok(None) };
        let parts = there.parts.clone().and(&made);
        let kept = parts.test_rule.clone();
        if parts != there.parts {
            tx.put(scope, &route.key(), Route { parts, ..(*there).clone() });
        }
        let service = tx.get::<ServiceRecord>(scope, &service_key(&there.cluster, &there.service));
        let under_way = |service: &ServiceRecord| {
            service.state.rollout.as_ref().is_some_and(|rollout| !rollout.status.is_over())
        };
        if let Some(service) = service.filter(|service| under_way(service)) {
            for event in weights::shift(tx, scope, &service) {
                tracing::warn!(event, "a new rule for test traffic");
            }
        }
        Ok::<_, ApiError>(kept)
    });
    kept.await
}

/// The route's rule for test traffic as it is now: a revision may be older. `route`: the one with that key.
pub fn test_rule_of(
    connection: &Connection,
    route: impl FnOnce(&str) -> Option<Arc<Route>>,
) -> Option<String> {
    connection.alternate.as_ref()?;
    connection.test_rule.clone().or_else(|| route(&connection.route)?.parts.test_rule.clone())
}

/// The condition of a route's rule for test traffic.
pub(super) fn test_rule<'a>(host: &'a str, header: (&'a str, &'a [String])) -> RuleWanted<'a> {
    RuleWanted { host, header: Some(header), groups: &[], priorities: TEST }
}

/// The name of the security group that a service's tasks have beside their own. The names of clusters and services have hyphens too, and are
/// cut when they are long: the digits tell them apart.
fn service_group(cluster: &str, service: &str) -> String {
    let digest = hex::encode(Sha256::digest(format!("{cluster}/{service}")));
    format!("ecs-gateway-service-{}-{cluster}-{service}", &digest[..16])
}

async fn target_group(
    acting: &Acting,
    gateway: &Gateway,
    service: &Service<'_>,
    suffix: &str,
    number: u8,
) -> Result<String, ApiError> {
    let check = service.connector.health_check.as_ref();
    let input = elbv2::CreateTargetGroupInput {
        name: Some(format!("ecs-gateway-{suffix}-{number}")),
        port: Some(service.port),
        vpc_id: Some(gateway.vpc_id.clone()),
        protocol_version: check
            .and_then(|check| check.matcher.as_ref()?.grpc_code.as_ref())
            .map(|_| "GRPC".to_owned()),
        ..Default::default()
    };
    acting.target_group(input).await
}

/// Gives a target group the connector's health check and deregistration delay.
async fn settle_group(
    acting: &Acting,
    group: &str,
    connector: &ecs::GatewayConnector,
) -> Result<(), ApiError> {
    if let Some(check) = &connector.health_check {
        let matcher = check.matcher.as_ref().map(|matcher| elbv2::Matcher {
            grpc_code: matcher.grpc_code.clone(),
            http_code: matcher.http_code.clone(),
        });
        let input = elbv2::ModifyTargetGroupInput {
            target_group_arn: Some(group.to_owned()),
            health_check_interval_seconds: check.health_check_interval_seconds,
            health_check_path: check.health_check_path.clone(),
            health_check_port: check.health_check_port.map(|port| port.to_string()),
            health_check_protocol: check
                .health_check_protocol
                .and_then(|protocol| elbv2::ProtocolEnum::parse(protocol.as_str())),
            health_check_timeout_seconds: check.health_check_timeout_seconds,
            healthy_threshold_count: check.healthy_threshold_count,
            unhealthy_threshold_count: check.unhealthy_threshold_count,
            matcher,
            ..Default::default()
        };
        acting.change_group(input).await?;
    }
    let delay = connector.deregistration_delay.as_ref().and_then(|delay| delay.timeout_seconds);
    if let Some(seconds) = delay {
        acting
            .set_group_attribute(group, "deregistration_delay.timeout_seconds", seconds.to_string())
            .await?;
    }
    Ok(())
}

/// Says that a revision of the service knows the routes, in the transaction that writes it.
///
/// # Errors
/// When one of them has gone meanwhile.
pub fn claim(tx: &mut Tx, scope: &Scope, connections: &[Connection]) -> Result<(), ApiError> {
    for connection in connections {
        let found = tx.get::<Route>(scope, &connection.route).filter(|route| !route.is_leaving());
        let route = found.ok_or_else(|| invalid("A gateway route of the service is gone. Try again."))?;
        if !route.claimed {
            tx.put(scope, &connection.route, Route { claimed: true, ..(*route).clone() });
        }
    }
    Ok(())
}

/// The network of a revision's tasks, with the security groups that let its gateways in.
pub fn opened(
    view: &View,
    scope: &Scope,
    network: &ecs::AwsVpcConfiguration,
    connections: &[Connection],
) -> Option<ecs::AwsVpcConfiguration> {
    if connections.is_empty() {
        return None;
    }
    let mut groups = network.security_groups.clone().unwrap_or_default();
    if groups.is_empty() {
        // Without any they would have had the VPC's default group.
        let subnet = network.subnets.as_ref()?.first().and_then(|id| view.get::<Subnet>(scope, id))?;
        let mut all = view.by_index::<SecurityGroup>(scope, "vpc", &subnet.vpc_id);
        groups.extend(all.find(|(_, group)| group.name == "default").map(|(id, _)| id.to_owned()));
    }
    for connection in connections {
        if !groups.contains(&connection.service_group) {
            groups.push(connection.service_group.clone());
        }
    }
    Some(ecs::AwsVpcConfiguration { security_groups: Some(groups), ..network.clone() })
}
