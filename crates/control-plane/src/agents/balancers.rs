//! What the node of this machine is told of load balancers: all of them, whenever something about them has changed. It is derived from the
//! tables like everything else, and numbered by their revision, so that a restart loses nothing and a report tells what it is about.

use agent_protocol::spec::{LoadBalancers, NetworkInterface};
use routing::config::{Configuration, LoadBalancer};
use state_store::{Record, Touched, View};
use vocabulary::{Arn, Scope};

use crate::services::{
    Services,
    acm::records::Certificate,
    ec2::state::task_interface,
    elb,
    elbv2::{self, configuration::configuration},
};

/// Services whose records load balancers are made from.
const SERVICES: [&str; 3] =
    [elbv2::records::LoadBalancer::SERVICE, elb::records::LoadBalancer::SERVICE, Certificate::SERVICE];

/// Whether load balancers may have changed.
pub fn concerned(touched: &[Touched]) -> bool {
    touched.iter().any(|one| SERVICES.contains(&one.service))
}

/// All load balancers, as they are now.
pub fn state(services: &Services, view: &View) -> LoadBalancers {
    let configuration = configuration(services, view);
    let interfaces = configuration.load_balancers.iter().flat_map(|one| interfaces(view, one)).collect();
    LoadBalancers { configuration, interfaces }
}

/// Whether two states differ in more than their numbers.
pub fn differ(before: &LoadBalancers, after: &LoadBalancers) -> bool {
    let Configuration { generation: _, load_balancers, target_groups } = &before.configuration;
    before.interfaces != after.interfaces
        || *load_balancers != after.configuration.load_balancers
        || *target_groups != after.configuration.target_groups
}

fn interfaces(view: &View, balancer: &LoadBalancer) -> Vec<NetworkInterface> {
    let Some(scope) = scope(&balancer.arn) else { return Vec::new() };
    let found = balancer.interfaces.iter().filter_map(|interface| {
        let found = task_interface(view, &scope, &interface.id, "")?;
        // One without groups of its own has the one that lets everything through.
        Some(NetworkInterface { security_group_ids: interface.security_groups.clone(), ..found })
    });
    found.collect()
}

fn scope(arn: &str) -> Option<Scope> {
    let arn: Arn = arn.parse().ok()?;
    Some(Scope::new(arn.account().parse().ok()?, arn.region().parse().ok()?))
}
