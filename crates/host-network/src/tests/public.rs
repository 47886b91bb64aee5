//! Public addresses: from the host, from other tasks, from outside, and outward.

use std::net::Ipv4Addr;

use addressing::Cidr;

use super::world::{
    HOST_OUTSIDE, OUTSIDE, Sink, World, allowing, at, cidr, inside, on_a_host, reaches, reaches_udp, refused,
    send, serve, sg, tcp,
};
use crate::{
    NetworkError, Peer, Rule, Traffic,
    netlink::{NextHop, Rtnetlink, route},
    sysctl,
};

const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 7);

#[test]
fn the_host_reaches_a_task_by_its_public_address() {
    on_a_host(|world| async move {
        let network = world.network().await;
        network
            .set_security_group(allowing("web", vec![tcp(8443, 8443, cidr("0.0.0.0/0"))]))
            .await
            .expect("a group");
        let task = world.public_task(&network, &["web"], 7).await;
        for port in [8443, 80] {
            serve(at(&task), Ipv4Addr::UNSPECIFIED, port);
        }
        reaches(None, PUBLIC, 8443);
        reaches(None, task.spec.address, 8443);
        refused(None, PUBLIC, 80);
        network.disassociate_public(task.spec.eni_id.clone()).await.expect("disassociated");
        refused(None, PUBLIC, 8443);
        reaches(None, task.spec.address, 8443);
        network
            .associate_public(task.spec.eni_id.clone(), Ipv4Addr::new(198, 18, 0, 9))
            .await
            .expect("associated");
        reaches(None, Ipv4Addr::new(198, 18, 0, 9), 8443);
        network.associate_public(task.spec.eni_id, PUBLIC).await.expect("replaced");
        reaches(None, PUBLIC, 8443);
        refused(None, Ipv4Addr::new(198, 18, 0, 9), 8443);
    });
}

#[test]
fn tasks_reach_each_other_by_public_addresses() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let by_group = Rule { traffic: Traffic::All, peer: Peer::Group(sg("closed")) };
        let rules =
            vec![tcp(80, 80, cidr("198.18.0.8/32")), tcp(82, 82, cidr("172.31.0.0/16")), Rule { ..by_group }];
        network.set_security_group(allowing("web", rules)).await.expect("a group");
        let server = world.public_task(&network, &["web"], 7).await;
        for port in [80, 81, 82] {
            serve(at(&server), Ipv4Addr::UNSPECIFIED, port);
        }
        let public = world.public_task(&network, &["closed"], 8).await;
        let private = world.task(&network, &["closed"]).await;
        // By way of public addresses the server sees and judges the public source, as through an internet gateway.
        assert_eq!(reaches(at(&public), PUBLIC, 80), Ipv4Addr::new(198, 18, 0, 8));
        refused(at(&public), PUBLIC, 81);
        refused(at(&public), PUBLIC, 82);
        assert_eq!(reaches(at(&public), server.spec.address, 81), public.spec.address);
        refused(at(&private), PUBLIC, 80);
        reaches(at(&private), server.spec.address, 80);
        // A task reaches itself by its own public address.
        network.set_security_group(allowing("web", vec![Rule::everything()])).await.expect("changed");
        assert_eq!(reaches(at(&server), PUBLIC, 80), PUBLIC);
    });
}

#[test]
fn only_tasks_with_a_public_address_reach_outside() {
    on_a_host(|world| async move {
        let network = world.network().await;
        serve(Some(&world.outside), OUTSIDE, 80);
        // Answers to untranslated packets would find their way back, so a refusal is one on the way out.
        route_outside(&world, "172.31.0.0/16");
        let private = world.task(&network, &["open"]).await;
        let sink = Sink::open(Some(&world.outside), OUTSIDE, 9);
        send(at(&private), OUTSIDE, 9, "private");
        refused(at(&private), OUTSIDE, 80);
        let public = world.public_task(&network, &["closed"], 7).await;
        assert_eq!(reaches(at(&public), OUTSIDE, 80), HOST_OUTSIDE, "masqueraded");
        reaches_udp(at(&public), OUTSIDE, 80);
        send(at(&public), OUTSIDE, 9, "public");
        assert_eq!(sink.until("public"), Vec::<String>::new());
        refused(at(&private), OUTSIDE, 80);
        network
            .associate_public(private.spec.eni_id.clone(), Ipv4Addr::new(198, 18, 0, 9))
            .await
            .expect("associated");
        reaches(at(&private), OUTSIDE, 80);
        network.disassociate_public(private.spec.eni_id.clone()).await.expect("disassociated");
        refused(at(&private), OUTSIDE, 80);
    });
}

#[test]
fn outside_reaches_public_addresses_only() {
    check_outside("0");
}

/// Nothing is confined for the host's sake then; tasks are protected all the same.
#[test]
fn outside_reaches_public_addresses_only_through_a_host_that_forwards() {
    check_outside("1");
}

fn check_outside(ip_forward: &'static str) {
    on_a_host(|world| async move {
        sysctl::write("net/ipv4/ip_forward", ip_forward).expect("set");
        let network = world.network().await;
        let task = world.public_task(&network, &["open"], 7).await;
        let bystander = world.public_task(&network, &["closed"], 8).await;
        for task in [&task, &bystander] {
            serve(at(task), Ipv4Addr::UNSPECIFIED, 80);
        }
        route_outside(&world, "198.18.0.0/16");
        route_outside(&world, "172.31.0.0/16");
        let outside = Some(world.outside.as_path());
        assert_eq!(reaches(outside, PUBLIC, 80), OUTSIDE, "the source is kept");
        refused(outside, Ipv4Addr::new(198, 18, 0, 8), 80);
        let sink = Sink::open(at(&task), Ipv4Addr::UNSPECIFIED, 9);
        send(outside, task.spec.address, 9, "private");
        send(outside, PUBLIC, 9, "public");
        assert_eq!(sink.until("public"), Vec::<String>::new());
        refused(outside, task.spec.address, 80);
        refused(outside, Ipv4Addr::new(169, 254, 170, 2), 80);
    });
}

/// Outside sends the range to the host.
fn route_outside(world: &World, range: &str) {
    let to: Cidr = range.parse().expect("a range");
    inside(Some(&world.outside), || {
        let mut socket = Rtnetlink::open().expect("a socket");
        let index = socket.link("up0").expect("listed").expect("there").index;
        socket
            .request_all(vec![route::add_route(
                to,
                NextHop::Gateway { index, router: HOST_OUTSIDE },
                crate::netlink::ROUTE_PROTOCOL,
            )])
            .expect("routed");
    });
}

#[test]
fn the_host_forwards_nothing_else() {
    on_a_host(|world| async move {
        // A second network beside the host, which it holds but does not forward to.
        let beside = world.directory.path().join("beside");
        let forwarding = || sysctl::read("net/ipv4/conf/up0/forwarding").expect("a setting");
        let network = world.start().await;
        assert_eq!(forwarding(), "0", "not before there is a VPC");
        world.fill(&network).await;
        let mac = addressing::MacAddress::new([2, 0, 0, 0, 2, 1]).expect("unicast");
        let mut host = Rtnetlink::open().expect("a socket");
        let mut there =
            crate::namespace::create(&beside, crate::namespace::prepare_inside).expect("a namespace");
        let file = std::fs::File::open(&beside).expect("the namespace");
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file);
        host.request_all(vec![route::add_veth("side0", mac, "side0", descriptor)]).expect("a link");
        let index = |socket: &mut Rtnetlink| socket.link("side0").expect("listed").expect("there").index;
        let (router, neighbour) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
        let (here, far) = (index(&mut host), index(&mut there));
        host.request_all(vec![route::add_address(here, router, 24)]).expect("an address");
        there
            .request_all(vec![
                route::set_link_up(far),
                route::add_address(far, neighbour, 24),
                route::add_route(
                    Cidr::ANYWHERE,
                    NextHop::Gateway { index: far, router },
                    crate::netlink::ROUTE_PROTOCOL,
                ),
            ])
            .expect("beside up");
        serve(Some(&beside), neighbour, 80);
        route_outside(&world, "192.0.2.0/24");
        let outside = Some(world.outside.as_path());

        world.public_task(&network, &["open"], 7).await;
        assert_eq!(forwarding(), "1");
        assert_eq!(sysctl::read("net/ipv4/ip_forward").expect("a setting"), "0");
        reaches(None, neighbour, 80);
        // The neighbour's link does not forward, so no answer would come back: what counts is whether it arrives.
        let sink = Sink::open(Some(&beside), neighbour, 9);
        send(outside, neighbour, 9, "forwarded");
        refused(outside, neighbour, 80);
        send(None, neighbour, 9, "the host's own");
        assert_eq!(sink.until("the host's own"), Vec::<String>::new());

        // Someone else decides that the host forwards: from then on it does.
        sysctl::write("net/ipv4/ip_forward", "1").expect("set");
        let second = world.public_task(&network, &["open"], 8).await;
        network.detach(second.spec.eni_id).await.expect("detached");
        while world.ruleset().contains("\"up0\"") {
            network.refresh_uplinks().await.expect("refreshed");
        }
        reaches(outside, neighbour, 80);

        sysctl::write("net/ipv4/ip_forward", "0").expect("set");
        sysctl::write("net/ipv4/conf/up0/forwarding", "1").expect("set");
        network.teardown().await.expect("torn down");
        assert_eq!(forwarding(), "0", "put back");
    });
}

#[test]
fn public_addresses_are_of_the_range_and_held_once() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let task = world.public_task(&network, &["open"], 7).await;
        let other = world.task(&network, &["open"]).await;
        let taken = network.associate_public(other.spec.eni_id.clone(), PUBLIC).await;
        assert!(
            matches!(&taken, Err(NetworkError::AddressInUse { holder, .. }) if *holder == task.spec.eni_id),
            "{taken:?}"
        );
        for elsewhere in
            [Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(198, 18, 0, 0), Ipv4Addr::new(198, 18, 255, 255)]
        {
            let refused = network.associate_public(other.spec.eni_id.clone(), elsewhere).await;
            assert!(matches!(refused, Err(NetworkError::Interface { .. })), "{elsewhere}: {refused:?}");
        }
    });
}
