//! The core through its public face.

mod language;
mod placing;
mod properties;
mod refusing;
mod stopping;

use std::collections::BTreeMap;

use vocabulary::Timestamp;

use crate::{
    Constraint, Demand, ENI_UNLIMITED, Fleet, Held, Instance, Phase, Port, Protocol, Request, Standing,
    Strategy,
};

/// An instance with 1024 CPU units and 1024 MiB in a zone.
fn instance(id: &str, zone: &str) -> Instance {
    Instance {
        id: id.to_owned(),
        ec2_instance_id: Some(format!("i-{id}")),
        standing: Standing::Active,
        connected: true,
        external: false,
        agent_version: Some("1.90.0".to_owned()),
        registered_at: Timestamp::from_millis(1_700_000_000_000),
        cpu: 1024,
        memory: 1024,
        reserved_ports: vec![tcp(22)],
        enis: ENI_UNLIMITED,
        gpus: 0,
        attributes: BTreeMap::from([
            (Instance::ZONE.to_owned(), Some(zone.to_owned())),
            ("ecs.os-type".to_owned(), Some("linux".to_owned())),
            ("bare".to_owned(), None),
        ]),
    }
}

fn tcp(number: u16) -> Port {
    Port { protocol: Protocol::Tcp, number }
}

fn demand(cpu: u32, memory: u32) -> Demand {
    Demand { cpu, memory, ..Demand::default() }
}

/// Instances named by number, the zones taking turns.
fn fleet(instances: usize, zones: &[&str]) -> Fleet {
    let mut fleet = Fleet::new();
    for number in 0..instances {
        fleet.set_instance(instance(&format!("{number:03}"), zones[number % zones.len()]));
    }
    fleet
}

fn request<'a>(demand: &'a Demand, strategies: &'a [Strategy], constraints: &'a [Constraint]) -> Request<'a> {
    Request { group: "service:web", demand, required: &[], constraints, strategies, external: false }
}

fn held(instance: &str, group: &str, demand: &Demand) -> Held {
    Held {
        instance: instance.to_owned(),
        group: group.to_owned(),
        demand: demand.clone(),
        wanted: true,
        phase: Phase::Running,
    }
}

/// Plans, and takes what is planned for true.
fn place(fleet: &mut Fleet, request: &Request<'_>, count: usize, seed: u64) -> Vec<String> {
    let chosen = fleet.plan(request, count, seed).chosen;
    for instance in &chosen {
        let id = format!("task-{}", fleet.tasks_held());
        fleet.set_task(&id, held(instance, request.group, request.demand));
    }
    chosen
}

/// How many of `chosen` are in each zone.
fn zones(fleet: &Fleet, chosen: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for id in chosen {
        *counts.entry(fleet.instance(id).unwrap().zone().to_owned()).or_insert(0) += 1;
    }
    counts
}

fn member_of(expression: &str) -> Constraint {
    Constraint::member_of(Some(expression)).unwrap()
}
