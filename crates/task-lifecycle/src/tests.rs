//! One fixture for all: a task on a pretended node. [`Node::step`] plans, checks what must always hold, and keeps the
//! actions begun; a test says what comes of them.

mod course;
mod merging;
mod properties;

use std::time::Duration;

use vocabulary::Timestamp;

use crate::*;

/// Start of every test's time.
pub const T0: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub fn container(name: &str) -> ContainerShape {
    ContainerShape {
        name: name.into(),
        runtime_id: format!("id-{name}"),
        essential: true,
        depends_on: vec![],
        start_timeout: None,
        stop_timeout: Duration::from_secs(30),
        health: None,
        restart: None,
    }
}

pub fn sidecar(name: &str) -> ContainerShape {
    ContainerShape { essential: false, ..container(name) }
}

pub fn after(on: &str, condition: DependencyCondition) -> Vec<Dependency> {
    vec![Dependency { container_name: on.into(), condition }]
}

pub const CHECK: HealthSchedule = HealthSchedule {
    interval: Duration::from_secs(10),
    timeout: Duration::from_secs(5),
    retries: 3,
    start_period: Duration::ZERO,
};

pub struct Node {
    pub shape: TaskShape,
    pub facts: TaskFacts,
    pub now: Timestamp,
    /// Begun, and nothing came of it yet.
    pub begun: Vec<Action>,
    /// Every status that was reported.
    pub statuses: Vec<TaskStatus>,
    pub report: Report,
    pub wake_at: Option<Timestamp>,
}

impl Node {
    pub fn new(containers: Vec<ContainerShape>) -> Node {
        let shape = TaskShape::new("arn:task", "arn:cluster", true, containers).unwrap();
        let facts = TaskFacts::new(&shape);
        let mut node = Node {
            shape,
            facts,
            now: T0,
            begun: vec![],
            statuses: vec![],
            report: Report::default(),
            wake_at: None,
        };
        node.step();
        node
    }

    /// Plans and begins; answers what was begun.
    pub fn step(&mut self) -> Vec<Action> {
        let (plan, report) = plan(&self.shape, &self.facts, self.now);
        let before = self.facts.clone();
        self.facts.apply(&plan, self.now);
        self.check_safety(&before, &plan);
        let (again, _) = crate::plan(&self.shape, &self.facts, self.now);
        assert_eq!(
            (again.stop, again.actions, again.change),
            (None, vec![], None),
            "applied again it is a no-op"
        );
        if let Some(change) = &plan.change {
            assert_eq!(change.sequence, before.reported.map_or(1, |last| last.sequence + 1));
            self.statuses.push(change.status);
            assert!(self.statuses.is_sorted(), "{:?}", self.statuses);
        }
        self.begun.extend(plan.actions.iter().cloned());
        (self.report, self.wake_at) = (report, plan.wake_at);
        plan.actions
    }

    fn check_safety(&self, before: &TaskFacts, plan: &Plan) {
        for action in &plan.actions {
            match *action {
                Action::Start { container, .. } => {
                    assert!(before.stop.is_none() && plan.stop.is_none(), "nothing starts while stopping");
                    let state = &before.containers[container];
                    assert!(matches!(state.image, ImageFacts::Ready { .. }) && state.log == LogFacts::Ready);
                    assert!(
                        before.network == NetworkFacts::Attached && before.sandbox == SandboxFacts::Ready
                    );
                    for &(on, condition) in self.shape.dependencies(container) {
                        let on = &before.containers[on];
                        let met = match condition {
                            DependencyCondition::Start => on.first_started_at.is_some(),
                            DependencyCondition::Complete => on.exit().is_some(),
                            DependencyCondition::Success => {
                                on.exit().is_some_and(|exit| exit.code == Some(0))
                            }
                            DependencyCondition::Healthy => on.health.status == HealthStatus::Healthy,
                        };
                        assert!(met || state.run > 0 || state.exit().is_some(), "{condition:?} is not met");
                    }
                }
                Action::Terminate { container } | Action::Kill { container } => {
                    for &dependent in self.shape.dependents(container) {
                        assert!(before.containers[dependent].has_no_process(), "shutdown order");
                    }
                }
                Action::RemoveSandbox | Action::DetachNetwork | Action::CleanUp => {
                    assert!(before.containers.iter().all(ContainerFacts::has_no_process));
                }
                _ => {}
            }
        }
    }

    pub fn happens(&mut self, event: Event) -> Vec<Action> {
        observe(&self.shape, &mut self.facts, event, self.now);
        self.step()
    }

    pub fn later(&mut self, seconds: u64) -> Vec<Action> {
        self.now = self.now + Duration::from_secs(seconds);
        self.step()
    }

    /// Everything begun goes well, until nothing is begun any more. Containers started keep running.
    pub fn go_well(&mut self) {
        while let Some(action) = self.begun.pop() {
            if let Some(event) = success(&action) {
                self.happens(event);
            }
        }
    }

    /// Everything goes well up to where containers can be started.
    pub fn be_ready_to_start(&mut self) {
        while let Some(index) = self.begun.iter().position(|action| !matches!(action, Action::Start { .. })) {
            let action = self.begun.remove(index);
            self.happens(success(&action).unwrap());
        }
    }

    pub fn exits(&mut self, container: usize, code: i32) -> Vec<Action> {
        let run = self.facts.containers[container].run;
        self.happens(Event::Exited { container, run, code, out_of_memory: false })
    }

    pub fn last(&self) -> &TaskStateChange {
        self.facts.reported.as_ref().unwrap()
    }
}

pub fn success(action: &Action) -> Option<Event> {
    Some(match *action {
        Action::AttachNetwork => Event::NetworkAttached { bindings: vec![] },
        Action::PrepareSandbox => Event::SandboxReady,
        Action::PullImage { container } => Event::ImageReady { container, digest: Some("sha256:1".into()) },
        Action::OpenLog { container } => Event::LogReady { container },
        Action::Start { container, run } => Event::Started { container, run },
        Action::CheckHealth { container, run, .. } => Event::HealthChecked { container, run, passed: true },
        Action::Terminate { .. } | Action::Kill { .. } => return None,
        Action::RemoveSandbox => Event::SandboxRemoved,
        Action::DetachNetwork => Event::NetworkDetached,
        Action::CleanUp => Event::CleanedUp,
    })
}
