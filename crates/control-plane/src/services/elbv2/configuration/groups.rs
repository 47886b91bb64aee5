//! Target groups and their targets in the words of the data plane.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use routing::config;
use state_store::View;
use vocabulary::Scope;

use super::Values;
use crate::services::elbv2::{
    attributes, instances,
    records::{HealthCheck, Protocol, ProtocolVersion, Target, TargetGroup, TargetType},
    targets,
};

/// A target that can be reached and counts: in a zone of the load balancer, at a known address.
pub(super) fn target(
    view: &View,
    scope: &Scope,
    group: &TargetGroup,
    target: &Target,
    zones: Option<&BTreeSet<String>>,
) -> Option<config::Target> {
    let zone = targets::zone_of(view, scope, group, target);
    if let (Some(zone), Some(zones)) = (&zone, zones)
        && !zones.contains(zone)
    {
        return None;
    }
    let address: Ipv4Addr = match group.target_type {
        TargetType::Ip => target.id.parse().ok()?,
        TargetType::Instance => instances::find(view, scope, &target.id)?.address,
    };
    Some(config::Target {
        id: target.id.clone(),
        address: IpAddr::V4(address),
        port: target.port,
        zone,
        draining: target.draining.is_some(),
        registration: target.registration,
    })
}

fn protocol(protocol: Protocol) -> config::Protocol {
    match protocol {
        Protocol::Http => config::Protocol::Http,
        Protocol::Https => config::Protocol::Https,
        Protocol::Tcp => config::Protocol::Tcp,
        Protocol::Tls => config::Protocol::Tls,
        Protocol::Udp => config::Protocol::Udp,
        Protocol::TcpUdp => config::Protocol::TcpUdp,
    }
}

pub(super) fn target_group(
    scope: &Scope,
    group: &TargetGroup,
    targets: Vec<config::Target>,
) -> config::TargetGroup {
    config::TargetGroup {
        arn: group.arn(scope),
        name: group.name.clone(),
        protocol: protocol(group.protocol),
        version: match group.version {
            None | Some(ProtocolVersion::Http1) => config::ProtocolVersion::Http1,
            Some(ProtocolVersion::Http2) => config::ProtocolVersion::Http2,
            Some(ProtocolVersion::Grpc) => config::ProtocolVersion::Grpc,
        },
        health_check: Some(health_check(group, &group.health_check)),
        attributes: group_attributes(group),
        targets,
    }
}

fn health_check(group: &TargetGroup, check: &HealthCheck) -> config::HealthCheck {
    // Both parse: they were checked before they were written.
    let codes = check.matcher.as_deref().and_then(|text| config::Matcher::codes(text).ok());
    config::HealthCheck {
        protocol: protocol(check.protocol),
        port: check.port.map_or(config::CheckPort::Traffic, config::CheckPort::Fixed),
        path: check.path.clone().unwrap_or_default(),
        interval_seconds: check.interval_seconds,
        timeout_seconds: check.timeout_seconds,
        healthy_threshold: check.healthy_threshold,
        unhealthy_threshold: check.unhealthy_threshold,
        matcher: match codes {
            None => config::Matcher::Connection,
            Some(codes) if group.version == Some(ProtocolVersion::Grpc) => config::Matcher::Grpc(codes),
            Some(codes) => config::Matcher::Http(codes),
        },
    }
}

fn group_attributes(group: &TargetGroup) -> config::TargetGroupAttributes {
    let values = Values(attributes::of_target_group(group), &group.attributes);
    let sticky = values.on("stickiness.enabled");
    config::TargetGroupAttributes {
        deregistration_delay_seconds: values.number("deregistration_delay.timeout_seconds"),
        terminate_when_draining_ends: values.on("deregistration_delay.connection_termination.enabled"),
        slow_start_seconds: values.number("slow_start.duration_seconds"),
        algorithm: match values.text("load_balancing.algorithm.type") {
            "least_outstanding_requests" => config::Algorithm::LeastOutstandingRequests,
            "weighted_random" => config::Algorithm::WeightedRandom { anomaly_mitigation: false },
            _ => config::Algorithm::RoundRobin,
        },
        cross_zone: values.text("load_balancing.cross_zone.enabled").parse().ok(),
        stickiness: match values.text("stickiness.type") {
            _ if !sticky => config::Stickiness::Off,
            "source_ip" => config::Stickiness::SourceAddress,
            "app_cookie" => config::Stickiness::ApplicationCookie {
                name: values.text("stickiness.app_cookie.cookie_name").to_owned(),
                seconds: values.number("stickiness.app_cookie.duration_seconds"),
            },
            _ => config::Stickiness::LoadBalancerCookie {
                seconds: values.number("stickiness.lb_cookie.duration_seconds"),
            },
        },
        minimum_healthy_count: values
            .number("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count"),
        minimum_healthy_percentage: values
            .text("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage")
            .parse()
            .ok(),
        preserve_client_address: values.on("preserve_client_ip.enabled"),
        proxy_protocol: values.on("proxy_protocol_v2.enabled"),
        terminate_when_unhealthy: values.on("target_health_state.unhealthy.connection_termination.enabled"),
    }
}
