//! What is asked of an express service: checked, defaults filled in, and as a task definition.

use aws_shapes_ecs as ecs;

use crate::{
    gateway::{ApiError, Call},
    services::ecs::{
        definitions,
        names::{DefinitionName, client, invalid},
        services::{check, names::not_implemented},
    },
};

/// The container that requests go to.
pub const MAIN: &str = "Main";
const DEFAULT_PORT: i32 = 80;
const DEFAULT_PATH: &str = "/ping";
const DEFAULT_CPU: &str = "256";
const DEFAULT_MEMORY: &str = "512";

/// What both operations may say.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub container: Option<ecs::ExpressGatewayContainer>,
    pub definition: Option<String>,
    pub execution_role: Option<String>,
    pub task_role: Option<String>,
    pub cpu: Option<String>,
    pub memory: Option<String>,
    pub architecture: Option<ecs::ExpressCpuArchitecture>,
    pub path: Option<String>,
    pub network: Option<ecs::ExpressGatewayServiceNetworkConfiguration>,
    pub scaling: Option<ecs::ExpressGatewayScalingTarget>,
}

/// `asked` laid over what there is, defaults filled in.
///
/// # Errors
/// `InvalidParameterException`, and 501 for automatic scaling.
pub fn wanted(
    mut there: ecs::ExpressGatewayServiceConfiguration,
    asked: Asked,
) -> Result<ecs::ExpressGatewayServiceConfiguration, ApiError> {
    if asked.definition.is_some() {
        let own = asked.container.is_some()
            || asked.execution_role.is_some()
            || asked.task_role.is_some()
            || asked.cpu.is_some()
            || asked.memory.is_some();
        if own {
            return Err(invalid(
                "primaryContainer, executionRoleArn, taskRoleArn, cpu and memory cannot be specified together with taskDefinitionArn.",
            ));
        }
        there = ecs::ExpressGatewayServiceConfiguration {
            task_definition_arn: asked.definition,
            health_check_path: there.health_check_path,
            network_configuration: there.network_configuration,
            scaling_target: there.scaling_target,
            ..Default::default()
        };
    } else if asked.container.is_some() {
        there.task_definition_arn = None;
        there.primary_container = asked.container;
    }
    fn over<T>(there: &mut Option<T>, given: Option<T>) {
        if given.is_some() {
            *there = given;
        }
    }
    over(&mut there.execution_role_arn, asked.execution_role);
    over(&mut there.task_role_arn, asked.task_role);
    over(&mut there.cpu, asked.cpu);
    over(&mut there.memory, asked.memory);
    over(&mut there.cpu_architecture, asked.architecture);
    over(&mut there.health_check_path, asked.path.filter(|path| !path.is_empty()));
    over(&mut there.network_configuration, asked.network);
    let path = there.health_check_path.get_or_insert_with(|| DEFAULT_PATH.to_owned());
    if !path.starts_with('/') {
        return Err(invalid("healthCheckPath must start with a forward slash."));
    }
    there.scaling_target = Some(scaling(asked.scaling, there.scaling_target.as_ref())?);
    if there.task_definition_arn.is_some() {
        return Ok(there);
    }
    let Some(container) = &mut there.primary_container else {
        return Err(invalid("primaryContainer or taskDefinitionArn must be specified."));
    };
    if container.image.as_deref().unwrap_or_default().is_empty() {
        return Err(invalid("The image of primaryContainer cannot be empty."));
    }
    let port = container.container_port.get_or_insert(DEFAULT_PORT);
    if !(1..=65535).contains(port) {
        return Err(invalid("The containerPort of primaryContainer must be between 1 and 65535."));
    }
    if there.execution_role_arn.as_deref().unwrap_or_default().is_empty() {
        return Err(invalid("executionRoleArn must be specified."));
    }
    there.cpu.get_or_insert_with(|| DEFAULT_CPU.to_owned());
    there.memory.get_or_insert_with(|| DEFAULT_MEMORY.to_owned());
    Ok(there)
}

/// As many tasks as the minimum. Nothing changes their number, so whoever asks for that is told.
fn scaling(
    given: Option<ecs::ExpressGatewayScalingTarget>,
    there: Option<&ecs::ExpressGatewayScalingTarget>,
) -> Result<ecs::ExpressGatewayScalingTarget, ApiError> {
    let before = there.and_then(|there| there.min_task_count).unwrap_or(1);
    let given = given.unwrap_or_default();
    let least = given.min_task_count.unwrap_or(before);
    check::desired_count(least)?;
    let most = given.max_task_count.unwrap_or(least);
    if most < least {
        return Err(invalid("maxTaskCount cannot be less than minTaskCount."));
    }
    if most > least || given.auto_scaling_metric.is_some() || given.auto_scaling_target_value.is_some() {
        return Err(not_implemented("automatic scaling of express gateway services"));
    }
    Ok(ecs::ExpressGatewayScalingTarget {
        min_task_count: Some(least),
        max_task_count: Some(least),
        auto_scaling_metric: None,
        auto_scaling_target_value: None,
    })
}

/// The task definition of a configuration: the one that it names, or a new revision of the service's family. And the port of [`MAIN`].
///
/// # Errors
/// Those of RegisterTaskDefinition; `InvalidParameterException` for a definition without what is needed.
pub async fn definition(
    call: &Call,
    cluster: &str,
    name: &str,
    wanted: &ecs::ExpressGatewayServiceConfiguration,
) -> Result<(String, i32), ApiError> {
    if let Some(given) = &wanted.task_definition_arn {
        return given_definition(call, given);
    }
    let container = wanted.primary_container.clone().unwrap_or_default();
    let port = container.container_port.unwrap_or(DEFAULT_PORT);
    let logs =
        container.aws_logs_configuration.unwrap_or_else(|| ecs::ExpressGatewayServiceAwsLogsConfiguration {
            log_group: Some(format!("/aws/ecs/{cluster}/{name}")),
            log_stream_prefix: Some("ecs".to_owned()),
        });
    let options = [
        ("awslogs-group", logs.log_group.unwrap_or_default()),
        ("awslogs-stream-prefix", logs.log_stream_prefix.unwrap_or_default()),
        ("awslogs-region", call.scope().region.to_string()),
        ("awslogs-create-group", "true".to_owned()),
    ];
    let main = ecs::ContainerDefinition {
        name: Some(MAIN.to_owned()),
        image: container.image,
        essential: Some(true),
        command: container.command,
        environment: container.environment,
        secrets: container.secrets,
        repository_credentials: container
            .repository_credentials
            .map(|given| ecs::RepositoryCredentials { credentials_parameter: given.credentials_parameter }),
        port_mappings: Some(vec![ecs::PortMapping {
            name: Some(format!("main-{port}-tcp")),
            container_port: Some(port),
            protocol: Some(ecs::TransportProtocol::Tcp),
            ..Default::default()
        }]),
        log_configuration: Some(ecs::LogConfiguration {
            log_driver: Some(ecs::LogDriver::Awslogs),
            options: Some(options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let architecture = wanted.cpu_architecture.map(|given| ecs::RuntimePlatform {
        cpu_architecture: ecs::CPUArchitecture::parse(given.as_str()),
        ..Default::default()
    });
    let input = ecs::RegisterTaskDefinitionRequest {
        family: Some(family(cluster, name)),
        network_mode: Some(ecs::NetworkMode::Awsvpc),
        requires_compatibilities: Some(vec![ecs::Compatibility::Fargate]),
        cpu: wanted.cpu.clone(),
        memory: wanted.memory.clone(),
        execution_role_arn: wanted.execution_role_arn.clone(),
        task_role_arn: wanted.task_role_arn.clone(),
        runtime_platform: architecture,
        container_definitions: Some(vec![main]),
        ..Default::default()
    };
    let made = definitions::register(call.clone(), input).await?.task_definition.unwrap_or_default();
    Ok((made.task_definition_arn.unwrap_or_default(), port))
}

/// `CLUSTER-NAME`, as far as a family's name goes.
fn family(cluster: &str, name: &str) -> String {
    format!("{cluster}-{name}").chars().take(255).collect()
}

fn given_definition(call: &Call, given: &str) -> Result<(String, i32), ApiError> {
    let parsed = DefinitionName::parse(call.scope(), given)?;
    let found = call.services.state.read(|view| parsed.find(view, call.scope()));
    let found = found.ok_or_else(|| client("Unable to describe task definition."))?;
    let shape = &found.definition.0;
    if !shape.compatibilities.iter().flatten().any(|one| *one == ecs::Compatibility::Fargate) {
        return Err(invalid("The task definition must have FARGATE compatibility."));
    }
    let mut containers = shape.container_definitions.iter().flatten();
    let main = containers.find(|container| container.name.as_deref() == Some(MAIN));
    let main =
        main.ok_or_else(|| invalid(format!("The task definition must have a container named {MAIN}.")))?;
    let tcp = |mapping: &&ecs::PortMapping| {
        mapping.protocol.is_none_or(|protocol| protocol == ecs::TransportProtocol::Tcp)
    };
    let mappings: Vec<_> = main.port_mappings.iter().flatten().filter(tcp).collect();
    match mappings.as_slice() {
        [only] if only.name.is_some() && only.container_port.is_some() => {
            Ok((found.arn(call.scope()), only.container_port.unwrap_or_default()))
        }
        _ => Err(invalid(format!(
            "The container {MAIN} must have a single TCP port mapping with a container port and a name."
        ))),
    }
}
