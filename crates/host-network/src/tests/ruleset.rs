//! The ruleset as text against what single changes make of it.

use std::net::Ipv4Addr;

use super::world::{World, allowing, cidr, on_a_host, sg, tcp};
use crate::{Network, NetworkError, Peer, Rule, Traffic};

/// The listing's words, sorted: the kernel lists the elements of a set in no particular order.
fn words(world: &World) -> Vec<String> {
    let listing = world.ruleset().replace(',', " ");
    let mut words: Vec<_> = listing.split_whitespace().map(str::to_owned).collect();
    words.sort();
    words
}

#[test]
fn single_changes_and_the_whole_mean_the_same() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let rules = [
            Traffic::All,
            Traffic::Tcp(crate::Ports::ALL),
            Traffic::Udp(crate::Ports::new(5, 6).expect("a range")),
            Traffic::Icmp { icmp_type: None, code: None },
            Traffic::Icmp { icmp_type: Some(3), code: None },
            Traffic::Icmp { icmp_type: Some(3), code: Some(4) },
            Traffic::Protocol(47),
        ];
        let peers = [
            cidr("10.1.2.3/8"),
            Peer::Group(sg("open")),
            Peer::Group(sg("elsewhere")),
            Peer::Prefixes(vec![]),
            Peer::Prefixes(
                ["10.0.0.0/8", "10.2.0.0/16", "9.0.0.0/8", "10.0.0.0/8"]
                    .map(|text| text.parse().expect("a range"))
                    .into(),
            ),
        ];
        let all: Vec<Rule> = rules
            .iter()
            .flat_map(|traffic| peers.iter().map(|peer| Rule { traffic: *traffic, peer: peer.clone() }))
            .collect();
        let mut every = allowing("every", all.clone());
        every.egress = all;
        network.set_security_group(every).await.expect("every kind of rule");
        world.public_task(&network, &["open", "every"], 7).await;
        let changing = world.task(&network, &["every"]).await;
        let leaving = world.public_task(&network, &["open"], 8).await;
        let id = changing.spec.eni_id.clone();
        network.set_interface_groups(id.clone(), [sg("open"), sg("closed")].into()).await.expect("changed");
        network.associate_public(id, Ipv4Addr::new(198, 18, 0, 9)).await.expect("associated");
        network
            .set_remote_members(sg("open"), [Ipv4Addr::new(172, 31, 9, 9), changing.spec.address].into())
            .await
            .expect("set");
        network.detach(leaving.spec.eni_id).await.expect("detached");
        let changed = words(&world);
        drop(network);
        let network = loop {
            match Network::start(world.config.clone()).await {
                Err(NetworkError::InUse(_)) => tokio::task::yield_now().await,
                other => break other.expect("started"),
            }
        };
        let numbers = |words: &[String]| {
            words.iter().filter(|word| !word.contains("-union-")).cloned().collect::<Vec<_>>()
        };
        assert_eq!(numbers(&changed), numbers(&words(&world)));
        assert_eq!(changed.len(), words(&world).len());
        network.teardown().await.expect("torn down");
    });
}

#[test]
fn impossible_rules_are_refused_and_change_nothing() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let before = world.ruleset();
        let code_only =
            Rule { traffic: Traffic::Icmp { icmp_type: None, code: Some(1) }, peer: cidr("0.0.0.0/0") };
        for rules in [vec![code_only], vec![tcp(1, 2, cidr("0.0.0.0/0")); 1001]] {
            let refused = network.set_security_group(allowing("open", rules)).await;
            assert!(matches!(refused, Err(NetworkError::Rules { .. })), "{refused:?}");
        }
        assert_eq!(world.ruleset(), before);
    });
}
