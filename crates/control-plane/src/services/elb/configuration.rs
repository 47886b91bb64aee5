//! Classic load balancers in the words of the data plane: each listener forwards to a target group made up for its instances' protocol and port.

use std::{collections::BTreeMap, net::IpAddr};

use routing::config::{self, Configuration};
use state_store::View;
use vocabulary::{Scope, Timestamp};

use super::{
    policies,
    records::{HealthCheck, Listener, LoadBalancer, Protocol},
};
use crate::services::{
    Services, acm,
    elbv2::{configuration::interfaces, instances},
};

/// The made-up target group of a listener. Listeners with different stickiness have groups of their own.
pub fn target_group_arn(scope: &Scope, balancer: &LoadBalancer, port: u16) -> String {
    format!("{}/listener/{port}", balancer.arn(scope))
}

/// By when it was made, a registration of an instance is told from others.
pub fn registration(since: Timestamp) -> u64 {
    u64::try_from(since.as_millis()).unwrap_or(0)
}

/// Adds all classic load balancers.
pub fn add(services: &Services, view: &View, all: &mut Configuration) {
    for found in view.scan_all::<LoadBalancer>() {
        let (scope, balancer) = (&found.scope, &found.value);
        let mut listeners = Vec::new();
        for (port, one) in &balancer.listeners {
            all.target_groups.push(target_group(view, scope, balancer, *port, one));
            listeners.push(listener(services, view, scope, balancer, *port, one));
        }
        all.load_balancers.push(config::LoadBalancer {
            arn: balancer.arn(scope),
            name: balancer.name.clone(),
            dns_name: balancer.dns_name.clone(),
            kind: config::LoadBalancerKind::Classic,
            scheme: if balancer.internal { config::Scheme::Internal } else { config::Scheme::InternetFacing },
            attributes: config::LoadBalancerAttributes {
                idle_timeout_seconds: balancer.attributes.idle_timeout_seconds,
                desync_mitigation: match balancer.attributes.desync_mitigation.as_str() {
                    "monitor" => config::DesyncMitigation::Monitor,
                    "strictest" => config::DesyncMitigation::Strictest,
                    _ => config::DesyncMitigation::Defensive,
                },
                // Classic load balancers hand the client's Host on, and speak HTTP/1.1.
                preserve_host_header: true,
                http2: false,
                cross_zone: balancer.attributes.cross_zone,
                access_logs: balancer.attributes.access_log.as_ref().map(|log| config::AccessLogs {
                    bucket: log.bucket.clone(),
                    prefix: log.prefix.clone(),
                    interval_minutes: log.interval_minutes,
                }),
                ..config::LoadBalancerAttributes::default()
            },
            interfaces: interfaces(view, scope, balancer.nodes.iter()),
            listeners,
        });
    }
}

/// Names and the interfaces that they stand for.
pub fn names(view: &View) -> impl Iterator<Item = (String, Vec<config::Interface>)> + '_ {
    view.scan_all::<LoadBalancer>()
        .map(|found| (found.value.dns_name.clone(), interfaces(view, &found.scope, found.value.nodes.iter())))
}

fn listener(
    services: &Services,
    view: &View,
    scope: &Scope,
    balancer: &LoadBalancer,
    port: u16,
    listener: &Listener,
) -> config::Listener {
    let certificate = listener.certificate.as_ref();
    let target_groups =
        vec![config::WeightedTargetGroup { arn: target_group_arn(scope, balancer, port), weight: 1 }];
    config::Listener {
        arn: format!("{}/{port}", balancer.arn(scope)),
        protocol: match listener.protocol {
            Protocol::Http => config::ListenerProtocol::Http,
            Protocol::Https => config::ListenerProtocol::Https,
            Protocol::Tcp => config::ListenerProtocol::Tcp,
            Protocol::Ssl => config::ListenerProtocol::Tls,
        },
        port,
        ssl_policy: listener.protocol.is_secure().then(|| policies::ssl_policy(balancer, listener)),
        alpn_policy: None,
        certificates: certificate
            .and_then(|arn| acm::for_listener(services, view, scope, arn))
            .into_iter()
            .collect(),
        client_certificates: config::ClientCertificates::Off,
        attributes: config::ListenerAttributes::default(),
        rules: Vec::new(),
        default: config::Outcome {
            transforms: Vec::new(),
            action: config::Action::Forward(config::Forward { target_groups, stickiness_seconds: None }),
        },
    }
}

fn protocol(protocol: Protocol) -> config::Protocol {
    match protocol {
        Protocol::Http => config::Protocol::Http,
        Protocol::Https => config::Protocol::Https,
        Protocol::Tcp => config::Protocol::Tcp,
        Protocol::Ssl => config::Protocol::Tls,
    }
}

fn target_group(
    view: &View,
    scope: &Scope,
    balancer: &LoadBalancer,
    port: u16,
    listener: &Listener,
) -> config::TargetGroup {
    let members: BTreeMap<&String, Option<Timestamp>> = balancer
        .draining
        .keys()
        .map(|id| (id, None))
        .chain(balancer.instances.iter().map(|(id, since)| (id, Some(*since))))
        .collect();
    let targets = members.into_iter().filter_map(|(id, since)| {
        let instance = instances::find(view, scope, id)?;
        let enabled = |zone: &String| balancer.nodes.iter().any(|node| node.zone == *zone);
        // An instance in a zone that is not enabled gets nothing.
        instance.zone.as_ref().is_none_or(enabled).then(|| config::Target {
            id: id.clone(),
            address: IpAddr::V4(instance.address),
            port: listener.instance_port,
            zone: instance.zone,
            draining: since.is_none(),
            registration: since.map_or(0, registration),
        })
    });
    config::TargetGroup {
        arn: target_group_arn(scope, balancer, port),
        name: format!("{}-{port}", balancer.name),
        protocol: protocol(listener.instance_protocol),
        version: config::ProtocolVersion::Http1,
        health_check: Some(health_check(&balancer.health_check)),
        attributes: config::TargetGroupAttributes {
            deregistration_delay_seconds: balancer.attributes.draining_seconds.unwrap_or(0),
            algorithm: if listener.protocol.is_http() {
                config::Algorithm::LeastOutstandingRequests
            } else {
                config::Algorithm::RoundRobin
            },
            stickiness: policies::stickiness(balancer, listener),
            proxy_protocol: policies::proxy_protocol(balancer, listener.instance_port),
            ..config::TargetGroupAttributes::default()
        },
        targets: targets.collect(),
    }
}

fn health_check(check: &HealthCheck) -> config::HealthCheck {
    config::HealthCheck {
        protocol: protocol(check.protocol),
        port: config::CheckPort::Fixed(check.port),
        path: check.path.clone().unwrap_or_default(),
        interval_seconds: check.interval_seconds,
        timeout_seconds: check.timeout_seconds,
        healthy_threshold: check.healthy_threshold,
        unhealthy_threshold: check.unhealthy_threshold,
        matcher: if check.protocol.is_http() {
            config::Matcher::Http(vec![config::CodeRange { first: 200, last: 200 }])
        } else {
            config::Matcher::Connection
        },
    }
}
