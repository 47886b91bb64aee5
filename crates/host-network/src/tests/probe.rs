//! What the probe says of a machine, sound and lacking.

use super::world::{foreign, on_a_host};
use crate::{
    Verdict,
    netlink::{NextHop, Rtnetlink, route},
    nft::Nft,
    probe::{dropping_chains, probe},
};

fn verdict_of(findings: &[crate::Finding], subject: &str) -> Verdict {
    let of_it = findings.iter().filter(|finding| finding.subject == subject);
    of_it
        .map(|finding| finding.verdict)
        .max()
        .unwrap_or_else(|| panic!("nothing on {subject}: {findings:#?}"))
}

#[test]
fn a_sound_machine_is_fine() {
    on_a_host(|world| async move {
        let findings = probe(&world.config);
        assert!(findings.iter().all(|finding| finding.verdict == Verdict::Fine), "{findings:#?}");
        assert!(findings.len() >= 10);
        assert_eq!(world.ruleset(), "", "no trace");
    });
}

#[test]
fn what_is_lacking_is_named_with_a_remedy() {
    on_a_host(|mut world| async move {
        let mut host = Rtnetlink::open().expect("a socket");
        let index = host.link("up0").expect("listed").expect("there").index;
        let range = "198.18.4.0/24".parse().expect("a range");
        let theirs = foreign(route::add_route(
            range,
            NextHop::Link { index, source: None },
            crate::netlink::ROUTE_PROTOCOL,
        ));
        host.request_all(vec![theirs]).expect("routed");
        let docker = "add table ip filter\nadd chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }";
        Nft::new(&world.config.nft).run("set up", docker).expect("set up");
        let findings = probe(&world.config);
        assert_eq!(verdict_of(&findings, "public addresses"), Verdict::Limited);
        assert_eq!(verdict_of(&findings, "other firewall rules"), Verdict::Limited);
        world.config.nft = "/nonexistent/nft".into();
        let findings = probe(&world.config);
        assert_eq!(verdict_of(&findings, "the nft program"), Verdict::Missing);
        for finding in findings.iter().filter(|finding| finding.verdict != Verdict::Fine) {
            assert!(!finding.remedy.is_empty(), "{finding:?}");
        }
    });
}

#[test]
fn only_foreign_chains_on_the_way_count() {
    let chain = |family: &str, table: &str, hook: &str, policy: &str| {
        format!(
            r#"{{"chain":{{"family":"{family}","table":"{table}","name":"c","hook":"{hook}","policy":"{policy}"}}}}"#
        )
    };
    let list = |chains: &[String]| format!(r#"{{"nftables":[{{"metainfo":{{}}}},{}]}}"#, chains.join(","));
    let check = |family, table, hook, policy, expected: &[&str]| {
        assert_eq!(dropping_chains(&list(&[chain(family, table, hook, policy)]), "longshore"), expected);
    };
    check("ip", "filter", "forward", "drop", &["ip filter c"]);
    check("inet", "firewalld", "input", "drop", &["inet firewalld c"]);
    check("ip", "filter", "forward", "accept", &[]);
    check("ip6", "filter", "forward", "drop", &[]);
    check("inet", "longshore", "forward", "drop", &[]);
    assert_eq!(dropping_chains("not json", "longshore"), Vec::<String>::new());
}
