use std::collections::BTreeMap;

use routing::config::{Forward, Stickiness};

use super::*;
use crate::network::{plan, proxy_protocol::Version, steering::Backend};

const A: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(172, 31, 0, 5), 80);
const B: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(172, 31, 0, 6), 80);
const C: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(172, 31, 16, 7), 80);

/// Last octets of the targets that a flow through us-east-1a may get.
fn eligible(bench: &Bench) -> Vec<u8> {
    let configuration = &bench.configuration;
    let backends: BTreeMap<_, _> = [A, B, C].map(|address| (place(address), Backend::new(address))).into();
    let balancer = &configuration.load_balancers[0];
    let listener = &balancer.listeners[0];
    let (pools, _) = plan::pools(configuration, balancer, listener, "us-east-1a", &bench.health, &backends);
    let mut found: Vec<u8> =
        pools.iter().flat_map(|pool| &pool.backends).map(|one| one.address.ip().octets()[3]).collect();
    found.sort();
    found
}

fn bench() -> Bench {
    let mut bench = Bench::new(ListenerProtocol::Tcp);
    for target in [A, B, C] {
        bench.add(target);
    }
    bench.group().targets[2].zone = Some("us-east-1b".into());
    bench
}

#[test]
fn flows_stay_in_their_zone_while_there_is_a_target() {
    let mut bench = bench();
    assert_eq!(eligible(&bench), [5, 6]);
    bench.group().attributes.cross_zone = Some(true);
    assert_eq!(eligible(&bench), [5, 6, 7]);
    bench.group().attributes.cross_zone = None;
    bench.configuration.load_balancers[0].attributes.cross_zone = true;
    assert_eq!(eligible(&bench), [5, 6, 7]);
    bench.configuration.load_balancers[0].attributes.cross_zone = false;
    bench.group().targets[2].zone = None;
    assert_eq!(eligible(&bench), [5, 6, 7]);
    bench.group().targets[2].zone = Some("us-east-1b".into());
    bench.group().targets.drain(..2);
    assert_eq!(eligible(&bench), [7]);
}

#[test]
fn only_healthy_targets_while_there_are_enough() {
    let mut bench = bench();
    bench.set(A, HealthState::Unhealthy);
    assert_eq!(eligible(&bench), [6]);
    bench.set(B, HealthState::Initial);
    assert_eq!(eligible(&bench), [5, 6]);
    bench.set(B, HealthState::Unavailable);
    assert_eq!(eligible(&bench), [6]);
    bench.group().attributes.minimum_healthy_percentage = Some(60);
    assert_eq!(eligible(&bench), [5, 6]);
    bench.group().attributes.minimum_healthy_percentage = Some(50);
    assert_eq!(eligible(&bench), [6]);
    bench.group().attributes.minimum_healthy_count = 2;
    assert_eq!(eligible(&bench), [5, 6]);
}

#[test]
fn who_drains_gets_nothing_even_when_nobody_else_is_there() {
    let mut bench = bench();
    bench.group().targets[0].draining = true;
    bench.set(B, HealthState::Unhealthy);
    assert_eq!(eligible(&bench), [6]);
    for target in &mut bench.group().targets {
        target.draining = true;
    }
    assert_eq!(eligible(&bench), [] as [u8; 0]);
}

#[test]
fn a_listener_says_how_its_groups_are_spoken_to() {
    let mut bench = bench();
    let spoken = |bench: &Bench| {
        let balancer = &bench.configuration.load_balancers[0];
        let (pools, groups) = plan::pools(
            &bench.configuration,
            balancer,
            &balancer.listeners[0],
            "us-east-1a",
            &bench.health,
            &BTreeMap::new(),
        );
        (pools.iter().map(|pool| (pool.weight, pool.by_source)).collect::<Vec<_>>(), groups)
    };
    assert_eq!(spoken(&bench).0, [(1, false)]);
    bench.group().attributes.stickiness = Stickiness::SourceAddress;
    bench.group().attributes.proxy_protocol = true;
    bench.group().protocol = Protocol::Tls;
    let (pools, groups) = spoken(&bench);
    assert_eq!(pools, [(1, true)]);
    assert!(groups[0].encrypted && groups[0].proxy_protocol == Some(Version::Two));
    bench.configuration.load_balancers[0].kind = LoadBalancerKind::Classic;
    assert_eq!(spoken(&bench).1[0].proxy_protocol, Some(Version::One));
    // A group that is not there takes no share.
    bench.listener().default.action = Action::Forward(Forward {
        target_groups: vec![WeightedTargetGroup { arn: "gone".into(), weight: 1 }],
        stickiness_seconds: None,
    });
    assert_eq!(spoken(&bench), (Vec::new(), Vec::new()));
}
