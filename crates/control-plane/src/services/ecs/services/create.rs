//! CreateService.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{CreateServiceRequest, CreateServiceResponse, DeploymentControllerType};
use sha2::{Digest, Sha256};

use super::{
    alarms,
    asked::{Asked, Refusable, Wanted},
    check, deploy,
    records::{Service, ServiceEvents, ServiceStatus, service_key},
    show,
};
use crate::{
    convert::AwsJson,
    gateway::{ApiError, Call},
    services::ecs::{
        gateways,
        ingress::to_the_end,
        names::{self, cluster_name, invalid, is_valid},
        tags,
    },
};

const LONGEST_TOKEN: usize = 36;
/// Of the role that a service without a role of its own works as.
const SERVICE_ROLE: &str = "role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS";

pub async fn create(call: Call, input: CreateServiceRequest) -> Result<CreateServiceResponse, ApiError> {
    to_the_end(make(call, input)).await
}

async fn make(call: Call, input: CreateServiceRequest) -> Result<CreateServiceResponse, ApiError> {
    let scope = call.scope().clone();
    let cluster_name = cluster_name(&scope, input.cluster.as_deref())?;
    let name = input.service_name.clone().unwrap_or_default();
    if !is_valid(&name) {
        return Err(invalid("Service name must be 1 to 255 letters, numbers, hyphens and underscores."));
    }
    let token = input.client_token.clone().filter(|token| !token.is_empty());
    if token.as_ref().is_some_and(|token| token.len() > LONGEST_TOKEN) {
        return Err(invalid(format!("The client token can be {LONGEST_TOKEN} characters long at most.")));
    }
    let made_by = token.map(|token| (digest(&input), token));
    Refusable {
        registries: input.service_registries.as_deref(),
        service_connect: input.service_connect_configuration.as_ref(),
        volumes: input.volume_configurations.as_deref(),
        lattice: input.vpc_lattice_configurations.as_deref(),
        monitoring: input.monitoring.as_ref(),
    }
    .check()?;
    let tags = tags::checked(input.tags.clone())?;
    let wanted = wanted(input.clone());
    let controller = wanted.settings.deployment_controller.as_ref().and_then(|given| given.r#type);
    let own = controller == Some(DeploymentControllerType::Ecs);
    let daemon = wanted.settings.scheduling_strategy == Some(ecs::SchedulingStrategy::Daemon);
    let desired_count = match input.desired_count {
        Some(_) if daemon => {
            return Err(invalid(
                "The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again",
            ));
        }
        Some(given) => check::desired_count(given)?,
        None => 0,
    };
    if controller == Some(DeploymentControllerType::External) {
        no_task_set_members(&input)?;
    }
    let mut wanted = wanted;
    wanted.connections = connected(&call, &cluster_name, &name, &wanted, own, made_by.as_ref()).await?;
    let created = call
        .services
        .state
        .transact(|tx| {
            let cluster = names::active_cluster_in(tx, &scope, &cluster_name)?;
            let key = service_key(&cluster_name, &name);
            if let Some(there) = tx.get::<Service>(&scope, &key) {
                match there.status {
                    ServiceStatus::Active if made_by.is_some() && there.made_by == made_by => {
                        return Ok::<_, ApiError>((*there).clone());
                    }
                    ServiceStatus::Active => {
                        return Err(invalid("Creation of service was not idempotent."));
                    }
                    ServiceStatus::Draining => {
                        return Err(invalid("Unable to Start a service that is still Draining."));
                    }
                    ServiceStatus::Inactive => {}
                }
            }
            let others = tx.view().scan_prefix::<Service>(&scope, &format!("{cluster_name}/"));
            if others.filter(|(_, other)| other.status != ServiceStatus::Inactive).count()
                >= check::MOST_SERVICES
            {
                return Err(invalid("The maximum number of services for this cluster was exceeded."));
            }
            let mut wanted = wanted.clone();
            let rebalanced = check::can_rebalance(&wanted.settings, &wanted.revision);
            wanted.settings.availability_zone_rebalancing.get_or_insert(match rebalanced {
                true => ecs::AvailabilityZoneRebalancing::Enabled,
                false => ecs::AvailabilityZoneRebalancing::Disabled,
            });
            check::settings(&wanted, &cluster)?;
            alarms::check(tx.view(), &scope, wanted.settings.deployment_configuration.as_ref())?;
            let mut service = Service {
                name: name.clone(),
                cluster: cluster_name.clone(),
                status: ServiceStatus::Active,
                desired_count,
                created_at: call.now(),
                created_by: call.principal.arn.clone(),
                settings: AwsJson(wanted.settings.clone()),
                tags: tags.clone(),
                state: deployment::State::default(),
                deployment: None,
                primary_task_set: None,
                made_by: made_by.clone(),
                deleted_at: None,
            };
            let mut ids = call.services.ids();
            if own {
                let definition = deploy::definition(tx, &scope, &wanted, &cluster, true)?;
                gateways::connect::claim(tx, &scope, &wanted.connections)?;
                let made = (wanted.revision, wanted.connections);
                deploy::deploy(tx, &scope, &mut service, made, &definition, call.now(), &mut ids);
            } else if controller == Some(DeploymentControllerType::CodeDeploy) {
                // CodeDeploy's services have a first task set from the beginning.
                let definition = deploy::definition(tx, &scope, &wanted, &cluster, true)?;
                super::task_sets::first(
                    tx,
                    &scope,
                    &mut service,
                    wanted.revision,
                    &definition,
                    call.now(),
                    &mut ids,
                );
            }
            deploy::foresee(tx, &call.services, &scope, &mut service)?;
            // An earlier service of that name has left its events.
            tx.put(&scope, &key, service.clone());
            tx.put(&scope, &key, ServiceEvents::default());
            Ok(service)
        })
        .await;
    let created =
        gateways::settled(&call, &cluster_name, &name, !wanted.connections.is_empty(), created).await?;
    let shown = call.services.state.read(|view| show::service(view, &scope, &created, true));
    Ok(CreateServiceResponse { service: Some(shown) })
}

/// The routes of the service's gateways, unless it is there already.
async fn connected(
    call: &Call,
    cluster: &str,
    name: &str,
    wanted: &Wanted,
    own: bool,
    made_by: Option<&(String, String)>,
) -> Result<Vec<gateways::Connection>, ApiError> {
    if wanted.revision.gateway_connectors.is_none() {
        return Ok(Vec::new());
    }
    if !own {
        return Err(invalid("gatewayConnectors are supported with the ECS deployment controller only."));
    }
    let there = call.services.state.read(|view| {
        names::active_cluster(view, call.scope(), cluster)?;
        Ok::<_, ApiError>(view.get::<Service>(call.scope(), &service_key(cluster, name)))
    })?;
    if there.is_some_and(|there| {
        there.status != ServiceStatus::Inactive && (made_by.is_none() || there.made_by.as_ref() != made_by)
    }) {
        return Err(invalid("Creation of service was not idempotent."));
    }
    gateways::connect::connect(call, cluster, name, wanted).await
}

/// What tells two requests with the same token apart.
fn digest(input: &CreateServiceRequest) -> String {
    let plain = CreateServiceRequest { client_token: None, ..input.clone() };
    hex::encode(Sha256::digest(AwsJson(plain).json()))
}

fn wanted(input: CreateServiceRequest) -> Wanted {
    let network = input.network_configuration.as_ref().and_then(|given| given.awsvpc_configuration.as_ref());
    let balanced = input.load_balancers.as_ref().is_some_and(|given| !given.is_empty());
    let role = input.role.filter(|role| !role.is_empty());
    let role = role.or_else(|| (network.is_some() || balanced).then(|| SERVICE_ROLE.to_owned()));
    let empty = Wanted {
        settings: ecs::Service {
            scheduling_strategy: input.scheduling_strategy,
            deployment_controller: input.deployment_controller,
            role_arn: role,
            ..Default::default()
        },
        revision: ecs::ServiceRevision::default(),
        definition: None,
        connections: Vec::new(),
    };
    empty
        .overlaid(Asked {
            definition: input.task_definition,
            launch_type: input.launch_type,
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
        })
        .with_defaults()
}

/// With an EXTERNAL controller, what tasks are made of comes with the task sets.
fn no_task_set_members(input: &CreateServiceRequest) -> Result<(), ApiError> {
    let given = [
        (input.task_definition.is_some(), "taskDefinition"),
        (input.network_configuration.is_some(), "networkConfiguration"),
        (input.load_balancers.as_ref().is_some_and(|given| !given.is_empty()), "loadBalancers"),
        (input.launch_type.is_some(), "launchType"),
        (input.platform_version.is_some(), "platformVersion"),
        (input.capacity_provider_strategy.is_some(), "capacityProviderStrategy"),
    ];
    match given.into_iter().find(|(given, _)| *given) {
        Some((_, member)) => Err(invalid(format!(
            "{member} cannot be specified for a service with an EXTERNAL deployment controller. It is a member of its task sets."
        ))),
        None => Ok(()),
    }
}
