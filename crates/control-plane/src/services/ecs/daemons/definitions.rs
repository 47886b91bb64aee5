//! Daemon task definitions. Each is kept as it was given, and beside it as the task definition that is run.

use std::{collections::BTreeSet, sync::Arc};

use aws_schema::Shape;
use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    DaemonTaskDefinitionStatus as Status, DeleteDaemonTaskDefinitionRequest,
    DeleteDaemonTaskDefinitionResponse, DescribeDaemonTaskDefinitionRequest,
    DescribeDaemonTaskDefinitionResponse, ListDaemonTaskDefinitionsRequest,
    ListDaemonTaskDefinitionsResponse, RegisterDaemonTaskDefinitionRequest,
    RegisterDaemonTaskDefinitionResponse,
};
use state_store::View;
use vocabulary::Scope;

use super::records::{Definition, Latest};
use crate::{
    convert::{AwsJson, time},
    gateway::{ApiError, Call},
    services::{
        Services,
        ecs::{
            definitions::described,
            names::{client, invalid, own_resource},
            page,
            records::{DefinitionStatus, Task, TaskDefinition, definition_id},
            services::{names::not_implemented, records::Revision},
            tags,
        },
    },
};

/// The family of the task definition that is run: as in the ARN, so that it says what it is. No task definition's family has a slash.
pub fn family(daemon_family: &str) -> String {
    format!("daemon-task-definition/{daemon_family}")
}

/// The same of another shape, whose members are a part of the other's or more.
fn as_other<A: Shape + Clone, B: Shape>(given: A) -> Result<B, ApiError> {
    let value = aws_wire::document::from_json(B::TABLE, &AwsJson(given).json());
    let made = value
        .map_err(|error| error.to_string())
        .and_then(|value| B::from_value(value).map_err(|error| error.to_string()));
    made.map_err(|error| ApiError::internal(format!("a daemon's member is not a task's: {error}")))
}

pub async fn register(
    call: Call,
    input: RegisterDaemonTaskDefinitionRequest,
) -> Result<RegisterDaemonTaskDefinitionResponse, ApiError> {
    let scope = call.scope();
    if input.pid_mode == Some(ecs::DaemonPidMode::Shared)
        || input.ipc_mode == Some(ecs::DaemonIpcMode::Shared)
    {
        return Err(not_implemented("daemons that share the PID or IPC namespaces of tasks"));
    }
    let tags = tags::checked(input.tags)?;
    let mut volumes = Vec::new();
    for volume in input.volumes.iter().flatten() {
        if volume.log_driver_volume_configuration.is_some() {
            return Err(not_implemented("volumes of log drivers (logDriverVolumeConfiguration)"));
        }
        volumes.push(ecs::Volume {
            name: volume.name.clone(),
            host: volume.host.clone(),
            ..Default::default()
        });
    }
    let containers = input.container_definitions.clone().unwrap_or_default().into_iter().map(as_other);
    let task = ecs::RegisterTaskDefinitionRequest {
        family: input.family.clone(),
        container_definitions: Some(containers.collect::<Result<Vec<_>, _>>()?),
        volumes: Some(volumes),
        task_role_arn: input.task_role_arn.clone(),
        execution_role_arn: input.execution_role_arn.clone(),
        network_mode: Some(ecs::NetworkMode::Bridge),
        requires_compatibilities: Some(vec![ecs::Compatibility::Ec2]),
        cpu: input.cpu.clone(),
        memory: input.memory.clone(),
        ..Default::default()
    };
    let (name, run) = described(task)?;
    let given = AwsJson(ecs::DaemonTaskDefinition {
        container_definitions: input.container_definitions,
        volumes: Some(input.volumes.unwrap_or_default()),
        task_role_arn: input.task_role_arn,
        execution_role_arn: input.execution_role_arn,
        cpu: input.cpu,
        memory: input.memory,
        pid_mode: input.pid_mode,
        ipc_mode: input.ipc_mode,
        ..Default::default()
    });
    let made = call
        .services
        .state
        .transact(|tx| {
            let latest = tx.get::<Latest>(scope, &name).map_or(0, |latest| latest.revision) + 1;
            let definition = Definition {
                family: name.clone(),
                revision: latest,
                given: given.clone(),
                registered_at: call.now(),
                registered_by: call.principal.arn.clone(),
                delete_requested_at: None,
                tags: tags.clone(),
            };
            let run = TaskDefinition {
                family: family(&name),
                revision: latest,
                status: DefinitionStatus::Active,
                registered_at: call.now(),
                registered_by: call.principal.arn.clone(),
                deregistered_at: None,
                delete_requested_at: None,
                definition: run.clone(),
                tags: tags.clone(),
            };
            tx.put(scope, &name, Latest { revision: latest });
            tx.put(scope, &definition_id(&name, latest), definition.clone());
            tx.put(scope, &definition_id(&run.family, latest), run);
            Ok::<_, ApiError>(definition)
        })
        .await?;
    Ok(RegisterDaemonTaskDefinitionResponse { daemon_task_definition_arn: Some(made.arn(scope)) })
}

/// The definition that a family, `FAMILY:REVISION` or an ARN names; of a family the last that is ACTIVE.
pub fn find(view: &View, scope: &Scope, given: &str) -> Result<Arc<Definition>, ApiError> {
    let name = own_resource(scope, given, "daemon-task-definition")?.unwrap_or_else(|| given.to_owned());
    let missing = || client("Unable to describe daemon task definition.");
    match name.split_once(':') {
        Some((family, revision)) => {
            let revision = revision
                .parse()
                .map_err(|_| invalid(format!("Invalid revision number. Number: {revision}")))?;
            view.get::<Definition>(scope, &definition_id(family, revision)).ok_or_else(missing)
        }
        None => {
            let all = view.scan_prefix::<Definition>(scope, &format!("{name}:"));
            let active = all.map(|(_, found)| found).filter(|found| found.delete_requested_at.is_none());
            active.max_by_key(|found| found.revision).ok_or_else(missing)
        }
    }
}

fn status(definition: &Definition) -> Status {
    match definition.delete_requested_at {
        None => Status::Active,
        Some(_) => Status::DeleteInProgress,
    }
}

pub async fn describe(
    call: Call,
    input: DescribeDaemonTaskDefinitionRequest,
) -> Result<DescribeDaemonTaskDefinitionResponse, ApiError> {
    let scope = call.scope();
    let given = input.daemon_task_definition.unwrap_or_default();
    let found = call.services.state.read(|view| find(view, scope, &given))?;
    Ok(DescribeDaemonTaskDefinitionResponse {
        daemon_task_definition: Some(ecs::DaemonTaskDefinition {
            daemon_task_definition_arn: Some(found.arn(scope)),
            family: Some(found.family.clone()),
            revision: i32::try_from(found.revision).ok(),
            status: Some(status(&found)),
            registered_at: Some(time(found.registered_at)),
            registered_by: Some(found.registered_by.clone()),
            delete_requested_at: found.delete_requested_at.map(time),
            ..found.given.0.clone()
        }),
    })
}

pub async fn list(
    call: Call,
    input: ListDaemonTaskDefinitionsRequest,
) -> Result<ListDaemonTaskDefinitionsResponse, ApiError> {
    let scope = call.scope();
    if input.family.is_some() && input.family_prefix.is_some() {
        return Err(invalid("Specify either family or familyPrefix."));
    }
    use ecs::DaemonTaskDefinitionStatusFilter as Filter;
    let wanted = input.status.unwrap_or(Filter::Active);
    let matches = |found: &Definition| {
        let of_status = match wanted {
            Filter::Active => found.delete_requested_at.is_none(),
            Filter::DeleteInProgress => found.delete_requested_at.is_some(),
            Filter::All => true,
        };
        of_status
            && input.family.as_ref().is_none_or(|family| found.family == *family)
            && input.family_prefix.as_ref().is_none_or(|prefix| found.family.starts_with(prefix.as_str()))
    };
    let mut found: Vec<Arc<Definition>> = call
        .services
        .state
        .read(|view| view.scan::<Definition>(scope).map(|(_, one)| one).filter(|one| matches(one)).collect());
    found.sort_by(|one, other| (&one.family, one.revision).cmp(&(&other.family, other.revision)));
    if input.revision == Some(ecs::DaemonTaskDefinitionRevisionFilter::LastRegistered) {
        let mut seen = BTreeSet::new();
        found = found.into_iter().rev().filter(|one| seen.insert(one.family.clone())).collect();
        found.reverse();
    }
    let descending = input.sort == Some(ecs::SortOrder::Desc);
    if descending {
        found.reverse();
    }
    let list =
        format!("daemon-task-definitions/{scope}/{:?}/{:?}/{descending}", input.family, input.family_prefix);
    let numbered = found.into_iter().enumerate();
    let page =
        page(&call, &list, numbered, |(at, _)| format!("{at:010}"), input.next_token, input.max_results)?;
    let summary = |(_, found): &(usize, Arc<Definition>)| ecs::DaemonTaskDefinitionSummary {
        arn: Some(found.arn(scope)),
        registered_at: Some(time(found.registered_at)),
        registered_by: Some(found.registered_by.clone()),
        delete_requested_at: found.delete_requested_at.map(time),
        status: Some(status(found)),
    };
    Ok(ListDaemonTaskDefinitionsResponse {
        daemon_task_definitions: Some(page.items.iter().map(summary).collect()),
        next_token: page.next_token,
    })
}

/// Marks a definition for deletion; it vanishes once no daemon and no task refers to it any more ([`purge`]).
pub async fn delete(
    call: Call,
    input: DeleteDaemonTaskDefinitionRequest,
) -> Result<DeleteDaemonTaskDefinitionResponse, ApiError> {
    let scope = call.scope();
    let given = input.daemon_task_definition.unwrap_or_default();
    let arn = call
        .services
        .state
        .transact(|tx| {
            let found = find(tx.view(), scope, &given)?;
            let key = definition_id(&found.family, found.revision);
            let there = tx
                .get::<Definition>(scope, &key)
                .ok_or_else(|| client("Unable to describe daemon task definition."))?;
            if there.delete_requested_at.is_none() {
                tx.put(scope, &key, Definition { delete_requested_at: Some(call.now()), ..(*there).clone() });
            }
            Ok::<_, ApiError>(there.arn(scope))
        })
        .await?;
    call.services.purge_definitions.notify_one();
    Ok(DeleteDaemonTaskDefinitionResponse { daemon_task_definition_arn: Some(arn) })
}

/// Deletes the definitions that are marked for it and that nothing refers to.
///
/// # Errors
/// When the state cannot be changed.
pub async fn purge(services: &Services) -> Result<(), ApiError> {
    let unused: Vec<(Scope, Arc<Definition>)> = services.state.read(|view| {
        let tasks = view
            .scan_all::<Task>()
            .map(|found| (found.scope, definition_id(&found.value.family, found.value.revision)));
        let revisions = view
            .scan_all::<Revision>()
            .map(|found| (found.scope, definition_id(&found.value.family, found.value.revision)));
        let used: BTreeSet<(Scope, String)> = tasks.chain(revisions).collect();
        view.scan_all::<Definition>()
            .filter(|found| found.value.delete_requested_at.is_some())
            .filter(|found| {
                let run = definition_id(&family(&found.value.family), found.value.revision);
                !used.contains(&(found.scope.clone(), run))
            })
            .map(|found| (found.scope, found.value))
            .collect()
    });
    for (scope, definition) in unused {
        services
            .state
            .transact(|tx| {
                tx.delete::<Definition>(&scope, &definition_id(&definition.family, definition.revision));
                let run = definition_id(&family(&definition.family), definition.revision);
                tx.delete::<TaskDefinition>(&scope, &run);
                Ok::<_, ApiError>(())
            })
            .await?;
    }
    Ok(())
}
