//! Attributes.

use aws_shapes_elb as elb;
use aws_shapes_elb::{
    DescribeLoadBalancerAttributesInput, DescribeLoadBalancerAttributesOutput,
    ModifyLoadBalancerAttributesInput, ModifyLoadBalancerAttributesOutput, errors,
};

use super::{
    access_logs,
    balancers::{change, see},
    errors::invalid_configuration,
    records::Attributes,
};
use crate::gateway::{ApiError, Call};

const DESYNC: &str = "elb.http.desyncmitigationmode";
/// Of a request that turns draining on and does not say for how long.
const DRAINING_SECONDS: i32 = 300;

pub async fn describe(
    call: Call,
    input: DescribeLoadBalancerAttributesInput,
) -> Result<DescribeLoadBalancerAttributesOutput, ApiError> {
    let name = input.load_balancer_name.unwrap_or_default();
    let balancer = call.services.state.read(|view| see(view, call.scope(), &name))?;
    Ok(DescribeLoadBalancerAttributesOutput { load_balancer_attributes: Some(shape(&balancer.attributes)) })
}

pub async fn modify(
    call: Call,
    input: ModifyLoadBalancerAttributesInput,
) -> Result<ModifyLoadBalancerAttributesOutput, ApiError> {
    let name = input.load_balancer_name.unwrap_or_default();
    let given = input.load_balancer_attributes.unwrap_or_default();
    let found = call.services.state.read(|view| see(view, call.scope(), &name))?;
    let before = found.attributes.access_log.as_ref();
    let log = changed(&found.attributes, &given)?.access_log;
    if let Some(log) = log.filter(|log| before != Some(log)) {
        access_logs::check(&call.services, call.scope(), &found, &log).await?;
    }
    let shown = change(&call, &name, |_, balancer| {
        balancer.attributes = changed(&balancer.attributes, &given)?;
        Ok(shape(&balancer.attributes))
    });
    Ok(ModifyLoadBalancerAttributesOutput {
        load_balancer_attributes: Some(shown.await?),
        load_balancer_name: Some(name),
    })
}

fn changed(own: &Attributes, given: &elb::LoadBalancerAttributes) -> Result<Attributes, ApiError> {
    let mut changed = own.clone();
    if let Some(cross_zone) = &given.cross_zone_load_balancing {
        changed.cross_zone = cross_zone.enabled == Some(true);
    }
    if let Some(settings) = &given.connection_settings {
        changed.idle_timeout_seconds = settings.idle_timeout.unwrap_or(60).unsigned_abs();
    }
    if let Some(draining) = &given.connection_draining {
        let seconds = draining.timeout.unwrap_or(DRAINING_SECONDS);
        if !(1..=3600).contains(&seconds) {
            return Err(invalid_configuration(
                "Connection draining timeout must be between 1 and 3600 seconds",
            ));
        }
        changed.draining_seconds = (draining.enabled == Some(true)).then_some(seconds.unsigned_abs());
    }
    if let Some(log) = &given.access_log {
        changed.access_log = access_logs::wanted(log)?;
    }
    for one in given.additional_attributes.iter().flatten() {
        let (key, value) = (one.key.as_deref().unwrap_or_default(), one.value.as_deref().unwrap_or_default());
        if key != DESYNC {
            return Err(ApiError::new(
                &errors::LOAD_BALANCER_ATTRIBUTE_NOT_FOUND_EXCEPTION,
                format!("Load balancer attribute {key} does not exist"),
            ));
        }
        if !["monitor", "defensive", "strictest"].contains(&value) {
            return Err(invalid_configuration(format!("Attribute {DESYNC} cannot be {value}")));
        }
        changed.desync_mitigation = value.to_owned();
    }
    Ok(changed)
}

fn shape(own: &Attributes) -> elb::LoadBalancerAttributes {
    let number = |number: u32| i32::try_from(number).ok();
    elb::LoadBalancerAttributes {
        cross_zone_load_balancing: Some(elb::CrossZoneLoadBalancing { enabled: Some(own.cross_zone) }),
        access_log: Some(access_logs::shape(own.access_log.as_ref())),
        connection_draining: Some(elb::ConnectionDraining {
            enabled: Some(own.draining_seconds.is_some()),
            timeout: own.draining_seconds.map_or(Some(DRAINING_SECONDS), number),
        }),
        connection_settings: Some(elb::ConnectionSettings { idle_timeout: number(own.idle_timeout_seconds) }),
        additional_attributes: Some(vec![elb::AdditionalAttribute {
            key: Some(DESYNC.to_owned()),
            value: Some(own.desync_mitigation.clone()),
        }]),
    }
}
