//! One planning under way: the snapshot, the state as it becomes, what was decided so far, and how much still fits.

use std::{collections::BTreeSet, time::Duration};

use vocabulary::{Ids, Timestamp};

use crate::{
    Bounds, Deployment, DeploymentStatus, Limits, Noted, Plan, Report, Scheduling, Service, Start, State,
    Stop, Task, Waiting, task::Health,
};

pub(crate) struct Round<'a> {
    pub service: &'a Service,
    /// By id, so that a plan does not depend on the snapshot's order.
    pub tasks: Vec<&'a Task>,
    pub now: Timestamp,
    pub ids: &'a mut dyn Ids,
    pub state: State,
    pub plan: Plan,
    pub report: Report,
    /// Tasks that this plan stops.
    pub stopped: BTreeSet<&'a str>,
    changes_left: usize,
}

impl<'a> Round<'a> {
    pub fn new(
        service: &'a Service,
        state: &State,
        tasks: &'a [Task],
        limits: Limits,
        now: Timestamp,
        ids: &'a mut dyn Ids,
    ) -> Round<'a> {
        let mut tasks: Vec<&Task> = tasks.iter().collect();
        tasks.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Round {
            service,
            tasks,
            now,
            ids,
            state: state.clone(),
            plan: Plan::default(),
            report: Report::default(),
            stopped: BTreeSet::new(),
            changes_left: limits.changes.max(1),
        }
    }

    pub fn finish(mut self) -> (Plan, Report) {
        self.tell_stops();
        self.plan.state = self.state;
        (self.plan, self.report)
    }

    pub fn desired(&self) -> u32 {
        match &self.service.scheduling {
            Scheduling::Replica => self.service.desired_count,
            Scheduling::Daemon { eligible } => u32::try_from(eligible.len()).unwrap_or(u32::MAX),
        }
    }

    pub fn bounds(&self) -> Bounds {
        Bounds::new(self.desired(), &self.service.configuration)
    }

    pub fn primary(&mut self) -> Option<&mut Deployment> {
        self.state.deployments.iter_mut().find(|deployment| deployment.status == DeploymentStatus::Primary)
    }

    pub fn primary_id(&self) -> String {
        self.state.primary().map(|deployment| deployment.id.clone()).unwrap_or_default()
    }

    pub fn deployment(&mut self, id: &str) -> Option<&mut Deployment> {
        self.state.deployments.iter_mut().find(|deployment| deployment.id == id)
    }

    pub fn health(&self, task: &'a Task) -> Health<'a> {
        task.health(self.service.health_check_grace_period, self.now)
    }

    /// Living and not stopped by this plan.
    pub fn remains(&self, task: &Task) -> bool {
        task.is_living() && !self.stopped.contains(task.id.as_str())
    }

    pub fn is_healthy(&self, task: &'a Task) -> bool {
        task.phase == crate::Phase::Running && self.health(task) == Health::Good
    }

    /// Looks again at `at` (or now).
    pub fn wake(&mut self, at: Timestamp) {
        let at = at.max(self.now);
        self.plan.wake_at = Some(self.plan.wake_at.map_or(at, |other| other.min(at)));
    }

    /// Looks again `after` a moment in the past or now; answers that time while it is to come.
    pub fn until(&mut self, from: Timestamp, after: Duration) -> Option<Timestamp> {
        let at = from + after;
        (self.now < at).then(|| {
            self.wake(at);
            at
        })
    }

    pub fn wait(&mut self, waiting: Waiting) {
        if !self.report.waiting.contains(&waiting) {
            self.report.waiting.push(waiting);
        }
    }

    /// Whether one more change fits; else the next plan is due at once.
    pub fn take_change(&mut self) -> bool {
        if self.changes_left == 0 {
            self.wait(Waiting::Limit);
            self.wake(self.now);
            return false;
        }
        self.changes_left -= 1;
        true
    }

    /// Whether it was possible.
    pub fn note(&mut self, task: &'a Task, noted: Noted) -> bool {
        let fits = self.take_change();
        if fits {
            self.plan.notes.push((task.id.clone(), noted));
        }
        fits
    }

    /// Whether it is to be stopped by this plan now.
    pub fn stop(&mut self, task: &'a Task, reason: String) -> bool {
        if self.stopped.contains(task.id.as_str()) {
            return true;
        }
        let fits = self.take_change();
        if fits {
            self.stopped.insert(&task.id);
            self.plan.stop.push(Stop { task: task.id.clone(), reason });
        }
        fits
    }

    /// Starts up to `count`; answers how many.
    pub fn start(
        &mut self,
        deployment: &str,
        count: u32,
        instance: Option<&str>,
        zone: Option<String>,
    ) -> u32 {
        let mut fitting = 0;
        while fitting < count && self.take_change() {
            fitting += 1;
        }
        if fitting > 0 {
            self.plan.start.push(Start {
                deployment: deployment.to_owned(),
                count: fitting,
                instance: instance.map(str::to_owned),
                zone,
            });
        }
        fitting
    }

    fn tell_stops(&mut self) {
        use crate::{Controller, events};
        let sets = self.service.controller != Controller::Ecs;
        let mut groups: std::collections::BTreeMap<&str, Vec<String>> = std::collections::BTreeMap::new();
        for task in self.tasks.iter().filter(|task| self.stopped.contains(task.id.as_str())) {
            let group = if sets { task.deployment.as_str() } else { "" };
            groups.entry(group).or_default().push(task.id.clone());
        }
        for (group, tasks) in groups {
            if self.service.load_balanced {
                self.report.events.push(events::draining(&self.service.name, tasks.len()));
            }
            self.report.events.push(match group {
                "" => events::stopped(&self.service.name, &tasks),
                set => events::task_set_stopped(&self.service.name, set, &tasks),
            });
        }
    }
}
