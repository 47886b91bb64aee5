//! Making tasks, inside a transaction: what RunTask, StartTask and the services' reconciler have in common.
//!
//! Everything that a task needs before it can go to a node (its id, its place, its interface and addresses) is decided and
//! written in the one transaction that makes it, so that a crash leaves either no task or a whole one. What cannot be
//! placed is answered in `failures`, not thrown; what is wrong with the request itself is an error.
//!
//! It checks neither who may start what nor the forms of a request: its callers do.

use std::{borrow::Cow, collections::BTreeMap};

use agent_protocol::{spec::LaunchType, state::TaskStatus};
use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{Compatibility, Failure, NetworkMode};
use state_store::Tx;
use task_lifecycle::TaskRecord;
use vocabulary::{Ids, Scope, Timestamp};

use super::targets::{Target, targets};
use crate::{
    convert::AwsJson,
    gateway::ApiError,
    services::{
        Services,
        ec2::interfaces::{self, InterfaceRequest},
        ecs::{
            definitions::{cpu_units, fargate_offers, memory_mib},
            names::{client, invalid},
            placing,
            records::{
                Cluster, DesiredStatus, InterfaceStatus, Task, TaskContainer, TaskDefinition, TaskInterface,
            },
        },
        tagging::{self, Tags},
    },
};

/// The platform version that `LATEST` stands for.
pub const PLATFORM_VERSION: &str = "1.4.0";

/// Where the tasks shall run.
#[derive(Debug, Clone, Copy)]
pub enum Where<'a> {
    LaunchType(LaunchType),
    /// With the providers of a strategy. `running`: how many tasks of the same service each provider has already, so
    /// that base and weights hold over all of them; empty for RunTask.
    Strategy {
        items: &'a [ecs::CapacityProviderStrategyItem],
        running: &'a BTreeMap<String, u32>,
    },
    /// One task on each of these container instances, by id; the count is not looked at.
    Instances(&'a [String]),
}

impl<'a> Where<'a> {
    /// By launch type, else by strategy, else by the cluster's strategy, else on EC2.
    ///
    /// # Errors
    /// `InvalidParameterException` for a launch type that is not supported.
    pub fn chosen(
        cluster: &'a Cluster,
        launch_type: Option<ecs::LaunchType>,
        strategy: Option<&'a [ecs::CapacityProviderStrategyItem]>,
        running: &'a BTreeMap<String, u32>,
    ) -> Result<Where<'a>, ApiError> {
        match launch_type {
            Some(ecs::LaunchType::Fargate) => return Ok(Where::LaunchType(LaunchType::Fargate)),
            Some(ecs::LaunchType::Ec2) => return Ok(Where::LaunchType(LaunchType::Ec2)),
            Some(ecs::LaunchType::External) => return Ok(Where::LaunchType(LaunchType::External)),
            Some(other) => {
                return Err(invalid(format!("The launch type {} is not supported.", other.as_str())));
            }
            None => {}
        }
        let default = cluster.default_strategy.0.default_capacity_provider_strategy.as_deref();
        let items = strategy.filter(|items| !items.is_empty()).or(default).unwrap_or_default();
        Ok(if items.is_empty() {
            Where::LaunchType(LaunchType::Ec2)
        } else {
            Where::Strategy { items, running }
        })
    }
}

/// What shall be started. The definition is one that may be started, and has every container that is overridden.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    pub scope: &'a Scope,
    pub cluster: &'a Cluster,
    pub definition: &'a TaskDefinition,
    pub count: usize,
    pub place: Where<'a>,
    /// Of the network configuration; needed for `awsvpc`, refused for the other modes.
    pub network: Option<&'a ecs::AwsVpcConfiguration>,
    pub overrides: &'a AwsJson<ecs::TaskOverride>,
    /// Beside those of the definition. For container instances only.
    pub constraints: &'a [ecs::PlacementConstraint],
    /// For container instances only; none: random for standalone tasks, spread for those of a service.
    pub strategies: &'a [ecs::PlacementStrategy],
    /// `service:NAME`, or what RunTask was given; none: `family:FAMILY`.
    pub group: Option<&'a str>,
    pub started_by: Option<&'a str>,
    /// All of them; see [`task_tags`].
    pub tags: &'a Tags,
    pub enable_execute_command: bool,
    /// `1.4.0`, or none for what `LATEST` stands for; for FARGATE.
    pub platform_version: Option<&'a str>,
    /// Whether the task passes through ACTIVATING and DEACTIVATING, since targets are registered for it.
    pub load_balanced: bool,
}

impl Launch<'_> {
    /// The group that the tasks are of.
    pub fn group(&self) -> Cow<'_, str> {
        self.group.map_or_else(|| format!("family:{}", self.definition.family).into(), Cow::Borrowed)
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Launched {
    /// As they were written.
    pub tasks: Vec<Task>,
    /// One for each instance that was looked at and did not do, as the API shows them.
    pub failures: Vec<Failure>,
    /// Why not all could be placed, as a service's event says it behind `was unable to place a task `.
    pub unplaced: Option<String>,
}

/// Makes up to `launch.count` tasks. A transaction has room for 128 writes: 10 tasks with an interface, 50 without.
///
/// # Errors
/// `InvalidParameterException` and `ClientException` for what can never be started so: the definition does not go with the
/// launch type, subnets that do not exist, a subnet that is full.
pub fn launch(
    tx: &mut Tx,
    services: &Services,
    launch: &Launch<'_>,
    now: Timestamp,
    ids: &mut impl Ids,
) -> Result<Launched, ApiError> {
    let mut launched = Launched::default();
    if let Where::Instances(instances) = launch.place {
        placing::place_on(tx, services, launch, instances, now, ids, &mut launched)?;
        return Ok(launched);
    }
    let mut on_instances: BTreeMap<Option<String>, (LaunchType, usize)> = BTreeMap::new();
    for target in targets(launch)? {
        match target {
            Target::Fargate(provider) => {
                launched.tasks.push(on_fargate(tx, services, launch, provider, now, ids)?);
            }
            Target::Ec2(launch_type, provider) => {
                on_instances.entry(provider).or_insert((launch_type, 0)).1 += 1;
            }
        }
    }
    for (provider, (launch_type, count)) in on_instances {
        check(launch, launch_type)?;
        let wanted = placing::Wanted { launch_type, provider: provider.as_deref(), count };
        placing::place(tx, services, launch, wanted, now, ids, &mut launched)?;
    }
    Ok(launched)
}

/// The tags of a task: those propagated, overlaid by its own, and those that ECS manages when it is asked to.
///
/// # Errors
/// `InvalidParameterException` when they are too many together.
pub fn task_tags(
    propagated: Option<&Tags>,
    own: &Tags,
    managed: Option<(&str, Option<&str>)>,
) -> Result<Tags, ApiError> {
    let mut tags = tagging::merged(propagated.cloned().unwrap_or_default(), own.clone())
        .map_err(|error| invalid(error.to_string()))?;
    if let Some((cluster, service)) = managed {
        tags.insert("aws:ecs:clusterName".to_owned(), cluster.to_owned());
        if let Some(service) = service {
            tags.insert("aws:ecs:serviceName".to_owned(), service.to_owned());
        }
    }
    Ok(tags)
}

/// Whether the definition may run there with the network configuration that was given.
pub(in crate::services::ecs) fn check(launch: &Launch<'_>, launch_type: LaunchType) -> Result<(), ApiError> {
    let shape = &launch.definition.definition.0;
    let (needed, name) = match launch_type {
        LaunchType::Fargate => (Compatibility::Fargate, "FARGATE"),
        LaunchType::Ec2 => (Compatibility::Ec2, "EC2"),
        LaunchType::External => (Compatibility::External, "EXTERNAL"),
    };
    if !shape.compatibilities.iter().flatten().any(|compatible| *compatible == needed) {
        return Err(invalid(format!("Task definition does not support launch_type {name}.")));
    }
    match (shape.network_mode == Some(NetworkMode::Awsvpc), launch.network) {
        (true, None) => {
            Err(invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified."))
        }
        (false, Some(_)) => Err(invalid(
            "Network Configuration is not valid for the given networkMode of this task definition.",
        )),
        _ => Ok(()),
    }
}

fn on_fargate(
    tx: &mut Tx,
    services: &Services,
    launch: &Launch<'_>,
    provider: Option<String>,
    now: Timestamp,
    ids: &mut impl Ids,
) -> Result<Task, ApiError> {
    check(launch, LaunchType::Fargate)?;
    let refused = |what: &str| Err(invalid(format!("Tasks on FARGATE do not support {what}.")));
    if !launch.constraints.is_empty() {
        return refused("placement constraints");
    }
    if !launch.strategies.is_empty() {
        return refused("placement strategies");
    }
    let shape = &launch.definition.definition.0;
    let (cpu, memory) = fargate_size(launch)?;
    let storage = storage(launch, shape)?;
    let (interface, availability_zone) = interface(tx, services, launch, None, now, ids)?;
    let made = Made {
        launch_type: LaunchType::Fargate,
        capacity_provider: provider,
        platform_version: Some(launch.platform_version.unwrap_or(PLATFORM_VERSION).to_owned()),
        container_instance: None,
        availability_zone,
        cpu: Some(cpu.to_string()),
        memory: Some(memory.to_string()),
        ephemeral_storage_gib: Some(storage),
        interface: Some(interface),
        reserved: None,
    };
    Ok(write(tx, launch, made, now, ids))
}

/// An interface in one of the given subnets, or else of the network configuration's, and the subnet's zone.
pub(in crate::services::ecs) fn interface(
    tx: &mut Tx,
    services: &Services,
    launch: &Launch<'_>,
    subnets: Option<&[String]>,
    now: Timestamp,
    ids: &mut impl Ids,
) -> Result<(TaskInterface, String), ApiError> {
    let network = launch.network.ok_or_else(|| {
        invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    })?;
    let attachment_id = ids.uuid();
    let made = interfaces::create_for_task(
        tx,
        launch.scope,
        InterfaceRequest {
            subnets: subnets.or(network.subnets.as_deref()).unwrap_or_default(),
            security_groups: network.security_groups.as_deref().unwrap_or_default(),
            public_address: (network.assign_public_ip == Some(ecs::AssignPublicIp::Enabled))
                .then_some(services.settings.public_pool),
            description: launch.scope.arn("ecs", format_args!("attachment/{attachment_id}")).to_string(),
            now,
        },
        ids,
    )?;
    let interface = TaskInterface {
        attachment_id,
        status: InterfaceStatus::Precreated,
        interface_id: made.id.clone(),
        subnet_id: made.subnet_id.clone(),
        mac_address: made.mac_address.to_string(),
        private_address: made.private_address,
        private_dns_name: made.private_dns_name.clone(),
    };
    Ok((interface, made.availability_zone))
}

/// What differs between tasks by where they run.
pub(in crate::services::ecs) struct Made {
    pub launch_type: LaunchType,
    pub capacity_provider: Option<String>,
    pub platform_version: Option<String>,
    pub container_instance: Option<String>,
    pub availability_zone: String,
    pub cpu: Option<String>,
    pub memory: Option<String>,
    pub ephemeral_storage_gib: Option<u32>,
    pub interface: Option<TaskInterface>,
    /// What it takes of its container instance.
    pub reserved: Option<placement::Demand>,
}

/// Writes the task's record.
pub(in crate::services::ecs) fn write(
    tx: &mut Tx,
    launch: &Launch<'_>,
    made: Made,
    now: Timestamp,
    ids: &mut impl Ids,
) -> Task {
    let definition = launch.definition;
    let id = ids.hex(32);
    // The interface is what takes time before the task can wait for its node.
    let first = if made.interface.is_some() { TaskStatus::Provisioning } else { TaskStatus::Pending };
    let state = TaskRecord::new(first, container_names(definition));
    let task = Task {
        containers: containers(definition, &id, ids),
        id,
        cluster: launch.cluster.name.clone(),
        family: definition.family.clone(),
        revision: definition.revision,
        launch_type: made.launch_type,
        capacity_provider: made.capacity_provider,
        platform_version: made.platform_version,
        container_instance: made.container_instance,
        availability_zone: made.availability_zone,
        group: launch.group().into_owned(),
        started_by: launch.started_by.map(str::to_owned),
        enable_execute_command: launch.enable_execute_command,
        cpu: made.cpu,
        memory: made.memory,
        reserved: made.reserved,
        ephemeral_storage_gib: made.ephemeral_storage_gib,
        overrides: launch.overrides.clone(),
        tags: launch.tags.clone(),
        state: if launch.load_balanced { state.behind_load_balancer() } else { state },
        desired_status: DesiredStatus::Running,
        version: 1,
        payload_sequence: 1,
        interface: made.interface,
        created_at: now,
        protected_until: None,
        targets: Vec::new(),
        noted: deployment::Noted::default(),
    };
    tx.put(launch.scope, &task.key(), task.clone());
    task
}

/// CPU units and MiB, overrides applied.
fn fargate_size(launch: &Launch<'_>) -> Result<(u32, u32), ApiError> {
    let shape = &launch.definition.definition.0;
    let overrides = &launch.overrides.0;
    let pick = |own: &Option<String>, defined: &Option<String>| {
        own.clone().or_else(|| defined.clone()).unwrap_or_default()
    };
    let cpu = cpu_units(&pick(&overrides.cpu, &shape.cpu)).unwrap_or(0);
    let memory = memory_mib(&pick(&overrides.memory, &shape.memory)).unwrap_or(0);
    if !fargate_offers(cpu, memory) {
        return Err(client(format!(
            "No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the Amazon ECS documentation for the valid values."
        )));
    }
    Ok((cpu, memory))
}

fn storage(launch: &Launch<'_>, shape: &ecs::TaskDefinition) -> Result<u32, ApiError> {
    let given = launch.overrides.0.ephemeral_storage.as_ref().or(shape.ephemeral_storage.as_ref());
    match given.and_then(|storage| storage.size_in_gi_b) {
        None => Ok(20),
        Some(size @ 21..=200) => Ok(size.unsigned_abs()),
        Some(_) => Err(invalid("Ephemeral storage size should be between 21 and 200 GiB.")),
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

fn containers(definition: &TaskDefinition, task_id: &str, ids: &mut impl Ids) -> Vec<TaskContainer> {
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
