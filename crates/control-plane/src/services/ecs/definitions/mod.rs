//! Task definitions: register, describe, list, deregister, delete.

mod containers;
mod injected;
mod logging;
pub mod ports;
mod required;
mod sizes;
mod validate;

use std::{collections::BTreeSet, sync::Arc};

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    DeleteTaskDefinitionsRequest, DeleteTaskDefinitionsResponse, DeregisterTaskDefinitionRequest,
    DeregisterTaskDefinitionResponse, DescribeTaskDefinitionRequest, DescribeTaskDefinitionResponse,
    ListTaskDefinitionFamiliesRequest, ListTaskDefinitionFamiliesResponse, ListTaskDefinitionsRequest,
    ListTaskDefinitionsResponse, RegisterTaskDefinitionRequest, RegisterTaskDefinitionResponse,
    TaskDefinitionFamilyStatus, TaskDefinitionField, TaskDefinitionStatus,
};
use vocabulary::Scope;

pub use sizes::{cpu_units, fargate_offers, memory_mib};

use super::{
    names::{DefinitionName, client, invalid},
    records::{DefinitionStatus, Family, Task, TaskDefinition, definition_id},
    tags,
};
use crate::{
    convert::{AwsJson, time},
    gateway::{ApiError, Call},
};

/// The largest definition, as JSON.
const LARGEST_DEFINITION: usize = 64 << 10;

/// A definition as a request describes it, checked, and its family. Not the request's tags.
///
/// # Errors
/// `ClientException` for the first rule that it breaks.
pub fn described(
    mut input: RegisterTaskDefinitionRequest,
) -> Result<(String, AwsJson<ecs::TaskDefinition>), ApiError> {
    let accepted = validate::check(&mut input)?;
    // As AWS shows it: plain numbers for a FARGATE size, whatever spelling it came in.
    let definition = ecs::TaskDefinition {
        container_definitions: input.container_definitions,
        volumes: Some(input.volumes.unwrap_or_default()),
        placement_constraints: Some(input.placement_constraints.unwrap_or_default()),
        task_role_arn: input.task_role_arn,
        execution_role_arn: input.execution_role_arn,
        network_mode: Some(accepted.network_mode),
        requires_compatibilities: input.requires_compatibilities,
        compatibilities: Some(accepted.compatibilities),
        cpu: accepted.cpu_units.map(|units| units.to_string()),
        memory: accepted.memory_mib.map(|mib| mib.to_string()),
        pid_mode: input.pid_mode,
        ipc_mode: input.ipc_mode,
        proxy_configuration: input.proxy_configuration,
        inference_accelerators: input.inference_accelerators,
        runtime_platform: input.runtime_platform,
        ephemeral_storage: input.ephemeral_storage,
        enable_fault_injection: input.enable_fault_injection,
        ..ecs::TaskDefinition::default()
    };
    let mut definition = AwsJson(definition);
    let size = definition.json().len();
    definition.0.requires_attributes = Some(required::attributes(&definition.0));
    if size > LARGEST_DEFINITION {
        return Err(client("Task definition is too large: it can hold 64 KiB at most."));
    }
    Ok((input.family.unwrap_or_default(), definition))
}

pub async fn register(
    call: Call,
    mut input: RegisterTaskDefinitionRequest,
) -> Result<RegisterTaskDefinitionResponse, ApiError> {
    let tags = input.tags.take();
    let (family, definition) = described(input)?;
    let tags = tags::checked(tags)?;
    let scope = call.scope().clone();
    let record = call
        .services
        .state
        .transact(|tx| {
            let mut counter =
                tx.get::<Family>(&scope, &family).map(|family| (*family).clone()).unwrap_or_default();
            counter.last_revision += 1;
            let record = TaskDefinition {
                family: family.clone(),
                revision: counter.last_revision,
                status: DefinitionStatus::Active,
                registered_at: call.now(),
                registered_by: call.principal.arn.clone(),
                deregistered_at: None,
                delete_requested_at: None,
                definition: definition.clone(),
                tags: tags.clone(),
            };
            tx.put(&scope, &definition_id(&family, counter.last_revision), record.clone());
            tx.put(&scope, &family, counter);
            Ok::<_, ApiError>(record)
        })
        .await?;
    Ok(RegisterTaskDefinitionResponse {
        tags: Some(tags::shape(&record.tags)),
        task_definition: Some(shape(&scope, &record)),
    })
}

pub async fn describe(
    call: Call,
    input: DescribeTaskDefinitionRequest,
) -> Result<DescribeTaskDefinitionResponse, ApiError> {
    let scope = call.scope();
    let name = DefinitionName::parse(scope, input.task_definition.as_deref().unwrap_or_default())?;
    let found = call.services.state.read(|view| name.find(view, scope));
    let record = found.ok_or_else(|| client("Unable to describe task definition."))?;
    let with_tags = input.include.iter().flatten().any(|field| *field == TaskDefinitionField::Tags);
    Ok(DescribeTaskDefinitionResponse {
        tags: Some(if with_tags { tags::shape(&record.tags) } else { Vec::new() }),
        task_definition: Some(shape(scope, &record)),
    })
}

pub async fn deregister(
    call: Call,
    input: DeregisterTaskDefinitionRequest,
) -> Result<DeregisterTaskDefinitionResponse, ApiError> {
    let scope = call.scope().clone();
    let given = input.task_definition.as_deref().unwrap_or_default();
    let name = DefinitionName::parse(&scope, given)?;
    let revision = name.revision.ok_or_else(|| client("Revision is missing."))?;
    let id = definition_id(&name.family, revision);
    let record = call
        .services
        .state
        .transact(|tx| {
            let found = tx
                .get::<TaskDefinition>(&scope, &id)
                .ok_or_else(|| client("Unable to describe task definition."))?;
            let mut record = (*found).clone();
            if record.status == DefinitionStatus::Active {
                record.status = DefinitionStatus::Inactive;
                record.deregistered_at = Some(call.now());
                tx.put(&scope, &id, record.clone());
            }
            Ok::<_, ApiError>(record)
        })
        .await?;
    Ok(DeregisterTaskDefinitionResponse { task_definition: Some(shape(&scope, &record)) })
}

/// Marks INACTIVE revisions for deletion; they vanish once no task refers to them any more (see [`purge`]).
pub async fn delete(
    call: Call,
    input: DeleteTaskDefinitionsRequest,
) -> Result<DeleteTaskDefinitionsResponse, ApiError> {
    let scope = call.scope().clone();
    let given = input.task_definitions.unwrap_or_default();
    if given.is_empty() || given.len() > 10 {
        return Err(invalid("Specify between 1 and 10 task definitions to delete."));
    }
    // A name that cannot be read is a failure of its own, not of the call.
    let names: Vec<(String, Option<String>)> = given
        .into_iter()
        .map(|text| {
            let name = DefinitionName::parse(&scope, &text).ok();
            let id = name.and_then(|name| Some(definition_id(&name.family, name.revision?)));
            (text, id)
        })
        .collect();
    let (definitions, failures) = call
        .services
        .state
        .transact(|tx| {
            let (mut definitions, mut failures) = (Vec::new(), Vec::new());
            for (text, id) in &names {
                let Some(id) = id else {
                    failures.push(failure(text, INVALID_IDENTIFIER));
                    continue;
                };
                let Some(found) = tx.get::<TaskDefinition>(&scope, id) else {
                    failures.push(failure(text, NOT_THERE));
                    continue;
                };
                let mut record = (*found).clone();
                match record.status {
                    DefinitionStatus::Active => {
                        failures.push(failure(&record.arn(&scope), STILL_ACTIVE));
                        continue;
                    }
                    DefinitionStatus::Inactive => {
                        record.status = DefinitionStatus::DeleteInProgress;
                        record.delete_requested_at = Some(call.now());
                        tx.put(&scope, id, record.clone());
                    }
                    DefinitionStatus::DeleteInProgress => {}
                }
                definitions.push(shape(&scope, &record));
            }
            Ok::<_, ApiError>((definitions, failures))
        })
        .await?;
    call.services.purge_definitions.notify_one();
    Ok(DeleteTaskDefinitionsResponse { task_definitions: Some(definitions), failures: Some(failures) })
}

const INVALID_IDENTIFIER: &str =
    "The specified task definition identifier is invalid. Specify a valid name or ARN and try again.";
const NOT_THERE: &str =
    "The specified task definition does not exist. Specify a valid account, family, revision and try again.";
const STILL_ACTIVE: &str =
    "The specified task definition is still in ACTIVE status. Please deregister the target and try again.";

fn failure(arn: &str, reason: &str) -> ecs::Failure {
    ecs::Failure { arn: Some(arn.to_owned()), reason: Some(reason.to_owned()), detail: None }
}

pub async fn list(
    call: Call,
    input: ListTaskDefinitionsRequest,
) -> Result<ListTaskDefinitionsResponse, ApiError> {
    let scope = call.scope();
    let prefix = input.family_prefix.unwrap_or_default();
    let status = match input.status {
        None | Some(TaskDefinitionStatus::Active) => DefinitionStatus::Active,
        Some(TaskDefinitionStatus::Inactive) => DefinitionStatus::Inactive,
        Some(TaskDefinitionStatus::DeleteInProgress) => DefinitionStatus::DeleteInProgress,
    };
    let mut found: Vec<Arc<TaskDefinition>> = call.services.state.read(|view| {
        view.scan::<TaskDefinition>(scope)
            .map(|(_, record)| record)
            .filter(|record| !record.is_of_daemon())
            .filter(|record| record.status == status && (prefix.is_empty() || record.family == prefix))
            .collect()
    });
    // The keys of the store sort `a-b:1` before `a:1`.
    found.sort_by(|left, right| (&left.family, left.revision).cmp(&(&right.family, right.revision)));
    let descending = input.sort == Some(ecs::SortOrder::Desc);
    if descending {
        found.reverse();
    }
    // In descending order keys fall, and the page cutter wants them rising: it goes by position instead.
    let list = format!("task-definitions/{scope}/{prefix}/{status:?}/{descending}");
    let page = super::page(
        &call,
        &list,
        found.into_iter().enumerate(),
        |(position, _)| format!("{position:010}"),
        input.next_token,
        input.max_results,
    )?;
    Ok(ListTaskDefinitionsResponse {
        task_definition_arns: Some(page.items.into_iter().map(|(_, record)| record.arn(scope)).collect()),
        next_token: page.next_token,
    })
}

pub async fn list_families(
    call: Call,
    input: ListTaskDefinitionFamiliesRequest,
) -> Result<ListTaskDefinitionFamiliesResponse, ApiError> {
    let scope = call.scope();
    let prefix = input.family_prefix.unwrap_or_default();
    let status = input.status.unwrap_or(TaskDefinitionFamilyStatus::Active);
    let (mut all, mut active) = (BTreeSet::new(), BTreeSet::new());
    call.services.state.read(|view| {
        let found = view.scan_prefix::<TaskDefinition>(scope, &prefix);
        for (_, record) in found.filter(|(_, record)| !record.is_of_daemon()) {
            all.insert(record.family.clone());
            if record.status == DefinitionStatus::Active {
                active.insert(record.family.clone());
            }
        }
    });
    let families: Vec<String> = match status {
        TaskDefinitionFamilyStatus::All => all.into_iter().collect(),
        TaskDefinitionFamilyStatus::Active => active.into_iter().collect(),
        TaskDefinitionFamilyStatus::Inactive => all.difference(&active).cloned().collect(),
    };
    let list = format!("families/{scope}/{prefix}/{}", status.as_str());
    let page = super::page(&call, &list, families, String::clone, input.next_token, input.max_results)?;
    Ok(ListTaskDefinitionFamiliesResponse { families: Some(page.items), next_token: page.next_token })
}

/// Deletes the revisions that are marked for it and that no task, running or still describable, refers to.
pub async fn purge(services: &crate::services::Services) -> Result<(), ApiError> {
    let unused: Vec<(Scope, String)> = services.state.read(|view| {
        let used: BTreeSet<(Scope, String)> = view
            .scan_all::<Task>()
            .map(|found| (found.scope, definition_id(&found.value.family, found.value.revision)))
            .collect();
        view.scan_all::<TaskDefinition>()
            .filter(|found| found.value.status == DefinitionStatus::DeleteInProgress)
            .map(|found| (found.scope, found.id))
            .filter(|key| !used.contains(key))
            .collect()
    });
    for (scope, id) in unused {
        services
            .state
            .transact(|tx| {
                let still = tx.get::<TaskDefinition>(&scope, &id);
                if still.is_some_and(|record| record.status == DefinitionStatus::DeleteInProgress) {
                    tx.delete::<TaskDefinition>(&scope, &id);
                }
                Ok::<_, ApiError>(())
            })
            .await?;
    }
    Ok(())
}

/// As the API shows a revision.
pub fn shape(scope: &Scope, record: &TaskDefinition) -> ecs::TaskDefinition {
    ecs::TaskDefinition {
        task_definition_arn: Some(record.arn(scope)),
        family: Some(record.family.clone()),
        revision: i32::try_from(record.revision).ok(),
        status: Some(match record.status {
            DefinitionStatus::Active => TaskDefinitionStatus::Active,
            DefinitionStatus::Inactive => TaskDefinitionStatus::Inactive,
            DefinitionStatus::DeleteInProgress => TaskDefinitionStatus::DeleteInProgress,
        }),
        registered_at: Some(time(record.registered_at)),
        registered_by: Some(record.registered_by.clone()),
        deregistered_at: record.deregistered_at.map(time),
        delete_requested_at: record.delete_requested_at.map(time),
        ..record.definition.0.clone()
    }
}
