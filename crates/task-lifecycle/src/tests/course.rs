//! Examples: how tasks go through their lives.

use super::*;
use DependencyCondition::*;
use TaskStatus::*;

#[test]
fn a_task_comes_up_all_at_once_and_goes_down_in_order() {
    let mut node = Node::new(vec![container("app")]);
    assert_eq!(
        node.begun,
        [Action::AttachNetwork, Action::PullImage { container: 0 }, Action::OpenLog { container: 0 }]
    );
    node.go_well();
    assert_eq!(node.last().status, Running);
    assert_eq!(node.last().containers[0].status, ContainerStatus::Running);
    assert_eq!(node.last().containers[0].image_digest.as_deref(), Some("sha256:1"));

    assert_eq!(node.happens(Event::StopRequested), [Action::Terminate { container: 0 }]);
    assert_eq!((node.last().status, node.last().stop_code), (Stopping, None));
    assert_eq!(node.exits(0, 143), [Action::RemoveSandbox]);
    assert_eq!(node.last().status, Deprovisioning);
    assert_eq!(node.happens(Event::SandboxRemoved), [Action::DetachNetwork]);
    assert_eq!(node.happens(Event::NetworkDetached), [Action::CleanUp]);
    assert_eq!(node.happens(Event::CleanedUp), []);
    assert_eq!(node.last().status, Stopped);
    assert_eq!(node.last().containers[0].exit_code, Some(143));
    assert_eq!(node.statuses.first(), Some(&Provisioning));
    assert!(node.statuses.contains(&Pending));
}

#[test]
fn a_job_that_ends_at_once_has_run() {
    let mut node = Node::new(vec![container("job")]);
    node.be_ready_to_start();
    // The exit overtakes the answer to the start.
    node.exits(0, 0);
    node.happens(Event::Started { container: 0, run: 0 });
    let last = node.last();
    assert_eq!(last.started_at, Some(T0));
    assert_eq!(last.stop_code, Some(StopCode::EssentialContainerExited));
    assert_eq!(last.reason.as_deref(), Some("Essential container in task exited"));
    assert_eq!(last.containers[0].exit_code, Some(0));
}

#[test]
fn the_end_of_an_essential_container_ends_the_others_and_of_another_does_not() {
    let mut node = Node::new(vec![container("app"), sidecar("helper"), sidecar("other")]);
    node.go_well();
    assert_eq!(node.exits(1, 1), []);
    assert_eq!(node.last().status, Running);
    assert_eq!(node.last().containers[1].status, ContainerStatus::Stopped);
    assert_eq!(node.exits(0, 7), [Action::Terminate { container: 2 }]);
}

#[test]
fn sigkill_follows_after_the_stop_timeout_and_is_repeated() {
    let quick = ContainerShape { stop_timeout: Duration::from_secs(2), ..container("app") };
    let mut node = Node::new(vec![quick]);
    node.go_well();
    node.happens(Event::StopRequested);
    assert_eq!(node.wake_at, Some(T0 + Duration::from_secs(2)));
    assert_eq!(node.report.waiting, []);
    assert_eq!(node.later(1), []);
    assert!(matches!(node.report.waiting[..], [Waiting::ForExit { container: 0, .. }]));
    assert_eq!(node.later(1), [Action::Kill { container: 0 }]);
    assert_eq!(node.later(9), []);
    assert_eq!(node.later(1), [Action::Kill { container: 0 }]);
    assert_eq!(node.exits(0, 137), [Action::RemoveSandbox]);
}

#[test]
fn containers_end_in_reverse_order_of_their_dependencies() {
    let mut node = Node::new(vec![
        sidecar("db"),
        ContainerShape { depends_on: after("db", Start), ..sidecar("cache") },
        ContainerShape { depends_on: after("cache", Start), ..container("app") },
    ]);
    node.go_well();
    assert_eq!(node.happens(Event::StopRequested), [Action::Terminate { container: 2 }]);
    assert!(node.report.waiting.contains(&Waiting::ForDependents { container: 0, dependents: vec![1] }));
    assert_eq!(node.exits(2, 0), [Action::Terminate { container: 1 }]);
    assert_eq!(node.exits(1, 0), [Action::Terminate { container: 0 }]);
}

#[test]
fn every_condition_holds_a_container_back_until_it_is_met() {
    let healthy = ContainerShape { health: Some(CHECK), ..sidecar("on") };
    let cases: [(ContainerShape, DependencyCondition, &[Event]); 4] = [
        (sidecar("on"), Start, &[]),
        (sidecar("on"), Complete, &[Event::Exited { container: 0, run: 0, code: 3, out_of_memory: false }]),
        (sidecar("on"), Success, &[Event::Exited { container: 0, run: 0, code: 0, out_of_memory: false }]),
        (healthy, Healthy, &[Event::HealthChecked { container: 0, run: 0, passed: true }]),
    ];
    for (on, condition, events) in cases {
        let waiting = ContainerShape { depends_on: after("on", condition), ..container("app") };
        let mut node = Node::new(vec![on, waiting]);
        node.be_ready_to_start();
        assert_eq!(node.begun, [Action::Start { container: 0, run: 0 }], "{condition:?}");
        assert!(node.report.waiting.contains(&Waiting::ForDependency { container: 1, on: 0, condition }));
        node.go_well();
        for event in events {
            assert_eq!(node.facts.containers[1].process, ProcessFacts::NotStarted, "{condition:?}");
            assert_eq!(node.last().status, Pending);
            node.happens(event.clone());
        }
        assert_ne!(node.facts.containers[1].process, ProcessFacts::NotStarted, "{condition:?}");
        node.go_well();
        assert_eq!(node.last().status, Running, "{condition:?}");
    }
}

#[test]
fn a_condition_that_cannot_be_met_any_more_ends_the_task() {
    for (condition, code, text) in [
        (Success, 4, "dependency container on did not exit successfully: it ended with exit code 4"),
        (Healthy, 0, "dependency container on ended with exit code 0 before it was HEALTHY"),
    ] {
        let mut node = Node::new(vec![
            ContainerShape { health: Some(CHECK), ..sidecar("on") },
            ContainerShape { depends_on: after("on", condition), ..container("app") },
        ]);
        node.go_well();
        assert_eq!(node.exits(0, code), [Action::RemoveSandbox]);
        let last = node.last();
        assert_eq!(last.stop_code, Some(StopCode::TaskFailedToStart));
        assert_eq!(last.reason.as_deref(), Some("Task failed to start"));
        assert_eq!(last.containers[1].reason.as_deref(), Some(text));
        assert_eq!(last.containers[1].exit_code, None);
    }
}

#[test]
fn the_start_timeout_gives_up_on_a_dependency() {
    let on =
        ContainerShape { health: Some(CHECK), start_timeout: Some(Duration::from_secs(15)), ..sidecar("on") };
    let mut node =
        Node::new(vec![on, ContainerShape { depends_on: after("on", Healthy), ..container("app") }]);
    node.go_well();
    assert_eq!(node.later(10), [Action::CheckHealth { container: 0, run: 0, timeout: CHECK.timeout }]);
    assert_eq!(node.wake_at, Some(T0 + Duration::from_secs(15)));
    assert_eq!(node.later(5), [Action::Terminate { container: 0 }]);
    let reason = node.last().containers[1].reason.clone().unwrap();
    assert!(reason.contains("start timeout of 15 seconds"), "{reason}");
}

#[test]
fn what_fails_before_the_start_is_the_reason_word_for_word() {
    let pull = "CannotPullContainerError: pull image manifest has been retried 1 time(s): not found";
    let cases = [
        (Event::ImageFailed { container: 0, reason: pull.into() }, pull, true),
        (
            Event::LogFailed { container: 0, reason: "ResourceInitializationError: log".into() },
            "ResourceInitializationError: log",
            true,
        ),
        (
            Event::NetworkFailed { reason: "ResourceInitializationError: eni".into() },
            "ResourceInitializationError: eni",
            false,
        ),
        (
            Event::SandboxFailed { reason: "ResourceInitializationError: shim".into() },
            "ResourceInitializationError: shim",
            false,
        ),
    ];
    for (event, reason, of_container) in cases {
        let mut node = Node::new(vec![container("app")]);
        if matches!(event, Event::SandboxFailed { .. }) {
            node.happens(Event::NetworkAttached { bindings: vec![] });
            node.begun.retain(|action| !matches!(action, Action::AttachNetwork | Action::PrepareSandbox));
        }
        node.happens(event);
        let last = node.last();
        assert_eq!(last.reason.as_deref(), Some(reason));
        assert_eq!(last.stop_code, Some(StopCode::TaskFailedToStart));
        assert_eq!(last.containers[0].reason.as_deref(), of_container.then_some(reason));
        assert_eq!(last.started_at, None);
        node.go_well();
        assert_eq!(node.last().status, Stopped, "{reason}");
    }

    let mut node = Node::new(vec![container("app")]);
    node.be_ready_to_start();
    let reason = "CannotStartContainerError: exec: no such file";
    node.happens(Event::StartFailed { container: 0, run: 0, reason: reason.into() });
    assert_eq!(node.last().reason.as_deref(), Some(reason));
    assert_eq!(node.last().stop_code, Some(StopCode::TaskFailedToStart));
}

#[test]
fn running_out_of_memory_is_said_so() {
    let mut node = Node::new(vec![container("app")]);
    node.go_well();
    node.happens(Event::Exited { container: 0, run: 0, code: 137, out_of_memory: true });
    let text = Some("OutOfMemoryError: Container killed due to memory usage");
    assert_eq!(node.last().reason.as_deref(), text);
    assert_eq!(node.last().containers[0].reason.as_deref(), text);
    assert_eq!(node.last().containers[0].exit_code, Some(137));
    assert_eq!(node.last().stop_code, Some(StopCode::EssentialContainerExited));
}

#[test]
fn a_stop_before_anything_runs_leaves_nothing() {
    let mut node = Node::new(vec![container("app")]);
    node.happens(Event::StopRequested);
    // The image may still be on its way: nobody waits for it.
    node.begun.retain(|action| !matches!(action, Action::PullImage { .. }));
    node.go_well();
    assert_eq!(node.last().status, Stopped);
    assert_eq!(node.last().containers[0].status, ContainerStatus::Stopped);
    assert!(!node.statuses.contains(&Running));
}

#[test]
fn a_stop_during_a_start_waits_for_its_outcome() {
    let mut node = Node::new(vec![container("app")]);
    node.be_ready_to_start();
    assert_eq!(node.happens(Event::StopRequested), []);
    assert_eq!(node.report.waiting, [Waiting::ForStart { container: 0 }]);
    assert_eq!(node.happens(Event::Started { container: 0, run: 0 }), [Action::Terminate { container: 0 }]);
}

#[test]
fn a_restart_policy_starts_a_container_again_when_it_ran_long_enough() {
    let policy = RestartPolicy { ignored_exit_codes: vec![0], restart_attempt_period_seconds: 60 };
    let shape = || ContainerShape { restart: Some(policy.clone()), ..container("app") };

    let mut node = Node::new(vec![shape()]);
    node.go_well();
    node.later(60);
    assert_eq!(node.exits(0, 1), [Action::Start { container: 0, run: 1 }]);
    assert_eq!(node.last().containers[0].status, ContainerStatus::Running);
    assert_eq!(node.last().containers[0].restart_count, 1);
    // A late word about the first run changes nothing.
    node.happens(Event::StartFailed { container: 0, run: 0, reason: "late".into() });
    node.go_well();
    assert_eq!(node.last().status, Running);
    node.later(59);
    node.exits(0, 1);
    assert_eq!(node.last().stop_code, Some(StopCode::EssentialContainerExited));

    let mut node = Node::new(vec![shape()]);
    node.go_well();
    node.later(600);
    node.exits(0, 0);
    assert_eq!(node.last().status, Deprovisioning, "an ignored exit code ends it");
}

#[test]
fn health_goes_as_docker_has_it() {
    let check = HealthSchedule { start_period: Duration::from_secs(25), ..CHECK };
    let mut node = Node::new(vec![ContainerShape { health: Some(check), ..container("app") }]);
    node.go_well();
    let result = |node: &mut Node, passed| {
        assert_eq!(node.later(10), [Action::CheckHealth { container: 0, run: 0, timeout: check.timeout }]);
        node.happens(Event::HealthChecked { container: 0, run: 0, passed });
        (node.last().health_status, node.facts.containers[0].health.failing_streak)
    };
    use HealthStatus::*;
    // Two in the start period do not count, three after it do.
    let expected = [(Unknown, 0), (Unknown, 0), (Unknown, 1), (Unknown, 2), (Unhealthy, 3), (Unhealthy, 4)];
    for expected in expected {
        assert_eq!(result(&mut node, false), expected);
    }
    assert_eq!(result(&mut node, true), (Healthy, 0));
    assert_eq!(result(&mut node, false), (Healthy, 1));
    assert_eq!(node.last().status, Running, "an unhealthy task is the scheduler's business");
}

#[test]
fn a_task_is_as_healthy_as_its_essential_containers() {
    use HealthStatus::*;
    for (containers, expected) in [
        (vec![], Unknown),
        (vec![None], Unknown),
        (vec![Some(Healthy), None], Healthy),
        (vec![Some(Healthy), Some(Unknown)], Unknown),
        (vec![Some(Unknown), Some(Unhealthy)], Unhealthy),
    ] {
        assert_eq!(task_health(containers.clone()), expected, "{containers:?}");
    }
}

#[test]
fn a_lost_sandbox_ends_the_task_without_exit_codes() {
    let mut node = Node::new(vec![container("app")]);
    node.go_well();
    assert_eq!(node.happens(Event::SandboxLost { reason: "the shim died".into() }), [Action::RemoveSandbox]);
    assert_eq!(node.last().containers[0].exit_code, None);
    assert_eq!(node.last().containers[0].reason.as_deref(), Some("the shim died"));
    node.go_well();
    assert_eq!(node.last().status, Stopped);
}

#[test]
fn a_task_that_holds_too_much_on_the_disk_is_stopped() {
    let mut node = Node::new(vec![container("app")]);
    node.go_well();
    let begun = node.happens(Event::StorageExceeded { reason: "too much".into() });
    assert_eq!(begun, [Action::Terminate { container: 0 }]);
    node.happens(Event::Exited { container: 0, run: 0, code: 143, out_of_memory: false });
    node.go_well();
    assert_eq!(node.last().status, Stopped);
    assert_eq!(node.last().reason.as_deref(), Some("too much"));
    assert_eq!(node.last().stop_code, Some(StopCode::EssentialContainerExited));
}

#[test]
fn after_a_restart_of_the_agent_only_what_was_under_way_begins_again() {
    let mut node = Node::new(vec![container("app"), sidecar("helper")]);
    node.happens(Event::ImageReady { container: 0, digest: None });
    node.facts = serde_json::from_str(&serde_json::to_string(&node.facts).unwrap()).unwrap();
    node.facts.forget_in_flight();
    node.begun.clear();
    let again = node.step();
    assert!(!again.contains(&Action::PullImage { container: 0 }), "{again:?}");
    assert!(again.contains(&Action::PullImage { container: 1 }) && again.contains(&Action::AttachNetwork));
    node.go_well();
    node.facts.forget_in_flight();
    assert_eq!(node.step(), []);

    // A start whose outcome nobody saw: the runtime is asked.
    let mut node = Node::new(vec![container("app")]);
    node.be_ready_to_start();
    node.facts.forget_in_flight();
    assert_eq!(node.step(), []);
    assert_eq!(
        node.happens(Event::NeverStarted { container: 0, run: 0 }),
        [Action::Start { container: 0, run: 0 }]
    );
}

#[test]
fn a_shape_cannot_be_wrong() {
    let build = |containers| TaskShape::new("t", "c", false, containers).unwrap_err();
    assert_eq!(build(vec![]), InvalidShape::NothingEssential);
    assert_eq!(build(vec![sidecar("a")]), InvalidShape::NothingEssential);
    assert_eq!(build(vec![container("a"), container("a")]), InvalidShape::DuplicateName("a".into()));
    let on = |name: &str, on: &str, condition| ContainerShape {
        depends_on: after(on, condition),
        ..container(name)
    };
    assert!(matches!(build(vec![on("a", "b", Start)]), InvalidShape::UnknownDependency { .. }));
    assert!(matches!(build(vec![container("b"), on("a", "b", Healthy)]), InvalidShape::NoHealthCheck { .. }));
    assert!(matches!(build(vec![on("a", "b", Start), on("b", "a", Start)]), InvalidShape::Circle(_)));
    assert!(matches!(build(vec![on("a", "a", Start)]), InvalidShape::Circle(_)));
}
