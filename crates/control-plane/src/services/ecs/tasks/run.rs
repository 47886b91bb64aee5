//! RunTask and StartTask: from a request to tasks that are committed and on their way to a node.
//!
//! Everything that a task needs before it can go to a node (its id, its interface and addresses) is decided and
//! committed in the one transaction that makes it, so that a crash leaves either no task or a whole one. What cannot be
//! placed is answered in `failures`, not thrown.

use std::{collections::BTreeMap, sync::Arc};

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    PropagateTags, RunTaskRequest, RunTaskResponse, StartTaskRequest, StartTaskResponse, errors,
};
use state_store::Tx;

use super::{
    describe,
    launch::{Launch, Launched, PLATFORM_VERSION, Where, launch, task_tags},
    token,
};
use crate::{
    convert::AwsJson,
    gateway::{ApiError, Call},
    services::{
        ecs::{
            names::{self, DefinitionName, client, cluster_name, invalid},
            records::{ClientToken, Cluster, DefinitionStatus, Task, TaskDefinition},
            tags,
        },
        tagging::Tags,
    },
};

const LONGEST_TOKEN: usize = 64;
const LARGEST_OVERRIDES: usize = 8192;

pub async fn run(call: Call, input: RunTaskRequest) -> Result<RunTaskResponse, ApiError> {
    let scope = call.scope().clone();
    let count = input.count.unwrap_or(1);
    if !(1..=10).contains(&count) {
        return Err(invalid("The count must be between 1 and 10."));
    }
    let count = count.unsigned_abs() as usize;
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
    let placement = Placement {
        constraints: input.placement_constraints.unwrap_or_default(),
        strategies: input.placement_strategy.unwrap_or_default(),
    };
    let running = BTreeMap::new();
    let Launched { tasks, failures, .. } = call
        .services
        .state
        .transact(|tx| {
            let cluster = names::active_cluster_in(tx, &scope, &prepared.cluster)?;
            if let Some(given) = &client_token
                && let Some(tasks) = token::repeated(tx, &scope, &prepared.cluster, given, &request_digest)?
            {
                return Ok(Launched { tasks, ..Launched::default() });
            }
            let definition = prepared.usable(names::find_in(tx, &scope, &prepared.definition))?;
            let place = Where::chosen(
                &cluster,
                input.launch_type,
                input.capacity_provider_strategy.as_deref(),
                &running,
            )?;
            let launched = prepared.launch(&call, tx, &cluster, &definition, place, count, &placement)?;
            if let Some(given) = &client_token
                && !launched.tasks.is_empty()
            {
                let record = ClientToken {
                    request_digest: request_digest.clone(),
                    tasks: launched.tasks.iter().map(Task::key).collect(),
                    created_at: call.now(),
                };
                tx.put(&scope, &token::key(&prepared.cluster, given), record);
            }
            Ok::<_, ApiError>(launched)
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
    let instances = instances
        .iter()
        .map(|given| names::instance_id(&scope, &prepared.cluster, given))
        .collect::<Result<Vec<_>, _>>()?;
    let placement = Placement::default();
    let Launched { tasks, failures, .. } = call
        .services
        .state
        .transact(|tx| {
            let cluster = names::active_cluster_in(tx, &scope, &prepared.cluster)?;
            let definition = prepared.usable(names::find_in(tx, &scope, &prepared.definition))?;
            let place = Where::Instances(&instances);
            prepared.launch(&call, tx, &cluster, &definition, place, instances.len(), &placement)
        })
        .await?;
    Ok(StartTaskResponse {
        tasks: Some(tasks.iter().map(|task| describe::shape(&scope, task, true)).collect()),
        failures: Some(failures),
    })
}

/// What RunTask says of placement, beside the launch type.
#[derive(Default)]
struct Placement {
    constraints: Vec<ecs::PlacementConstraint>,
    strategies: Vec<ecs::PlacementStrategy>,
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
        if parts
            .group
            .as_deref()
            .is_some_and(|group| group.starts_with("service:") || group.starts_with("daemon:"))
        {
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

    #[expect(clippy::too_many_arguments, reason = "RunTask and StartTask share it")]
    fn launch(
        &self,
        call: &Call,
        tx: &mut Tx,
        cluster: &Cluster,
        definition: &TaskDefinition,
        place: Where<'_>,
        count: usize,
        placement: &Placement,
    ) -> Result<Launched, ApiError> {
        let tags = task_tags(
            self.propagate.then_some(&definition.tags),
            &self.tags,
            self.managed_tags.then_some((self.cluster.as_str(), None)),
        )?;
        let what = Launch {
            scope: call.scope(),
            cluster,
            definition,
            count,
            place,
            network: self.network.as_ref(),
            overrides: &self.overrides,
            constraints: &placement.constraints,
            strategies: &placement.strategies,
            group: self.group.as_deref(),
            started_by: self.started_by.as_deref(),
            tags: &tags,
            enable_execute_command: self.enable_execute_command,
            platform_version: Some(&self.platform_version),
            load_balanced: false,
        };
        launch(tx, &call.services, &what, call.now(), &mut call.services.ids())
    }
}
