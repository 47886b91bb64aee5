//! Health checks: what is asked of an instance, in the API's form `HTTP:80/path`.

use aws_shapes_elb as elb;
use aws_shapes_elb::{ConfigureHealthCheckInput, ConfigureHealthCheckOutput};

use super::{
    balancers::change,
    errors::validation,
    records::{HealthCheck, Protocol},
};
use crate::gateway::{ApiError, Call};

/// Of a load balancer that nobody configured.
pub fn default(port: u16) -> HealthCheck {
    HealthCheck {
        protocol: Protocol::Tcp,
        port,
        path: None,
        interval_seconds: 30,
        timeout_seconds: 5,
        healthy_threshold: 10,
        unhealthy_threshold: 2,
    }
}

pub async fn configure(
    call: Call,
    input: ConfigureHealthCheckInput,
) -> Result<ConfigureHealthCheckOutput, ApiError> {
    let check = parse(input.health_check.unwrap_or_default())?;
    change(&call, &input.load_balancer_name.unwrap_or_default(), |_, balancer| {
        balancer.health_check = check.clone();
        Ok(())
    })
    .await?;
    Ok(ConfigureHealthCheckOutput { health_check: Some(shape(&check)) })
}

fn parse(given: elb::HealthCheck) -> Result<HealthCheck, ApiError> {
    let target = given.target.unwrap_or_default();
    let invalid = |why: &str| validation(format!("HealthCheck target '{target}' is not valid: {why}"));
    let (protocol, rest) = target
        .split_once(':')
        .ok_or_else(|| invalid("it must be of the form PROTOCOL:PORT or PROTOCOL:PORT/PATH"))?;
    let protocol = Protocol::parse(protocol)
        .ok_or_else(|| invalid("the protocol must be one of HTTP, HTTPS, TCP, SSL"))?;
    let (port, path) = match rest.find('/') {
        Some(at) => (&rest[..at], Some(rest[at..].to_owned())),
        None => (rest, None),
    };
    let port = port
        .parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| invalid("the port must be between 1 and 65535"))?;
    if protocol.is_http() != path.is_some() {
        return Err(invalid("a path belongs to HTTP and HTTPS, and only to those"));
    }
    if path.as_ref().is_some_and(|path| path.len() > 1024) {
        return Err(invalid("the path is longer than 1024 characters"));
    }
    let number = |given: Option<i32>| given.unwrap_or_default().unsigned_abs();
    let (interval_seconds, timeout_seconds) = (number(given.interval), number(given.timeout));
    if timeout_seconds >= interval_seconds {
        return Err(validation("HealthCheck timeout must be less than interval"));
    }
    Ok(HealthCheck {
        protocol,
        port,
        path,
        interval_seconds,
        timeout_seconds,
        healthy_threshold: number(given.healthy_threshold),
        unhealthy_threshold: number(given.unhealthy_threshold),
    })
}

/// As the API shows it.
pub fn shape(check: &HealthCheck) -> elb::HealthCheck {
    let number = |number: u32| i32::try_from(number).ok();
    let path = check.path.as_deref().unwrap_or_default();
    elb::HealthCheck {
        target: Some(format!("{}:{}{path}", check.protocol.as_str(), check.port)),
        interval: number(check.interval_seconds),
        timeout: number(check.timeout_seconds),
        unhealthy_threshold: number(check.unhealthy_threshold),
        healthy_threshold: number(check.healthy_threshold),
    }
}
