//! A new revision of a service, and the deployment that leads to it.

use aws_shapes_ecs as ecs;
use state_store::Tx;
use vocabulary::{Ids, Scope, Timestamp};

use super::{
    asked::Wanted,
    balancers, check, core,
    records::{Revision, Service, ServiceDeployment, revision_key},
};
use crate::{
    convert::AwsJson,
    gateway::ApiError,
    reconcilers,
    services::{
        Services,
        ec2::records::{SecurityGroup, Subnet},
        ecs::{
            gateways::Connection,
            names::{DefinitionName, client, find_in, invalid},
            records::{Cluster, DefinitionStatus, TaskDefinition},
        },
    },
};

/// Deployments and revisions of a service that are kept; older ones go when a new one is made.
const MOST_KEPT: usize = 100;

/// The definition that is wanted, checked against everything else that is wanted.
///
/// # Errors
/// `ClientException` without a usable definition, else the first rule that it breaks. `given`: named by this request, and not
/// the one that the service has, which may have become INACTIVE meanwhile.
pub fn definition(
    tx: &mut Tx,
    scope: &Scope,
    wanted: &Wanted,
    cluster: &Cluster,
    given: bool,
) -> Result<std::sync::Arc<TaskDefinition>, ApiError> {
    let named = wanted.definition.as_deref().filter(|named| !named.is_empty());
    let named = named.ok_or_else(|| client("TaskDefinition can not be blank."))?;
    let name = DefinitionName::parse(scope, named)?;
    let found = find_in(tx, scope, &name).ok_or_else(|| client("TaskDefinition not found."))?;
    if given && found.status != DefinitionStatus::Active {
        return Err(client("TaskDefinition is inactive"));
    }
    check::definition(&wanted.revision, &found, cluster)?;
    network(tx, scope, &wanted.revision)?;
    balancers::check(tx.view(), scope, wanted, &found)?;
    Ok(found)
}

/// The subnets and security groups are there, and in one VPC.
fn network(tx: &Tx, scope: &Scope, revision: &ecs::ServiceRevision) -> Result<(), ApiError> {
    let network =
        revision.network_configuration.as_ref().and_then(|given| given.awsvpc_configuration.as_ref());
    let Some(network) = network else { return Ok(()) };
    let subnets = network.subnets.as_deref().unwrap_or_default();
    if subnets.is_empty() {
        return Err(invalid("subnets can not be empty."));
    }
    if subnets.len() > 16 {
        return Err(invalid("subnets can have at most 16 items."));
    }
    let groups = network.security_groups.as_deref().unwrap_or_default();
    if groups.len() > 5 {
        return Err(invalid("securityGroups can have at most 5 items."));
    }
    let mut vpc: Option<String> = None;
    for id in subnets {
        let subnet = tx.view().get::<Subnet>(scope, id).ok_or_else(|| {
            invalid(format!(
                "Error retrieving subnet information for [{id}]: The subnet ID '{id}' does not exist"
            ))
        })?;
        if vpc.get_or_insert_with(|| subnet.vpc_id.clone()) != &subnet.vpc_id {
            return Err(invalid("The subnets of a network configuration must be in one VPC."));
        }
    }
    for id in groups {
        let group = tx.view().get::<SecurityGroup>(scope, id).ok_or_else(|| {
            invalid(format!(
                "Error retrieving security group information for [{id}]: The security group '{id}' does not exist"
            ))
        })?;
        if Some(&group.vpc_id) != vpc.as_ref() {
            return Err(invalid(format!("The security group {id} and the subnets are not in the same VPC.")));
        }
    }
    Ok(())
}

/// A new revision, written; not deployed. `made_for`: the service deployment.
pub fn revise(
    tx: &mut Tx,
    scope: &Scope,
    service: &Service,
    (mut details, connections, definition): (ecs::ServiceRevision, Vec<Connection>, &TaskDefinition),
    made_for: Option<String>,
    now: Timestamp,
    ids: &mut impl Ids,
) -> Revision {
    let images = definition.definition.0.container_definitions.iter().flatten();
    details.container_images = Some(
        images
            .map(|container| ecs::ContainerImage {
                container_name: container.name.clone(),
                image: container.image.clone(),
                image_digest: None,
            })
            .collect(),
    );
    let revision = Revision {
        id: ids.digits(19),
        cluster: service.cluster.clone(),
        service: service.name.clone(),
        made_for,
        created_at: now,
        family: definition.family.clone(),
        revision: definition.revision,
        details: AwsJson(details),
        connections,
    };
    tx.put(scope, &revision.key(), revision.clone());
    revision
}

/// Makes a new revision and begins to deploy it.
pub fn deploy(
    tx: &mut Tx,
    scope: &Scope,
    service: &mut Service,
    (mut details, mut connections): (ecs::ServiceRevision, Vec<Connection>),
    definition: &TaskDefinition,
    now: Timestamp,
    ids: &mut impl Ids,
) {
    let id = deployment_id(ids);
    let configuration = service.settings.0.deployment_configuration.clone().unwrap_or_default();
    let source = service.state.source().and_then(|source| {
        tx.peek::<Revision>(scope, &revision_key(&service.cluster, &service.name, &source.revision))
    });
    balancers::resolve(&mut details, &mut connections, source.as_deref());
    let making = (details, connections, definition);
    let revision = revise(tx, scope, service, making, Some(id.clone()), now, ids);
    let strategy = core::strategy(&configuration);
    let (_, superseded) = service.state.deploy(&revision.id, strategy, now, ids);
    if let (Some(rollout), Some(id)) = (superseded, &service.deployment) {
        finish(tx, scope, service, id, rollout);
    }
    if let Some(rollout) = service.state.rollout.clone() {
        let record = ServiceDeployment {
            id: id.clone(),
            cluster: service.cluster.clone(),
            service: service.name.clone(),
            rollout,
            configuration: AwsJson(configuration),
            desired_count: service.desired_count,
        };
        tx.put(scope, &record.key(), record);
    }
    service.deployment = Some(id);
    forget_old(tx, scope, service);
}

/// Tells how many tasks the primary deployment is to have before the scheduler has looked: of a DAEMON service, the number of eligible
/// container instances. Without it a new daemon would have all of its none until then, and waiters would end.
///
/// # Errors
/// When its tasks could not be started at all.
pub fn foresee(
    tx: &mut Tx,
    services: &Services,
    scope: &Scope,
    service: &mut Service,
) -> Result<(), ApiError> {
    if service.has_task_sets() || service.state.primary().is_none() {
        return Ok(());
    }
    let desired = match service.is_daemon() {
        true => reconcilers::services::eligible(tx, services, scope, service)?.len(),
        false => service.desired_count as usize,
    };
    service.state.foresee(u32::try_from(desired).unwrap_or(u32::MAX));
    Ok(())
}

/// Writes how a deployment ended.
pub fn finish(tx: &mut Tx, scope: &Scope, service: &Service, id: &str, rollout: deployment::Rollout) {
    let key = revision_key(&service.cluster, &service.name, id);
    if let Some(found) = tx.get::<ServiceDeployment>(scope, &key) {
        tx.put(scope, &key, ServiceDeployment { rollout, ..(*found).clone() });
    }
}

/// Letters and digits with a hyphen in the middle, as AWS forms them.
fn deployment_id(ids: &mut impl Ids) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0; 21];
    ids.fill(&mut bytes);
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)])).collect()
}

/// Deletes the oldest deployments and revisions beyond [`MOST_KEPT`] that nothing of the service refers to.
fn forget_old(tx: &mut Tx, scope: &Scope, service: &Service) {
    let prefix = format!("{}/", service.key());
    let mut deployments: Vec<(Timestamp, String)> = tx
        .view()
        .scan_prefix::<ServiceDeployment>(scope, &prefix)
        .map(|(id, found)| (found.rollout.created_at, id.to_owned()))
        .collect();
    let mut revisions: Vec<(Timestamp, String)> = tx
        .view()
        .scan_prefix::<Revision>(scope, &prefix)
        .filter(|(_, found)| !is_used(service, &found.id))
        .map(|(id, found)| (found.created_at, id.to_owned()))
        .collect();
    deployments.sort();
    revisions.sort();
    // A few at a time: a transaction has its bounds, and each new deployment makes one.
    for (_, id) in deployments.iter().take(deployments.len().saturating_sub(MOST_KEPT).min(10)) {
        tx.delete::<ServiceDeployment>(scope, id);
    }
    for (_, id) in revisions.iter().take(revisions.len().saturating_sub(MOST_KEPT).min(10)) {
        tx.delete::<Revision>(scope, id);
    }
}

/// Whether tasks may still be started from the revision, or shown by it.
fn is_used(service: &Service, revision: &str) -> bool {
    let state = &service.state;
    let rollout = state.rollout.iter().flat_map(|rollout| {
        rollout.sources.iter().chain([&rollout.target]).chain(rollout.rollback.iter().map(|back| &back.to))
    });
    state.deployments.iter().any(|deployment| deployment.revision == revision)
        || state.last_completed.iter().chain(rollout).any(|source| source.revision == revision)
        || state.task_sets.iter().any(|set| set.id.strip_prefix("ecs-svc/") == Some(revision))
}
