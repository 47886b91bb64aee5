//! The cluster query language: an expression is read or refused, and what it selects from a small fleet obeys logic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore_fuzz::two;
use placement::{ENI_UNLIMITED, Fleet, Instance, Standing, query::Expression};
use vocabulary::Timestamp;

fn fleet(value: &str) -> Fleet {
    let mut fleet = Fleet::default();
    for (number, id) in ["i0", "i1", "i2"].into_iter().enumerate() {
        let mut attributes = std::collections::BTreeMap::new();
        attributes.insert("a".to_owned(), (number > 0).then(|| value.to_owned()));
        if number == 2 {
            attributes.insert("ecs.os-type".to_owned(), Some("linux".to_owned()));
        }
        fleet.set_instance(Instance {
            id: id.to_owned(),
            ec2_instance_id: (number == 1).then(|| "i-0123456789abcdef0".to_owned()),
            standing: Standing::Active,
            connected: number != 1,
            external: false,
            agent_version: (number > 0).then(|| value.to_owned()),
            registered_at: Timestamp::from_millis(1_795_253_752_000),
            cpu: 1024,
            memory: 1024,
            reserved_ports: Vec::new(),
            enis: ENI_UNLIMITED,
            gpus: 0,
            attributes,
        });
    }
    fleet
}

fn selected(fleet: &mut Fleet, expression: &Expression) -> Vec<String> {
    fleet.select(expression).into_iter().map(str::to_owned).collect()
}

fuzz_target!(|text: &str| {
    let (value, text) = two(text);
    let Ok(expression) = text.parse::<Expression>() else { return };
    assert_eq!(text.parse::<Expression>().as_ref(), Ok(&expression), "the same text means the same");
    let mut fleet = fleet(value);
    let chosen = selected(&mut fleet, &expression);
    let others = selected(&mut fleet, &Expression::Not(Box::new(expression.clone())));
    let mut all: Vec<_> = chosen.iter().chain(&others).cloned().collect();
    all.sort_unstable();
    assert_eq!(all, ["i0", "i1", "i2"], "an instance is selected either by an expression or by its negation");
    let twice = Expression::All(vec![expression.clone(), expression.clone()]);
    assert_eq!(selected(&mut fleet, &twice), chosen);
    let either = Expression::Any(vec![expression.clone(), Expression::Not(Box::new(expression))]);
    assert_eq!(selected(&mut fleet, &either), all);
});
