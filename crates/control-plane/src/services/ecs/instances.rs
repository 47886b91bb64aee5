//! Container instances: what an agent registers, and what operators see of it.
//!
//! An instance without a connected agent takes no tasks; RunTask and StartTask answer `AGENT` for it.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    ContainerInstanceField, ContainerInstanceStatus, DeregisterContainerInstanceRequest,
    DeregisterContainerInstanceResponse, DescribeContainerInstancesRequest,
    DescribeContainerInstancesResponse, ListContainerInstancesRequest, ListContainerInstancesResponse,
    RegisterContainerInstanceRequest, RegisterContainerInstanceResponse,
    UpdateContainerInstancesStateRequest, UpdateContainerInstancesStateResponse,
};
use state_store::View;
use vocabulary::{Ids, Scope};

use super::{
    missing,
    names::{self, cluster_name, invalid},
    records::{Attribute, ContainerInstance, InstanceStatus, Task},
    tags,
};
use crate::{
    convert::{AwsJson, time},
    gateway::{ApiError, Call},
};
use agent_protocol::state::TaskStatus;

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
        remaining_resources: input.total_resources.clone(),
        registered_resources: input.total_resources,
        attributes: Some(input.attributes.unwrap_or_default()),
        ..ecs::ContainerInstance::default()
    });
    let shown = call
        .services
        .state
        .transact(|tx| {
            names::active_cluster_in(tx, scope, &cluster)?;
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
            Ok::<_, ApiError>(shape(tx.view(), scope, &record, true))
        })
        .await?;
    Ok(RegisterContainerInstanceResponse { container_instance: Some(shown) })
}

pub async fn deregister(
    call: Call,
    input: DeregisterContainerInstanceRequest,
) -> Result<DeregisterContainerInstanceResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let id = names::instance_id(scope, &cluster, input.container_instance.as_deref().unwrap_or_default())?;
    let shown = call
        .services
        .state
        .transact(|tx| {
            names::active_cluster_in(tx, scope, &cluster)?;
            let record = tx
                .get::<ContainerInstance>(scope, &key(&cluster, &id))
                .ok_or_else(|| invalid("The specified container instance is not registered."))?;
            let runs = |task: &Task| {
                task.container_instance.as_deref() == Some(id.as_str())
                    && task.state.last_status != TaskStatus::Stopped
            };
            let busy =
                tx.scan_prefix::<Task>(scope, &format!("{cluster}/")).iter().any(|(_, task)| runs(task));
            if busy && input.force != Some(true) {
                return Err(invalid("Found running tasks on the instance."));
            }
            let mut shown = shape(tx.view(), scope, &record, true);
            shown.status = Some("INACTIVE".to_owned());
            tx.delete::<ContainerInstance>(scope, &key(&cluster, &id));
            for (attribute, _) in tx.scan_prefix::<Attribute>(scope, &format!("{cluster}/{id}/")) {
                tx.delete::<Attribute>(scope, &attribute);
            }
            Ok::<_, ApiError>(shown)
        })
        .await?;
    Ok(DeregisterContainerInstanceResponse { container_instance: Some(shown) })
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
    let with_tags = input.include.iter().flatten().any(|field| *field == ContainerInstanceField::Tags);
    let ids =
        given.iter().map(|text| names::instance_id(scope, &cluster, text)).collect::<Result<Vec<_>, _>>()?;
    let (mut instances, mut failures) = (Vec::new(), Vec::new());
    call.services.state.read(|view| {
        names::active_cluster(view, scope, &cluster)?;
        for id in &ids {
            match view.get::<ContainerInstance>(scope, &key(&cluster, id)) {
                Some(record) => instances.push(shape(view, scope, &record, with_tags)),
                None => failures.push(missing(
                    scope.arn("ecs", format_args!("container-instance/{cluster}/{id}")).to_string(),
                )),
            }
        }
        Ok::<_, ApiError>(())
    })?;
    Ok(DescribeContainerInstancesResponse { container_instances: Some(instances), failures: Some(failures) })
}

pub async fn list(
    call: Call,
    input: ListContainerInstancesRequest,
) -> Result<ListContainerInstancesResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    if input.filter.is_some() {
        return Err(ApiError::undeclared(
            "NotImplemented",
            501,
            "Longshore does not implement the cluster query language yet.",
        ));
    }
    let status = match input.status {
        None | Some(ContainerInstanceStatus::Active) => Some(InstanceStatus::Active),
        Some(ContainerInstanceStatus::Draining) => Some(InstanceStatus::Draining),
        // Registering and deregistering take no time here, so nothing is ever seen in between.
        Some(_) => None,
    };
    let arns: Vec<String> = call.services.state.read(|view| {
        names::active_cluster(view, scope, &cluster)?;
        let all = view.scan_prefix::<ContainerInstance>(scope, &format!("{cluster}/"));
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
                let Some(found) = tx.get::<ContainerInstance>(scope, &key(&cluster, id)) else {
                    failures.push(missing(
                        scope.arn("ecs", format_args!("container-instance/{cluster}/{id}")).to_string(),
                    ));
                    continue;
                };
                let mut record = (*found).clone();
                record.status = status;
                record.version += 1;
                instances.push(shape(tx.view(), scope, &record, false));
                tx.put(scope, &key(&cluster, id), record);
            }
            Ok::<_, ApiError>((instances, failures))
        })
        .await?;
    Ok(UpdateContainerInstancesStateResponse {
        container_instances: Some(instances),
        failures: Some(failures),
    })
}

/// As the API shows an instance, counts and custom attributes included.
fn shape(view: &View, scope: &Scope, record: &ContainerInstance, with_tags: bool) -> ecs::ContainerInstance {
    let mine = |task: &Task| task.container_instance.as_deref() == Some(record.id.as_str());
    let count = |status: TaskStatus| {
        let tasks = view.scan_prefix::<Task>(scope, &format!("{}/", record.cluster));
        i32::try_from(tasks.filter(|(_, task)| mine(task) && task.state.last_status == status).count()).ok()
    };
    let mut attributes = record.description.0.attributes.clone().unwrap_or_default();
    for (_, custom) in view.scan_prefix::<Attribute>(scope, &format!("{}/{}/", record.cluster, record.id)) {
        attributes.retain(|attribute| attribute.name.as_ref() != Some(&custom.name));
        attributes.push(ecs::Attribute {
            name: Some(custom.name.clone()),
            value: custom.value.clone(),
            ..ecs::Attribute::default()
        });
    }
    ecs::ContainerInstance {
        container_instance_arn: Some(
            scope.arn("ecs", format_args!("container-instance/{}/{}", record.cluster, record.id)).to_string(),
        ),
        ec2_instance_id: record.ec2_instance_id.clone(),
        status: Some(
            match record.status {
                InstanceStatus::Active => "ACTIVE",
                InstanceStatus::Draining => "DRAINING",
            }
            .to_owned(),
        ),
        version: Some(record.version),
        agent_connected: Some(record.agent_connected),
        running_tasks_count: count(TaskStatus::Running),
        pending_tasks_count: count(TaskStatus::Pending),
        attributes: Some(attributes),
        attachments: Some(Vec::new()),
        registered_at: Some(time(record.registered_at)),
        tags: Some(if with_tags { tags::shape(&record.tags) } else { Vec::new() }),
        ..record.description.0.clone()
    }
}
