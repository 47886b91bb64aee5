//! Whether a listener may forward to the target groups that its actions name.

use std::collections::BTreeSet;

use aws_shapes_elbv2::errors;
use state_store::Tx;
use vocabulary::Scope;

use super::{
    errors::{invalid_configuration, validation},
    groups,
    records::{Does, Listener, LoadBalancer, LoadBalancerKind, Protocol, ProtocolVersion, TargetGroup},
};
use crate::gateway::ApiError;

/// Target groups that one load balancer forwards to.
pub const MOST_GROUPS: usize = 100;

/// Checks all actions of a listener that is about to be written.
///
/// # Errors
/// `TargetGroupNotFound`, `IncompatibleProtocols`, `InvalidConfigurationRequest`, `TargetGroupAssociationLimit`,
/// `TooManyUniqueTargetGroupsPerLoadBalancer`, `InvalidLoadBalancerAction`.
pub fn check(
    tx: &mut Tx,
    scope: &Scope,
    balancer: &LoadBalancer,
    listener: &Listener,
) -> Result<(), ApiError> {
    let only_forwards = |does: &Does| matches!(does, Does::Forward { .. });
    let all_forward = listener.action_lists().flatten().all(|action| only_forwards(&action.does));
    if balancer.kind == LoadBalancerKind::Network && !all_forward {
        return Err(ApiError::new(
            &errors::INVALID_LOAD_BALANCER_ACTION_EXCEPTION,
            "Listeners of Network Load Balancers can only have actions of the type 'forward'",
        ));
    }
    let named = listener.target_groups();
    for arn in &named {
        let group = groups::get(tx, scope, arn)?;
        compatible(listener, &group, arn)?;
        if group.vpc_id != balancer.vpc_id {
            return Err(invalid_configuration(format!(
                "The following target groups are not in the VPC of the load balancer '{}': {arn}",
                balancer.arn(scope)
            )));
        }
        let elsewhere = tx.by_index::<Listener>(scope, "target-group", arn);
        if elsewhere.iter().any(|(_, other)| other.load_balancer != listener.load_balancer) {
            return Err(ApiError::new(
                &errors::TARGET_GROUP_ASSOCIATION_LIMIT_EXCEPTION,
                format!(
                    "The following target groups cannot be associated with more than one load balancer: {arn}"
                ),
            ));
        }
    }
    let others = tx.scan_prefix::<Listener>(scope, &format!("{}/", listener.load_balancer));
    let others = others.into_iter().filter(|(_, other)| other.id != listener.id);
    let mut all: BTreeSet<String> = others.flat_map(|(_, other)| other.target_groups()).collect();
    all.extend(named);
    if all.len() > MOST_GROUPS {
        return Err(ApiError::new(
            &errors::TOO_MANY_UNIQUE_TARGET_GROUPS_PER_LOAD_BALANCER_EXCEPTION,
            format!(
                "The maximum number of target groups '{MOST_GROUPS}' of the load balancer has been reached"
            ),
        ));
    }
    Ok(())
}

fn compatible(listener: &Listener, group: &TargetGroup, arn: &str) -> Result<(), ApiError> {
    let fits = match listener.protocol {
        Protocol::Http | Protocol::Https => group.protocol.is_application(),
        Protocol::Tcp => matches!(group.protocol, Protocol::Tcp | Protocol::TcpUdp),
        Protocol::Tls => matches!(group.protocol, Protocol::Tcp | Protocol::Tls),
        Protocol::Udp => matches!(group.protocol, Protocol::Udp | Protocol::TcpUdp),
        Protocol::TcpUdp => group.protocol == Protocol::TcpUdp,
    };
    if !fits {
        return Err(ApiError::new(
            &errors::INCOMPATIBLE_PROTOCOLS_EXCEPTION,
            format!(
                "The protocol '{}' of the listener is not compatible with the protocol '{}' of the target group '{arn}'",
                listener.protocol.as_str(),
                group.protocol.as_str()
            ),
        ));
    }
    if group.version == Some(ProtocolVersion::Grpc) && listener.protocol != Protocol::Https {
        return Err(validation(format!(
            "Listener protocol '{}' is not supported with a target group with the protocol-version 'GRPC'",
            listener.protocol.as_str()
        )));
    }
    Ok(())
}
