//! Properties: whatever a task looks like and whatever happens in whatever order, [`Node::step`]'s checks hold and a task that was told
//! to stop ends with nothing left.

use proptest::prelude::*;

use super::*;

/// One container: essential, condition on an earlier one, health check, restart policy.
type Draw = (bool, Option<(prop::sample::Index, u8)>, bool, bool);

fn shapes() -> impl Strategy<Value = Vec<ContainerShape>> {
    let draw = (
        any::<bool>(),
        prop::option::of((any::<prop::sample::Index>(), 0..4u8)),
        any::<bool>(),
        any::<bool>(),
    );
    prop::collection::vec(draw, 1..5).prop_map(|draws: Vec<Draw>| {
        let mut containers: Vec<ContainerShape> = vec![];
        for (index, (essential, on, check, restart)) in draws.into_iter().enumerate() {
            let mut container = container(&format!("c{index}"));
            container.essential = essential || index == 0;
            container.health = check.then_some(CHECK);
            container.start_timeout = check.then_some(Duration::from_secs(40));
            container.restart = restart
                .then(|| RestartPolicy { ignored_exit_codes: vec![0], restart_attempt_period_seconds: 60 });
            if let Some((on, condition)) = on
                && index > 0
            {
                let on = &mut containers[on.index(index)];
                let condition = match condition {
                    0 => DependencyCondition::Start,
                    1 => DependencyCondition::Complete,
                    2 => DependencyCondition::Success,
                    _ => {
                        on.health = Some(CHECK);
                        DependencyCondition::Healthy
                    }
                };
                container.depends_on = after(&on.name.clone(), condition);
            }
            containers.push(container);
        }
        containers
    })
}

/// What the world does next.
#[derive(Debug, Clone)]
enum Move {
    Succeed(prop::sample::Index),
    Fail(prop::sample::Index),
    Exit(prop::sample::Index, i32, bool),
    Wait(u64),
    AgentRestarts,
    /// An event out of the blue.
    Noise(prop::sample::Index, u32),
    LoseSandbox,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let any_index = any::<prop::sample::Index>;
    let one = prop_oneof![
        12 => any_index().prop_map(Move::Succeed),
        1 => any_index().prop_map(Move::Fail),
        3 => (any_index(), prop_oneof![Just(0), Just(1), Just(137)], any::<bool>()).prop_map(|(c, code, oom)| Move::Exit(c, code, oom && code == 137)),
        3 => (0..90u64).prop_map(Move::Wait),
        1 => Just(Move::AgentRestarts),
        1 => (any_index(), 0..2u32).prop_map(|(c, run)| Move::Noise(c, run)),
        1 => Just(Move::LoseSandbox),
    ];
    prop::collection::vec(one, 0..60)
}

fn failure(action: &Action) -> Option<Event> {
    let reason = "it failed".to_owned();
    Some(match *action {
        Action::AttachNetwork => Event::NetworkFailed { reason },
        Action::PrepareSandbox => Event::SandboxFailed { reason },
        Action::PullImage { container } => Event::ImageFailed { container, reason },
        Action::OpenLog { container } => Event::LogFailed { container, reason },
        Action::Start { container, run } => Event::StartFailed { container, run, reason },
        Action::CheckHealth { container, run, .. } => Event::HealthChecked { container, run, passed: false },
        _ => return None,
    })
}

impl Node {
    fn make(&mut self, next: &Move) {
        match next {
            Move::Succeed(which) | Move::Fail(which) if !self.begun.is_empty() => {
                let action = self.begun.remove(which.index(self.begun.len()));
                let fails = matches!(next, Move::Fail(_));
                let event =
                    if fails { failure(&action).or_else(|| success(&action)) } else { success(&action) };
                if let Some(event) = event {
                    self.happens(event);
                }
            }
            Move::Exit(which, code, out_of_memory) => {
                let container = which.index(self.facts.containers.len());
                if matches!(self.facts.containers[container].process, ProcessFacts::Running { .. }) {
                    let run = self.facts.containers[container].run;
                    let (code, out_of_memory) = (*code, *out_of_memory);
                    self.happens(Event::Exited { container, run, code, out_of_memory });
                }
            }
            Move::Wait(seconds) => drop(self.later(*seconds)),
            Move::AgentRestarts => {
                self.facts.forget_in_flight();
                // Only starts keep their outcome; everything else is begun again.
                self.begun.retain(|action| matches!(action, Action::Start { .. }));
                self.step();
            }
            Move::Noise(which, run) => {
                let container = which.index(self.facts.containers.len());
                if self.facts.containers[container].run != *run {
                    self.happens(Event::Exited { container, run: *run, code: 9, out_of_memory: false });
                    self.happens(Event::Started { container, run: *run });
                }
                self.happens(Event::NetworkDetached);
                self.happens(Event::CleanedUp);
            }
            Move::LoseSandbox if self.facts.sandbox == SandboxFacts::Ready => {
                drop(self.happens(Event::SandboxLost { reason: "gone".into() }));
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn whatever_happens_a_task_stays_safe_and_ends_when_told(containers in shapes(), moves in moves()) {
        let mut node = Node::new(containers);
        for next in &moves {
            node.make(next);
        }
        node.happens(Event::StopRequested);
        for _ in 0..200 {
            if node.facts.is_stopped() {
                break;
            }
            if let Some(action) = node.begun.pop() {
                match action {
                    Action::Kill { container } => drop(node.exits(container, 137)),
                    action => drop(success(&action).map(|event| node.happens(event))),
                }
            } else {
                node.later(30);
            }
        }
        prop_assert!(node.facts.is_stopped(), "{:?}\n{:?}", node.facts, node.report);
        prop_assert_eq!(node.last().status, TaskStatus::Stopped);
        prop_assert!(node.last().containers.iter().all(|container| container.status == ContainerStatus::Stopped));
        prop_assert!(node.last().execution_stopped_at.is_some());
        prop_assert_eq!(node.step(), vec![]);
    }

    #[test]
    fn a_record_is_the_same_whatever_changes_were_lost_or_repeated(
        containers in shapes(), moves in moves(), order in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut node = Node::new(containers);
        let mut changes = vec![node.last().clone()];
        for next in &moves {
            node.make(next);
            changes.push(node.last().clone());
        }
        let names = || node.shape.containers().iter().map(|container| container.name.clone());
        let fresh = TaskRecord::new(TaskStatus::Provisioning, names());
        let take = |record: TaskRecord, change: &TaskStateChange| match merge(&record, change, T0) {
            Merged::Changed(next) => {
                assert!(next.last_status >= record.last_status && next.sequence > record.sequence);
                *next
            }
            Merged::Stale => record,
        };
        let scrambled = order.iter().map(|index| &changes[index.index(changes.len())]);
        let record = scrambled.chain(changes.last()).fold(fresh.clone(), take);
        let direct = take(fresh, changes.last().unwrap());
        prop_assert_eq!(record.last_status, direct.last_status);
        prop_assert_eq!(record.containers, direct.containers);
        prop_assert_eq!(record.started_at, direct.started_at);
        prop_assert_eq!(record.stop_code, direct.stop_code);
    }
}
