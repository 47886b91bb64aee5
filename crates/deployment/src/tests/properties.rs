//! Whatever is asked and whatever happens: the checker in the fleet holds every plan against the invariants, and in the end
//! the service is as asked.

use proptest::{prelude::*, strategy::Strategy as Generator};

use super::{
    fleet::{Behaviour, Checked, Fleet},
    of, seconds, service,
};
use crate::{
    Canary, CircuitBreaker, Configuration, EndedBy, Limits, Linear, Phase, RolloutState, Strategy, Threshold,
};

#[derive(Debug, Clone)]
enum Happening {
    Scale(u32),
    Deploy(Behaviour),
    Kill(usize),
    StopByUser(usize),
    Sicken(usize),
    Protect(usize),
    Drain(usize),
    Percent(u32, u32),
    Places(Option<usize>),
    Wait(u64),
}

fn behaviour() -> impl Generator<Value = Behaviour> {
    let check = prop_oneof![
        Just(Checked::Nothing),
        (0..20_000u64).prop_map(Checked::Container),
        (0..20_000u64).prop_map(Checked::Target)
    ];
    (0..5_000u64, 0..30_000u64, 0..20_000u64, check, 0..40u32, 0..40u32, 0..40u32).prop_map(
        |(start, more, stop, check, fail_to_start, end_early, unhealthy)| Behaviour {
            start: (start, more),
            stop: (stop, 5_000),
            fail_to_start,
            end_early,
            check,
            unhealthy,
        },
    )
}

fn happening() -> impl Generator<Value = Happening> {
    prop_oneof![
        (0..12u32).prop_map(Happening::Scale),
        behaviour().prop_map(Happening::Deploy),
        any::<usize>().prop_map(Happening::Kill),
        any::<usize>().prop_map(Happening::StopByUser),
        any::<usize>().prop_map(Happening::Sicken),
        any::<usize>().prop_map(Happening::Protect),
        any::<usize>().prop_map(Happening::Drain),
        percentages().prop_map(|(minimum, maximum)| Happening::Percent(minimum, maximum)),
        prop::option::of(0..6usize).prop_map(Happening::Places),
        (0..120u64).prop_map(Happening::Wait),
    ]
}

/// Such that a deployment can go on with any desired count.
fn percentages() -> impl Generator<Value = (u32, u32)> {
    prop_oneof![(0..=100u32, Just(200u32)), (Just(0u32), 100..=200u32)]
}

fn strategy() -> impl Generator<Value = Strategy> {
    prop_oneof![
        3 => Just(Strategy::Rolling),
        1 => Just(Strategy::BlueGreen),
        1 => (5.0..100.0f64, 0..300u64).prop_map(|(step_percent, wait)| {
            Strategy::Linear(Linear { step_percent, step_bake_time: seconds(wait) })
        }),
        1 => (1.0..100.0f64, 0..300u64).prop_map(|(percent, wait)| {
            Strategy::Canary(Canary { percent, bake_time: seconds(wait) })
        }),
    ]
}

fn pick(fleet: &Fleet, index: usize, phase: Phase) -> Option<String> {
    let tasks: Vec<_> = fleet.tasks.iter().filter(|task| task.phase == phase).collect();
    (!tasks.is_empty()).then(|| tasks[index % tasks.len()].id.clone())
}

fn apply(fleet: &mut Fleet, happening: Happening, count: usize) {
    match happening {
        Happening::Scale(desired) => fleet.service.desired_count = desired,
        Happening::Deploy(behaviour) => drop(fleet.deploy(&format!("r{}", count + 2), behaviour)),
        Happening::Kill(index) => {
            if let Some(id) = pick(fleet, index, Phase::Running) {
                fleet.kill(&id);
            }
        }
        Happening::StopByUser(index) => {
            if let Some(id) = pick(fleet, index, Phase::Pending) {
                fleet.end(&id, EndedBy::User);
            }
        }
        Happening::Sicken(index) => {
            if let Some(id) = pick(fleet, index, Phase::Running) {
                fleet.sicken(&id);
            }
        }
        Happening::Protect(index) => {
            let until = fleet.now + seconds(600);
            if let Some(id) = pick(fleet, index, Phase::Running) {
                fleet.tasks.iter_mut().find(|task| task.id == id).unwrap().protected_until = Some(until);
            }
        }
        Happening::Drain(index) => {
            if let Some(id) = pick(fleet, index, Phase::Running) {
                fleet.tasks.iter_mut().find(|task| task.id == id).unwrap().instance_draining = true;
            }
        }
        Happening::Percent(minimum, maximum) => {
            fleet.service.configuration.minimum_healthy_percent = minimum;
            fleet.service.configuration.maximum_percent = maximum;
        }
        Happening::Places(places) => fleet.places = places,
        Happening::Wait(time) => fleet.run_for(seconds(time)),
    }
    fleet.plan();
}

// More cases: PROPTEST_CASES=20000.
proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_keeps_the_limits_and_all_comes_to_an_end(
        seed: u64,
        desired in 0..12u32,
        (minimum, maximum) in percentages(),
        strategy in strategy(),
        breaker: bool,
        rollback: bool,
        reset: bool,
        grace in 0..60u64,
        changes in prop_oneof![Just(1usize), 2..60usize],
        first in behaviour(),
        happenings in prop::collection::vec(happening(), 0..14),
    ) {
        let mut service = service(desired);
        service.health_check_grace_period = seconds(grace);
        service.configuration = Configuration {
            minimum_healthy_percent: minimum,
            maximum_percent: maximum,
            strategy,
            bake_time: seconds(grace),
            circuit_breaker: CircuitBreaker {
                enable: breaker,
                rollback,
                threshold: Threshold::BoundedPercent(50),
                reset_on_healthy_task: reset,
            },
            ..Configuration::default()
        };
        let mut fleet = Fleet::new(service, seed);
        fleet.limits = Limits { changes };
        fleet.deploy("r1", first);
        for (count, happening) in happenings.into_iter().enumerate() {
            apply(&mut fleet, happening, count);
        }
        // From here on everything works.
        for behaviour in fleet.behaviours.values_mut() {
            *behaviour = Behaviour { check: behaviour.check, ..Behaviour::default() };
        }
        fleet.places = None;
        fleet.settle();
        let primary = fleet.state.primary().cloned().unwrap();
        let desired = fleet.service.desired_count as usize;
        if primary.rollout_state == RolloutState::Failed {
            // Nobody asked for it to be taken back, or there was nothing to go back to.
            prop_assert!(of(&fleet.tasks, &primary.id).len() <= desired);
        } else {
            prop_assert!(fleet.is_steady(), "{:#?}\n{:#?}\n{:#?}", fleet.state, fleet.last_report, fleet.tasks);
            prop_assert_eq!(of(&fleet.tasks, &primary.id).len(), desired);
            prop_assert_eq!(fleet.tasks.len(), desired);
            prop_assert_eq!(primary.production_weight, 100.0);
        }
    }
}
