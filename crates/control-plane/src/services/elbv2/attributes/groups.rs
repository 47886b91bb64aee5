//! Attributes of target groups.

use super::{Accepts, Known, known};
use crate::services::elbv2::records::{Protocol, TargetGroup, TargetType};

/// The attributes that a target group has.
pub fn of_target_group(group: &TargetGroup) -> Vec<Known> {
    let mut all = vec![
        known("deregistration_delay.timeout_seconds", "300", Accepts::Number(0, 3600)),
        known("stickiness.enabled", "false", Accepts::Bool),
        known(
            "load_balancing.cross_zone.enabled",
            "use_load_balancer_configuration",
            Accepts::OneOf(&["true", "false", "use_load_balancer_configuration"]),
        ),
        // Every address of a load balancer is always in its name.
        known("target_group_health.dns_failover.minimum_healthy_targets.count", "1", Accepts::OnlyDefault),
        known(
            "target_group_health.dns_failover.minimum_healthy_targets.percentage",
            "off",
            Accepts::OnlyDefault,
        ),
        known(
            "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count",
            "1",
            Accepts::Number(1, 1000),
        ),
        known(
            "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
            "off",
            Accepts::NumberOr("off", 1, 100),
        ),
    ];
    if group.protocol.is_application() {
        all.extend(of_requests());
    } else {
        all.extend(of_connections(group));
    }
    all
}

fn of_requests() -> [Known; 7] {
    const WEEK: u64 = 604_800;
    [
        known("stickiness.type", "lb_cookie", Accepts::OneOf(&["lb_cookie", "app_cookie"])),
        known("stickiness.lb_cookie.duration_seconds", "86400", Accepts::Number(1, WEEK)),
        known("stickiness.app_cookie.duration_seconds", "86400", Accepts::Number(1, WEEK)),
        known("stickiness.app_cookie.cookie_name", "", Accepts::Text(256)),
        known("slow_start.duration_seconds", "0", Accepts::NumberOr("0", 30, 900)),
        known(
            "load_balancing.algorithm.type",
            "round_robin",
            Accepts::OneOf(&["round_robin", "least_outstanding_requests", "weighted_random"]),
        ),
        known("load_balancing.algorithm.anomaly_mitigation", "off", Accepts::OnlyDefault),
    ]
}

fn of_connections(group: &TargetGroup) -> [Known; 6] {
    let datagrams = matches!(group.protocol, Protocol::Udp | Protocol::TcpUdp);
    // Instances are machines outside of the VPC: what they answered to a client's address would not come by the load balancer. (On AWS
    // they see it unless they are told not to.)
    let as_client = match group.target_type {
        TargetType::Ip if datagrams => known("preserve_client_ip.enabled", "true", Accepts::OneOf(&["true"])),
        TargetType::Ip => known("preserve_client_ip.enabled", "false", Accepts::Bool),
        TargetType::Instance => known("preserve_client_ip.enabled", "false", Accepts::OnlyDefault),
    };
    [
        known("stickiness.type", "source_ip", Accepts::OneOf(&["source_ip"])),
        known(
            "deregistration_delay.connection_termination.enabled",
            if datagrams { "true" } else { "false" },
            Accepts::Bool,
        ),
        as_client,
        // A datagram has no beginning of a connection that a header could stand at.
        known(
            "proxy_protocol_v2.enabled",
            "false",
            if datagrams { Accepts::OnlyDefault } else { Accepts::Bool },
        ),
        known("target_health_state.unhealthy.connection_termination.enabled", "true", Accepts::Bool),
        known("target_health_state.unhealthy.draining_interval_seconds", "0", Accepts::OnlyDefault),
    ]
}
