//! Load balancers against a pretended machine, with sockets of this one.

use std::net::{Ipv4Addr, SocketAddrV4};

use agent_protocol::AcsMessage;
use routing::{
    config::{
        Action, CheckPort, Configuration, Forward, HealthCheck, Interface, Listener, ListenerAttributes,
        ListenerProtocol, LoadBalancer, LoadBalancerAttributes, LoadBalancerKind, Matcher, Outcome, Protocol,
        ProtocolVersion, Scheme, Target, TargetGroup, TargetGroupAttributes, WeightedTargetGroup,
    },
    report::HealthState,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    ShutdownMode,
    tests::Fixture,
    tests::fixtures::{container_spec, task_spec},
};

fn own_address(last: u8) -> Ipv4Addr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high.clamp(1, 254), low, last)
}

fn interface(number: u8) -> NetworkInterface {
    let task = task_spec(vec![container_spec("app")]);
    NetworkInterface {
        interface_id: format!("eni-{number}"),
        private_address: own_address(number),
        ..task.network_interface.expect("tasks have one")
    }
}

/// One load balancer for each interface, with a TCP listener on port 7000 and this target.
fn state(generation: u64, numbers: &[u8], target: SocketAddrV4) -> LoadBalancers {
    let forward = Forward {
        target_groups: vec![WeightedTargetGroup { arn: "group".into(), weight: 1 }],
        stickiness_seconds: None,
    };
    let balancer = |number: &u8| LoadBalancer {
        arn: format!("balancer-{number}"),
        name: "web".into(),
        dns_name: "web-1.us-east-1.elb.localhost".into(),
        kind: LoadBalancerKind::Network,
        scheme: Scheme::Internal,
        attributes: LoadBalancerAttributes::default(),
        interfaces: vec![Interface {
            id: format!("eni-{number}"),
            subnet_id: "subnet-1".into(),
            vpc_id: "vpc-1".into(),
            zone: "us-east-1a".into(),
            private_address: own_address(*number),
            public_address: None,
            mac: "02:00:00:00:00:01".into(),
            security_groups: Vec::new(),
        }],
        listeners: vec![Listener {
            arn: format!("listener-{number}"),
            protocol: ListenerProtocol::Tcp,
            port: 7000,
            ssl_policy: None,
            alpn_policy: None,
            certificates: Vec::new(),
            client_certificates: Default::default(),
            attributes: ListenerAttributes::default(),
            rules: Vec::new(),
            default: Outcome { transforms: Vec::new(), action: Action::Forward(forward.clone()) },
        }],
    };
    let group = TargetGroup {
        arn: "group".into(),
        name: "group".into(),
        protocol: Protocol::Tcp,
        version: ProtocolVersion::Http1,
        health_check: Some(HealthCheck {
            protocol: Protocol::Tcp,
            port: CheckPort::Traffic,
            path: String::new(),
            interval_seconds: 5,
            timeout_seconds: 2,
            healthy_threshold: 2,
            unhealthy_threshold: 2,
            matcher: Matcher::Connection,
        }),
        attributes: TargetGroupAttributes::default(),
        targets: vec![Target {
            id: target.ip().to_string(),
            address: (*target.ip()).into(),
            port: target.port(),
            zone: None,
            draining: false,
            registration: 0,
        }],
    };
    LoadBalancers {
        configuration: Configuration {
            generation,
            load_balancers: numbers.iter().map(balancer).collect(),
            target_groups: vec![group],
        },
        interfaces: numbers.iter().map(|number| interface(*number)).collect(),
    }
}

async fn target() -> SocketAddrV4 {
    let listener = TcpListener::bind((own_address(250), 0)).await.unwrap();
    let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else { unreachable!("IPv4") };
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Checks do not wait for it.
            let _ = stream.write_all(b"hello").await;
        }
    });
    address
}

async fn said(number: u8) -> String {
    let mut client = TcpStream::connect((own_address(number), 7000)).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Waits until exactly these load balancers are said to listen and the target to be healthy.
async fn listening(fixture: &Fixture, generation: u64, numbers: &[u8]) {
    let expected: Vec<String> = numbers.iter().map(|number| format!("balancer-{number}")).collect();
    fixture
        .control
        .until("listening", |said| {
            let report = said.targets.last()?;
            let healthy = report.targets.iter().all(|target| target.health.state == HealthState::Healthy);
            (report.generation == generation && report.listening == expected && healthy).then_some(())
        })
        .await;
}

fn attached(fixture: &Fixture) -> Vec<String> {
    fixture.world.attached.lock().unwrap().iter().cloned().collect()
}

#[tokio::test]
async fn balancers_come_change_and_go() {
    let fixture = Fixture::new().await;
    let target = target().await;
    fixture.send(AcsMessage::LoadBalancers(state(1, &[1, 2], target))).await;
    listening(&fixture, 1, &[1, 2]).await;
    assert_eq!((said(1).await, said(2).await), ("hello".to_owned(), "hello".to_owned()));
    // Other groups: asked for again, nothing is closed.
    let mut changed = state(2, &[1, 2], target);
    changed.interfaces[0].security_group_ids = vec!["sg-2".into()];
    fixture.send(AcsMessage::LoadBalancers(changed)).await;
    listening(&fixture, 2, &[1, 2]).await;
    let held: Vec<String> =
        fixture.world.held.lock().unwrap().iter().map(|one| one.interface_id.clone()).collect();
    assert_eq!(held, ["eni-1", "eni-2", "eni-1"]);
    // An older word changes nothing; a newer one without it removes it.
    fixture.send(AcsMessage::LoadBalancers(state(1, &[], target))).await;
    fixture.send(AcsMessage::LoadBalancers(state(3, &[2], target))).await;
    listening(&fixture, 3, &[2]).await;
    assert_eq!(attached(&fixture), ["eni-2"]);
    assert_eq!(said(2).await, "hello");
    assert!(TcpStream::connect((own_address(1), 7000)).await.is_err());
}

#[tokio::test]
async fn what_cannot_be_attached_is_tried_again() {
    let fixture = Fixture::new().await;
    let target = target().await;
    *fixture.world.bad_network.lock().unwrap() = Some("no room".into());
    fixture.send(AcsMessage::LoadBalancers(state(1, &[1], target))).await;
    fixture
        .control
        .until("a report", |said| said.targets.last().map(|last| assert!(last.listening.is_empty())))
        .await;
    *fixture.world.bad_network.lock().unwrap() = None;
    listening(&fixture, 1, &[1]).await;
    assert_eq!(said(1).await, "hello");
}

#[tokio::test]
async fn interfaces_are_kept_over_a_restart_while_tasks_run() {
    let mut fixture = Fixture::running().await;
    let target = target().await;
    fixture.send(AcsMessage::LoadBalancers(state(1, &[5, 6], target))).await;
    listening(&fixture, 1, &[5, 6]).await;
    fixture.control.said.lock().unwrap().targets.clear();
    fixture.restart().await;
    assert_eq!(attached(&fixture), ["eni-1", "eni-5", "eni-6"]);
    fixture.send(AcsMessage::LoadBalancers(state(1, &[6], target))).await;
    listening(&fixture, 1, &[6]).await;
    // The one that went meanwhile is no leaving for ever.
    assert_eq!(attached(&fixture), ["eni-1", "eni-6"]);
    assert_eq!(said(6).await, "hello");
    fixture.end(ShutdownMode::RemoveEverything { grace: Duration::ZERO }).await;
    assert!(*fixture.world.network_removed.lock().unwrap());
    assert!(TcpStream::connect((own_address(6), 7000)).await.is_err());
}

#[tokio::test]
async fn a_control_plane_that_was_away_hears_the_newest() {
    let fixture = Fixture::new().await;
    let target = target().await;
    fixture.control.set_away(true);
    fixture.send(AcsMessage::LoadBalancers(state(1, &[8], target))).await;
    fixture.send(AcsMessage::LoadBalancers(state(2, &[8, 9], target))).await;
    fixture.control.set_away(false);
    listening(&fixture, 2, &[8, 9]).await;
}
