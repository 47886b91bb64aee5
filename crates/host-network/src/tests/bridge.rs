//! The node's own network: published ports from everywhere, neighbours, the way out, and beside a platform's network.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener},
};

use super::world::{
    HOST_OUTSIDE, OUTSIDE, World, at, on_a_host, reaches, reaches_udp, refused, refused_udp, serve,
};
use crate::{Attached, EniId, Network, NetworkConfig, NetworkError, Publish, Transport, nft::Nft};

fn instance(world: &World) -> NetworkConfig {
    NetworkConfig { warm_namespaces: 1, ..NetworkConfig::for_instance(world.directory.path().join("agent")) }
}

fn port(protocol: Transport, host_port: Option<u16>, container_port: u16) -> Publish {
    Publish { protocol, host_port, container_port, count: 1 }
}

async fn container(network: &Network, name: &str, ports: &[Publish]) -> Attached {
    let id = EniId::new(format!("eni-b-{name}")).expect("an id");
    let attached = network.attach_bridged(id, ports.to_vec()).await.expect("attached");
    // Each answers by both protocols.
    for port in ports.iter().map(|port| port.container_port).collect::<BTreeSet<_>>() {
        serve(at(&attached), Ipv4Addr::UNSPECIFIED, port);
    }
    attached
}

fn host_port(attached: &Attached, index: usize) -> u16 {
    attached.spec.published[index].host_port
}

#[test]
fn published_ports_lead_to_containers_from_the_node_and_from_outside() {
    on_a_host(|world| async move {
        let network = Network::start(instance(&world)).await.expect("started");
        let (_, node) = network.bridge().await.expect("asked").expect("a bridge");
        let tcp = port(Transport::Tcp, None, 80);
        let first = container(&network, "a-0", &[tcp, port(Transport::Udp, None, 80)]).await;
        // The same container port beside it, and a given port of the node.
        let second = container(&network, "b-0", &[tcp, port(Transport::Tcp, Some(8080), 81)]).await;
        let ports: Vec<u16> = [&first, &second].iter().map(|one| host_port(one, 0)).collect();
        // The given ones come first.
        assert_eq!(second.spec.published[0].host_port, 8080);
        let dynamic = [ports[0], host_port(&second, 1)];
        assert_ne!(dynamic[0], dynamic[1]);
        assert!(dynamic.iter().all(|port| *port >= 32_768));
        let own = instance(&world).metadata;
        for to in [Ipv4Addr::LOCALHOST, HOST_OUTSIDE, node] {
            for port in [dynamic[0], dynamic[1], 8080] {
                reaches(None, to, port);
            }
            reaches_udp(None, to, host_port(&first, 1));
            refused(None, to, 8081);
        }
        refused(None, own, 8080);
        // From outside, with the address of whoever asks.
        for port in [dynamic[0], 8080] {
            assert_eq!(reaches(Some(&world.outside), HOST_OUTSIDE, port), OUTSIDE);
        }
        reaches_udp(Some(&world.outside), HOST_OUTSIDE, host_port(&first, 1));
        refused(Some(&world.outside), HOST_OUTSIDE, 80);
        // A container reaches its neighbour, itself by way of the node, and outside as the node.
        reaches(at(&first), second.spec.address, 80);
        reaches(at(&first), HOST_OUTSIDE, 8080);
        reaches(at(&second), HOST_OUTSIDE, 8080);
        serve(Some(&world.outside), OUTSIDE, 7);
        assert_eq!(reaches(at(&first), OUTSIDE, 7), HOST_OUTSIDE);
        reaches_udp(at(&first), OUTSIDE, 7);
        // What runs on the node itself is not open to containers.
        serve(None, Ipv4Addr::UNSPECIFIED, 9);
        refused(at(&first), node, 9);
        refused(at(&first), HOST_OUTSIDE, 9);
        network.detach(second.spec.eni_id).await.expect("detached");
        refused(None, Ipv4Addr::LOCALHOST, 8080);
        refused_udp(None, Ipv4Addr::LOCALHOST, 8080);
        reaches(None, Ipv4Addr::LOCALHOST, dynamic[0]);
        drop(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8080)).expect("the port is free again"));
        network.teardown().await.expect("torn down");
        assert!(!world.ruleset().contains("longshore-agent"));
    });
}

#[test]
fn a_range_has_as_many_ports_of_the_node_in_a_row() {
    on_a_host(|world| async move {
        let network = Network::start(instance(&world)).await.expect("started");
        let range = |count| Publish { count, ..port(Transport::Tcp, None, 8000) };
        let first = container(&network, "a-0", &[range(50), port(Transport::Udp, None, 9000)]).await;
        let begin = host_port(&first, 0);
        // Each of the node's leads to its own of the container's.
        for offset in [1, 49] {
            serve(at(&first), Ipv4Addr::UNSPECIFIED, 8000 + offset);
        }
        for (published, offset) in first.spec.published.iter().zip(0..50) {
            assert_eq!((published.host_port, published.container_port), (begin + offset, 8000 + offset));
        }
        for offset in [0, 1, 49] {
            reaches(None, Ipv4Addr::LOCALHOST, begin + offset);
            assert_eq!(reaches(Some(&world.outside), HOST_OUTSIDE, begin + offset), OUTSIDE);
        }
        refused(None, Ipv4Addr::LOCALHOST, begin + 2);
        // A port of the host's own in the way is gone around.
        let next = first.spec.published.iter().map(|one| one.host_port).max().expect("published") + 3;
        let kept = TcpListener::bind((Ipv4Addr::UNSPECIFIED, next)).expect("bound");
        let second = container(&network, "b-0", &[range(20)]).await;
        let ports: BTreeSet<u16> = second.spec.published.iter().map(|one| one.host_port).collect();
        assert_eq!(ports.len(), 20);
        assert!(!ports.contains(&next) && ports.last().unwrap() - ports.first().unwrap() == 19, "{ports:?}");
        drop(kept);
        // As many as a container can have go in and out in one piece.
        let many = container(&network, "c-0", &[range(1000)]).await;
        reaches(None, Ipv4Addr::LOCALHOST, host_port(&many, 0));
        let listed = || world.ruleset().matches(&format!("{} : ", host_port(&many, 999))).count();
        assert_eq!(listed(), 1);
        network.detach(many.spec.eni_id.clone()).await.expect("detached");
        assert_eq!(listed(), 0);
        let id = EniId::new("eni-b-d-0").expect("an id");
        let refusal = network.attach_bridged(id, vec![range(1001)]).await.expect_err("refused");
        assert!(refusal.to_string().contains("more than the 1000"), "{refusal}");
        assert_eq!(network.list().await.expect("listed").len(), 2);
    });
}

#[test]
fn a_port_belongs_to_one() {
    on_a_host(|world| async move {
        let network = Network::start(instance(&world)).await.expect("started");
        container(&network, "a-0", &[port(Transport::Tcp, Some(8080), 80)]).await;
        // The other protocol's port of that number is another.
        container(&network, "b-0", &[port(Transport::Udp, Some(8080), 80)]).await;
        let kept = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("bound");
        let taken = kept.local_addr().expect("an address").port();
        for given in [8080, taken] {
            let id = EniId::new("eni-b-c-0").expect("an id");
            let refusal = network.attach_bridged(id, vec![port(Transport::Tcp, Some(given), 80)]).await;
            let text = refusal.expect_err("refused").to_string();
            assert!(text.contains(&format!("0.0.0.0:{given} failed: port is already allocated")), "{text}");
        }
        // Nobody of the host gets it either.
        TcpListener::bind((Ipv4Addr::LOCALHOST, 8080)).expect_err("held");
        assert_eq!(network.list().await.expect("listed").len(), 2);
        let without = world.start().await;
        let id = EniId::new("eni-b-d-0").expect("an id");
        let refusal = without.attach_bridged(id, vec![]).await.expect_err("no bridge");
        assert!(matches!(refusal, NetworkError::Config(_)), "{refusal}");
    });
}

#[test]
fn published_ports_outlive_the_process_and_are_the_same_after_it() {
    on_a_host(|world| async move {
        let network = Network::start(instance(&world)).await.expect("started");
        let first = container(&network, "a-0", &[port(Transport::Tcp, None, 80)]).await;
        let chosen = host_port(&first, 0);
        drop(network);
        reaches(None, Ipv4Addr::LOCALHOST, chosen);
        reaches(Some(&world.outside), HOST_OUTSIDE, chosen);
        let network = again(&world).await;
        let id = first.spec.eni_id.clone();
        let adopted = network.attach_bridged(id, vec![port(Transport::Tcp, None, 80)]).await.expect("there");
        assert_eq!(adopted, first);
        reaches(None, Ipv4Addr::LOCALHOST, chosen);
        TcpListener::bind((Ipv4Addr::LOCALHOST, chosen)).expect_err("held again");
        let other = container(&network, "b-0", &[port(Transport::Tcp, None, 80)]).await;
        assert_ne!(host_port(&other, 0), chosen);
        assert_ne!(other.spec.address, first.spec.address);
    });
}

/// The process before it gives its hold up a moment after its network was dropped.
async fn again(world: &World) -> Network {
    for _ in 0..2000 {
        match Network::start(instance(world)).await {
            Err(NetworkError::InUse(_)) => tokio::task::yield_now().await,
            started => return started.expect("started again"),
        }
    }
    panic!("the prefix is not given up");
}

#[test]
fn beside_a_platform_each_keeps_to_itself() {
    on_a_host(|world| async move {
        let platform = world.network().await;
        let task = world.task(&platform, &["open"]).await;
        let public = world.public_task(&platform, &["open"], 7).await;
        for one in [&task, &public] {
            serve(at(one), Ipv4Addr::UNSPECIFIED, 80);
        }
        let network = Network::start(instance(&world)).await.expect("started beside");
        let (range, node) = network.bridge().await.expect("asked").expect("a bridge");
        assert!(!range.overlaps(super::world::vpc().cidr));
        let one = container(&network, "a-0", &[port(Transport::Tcp, Some(80), 80)]).await;
        // The platform's tasks are where they were, also for what goes by the same port numbers.
        let platforms_own = world.config.metadata;
        serve(None, platforms_own, 80);
        for from in [at(&task), at(&public)] {
            reaches(from, platforms_own, 80);
        }
        reaches(None, task.spec.address, 80);
        assert_eq!(reaches(Some(&world.outside), HOST_OUTSIDE, 80), OUTSIDE);
        assert_eq!(reaches(at(&task), node, 80), task.spec.address);
        // A container asks its own agent at the address that it shares with the platform's tasks.
        let own = instance(&world).metadata;
        serve(None, own, 80);
        assert_eq!(reaches(at(&one), platforms_own, 80), one.spec.address);
        reaches(at(&one), task.spec.address, 80);
        serve(Some(&world.outside), OUTSIDE, 7);
        reaches(at(&one), OUTSIDE, 7);
        // The one goes, the other stays.
        network.teardown().await.expect("torn down");
        reaches(None, task.spec.address, 80);
        assert!(
            !Nft::new(&world.config.nft)
                .output("list", &["list", "ruleset"])
                .expect("listed")
                .contains("lsha")
        );
        let network = again(&world).await;
        let one = container(&network, "b-0", &[port(Transport::Tcp, None, 80)]).await;
        platform.teardown().await.expect("torn down");
        network.refresh_uplinks().await.expect("looked");
        reaches(None, Ipv4Addr::LOCALHOST, host_port(&one, 0));
        assert_eq!(reaches(Some(&world.outside), HOST_OUTSIDE, host_port(&one, 0)), OUTSIDE);
        reaches(at(&one), OUTSIDE, 7);
    });
}
