//! What a listener does with flows, made from the configuration and the health of targets. Pure: nothing here asks anyone.

use std::{collections::BTreeMap, net::IpAddr, net::SocketAddrV4, sync::Arc};

use routing::{
    config::{
        Action, Configuration, Listener, LoadBalancer, LoadBalancerKind, Protocol, Stickiness, Target,
        TargetGroup,
    },
    report::HealthState,
};

use super::{
    proxy_protocol::Version,
    steering::{Backend, Pool},
};

/// Which target of which group: the group's ARN, the target's id and port.
pub(crate) type Place = (String, String, u16);

/// The health of targets, by place. One that is not there is being looked at for the first time.
pub(crate) type HealthMap = BTreeMap<Place, HealthState>;

/// How targets of a group are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    pub proxy_protocol: Option<Version>,
    pub encrypted: bool,
    /// They see the client's address.
    pub as_client: bool,
}

pub(crate) fn place(group: &TargetGroup, target: &Target) -> Place {
    (group.arn.clone(), target.id.clone(), target.port)
}

/// The pools of a listener as an interface in `zone` sees them, and how each is spoken to.
pub(crate) fn pools(
    configuration: &Configuration,
    balancer: &LoadBalancer,
    listener: &Listener,
    zone: &str,
    health: &HealthMap,
    backends: &BTreeMap<Place, Arc<Backend>>,
) -> (Vec<Pool>, Vec<Group>) {
    // A listener of this kind has no rules, and nothing else to do but forward.
    let Action::Forward(forward) = &listener.default.action else { return (Vec::new(), Vec::new()) };
    let shares = forward.target_groups.iter().filter_map(|share| {
        let group = configuration.target_groups.iter().find(|group| group.arn == share.arn)?;
        let of_zone =
            Some(zone).filter(|_| !group.attributes.cross_zone.unwrap_or(balancer.attributes.cross_zone));
        let pool = Pool {
            weight: share.weight,
            by_source: group.attributes.stickiness == Stickiness::SourceAddress,
            backends: eligible(group, of_zone, health)
                .into_iter()
                .filter_map(|target| backends.get(&place(group, target)).cloned())
                .collect(),
        };
        let version = match balancer.kind {
            LoadBalancerKind::Classic => Version::One,
            LoadBalancerKind::Application | LoadBalancerKind::Network => Version::Two,
        };
        let spoken = Group {
            proxy_protocol: group.attributes.proxy_protocol.then_some(version),
            encrypted: matches!(group.protocol, Protocol::Tls | Protocol::Https),
            as_client: group.attributes.preserve_client_address && balancer.kind == LoadBalancerKind::Network,
        };
        Some((pool, spoken))
    });
    shares.unzip()
}

/// The targets that may get new flows: those of the zone that are healthy; with fewer of these than the group asks for, all of the zone.
/// A zone without any target is as good as one without a load balancer: its flows go to the others.
fn eligible<'a>(group: &'a TargetGroup, zone: Option<&str>, health: &HealthMap) -> Vec<&'a Target> {
    let staying: Vec<&Target> = group.targets.iter().filter(|target| !target.draining).collect();
    let near: Vec<&Target> = staying
        .iter()
        .copied()
        .filter(|target| zone.is_none() || target.zone.is_none() || target.zone.as_deref() == zone)
        .collect();
    let candidates = if near.is_empty() { staying } else { near };
    let healthy: Vec<&Target> = candidates
        .iter()
        .copied()
        .filter(|target| {
            matches!(health.get(&place(group, target)), Some(HealthState::Healthy | HealthState::Unavailable))
        })
        .collect();
    let attributes = &group.attributes;
    let share = u64::from(attributes.minimum_healthy_percentage.unwrap_or(0));
    let enough = healthy.len() >= attributes.minimum_healthy_count.max(1) as usize
        && healthy.len() as u64 * 100 >= share * candidates.len() as u64;
    if enough { healthy } else { candidates }
}

/// The address of a target; none of IPv6, which the network does not have.
pub(crate) fn address(target: &Target) -> Option<SocketAddrV4> {
    match target.address {
        IpAddr::V4(address) => Some(SocketAddrV4::new(address, target.port)),
        IpAddr::V6(_) => None,
    }
}
