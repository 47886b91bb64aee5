//! What could not be placed, and what is said about it.

use super::*;
use crate::{Reason, Requirement, RuleError};

fn reasons(fleet: &mut Fleet, request: &Request<'_>, count: usize) -> Vec<(String, String)> {
    let shortfall = fleet.plan(request, count, 1).shortfall.unwrap();
    shortfall.refusals.into_iter().map(|refusal| (refusal.instance, refusal.reason.to_string())).collect()
}

#[test]
fn each_instance_has_its_reason_and_the_closest_comes_first() {
    let mut fleet = Fleet::new();
    fleet.set_instance(Instance { connected: false, ..instance("away", "a") });
    fleet.set_instance(Instance { memory: 100, ..instance("less-memory", "a") });
    fleet.set_instance(Instance { memory: 200, ..instance("memory", "a") });
    fleet.set_instance(Instance { cpu: 100, ..instance("cpu", "a") });
    fleet.set_instance(Instance { enis: 0, ..instance("eni", "a") });
    fleet.set_instance(Instance { reserved_ports: vec![tcp(80)], ..instance("ports", "a") });
    let mut bare = instance("bare", "a");
    bare.attributes.remove("ecs.os-type");
    fleet.set_instance(bare);
    fleet.set_instance(instance("zone", "b"));
    fleet.set_instance(Instance { standing: Standing::Draining, ..instance("draining", "a") });
    let wanted = Demand { ports: vec![tcp(80)], enis: 1, ..demand(512, 512) };
    let required = [Requirement { name: "ecs.os-type".to_owned(), values: vec![] }];
    let constraints = [member_of("attribute:ecs.availability-zone == a")];
    let request = Request { required: &required, ..request(&wanted, &[], &constraints) };
    let expected = [
        ("memory", "RESOURCE:MEMORY"),
        ("less-memory", "RESOURCE:MEMORY"),
        ("cpu", "RESOURCE:CPU"),
        ("eni", "RESOURCE:ENI"),
        ("ports", "RESOURCE:PORTS"),
        ("zone", "MemberOf placement constraint unsatisfied."),
        ("bare", "ATTRIBUTE"),
        ("away", "AGENT"),
    ];
    assert_eq!(reasons(&mut fleet, &request, 1), expected.map(|(id, why)| (id.to_owned(), why.to_owned())));
    let text = fleet.plan(&request, 1, 1).shortfall.unwrap().text();
    assert_eq!(
        text,
        "because no container instance met all of its requirements. The closest matching (container-instance memory) has insufficient memory available. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
    );
}

#[test]
fn what_the_same_request_took_counts() {
    let mut fleet = fleet(1, &["a"]);
    let large = demand(600, 10);
    let request = request(&large, &[], &[Constraint::DistinctInstance]);
    let plan = fleet.plan(&request, 2, 1);
    assert_eq!(plan.chosen, ["000"]);
    assert_eq!(plan.shortfall.unwrap().refusals[0].reason, Reason::DistinctInstance);
    assert_eq!(fleet.usage("000").unwrap().free_cpu, 1024, "a plan takes nothing");
    let plan = fleet.plan(&Request { constraints: &[], ..request }, 2, 1);
    assert_eq!(plan.shortfall.unwrap().refusals[0].reason, Reason::Cpu);
}

#[test]
fn a_cluster_without_instances_says_so() {
    let text = Fleet::new().plan(&request(&demand(1, 1), &[], &[]), 1, 1).shortfall.unwrap().text();
    assert!(text.contains("Reason: No Container Instances were found in your cluster."), "{text}");
}

#[test]
fn reasons_read_as_people_search_for_them() {
    for (reason, text) in [
        (Reason::Agent, "encountered error \"AGENT\""),
        (Reason::Attribute, "is missing an attribute required by your task"),
        (Reason::MemberOf, "encountered error \"MemberOf placement constraint unsatisfied.\""),
        (Reason::Ports, "is already using a port required by your task"),
        (Reason::Cpu, "has insufficient CPU units available"),
        (Reason::Gpu, "encountered error \"RESOURCE:GPU\""),
    ] {
        assert_eq!(reason.of_closest(), text);
    }
}

#[test]
fn a_given_instance_is_checked_alone_and_without_constraints() {
    let mut fleet = fleet(1, &["a"]);
    fleet.set_instance(Instance { standing: Standing::Draining, ..instance("draining", "a") });
    fleet.set_instance(Instance { connected: false, ..instance("away", "a") });
    let large = demand(600, 10);
    let constraints = [member_of("attribute:ecs.availability-zone == nowhere")];
    let request = request(&large, &[], &constraints);
    assert_eq!(fleet.check(&request, "000"), Ok(()));
    assert_eq!(fleet.check(&request, "draining"), Ok(()));
    assert_eq!(fleet.check(&request, "away"), Err(Some(Reason::Agent)));
    assert_eq!(fleet.check(&request, "unknown"), Err(None));
    fleet.set_task("1", held("000", "other", &large));
    assert_eq!(fleet.check(&request, "000"), Err(Some(Reason::Cpu)));
}

#[test]
fn rules_are_checked() {
    assert_eq!(Constraint::distinct_instance(Some("")), Err(RuleError::DistinctExpression));
    assert_eq!(Constraint::member_of(Some(" ")), Err(RuleError::NoExpression));
    assert!(matches!(Constraint::member_of(Some("colour == red")), Err(RuleError::Expression(_))));
    assert_eq!(Strategy::spread(Some("host")), Ok(Strategy::SpreadInstance));
    assert_eq!(Strategy::spread(None), Err(RuleError::NoField("spread")));
    assert!(matches!(Strategy::spread(Some("attribute:")), Err(RuleError::Field { .. })));
    assert!(matches!(Strategy::binpack(Some("disk")), Err(RuleError::Field { .. })));
    assert_eq!(Strategy::binpack(Some("CPU")), Ok(Strategy::Binpack(crate::Resource::Cpu)));
}
