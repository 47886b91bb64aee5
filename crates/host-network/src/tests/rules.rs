//! Security groups: who reaches whom.

use std::net::Ipv4Addr;

use super::world::{
    OUTSIDE, allowing, at, cidr, on_a_host, pings, pings_not, reaches, reaches_udp, refused, refused_udp,
    serve, sg, tcp, vpc,
};
use crate::{
    HostAddress, HostService, METADATA_ADDRESS, NetworkError, Peer, Ports, RESOLVER_ADDRESS, Rule,
    SecurityGroupSpec, Traffic, Transport,
};

#[test]
fn host_and_tasks_reach_what_rules_allow() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let open = world.task(&network, &["open"]).await;
        let closed = world.task(&network, &["closed"]).await;
        for task in [&open, &closed] {
            serve(at(task), Ipv4Addr::UNSPECIFIED, 80);
        }
        // The host's packets come from the subnet's router.
        assert_eq!(reaches(None, open.spec.address, 80), Ipv4Addr::new(172, 31, 0, 1));
        assert_eq!(reaches(at(&closed), open.spec.address, 80), closed.spec.address);
        reaches(at(&open), open.spec.address, 80);
        reaches_udp(at(&closed), open.spec.address, 80);
        pings(at(&closed), open.spec.address);
        refused(None, closed.spec.address, 80);
        refused(at(&open), closed.spec.address, 80);
        refused_udp(at(&open), closed.spec.address, 80);
        pings_not(at(&open), closed.spec.address);
    });
}

#[test]
fn rules_select_by_protocol_port_and_range() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let client = world.task(&network, &["closed"]).await;
        let other = world.task(&network, &["closed"]).await;
        let only_client = || Peer::Cidr(addressing::Cidr::host(client.spec.address));
        let echo = Traffic::Icmp { icmp_type: Some(8), code: Some(0) };
        let web = allowing(
            "web",
            vec![
                tcp(80, 80, cidr("0.0.0.0/0")),
                tcp(8000, 8002, only_client()),
                Rule { traffic: Traffic::Udp(Ports::one(53)), peer: only_client() },
                Rule {
                    traffic: echo,
                    peer: Peer::Prefixes(vec![cidr_of("172.31.0.0/28"), cidr_of("172.31.0.4/32")]),
                },
            ],
        );
        network.set_security_group(web).await.expect("a group");
        let server = world.task(&network, &["web"]).await;
        let to = server.spec.address;
        for port in [53, 80, 7999, 8000, 8002, 8003] {
            serve(at(&server), Ipv4Addr::UNSPECIFIED, port);
        }
        reaches(at(&other), to, 80);
        reaches(None, to, 80);
        reaches(at(&client), to, 8000);
        reaches(at(&client), to, 8002);
        reaches_udp(at(&client), to, 53);
        pings(at(&client), to);
        for port in [53, 7999, 8003] {
            refused(at(&client), to, port);
        }
        refused(at(&other), to, 8000);
        refused(None, to, 8000);
        refused_udp(at(&other), to, 53);
        refused_udp(at(&client), to, 80);
    });
}

#[test]
fn rules_and_groups_change_live() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let client = world.task(&network, &["closed"]).await;
        network.set_security_group(SecurityGroupSpec::new(sg("web"))).await.expect("a group");
        let server = world.task(&network, &["web"]).await;
        let to = server.spec.address;
        serve(at(&server), Ipv4Addr::UNSPECIFIED, 80);
        refused(at(&client), to, 80);
        // Allowed for a group, whose only member is elsewhere; then the client joins it.
        let rule = |traffic| Rule { traffic, peer: Peer::Group(sg("friends")) };
        let named = allowing("web", vec![rule(Traffic::Tcp(Ports::ALL))]);
        network.set_security_group(named.clone()).await.expect("changed");
        network
            .set_remote_members(sg("friends"), [Ipv4Addr::new(172, 31, 0, 200)].into())
            .await
            .expect("set");
        refused(at(&client), to, 80);
        network.set_security_group(SecurityGroupSpec::new(sg("friends"))).await.expect("a group");
        let both = [sg("closed"), sg("friends")];
        network.set_interface_groups(client.spec.eni_id.clone(), both.into()).await.expect("joined");
        reaches(at(&client), to, 80);
        refused_udp(at(&client), to, 80);
        network
            .set_security_group(allowing("web", vec![rule(Traffic::Udp(Ports::one(80)))]))
            .await
            .expect("changed");
        reaches_udp(at(&client), to, 80);
        refused(at(&client), to, 80);
        network.set_security_group(named).await.expect("changed back");
        reaches(at(&client), to, 80);
        network.set_interface_groups(client.spec.eni_id.clone(), [sg("closed")].into()).await.expect("left");
        refused(at(&client), to, 80);
        // Membership elsewhere counts as well.
        network.set_remote_members(sg("friends"), [client.spec.address].into()).await.expect("set");
        reaches(at(&client), to, 80);
        network.set_remote_members(sg("friends"), [].into()).await.expect("set");
        refused(at(&client), to, 80);
    });
}

#[test]
fn several_groups_allow_what_any_allows() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let client = world.task(&network, &["closed"]).await;
        for (name, port) in [("a", 81), ("b", 82)] {
            network
                .set_security_group(allowing(name, vec![tcp(port, port, cidr("0.0.0.0/0"))]))
                .await
                .expect("a group");
        }
        let server = world.task(&network, &["a", "b", "closed"]).await;
        for port in [81, 82, 83] {
            serve(at(&server), Ipv4Addr::UNSPECIFIED, port);
        }
        reaches(at(&client), server.spec.address, 81);
        reaches(at(&client), server.spec.address, 82);
        refused(at(&client), server.spec.address, 83);
    });
}

#[test]
fn egress_rules_confine() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let server = world.task(&network, &["open"]).await;
        for port in [80, 81] {
            serve(at(&server), Ipv4Addr::UNSPECIFIED, port);
        }
        let egress = vec![tcp(80, 80, Peer::Group(sg("open")))];
        let confined = SecurityGroupSpec { egress, ..SecurityGroupSpec::new(sg("confined")) };
        network.set_security_group(confined).await.expect("a group");
        let client = world.task(&network, &["confined"]).await;
        reaches(at(&client), server.spec.address, 80);
        refused(at(&client), server.spec.address, 81);
        // What the host offers to tasks is not for rules to confine.
        serve(None, METADATA_ADDRESS, 80);
        reaches(at(&client), METADATA_ADDRESS, 80);
        // Answers pass whatever egress says.
        let mute = SecurityGroupSpec { egress: vec![], ..allowing("mute", vec![Rule::everything()]) };
        network.set_security_group(mute).await.expect("a group");
        let mute = world.task(&network, &["mute"]).await;
        serve(at(&mute), Ipv4Addr::UNSPECIFIED, 80);
        reaches(at(&server), mute.spec.address, 80);
        refused(at(&mute), server.spec.address, 80);
    });
}

#[test]
fn an_interface_without_groups_has_no_traffic() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let open = world.task(&network, &["open"]).await;
        let alone = world.task(&network, &[]).await;
        for task in [&open, &alone] {
            serve(at(task), Ipv4Addr::UNSPECIFIED, 80);
        }
        refused(at(&alone), open.spec.address, 80);
        refused(at(&open), alone.spec.address, 80);
        refused(None, alone.spec.address, 80);
    });
}

#[test]
fn tasks_reach_only_the_hosts_services() {
    on_a_host(|mut world| async move {
        let service = |address, protocol, port| HostService { address, protocol, port };
        world.config.services.push(service(HostAddress::Router, Transport::Tcp, 4566));
        let network = world.network().await;
        let task = world.task(&network, &["open"]).await;
        let router = Ipv4Addr::new(172, 31, 0, 1);
        for (address, port) in [
            (METADATA_ADDRESS, 80),
            (METADATA_ADDRESS, 81),
            (RESOLVER_ADDRESS, 53),
            (router, 4566),
            (router, 22),
            (super::world::HOST_OUTSIDE, 80),
        ] {
            serve(None, address, port);
        }
        reaches(at(&task), METADATA_ADDRESS, 80);
        reaches(at(&task), RESOLVER_ADDRESS, 53);
        reaches_udp(at(&task), RESOLVER_ADDRESS, 53);
        reaches(at(&task), router, 4566);
        // The VPC's resolver is the same server.
        reaches(at(&task), Ipv4Addr::new(172, 31, 0, 2), 53);
        reaches_udp(at(&task), Ipv4Addr::new(172, 31, 0, 2), 53);
        refused(at(&task), METADATA_ADDRESS, 81);
        refused_udp(at(&task), METADATA_ADDRESS, 80);
        refused(at(&task), router, 22);
        refused(at(&task), super::world::HOST_OUTSIDE, 80);
        refused(at(&task), OUTSIDE, 80);
    });
}

#[test]
fn vpcs_are_apart() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let mut second = vpc();
        second.id = crate::VpcId::new("vpc-2").expect("an id");
        second.cidr = cidr_of("172.30.0.0/16");
        second.subnets = vec![cidr_of("172.30.0.0/20")];
        network.ensure_vpc(second.clone()).await.expect("a second VPC");
        let here = world.task(&network, &["open"]).await;
        let public = world.public_task(&network, &["open"], 7).await;
        let mut spec = world.interface(&["open"]);
        spec.vpc_id = second.id;
        spec.subnet = second.subnets[0];
        spec.address = Ipv4Addr::new(172, 30, 0, 4);
        let there = network.attach(spec).await.expect("attached");
        serve(at(&there), Ipv4Addr::UNSPECIFIED, 80);
        reaches(None, there.spec.address, 80);
        refused(at(&here), there.spec.address, 80);
        refused(at(&public), there.spec.address, 80);
    });
}

#[test]
fn other_subnets_of_the_vpc_are_reached() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let here = world.task(&network, &["open"]).await;
        let mut spec = world.interface(&["open"]);
        spec.subnet = vpc().subnets[1];
        spec.address = Ipv4Addr::new(172, 31, 16, 4);
        let there = network.attach(spec).await.expect("attached");
        serve(at(&there), Ipv4Addr::UNSPECIFIED, 80);
        assert_eq!(reaches(at(&here), there.spec.address, 80), here.spec.address);
        assert_eq!(reaches(None, there.spec.address, 80), Ipv4Addr::new(172, 31, 16, 1));
    });
}

#[test]
fn groups_in_use_stay() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let task = world.task(&network, &["open", "closed"]).await;
        let named = allowing("named", vec![Rule { traffic: Traffic::All, peer: Peer::Group(sg("other")) }]);
        network.set_security_group(named).await.expect("a group");
        network.set_security_group(SecurityGroupSpec::new(sg("other"))).await.expect("a group");
        for name in ["open", "closed", "other"] {
            let refused = network.remove_security_group(sg(name)).await;
            assert!(matches!(refused, Err(NetworkError::GroupInUse(_))), "{name}: {refused:?}");
        }
        network.detach(task.spec.eni_id).await.expect("detached");
        for name in ["open", "closed", "named", "other", "never-there"] {
            network.remove_security_group(sg(name)).await.expect(name);
        }
        assert!(!world.ruleset().contains("in-sg-"), "{}", world.ruleset());
    });
}

fn cidr_of(text: &str) -> addressing::Cidr {
    text.parse().expect("a range")
}
