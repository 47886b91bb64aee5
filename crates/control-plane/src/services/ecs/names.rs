//! From what a client writes (a short name or a full ARN) to the name of the thing.
//!
//! Every operation takes either form; an ARN of another account or region is an error. A cluster that is not named is
//! `default`.

use aws_shapes_ecs::errors;
use state_store::{Tx, View};
use std::sync::Arc;
use vocabulary::{Arn, Scope};

use super::records::{Cluster, DefinitionStatus, TaskDefinition, definition_id};
use crate::gateway::ApiError;

/// `InvalidParameterException`.
pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::INVALID_PARAMETER_EXCEPTION, message)
}

/// `ClientException`.
pub fn client(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::CLIENT_EXCEPTION, message)
}

/// `ClusterNotFoundException`.
pub fn cluster_not_found() -> ApiError {
    ApiError::new(&errors::CLUSTER_NOT_FOUND_EXCEPTION, "Cluster not found.")
}

/// Whether `name` may name a family, a cluster or a service: 1 to 255 letters, digits, hyphens and underscores.
pub fn is_valid(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// The cluster's name, whether given as name, as ARN or not at all.
pub fn cluster_name(scope: &Scope, given: Option<&str>) -> Result<String, ApiError> {
    let Some(given) = given else { return Ok("default".to_owned()) };
    let name = match own_resource(scope, given, "cluster")? {
        Some(name) => name,
        None => given.to_owned(),
    };
    if is_valid(&name) {
        Ok(name)
    } else {
        Err(invalid("Invalid identifier: the cluster name contains invalid characters."))
    }
}

/// The active cluster of that name.
pub fn active_cluster(view: &View, scope: &Scope, name: &str) -> Result<Arc<Cluster>, ApiError> {
    view.get::<Cluster>(scope, name).filter(|cluster| cluster.active).ok_or_else(cluster_not_found)
}

/// [`active_cluster`] inside a transaction: what the transaction does fails if the cluster is deleted meanwhile.
pub fn active_cluster_in(tx: &mut Tx, scope: &Scope, name: &str) -> Result<Arc<Cluster>, ApiError> {
    tx.get::<Cluster>(scope, name).filter(|cluster| cluster.active).ok_or_else(cluster_not_found)
}

/// The id of a task, given as id or ARN, in `cluster`.
pub fn task_id(scope: &Scope, cluster: &str, given: &str) -> Result<String, ApiError> {
    let id = match own_resource(scope, given, "task")? {
        None => given.to_owned(),
        Some(resource) => match resource.split_once('/') {
            Some((of, id)) if of == cluster => id.to_owned(),
            Some((of, _)) => {
                return Err(invalid(format!("Identifier is for {of}. Your cluster is {cluster}")));
            }
            // The short form of ARN, before clusters became part of it.
            None => resource,
        },
    };
    // 32 hex digits, or a UUID as ids were once.
    if matches!(id.len(), 32 | 36) { Ok(id) } else { Err(invalid("taskId length should be one of [32,36]")) }
}

/// The id of a container instance, given as id or ARN, in `cluster`.
pub fn instance_id(scope: &Scope, cluster: &str, given: &str) -> Result<String, ApiError> {
    let Some(resource) = own_resource(scope, given, "container-instance")? else {
        return Ok(given.to_owned());
    };
    match resource.split_once('/') {
        Some((of, id)) if of == cluster => Ok(id.to_owned()),
        Some((of, _)) => Err(invalid(format!("Identifier is for {of}. Your cluster is {cluster}"))),
        None => Ok(resource),
    }
}

/// The part of an ARN behind `kind/`; `None` when `given` is not an ARN at all.
pub fn own_resource(scope: &Scope, given: &str, kind: &str) -> Result<Option<String>, ApiError> {
    if !given.starts_with("arn:") {
        return Ok(None);
    }
    let arn: Arn = given
        .parse()
        .map_err(|_| invalid(format!("Invalid identifier: Unexpected number of elements in {given}")))?;
    if arn.service() != "ecs" {
        return Err(invalid(format!("Invalid identifier: Unexpected service {}", arn.service())));
    }
    if arn.region() != scope.region.as_str() {
        return Err(invalid(format!("Identifier is for {}. Your region is {}", arn.region(), scope.region)));
    }
    if arn.account() != scope.account.as_str() {
        return Err(invalid(format!(
            "Identifier is for {}. Your accountId is {}",
            arn.account(),
            scope.account
        )));
    }
    match arn.resource_of_kind(kind) {
        Some(resource) => Ok(Some(resource.to_owned())),
        None => Err(invalid(format!(
            "Invalid identifier: Expected a resource of type {kind}, got {}",
            arn.resource()
        ))),
    }
}

/// A task definition as a client names it: `FAMILY`, `FAMILY:REVISION` or either as an ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionName {
    pub family: String,
    pub revision: Option<u32>,
}

impl DefinitionName {
    pub fn parse(scope: &Scope, given: &str) -> Result<DefinitionName, ApiError> {
        let text = own_resource(scope, given, "task-definition")?.unwrap_or_else(|| given.to_owned());
        let (family, revision) = match text.split_once(':') {
            None => (text.as_str(), None),
            Some((family, revision)) => {
                let number = revision.parse().ok().filter(|number| *number > 0);
                (
                    family,
                    Some(
                        number
                            .ok_or_else(|| invalid(format!("Invalid revision number. Number: {revision}")))?,
                    ),
                )
            }
        };
        if is_valid(family) {
            Ok(DefinitionName { family: family.to_owned(), revision })
        } else {
            Err(client("Family contains invalid characters."))
        }
    }

    /// The revision that is meant: the given one, or the latest ACTIVE one of the family.
    pub fn find(&self, view: &View, scope: &Scope) -> Option<Arc<TaskDefinition>> {
        match self.revision {
            Some(revision) => view.get::<TaskDefinition>(scope, &definition_id(&self.family, revision)),
            None => revisions(view, scope, &self.family)
                .into_iter()
                .rev()
                .find(|definition| definition.status == DefinitionStatus::Active),
        }
    }
}

/// [`DefinitionName::find`] inside a transaction: what the transaction does fails if the revision changes meanwhile.
pub fn find_in(tx: &mut Tx, scope: &Scope, name: &DefinitionName) -> Option<Arc<TaskDefinition>> {
    let found = name.find(tx.view(), scope)?;
    tx.get::<TaskDefinition>(scope, &definition_id(&found.family, found.revision))
}

/// Every revision of a family, oldest first.
pub fn revisions(view: &View, scope: &Scope, family: &str) -> Vec<Arc<TaskDefinition>> {
    view.scan_prefix::<TaskDefinition>(scope, &format!("{family}:"))
        .map(|(_, definition)| definition)
        .collect()
}
