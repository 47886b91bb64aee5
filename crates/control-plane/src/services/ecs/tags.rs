//! Tags on ECS resources: TagResource, UntagResource, ListTagsForResource, and the `tags` member of other calls.

use aws_shapes_ecs::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, Tag, TagResourceRequest, TagResourceResponse,
    UntagResourceRequest, UntagResourceResponse,
};
use state_store::{Record, Tx};
use vocabulary::Scope;

use super::{
    daemons::{Daemon, Definition},
    gateways::records::Gateway,
    names::{DefinitionName, invalid, own_resource},
    providers::CapacityProvider,
    records::{Cluster, ContainerInstance, DefinitionStatus, Task, TaskDefinition, definition_id},
    services::records::{Service, ServiceStatus, TaskSet},
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::{self, Tags},
};

/// The tags of a request.
///
/// # Errors
/// `InvalidParameterException` for the first rule broken.
pub fn checked(tags: Option<Vec<Tag>>) -> Result<Tags, ApiError> {
    let pairs = tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
    tagging::checked(pairs).map_err(|error| invalid(error.to_string()))
}

/// As the API shows tags.
pub fn shape(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect()
}

/// A resource that can have tags.
enum Tagged {
    Cluster(String),
    Task(String),
    TaskDefinition(String),
    ContainerInstance(String),
    Service(String),
    TaskSet(String),
    CapacityProvider(String),
    Gateway(String),
    Daemon(String),
    DaemonDefinition(String),
}

fn resource(scope: &Scope, arn: &str) -> Result<Tagged, ApiError> {
    let parsed: vocabulary::Arn = arn.parse().map_err(|_| invalid("The specified ARN is not valid."))?;
    match parsed.resource().split('/').next() {
        Some("cluster") => {
            own_resource(scope, arn, "cluster").map(|name| Tagged::Cluster(name.unwrap_or_default()))
        }
        Some("task") => own_resource(scope, arn, "task").map(|key| Tagged::Task(key.unwrap_or_default())),
        Some("service") => {
            own_resource(scope, arn, "service").map(|key| Tagged::Service(key.unwrap_or_default()))
        }
        Some("task-set") => own_resource(scope, arn, "task-set")
            .map(|key| Tagged::TaskSet(key.unwrap_or_default().replace("/ecs-svc/", "/"))),
        Some("capacity-provider") => own_resource(scope, arn, "capacity-provider")
            .map(|name| Tagged::CapacityProvider(name.unwrap_or_default())),
        Some("gateway") => {
            own_resource(scope, arn, "gateway").map(|name| Tagged::Gateway(name.unwrap_or_default()))
        }
        Some("daemon") => {
            own_resource(scope, arn, "daemon").map(|key| Tagged::Daemon(key.unwrap_or_default()))
        }
        Some("daemon-task-definition") => {
            let name = own_resource(scope, arn, "daemon-task-definition")?.unwrap_or_default();
            let (family, revision) = name.split_once(':').unwrap_or_default();
            let revision =
                revision.parse().map_err(|_| invalid("The specified ARN must name a revision."))?;
            Ok(Tagged::DaemonDefinition(definition_id(family, revision)))
        }
        Some("container-instance") => own_resource(scope, arn, "container-instance")
            .map(|key| Tagged::ContainerInstance(key.unwrap_or_default())),
        Some("task-definition") => {
            let name = DefinitionName::parse(scope, arn)?;
            let revision = name.revision.ok_or_else(|| invalid("The specified ARN must name a revision."))?;
            Ok(Tagged::TaskDefinition(definition_id(&name.family, revision)))
        }
        _ => Err(invalid("The specified resource does not support tags.")),
    }
}

fn not_found() -> ApiError {
    invalid("The specified resource is not found.")
}

/// Changes the tags of the record under `id`.
fn edit<R: Record>(
    tx: &mut Tx,
    scope: &Scope,
    id: &str,
    usable: impl Fn(&R) -> bool,
    tags_of: impl Fn(&mut R) -> &mut Tags,
    change: &dyn Fn(&mut Tags) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let mut record = tx
        .get::<R>(scope, id)
        .filter(|record| usable(record))
        .map(|record| (*record).clone())
        .ok_or_else(not_found)?;
    change(tags_of(&mut record))?;
    tx.put(scope, id, record);
    Ok(())
}

async fn change(
    call: &Call,
    arn: Option<String>,
    change: &(dyn Fn(&mut Tags) -> Result<(), ApiError> + Sync),
) -> Result<(), ApiError> {
    let scope = call.scope();
    let target = resource(scope, arn.as_deref().unwrap_or_default())?;
    call.services
        .state
        .transact(|tx| match &target {
            Tagged::Cluster(id) => {
                edit::<Cluster>(tx, scope, id, |cluster| cluster.active, |record| &mut record.tags, change)
            }
            Tagged::Task(id) => edit::<Task>(tx, scope, id, |_| true, |record| &mut record.tags, change),
            Tagged::ContainerInstance(id) => {
                edit::<ContainerInstance>(tx, scope, id, |_| true, |record| &mut record.tags, change)
            }
            Tagged::Service(id) => {
                let there = |service: &Service| service.status != ServiceStatus::Inactive;
                edit::<Service>(tx, scope, id, there, |record| &mut record.tags, change)
            }
            Tagged::TaskSet(id) => {
                edit::<TaskSet>(tx, scope, id, |_| true, |record| &mut record.tags, change)
            }
            Tagged::CapacityProvider(id) => {
                edit::<CapacityProvider>(tx, scope, id, |_| true, |record| &mut record.tags, change)
            }
            Tagged::Gateway(id) => {
                let there = |gateway: &Gateway| !gateway.deleted;
                edit::<Gateway>(tx, scope, id, there, |record| &mut record.tags, change)
            }
            Tagged::Daemon(id) => edit::<Daemon>(tx, scope, id, |_| true, |record| &mut record.tags, change),
            Tagged::DaemonDefinition(id) => {
                edit::<Definition>(tx, scope, id, |_| true, |record| &mut record.tags, change)
            }
            Tagged::TaskDefinition(id) => edit::<TaskDefinition>(
                tx,
                scope,
                id,
                |record| record.status == DefinitionStatus::Active,
                |record| &mut record.tags,
                change,
            ),
        })
        .await
}

pub async fn tag(call: Call, input: TagResourceRequest) -> Result<TagResourceResponse, ApiError> {
    let added = checked(input.tags)?;
    change(&call, input.resource_arn, &|tags| {
        *tags = tagging::merged(std::mem::take(tags), added.clone())
            .map_err(|error| invalid(error.to_string()))?;
        Ok(())
    })
    .await?;
    Ok(TagResourceResponse {})
}

pub async fn untag(call: Call, input: UntagResourceRequest) -> Result<UntagResourceResponse, ApiError> {
    let keys = input.tag_keys.unwrap_or_default();
    if keys.iter().any(|key| key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(invalid(tagging::InvalidTags::Reserved.to_string()));
    }
    change(&call, input.resource_arn, &|tags| {
        tags.retain(|key, _| !keys.contains(key));
        Ok(())
    })
    .await?;
    Ok(UntagResourceResponse {})
}

pub async fn list(
    call: Call,
    input: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, ApiError> {
    let scope = call.scope();
    let target = resource(scope, input.resource_arn.as_deref().unwrap_or_default())?;
    let tags = call.services.state.read(|view| match &target {
        Tagged::Cluster(id) => view.get::<Cluster>(scope, id).map(|record| record.tags.clone()),
        Tagged::Task(id) => view.get::<Task>(scope, id).map(|record| record.tags.clone()),
        Tagged::ContainerInstance(id) => {
            view.get::<ContainerInstance>(scope, id).map(|record| record.tags.clone())
        }
        Tagged::TaskDefinition(id) => view.get::<TaskDefinition>(scope, id).map(|record| record.tags.clone()),
        Tagged::Service(id) => view.get::<Service>(scope, id).map(|record| record.tags.clone()),
        Tagged::Gateway(id) => view.get::<Gateway>(scope, id).map(|record| record.tags.clone()),
        Tagged::Daemon(id) => view.get::<Daemon>(scope, id).map(|record| record.tags.clone()),
        Tagged::DaemonDefinition(id) => view.get::<Definition>(scope, id).map(|record| record.tags.clone()),
        Tagged::CapacityProvider(id) => {
            view.get::<CapacityProvider>(scope, id).map(|record| record.tags.clone())
        }
        Tagged::TaskSet(id) => view.get::<TaskSet>(scope, id).map(|record| record.tags.clone()),
    });
    Ok(ListTagsForResourceResponse { tags: Some(shape(&tags.ok_or_else(not_found)?)) })
}
