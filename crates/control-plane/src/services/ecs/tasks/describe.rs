//! DescribeTasks and ListTasks, and a task as the API shows it.

use std::sync::Arc;

use agent_protocol::{
    spec::LaunchType,
    state::{HealthStatus, NetworkBinding},
};
use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    DescribeTasksRequest, DescribeTasksResponse, ListTasksRequest, ListTasksResponse, TaskField,
};
use task_lifecycle::ContainerRecord;
use vocabulary::Scope;

use super::exec;
use crate::{
    convert::time,
    gateway::{ApiError, Call},
    services::ecs::{
        missing,
        names::{self, cluster_name, invalid},
        page,
        records::{
            DesiredStatus, InterfaceStatus, Task, TaskContainer, TaskInterface, definition_arn, task_key,
        },
        services::{names::service_not_found, records::Service},
        tags,
    },
};

pub async fn describe(call: Call, input: DescribeTasksRequest) -> Result<DescribeTasksResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    call.services.state.read(|view| names::active_cluster(view, scope, &cluster).map(drop))?;
    let given = input.tasks.unwrap_or_default();
    if given.is_empty() {
        return Err(invalid("Tasks cannot be empty."));
    }
    if given.len() > 100 {
        return Err(invalid("At most 100 tasks can be described at once."));
    }
    let with_tags = input.include.iter().flatten().any(|field| *field == TaskField::Tags);
    let ids =
        given.iter().map(|text| names::task_id(scope, &cluster, text)).collect::<Result<Vec<_>, _>>()?;
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    call.services.state.read(|view| {
        for id in &ids {
            match view.get::<Task>(scope, &task_key(&cluster, id)) {
                Some(task) => tasks.push(shape(scope, &task, with_tags)),
                None => {
                    failures.push(missing(scope.arn("ecs", format_args!("task/{cluster}/{id}")).to_string()));
                }
            }
        }
        Ok::<_, ApiError>(())
    })?;
    Ok(DescribeTasksResponse { tasks: Some(tasks), failures: Some(failures) })
}

pub async fn list(call: Call, input: ListTasksRequest) -> Result<ListTasksResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let filters = [
        input.family.is_some(),
        input.started_by.is_some(),
        input.service_name.is_some(),
        input.container_instance.is_some(),
    ];
    if input.started_by.is_some() && filters.iter().filter(|given| **given).count() > 1 {
        return Err(invalid("startedBy cannot be combined with other filters."));
    }
    let desired = match input.desired_status {
        // The API takes PENDING and finds nothing by it: no task's desired status is ever PENDING.
        Some(ecs::DesiredStatus::Pending) => None,
        Some(ecs::DesiredStatus::Stopped) => Some(DesiredStatus::Stopped),
        Some(ecs::DesiredStatus::Running) | None => Some(DesiredStatus::Running),
    };
    let instance = input
        .container_instance
        .as_deref()
        .map(|given| names::instance_id(scope, &cluster, given))
        .transpose()?;
    let service = input.service_name.as_ref().map(|given| {
        let name = given.rsplit('/').next().unwrap_or_default();
        format!("{cluster}/{name}")
    });
    let launch_type = input.launch_type.map(|launch_type| launch_type.as_str());
    let found: Vec<Arc<Task>> = call.services.state.read(|view| {
        names::active_cluster(view, scope, &cluster)?;
        let all: Vec<Arc<Task>> = match &service {
            Some(service) => {
                if view.get::<Service>(scope, service).is_none() {
                    return Err(service_not_found());
                }
                view.by_index::<Task>(scope, "service", service).map(|(_, task)| task).collect()
            }
            None => view.scan_prefix::<Task>(scope, &format!("{cluster}/")).map(|(_, task)| task).collect(),
        };
        Ok::<_, ApiError>(
            all.into_iter()
                .filter(|task| Some(task.desired_status) == desired)
                .filter(|task| input.family.as_ref().is_none_or(|family| task.family == *family))
                .filter(|task| input.started_by.is_none() || task.started_by == input.started_by)
                .filter(|task| instance.is_none() || task.container_instance == instance)
                .filter(|task| launch_type.is_none_or(|wanted| launch_type_name(task.launch_type) == wanted))
                .collect(),
        )
    })?;
    let list = format!("tasks/{scope}/{cluster}");
    let page = page(&call, &list, found, |task| task.id.clone(), input.next_token, input.max_results)?;
    Ok(ListTasksResponse {
        task_arns: Some(page.items.iter().map(|task| task.arn(scope)).collect()),
        next_token: page.next_token,
    })
}

fn launch_type_name(launch_type: LaunchType) -> &'static str {
    match launch_type {
        LaunchType::Fargate => "FARGATE",
        LaunchType::Ec2 => "EC2",
        LaunchType::External => "EXTERNAL",
    }
}

fn health(status: HealthStatus) -> ecs::HealthStatus {
    match status {
        HealthStatus::Healthy => ecs::HealthStatus::Healthy,
        HealthStatus::Unhealthy => ecs::HealthStatus::Unhealthy,
        HealthStatus::Unknown => ecs::HealthStatus::Unknown,
    }
}

/// As the API shows a task.
pub fn shape(scope: &Scope, task: &Task, with_tags: bool) -> ecs::Task {
    let arn = task.arn(scope);
    let some = |text: &str| Some(text.to_owned());
    ecs::Task {
        attachments: Some(task.interface.iter().map(attachment).collect()),
        attributes: Some(vec![ecs::Attribute {
            name: some("ecs.cpu-architecture"),
            value: some(std::env::consts::ARCH),
            ..ecs::Attribute::default()
        }]),
        availability_zone: Some(task.availability_zone.clone()),
        capacity_provider_name: task.capacity_provider.clone(),
        cluster_arn: Some(scope.arn("ecs", format_args!("cluster/{}", task.cluster)).to_string()),
        connectivity: task.state.connectivity_at.map(|_| ecs::Connectivity::Connected),
        connectivity_at: task.state.connectivity_at.map(time),
        container_instance_arn: task
            .container_instance
            .as_ref()
            .map(|id| scope.arn("ecs", format_args!("container-instance/{}/{id}", task.cluster)).to_string()),
        containers: Some(
            task.containers
                .iter()
                .zip(&task.state.containers)
                .map(|(made, state)| container(scope, task, &arn, made, state))
                .collect(),
        ),
        cpu: task.cpu.clone(),
        memory: task.memory.clone(),
        created_at: Some(time(task.created_at)),
        desired_status: some(task.desired_status.as_str()),
        enable_execute_command: Some(task.enable_execute_command),
        ephemeral_storage: task
            .ephemeral_storage_gib
            .map(|size| ecs::EphemeralStorage { size_in_gi_b: i32::try_from(size).ok() }),
        execution_stopped_at: task.state.execution_stopped_at.map(time),
        group: Some(task.group.clone()),
        health_status: Some(health(task.state.health_status)),
        last_status: some(task.state.last_status.as_str()),
        launch_type: ecs::LaunchType::parse(launch_type_name(task.launch_type)),
        overrides: Some(overrides(task)),
        platform_version: task.platform_version.clone(),
        platform_family: task.platform_version.as_ref().and_then(|_| some("Linux")),
        pull_started_at: task.state.pull_started_at.map(time),
        pull_stopped_at: task.state.pull_stopped_at.map(time),
        started_at: task.state.started_at.map(time),
        started_by: task.started_by.clone(),
        stop_code: task.state.stop_code.as_deref().and_then(ecs::TaskStopCode::parse),
        stopped_at: task.state.stopped_at.map(time),
        stopped_reason: task.state.stopped_reason.clone(),
        stopping_at: task.state.stopping_at.map(time),
        tags: Some(if with_tags { tags::shape(&task.tags) } else { Vec::new() }),
        task_definition_arn: Some(definition_arn(scope, &task.family, task.revision)),
        version: Some(task.version),
        task_arn: Some(arn),
        ..ecs::Task::default()
    }
}

/// The overrides with an entry for every container, as AWS shows them.
fn overrides(task: &Task) -> ecs::TaskOverride {
    let mut shown = task.overrides.0.clone();
    let given = shown.container_overrides.take().unwrap_or_default();
    let entry = |name: &String| {
        given.iter().find(|own| own.name.as_ref() == Some(name)).cloned().unwrap_or_else(|| {
            ecs::ContainerOverride { name: Some(name.clone()), ..ecs::ContainerOverride::default() }
        })
    };
    shown.container_overrides =
        Some(task.containers.iter().map(|container| entry(&container.name)).collect());
    shown.inference_accelerator_overrides.get_or_insert_default();
    shown
}

fn attachment(interface: &TaskInterface) -> ecs::Attachment {
    let detail = |name: &str, value: &str| ecs::KeyValuePair {
        name: Some(name.to_owned()),
        value: Some(value.to_owned()),
    };
    let status = match interface.status {
        InterfaceStatus::Precreated => "PRECREATED",
        InterfaceStatus::Attaching => "ATTACHING",
        InterfaceStatus::Attached => "ATTACHED",
        InterfaceStatus::Deleted => "DELETED",
    };
    ecs::Attachment {
        id: Some(interface.attachment_id.clone()),
        r#type: Some("ElasticNetworkInterface".to_owned()),
        status: Some(status.to_owned()),
        details: Some(
            [
                detail("subnetId", &interface.subnet_id),
                detail("networkInterfaceId", &interface.interface_id),
                detail("macAddress", &interface.mac_address),
                // A VPC without DNS host names gives none.
                detail("privateDnsName", &interface.private_dns_name),
                detail("privateIPv4Address", &interface.private_address.to_string()),
            ]
            .into_iter()
            .filter(|pair| pair.value.as_deref() != Some(""))
            .collect(),
        ),
    }
}

fn container(
    scope: &Scope,
    task: &Task,
    task_arn: &str,
    made: &TaskContainer,
    state: &ContainerRecord,
) -> ecs::Container {
    let interfaces = task.interface.iter().map(|interface| ecs::NetworkInterface {
        attachment_id: Some(interface.attachment_id.clone()),
        private_ipv4_address: Some(interface.private_address.to_string()),
        ..ecs::NetworkInterface::default()
    });
    ecs::Container {
        container_arn: Some(
            scope.arn("ecs", format_args!("container/{}/{}/{}", task.cluster, task.id, made.id)).to_string(),
        ),
        task_arn: Some(task_arn.to_owned()),
        name: Some(made.name.clone()),
        image: Some(made.image.clone()),
        image_digest: state.image_digest.clone(),
        runtime_id: Some(made.runtime_id.clone()),
        last_status: Some(state.last_status.as_str().to_owned()),
        exit_code: state.exit_code,
        reason: state.reason.clone(),
        network_bindings: Some(state.network_bindings.iter().map(binding).collect()),
        network_interfaces: Some(interfaces.collect()),
        health_status: Some(health(state.health_status)),
        cpu: Some(made.cpu.clone()),
        memory: made.memory.clone(),
        memory_reservation: made.memory_reservation.clone(),
        managed_agents: exec::managed_agent(task, state).map(|agent| vec![agent]),
        ..ecs::Container::default()
    }
}

fn binding(binding: &NetworkBinding) -> ecs::NetworkBinding {
    let (container_port_range, host_port_range) = binding.ranges().unzip();
    let single = container_port_range.is_none();
    ecs::NetworkBinding {
        bind_ip: Some(binding.bind_ip.clone()),
        container_port: single.then_some(i32::from(binding.container_port)),
        host_port: single.then_some(i32::from(binding.host_port)),
        container_port_range,
        host_port_range,
        protocol: ecs::TransportProtocol::parse(&binding.protocol),
    }
}
