use std::net::SocketAddrV4;

use routing::{
    config::{CheckPort, HealthCheck, ListenerProtocol, Matcher},
    report::HealthReason,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{
    HostSockets,
    network::tests::{Bench, bound, echo, soon},
};

fn check() -> HealthCheck {
    HealthCheck {
        protocol: Protocol::Tcp,
        port: CheckPort::Traffic,
        path: String::new(),
        interval_seconds: 1,
        timeout_seconds: 1,
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        matcher: Matcher::Connection,
    }
}

/// Waits for a report of which this holds.
async fn reported(plane: &DataPlane, what: impl Fn(&Reports) -> bool) -> Arc<Reports> {
    let mut reports = plane.reports();
    let found = soon(reports.wait_for(|reports| what(reports))).await.expect("it runs");
    Arc::clone(&found)
}

fn state(reports: &Reports, target: SocketAddrV4) -> Option<HealthState> {
    let found = reports.targets.iter().find(|one| one.port == target.port());
    found.map(|one| one.health.state)
}

#[tokio::test]
async fn targets_become_healthy_drain_and_are_let_go() {
    let mut bench = Bench::new(ListenerProtocol::Tcp);
    let (target, (_, silent)) = (echo().await, bound().await);
    bench.add(target);
    bench.group().health_check = Some(check());
    let plane = DataPlane::start(Arc::new(HostSockets));
    plane.apply(bench.configuration.clone());
    let reports = reported(&plane, |reports| state(reports, target) == Some(HealthState::Healthy)).await;
    assert_eq!((reports.generation, reports.listening.as_slice()), (1, ["balancer".to_owned()].as_slice()));
    // It has a flow when it begins to drain.
    let mut client = bench.connect().await;
    soon(client.write_all(b"a")).await.expect("sent");
    soon(client.read_exact(&mut [0])).await.expect("echoed");
    bench.group().targets[0].draining = true;
    bench.configuration.generation = 2;
    bench.add(silent);
    plane.apply(bench.configuration.clone());
    let reports = reported(&plane, |reports| reports.generation == 2).await;
    let draining = &reports.targets[0];
    assert_eq!(draining.health.reason, Some(HealthReason::DeregistrationInProgress));
    assert!(!draining.drained);
    soon(client.shutdown()).await.expect("finished");
    let reports = reported(&plane, |reports| reports.targets[0].drained).await;
    assert_eq!(reports.targets[0].health.state, HealthState::Draining);
    // An older configuration changes nothing, and one without it forgets it.
    bench.configuration.generation = 1;
    plane.apply(bench.configuration.clone());
    bench.configuration.generation = 3;
    bench.group().targets.remove(0);
    plane.apply(bench.configuration.clone());
    let reports = reported(&plane, |reports| reports.generation == 3).await;
    assert_eq!(reports.targets.len(), 1);
}

#[tokio::test]
async fn who_does_not_answer_is_unhealthy_and_who_is_not_used_is_said_to_be() {
    let mut bench = Bench::new(ListenerProtocol::Tcp);
    let (gone, refusing) = bound().await;
    drop(gone);
    bench.add(refusing);
    bench.group().health_check = Some(check());
    let plane = DataPlane::start(Arc::new(HostSockets));
    plane.apply(bench.configuration.clone());
    let unhealthy = |reports: &Reports| state(reports, refusing) == Some(HealthState::Unhealthy);
    let reports = reported(&plane, unhealthy).await;
    assert_eq!(reports.targets[0].health.reason, Some(HealthReason::FailedHealthChecks));
    bench.configuration.generation = 2;
    bench.configuration.load_balancers[0].listeners.clear();
    plane.apply(bench.configuration.clone());
    reported(&plane, |reports| state(reports, refusing) == Some(HealthState::Unused)).await;
}

#[tokio::test]
async fn a_load_balancer_listens_when_all_its_ports_are_free() {
    let bench = Bench::new(ListenerProtocol::Tcp);
    let taken = tokio::net::TcpListener::bind(bench.address).await.expect("free so far");
    let plane = DataPlane::start(Arc::new(HostSockets));
    plane.apply(bench.configuration.clone());
    assert!(reported(&plane, |reports| reports.generation == 1).await.listening.is_empty());
    drop(taken);
    reported(&plane, |reports| reports.listening == ["balancer"]).await;
}
