//! UpdateDaemon and DeleteDaemon.

use std::sync::Arc;

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    DaemonStatus, DeleteDaemonRequest, DeleteDaemonResponse, UpdateDaemonRequest, UpdateDaemonResponse,
};
use state_store::Tx;
use vocabulary::Scope;

use super::{
    create::{Asked, apply, daemon_key, deployment_arn},
    not_active, not_found,
    records::Daemon,
};
use crate::{
    convert::time,
    gateway::{ApiError, Call},
    services::{
        Services,
        ecs::{
            names,
            services::records::{Service, ServiceStatus},
        },
    },
};

/// A daemon that is not being deleted, with its service.
fn active(tx: &mut Tx, scope: &Scope, key: &str) -> Result<(Daemon, Service), ApiError> {
    let daemon = tx.get::<Daemon>(scope, key).ok_or_else(not_found)?;
    let service = tx.get::<Service>(scope, &daemon.service_key()).ok_or_else(not_found)?;
    if daemon.deleted || service.status != ServiceStatus::Active {
        return Err(not_active());
    }
    Ok(((*daemon).clone(), (*service).clone()))
}

pub async fn update(call: Call, input: UpdateDaemonRequest) -> Result<UpdateDaemonResponse, ApiError> {
    let scope = call.scope().clone();
    let key = daemon_key(&scope, input.daemon_arn.as_deref())?;
    let given = Asked {
        definition: input.daemon_task_definition_arn.unwrap_or_default(),
        providers: Asked::providers(&scope, input.capacity_provider_arns)?,
        configuration: input.deployment_configuration,
        critical: input.critical,
        execute: input.enable_execute_command,
        managed_tags: input.enable_ecs_managed_tags,
        propagate: input.propagate_tags,
    };
    given.check()?;
    let (daemon, service) = call
        .services
        .state
        .transact(|tx| {
            let (mut daemon, mut service) = active(tx, &scope, &key)?;
            let cluster = names::active_cluster_in(tx, &scope, &daemon.cluster)?;
            let there = &service.settings.0;
            let propagates = there.propagate_tags == Some(ecs::PropagateTags::Service);
            let asked = Asked {
                execute: given.execute.or(there.enable_execute_command),
                managed_tags: given.managed_tags.or(there.enable_ecs_managed_tags),
                propagate: given.propagate.or(propagates.then_some(ecs::DaemonPropagateTags::Daemon)),
                ..given.clone()
            };
            let parts = (&mut daemon, &mut service);
            apply(tx, &scope, &cluster, parts, &asked, call.now(), &mut call.services.ids())?;
            Ok::<_, ApiError>((daemon, service))
        })
        .await?;
    Ok(UpdateDaemonResponse {
        daemon_arn: Some(daemon.arn(&scope)),
        deployment_arn: deployment_arn(&scope, &daemon, &service),
        status: Some(DaemonStatus::Active),
        created_at: Some(time(daemon.created_at)),
        updated_at: Some(time(daemon.updated_at)),
    })
}

pub async fn delete(call: Call, input: DeleteDaemonRequest) -> Result<DeleteDaemonResponse, ApiError> {
    let scope = call.scope().clone();
    let key = daemon_key(&scope, input.daemon_arn.as_deref())?;
    let (daemon, service) = call
        .services
        .state
        .transact(|tx| {
            let (mut daemon, mut service) = active(tx, &scope, &key)?;
            service.status = ServiceStatus::Draining;
            service.deleted_at = Some(call.now());
            (daemon.deleted, daemon.updated_at) = (true, call.now());
            tx.put(&scope, &service.key(), service.clone());
            tx.put(&scope, &key, daemon.clone());
            Ok::<_, ApiError>((daemon, service))
        })
        .await?;
    Ok(DeleteDaemonResponse {
        daemon_arn: Some(daemon.arn(&scope)),
        deployment_arn: deployment_arn(&scope, &daemon, &service),
        status: Some(DaemonStatus::DeleteInProgress),
        created_at: Some(time(daemon.created_at)),
        updated_at: Some(time(daemon.updated_at)),
    })
}

/// Forgets deleted daemons whose tasks have all gone.
///
/// # Errors
/// When the state cannot be changed.
pub async fn sweep(services: &Services) -> Result<(), ApiError> {
    let over: Vec<(Scope, Arc<Daemon>)> = services.state.read(|view| {
        let deleted = view.scan_all::<Daemon>().filter(|found| found.value.deleted);
        let gone = deleted.filter(|found| {
            let service = view.get::<Service>(&found.scope, &found.value.service_key());
            service.is_none_or(|service| service.status == ServiceStatus::Inactive)
        });
        gone.map(|found| (found.scope, found.value)).collect()
    });
    for (scope, daemon) in over {
        services
            .state
            .transact(|tx| {
                tx.delete::<Daemon>(&scope, &daemon.key());
                Ok::<_, ApiError>(())
            })
            .await?;
    }
    Ok(())
}
