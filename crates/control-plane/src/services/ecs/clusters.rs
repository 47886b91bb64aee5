//! Clusters: create, describe, list, update, delete.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    ClusterField, CreateClusterRequest, CreateClusterResponse, DeleteClusterRequest, DeleteClusterResponse,
    DescribeClustersRequest, DescribeClustersResponse, ListClustersRequest, ListClustersResponse,
    PutClusterCapacityProvidersRequest, PutClusterCapacityProvidersResponse, UpdateClusterRequest,
    UpdateClusterResponse, UpdateClusterSettingsRequest, UpdateClusterSettingsResponse, errors,
};
use state_store::{Tx, View};
use vocabulary::Scope;

use super::{
    names::{cluster_name, cluster_not_found, invalid, own_resource},
    providers::{self, CapacityProvider, check_strategy, is_own},
    records::{Cluster, ContainerInstance, DesiredStatus, Task},
    services::{
        launch_type,
        records::{Service, ServiceStatus},
    },
    settings, tags,
};
use crate::{
    convert::AwsJson,
    gateway::{ApiError, Call},
    services::tagging::Tags,
};
use agent_protocol::state::TaskStatus;

/// The part of a cluster that is kept as the API has it: configuration, Service Connect defaults, default strategy.
fn details(
    configuration: Option<ecs::ClusterConfiguration>,
    service_connect: Option<ecs::ClusterServiceConnectDefaultsRequest>,
    strategy: Option<Vec<ecs::CapacityProviderStrategyItem>>,
) -> Result<AwsJson<ecs::Cluster>, ApiError> {
    if service_connect
        .is_some_and(|defaults| defaults.namespace.is_some_and(|namespace| !namespace.is_empty()))
    {
        return Err(ApiError::undeclared(
            "NotImplemented",
            501,
            "Longshore does not implement Service Connect yet.",
        ));
    }
    Ok(AwsJson(ecs::Cluster {
        configuration,
        default_capacity_provider_strategy: Some(strategy.unwrap_or_default()),
        ..ecs::Cluster::default()
    }))
}

/// Names of providers that are given by name or ARN.
fn provider_names(scope: &Scope, given: Vec<String>) -> Result<Vec<String>, ApiError> {
    let name = |text: String| Ok(own_resource(scope, &text, "capacity-provider")?.unwrap_or(text));
    given.into_iter().map(name).collect()
}

fn check_providers(
    view: &View,
    scope: &Scope,
    providers: &[String],
    strategy: &[ecs::CapacityProviderStrategyItem],
) -> Result<(), ApiError> {
    let known = |name: &String| !is_own(name) || view.get::<CapacityProvider>(scope, name).is_some();
    if let Some(unknown) = providers.iter().find(|name| !known(name)) {
        return Err(invalid(format!(
            "The specified capacity provider '{unknown}' was not found. Specify a valid capacity provider and try again."
        )));
    }
    check_strategy(providers, strategy)
}

pub async fn create(call: Call, input: CreateClusterRequest) -> Result<CreateClusterResponse, ApiError> {
    let scope = call.scope().clone();
    let name = cluster_name(&scope, input.cluster_name.as_deref())?;
    let tags = tags::checked(input.tags)?;
    let providers = input.capacity_providers.unwrap_or_default();
    let providers = provider_names(&scope, providers)?;
    let default = input.default_capacity_provider_strategy.clone().unwrap_or_default();
    let chosen = settings::cluster_settings(input.settings.as_deref().unwrap_or_default())?;
    let details = details(
        input.configuration,
        input.service_connect_defaults,
        input.default_capacity_provider_strategy,
    )?;
    let cluster = call
        .services
        .state
        .transact(|tx| {
            check_providers(tx.view(), &scope, &providers, &default)?;
            // Creating what is there answers what is there, as AWS does.
            if let Some(existing) = tx.get::<Cluster>(&scope, &name).filter(|cluster| cluster.active) {
                return Ok::<_, ApiError>((*existing).clone());
            }
            let mut cluster_settings = settings::default_cluster_settings(tx.view(), &scope);
            settings::overlay(&mut cluster_settings, &chosen);
            let cluster = Cluster {
                name: name.clone(),
                active: true,
                created_at: call.now(),
                settings: cluster_settings,
                capacity_providers: providers.clone(),
                default_strategy: details.clone(),
                tags: tags.clone(),
            };
            tx.put(&scope, &name, cluster.clone());
            Ok(cluster)
        })
        .await?;
    let all = [ClusterField::Settings, ClusterField::Tags, ClusterField::Configurations];
    let shown = call.services.state.read(|view| shape(view, &scope, &cluster, &all));
    Ok(CreateClusterResponse { cluster: Some(shown) })
}

pub async fn describe(
    call: Call,
    input: DescribeClustersRequest,
) -> Result<DescribeClustersResponse, ApiError> {
    let scope = call.scope();
    let include = input.include.unwrap_or_default();
    let given =
        input.clusters.filter(|given| !given.is_empty()).unwrap_or_else(|| vec!["default".to_owned()]);
    if given.len() > 100 {
        return Err(invalid("At most 100 clusters can be described at once."));
    }
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for text in given {
        let name = cluster_name(scope, Some(&text))?;
        let found = call.services.state.read(|view| {
            view.get::<Cluster>(scope, &name).map(|cluster| shape(view, scope, &cluster, &include))
        });
        match found {
            Some(cluster) => clusters.push(cluster),
            None => {
                failures.push(super::missing(scope.arn("ecs", format_args!("cluster/{name}")).to_string()));
            }
        }
    }
    Ok(DescribeClustersResponse { clusters: Some(clusters), failures: Some(failures) })
}

pub async fn list(call: Call, input: ListClustersRequest) -> Result<ListClustersResponse, ApiError> {
    let scope = call.scope();
    let arns: Vec<String> = call.services.state.read(|view| {
        view.scan::<Cluster>(scope)
            .filter(|(_, cluster)| cluster.active)
            .map(|(_, cluster)| cluster.arn(scope))
            .collect()
    });
    let page = super::page(
        &call,
        &format!("clusters/{scope}"),
        arns,
        String::clone,
        input.next_token,
        input.max_results,
    )?;
    Ok(ListClustersResponse { cluster_arns: Some(page.items), next_token: page.next_token })
}

pub async fn delete(call: Call, input: DeleteClusterRequest) -> Result<DeleteClusterResponse, ApiError> {
    let scope = call.scope().clone();
    let name = cluster_name(&scope, input.cluster.as_deref())?;
    let cluster = edit(&call, &name, |tx, cluster| {
        // Read in the transaction, so that nothing can be started in the cluster meanwhile.
        let prefix = format!("{name}/");
        if !tx.scan_prefix::<ContainerInstance>(&scope, &prefix).is_empty() {
            return Err(ApiError::new(
                &errors::CLUSTER_CONTAINS_CONTAINER_INSTANCES_EXCEPTION,
                "The Cluster cannot be deleted while Container Instances are active or draining.",
            ));
        }
        let there = |service: &Service| service.status != ServiceStatus::Inactive;
        if tx.scan_prefix::<Service>(&scope, &prefix).iter().any(|(_, service)| there(service)) {
            return Err(ApiError::new(
                &errors::CLUSTER_CONTAINS_SERVICES_EXCEPTION,
                "The Cluster cannot be deleted while Services are active.",
            ));
        }
        let live = |task: &Task| task.state.last_status != TaskStatus::Stopped;
        if tx.scan_prefix::<Task>(&scope, &prefix).iter().any(|(_, task)| live(task)) {
            return Err(ApiError::new(
                &errors::CLUSTER_CONTAINS_TASKS_EXCEPTION,
                "The Cluster cannot be deleted while Tasks are active.",
            ));
        }
        cluster.active = false;
        cluster.tags = Tags::new();
        Ok(())
    })
    .await?;
    let shown = call.services.state.read(|view| shape(view, &scope, &cluster, &[]));
    Ok(DeleteClusterResponse { cluster: Some(shown) })
}

pub async fn update(call: Call, input: UpdateClusterRequest) -> Result<UpdateClusterResponse, ApiError> {
    let name = cluster_name(call.scope(), input.cluster.as_deref())?;
    let chosen = settings::cluster_settings(input.settings.as_deref().unwrap_or_default())?;
    let changed = details(input.configuration, input.service_connect_defaults, None)?;
    let cluster = edit(&call, &name, |_, cluster| {
        settings::overlay(&mut cluster.settings, &chosen);
        if changed.0.configuration.is_some() {
            cluster.default_strategy.0.configuration.clone_from(&changed.0.configuration);
        }
        Ok(())
    })
    .await?;
    let all = [ClusterField::Settings, ClusterField::Tags, ClusterField::Configurations];
    let shown = call.services.state.read(|view| shape(view, call.scope(), &cluster, &all));
    Ok(UpdateClusterResponse { cluster: Some(shown) })
}

pub async fn update_settings(
    call: Call,
    input: UpdateClusterSettingsRequest,
) -> Result<UpdateClusterSettingsResponse, ApiError> {
    let name = cluster_name(call.scope(), input.cluster.as_deref())?;
    let chosen = settings::cluster_settings(input.settings.as_deref().unwrap_or_default())?;
    let cluster = edit(&call, &name, |_, cluster| {
        settings::overlay(&mut cluster.settings, &chosen);
        Ok(())
    })
    .await?;
    let shown = call
        .services
        .state
        .read(|view| shape(view, call.scope(), &cluster, &[ClusterField::Settings, ClusterField::Tags]));
    Ok(UpdateClusterSettingsResponse { cluster: Some(shown) })
}

pub async fn put_capacity_providers(
    call: Call,
    input: PutClusterCapacityProvidersRequest,
) -> Result<PutClusterCapacityProvidersResponse, ApiError> {
    let name = cluster_name(call.scope(), input.cluster.as_deref())?;
    let providers = input.capacity_providers.unwrap_or_default();
    let strategy = input.default_capacity_provider_strategy.unwrap_or_default();
    let providers = provider_names(call.scope(), providers)?;
    let cluster = edit(&call, &name, |tx, cluster| {
        check_providers(tx.view(), call.scope(), &providers, &strategy)?;
        let removed = cluster.capacity_providers.iter().filter(|name| !providers.contains(*name));
        for name in removed {
            providers::check_unused(tx, call.scope(), &cluster.name, name)?;
        }
        cluster.capacity_providers.clone_from(&providers);
        cluster.default_strategy.0.default_capacity_provider_strategy = Some(strategy.clone());
        Ok(())
    })
    .await?;
    let shown = call
        .services
        .state
        .read(|view| shape(view, call.scope(), &cluster, &[ClusterField::Settings, ClusterField::Tags]));
    Ok(PutClusterCapacityProvidersResponse { cluster: Some(shown) })
}

async fn edit(
    call: &Call,
    name: &str,
    change: impl Fn(&mut Tx, &mut Cluster) -> Result<(), ApiError>,
) -> Result<Cluster, ApiError> {
    let scope = call.scope();
    call.services
        .state
        .transact(|tx| {
            let found = tx
                .get::<Cluster>(scope, name)
                .filter(|cluster| cluster.active)
                .ok_or_else(cluster_not_found)?;
            let mut cluster = (*found).clone();
            change(tx, &mut cluster)?;
            tx.put(scope, name, cluster.clone());
            Ok::<_, ApiError>(cluster)
        })
        .await
}

fn is_running(task: &Task) -> bool {
    task.state.last_status == TaskStatus::Running
}

fn is_pending(task: &Task) -> bool {
    task.desired_status == DesiredStatus::Running && task.state.last_status < TaskStatus::Running
}

/// As the API shows a cluster, counts included.
fn shape(view: &View, scope: &Scope, cluster: &Cluster, include: &[ClusterField]) -> ecs::Cluster {
    let prefix = format!("{}/", cluster.name);
    let tasks: Vec<_> = view.scan_prefix::<Task>(scope, &prefix).collect();
    let count = |matches: &dyn Fn(&Task) -> bool| {
        Some(i32::try_from(tasks.iter().filter(|(_, task)| matches(task)).count()).unwrap_or(i32::MAX))
    };
    let instances = view.scan_prefix::<ContainerInstance>(scope, &prefix).count();
    let services: Vec<_> = view.scan_prefix::<Service>(scope, &prefix).map(|(_, service)| service).collect();
    let active_services =
        services.iter().filter(|service| service.status == ServiceStatus::Active && !service.runs_daemon());
    let active_services = active_services.count();
    let with = |field: ClusterField| include.contains(&field);
    let statistics = || {
        let pair =
            |name: &str, value: String| ecs::KeyValuePair { name: Some(name.to_owned()), value: Some(value) };
        let counted = |launch: agent_protocol::spec::LaunchType, matches: fn(&Task) -> bool| {
            tasks.iter().filter(|(_, task)| task.launch_type == launch && matches(task)).count().to_string()
        };
        let services_of = |launch: &str, status: ServiceStatus| {
            let of = services.iter().filter(|service| service.status == status);
            of.filter(|service| launch_type(view, scope, service) == launch).count().to_string()
        };
        use agent_protocol::spec::LaunchType::{Ec2, External, Fargate};
        vec![
            pair("runningEC2TasksCount", counted(Ec2, is_running)),
            pair("runningFargateTasksCount", counted(Fargate, is_running)),
            pair("runningExternalTasksCount", counted(External, is_running)),
            pair("pendingEC2TasksCount", counted(Ec2, is_pending)),
            pair("pendingFargateTasksCount", counted(Fargate, is_pending)),
            pair("pendingExternalTasksCount", counted(External, is_pending)),
            pair("activeEC2ServiceCount", services_of("EC2", ServiceStatus::Active)),
            pair("activeFargateServiceCount", services_of("FARGATE", ServiceStatus::Active)),
            pair("activeExternalServiceCount", services_of("EXTERNAL", ServiceStatus::Active)),
            pair("drainingEC2ServiceCount", services_of("EC2", ServiceStatus::Draining)),
            pair("drainingFargateServiceCount", services_of("FARGATE", ServiceStatus::Draining)),
            pair("drainingExternalServiceCount", services_of("EXTERNAL", ServiceStatus::Draining)),
        ]
    };
    ecs::Cluster {
        cluster_arn: Some(cluster.arn(scope)),
        cluster_name: Some(cluster.name.clone()),
        status: Some(if cluster.active { "ACTIVE" } else { "INACTIVE" }.to_owned()),
        registered_container_instances_count: Some(i32::try_from(instances).unwrap_or(i32::MAX)),
        running_tasks_count: count(&is_running),
        pending_tasks_count: count(&is_pending),
        active_services_count: Some(i32::try_from(active_services).unwrap_or(i32::MAX)),
        statistics: Some(if with(ClusterField::Statistics) { statistics() } else { Vec::new() }),
        tags: Some(if with(ClusterField::Tags) { tags::shape(&cluster.tags) } else { Vec::new() }),
        settings: Some(if with(ClusterField::Settings) {
            settings::cluster_shape(&cluster.settings)
        } else {
            Vec::new()
        }),
        configuration: if with(ClusterField::Configurations) {
            cluster.default_strategy.0.configuration.clone()
        } else {
            None
        },
        capacity_providers: Some(cluster.capacity_providers.clone()),
        default_capacity_provider_strategy: cluster
            .default_strategy
            .0
            .default_capacity_provider_strategy
            .clone(),
        ..ecs::Cluster::default()
    }
}
