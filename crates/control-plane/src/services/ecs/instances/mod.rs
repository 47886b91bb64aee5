//! Container instances: what an agent registers, what operators see of it, and how it is taken out of use.
//!
//! An instance without a connected agent takes no tasks; RunTask and StartTask answer `AGENT` for it. What is left of an
//! instance is nowhere stored: it is what is registered less what its tasks hold.

mod agent;
mod orphans;
mod show;

use std::collections::BTreeSet;

use agent_protocol::state::TaskStatus;
use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    ContainerInstanceField, ContainerInstanceStatus, DeregisterContainerInstanceRequest,
    DeregisterContainerInstanceResponse, DescribeContainerInstancesRequest,
    DescribeContainerInstancesResponse, ListContainerInstancesRequest, ListContainerInstancesResponse,
    RegisterContainerInstanceRequest, RegisterContainerInstanceResponse,
    UpdateContainerInstancesStateRequest, UpdateContainerInstancesStateResponse,
};
use placement::query::Expression;
use state_store::{Tx, View};
use vocabulary::{Ids, Scope};

use super::{
    missing,
    names::{self, cluster_name, invalid},
    providers::INSTANCE_ATTRIBUTE,
    records::{Attribute, ContainerInstance, InstanceLoad, InstanceStatus, Task},
    tags,
};
use crate::{
    convert::AwsJson,
    gateway::{ApiError, Call},
};
pub use agent::update_agent;
use show::{Shown, show};

fn key(cluster: &str, id: &str) -> String {
    format!("{cluster}/{id}")
}

pub async fn register(
    call: Call,
    input: RegisterContainerInstanceRequest,
) -> Result<RegisterContainerInstanceResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let tags = tags::checked(input.tags)?;
    let id = match input.container_instance_arn.as_deref() {
        Some(arn) => names::instance_id(scope, &cluster, arn)?,
        None => call.services.ids().hex(32),
    };
    // The document is what EC2 gives an instance about itself; its signature could only be checked with EC2's keys.
    let document: Option<serde_json::Value> =
        input.instance_identity_document.as_deref().and_then(|document| serde_json::from_str(document).ok());
    let of_document = |name: &str| Some(document.as_ref()?.get(name)?.as_str()?.to_owned());
    let ec2_instance_id = of_document("instanceId");
    let private_address = of_document("privateIp").and_then(|text| text.parse().ok());
    let description = AwsJson(ecs::ContainerInstance {
        version_info: input.version_info,
        registered_resources: input.total_resources,
        attributes: Some(input.attributes.unwrap_or_default()),
        ..ecs::ContainerInstance::default()
    });
    let mut attributes = description.0.attributes.iter().flatten();
    let provider = attributes.find(|one| one.name.as_deref() == Some(INSTANCE_ATTRIBUTE));
    let provider = provider.and_then(|one| one.value.as_ref());
    let record = call
        .services
        .state
        .transact(|tx| {
            let joined = names::active_cluster_in(tx, scope, &cluster)?;
            if let Some(provider) = provider.filter(|provider| !joined.capacity_providers.contains(provider)) {
                return Err(invalid(format!(
                    "The capacity provider '{provider}' is not associated with the cluster. Associate the capacity provider with the cluster and try again."
                )));
            }
            let earlier = tx.get::<ContainerInstance>(scope, &key(&cluster, &id));
            if earlier.is_none() && input.container_instance_arn.is_some() {
                return Err(invalid("The container instance of the given ARN is not registered."));
            }
            let record = ContainerInstance {
                id: id.clone(),
                cluster: cluster.clone(),
                ec2_instance_id: ec2_instance_id.clone(),
                status: earlier.as_ref().map_or(InstanceStatus::Active, |earlier| earlier.status),
                agent_connected: earlier.as_ref().is_some_and(|earlier| earlier.agent_connected),
                private_address,
                registered_at: earlier.as_ref().map_or(call.now(), |earlier| earlier.registered_at),
                version: earlier.as_ref().map_or(1, |earlier| earlier.version + 1),
                description: description.clone(),
                tags: tags.clone(),
            };
            tx.put(scope, &key(&cluster, &id), record.clone());
            Ok::<_, ApiError>(record)
        })
        .await?;
    let shown = show(&call.services, scope, &[&record], Shown { tags: true, health: false });
    Ok(RegisterContainerInstanceResponse { container_instance: shown.into_iter().next() })
}

pub async fn deregister(
    call: Call,
    input: DeregisterContainerInstanceRequest,
) -> Result<DeregisterContainerInstanceResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let id = names::instance_id(scope, &cluster, input.container_instance.as_deref().unwrap_or_default())?;
    let record = call.services.state.read(|view| {
        names::active_cluster(view, scope, &cluster)?;
        view.get::<ContainerInstance>(scope, &key(&cluster, &id)).ok_or_else(not_registered)
    })?;
    let mut shown = show(&call.services, scope, &[record], Shown { tags: true, health: false });
    if input.force == Some(true) {
        end_tasks(&call, &cluster, &id).await?;
    }
    call.services
        .state
        .transact(|tx| {
            names::active_cluster_in(tx, scope, &cluster)?;
            tx.delete::<ContainerInstance>(scope, &key(&cluster, &id)).ok_or_else(not_registered)?;
            // Whoever is placing a task on it meanwhile has to look again.
            tx.delete::<InstanceLoad>(scope, &key(&cluster, &id));
            if !tasks_on(tx.view(), scope, &cluster, &id).is_empty() {
                return Err(invalid("Found running tasks on the instance."));
            }
            for (attribute, _) in tx.scan_prefix::<Attribute>(scope, &format!("{cluster}/{id}/")) {
                tx.delete::<Attribute>(scope, &attribute);
            }
            Ok::<_, ApiError>(())
        })
        .await?;
    for instance in &mut shown {
        instance.status = Some("INACTIVE".to_owned());
    }
    Ok(DeregisterContainerInstanceResponse { container_instance: shown.into_iter().next() })
}

fn not_registered() -> ApiError {
    invalid("The specified container instance is not registered.")
}

/// Keys of the tasks that have not stopped.
fn tasks_on(view: &View, scope: &Scope, cluster: &str, id: &str) -> Vec<String> {
    let all = view.scan_prefix::<Task>(scope, &format!("{cluster}/"));
    all.filter(|(_, task)| {
        task.container_instance.as_deref() == Some(id) && task.state.last_status < TaskStatus::Stopped
    })
    .map(|(key, _)| key.to_owned())
    .collect()
}

/// Takes the instance out of use and ends its tasks, a few at a time. Broken off, it has drained the instance and ended some.
async fn end_tasks(call: &Call, cluster: &str, id: &str) -> Result<(), ApiError> {
    let (scope, state) = (call.scope(), &call.services.state);
    let drain = |tx: &mut Tx| {
        set_status(tx, call, cluster, id, InstanceStatus::Draining);
        Ok::<_, ApiError>(())
    };
    state.transact(drain).await?;
    for few in tasks_on(&state.view(), scope, cluster, id).chunks(orphans::AT_ONCE) {
        let end = |tx: &mut Tx| {
            few.iter().for_each(|task| orphans::end(tx, scope, task, call.now()));
            Ok::<_, ApiError>(())
        };
        state.transact(end).await?;
    }
    Ok(())
}

/// Writes the status of a registered instance.
fn set_status(
    tx: &mut Tx,
    call: &Call,
    cluster: &str,
    id: &str,
    status: InstanceStatus,
) -> Option<ContainerInstance> {
    let (scope, key) = (call.scope(), key(cluster, id));
    let mut record = (*tx.get::<ContainerInstance>(scope, &key)?).clone();
    if record.status != status {
        record.status = status;
        record.version += 1;
        tx.put(scope, &key, record.clone());
        // Whoever is placing a task on it meanwhile has to look again.
        if let Some(load) = tx.get::<InstanceLoad>(scope, &key) {
            tx.put(scope, &key, (*load).clone());
        } else {
            tx.put(scope, &key, InstanceLoad::default());
        }
    }
    Some(record)
}

pub async fn describe(
    call: Call,
    input: DescribeContainerInstancesRequest,
) -> Result<DescribeContainerInstancesResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    call.services.state.read(|view| names::active_cluster(view, scope, &cluster).map(drop))?;
    let given = input.container_instances.unwrap_or_default();
    if given.is_empty() {
        return Err(invalid("Container Instances cannot be empty."));
    }
    if given.len() > 100 {
        return Err(invalid("At most 100 container instances can be described at once."));
    }
    let included = |field| input.include.iter().flatten().any(|given| *given == field);
    let shown = Shown {
        tags: included(ContainerInstanceField::Tags),
        health: included(ContainerInstanceField::ContainerInstanceHealth),
    };
    let ids =
        given.iter().map(|text| names::instance_id(scope, &cluster, text)).collect::<Result<Vec<_>, _>>()?;
    let (mut instances, mut failures) = (Vec::new(), Vec::new());
    call.services.state.read(|view| {
        names::active_cluster(view, scope, &cluster)?;
        for id in &ids {
            match view.get::<ContainerInstance>(scope, &key(&cluster, id)) {
                Some(record) => instances.push(record),
                None => failures.push(missing(
                    scope.arn("ecs", format_args!("container-instance/{cluster}/{id}")).to_string(),
                )),
            }
        }
        Ok::<_, ApiError>(())
    })?;
    let instances = show(&call.services, scope, &instances, shown);
    Ok(DescribeContainerInstancesResponse { container_instances: Some(instances), failures: Some(failures) })
}

pub async fn list(
    call: Call,
    input: ListContainerInstancesRequest,
) -> Result<ListContainerInstancesResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let filter = input.filter.as_deref().filter(|text| !text.trim().is_empty());
    let filter = filter.map(str::parse::<Expression>).transpose();
    let filter = filter.map_err(|error| invalid(format!("Invalid filter: {error}.")))?;
    let status = match input.status {
        None | Some(ContainerInstanceStatus::Active) => Some(InstanceStatus::Active),
        Some(ContainerInstanceStatus::Draining) => Some(InstanceStatus::Draining),
        // Registering and deregistering take no time here, so nothing is ever seen in between.
        Some(_) => None,
    };
    let selected = filter.map(|filter| {
        call.services.placing.with(&call.services.state, scope, &cluster, |known| {
            let ids = known.fleet.select(&filter).into_iter().map(|id| key(&cluster, id));
            ids.collect::<BTreeSet<String>>()
        })
    });
    let arns: Vec<String> = call.services.state.read(|view| {
        names::active_cluster(view, scope, &cluster)?;
        let all = view.scan_prefix::<ContainerInstance>(scope, &format!("{cluster}/"));
        let all = all.filter(|(key, _)| selected.as_ref().is_none_or(|selected| selected.contains(*key)));
        let shown = all.filter(|(_, record)| {
            Some(record.status) == status
                || (input.status.is_none() && record.status == InstanceStatus::Draining)
        });
        Ok::<_, ApiError>(
            shown
                .map(|(key, _)| scope.arn("ecs", format_args!("container-instance/{key}")).to_string())
                .collect(),
        )
    })?;
    let page = super::page(
        &call,
        &format!("container-instances/{scope}/{cluster}"),
        arns,
        String::clone,
        input.next_token,
        input.max_results,
    )?;
    Ok(ListContainerInstancesResponse {
        container_instance_arns: Some(page.items),
        next_token: page.next_token,
    })
}

pub async fn update_state(
    call: Call,
    input: UpdateContainerInstancesStateRequest,
) -> Result<UpdateContainerInstancesStateResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let status = match input.status {
        Some(ContainerInstanceStatus::Active) => InstanceStatus::Active,
        Some(ContainerInstanceStatus::Draining) => InstanceStatus::Draining,
        _ => return Err(invalid("Container instances can be set to ACTIVE or DRAINING only.")),
    };
    let given = input.container_instances.unwrap_or_default();
    if given.is_empty() || given.len() > 10 {
        return Err(invalid("Container instances cannot be empty, and 10 can be named at most."));
    }
    let ids =
        given.iter().map(|text| names::instance_id(scope, &cluster, text)).collect::<Result<Vec<_>, _>>()?;
    let (instances, failures) = call
        .services
        .state
        .transact(|tx| {
            names::active_cluster_in(tx, scope, &cluster)?;
            let (mut instances, mut failures) = (Vec::new(), Vec::new());
            for id in &ids {
                match set_status(tx, &call, &cluster, id, status) {
                    Some(record) => instances.push(record),
                    None => failures.push(missing(
                        scope.arn("ecs", format_args!("container-instance/{cluster}/{id}")).to_string(),
                    )),
                }
            }
            Ok::<_, ApiError>((instances, failures))
        })
        .await?;
    let instances: Vec<&ContainerInstance> = instances.iter().collect();
    let instances = show(&call.services, scope, &instances, Shown::default());
    Ok(UpdateContainerInstancesStateResponse {
        container_instances: Some(instances),
        failures: Some(failures),
    })
}
