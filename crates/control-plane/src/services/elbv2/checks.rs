//! Health checks of target groups: defaults by protocol, and what can be asked for.

use aws_shapes_elbv2 as elbv2;
use routing::config::Matcher;

use super::{
    errors::{invalid_configuration, unsupported, validation},
    records::{HealthCheck, Protocol, ProtocolVersion},
};
use crate::gateway::ApiError;

const PATH: &str = "/";
const GRPC_PATH: &str = "/AWS.ALB/healthcheck";

/// What a request says about a health check.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub enabled: Option<bool>,
    pub protocol: Option<elbv2::ProtocolEnum>,
    pub port: Option<String>,
    pub path: Option<String>,
    pub interval_seconds: Option<i32>,
    pub timeout_seconds: Option<i32>,
    pub healthy_threshold: Option<i32>,
    pub unhealthy_threshold: Option<i32>,
    pub matcher: Option<elbv2::Matcher>,
}

/// The health check of a new target group.
///
/// # Errors
/// `ValidationError`, `InvalidConfigurationRequest`.
pub fn made(
    group: Protocol,
    version: Option<ProtocolVersion>,
    wanted: Wanted,
) -> Result<HealthCheck, ApiError> {
    let by_default = if group.is_application() { Protocol::Http } else { Protocol::Tcp };
    let protocol = protocol(&wanted)?.unwrap_or(by_default);
    changed(group, version, &defaults(group, version, protocol), wanted)
}

/// What a check by this protocol has unless a request says otherwise.
fn defaults(group: Protocol, version: Option<ProtocolVersion>, protocol: Protocol) -> HealthCheck {
    let grpc = version == Some(ProtocolVersion::Grpc);
    let timeout_seconds = match (group.is_application(), protocol) {
        (true, _) => 5,
        (false, Protocol::Http) => 6,
        (false, _) => 10,
    };
    let (path, matcher) = match protocol {
        Protocol::Http | Protocol::Https if grpc => (Some(GRPC_PATH), Some("12")),
        Protocol::Http | Protocol::Https if group.is_application() => (Some(PATH), Some("200")),
        Protocol::Http | Protocol::Https => (Some(PATH), Some("200-399")),
        _ => (None, None),
    };
    HealthCheck {
        protocol,
        port: None,
        path: path.map(str::to_owned),
        interval_seconds: 30,
        timeout_seconds,
        healthy_threshold: 5,
        unhealthy_threshold: 2,
        matcher: matcher.map(str::to_owned),
    }
}

fn protocol(wanted: &Wanted) -> Result<Option<Protocol>, ApiError> {
    let Some(given) = wanted.protocol else { return Ok(None) };
    let parsed = Protocol::parse(given.as_str());
    let usable = parsed.filter(|one| matches!(one, Protocol::Http | Protocol::Https | Protocol::Tcp));
    match usable {
        Some(protocol) => Ok(Some(protocol)),
        None => {
            Err(validation(format!("Health check protocol '{given}' must be one of 'HTTP', 'HTTPS', 'TCP'")))
        }
    }
}

/// `before` with what a request asks for.
///
/// # Errors
/// `ValidationError`, `InvalidConfigurationRequest`.
pub fn changed(
    group: Protocol,
    version: Option<ProtocolVersion>,
    before: &HealthCheck,
    wanted: Wanted,
) -> Result<HealthCheck, ApiError> {
    if wanted.enabled == Some(false) {
        return Err(validation(
            "Health check enabled must be true for target groups with target type 'instance' or 'ip'",
        ));
    }
    let mut check = before.clone();
    if let Some(protocol) = protocol(&wanted)?
        && protocol != before.protocol
    {
        let fresh = defaults(group, version, protocol);
        check = HealthCheck {
            path: before.path.clone().filter(|_| fresh.path.is_some()).or(fresh.path),
            matcher: before.matcher.clone().filter(|_| fresh.matcher.is_some()).or(fresh.matcher),
            protocol,
            ..check
        };
    }
    if group.is_application() && !check.protocol.is_application() {
        return Err(invalid_configuration(format!(
            "Health check protocol '{}' is not supported for target groups with the protocol '{}'",
            check.protocol.as_str(),
            group.as_str()
        )));
    }
    match wanted.port.as_deref() {
        None => {}
        Some("traffic-port") => check.port = None,
        Some(text) => {
            let port = text.parse::<u16>().ok().filter(|port| *port > 0);
            let refusal = || {
                validation(format!("Health check port '{text}' must be in range [1-65535] or 'traffic-port'"))
            };
            check.port = Some(port.ok_or_else(refusal)?);
        }
    }
    if let Some(path) = wanted.path {
        if !check.protocol.is_application() {
            return Err(validation("Health check path is only supported for HTTP and HTTPS health checks"));
        }
        if !path.starts_with('/') || path.chars().any(|one| one.is_whitespace() || one.is_control()) {
            return Err(validation(format!("Health check path '{path}' must begin with a '/' character")));
        }
        check.path = Some(path);
    }
    let number = |given: Option<i32>, before: u32| given.map_or(before, i32::unsigned_abs);
    check.interval_seconds = number(wanted.interval_seconds, check.interval_seconds);
    check.timeout_seconds = number(wanted.timeout_seconds, check.timeout_seconds);
    check.healthy_threshold = number(wanted.healthy_threshold, check.healthy_threshold);
    check.unhealthy_threshold = number(wanted.unhealthy_threshold, check.unhealthy_threshold);
    let (timeout, interval) = (check.timeout_seconds, check.interval_seconds);
    if group.is_application() && timeout >= interval {
        return Err(validation(format!(
            "Health check timeout '{timeout}' must be smaller than the interval '{interval}'"
        )));
    }
    if timeout > interval {
        return Err(validation(format!(
            "Health check timeout '{timeout}' must be smaller than or equal to the interval '{interval}'"
        )));
    }
    if let Some(matcher) = wanted.matcher {
        check.matcher = Some(codes(group, version, &check, matcher)?);
    }
    Ok(check)
}

fn codes(
    group: Protocol,
    version: Option<ProtocolVersion>,
    check: &HealthCheck,
    given: elbv2::Matcher,
) -> Result<String, ApiError> {
    let grpc = version == Some(ProtocolVersion::Grpc);
    let (name, text, first, last) = match (grpc, given.grpc_code, given.http_code) {
        (true, Some(text), None) => ("gRPC", text, 0, 99),
        (false, None, Some(text)) => ("HTTP", text, 200, if group.is_application() { 499 } else { 599 }),
        (true, ..) => {
            return Err(validation(
                "A gRPC code must be specified for target groups with the protocol version 'GRPC'",
            ));
        }
        (false, ..) => return Err(validation("An HTTP code must be specified")),
    };
    if !check.protocol.is_application() {
        return Err(unsupported("a matcher for TCP health checks"));
    }
    let within = |ranges: &Vec<routing::config::CodeRange>| {
        ranges.iter().all(|range| range.first >= first && range.last <= last)
    };
    match Matcher::codes(&text) {
        Ok(ranges) if within(&ranges) => Ok(text),
        _ => Err(validation(format!(
            "Health check matcher {name} code '{text}' must be within '{first}-{last}' inclusive"
        ))),
    }
}
