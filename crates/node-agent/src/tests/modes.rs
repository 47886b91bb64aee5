//! Network modes beside `awsvpc`: what is made for a task, what is told of its ports, and what is left of it.

use agent_protocol::spec::{ContainerSpec, Link, NetworkMode, PortMapping, TransportProtocol};
use task_lifecycle::NetworkBinding;

use super::*;

fn port(container_port: u16, host_port: Option<u16>) -> PortMapping {
    let protocol = TransportProtocol::Tcp;
    PortMapping { container_port, last_container_port: None, host_port, protocol, name: None }
}

fn with_mode(network_mode: NetworkMode, containers: Vec<ContainerSpec>) -> TaskSpec {
    TaskSpec { network_mode, network_interface: None, ..task_spec(containers) }
}

fn two_on_the_bridge() -> TaskSpec {
    let container = |name: &str, ports| ContainerSpec { port_mappings: ports, ..container_spec(name) };
    with_mode(
        NetworkMode::Bridge,
        vec![container("app", vec![port(80, None)]), container("helper", vec![port(80, Some(8080))])],
    )
}

fn binding(container_port: u16, host_port: u16) -> NetworkBinding {
    let (bind_ip, protocol) = ("0.0.0.0".into(), "tcp".into());
    NetworkBinding { bind_ip, container_port, host_port, count: 1, protocol }
}

#[tokio::test(start_paused = true)]
async fn containers_on_the_bridge_have_interfaces_of_their_own_and_tell_their_ports() {
    let mut fixture = Fixture::new().await;
    fixture.run(two_on_the_bridge(), 1).await;
    let running = fixture.control.status(TaskStatus::Running).await;
    let told: Vec<_> =
        running.containers.iter().map(|container| container.network_bindings.clone()).collect();
    assert_eq!(told, [vec![binding(80, 32_768)], vec![binding(80, 8080)]]);
    let sandbox = fixture.world.sandbox();
    assert_eq!(sandbox.spec.network, container_runtime::Network::Loopback, "none falls into the machine's");
    let network = |name: &str| sandbox.state().configs[name].network.clone().unwrap();
    assert_eq!(network("app"), std::path::Path::new("/netns/eni-b-t1-0"));
    assert_eq!(network("helper"), std::path::Path::new("/netns/eni-b-t1-1"));
    assert!(fixture.control.said.lock().unwrap().attachments.is_empty(), "no interface of the task's own");

    // An agent that comes back keeps them, and lets go of them with the task.
    fixture.restart().await;
    assert_eq!(fixture.world.attached.lock().unwrap().len(), 2);
    fixture.stop(2).await;
    fixture.control.status(TaskStatus::Stopped).await;
    fixture.until_gone().await;
    assert!(fixture.world.attached.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_range_of_ports_is_told_as_one() {
    let range = PortMapping { last_container_port: Some(84), ..port(80, None) };
    let app = ContainerSpec { port_mappings: vec![range], ..container_spec("app") };
    let fixture = Fixture::new().await;
    fixture.run(with_mode(NetworkMode::Bridge, vec![app]), 1).await;
    let running = fixture.control.status(TaskStatus::Running).await;
    let told = running.containers[0].network_bindings.clone();
    assert_eq!(told, [NetworkBinding { count: 5, ..binding(80, 32_768) }]);
    assert_eq!(told[0].ranges(), Some(("80-84".to_owned(), "32768-32772".to_owned())));
    assert_eq!((told[0].host_port_of(83), told[0].host_port_of(85)), (Some(32_771), None));
}

#[tokio::test(start_paused = true)]
async fn a_link_is_the_other_containers_address_by_name() {
    let mut task = two_on_the_bridge();
    task.containers[0].links = vec![Link { container_name: "helper".to_owned(), alias: "db".to_owned() }];
    let fixture = Fixture::new().await;
    fixture.run(task, 1).await;
    fixture.control.status(TaskStatus::Running).await;
    let sandbox = fixture.world.sandbox();
    let hosts = |name: &str| sandbox.state().configs[name].etc.hosts.clone().unwrap();
    assert!(hosts("app").lines().any(|line| line == "172.29.0.5 db helper"), "{}", hosts("app"));
    assert!(!hosts("helper").contains("172.29.0.4 app"));
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_taken_ends_the_task_with_its_reason_and_leaves_nothing() {
    let fixture = Fixture::new().await;
    let reason = "Bind for 0.0.0.0:8080 failed: port is already allocated";
    *fixture.world.bad_port.lock().unwrap() = Some((8080, reason.to_owned()));
    fixture.run(two_on_the_bridge(), 1).await;
    let stopped = fixture.control.status(TaskStatus::Stopped).await;
    assert_eq!(stopped.reason, Some(format!("CannotStartContainerError: {reason}")));
    fixture.until_gone().await;
    assert!(fixture.world.attached.lock().unwrap().is_empty(), "the first one's goes, too");
}

#[tokio::test(start_paused = true)]
async fn host_tells_the_machines_own_ports_and_none_tells_none() {
    for (mode, ports, network) in [
        (NetworkMode::Host, vec![binding(80, 80)], container_runtime::Network::Host),
        (NetworkMode::None, vec![], container_runtime::Network::Loopback),
    ] {
        let fixture = Fixture::new().await;
        let app = ContainerSpec { port_mappings: vec![port(80, Some(80))], ..container_spec("app") };
        fixture.run(with_mode(mode, vec![app]), 1).await;
        let running = fixture.control.status(TaskStatus::Running).await;
        assert_eq!(running.containers[0].network_bindings, ports);
        assert_eq!(fixture.world.sandbox().spec.network, network);
        assert!(fixture.world.attached.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_said_to_be_gone_is_not_run_by_a_payload_behind_it() {
    let fixture = Fixture::new().await;
    let listed = acs::TaskIdentifier { task_arn: task("RUNNING").arn, ..Default::default() };
    let manifest = acs::TaskManifestMessage { tasks: Some(vec![listed]), ..Default::default() };
    fixture.send(AcsMessage::TaskManifest(manifest)).await;
    fixture.run(with_mode(NetworkMode::None, vec![container_spec("app")]), 1).await;
    let stopped = fixture.control.status(TaskStatus::Stopped).await;
    assert_eq!(stopped.reason.as_deref(), Some("The task is not on its node any more"));
    assert!(fixture.world.sandboxes.lock().unwrap().is_empty());
}
