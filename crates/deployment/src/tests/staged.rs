//! BLUE_GREEN, LINEAR, CANARY: weights, times, hooks, going back.

use vocabulary::Timestamp;

use super::{
    fleet::{Behaviour, Checked, Fleet},
    of, seconds, service,
};
use crate::{
    Canary, CircuitBreaker, Hook, HookAction, HookStage, HookStatus, HookTarget, Linear, Refused,
    RolloutState, RolloutStatus, Service, Stage, StopType, Strategy, Waiting,
};

fn staged(strategy: Strategy, desired: u32) -> Service {
    let mut service = service(desired);
    service.configuration.strategy = strategy;
    service.configuration.bake_time = seconds(300);
    service
}

/// When the production weight of `deployment` changed, and to what.
fn weights(fleet: &Fleet, deployment: &str) -> Vec<(Timestamp, f64)> {
    let mut weights: Vec<(Timestamp, f64)> = Vec::new();
    for (at, plan) in &fleet.history {
        let weight =
            plan.state.deployments.iter().find(|it| it.id == deployment).map(|it| it.production_weight);
        if let Some(weight) = weight
            && weights.last().map(|(_, last)| *last) != Some(weight)
        {
            weights.push((*at, weight));
        }
    }
    weights
}

fn stage(fleet: &Fleet) -> Option<Stage> {
    fleet.state.rollout.as_ref().and_then(|rollout| rollout.stage)
}

#[test]
fn blue_green_shifts_at_once_bakes_and_cleans_up() {
    let mut fleet = Fleet::steady(staged(Strategy::BlueGreen, 3), 1);
    let blue = fleet.state.deployments[0].id.clone();
    assert_eq!(fleet.state.deployments[0].production_weight, 100.0);
    let green = fleet.deploy("r2", Behaviour::default());
    let deployed = fleet.now;
    fleet.until("shifted", |fleet| fleet.state.deployments[0].production_weight == 100.0);
    assert_eq!(fleet.now.since(deployed), seconds(6), "when all of green is in good health");
    assert_eq!((of(&fleet.tasks, &blue).len(), of(&fleet.tasks, &green).len()), (3, 3));
    let source = fleet.state.deployments.iter().find(|it| it.id == blue).unwrap();
    assert_eq!((source.production_weight, source.test_weight), (0.0, 0.0));
    assert_eq!(stage(&fleet), Some(Stage::BakeTime));
    fleet.run_for(seconds(299));
    assert_eq!(of(&fleet.tasks, &blue).len(), 3);
    assert!(matches!(fleet.last_report.waiting[..], [Waiting::Bake { .. }]));
    fleet.run_for(seconds(1));
    assert_eq!(of(&fleet.tasks, &blue).len(), 0);
    fleet.settle();
    assert!(fleet.is_steady());
    assert_eq!(fleet.state.rollout.as_ref().unwrap().status, RolloutStatus::Successful);
    assert_eq!(weights(&fleet, &green).iter().map(|(_, weight)| *weight).collect::<Vec<_>>(), [0.0, 100.0]);
}

#[test]
fn linear_steps_exactly_and_on_time() {
    let linear = Linear { step_percent: 30.0, step_bake_time: seconds(360) };
    let mut fleet = Fleet::steady(staged(Strategy::Linear(linear), 2), 2);
    let green = fleet.deploy("r2", Behaviour::default());
    fleet.settle();
    assert!(fleet.is_steady());
    let weights = weights(&fleet, &green);
    let steps: Vec<f64> = weights.iter().map(|(_, weight)| *weight).collect();
    assert_eq!(steps, [0.0, 30.0, 60.0, 90.0, 100.0]);
    let waits: Vec<u64> = weights[1..].windows(2).map(|pair| pair[1].0.since(pair[0].0).as_secs()).collect();
    assert_eq!(waits, [360, 360, 360]);
}

#[test]
fn the_default_linear_takes_ten_steps() {
    let mut fleet = Fleet::steady(staged(Strategy::Linear(Linear::default()), 1), 3);
    let green = fleet.deploy("r2", Behaviour::default());
    fleet.settle();
    let weights = weights(&fleet, &green);
    assert_eq!(weights.len(), 11);
    assert_eq!(weights[10].0.since(weights[1].0), seconds(9 * 360));
}

#[test]
fn canary_shifts_a_little_then_the_rest() {
    let mut fleet = Fleet::steady(staged(Strategy::Canary(Canary::default()), 2), 4);
    let blue = fleet.state.deployments[0].id.clone();
    let green = fleet.deploy("r2", Behaviour::default());
    fleet.until("the canary", |fleet| fleet.state.deployments[0].production_weight > 0.0);
    assert_eq!(fleet.state.deployments.iter().find(|it| it.id == blue).unwrap().production_weight, 95.0);
    fleet.settle();
    let weights = weights(&fleet, &green);
    assert_eq!(weights.iter().map(|(_, weight)| *weight).collect::<Vec<_>>(), [0.0, 5.0, 100.0]);
    assert_eq!(weights[2].0.since(weights[1].0), seconds(600));
    assert!(fleet.is_steady());
}

#[test]
fn a_late_plan_makes_one_step_only() {
    let linear = Linear { step_percent: 25.0, step_bake_time: seconds(60) };
    let mut fleet = Fleet::steady(staged(Strategy::Linear(linear), 1), 5);
    fleet.deploy("r2", Behaviour::default());
    fleet.until("the first step", |fleet| fleet.state.deployments[0].production_weight == 25.0);
    fleet.now = fleet.now + seconds(1000);
    fleet.plan();
    assert_eq!(fleet.state.deployments[0].production_weight, 50.0);
}

fn pause(stages: &[HookStage], timeout_action: HookAction) -> Hook {
    Hook { target: HookTarget::Pause, stages: stages.to_vec(), timeout: seconds(3600), timeout_action }
}

#[test]
fn hooks_hold_their_stage_until_answered() {
    let mut fleet = Fleet::steady(staged(Strategy::BlueGreen, 2), 6);
    fleet.service.configuration.hooks = vec![
        pause(&[HookStage::PreScaleUp, HookStage::PostTestTrafficShift], HookAction::Rollback),
        Hook {
            target: HookTarget::Lambda("arn:f".to_owned()),
            ..pause(&[HookStage::PreScaleUp], HookAction::Rollback)
        },
    ];
    let green = fleet.deploy("r2", Behaviour::default());
    fleet.run_for(seconds(60));
    assert_eq!(stage(&fleet), Some(Stage::PreScaleUp));
    assert_eq!(of(&fleet.tasks, &green).len(), 0, "green has not begun");
    let invoked: Vec<_> = fleet.history.iter().flat_map(|(_, plan)| plan.invoke.clone()).collect();
    assert_eq!(invoked.len(), 1, "once");
    let waiting = fleet.state.rollout.as_ref().unwrap().hooks[0].clone();
    assert_eq!(waiting.status, HookStatus::AwaitingAction);
    fleet.state.answer_hook(&waiting.id, HookAction::Continue, fleet.now).unwrap();
    assert_eq!(
        fleet.state.answer_hook(&waiting.id, HookAction::Continue, fleet.now),
        Err(Refused::HookNotWaiting(waiting.id.clone()))
    );
    fleet.plan();
    assert_eq!(stage(&fleet), Some(Stage::PreScaleUp), "the function has not answered");
    fleet.state.hook_result(&invoked[0].id, true, fleet.now);
    fleet.run_for(seconds(60));
    assert_eq!(stage(&fleet), Some(Stage::PostTestTrafficShift));
    let deployment = fleet.state.primary().unwrap();
    assert_eq!((deployment.test_weight, deployment.production_weight), (100.0, 0.0));
    let second = fleet.state.rollout.as_ref().unwrap().hooks.last().unwrap().id.clone();
    fleet.state.answer_hook(&second, HookAction::Rollback, fleet.now).unwrap();
    fleet.settle();
    assert!(fleet.is_steady());
    assert_eq!(fleet.state.primary().unwrap().revision, "r1");
    assert_eq!(fleet.state.primary().unwrap().test_weight, 100.0);
    assert_eq!(fleet.told("deployment failed: lifecycle hook failed."), 1);
}

#[test]
fn the_end_of_a_hooks_time_means_what_it_says() {
    for (action, revision) in [(HookAction::Continue, "r2"), (HookAction::Rollback, "r1")] {
        let mut fleet = Fleet::steady(staged(Strategy::BlueGreen, 1), 7);
        fleet.service.configuration.hooks = vec![pause(&[HookStage::PostScaleUp], action)];
        fleet.deploy("r2", Behaviour::default());
        fleet.run_for(seconds(3000));
        assert_eq!(stage(&fleet), Some(Stage::PostScaleUp));
        fleet.settle();
        assert!(fleet.is_steady());
        assert_eq!(fleet.state.primary().unwrap().revision, revision);
        assert_eq!(fleet.state.rollout.as_ref().unwrap().hooks[0].status, HookStatus::TimedOut);
    }
}

#[test]
fn hooks_of_the_production_shift_run_at_every_step() {
    let canary = Canary { percent: 20.0, bake_time: seconds(60) };
    let mut fleet = Fleet::steady(staged(Strategy::Canary(canary), 1), 8);
    let stages = [HookStage::PreProductionTrafficShift, HookStage::ProductionTrafficShift];
    fleet.service.configuration.hooks =
        vec![Hook { timeout: seconds(10), ..pause(&stages, HookAction::Continue) }];
    let green = fleet.deploy("r2", Behaviour::default());
    fleet.settle();
    let hooks = &fleet.state.rollout.as_ref().unwrap().hooks;
    assert_eq!(
        hooks.iter().map(|run| (run.stage, run.step)).collect::<Vec<_>>(),
        [(stages[0], 1), (stages[1], 1), (stages[0], 2), (stages[1], 2)]
    );
    let weights = weights(&fleet, &green);
    assert_eq!(weights[2].0.since(weights[1].0), seconds(70), "the wait, then the hook before the step");
}

#[test]
fn a_broken_green_never_gets_traffic_and_blue_stays_whole() {
    let mut service = staged(Strategy::BlueGreen, 4);
    service.configuration.circuit_breaker =
        CircuitBreaker { enable: true, rollback: true, ..CircuitBreaker::default() };
    let mut fleet = Fleet::steady(service, 9);
    let blue = fleet.state.deployments[0].id.clone();
    let green = fleet
        .deploy("r2", Behaviour { unhealthy: 100, check: Checked::Target(2_000), ..Behaviour::default() });
    fleet.settle();
    assert!(fleet.is_steady());
    assert!(weights(&fleet, &green).iter().all(|(_, weight)| *weight == 0.0));
    assert!(weights(&fleet, &blue).iter().all(|(_, weight)| *weight == 100.0));
    assert_eq!(of(&fleet.tasks, &blue).len(), 4);
    assert_eq!(fleet.state.rollout.as_ref().unwrap().status, RolloutStatus::RollbackSuccessful);
}

#[test]
fn going_back_while_baking_gives_blue_all_traffic_at_once() {
    let mut fleet = Fleet::steady(staged(Strategy::BlueGreen, 2), 10);
    let blue = fleet.state.deployments[0].id.clone();
    let green = fleet.deploy("r2", Behaviour::default());
    fleet.until("baking", |fleet| stage(fleet) == Some(Stage::BakeTime));
    // Blue is kept whole meanwhile.
    let victim = of(&fleet.tasks, &blue)[0].id.clone();
    fleet.kill(&victim);
    fleet.run_for(seconds(30));
    assert_eq!(of(&fleet.tasks, &blue).len(), 2);
    fleet.state.request_stop(StopType::Rollback, fleet.now).unwrap();
    fleet.plan();
    let weight = |id: &str| fleet.state.deployments.iter().find(|it| it.id == id).unwrap().production_weight;
    assert_eq!((weight(&blue), weight(&green)), (100.0, 0.0));
    fleet.settle();
    assert!(fleet.is_steady());
    assert_eq!(fleet.state.primary().unwrap().id, blue);
}

#[test]
fn a_first_deployment_neither_shifts_nor_bakes() {
    let mut fleet = Fleet::new(staged(Strategy::Canary(Canary::default()), 1), 11);
    fleet.deploy("r1", Behaviour::default());
    fleet.run_for(seconds(10));
    assert_eq!(fleet.state.primary().unwrap().rollout_state, RolloutState::Completed);
    assert_eq!(fleet.state.primary().unwrap().production_weight, 100.0);
}

#[test]
fn scaling_in_the_middle_scales_both() {
    let mut fleet = Fleet::steady(staged(Strategy::BlueGreen, 2), 12);
    let blue = fleet.state.deployments[0].id.clone();
    let green = fleet.deploy("r2", Behaviour::default());
    fleet.until("baking", |fleet| stage(fleet) == Some(Stage::BakeTime));
    fleet.service.desired_count = 4;
    fleet.run_for(seconds(30));
    assert_eq!((of(&fleet.tasks, &blue).len(), of(&fleet.tasks, &green).len()), (4, 4));
    fleet.service.desired_count = 1;
    fleet.run_for(seconds(30));
    assert_eq!((of(&fleet.tasks, &blue).len(), of(&fleet.tasks, &green).len()), (1, 1));
    fleet.settle();
    assert!(fleet.is_steady());
}

#[test]
fn a_deployment_in_the_middle_of_another_takes_its_traffic_from_the_completed_one() {
    let linear = Linear { step_percent: 20.0, step_bake_time: seconds(60) };
    let mut fleet = Fleet::steady(staged(Strategy::Linear(linear), 2), 13);
    let blue = fleet.state.deployments[0].id.clone();
    let green = fleet.deploy("r2", Behaviour::default());
    fleet.until("two steps", |fleet| fleet.state.deployments[0].production_weight == 40.0);
    let third = fleet.deploy("r3", Behaviour::default());
    let weight = |fleet: &Fleet, id: &str| {
        fleet.state.deployments.iter().find(|it| it.id == id).map(|it| it.production_weight)
    };
    assert_eq!((weight(&fleet, &blue), weight(&fleet, &green)), (Some(100.0), Some(0.0)));
    fleet.until("the first step", |fleet| fleet.state.primary().unwrap().production_weight == 20.0);
    assert_eq!(of(&fleet.tasks, &green).len(), 0);
    fleet.settle();
    assert!(fleet.is_steady());
    assert_eq!(fleet.state.primary().unwrap().id, third);
}
