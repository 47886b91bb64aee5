//! Where tasks go, by strategy and by constraint.

use super::*;
use crate::{MOST_PORTS, Requirement, Resource, Strategy::Binpack};

const ZONES: [&str; 3] = ["a", "b", "c"];

#[test]
fn a_service_spreads_over_zones_and_then_over_instances() {
    for seed in 0..20 {
        // Two zones with two instances each, and one with a single one.
        let mut fleet = fleet(4, &["a", "b"]);
        fleet.set_instance(instance("lone", "c"));
        let (small, strategies) = (demand(10, 10), Strategy::service_default());
        let chosen = place(&mut fleet, &request(&small, &strategies, &[]), 6, seed);
        assert_eq!(zones(&fleet, &chosen), BTreeMap::from(["a", "b", "c"].map(|zone| (zone.to_owned(), 2))));
        let mut on: Vec<&String> = chosen.iter().filter(|id| *id != "lone").collect();
        on.sort();
        on.dedup();
        assert_eq!(on.len(), 4, "{chosen:?}");
    }
}

#[test]
fn a_zone_without_room_is_passed_over() {
    let mut fleet = fleet(3, &ZONES);
    let (half, strategies) = (demand(512, 512), Strategy::service_default());
    fleet.set_task("big", held("000", "other", &demand(1024, 1024)));
    let chosen = place(&mut fleet, &request(&half, &strategies, &[]), 4, 1);
    assert_eq!(zones(&fleet, &chosen), BTreeMap::from([("b".to_owned(), 2), ("c".to_owned(), 2)]));
}

#[test]
fn binpack_fills_the_fullest_that_has_room() {
    let mut fleet = fleet(3, &ZONES);
    fleet.set_task("1", held("001", "other", &demand(10, 600)));
    fleet.set_task("2", held("002", "other", &demand(900, 300)));
    let (small, large) = (demand(100, 200), demand(10, 500));
    let by_memory = [Binpack(Resource::Memory)];
    let by_cpu = [Binpack(Resource::Cpu)];
    let chosen = |fleet: &mut Fleet, demand: &Demand, strategies: &[Strategy], count| {
        fleet.plan(&request(demand, strategies, &[]), count, 3).chosen
    };
    assert_eq!(chosen(&mut fleet, &small, &by_memory, 2), ["001", "001"]);
    // Then the one with 300 taken, until its CPU is used up.
    assert_eq!(chosen(&mut fleet, &small, &by_memory, 3), ["001", "001", "002"]);
    assert_eq!(
        chosen(&mut fleet, &small, &by_memory, 8),
        ["001", "001", "002", "000", "000", "000", "000", "000"]
    );
    assert_eq!(chosen(&mut fleet, &large, &by_memory, 1), ["002"]);
    assert_eq!(chosen(&mut fleet, &small, &by_cpu, 2), ["002", "001"]);
}

#[test]
fn strategies_chain() {
    let mut fleet = fleet(6, &["a", "b"]);
    // The fullest of zone a is 002, of zone b 003.
    fleet.set_task("1", held("002", "other", &demand(10, 300)));
    fleet.set_task("2", held("003", "other", &demand(10, 200)));
    let strategies =
        [Strategy::SpreadAttribute(Instance::ZONE.to_owned()), Binpack(Resource::Memory), Strategy::Random];
    let small = demand(10, 100);
    let request = request(&small, &strategies, &[]);
    for count in [4, 10] {
        let chosen = fleet.plan(&request, count, 9).chosen;
        assert!(chosen.iter().all(|id| id == "002" || id == "003"), "{chosen:?}");
        assert_eq!(
            zones(&fleet, &chosen),
            BTreeMap::from(["a", "b"].map(|zone| (zone.to_owned(), count / 2)))
        );
    }
}

#[test]
fn spread_counts_the_group_alone_and_only_what_is_wanted() {
    let mut fleet = fleet(2, &ZONES);
    let small = demand(10, 10);
    for number in 0..5 {
        fleet.set_task(&format!("other-{number}"), held("000", "other", &small));
    }
    fleet.set_task("mine", held("001", "service:web", &small));
    let request = request(&small, &[Strategy::SpreadInstance], &[]);
    assert_eq!(fleet.plan(&request, 1, 0).chosen, ["000"]);
    fleet.set_task("mine", Held { wanted: false, ..held("001", "service:web", &small) });
    assert_eq!(fleet.plan(&request, 1, 0).chosen, ["001"], "fewer tasks there");
}

#[test]
fn instances_without_the_attribute_are_a_value_of_their_own() {
    let mut fleet = fleet(2, &["a"]);
    for (id, rack) in [("r1", "1"), ("r2", "2")] {
        let mut racked = instance(id, "a");
        racked.attributes.insert("rack".to_owned(), Some(rack.to_owned()));
        fleet.set_instance(racked);
    }
    let small = demand(10, 10);
    let by_rack = [Strategy::spread(Some("attribute:rack")).unwrap()];
    let mut chosen = place(&mut fleet, &request(&small, &by_rack, &[]), 3, 5);
    chosen.sort();
    assert_eq!(chosen[1..], ["r1", "r2"]);
}

#[test]
fn random_reaches_every_instance() {
    let mut fleet = fleet(5, &["a"]);
    let small = demand(1, 1);
    let request = request(&small, &[Strategy::Random], &[]);
    let mut seen: Vec<String> = (0..100).flat_map(|seed| fleet.plan(&request, 1, seed).chosen).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
    assert_eq!(fleet.plan(&request, 3, 7), fleet.plan(&request, 3, 7), "the same for the same seed");
}

#[test]
fn distinct_instances_are_distinct_for_the_group() {
    let mut fleet = fleet(3, &ZONES);
    let small = demand(10, 10);
    fleet.set_task("mine", held("001", "service:web", &small));
    fleet.set_task("other", held("000", "other", &small));
    let constraints = [Constraint::DistinctInstance];
    for count in [3, 9] {
        let mut plan = fleet.plan(&request(&small, &[], &constraints), count, 1);
        plan.chosen.sort();
        assert_eq!(plan.chosen, ["000", "002"]);
        assert_eq!(plan.shortfall.unwrap().missing, count - 2);
    }
}

#[test]
fn member_of_binds() {
    let mut fleet = fleet(9, &ZONES);
    let small = demand(10, 10);
    fleet.set_task("db", held("000", "database", &small));
    let constraints =
        [member_of("attribute:ecs.availability-zone == a"), member_of("not(task:group == database)")];
    let mut chosen = fleet.plan(&request(&small, &[Strategy::SpreadInstance], &constraints), 2, 1).chosen;
    chosen.sort();
    assert_eq!(chosen, ["003", "006"]);
}

#[test]
fn ports_are_taken_once() {
    let mut fleet = fleet(3, &ZONES);
    let web = Demand { ports: vec![tcp(80)], ..demand(10, 10) };
    for count in [4, 9] {
        let mut plan = fleet.plan(&request(&web, &[], &[]), count, 1);
        plan.chosen.sort();
        assert_eq!(plan.chosen, ["000", "001", "002"]);
    }
    let udp = Demand { ports: vec![Port { protocol: Protocol::Udp, number: 22 }], ..demand(10, 10) };
    assert_eq!(fleet.plan(&request(&udp, &[], &[]), 1, 1).chosen.len(), 1, "only TCP's 22 is reserved");
    let ssh = Demand { ports: vec![tcp(22)], ..demand(10, 10) };
    assert_eq!(fleet.plan(&request(&ssh, &[], &[]), 1, 1).chosen.len(), 0);
    // Given back when the task has stopped, not when it is to stop.
    fleet.set_task("1", held("000", "service:web", &web));
    fleet.set_task("1", Held { wanted: false, ..held("000", "service:web", &web) });
    assert!(!fleet.plan(&request(&web, &[], &[]), 3, 1).chosen.contains(&"000".to_owned()));
    fleet.remove_task("1");
    assert!(fleet.plan(&request(&web, &[], &[]), 3, 1).chosen.contains(&"000".to_owned()));
}

#[test]
fn a_hundred_ports_are_the_most() {
    let mut fleet = fleet(1, &ZONES);
    let ports =
        |from: u16, count: u16| Demand { ports: (from..from + count).map(tcp).collect(), ..demand(1, 1) };
    fleet.set_task("1", held("000", "other", &ports(1000, 98)));
    assert_eq!(fleet.usage("000").unwrap().ports.len() as u32, MOST_PORTS - 1);
    assert_eq!(fleet.plan(&request(&ports(2000, 2), &[], &[]), 1, 1).chosen.len(), 0);
    assert_eq!(fleet.plan(&request(&ports(2000, 1), &[], &[]), 1, 1).chosen.len(), 1);
}

#[test]
fn interfaces_and_gpus_are_counted() {
    let mut fleet = Fleet::new();
    fleet.set_instance(Instance { enis: 2, gpus: 3, ..instance("a", "a") });
    let eni = Demand { enis: 1, ..demand(1, 1) };
    assert_eq!(fleet.plan(&request(&eni, &[], &[]), 9, 1).chosen.len(), 2);
    let gpu = Demand { gpus: 2, ..demand(1, 1) };
    assert_eq!(fleet.plan(&request(&gpu, &[], &[]), 9, 1).chosen.len(), 1);
}

#[test]
fn draining_disconnected_and_external_instances_take_nothing() {
    let mut fleet = Fleet::new();
    fleet.set_instance(Instance { standing: Standing::Draining, ..instance("draining", "a") });
    fleet.set_instance(Instance { connected: false, ..instance("away", "a") });
    fleet.set_instance(Instance { external: true, ..instance("external", "a") });
    let small = demand(1, 1);
    let ec2 = request(&small, &[], &[]);
    assert_eq!(fleet.plan(&ec2, 1, 1).chosen, [""; 0]);
    assert_eq!(fleet.plan(&Request { external: true, ..ec2 }, 1, 1).chosen, ["external"]);
    // DAEMON services keep their tasks while an agent is away.
    assert_eq!(fleet.eligible(&ec2), ["away"]);
    fleet.set_instance(instance("draining", "a"));
    assert_eq!(fleet.plan(&ec2, 1, 1).chosen, ["draining"]);
    assert_eq!(
        fleet.eligible(&Request { constraints: &[member_of("agentConnected == true")], ..ec2 }),
        ["draining"]
    );
}

#[test]
fn required_attributes_bind() {
    let mut fleet = fleet(2, &ZONES);
    let small = demand(1, 1);
    let of = |name: &str, value: Option<&str>| {
        [Requirement { name: name.to_owned(), values: value.into_iter().map(str::to_owned).collect() }]
    };
    let chosen = |fleet: &mut Fleet, required: &[Requirement]| {
        fleet.plan(&Request { required, ..request(&small, &[], &[]) }, 1, 1).chosen.len()
    };
    assert_eq!(chosen(&mut fleet, &of("bare", None)), 1);
    assert_eq!(chosen(&mut fleet, &of("ecs.os-type", Some("linux"))), 1);
    assert_eq!(chosen(&mut fleet, &of("ecs.os-type", Some("windows"))), 0);
    assert_eq!(chosen(&mut fleet, &of("ecs.capability.task-eni", None)), 0);
}

#[test]
fn tasks_may_come_before_their_instance_and_outlive_it() {
    let mut fleet = Fleet::new();
    let half = demand(600, 600);
    fleet.set_task("1", held("late", "service:web", &half));
    assert_eq!(fleet.usage("late"), None);
    fleet.set_instance(instance("late", "a"));
    assert_eq!(fleet.usage("late").unwrap().free_cpu, 424);
    fleet.remove_instance("late");
    assert!(fleet.is_empty());
    fleet.set_instance(instance("late", "a"));
    assert_eq!((fleet.usage("late").unwrap().free_memory, fleet.usage("late").unwrap().running), (424, 1));
    fleet.set_task("1", Held { phase: Phase::Pending, ..held("late", "service:web", &half) });
    assert_eq!(fleet.usage("late").unwrap().pending, 1);
    fleet.remove_task("1");
    let usage = fleet.usage("late").unwrap();
    assert_eq!(
        (usage.free_cpu, usage.free_memory, usage.pending, usage.ports),
        (1024, 1024, 0, vec![tcp(22)])
    );
}

#[test]
fn an_instance_that_shrinks_takes_nothing_until_there_is_room() {
    let mut fleet = fleet(1, &ZONES);
    let half = demand(512, 512);
    fleet.set_task("1", held("000", "service:web", &half));
    fleet.set_instance(Instance { cpu: 256, ..instance("000", "a") });
    assert_eq!(fleet.usage("000").unwrap().free_cpu, -256);
    assert_eq!(fleet.plan(&request(&demand(0, 1), &[], &[]), 1, 1).chosen, [""; 0]);
}
