//! A configuration, made ready for requests: what every listener does, with everything it refers to at hand.
//!
//! It is made once for all threads and never changed. Health and load of targets are beside it, in their own states, so a change of health
//! needs no new snapshot.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::SocketAddrV4,
    sync::{Arc, atomic::AtomicUsize},
};

use routing::{
    config::{
        Action, Configuration, Forward, Interface, Listener, ListenerAttributes, LoadBalancer,
        LoadBalancerAttributes, LoadBalancerKind, Protocol, ProtocolVersion, TargetGroupAttributes,
    },
    rules::Rules,
    sticky,
};

use super::{metrics::Metrics, target::TargetState};
use crate::{network::Place, tls::clients};

/// One listening socket: the interface and its address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Door {
    pub interface: Arc<str>,
    pub address: SocketAddrV4,
}

/// A load balancer, as its listeners see it.
#[derive(Debug)]
pub(crate) struct Balancer {
    pub arn: String,
    /// As access logs name it: `app/NAME/ID`.
    pub log_name: String,
    pub kind: LoadBalancerKind,
    pub attributes: LoadBalancerAttributes,
    pub metrics: Arc<Metrics>,
}

/// A listener on one interface.
#[derive(Debug)]
pub(crate) struct ListenerConfig {
    pub arn: String,
    pub balancer: Arc<Balancer>,
    pub interface: Arc<str>,
    pub zone: String,
    pub address: SocketAddrV4,
    pub encrypted: bool,
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// What targets are told of clients' certificates.
    pub clients: clients::Told,
    pub rules: Arc<Rules>,
    pub attributes: ListenerAttributes,
    /// For each outcome of `rules` the groups of its action, the default's last.
    forwards: Arc<Vec<Vec<Share>>>,
}

/// A group's part in an action.
#[derive(Debug)]
pub(crate) struct Share {
    pub weight: u32,
    /// `None` when there is no such group.
    pub group: Option<Arc<Group>>,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub arn: String,
    pub mark: u64,
    pub encrypted: bool,
    pub version: ProtocolVersion,
    pub attributes: TargetGroupAttributes,
    pub targets: Vec<Arc<TargetState>>,
    /// Counts choices.
    pub turn: Arc<AtomicUsize>,
    pub metrics: Arc<Metrics>,
}

impl ListenerConfig {
    /// The groups of an outcome.
    pub(crate) fn shares(&self, rule: Option<usize>) -> &[Share] {
        let last = self.forwards.len() - 1;
        &self.forwards[rule.unwrap_or(last)]
    }

    /// Whether a request may go to any zone.
    pub(crate) fn crosses_zones(&self, group: &Group) -> bool {
        group.attributes.cross_zone.unwrap_or(self.balancer.attributes.cross_zone)
    }
}

/// What a thread has at hand for a door; empty once the listener is gone.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    listener: RefCell<Option<Arc<ListenerConfig>>>,
}

impl Slot {
    pub(crate) fn current(&self) -> Option<Arc<ListenerConfig>> {
        self.listener.borrow().clone()
    }

    pub(crate) fn set(&self, listener: Option<Arc<ListenerConfig>>) {
        self.listener.replace(listener);
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.listener.borrow().is_none()
    }
}

/// What outlives configurations.
pub(crate) trait Lasting {
    fn target(&self, place: &Place) -> Option<Arc<TargetState>>;
    fn turn(&mut self, group: &str) -> Arc<AtomicUsize>;
    fn metrics(&mut self, arn: &str) -> Arc<Metrics>;
}

/// Makes the TLS side of a listener.
pub(crate) type MakeTls<'a> =
    &'a dyn Fn(&LoadBalancer, &Listener) -> Result<Arc<rustls::ServerConfig>, String>;

/// What could not be made ready: load balancer and listener, and why.
pub(crate) type Unusable = (String, String, String);

/// Every door with what is behind it. A listener whose TLS cannot be made is left out and named.
pub(crate) fn listeners(
    configuration: &Configuration,
    lasting: &mut impl Lasting,
    make_tls: MakeTls<'_>,
) -> (BTreeMap<Door, Arc<ListenerConfig>>, Vec<Unusable>) {
    let groups = groups(configuration, lasting);
    let (mut doors, mut unusable) = (BTreeMap::new(), Vec::new());
    for load_balancer in &configuration.load_balancers {
        let own: Vec<_> =
            load_balancer.listeners.iter().filter(|listener| listener.protocol.is_http()).collect();
        if own.is_empty() {
            continue;
        }
        let balancer = Arc::new(Balancer {
            arn: load_balancer.arn.clone(),
            log_name: log_name(load_balancer),
            kind: load_balancer.kind,
            attributes: load_balancer.attributes.clone(),
            metrics: lasting.metrics(&load_balancer.arn),
        });
        for listener in own {
            let tls =
                match listener.protocol.is_encrypted().then(|| make_tls(load_balancer, listener)).transpose()
                {
                    Ok(tls) => tls,
                    Err(reason) => {
                        unusable.push((load_balancer.arn.clone(), listener.arn.clone(), reason));
                        continue;
                    }
                };
            let rules = Arc::new(Rules::new(listener));
            let forwards = Arc::new(forwards(&rules, &groups));
            for interface in &load_balancer.interfaces {
                let door = door(interface, listener);
                let config = ListenerConfig {
                    arn: listener.arn.clone(),
                    balancer: Arc::clone(&balancer),
                    interface: Arc::clone(&door.interface),
                    zone: interface.zone.clone(),
                    address: door.address,
                    encrypted: listener.protocol.is_encrypted(),
                    tls: tls.clone(),
                    clients: clients::Told::of(&listener.client_certificates),
                    rules: Arc::clone(&rules),
                    attributes: listener.attributes.clone(),
                    forwards: Arc::clone(&forwards),
                };
                doors.insert(door, Arc::new(config));
            }
        }
    }
    (doors, unusable)
}

fn door(interface: &Interface, listener: &Listener) -> Door {
    Door {
        interface: interface.id.as_str().into(),
        address: SocketAddrV4::new(interface.private_address, listener.port),
    }
}

fn log_name(load_balancer: &LoadBalancer) -> String {
    let resource = load_balancer.arn.split_once(":loadbalancer/").map(|(_, resource)| resource);
    resource.unwrap_or(&load_balancer.name).to_owned()
}

fn groups(configuration: &Configuration, lasting: &mut impl Lasting) -> BTreeMap<String, Arc<Group>> {
    let group = |group: &routing::config::TargetGroup| Group {
        arn: group.arn.clone(),
        mark: sticky::mark(&[&group.arn]),
        encrypted: group.protocol == Protocol::Https,
        version: group.version,
        attributes: group.attributes.clone(),
        targets: group
            .targets
            .iter()
            .filter_map(|target| lasting.target(&(group.arn.clone(), target.id.clone(), target.port)))
            .collect(),
        turn: lasting.turn(&group.arn),
        metrics: lasting.metrics(&group.arn),
    };
    let named = |config: &routing::config::TargetGroup| config.arn.clone();
    let mut group = group;
    configuration.target_groups.iter().map(|config| (named(config), Arc::new(group(config)))).collect()
}

fn forwards(rules: &Rules, groups: &BTreeMap<String, Arc<Group>>) -> Vec<Vec<Share>> {
    let shares = |forward: &Forward| {
        let share = |weighted: &routing::config::WeightedTargetGroup| Share {
            weight: weighted.weight,
            group: groups.get(&weighted.arn).cloned(),
        };
        forward.target_groups.iter().map(share).collect()
    };
    rules
        .outcomes()
        .map(|compiled| match &compiled.outcome.action {
            Action::Forward(forward) => shares(forward),
            Action::Redirect(_) | Action::FixedResponse(_) => Vec::new(),
        })
        .collect()
}
