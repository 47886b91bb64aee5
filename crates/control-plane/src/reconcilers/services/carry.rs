//! From the plan to the tables: stops, notes, starts, events, and what became of the service.

use std::{collections::BTreeMap, sync::Arc};

use deployment::{Plan, Start, events};
use state_store::{Fence, Tx};
use vocabulary::{Scope, Timestamp};

use super::{CHANGES, service_in, snapshot, starting::Starting, tasks};
use crate::{
    gateway::ApiError,
    services::{
        Services,
        ecs::{
            records::{Registrar, Task, task_key},
            services::{
                deploy,
                events::tell,
                records::{Revision, Service, ServiceStatus, TaskSet, revision_key},
                registrars, weights,
            },
            tasks::{launch::Launched, stop::request_stop},
        },
    },
};

/// Tasks of a service that a plan which stops some of them is guarded by: beyond that, by those that it acts on. A transaction
/// compares 128 keys.
const MOST_GUARDED: usize = 60;

/// Why an attempt was given up.
enum Failed {
    /// Tasks of this deployment cannot be started at all.
    Start {
        deployment: String,
        message: String,
        /// More than one was to be started: fewer may do.
        several: bool,
    },
    Error(ApiError),
}

impl From<state_store::StateError> for Failed {
    fn from(error: state_store::StateError) -> Failed {
        Failed::Error(error.into())
    }
}

/// How starts are to be made in an attempt.
#[derive(Debug, Clone, Copy)]
enum Starts<'a> {
    All,
    /// One task only: of several, some had no room.
    One,
    /// None of this deployment: why they fail is told instead.
    Without {
        deployment: &'a str,
        message: &'a str,
    },
}

/// Plans and carries the plan out. Answers when to plan again.
pub async fn plan(
    services: &Arc<Services>,
    fence: Option<&Fence>,
    scope: &Scope,
    key: &str,
    capacity: bool,
    now: Timestamp,
) -> Result<Option<Timestamp>, ApiError> {
    let mut without: Option<(String, String)> = None;
    let mut one = false;
    // All, then one, then none of it.
    for _ in 0..3 {
        let starts = match &without {
            Some((deployment, message)) => Starts::Without { deployment, message },
            None if one => Starts::One,
            None => Starts::All,
        };
        let attempt = services
            .state
            .transact(|tx| {
                let Some(found) = service_in(tx, fence, scope, key) else { return Ok(None) };
                Attempt::new(services, scope, &found, capacity, now).run(tx, starts)
            })
            .await;
        match attempt {
            Ok(wake_at) => return Ok(wake_at),
            Err(Failed::Start { several: true, .. }) if !one => one = true,
            Err(Failed::Start { deployment, message, .. }) => without = Some((deployment, message)),
            Err(Failed::Error(error)) => return Err(error),
        }
    }
    Err(ApiError::internal("tasks are started although none were to be"))
}

struct Attempt<'a> {
    services: &'a Arc<Services>,
    scope: &'a Scope,
    /// As it was read.
    found: &'a Service,
    /// As it becomes.
    service: Service,
    now: Timestamp,
    events: Vec<String>,
}

impl<'a> Attempt<'a> {
    fn new(
        services: &'a Arc<Services>,
        scope: &'a Scope,
        found: &'a Service,
        capacity: bool,
        now: Timestamp,
    ) -> Attempt<'a> {
        let mut service = found.clone();
        if capacity {
            service.state.retry_placement(now);
        }
        Attempt { services, scope, found, service, now, events: Vec::new() }
    }

    fn run(mut self, tx: &mut Tx, starts: Starts<'_>) -> Result<Option<Timestamp>, Failed> {
        let key = self.service.key();
        let records = tasks(tx.view(), self.scope, &key);
        let eligible = match self.service.is_daemon() {
            true => Some(self.starting(&records).eligible(tx).map_err(Failed::Error)?),
            false => None,
        };
        let asked = snapshot::service(tx.view(), self.scope, &self.service, eligible);
        let seen = snapshot::Eyes::new(tx.view(), self.services, self.scope, &self.service, self.now)
            .tasks(&records);
        let mut ids = self.services.ids();
        let limits = match starts {
            Starts::One => deployment::Limits { changes: 1 },
            _ => CHANGES,
        };
        let (mut plan, report) =
            deployment::plan(&asked, &self.service.state, &seen, limits, self.now, &mut ids);
        if !plan.stop.is_empty() && records.len() <= MOST_GUARDED {
            // That so many stay in good health was decided by all of them.
            for record in &records {
                tx.get::<Task>(self.scope, &record.key());
            }
        }
        self.service.state = std::mem::take(&mut plan.state);
        self.stop_and_note(tx, &plan);
        self.events.extend(report.events);
        let stopping =
            seen.iter().any(|task| task.phase == deployment::Phase::Stopping) || !plan.stop.is_empty();
        self.start(tx, &plan.start, starts, stopping, &records)?;
        self.finish(tx, &plan);
        tell(tx, self.scope, &key, std::mem::take(&mut self.events), self.now, &mut ids);
        let changed = self.service.state != self.found.state || self.service.status != self.found.status;
        if changed {
            tx.put(self.scope, &key, self.service.clone());
        }
        // Of a trouble that is over, since nothing is lacking any more, the time to try again has passed and means nothing.
        let retry = self.service.state.placement.as_ref().map(|placement| placement.retry_at);
        let retry = retry.filter(|at| *at > self.now);
        Ok(match (plan.wake_at, retry) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        })
    }

    fn stop_and_note(&mut self, tx: &mut Tx, plan: &Plan) {
        let cluster = self.service.cluster.clone();
        let fetch = |tx: &mut Tx, id: &String| tx.get::<Task>(self.scope, &task_key(&cluster, id));
        for (id, noted) in &plan.notes {
            if let Some(found) = fetch(tx, id) {
                tx.put(self.scope, &found.key(), Task { noted: *noted, ..(*found).clone() });
            }
        }
        let mut deregistered: BTreeMap<Registrar, usize> = BTreeMap::new();
        for stop in &plan.stop {
            let Some(found) = fetch(tx, &stop.task) else { continue };
            let mut task = (*found).clone();
            for place in &task.targets {
                *deregistered.entry(place.at.clone()).or_default() += 1;
            }
            request_stop(tx, self.scope, &mut task, "ServiceSchedulerInitiated", &stop.reason, self.now);
            tx.put(self.scope, &task.key(), task);
        }
        let name = &self.service.name;
        let told =
            deregistered.into_iter().map(|(at, count)| registrars::told_deregistered(name, count, &at));
        self.events.extend(told);
    }

    fn start(
        &mut self,
        tx: &mut Tx,
        wanted: &[Start],
        starts: Starts<'_>,
        makes_room: bool,
        records: &[Arc<Task>],
    ) -> Result<(), Failed> {
        let mut failed = false;
        for start in wanted {
            if let Starts::Without { deployment, message } = starts
                && deployment == start.deployment
            {
                let event = format!(
                    "(service {}) failed to launch a task with (error {message}).",
                    self.service.name
                );
                failed = true;
                self.not_placed(&start.deployment, event, makes_room);
                continue;
            }
            let starting = self.starting(records);
            let launched = starting.start(tx, start, self.now, &mut self.services.ids());
            let launched = launched.map_err(|error| match error.status {
                // Our own fault, not the request's: it is tried again as it is.
                500.. => Failed::Error(error),
                _ => Failed::Start {
                    deployment: start.deployment.clone(),
                    message: error.message,
                    several: wanted.len() > 1 || start.count > 1,
                },
            })?;
            self.tell_started(start, &launched);
            if launched.tasks.len() < start.count as usize {
                failed = true;
                let why = launched.unplaced.unwrap_or_else(|| {
                    "because no container instance met all of its requirements.".to_owned()
                });
                let event = format!("(service {}) was unable to place a task {why}", self.service.name);
                self.not_placed(&start.deployment, event, makes_room);
            }
        }
        if !wanted.is_empty() && !failed {
            self.service.state.placed();
        }
        Ok(())
    }

    fn starting<'s>(&'s self, records: &'s [Arc<Task>]) -> Starting<'s> {
        Starting { services: self.services, scope: self.scope, service: &self.service, records }
    }

    fn not_placed(&mut self, deployment: &str, event: String, makes_room: bool) {
        let told = self.service.state.placement_failed(deployment, event, makes_room, self.now);
        self.events.extend(told);
    }

    fn tell_started(&mut self, start: &Start, launched: &Launched) {
        let ids: Vec<String> = launched.tasks.iter().map(|task| task.id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        let name = &self.service.name;
        self.events.push(if self.service.has_task_sets() {
            events::task_set_started(name, &start.deployment, &ids)
        } else {
            events::started(name, &ids)
        });
    }

    /// What ended with the plan, and the weights of the traffic.
    fn finish(&mut self, tx: &mut Tx, plan: &Plan) {
        let shown = |service: &Service| -> Vec<(String, f64, f64)> {
            let deployments = service.state.deployments.iter();
            deployments.map(|one| (one.id.clone(), one.production_weight, one.test_weight)).collect()
        };
        let begins =
            |service: &Service| service.state.rollout.as_ref().and_then(|rollout| rollout.started_at);
        if shown(&self.service) != shown(self.found) || begins(&self.service) != begins(self.found) {
            let failed = weights::shift(tx, self.scope, &self.service);
            self.events.extend(failed);
        }
        if let (Some(rollout), Some(id)) = (plan.finished.last(), &self.service.deployment) {
            deploy::finish(tx, self.scope, &self.service, id, rollout.clone());
        }
        for name in &plan.drained_task_sets {
            let id = name.strip_prefix("ecs-svc/").unwrap_or(name);
            let key = revision_key(&self.service.cluster, &self.service.name, id);
            tx.delete::<TaskSet>(self.scope, &key);
            tx.delete::<Revision>(self.scope, &key);
            self.service.state.task_sets.retain(|set| set.id != *name);
        }
        if plan.service_inactive {
            self.service.status = ServiceStatus::Inactive;
            self.service.deleted_at = Some(self.now);
        }
    }
}
