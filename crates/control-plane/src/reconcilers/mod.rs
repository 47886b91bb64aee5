//! What keeps services in line with what was asked for: snapshot → pure plan → verified commit, again and again.
//!
//! One server of all does this, the one that holds the office `reconcilers`; every commit carries the proof, so that a deposed
//! leader writes nothing. What is to be done is derived from the tables alone: changes of tasks, services, instances, alarms
//! and targets' health put a service into the queue, and so do the times that its plan names. After a restart everything is looked
//! at once, and goes on where it was.

mod queue;
pub mod services;

use std::{sync::Arc, time::Duration};

use state_store::{Fence, Leadership, Notice, Record, StateError, Touched, View};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    gateway::ApiError,
    services::{
        Services,
        cloudwatch::records::Alarm,
        ecs::{
            records::Task,
            services::{
                alarms,
                records::{Service, ServiceStatus},
            },
        },
    },
};
use queue::{Key, Queue};

/// The office of whoever reconciles.
const OFFICE: &str = "reconcilers";
/// How long the office stays with a leader that died.
const TENURE_SECONDS: i64 = 10;
/// Services that are looked at at the same time: their commits share one write to the disk.
const WORKERS: usize = 16;

/// Reconciles whenever this server is the leader, until the process ends. `server` names it, uniquely and the same after a
/// restart.
///
/// # Errors
/// When the tables stop following the store.
pub async fn run(services: Arc<Services>, server: String) -> Result<(), StateError> {
    loop {
        let store = services.state.store().clone();
        let mut leadership = Leadership::campaign(store, OFFICE, &server, TENURE_SECONDS).await?;
        let fence = leadership.fence().clone();
        tokio::select! {
            outcome = lead(&services, &fence) => match outcome {
                Ok(()) => {}
                Err(error) => return Err(error),
            },
            () = leadership.lost() => {}
        }
        tracing::warn!("this server no longer leads; it stands for election again");
    }
}

/// Works until a commit is refused because another leads.
async fn lead(services: &Arc<Services>, fence: &Fence) -> Result<(), StateError> {
    let mut changes = services.state.changes();
    let mut health = services.target_health.subscribe();
    let mut queue = Queue::default();
    let mut workers: JoinSet<(Key, Result<Option<Duration>, ApiError>)> = JoinSet::new();
    everything(&services.state.view(), &mut queue);
    loop {
        while workers.len() < WORKERS
            && let Some((key, capacity)) = queue.take(Instant::now())
        {
            let (services, fence) = (Arc::clone(services), fence.clone());
            workers.spawn(async move {
                let outcome =
                    services::look(&services, Some(&fence), &key.scope, &key.service, capacity).await;
                (key, outcome)
            });
        }
        let next = queue.next_due().filter(|_| workers.len() < WORKERS);
        tokio::select! {
            notice = changes.next() => match notice? {
                Notice::Resync => everything(&services.state.view(), &mut queue),
                Notice::Changes(touched) => {
                    let view = services.state.view();
                    touched.iter().for_each(|one| enqueue(&view, one, &mut queue));
                }
            },
            Ok(()) = health.changed() => balanced(&services.state.view(), &mut queue),
            Some(done) = workers.join_next() => match done {
                Ok((key, Ok(wake_in))) => queue.done(key, wake_in, Instant::now()),
                Ok((_, Err(error))) if is_deposed(&error) => return Ok(()),
                Ok((key, Err(error))) => {
                    tracing::error!(service = key.service, %error, cause = ?error.cause, "a service could not be reconciled; it is tried again");
                    queue.failed(key, Instant::now());
                }
                // The service stays in the queue's books as busy: start over rather than forget it.
                Err(panic) => {
                    tracing::error!(%panic, "looking at a service failed; starting over");
                    return Ok(());
                }
            },
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
}

fn is_deposed(error: &ApiError) -> bool {
    let cause = error.cause.as_ref().and_then(|cause| cause.downcast_ref::<StateError>());
    matches!(cause, Some(StateError::NotLeader))
}

fn everything(view: &View, queue: &mut Queue) {
    let now = Instant::now();
    for found in view.scan_all::<Service>().filter(|found| found.value.status != ServiceStatus::Inactive) {
        queue.changed(Key { scope: found.scope, service: found.id }, now);
    }
}

/// Those behind load balancers.
fn balanced(view: &View, queue: &mut Queue) {
    let now = Instant::now();
    let services = view.scan_all::<Service>().filter(|found| found.value.status != ServiceStatus::Inactive);
    for found in services.filter(|found| services::is_balanced(view, &found.scope, &found.value)) {
        queue.changed(Key { scope: found.scope, service: found.id }, now);
    }
}

/// The services that a change concerns.
fn enqueue(view: &View, touched: &Touched, queue: &mut Queue) {
    let now = Instant::now();
    let scope = &touched.scope;
    match (touched.service, touched.kind) {
        ("ecs", "service") => {
            queue.changed(Key { scope: scope.clone(), service: touched.id.clone() }, now);
        }
        ("ecs", "task") => {
            let Some(task) = view.get::<Task>(scope, &touched.id) else { return };
            if let Some(name) = task.service() {
                let service = format!("{}/{name}", task.cluster);
                queue.changed(Key { scope: scope.clone(), service }, now);
            }
            if task.container_instance.is_some() && task.state.stopped_at.is_some() {
                in_cluster(view, touched, &task.cluster, queue, |service| service.state.placement.is_some());
            }
        }
        ("ecs", "container-instance" | "attribute") => {
            let cluster = touched.id.split('/').next().unwrap_or_default();
            in_cluster(view, touched, cluster, queue, |_| true);
        }
        ("elbv2", "target") | ("elb", "load-balancer") => balanced(view, queue),
        (Alarm::SERVICE, Alarm::KIND) => {
            for (id, service) in view.scan::<Service>(scope) {
                let configuration = service.settings.0.deployment_configuration.as_ref();
                if service.status != ServiceStatus::Inactive && alarms::watched(configuration, &touched.id) {
                    queue.changed(Key { scope: scope.clone(), service: id.to_owned() }, now);
                }
            }
        }
        _ => {}
    }
}

/// The cluster's capacity has changed.
fn in_cluster(
    view: &View,
    touched: &Touched,
    cluster: &str,
    queue: &mut Queue,
    concerns: impl Fn(&Service) -> bool,
) {
    let now = Instant::now();
    let services = view.scan_prefix::<Service>(&touched.scope, &format!("{cluster}/"));
    for (id, _) in
        services.filter(|(_, service)| service.status != ServiceStatus::Inactive && concerns(service))
    {
        queue.capacity_changed(Key { scope: touched.scope.clone(), service: id.to_owned() }, now);
    }
}
