//! Flows of a balancer that its targets see coming from the client.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    lifecycle::crash,
    world::{
        BRIEF, HOST_OUTSIDE, OUTSIDE, PATIENCE, Sink, World, allowing, at, cidr, on_a_host, reaches,
        reaches_udp, refused, send, serve, sg, tcp, vpc,
    },
};
use crate::{
    Appearance, Appearing, Attached, InterfaceSpec, NamespaceSockets, Network, Peer, Rule, Sources, Traffic,
    Transport,
};

/// Somebody outside: an address of the targets' subnet would have to be an interface's to be answered.
const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 99), 40000);

/// A balancer's sockets, and what makes them appear as a client's.
struct Balancer {
    own: Ipv4Addr,
    sockets: NamespaceSockets,
    sources: Sources,
}

impl Balancer {
    fn of(network: &Network, task: &Attached) -> Balancer {
        let sockets = NamespaceSockets::enter(&task.netns_path).expect("entered");
        Balancer { own: task.spec.address, sockets, sources: network.sources() }
    }

    /// What the target saw, asked in the client's name over TCP.
    async fn ask(&self, client: SocketAddrV4, target: SocketAddrV4) -> (String, Appearing) {
        self.ask_within(PATIENCE, client, target).await.expect("an answer")
    }

    /// `None` when it does not answer.
    async fn ask_within(
        &self,
        wait: Duration,
        client: SocketAddrV4,
        target: SocketAddrV4,
    ) -> Option<(String, Appearing)> {
        let socket = self.sockets.stream().await.expect("a socket");
        socket.bind((self.own, 0).into()).expect("bound");
        let std::net::SocketAddr::V4(own) = socket.local_addr().expect("bound") else { return None };
        let appearance = Appearance { protocol: Transport::Tcp, own, target, client };
        let appearing = self.sources.appear(appearance).await.expect("appears");
        let connecting = tokio::time::timeout(wait, socket.connect(target.into()));
        let mut stream = connecting.await.ok()?.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        stream.shutdown().await.expect("ended");
        Some((answer, appearing))
    }

    async fn ask_udp(&self, client: SocketAddrV4, target: SocketAddrV4) -> (String, Appearing) {
        let socket = self.sockets.datagram(SocketAddrV4::new(self.own, 0)).await.expect("bound");
        let std::net::SocketAddr::V4(own) = socket.local_addr().expect("bound") else { unreachable!("IPv4") };
        let appearance = Appearance { protocol: Transport::Udp, own, target, client };
        let appearing = self.sources.appear(appearance).await.expect("appears");
        socket.connect(target).await.expect("connected");
        let mut buffer = [0; 64];
        // Datagrams may be lost: another one is sent after a while.
        for _ in 0..PATIENCE.as_millis() / BRIEF.as_millis() {
            socket.send(b"?").await.expect("sent");
            if let Ok(length) = tokio::time::timeout(BRIEF, socket.recv(&mut buffer)).await {
                let length = length.expect("answered");
                return (String::from_utf8_lossy(&buffer[..length]).into_owned(), appearing);
            }
        }
        panic!("{target} does not answer datagrams");
    }
}

/// An interface in the second subnet.
fn beyond(world: &World, groups: &[&str]) -> InterfaceSpec {
    let spec = world.interface(groups);
    let [.., last] = spec.address.octets();
    InterfaceSpec { subnet: vpc().subnets[1], address: Ipv4Addr::new(172, 31, 16, last), ..spec }
}

fn with_port(address: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address, port)
}

#[test]
fn targets_see_the_client_and_their_answers_come_back() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let balancer = Balancer::of(&network, &world.task(&network, &["open"]).await);
        let near = world.task(&network, &["open"]).await;
        let far = network.attach(beyond(&world, &["open"])).await.expect("attached");
        let client = world.task(&network, &["open"]).await.spec.address;
        let host = Ipv4Addr::new(172, 31, 0, 1);
        for target in [&near, &far] {
            serve(at(target), Ipv4Addr::UNSPECIFIED, 80);
            let to = with_port(target.spec.address, 80);
            // Another task of the VPC, somebody outside, and the host itself.
            for (number, from) in (0..).zip([client, *CLIENT.ip(), host]) {
                let (seen, _appearing) = balancer.ask(with_port(from, 40000 + number), to).await;
                assert_eq!(seen, from.to_string());
                let (seen, _appearing) = balancer.ask_udp(with_port(from, 40000 + number), to).await;
                assert_eq!(seen, from.to_string());
            }
        }
        // What nobody asked for is as it was.
        assert_eq!(reaches(at(&near), far.spec.address, 80), near.spec.address);
        // The client's own connections are its own.
        assert_eq!(reaches(None, near.spec.address, 80), host);
        reaches_udp(None, near.spec.address, 80);
    });
}

#[test]
fn a_client_and_port_are_used_again_and_again() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let balancers = [
            Balancer::of(&network, &world.task(&network, &["open"]).await),
            Balancer::of(&network, &world.task(&network, &["open"]).await),
        ];
        let target = world.task(&network, &["open"]).await;
        serve(at(&target), Ipv4Addr::UNSPECIFIED, 80);
        let to = with_port(target.spec.address, 80);
        // What the kernel remembers of the last, which another socket or another balancer had, is not in the way.
        for balancer in balancers.iter().chain(&balancers).chain(&balancers) {
            let (seen, appearing) = balancer.ask_udp(CLIENT, to).await;
            assert_eq!(seen, CLIENT.ip().to_string());
            drop(appearing);
            let (seen, appearing) = balancer.ask(CLIENT, to).await;
            assert_eq!(seen, CLIENT.ip().to_string());
            drop(appearing);
        }
        // While one lasts, the target could not tell it from a second one.
        let (_, lasting) = balancers[0].ask_udp(CLIENT, to).await;
        let appearance = |own, client| Appearance { protocol: Transport::Udp, own, target: to, client };
        let own = with_port(balancers[1].own, 5000);
        let refused = balancers[1].sources.appear(appearance(own, CLIENT)).await.expect_err("refused");
        assert_eq!(refused.kind(), std::io::ErrorKind::AddrNotAvailable);
        drop(lasting);
        let first = balancers[1].sources.appear(appearance(own, CLIENT)).await.expect("again");
        // A socket has one appearance toward a target, and no target sees itself.
        let other = with_port(*CLIENT.ip(), 40001);
        let taken = balancers[1].sources.appear(appearance(own, other)).await.expect_err("taken");
        assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
        let itself = appearance(with_port(balancers[1].own, 5001), with_port(*to.ip(), 1));
        let refused = balancers[1].sources.appear(itself).await.expect_err("itself");
        assert_eq!(refused.kind(), std::io::ErrorKind::AddrNotAvailable);
        drop(first);
    });
}

#[test]
fn groups_judge_the_client_and_rules_that_name_a_group_the_balancer_too() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let from_client = tcp(80, 80, cidr("192.0.2.99/32"));
        let from_balancers = Rule { traffic: Traffic::All, peer: Peer::Group(sg("open")) };
        let own = tcp(80, 80, cidr("172.31.0.4/32"));
        network.set_security_group(allowing("client", vec![from_client])).await.expect("a group");
        network.set_security_group(allowing("balancers", vec![from_balancers])).await.expect("a group");
        network.set_security_group(allowing("address", vec![own])).await.expect("a group");
        let balancer = Balancer::of(&network, &world.task(&network, &["open"]).await);
        assert_eq!(balancer.own, Ipv4Addr::new(172, 31, 0, 4));
        let other = with_port(Ipv4Addr::new(192, 0, 2, 98), 40000);
        for (group, as_client, as_other) in
            [("client", true, false), ("balancers", true, true), ("address", false, false)]
        {
            let target = world.task(&network, &[group]).await;
            serve(at(&target), Ipv4Addr::UNSPECIFIED, 80);
            let to = with_port(target.spec.address, 80);
            for (client, expected) in [(CLIENT, as_client), (other, as_other)] {
                let wait = if expected { PATIENCE } else { BRIEF };
                let answer = balancer.ask_within(wait, client, to).await.map(|(seen, _)| seen);
                assert_eq!(answer, expected.then(|| client.ip().to_string()), "{group}");
            }
        }
        // The host and others gain nothing by it.
        let target = world.task(&network, &["balancers"]).await;
        serve(at(&target), Ipv4Addr::UNSPECIFIED, 80);
        refused(None, target.spec.address, 80);
        refused(at(&world.task(&network, &["closed"]).await), target.spec.address, 80);
    });
}

#[test]
fn what_the_target_sent_the_client_before_is_not_in_the_way() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let balancer = Balancer::of(&network, &world.task(&network, &["open"]).await);
        let client = with_port(world.task(&network, &["open"]).await.spec.address, 40000);
        let target = world.task(&network, &["open"]).await;
        let to = with_port(target.spec.address, 9000);
        let inside = NamespaceSockets::enter(&target.netns_path).expect("entered");
        let service = inside.datagram(to).await.expect("bound");
        service.send_to(b"!", client).await.expect("sent");
        let socket = balancer.sockets.datagram(SocketAddrV4::new(balancer.own, 0)).await.expect("bound");
        let std::net::SocketAddr::V4(own) = socket.local_addr().expect("bound") else { unreachable!("IPv4") };
        let appearance = Appearance { protocol: Transport::Udp, own, target: to, client };
        let _appearing = balancer.sources.appear(appearance).await.expect("appears");
        socket.connect(to).await.expect("connected");
        socket.send(b"?").await.expect("sent");
        let (_, seen) = tokio::time::timeout(PATIENCE, service.recv_from(&mut [0]))
            .await
            .expect("it arrives")
            .expect("a datagram");
        assert_eq!(seen, client.into());
    });
}

#[test]
fn nothing_is_left_of_a_flow_when_its_interface_goes() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let leaving = world.task(&network, &["open"]).await;
        let balancers =
            [&leaving, &world.task(&network, &["open"]).await].map(|task| Balancer::of(&network, task));
        let target = world.task(&network, &["open"]).await;
        serve(at(&target), Ipv4Addr::UNSPECIFIED, 80);
        let to = with_port(target.spec.address, 80);
        let (_, first) = balancers[0].ask(CLIENT, to).await;
        let (_, second) = balancers[0].ask_udp(CLIENT, to).await;
        network.detach(leaving.spec.eni_id.clone()).await.expect("detached");
        // Jobs are done in turn: when this is answered, that is over. Nobody has the client's address and port any more.
        let (seen, third) = balancers[1].ask(CLIENT, to).await;
        assert_eq!(seen, CLIENT.ip().to_string());
        assert_eq!(world.ruleset().matches("192.0.2.99 . 40000").count(), 1);
        drop((first, second));
        assert_eq!(balancers[1].ask_udp(CLIENT, to).await.0, CLIENT.ip().to_string());
        drop(third);
    });
}

#[test]
fn nothing_is_left_of_a_flow_of_an_earlier_of_an_earlier_process_or_of_all() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let task = world.task(&network, &["open"]).await;
        let balancer = Balancer::of(&network, &task);
        let target = world.task(&network, &["open"]).await;
        serve(at(&target), Ipv4Addr::UNSPECIFIED, 80);
        let to = with_port(target.spec.address, 80);
        let elements = || world.ruleset().matches("192.0.2.99 . 40000").count();
        let (_, first) = balancer.ask(CLIENT, to).await;
        let (_, second) = balancer.ask_udp(CLIENT, to).await;
        assert_eq!(elements(), 2);
        // Other changes of the network, which replace the rules, leave flows alone.
        let mut more = vpc();
        more.subnets.push("172.31.32.0/20".parse().expect("a range"));
        network.ensure_vpc(more).await.expect("changed");
        assert_eq!(elements(), 2);
        drop((first, second));
        // They are given up in turn: when this is answered, so are they.
        let (_, third) = balancer.ask(with_port(*CLIENT.ip(), 1), to).await;
        assert_eq!(elements(), 0);
        // As a process that is killed leaves it: nobody gives them up.
        let (_, fourth) = balancer.ask(CLIENT, to).await;
        drop(balancer);
        assert_eq!(elements(), 1);
        let network = crash(network, &world).await;
        assert_eq!(elements(), 0);
        let balancer = Balancer::of(&network, &task);
        let (seen, appearing) = balancer.ask(CLIENT, to).await;
        assert_eq!(seen, CLIENT.ip().to_string());
        network.teardown().await.expect("torn down");
        assert_eq!(world.ruleset(), "");
        drop((third, fourth, appearing));
    });
}

#[test]
fn a_target_that_is_no_interface_sees_the_balancer() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let balancer = Balancer::of(&network, &world.public_task(&network, &["open"], 7).await);
        let sink = Sink::open(Some(&world.outside), OUTSIDE, 9);
        let to = with_port(OUTSIDE, 9);
        let socket = balancer.sockets.datagram(SocketAddrV4::new(balancer.own, 0)).await.expect("bound");
        let std::net::SocketAddr::V4(own) = socket.local_addr().expect("bound") else { unreachable!("IPv4") };
        let appearance = Appearance { protocol: Transport::Udp, own, target: to, client: CLIENT };
        let _appearing = balancer.sources.appear(appearance).await.expect("appears");
        socket.send_to(b"masqueraded", to).await.expect("sent");
        send(None, OUTSIDE, 9, "last");
        assert_eq!(sink.until_with_sources("last"), [("masqueraded".to_owned(), HOST_OUTSIDE)]);
    });
}
