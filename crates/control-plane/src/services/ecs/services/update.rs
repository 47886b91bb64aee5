//! UpdateService: every member that may change, and which of them begin a new deployment.
//!
//! Routes of gateways are made before the update commits, but only by an update that touches what they follow from, and once everything else
//! of it was found right.

use std::sync::Arc;

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{DeploymentControllerType, UpdateServiceRequest, UpdateServiceResponse};
use state_store::Tx;
use vocabulary::Scope;

use super::{
    alarms,
    asked::{Asked, Refusable, Wanted},
    check,
    controller::{self, Handover},
    deploy, names as own,
    records::{Revision, Service, revision_key},
    show,
};
use crate::{
    gateway::{ApiError, Call},
    services::ecs::{
        gateways,
        ingress::to_the_end,
        names::{self, cluster_name, invalid},
        records::TaskDefinition,
    },
};

pub async fn update(call: Call, input: UpdateServiceRequest) -> Result<UpdateServiceResponse, ApiError> {
    to_the_end(change(call, input)).await
}

async fn change(call: Call, input: UpdateServiceRequest) -> Result<UpdateServiceResponse, ApiError> {
    let scope = call.scope().clone();
    let cluster_name = cluster_name(&scope, input.cluster.as_deref())?;
    let name = own::service_name(&scope, &cluster_name, input.service.as_deref().unwrap_or_default())?;
    Refusable {
        registries: input.service_registries.as_deref(),
        service_connect: input.service_connect_configuration.as_ref(),
        volumes: input.volume_configurations.as_deref(),
        lattice: input.vpc_lattice_configurations.as_deref(),
        monitoring: input.monitoring.as_ref(),
    }
    .check()?;
    let desired_count = input.desired_count.map(check::desired_count).transpose()?;
    let force = input.force_new_deployment == Some(true);
    let connections = connected(&call, &cluster_name, &name, &input, desired_count).await?;
    let connecting = connections.as_ref().is_some_and(|connections| !connections.is_empty());
    let updated = call
        .services
        .state
        .transact(|tx| {
            let planned = plan(tx, &call, (&cluster_name, &name), &input, desired_count, |before| {
                connections.clone().unwrap_or_else(|| before.connections.clone())
            })?;
            let Planned { mut service, handover, current, before, wanted, definition } = planned;
            service.settings.0 = wanted.settings.clone();
            if let Some(handover) = handover {
                handover.write(tx, &scope);
            }
            if let Some(definition) = definition {
                let same_definition = current.as_ref().is_some_and(|current| {
                    (&current.family, current.revision) == (&definition.family, definition.revision)
                });
                let same_connections = before.connections.len() == wanted.connections.len()
                    && before
                        .connections
                        .iter()
                        .zip(&wanted.connections)
                        .all(|(one, other)| one.is_as(other));
                if force || !same_definition || !same_connections || wanted.revision != before.revision {
                    gateways::connect::claim(tx, &scope, &wanted.connections)?;
                    let mut ids = call.services.ids();
                    let made = (wanted.revision, wanted.connections);
                    deploy::deploy(tx, &scope, &mut service, made, &definition, call.now(), &mut ids);
                }
            }
            deploy::foresee(tx, &call.services, &scope, &mut service)?;
            tx.put(&scope, &service.key(), service.clone());
            Ok::<_, ApiError>(service)
        })
        .await;
    let updated = gateways::settled(&call, &cluster_name, &name, connecting, updated).await?;
    let shown = call.services.state.read(|view| show::service(view, &scope, &updated, true));
    Ok(UpdateServiceResponse { service: Some(shown) })
}

/// The service as it is, for what is asked to be laid over.
fn before(scope: &Scope, service: &Service, current: Option<&Revision>) -> Wanted {
    Wanted {
        settings: service.settings.0.clone(),
        revision: current.map(asked_of).unwrap_or_default(),
        definition: current.map(|current| current.definition_arn(scope)),
        connections: current.map(|current| current.connections.clone()).unwrap_or_default(),
    }
}

/// What an update makes of a service, checked.
struct Planned {
    /// With the count that is wanted; otherwise as it was.
    service: Service,
    /// What goes with another deployment controller.
    handover: Option<Handover>,
    current: Option<Arc<Revision>>,
    before: Wanted,
    wanted: Wanted,
    /// None without a deployment of the service's own.
    definition: Option<Arc<TaskDefinition>>,
}

/// The service as it is wanted, if it may be so. `connections`: the routes that it is to have if it is to have a connector, given what it was.
fn plan(
    tx: &mut Tx,
    call: &Call,
    (cluster, name): (&str, &str),
    input: &UpdateServiceRequest,
    desired_count: Option<u32>,
    connections: impl Fn(&Wanted) -> Vec<gateways::Connection>,
) -> Result<Planned, ApiError> {
    let scope = call.scope();
    let cluster_record = names::active_cluster_in(tx, scope, cluster)?;
    let found = own::active_in(tx, scope, cluster, name)?;
    let mut service = (*found).clone();
    if service.is_daemon() && desired_count.is_some() {
        return Err(invalid(
            "The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again",
        ));
    }
    if let Some(given) = desired_count {
        service.desired_count = given;
    }
    let controller = input.deployment_controller.as_ref().and_then(|given| given.r#type);
    let handover = match controller {
        Some(to) if to != service.controller() => {
            Some(controller::change(tx, scope, &mut service, to, call.now())?)
        }
        _ => None,
    };
    may_change(input, service.controller())?;
    let current = service.state.primary().and_then(|primary| {
        let key = revision_key(&service.cluster, &service.name, &primary.revision);
        tx.get::<Revision>(scope, &key)
    });
    let before = before(scope, &service, current.as_deref());
    let mut wanted = before.clone().overlaid(asked(input));
    wanted.connections = match wanted.revision.gateway_connectors {
        Some(_) => connections(&before),
        None => Vec::new(),
    };
    check::settings(&wanted, &cluster_record)?;
    if input.deployment_configuration.is_some() {
        alarms::check(tx.view(), scope, wanted.settings.deployment_configuration.as_ref())?;
    }
    let definition = match current {
        Some(_) => {
            let given = input.task_definition.is_some();
            Some(deploy::definition(tx, scope, &wanted, &cluster_record, given)?)
        }
        None => None,
    };
    Ok(Planned { service, handover, current, before, wanted, definition })
}

/// The routes of the service's gateways as it is wanted, made once everything else about it is right. None when the update does not touch
/// what they follow from: it keeps those that it has.
async fn connected(
    call: &Call,
    cluster: &str,
    name: &str,
    input: &UpdateServiceRequest,
    desired_count: Option<u32>,
) -> Result<Option<Vec<gateways::Connection>>, ApiError> {
    let scope = call.scope();
    let behind = call.services.state.read(|view| {
        let service = own::find(view, scope, cluster, name).ok()?;
        let key = revision_key(&service.cluster, &service.name, &service.state.primary()?.revision);
        view.get::<Revision>(scope, &key)?.details.0.gateway_connectors.clone()
    });
    if behind.is_none() && input.gateway_connectors.is_none() {
        return Ok(None);
    }
    let planned = call.services.state.transact(|tx| {
        // Which ones they will be is not known yet.
        plan(tx, call, (cluster, name), input, desired_count, |_| vec![gateways::Connection::default()])
    });
    let Planned { current, before, wanted, .. } = planned.await?;
    let strategy =
        |of: &Wanted| of.settings.deployment_configuration.as_ref().and_then(|given| given.strategy);
    let touched = input.gateway_connectors.is_some()
        || input.network_configuration.is_some()
        || input.task_definition.as_ref().is_some_and(|given| !given.is_empty())
        || input.force_new_deployment == Some(true)
        || strategy(&before) != strategy(&wanted);
    if current.is_none() || !touched {
        return Ok(None);
    }
    Ok(Some(gateways::connect::connect(call, cluster, name, &wanted).await?))
}

/// A revision as it was asked for.
fn asked_of(revision: &Revision) -> ecs::ServiceRevision {
    ecs::ServiceRevision {
        container_images: None,
        resolved_configuration: None,
        ..revision.details.0.clone()
    }
}

fn asked(input: &UpdateServiceRequest) -> Asked {
    let input = input.clone();
    Asked {
        definition: input.task_definition.filter(|given| !given.is_empty()),
        launch_type: None,
        strategy: input.capacity_provider_strategy,
        platform_version: input.platform_version,
        network: input.network_configuration,
        load_balancers: input.load_balancers,
        connectors: input.gateway_connectors,
        configuration: input.deployment_configuration,
        constraints: input.placement_constraints,
        strategies: input.placement_strategy,
        grace_period: input.health_check_grace_period_seconds,
        managed_tags: input.enable_ecs_managed_tags,
        propagate: input.propagate_tags,
        execute: input.enable_execute_command,
        rebalancing: input.availability_zone_rebalancing,
    }
}

/// With task sets, what tasks are made of is theirs. Source: the API reference, UpdateService.
fn may_change(input: &UpdateServiceRequest, controller: DeploymentControllerType) -> Result<(), ApiError> {
    if controller == DeploymentControllerType::Ecs {
        return Ok(());
    }
    let given = [
        (input.task_definition.is_some(), "task definition"),
        (input.network_configuration.is_some(), "network configuration"),
        (input.platform_version.is_some(), "platform version"),
        (input.load_balancers.is_some(), "load balancers"),
        (input.gateway_connectors.is_some(), "gateway connectors"),
        (input.capacity_provider_strategy.is_some(), "capacity provider strategy"),
        (input.force_new_deployment == Some(true), "force new deployment"),
    ];
    let Some((_, what)) = given.into_iter().find(|(given, _)| *given) else { return Ok(()) };
    let by = match controller {
        DeploymentControllerType::CodeDeploy => "Use AWS CodeDeploy to trigger a new deployment.",
        _ => "Create a new task set.",
    };
    Err(invalid(format!(
        "Unable to update {what} on services with a {} deployment controller. {by}",
        controller.as_str()
    )))
}
