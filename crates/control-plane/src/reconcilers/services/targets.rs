//! The order around load balancers: a task whose containers run is registered and then RUNNING; a task that is to stop is drained
//! and then its node is told.

use std::{collections::BTreeMap, sync::Arc};

use state_store::{Fence, Tx};
use vocabulary::{Scope, Timestamp};

use super::{revision_of, service_in, tasks};
use crate::{
    gateway::ApiError,
    services::{
        Services,
        ecs::{
            records::{Registrar, Task},
            services::{
                balancers,
                events::tell,
                records::Service,
                registrars,
                traffic::{self, Unregistered},
            },
            tasks::stop::request_stop,
        },
    },
};

/// Tasks that are registered or released in one transaction: with five target groups each, 60 writes.
const BATCH: usize = 10;

/// Registers and releases what is due. Answers when a draining task is released at the latest.
pub async fn keep_up(
    services: &Arc<Services>,
    fence: Option<&Fence>,
    scope: &Scope,
    key: &str,
    now: Timestamp,
) -> Result<Option<Timestamp>, ApiError> {
    services
        .state
        .transact(|tx| {
            let Some(service) = service_in(tx, fence, scope, key) else { return Ok::<_, ApiError>(None) };
            let mut round =
                Round { services, scope, service: &service, now, wake_at: None, events: Vec::new() };
            let waiting: Vec<Arc<Task>> = tasks(tx.view(), scope, key)
                .into_iter()
                .filter(|task| task.state.awaits_traffic() || task.state.is_draining())
                .collect();
            let mut registered: BTreeMap<Registrar, usize> = BTreeMap::new();
            let mut left = BATCH;
            for seen in waiting {
                if left == 0 {
                    round.wake_at = Some(now);
                    break;
                }
                let Some(found) = tx.get::<Task>(scope, &seen.key()) else { continue };
                let mut task = (*found).clone();
                let changed = if task.state.awaits_traffic() {
                    round.register(tx, &mut task, &mut registered)
                } else {
                    task.state.is_draining() && round.release(tx, &mut task)
                };
                if changed {
                    left -= 1;
                    tx.put(scope, &task.key(), task);
                }
            }
            let name = &service.name;
            let told =
                registered.into_iter().map(|(at, count)| registrars::told_registered(name, count, &at));
            let told: Vec<String> = told.chain(std::mem::take(&mut round.events)).collect();
            let wake_at = round.wake_at;
            tell(tx, scope, key, told, now, &mut services.ids());
            Ok(wake_at)
        })
        .await
}

struct Round<'a> {
    services: &'a Services,
    scope: &'a Scope,
    service: &'a Service,
    now: Timestamp,
    wake_at: Option<Timestamp>,
    events: Vec<String>,
}

impl Round<'_> {
    /// Whether the task has changed. One that can never be registered is stopped as one that failed to start.
    fn register(
        &mut self,
        tx: &mut Tx,
        task: &mut Task,
        registered: &mut BTreeMap<Registrar, usize>,
    ) -> bool {
        let started_by = task.started_by.clone().unwrap_or_default();
        let revision = revision_of(tx.view(), self.scope, self.service, &started_by);
        let attachments = revision.map(|revision| balancers::attachments(&revision)).unwrap_or_default();
        match traffic::open(tx, self.scope, task, &attachments, self.now) {
            Ok(()) => {
                for attachment in attachments {
                    *registered.entry(attachment.at).or_default() += 1;
                }
                true
            }
            Err(Unregistered::Waiting) => false,
            Err(Unregistered::Refused { at, message }) => {
                let text = format!("failed to register targets in ({})", registrars::in_events(&at));
                self.events.push(format!("(service {}) {text} with (error {message}).", self.service.name));
                traffic::withdraw(tx, self.scope, task, self.now);
                task.targets.clear();
                let reason = format!("Task {text}: {message}");
                request_stop(tx, self.scope, task, "TaskFailedToStart", &reason, self.now);
                true
            }
        }
    }

    /// Whether nothing reaches the task any more, so that its node may stop it.
    fn release(&mut self, tx: &mut Tx, task: &mut Task) -> bool {
        match traffic::drained(tx.view(), &self.services.target_health, self.scope, task, self.now) {
            Err(until) => {
                self.wake_at = match (self.wake_at, until) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                false
            }
            Ok(()) => {
                task.state.close_traffic();
                task.targets.clear();
                task.payload_sequence += 1;
                task.version += 1;
                true
            }
        }
    }
}
