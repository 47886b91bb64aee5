//! Tasks that start, fail, become healthy and stop as their revision says, on a clock that jumps from event to event.

use std::{collections::BTreeMap, time::Duration};

use vocabulary::{Ids, SeededIds, Timestamp};

use crate::{
    Bounds, Check, Controller, Ended, EndedBy, Limits, Noted, Phase, Plan, Report, Scheduling, Service,
    ServiceStatus, State, Strategy, Task, plan, task::Health,
};

use super::{LIMITS, START, seconds};

/// How the tasks of a revision behave.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Behaviour {
    /// Milliseconds to RUNNING, and to STOPPED after a stop: at least, and how much more at random.
    pub start: (u64, u64),
    pub stop: (u64, u64),
    /// Of 100 tasks, how many never reach RUNNING.
    pub fail_to_start: u32,
    /// Of 100 tasks, how many end by themselves soon after RUNNING.
    pub end_early: u32,
    pub check: Checked,
    /// Of 100 tasks, how many fail their check.
    pub unhealthy: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    Nothing,
    /// A verdict so many milliseconds after RUNNING.
    Container(u64),
    Target(u64),
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        Behaviour {
            start: (1_000, 0),
            stop: (2_000, 0),
            fail_to_start: 0,
            end_early: 0,
            check: Checked::Container(5_000),
            unhealthy: 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Run,
    FailToStart,
    EndEarly,
    Good,
    Bad,
    Stopped,
}

pub(crate) struct Fleet {
    pub service: Service,
    pub state: State,
    pub tasks: Vec<Task>,
    pub now: Timestamp,
    pub events: Vec<(Timestamp, String)>,
    /// Every plan that did something.
    pub history: Vec<(Timestamp, Plan)>,
    pub behaviours: BTreeMap<String, Behaviour>,
    pub limits: Limits,
    pub zones: Vec<String>,
    pub last_report: Report,
    /// How many more tasks find a place.
    pub places: Option<usize>,
    wake_at: Option<Timestamp>,
    due: BTreeMap<(Timestamp, String), Next>,
    ids: SeededIds,
    random: SeededIds,
    revisions: BTreeMap<String, String>,
}

impl Fleet {
    pub fn new(service: Service, seed: u64) -> Fleet {
        Fleet {
            service,
            state: State::default(),
            tasks: Vec::new(),
            now: START,
            events: Vec::new(),
            history: Vec::new(),
            behaviours: BTreeMap::new(),
            limits: LIMITS,
            zones: Vec::new(),
            last_report: Report::default(),
            places: None,
            wake_at: None,
            due: BTreeMap::new(),
            ids: SeededIds::new(seed),
            random: SeededIds::new(seed ^ 0x5eed),
            revisions: BTreeMap::new(),
        }
    }

    /// A fleet that runs revision `r1` steadily.
    pub fn steady(service: Service, seed: u64) -> Fleet {
        let mut fleet = Fleet::new(service, seed);
        fleet.deploy("r1", Behaviour::default());
        fleet.settle();
        assert!(fleet.is_steady(), "{:?}", fleet.last_report);
        fleet
    }

    pub fn deploy(&mut self, revision: &str, behaviour: Behaviour) -> String {
        let strategy = self.service.configuration.strategy;
        self.behaviours.insert(revision.to_owned(), behaviour);
        let (id, _) = self.state.deploy(revision, strategy, self.now, &mut self.ids);
        id
    }

    /// As users see it: one completed deployment at full strength.
    pub fn is_steady(&self) -> bool {
        self.state.steady_told_at.is_some()
    }

    /// Plans and carries out until the plan is empty, at one moment.
    pub fn plan(&mut self) {
        for _ in 0..2_000 {
            let (plan, report) =
                plan(&self.service, &self.state, &self.tasks, self.limits, self.now, &mut self.ids);
            self.check(&plan);
            let before = self.state.clone();
            self.wake_at = plan.wake_at;
            self.events.extend(report.events.iter().map(|event| (self.now, event.clone())));
            self.last_report = report;
            let nothing = plan.start.is_empty() && plan.stop.is_empty() && plan.notes.is_empty();
            let idle = nothing && plan.state == before;
            self.carry_out(&plan);
            if idle {
                assert!(
                    self.last_report.events.is_empty(),
                    "told without a change: {:?}",
                    self.last_report.events
                );
                return;
            }
            self.history.push((self.now, plan));
        }
        panic!("planning does not come to rest: {:?}", self.history.last());
    }

    fn carry_out(&mut self, plan: &Plan) {
        self.state = plan.state.clone();
        for deployment in self.state.deployments.iter().chain(&plan.inactive) {
            self.revisions.insert(deployment.id.clone(), deployment.revision.clone());
        }
        for (id, noted) in &plan.notes {
            let task = self.tasks.iter_mut().find(|task| task.id == *id).unwrap();
            assert!(task.noted < *noted, "noted twice");
            task.noted = *noted;
        }
        for stop in &plan.stop {
            self.end(&stop.task, EndedBy::Scheduler);
        }
        let mut unplaced = 0;
        for start in &plan.start {
            for _ in 0..start.count {
                match &mut self.places {
                    Some(0) => unplaced += 1,
                    places => {
                        if let Some(places) = places {
                            *places -= 1;
                        }
                        self.start(&start.deployment, start.instance.clone(), start.zone.clone());
                    }
                }
            }
        }
        if let Some(start) = plan.start.first() {
            if unplaced > 0 {
                let event = crate::events::unable_to_place(
                    &self.service.name,
                    "no container instance met all of its requirements",
                    "",
                );
                let stopping = self.tasks.iter().any(|task| task.phase == Phase::Stopping);
                let told = self.state.placement_failed(&start.deployment, event, stopping, self.now);
                self.events.extend(told.map(|event| (self.now, event)));
            } else {
                self.state.placed();
            }
        }
        self.tasks.retain(|task| task.phase != Phase::Stopped || task.noted != Noted::Accounted);
    }

    /// Begins to stop a task.
    pub fn end(&mut self, id: &str, by: EndedBy) {
        let stop = self.behaviour_of(id).stop;
        let after = self.between(stop);
        let now = self.now;
        let task = self.tasks.iter_mut().find(|task| task.id == id).unwrap();
        assert!(task.is_living(), "stopped twice");
        task.phase = Phase::Stopping;
        task.ended = Some(Ended { by, at: now });
        self.due.retain(|(_, other), _| other != id);
        self.due.insert((now + after, id.to_owned()), Next::Stopped);
    }

    /// It ends by itself, now.
    pub fn kill(&mut self, id: &str) {
        self.due.retain(|(_, other), _| other != id);
        self.stopped(id, EndedBy::Itself);
    }

    fn stopped(&mut self, id: &str, by: EndedBy) {
        let now = self.now;
        let task = self.tasks.iter_mut().find(|task| task.id == id).unwrap();
        task.phase = Phase::Stopped;
        task.ended = Some(Ended { by, at: now });
    }

    fn start(&mut self, deployment: &str, instance: Option<String>, zone: Option<String>) {
        let id = self.ids.hex(32);
        let behaviour = self.behaviours[&self.revision_of(deployment)].clone();
        let zone = zone.or_else(|| {
            let fewest =
                |zone: &&String| self.tasks.iter().filter(|it| it.zone.as_ref() == Some(*zone)).count();
            self.zones.iter().min_by_key(fewest).cloned()
        });
        let container = matches!(behaviour.check, Checked::Container(_));
        let target = matches!(behaviour.check, Checked::Target(_));
        let waiting = |checked: bool| if checked { Check::Waiting } else { Check::None };
        self.tasks.push(Task {
            id: id.clone(),
            deployment: deployment.to_owned(),
            phase: Phase::Pending,
            created_at: self.now,
            running_since: None,
            container_health: waiting(container),
            target_health: waiting(target),
            discovery_health: Check::None,
            ended: None,
            noted: Noted::Nothing,
            zone,
            instance,
            instance_draining: false,
            protected_until: None,
        });
        let next = if self.chance(behaviour.fail_to_start) { Next::FailToStart } else { Next::Run };
        let after = self.between(behaviour.start);
        self.due.insert((self.now + after, id), next);
    }

    fn revision_of(&self, deployment: &str) -> String {
        self.revisions.get(deployment).cloned().unwrap_or_else(|| "r1".to_owned())
    }

    fn behaviour_of(&self, task: &str) -> Behaviour {
        let task = self.tasks.iter().find(|known| known.id == task).unwrap();
        self.behaviours[&self.revision_of(&task.deployment)].clone()
    }

    fn happens(&mut self, id: &str, next: Next) {
        let behaviour = self.behaviour_of(id);
        let now = self.now;
        let (early, bad) = (self.chance(behaviour.end_early), self.chance(behaviour.unhealthy));
        let by =
            self.tasks.iter().find(|task| task.id == id).and_then(|task| task.ended.as_ref()).map(|it| it.by);
        match next {
            Next::FailToStart | Next::EndEarly => self.end(id, EndedBy::Itself),
            Next::Stopped => self.stopped(id, by.unwrap()),
            Next::Run => {
                let task = self.tasks.iter_mut().find(|task| task.id == id).unwrap();
                task.phase = Phase::Running;
                task.running_since = Some(now);
                let verdict = if bad { Next::Bad } else { Next::Good };
                match behaviour.check {
                    _ if early => drop(
                        self.due.insert((now + Duration::from_millis(500), id.to_owned()), Next::EndEarly),
                    ),
                    Checked::Nothing => {}
                    Checked::Container(after) | Checked::Target(after) => {
                        self.due.insert((now + Duration::from_millis(after), id.to_owned()), verdict);
                    }
                }
            }
            Next::Good | Next::Bad => {
                let verdict = match next {
                    Next::Good => Check::Good,
                    _ => Check::Bad {
                        stop_reason: crate::events::FAILED_CONTAINER_CHECKS.to_owned(),
                        event: crate::events::failed_container_checks(&self.service.name, id),
                    },
                };
                let task = self.tasks.iter_mut().find(|task| task.id == id).unwrap();
                match behaviour.check {
                    Checked::Target(_) => task.target_health = verdict,
                    _ => task.container_health = verdict,
                }
            }
        }
    }

    /// A task in good health goes bad.
    pub fn sicken(&mut self, id: &str) {
        self.happens(id, Next::Bad);
    }

    /// Plans, then goes to the next event or wake-up. False when nothing is left to happen within six hours.
    pub fn step(&mut self) -> bool {
        self.plan();
        let due = self.due.keys().next().map(|(at, _)| *at);
        let next = [due, self.wake_at].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next < self.now + seconds(6 * 3600)) else {
            return false;
        };
        self.now = self.now.max(next);
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= self.now
        {
            let ((_, id), next) = entry.remove_entry();
            self.happens(&id, next);
        }
        true
    }

    /// Runs until nothing happens any more.
    pub fn settle(&mut self) {
        for _ in 0..20_000 {
            if !self.step() {
                return;
            }
        }
        panic!("does not settle: {:#?}\n{:#?}", self.state, self.last_report);
    }

    /// Runs until `done`.
    pub fn until(&mut self, what: &str, done: impl Fn(&Fleet) -> bool) {
        for _ in 0..20_000 {
            self.plan();
            if done(self) {
                return;
            }
            assert!(
                self.step(),
                "nothing happens any more before {what}: {:#?}\n{:#?}",
                self.state,
                self.last_report
            );
        }
        panic!("never {what}");
    }

    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.plan();
            let due = self.due.keys().next().map(|(at, _)| *at);
            match [due, self.wake_at].into_iter().flatten().min().filter(|next| *next <= end) {
                Some(_) => drop(self.step()),
                None => break,
            }
        }
        self.now = end;
        self.plan();
    }

    pub fn told(&self, part: &str) -> usize {
        self.events.iter().filter(|(_, event)| event.contains(part)).count()
    }

    fn chance(&mut self, of_100: u32) -> bool {
        u32::from(self.random_byte()) * 100 / 256 < of_100
    }

    fn random_byte(&mut self) -> u8 {
        let mut byte = [0; 8];
        self.random.fill(&mut byte);
        byte[0]
    }

    fn between(&mut self, (least, more): (u64, u64)) -> Duration {
        Duration::from_millis(least + more * u64::from(self.random_byte()) / 255)
    }

    /// The checker.
    fn check(&self, plan: &Plan) {
        let changes = plan.notes.len()
            + plan.stop.len()
            + plan.start.iter().map(|start| start.count as usize).sum::<usize>();
        assert!(changes <= self.limits.changes, "{changes} changes");
        let primaries =
            plan.state.deployments.iter().filter(|it| it.status == crate::DeploymentStatus::Primary);
        assert!(plan.state.deployments.is_empty() || primaries.count() == 1);
        if self.service.status == ServiceStatus::Draining || self.service.controller != Controller::Ecs {
            return;
        }
        let desired = match &self.service.scheduling {
            Scheduling::Replica => self.service.desired_count,
            Scheduling::Daemon { eligible } => eligible.len() as u32,
        };
        let bounds = Bounds::new(desired, &self.service.configuration);
        let staged = plan.state.rollout.as_ref().is_some_and(|rollout| rollout.strategy != Strategy::Rolling);
        let stopped: Vec<&Task> = plan
            .stop
            .iter()
            .map(|stop| self.tasks.iter().find(|task| task.id == stop.task).unwrap())
            .collect();
        let grace = self.service.health_check_grace_period;
        let healthy =
            |task: &&Task| task.phase == Phase::Running && task.health(grace, self.now) == Health::Good;
        let bad = |task: &&Task| {
            task.phase == Phase::Running && matches!(task.health(grace, self.now), Health::Bad { .. })
        };
        let living = self.tasks.iter().filter(|task| task.is_living()).count();
        let maximum = if staged { bounds.maximum.max(desired) } else { bounds.maximum };
        for start in &plan.start {
            let counts = |deployment: &str| !staged || start.deployment == deployment;
            let tasks = self.tasks.iter().filter(|task| task.is_living() && counts(&task.deployment)).count();
            let stops = stopped.iter().filter(|task| counts(&task.deployment)).count();
            let starts =
                plan.start.iter().filter(|other| counts(&other.deployment)).map(|it| it.count as usize);
            let after = tasks - stops + starts.sum::<usize>();
            assert!(after <= maximum as usize, "{after} tasks above the maximum {maximum}: {plan:#?}");
        }
        let daemon = self.service.scheduling != Scheduling::Replica;
        for task in &stopped {
            assert!(task.is_living(), "stops what is stopping");
            let protected = task.protected_until.is_some_and(|until| self.now < until);
            assert!(!protected || bad(task) || daemon, "stops a protected task");
        }
        if daemon {
            return;
        }
        let healthy_before = self.tasks.iter().filter(healthy).count();
        let healthy_stopped = stopped.iter().copied().filter(healthy).count();
        assert!(
            healthy_stopped == 0 || healthy_before - healthy_stopped >= bounds.minimum as usize,
            "{healthy_stopped} of {healthy_before} tasks in good health stopped, minimum {}",
            bounds.minimum
        );
        let running_before = self.tasks.iter().filter(|task| task.phase == Phase::Running).count();
        let running_stopped = stopped.iter().filter(|task| task.phase == Phase::Running).count();
        if running_stopped > 0 && running_before - running_stopped < bounds.minimum as usize {
            assert!(stopped.iter().filter(|task| task.phase == Phase::Running).all(bad));
            assert_eq!(running_stopped, 1, "unhealthy tasks go one by one");
            let no_place = self.state.placement.is_some();
            assert!(staged || no_place || living >= maximum as usize, "there was room to replace it first");
        }
    }
}
