//! Attributes of load balancers.

use super::{Accepts, Known, known};
use crate::services::elbv2::records::LoadBalancerKind;

/// The attributes that a load balancer of this kind has.
pub fn of_load_balancer(kind: LoadBalancerKind) -> Vec<Known> {
    let mut all = vec![
        known("deletion_protection.enabled", "false", Accepts::Bool),
        known("ipv6.deny_all_igw_traffic", "false", Accepts::OnlyDefault),
        known("zonal_shift.config.enabled", "false", Accepts::OnlyDefault),
    ];
    match kind {
        LoadBalancerKind::Application => all.extend([
            known("access_logs.s3.enabled", "false", Accepts::Bool),
            known("access_logs.s3.bucket", "", Accepts::Text(63)),
            known("access_logs.s3.prefix", "", Accepts::Text(512)),
            known("idle_timeout.timeout_seconds", "60", Accepts::Number(1, 4000)),
            known("client_keep_alive.seconds", "3600", Accepts::Number(60, 604_800)),
            known("connection_logs.s3.enabled", "false", Accepts::Bool),
            known("connection_logs.s3.bucket", "", Accepts::Text(63)),
            known("connection_logs.s3.prefix", "", Accepts::Text(512)),
            known("load_balancing.cross_zone.enabled", "true", Accepts::OnlyDefault),
            known("routing.http2.enabled", "true", Accepts::Bool),
            known(
                "routing.http.desync_mitigation_mode",
                "defensive",
                Accepts::OneOf(&["defensive", "strictest", "monitor"]),
            ),
            known("routing.http.drop_invalid_header_fields.enabled", "false", Accepts::Bool),
            known("routing.http.preserve_host_header.enabled", "false", Accepts::Bool),
            known("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", Accepts::Bool),
            known("routing.http.xff_client_port.enabled", "false", Accepts::Bool),
            known(
                "routing.http.xff_header_processing.mode",
                "append",
                Accepts::OneOf(&["append", "preserve", "remove"]),
            ),
            known("waf.fail_open.enabled", "false", Accepts::OnlyDefault),
        ]),
        LoadBalancerKind::Network => all.extend([
            // About connections of TLS listeners.
            known("access_logs.s3.enabled", "false", Accepts::Bool),
            known("access_logs.s3.bucket", "", Accepts::Text(63)),
            known("access_logs.s3.prefix", "", Accepts::Text(512)),
            known("load_balancing.cross_zone.enabled", "false", Accepts::Bool),
            known("dns_record.client_routing_policy", "any_availability_zone", Accepts::OnlyDefault),
            known("secondary_ips.auto_assigned.per_subnet", "0", Accepts::OnlyDefault),
        ]),
    }
    all
}
