//! What has to be done from time to time: forgetting stopped tasks and used tokens, log retention, unreferenced blobs.

use std::{sync::Arc, time::Duration};

use agent_protocol::state::TaskStatus;
use state_store::Record;
use vocabulary::{Scope, Timestamp};

use crate::{
    gateway::ApiError,
    services::{
        Services, acm, ecr,
        ecs::{
            daemons, definitions, express, gateways,
            records::{ClientToken, Task},
            services::records::{Revision, Service, ServiceDeployment, ServiceEvents, ServiceStatus},
            tasks::roles,
        },
        iam::access_keys,
        kms, logs, now, s3, secretsmanager, ssm,
    },
};

/// A stopped task can be described for an hour.
const STOPPED_TASK_KEPT: Duration = Duration::from_secs(60 * 60);
/// So can a deleted service.
const DELETED_SERVICE_KEPT: Duration = Duration::from_secs(60 * 60);
/// A client token is remembered for a day.
const TOKEN_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
const INTERVAL: Duration = Duration::from_secs(60);
/// Log retention counts in days; an hour's delay does not matter.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Records removed in one transaction, which holds 128 operations at most.
const BATCH: usize = 50;

/// Runs until the process ends.
pub async fn run(services: Arc<Services>) {
    let mut next_retention = tokio::time::Instant::now() + INTERVAL;
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = services.purge_definitions.notified() => {}
        }
        report("forgetting stopped tasks", forget_tasks(&services, now()).await);
        report("forgetting deleted services", forget_services(&services, now()).await);
        report("forgetting client tokens", forget_tokens(&services, now()).await);
        report("forgetting ended sessions", access_keys::forget_expired(&services, now()).await);
        report(
            "carrying out the policies of parameters",
            ssm::parameters::carry_out_policies(&services, now()).await,
        );
        report("rotating and deleting keys", kms::upkeep::run(&services, now()).await);
        report("rotating and deleting secrets", secretsmanager::upkeep::run(&services, now()).await);
        report("deleting task definitions", definitions::purge(&services).await);
        report("deleting daemons", daemons::sweep(&services).await);
        report("deleting daemon task definitions", daemons::purge(&services).await);
        report("removing what express services stood on", express::sweep(&services, now()).await);
        report("removing what gateways do not need any more", gateways::sweep(&services, now()).await);
        if tokio::time::Instant::now() >= next_retention {
            next_retention = tokio::time::Instant::now() + RETENTION_INTERVAL;
            report("registry upkeep", ecr::upkeep(&services.registry, now()).await);
            report("audit retention", services.trail.forget(now()).await.map_err(ApiError::internal));
            report("renewing certificates", acm::renew_due(&services, now()).await);
            report("objects", s3::upkeep::sweep(&services, s3::content::UNNAMED_KEPT).await);
            report("log retention", logs::retention::sweep(&services.logs, now()).await.map(|_| ()));
        }
    }
}

/// Renews the credentials of tasks before they end, from the start on: those that ended while nothing ran here are renewed at once. Runs until the
/// process ends.
pub async fn renew_credentials(services: Arc<Services>) {
    let lifetime = services.settings.task_credentials_lifetime;
    let mut due = tokio::time::interval(roles::renewal_interval(lifetime));
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        report("renewing the credentials of tasks", roles::renew(&services, now()).await);
    }
}

fn report(what: &str, outcome: Result<(), ApiError>) {
    if let Err(error) = outcome {
        tracing::error!(%error, cause = ?error.cause, "{what} failed; it is tried again within a minute");
    }
}

/// Removes the records that are over, batch after batch.
async fn forget<R: Record>(
    services: &Services,
    over: impl Fn(&R) -> bool + Send + Sync,
) -> Result<(), ApiError> {
    loop {
        let old: Vec<(Scope, String)> = services.state.read(|view| {
            let all = view.scan_all::<R>().filter(|found| over(&found.value));
            all.map(|found| (found.scope, found.id)).take(BATCH).collect()
        });
        services
            .state
            .transact(|tx| {
                for (scope, id) in &old {
                    tx.delete::<R>(scope, id);
                }
                Ok::<_, ApiError>(())
            })
            .await?;
        if old.len() < BATCH {
            return Ok(());
        }
    }
}

async fn forget_tasks(services: &Services, now: Timestamp) -> Result<(), ApiError> {
    let over = |task: &Task| {
        task.state.last_status == TaskStatus::Stopped
            && task.state.stopped_at.is_some_and(|stopped| now.since(stopped) > STOPPED_TASK_KEPT)
    };
    forget(services, over).await
}

async fn forget_tokens(services: &Services, now: Timestamp) -> Result<(), ApiError> {
    forget(services, |token: &ClientToken| now.since(token.created_at) > TOKEN_KEPT).await
}

/// One service at a time, with all that was kept of it.
async fn forget_services(services: &Services, now: Timestamp) -> Result<(), ApiError> {
    let over = |service: &Service| {
        service.status == ServiceStatus::Inactive
            && service.deleted_at.is_some_and(|deleted| now.since(deleted) > DELETED_SERVICE_KEPT)
    };
    let old: Vec<(Scope, String)> = services.state.read(|view| {
        let all = view.scan_all::<Service>().filter(|found| over(&found.value));
        all.map(|found| (found.scope, found.id)).take(BATCH).collect()
    });
    for (scope, key) in old {
        let prefix = format!("{key}/");
        while services
            .state
            .transact(|tx| {
                if !tx.get::<Service>(&scope, &key).is_some_and(|service| over(&service)) {
                    return Ok::<_, ApiError>(false);
                }
                let view = tx.view().clone();
                let revisions: Vec<&str> =
                    view.scan_prefix::<Revision>(&scope, &prefix).map(|(id, _)| id).take(BATCH).collect();
                let deployments: Vec<&str> = view
                    .scan_prefix::<ServiceDeployment>(&scope, &prefix)
                    .map(|(id, _)| id)
                    .take(BATCH)
                    .collect();
                revisions.iter().for_each(|id| drop(tx.delete::<Revision>(&scope, id)));
                deployments.iter().for_each(|id| drop(tx.delete::<ServiceDeployment>(&scope, id)));
                let more = !revisions.is_empty() || !deployments.is_empty();
                if !more {
                    tx.delete::<Service>(&scope, &key);
                    tx.delete::<ServiceEvents>(&scope, &key);
                }
                Ok(more)
            })
            .await?
        {}
    }
    Ok(())
}
