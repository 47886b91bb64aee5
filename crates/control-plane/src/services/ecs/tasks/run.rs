//! RunTask and StartTask: from a request to tasks that are committed and on their way to a node.
//!
//! Everything that a task needs before it can go to a node (its id, its interface and addresses) is decided and
//! committed in the one transaction that makes it, so that a crash leaves either no task or a whole one. What cannot be
//! placed is answered in `failures`, not thrown.

use std::sync::Arc;

use agent_protocol::{spec::LaunchType, state::TaskStatus};
use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    Compatibility, Failure, NetworkMode, PropagateTags, RunTaskRequest, RunTaskResponse, StartTaskRequest,
    StartTaskResponse, errors,
};
use state_store::{Tx, View};
use task_lifecycle::TaskRecord;
use vocabulary::{Ids, Scope};

use super::{
    describe,
    targets::{Target, targets},
    token,
};
use crate::{
    convert::AwsJson,
    gateway::{ApiError, Call},
    services::{
        ec2::interfaces::{self, InterfaceRequest},
        ecs::{
            definitions::{cpu_units, fargate_offers, memory_mib},
            names::{self, DefinitionName, client, cluster_name, invalid},
            records::{
                ClientToken, ContainerInstance, DefinitionStatus, DesiredStatus, InterfaceStatus, Task,
                TaskContainer, TaskDefinition, TaskInterface,
            },
            tags,
        },
        tagging::{self, Tags},
    },
};

/// The platform version that `LATEST` stands for.
pub const PLATFORM_VERSION: &str = "1.4.0";
const LONGEST_TOKEN: usize = 64;
const LARGEST_OVERRIDES: usize = 8192;

pub async fn run(call: Call, input: RunTaskRequest) -> Result<RunTaskResponse, ApiError> {
    let scope = call.scope().clone();
    let count = input.count.unwrap_or(1);
    if !(1..=10).contains(&count) {
        return Err(invalid("The count must be between 1 and 10."));
    }
    let request_digest = token::digest(&input);
    let prepared = Prepared::new(
        &call,
        Parts {
            cluster: input.cluster,
            definition: input.task_definition.unwrap_or_default(),
            overrides: input.overrides,
            network: input.network_configuration,
            started_by: input.started_by,
            group: input.group,
            tags: input.tags,
            propagate: input.propagate_tags,
            managed_tags: input.enable_ecs_managed_tags == Some(true),
            enable_execute_command: input.enable_execute_command.unwrap_or(false),
            platform_version: input.platform_version,
        },
    )?;
    if input.launch_type.is_some()
        && input.capacity_provider_strategy.as_ref().is_some_and(|items| !items.is_empty())
    {
        return Err(invalid("Specify either a launch type or a capacity provider strategy, not both."));
    }
    let on_instances = input.launch_type.is_some_and(|launch_type| launch_type != ecs::LaunchType::Fargate);
    let placed = |given: bool, what: &str| {
        if given && !on_instances {
            return Err(invalid(format!("Tasks on FARGATE do not support {what}.")));
        }
        Ok(())
    };
    placed(
        input.placement_constraints.as_ref().is_some_and(|given| !given.is_empty()),
        "placement constraints",
    )?;
    placed(input.placement_strategy.as_ref().is_some_and(|given| !given.is_empty()), "placement strategies")?;
    if input.volume_configurations.as_ref().is_some_and(|given| !given.is_empty()) {
        return Err(ApiError::undeclared(
            "NotImplemented",
            501,
            "Longshore does not implement EBS volumes yet.",
        ));
    }
    let client_token = input.client_token.filter(|token| !token.is_empty());
    if client_token.as_ref().is_some_and(|token| token.len() > LONGEST_TOKEN) {
        return Err(invalid(format!("The client token can be {LONGEST_TOKEN} characters long at most.")));
    }
    let (tasks, failures) = call
        .services
        .state
        .transact(|tx| {
            let cluster = names::active_cluster_in(tx, &scope, &prepared.cluster)?;
            if let Some(given) = &client_token
                && let Some(answer) = token::repeated(tx, &scope, &prepared.cluster, given, &request_digest)?
            {
                return Ok((answer, Vec::new()));
            }
            let definition = prepared.usable(names::find_in(tx, &scope, &prepared.definition))?;
            let targets =
                targets(&cluster, input.launch_type, input.capacity_provider_strategy.as_deref(), count)?;
            let (mut tasks, mut failures) = (Vec::new(), Vec::new());
            for target in targets {
                match target {
                    Target::Fargate(provider) => {
                        tasks.push(prepared.start_on_fargate(&call, tx, &definition, provider)?);
                    }
                    Target::Ec2(launch_type) => {
                        prepared.check_launch(&definition, launch_type)?;
                        failures.push(no_instance(tx.view(), &scope, &prepared.cluster)?);
                    }
                }
            }
            if let Some(given) = &client_token
                && !tasks.is_empty()
            {
                let record = ClientToken {
                    request_digest: request_digest.clone(),
                    tasks: tasks.iter().map(Task::key).collect(),
                    created_at: call.now(),
                };
                tx.put(&scope, &token::key(&prepared.cluster, given), record);
            }
            Ok::<_, ApiError>((tasks, failures))
        })
        .await?;
    Ok(RunTaskResponse {
        tasks: Some(tasks.iter().map(|task| describe::shape(&scope, task, true)).collect()),
        failures: Some(failures),
    })
}

pub async fn start(call: Call, input: StartTaskRequest) -> Result<StartTaskResponse, ApiError> {
    let scope = call.scope().clone();
    let instances = input.container_instances.unwrap_or_default();
    if !(1..=10).contains(&instances.len()) {
        return Err(invalid("Container instances cannot be empty, and 10 can be named at most."));
    }
    let prepared = Prepared::new(
        &call,
        Parts {
            cluster: input.cluster,
            definition: input.task_definition.unwrap_or_default(),
            overrides: input.overrides,
            network: input.network_configuration,
            started_by: input.started_by,
            group: input.group,
            tags: input.tags,
            propagate: input.propagate_tags,
            managed_tags: input.enable_ecs_managed_tags == Some(true),
            enable_execute_command: input.enable_execute_command.unwrap_or(false),
            platform_version: None,
        },
    )?;
    let failures = call.services.state.read(|view| {
        names::active_cluster(view, &scope, &prepared.cluster)?;
        let definition = prepared.usable(prepared.definition.find(view, &scope))?;
        prepared.check_launch(&definition, LaunchType::Ec2)?;
        instances
            .iter()
            .map(|given| {
                let id = names::instance_id(&scope, &prepared.cluster, given)?;
                let key = format!("{}/{id}", prepared.cluster);
                let arn = scope.arn("ecs", format_args!("container-instance/{key}")).to_string();
                // An instance that is registered but whose agent is not connected cannot take a task.
                let reason =
                    if view.get::<ContainerInstance>(&scope, &key).is_some() { "AGENT" } else { "MISSING" };
                Ok(Failure { arn: Some(arn), reason: Some(reason.to_owned()), detail: None })
            })
            .collect::<Result<Vec<_>, ApiError>>()
    })?;
    Ok(StartTaskResponse { tasks: Some(Vec::new()), failures: Some(failures) })
}

/// What RunTask and StartTask have in common.
struct Parts {
    cluster: Option<String>,
    definition: String,
    overrides: Option<ecs::TaskOverride>,
    network: Option<ecs::NetworkConfiguration>,
    started_by: Option<String>,
    group: Option<String>,
    tags: Option<Vec<ecs::Tag>>,
    propagate: Option<PropagateTags>,
    managed_tags: bool,
    enable_execute_command: bool,
    platform_version: Option<String>,
}

/// A request with everything checked that needs no state.
struct Prepared {
    cluster: String,
    definition: DefinitionName,
    overrides: AwsJson<ecs::TaskOverride>,
    network: Option<ecs::AwsVpcConfiguration>,
    started_by: Option<String>,
    group: Option<String>,
    tags: Tags,
    propagate: bool,
    managed_tags: bool,
    enable_execute_command: bool,
    platform_version: String,
}

impl Prepared {
    fn new(call: &Call, parts: Parts) -> Result<Prepared, ApiError> {
        let scope = call.scope();
        if parts.definition.is_empty() {
            return Err(client("TaskDefinition can not be blank."));
        }
        if parts.started_by.as_deref().is_some_and(|text| text.len() > 128) {
            return Err(invalid("startedBy can be 128 characters long at most."));
        }
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/".contains(&byte);
        if parts.started_by.as_deref().is_some_and(|text| !text.bytes().all(letter)) {
            return Err(invalid(
                "startedBy can hold letters, numbers, hyphens, underscores and forward slashes only.",
            ));
        }
        if parts.group.as_deref().is_some_and(|group| group.starts_with("service:")) {
            return Err(invalid("The group of a task cannot begin with service:, which is reserved."));
        }
        let overrides = AwsJson(parts.overrides.unwrap_or_default());
        if overrides.json().len() > LARGEST_OVERRIDES {
            return Err(invalid(format!("Overrides can be {LARGEST_OVERRIDES} characters long at most.")));
        }
        let platform_version = match parts.platform_version.as_deref() {
            None | Some("LATEST" | "") => PLATFORM_VERSION.to_owned(),
            Some(version @ ("1.4.0" | "1.3.0")) => version.to_owned(),
            Some(_) => {
                return Err(ApiError::new(
                    &errors::PLATFORM_UNKNOWN_EXCEPTION,
                    "The specified platform version does not exist.",
                ));
            }
        };
        Ok(Prepared {
            cluster: cluster_name(scope, parts.cluster.as_deref())?,
            definition: DefinitionName::parse(scope, &parts.definition)?,
            overrides,
            network: parts.network.and_then(|network| network.awsvpc_configuration),
            started_by: parts.started_by,
            group: parts.group,
            tags: tags::checked(parts.tags)?,
            propagate: parts.propagate == Some(PropagateTags::TaskDefinition),
            managed_tags: parts.managed_tags,
            enable_execute_command: parts.enable_execute_command,
            platform_version,
        })
    }

    /// The definition that was found, if tasks may be started of it with these overrides.
    fn usable(&self, found: Option<Arc<TaskDefinition>>) -> Result<Arc<TaskDefinition>, ApiError> {
        let found = found.ok_or_else(|| client("TaskDefinition not found."))?;
        if found.status != DefinitionStatus::Active {
            return Err(client("TaskDefinition is inactive"));
        }
        for own in self.overrides.0.container_overrides.iter().flatten() {
            let name = own.name.as_deref().unwrap_or_default();
            let mut containers = found.definition.0.container_definitions.iter().flatten();
            if !containers.any(|container| container.name.as_deref() == Some(name)) {
                return Err(invalid(format!(
                    "Override for container named {name} is not a container in the TaskDefinition."
                )));
            }
        }
        Ok(found)
    }

    /// Whether the definition may run there with the network configuration that was given.
    fn check_launch(&self, definition: &TaskDefinition, launch_type: LaunchType) -> Result<(), ApiError> {
        let shape = &definition.definition.0;
        let (needed, name) = match launch_type {
            LaunchType::Fargate => (Compatibility::Fargate, "FARGATE"),
            LaunchType::Ec2 => (Compatibility::Ec2, "EC2"),
            LaunchType::External => (Compatibility::External, "EXTERNAL"),
        };
        if !shape.compatibilities.iter().flatten().any(|compatible| *compatible == needed) {
            return Err(invalid(format!("Task definition does not support launch_type {name}.")));
        }
        match (shape.network_mode == Some(NetworkMode::Awsvpc), &self.network) {
            (true, None) => {
                Err(invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified."))
            }
            (false, Some(_)) => Err(invalid(
                "Network Configuration is not valid for the given networkMode of this task definition.",
            )),
            _ => Ok(()),
        }
    }

    fn start_on_fargate(
        &self,
        call: &Call,
        tx: &mut Tx,
        definition: &TaskDefinition,
        provider: Option<String>,
    ) -> Result<Task, ApiError> {
        self.check_launch(definition, LaunchType::Fargate)?;
        let scope = call.scope();
        let shape = &definition.definition.0;
        let (cpu, memory) = self.size(definition)?;
        let network = self.network.as_ref().ok_or_else(|| {
            invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
        })?;
        let mut ids = call.services.ids();
        let id = ids.hex(32);
        let arn = scope.arn("ecs", format_args!("task/{}/{id}", self.cluster)).to_string();
        let attachment_id = ids.uuid();
        let interface = interfaces::create_for_task(
            tx,
            scope,
            InterfaceRequest {
                subnets: network.subnets.as_deref().unwrap_or_default(),
                security_groups: network.security_groups.as_deref().unwrap_or_default(),
                public_address: (network.assign_public_ip == Some(ecs::AssignPublicIp::Enabled))
                    .then_some(call.services.settings.public_pool),
                description: scope.arn("ecs", format_args!("attachment/{attachment_id}")).to_string(),
                now: call.now(),
            },
            &mut ids,
        )?;
        let mut task_tags = if self.propagate { definition.tags.clone() } else { Tags::new() };
        task_tags =
            tagging::merged(task_tags, self.tags.clone()).map_err(|error| invalid(error.to_string()))?;
        if self.managed_tags {
            task_tags.insert("aws:ecs:clusterName".to_owned(), self.cluster.clone());
        }
        let task = Task {
            containers: containers(definition, &id, &mut ids),
            id,
            cluster: self.cluster.clone(),
            family: definition.family.clone(),
            revision: definition.revision,
            launch_type: LaunchType::Fargate,
            capacity_provider: provider,
            platform_version: Some(self.platform_version.clone()),
            container_instance: None,
            availability_zone: interface.availability_zone.clone(),
            group: self.group.clone().unwrap_or_else(|| format!("family:{}", definition.family)),
            started_by: self.started_by.clone(),
            enable_execute_command: self.enable_execute_command,
            cpu: Some(cpu.to_string()),
            memory: Some(memory.to_string()),
            ephemeral_storage_gib: Some(self.storage(shape)?),
            overrides: self.overrides.clone(),
            tags: task_tags,
            state: TaskRecord::new(TaskStatus::Provisioning, container_names(definition)),
            desired_status: DesiredStatus::Running,
            version: 1,
            payload_sequence: 1,
            interface: Some(TaskInterface {
                attachment_id,
                status: InterfaceStatus::Precreated,
                interface_id: interface.id.clone(),
                subnet_id: interface.subnet_id.clone(),
                mac_address: interface.mac_address.to_string(),
                private_address: interface.private_address,
                private_dns_name: interface.private_dns_name,
            }),
            created_at: call.now(),
            protected_until: None,
        };
        debug_assert_eq!(task.arn(scope), arn);
        tx.put(scope, &task.key(), task.clone());
        Ok(task)
    }

    /// CPU units and MiB, overrides applied.
    fn size(&self, definition: &TaskDefinition) -> Result<(u32, u32), ApiError> {
        let shape = &definition.definition.0;
        let pick = |own: &Option<String>, defined: &Option<String>| {
            own.clone().or_else(|| defined.clone()).unwrap_or_default()
        };
        let cpu = cpu_units(&pick(&self.overrides.0.cpu, &shape.cpu)).unwrap_or(0);
        let memory = memory_mib(&pick(&self.overrides.0.memory, &shape.memory)).unwrap_or(0);
        if !fargate_offers(cpu, memory) {
            return Err(client(format!(
                "No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the Amazon ECS documentation for the valid values."
            )));
        }
        Ok((cpu, memory))
    }

    fn storage(&self, shape: &ecs::TaskDefinition) -> Result<u32, ApiError> {
        let given = self.overrides.0.ephemeral_storage.as_ref().or(shape.ephemeral_storage.as_ref());
        match given.and_then(|storage| storage.size_in_gi_b) {
            None => Ok(20),
            Some(size @ 21..=200) => Ok(size.unsigned_abs()),
            Some(_) => Err(invalid("Ephemeral storage size should be between 21 and 200 GiB.")),
        }
    }
}

fn container_names(definition: &TaskDefinition) -> impl Iterator<Item = String> + '_ {
    definition
        .definition
        .0
        .container_definitions
        .iter()
        .flatten()
        .map(|container| container.name.clone().unwrap_or_default())
}

fn containers(definition: &TaskDefinition, task_id: &str, ids: &mut dyn Ids) -> Vec<TaskContainer> {
    let number = |value: Option<i32>| value.map(|value| value.to_string());
    let containers = definition.definition.0.container_definitions.iter().flatten();
    containers
        .map(|container| TaskContainer {
            id: ids.uuid(),
            name: container.name.clone().unwrap_or_default(),
            image: container.image.clone().unwrap_or_default(),
            runtime_id: format!("{task_id}-{}", ids.digits(10)),
            cpu: number(container.cpu).unwrap_or_else(|| "0".to_owned()),
            memory: number(container.memory),
            memory_reservation: number(container.memory_reservation),
        })
        .collect()
}

/// Why no container instance takes the task.
fn no_instance(view: &View, scope: &Scope, cluster: &str) -> Result<Failure, ApiError> {
    match view.scan_prefix::<ContainerInstance>(scope, &format!("{cluster}/")).next() {
        None => Err(invalid("No Container Instances were found in your cluster.")),
        Some((key, _)) => Ok(Failure {
            arn: Some(scope.arn("ecs", format_args!("container-instance/{key}")).to_string()),
            reason: Some("AGENT".to_owned()),
            detail: None,
        }),
    }
}
