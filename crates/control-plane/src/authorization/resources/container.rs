//! Resources of ECS and ECR.

use state_store::View;
use vocabulary::{AccountId, Scope};

use super::{Facts, ResourcePolicy, tagged};
use crate::{
    registry::{public, records::Repository},
    services::{
        ecr::policies,
        ecs::{
            gateways::records::Gateway,
            names::DefinitionName,
            records::{Cluster, ContainerInstance, Task},
            services::records::{Service, TaskSet},
        },
    },
};

pub fn of_ecs(view: &View, scope: &Scope, resource: &str) -> Option<Facts> {
    let (kind, id) = resource.split_once('/')?;
    match kind {
        "cluster" => view.get::<Cluster>(scope, id).map(|cluster| tagged(&cluster.tags)),
        "service" => view.get::<Service>(scope, id).map(|service| tagged(&service.tags)),
        "task" => view.get::<Task>(scope, id).map(|task| tagged(&task.tags)),
        "container-instance" => {
            view.get::<ContainerInstance>(scope, id).map(|instance| tagged(&instance.tags))
        }
        "gateway" => view.get::<Gateway>(scope, id).map(|gateway| tagged(&gateway.tags)),
        "task-set" => view.get::<TaskSet>(scope, id).map(|set| tagged(&set.tags)),
        // A family alone means its latest revision, and policies know revisions.
        "task-definition" => {
            let name = DefinitionName::parse(scope, id).ok()?;
            let definition = name.find(view, scope)?;
            Some(Facts { arn: Some(definition.arn(scope)), ..tagged(&definition.tags) })
        }
        _ => None,
    }
}

pub fn repository(view: &View, scope: &Scope, resource: &str) -> Option<Facts> {
    let name = resource.strip_prefix("repository/")?;
    let policy = policies::effective(view, scope, name);
    let repository = view.get::<Repository>(scope, name);
    if repository.is_none() && policy.is_none() {
        return None;
    }
    Some(Facts {
        policy: policy.map(|document| ResourcePolicy { document, decides: false }),
        ..repository.map(|repository| tagged(&repository.tags)).unwrap_or_default()
    })
}

/// Public repositories lie in one region, under the alias of their account.
pub fn public_repository(view: &View, account: &AccountId, resource: &str) -> Option<Facts> {
    let name = resource.strip_prefix("repository/")?;
    facts(view, &public::scope(account), &format!("{}{name}", public::prefix(account)))
}

fn facts(view: &View, scope: &Scope, name: &str) -> Option<Facts> {
    let repository = view.get::<Repository>(scope, name)?;
    let policy = repository.policy.as_deref();
    Some(Facts {
        policy: policy.map(|text| ResourcePolicy { document: text.into(), decides: false }),
        ..tagged(&repository.tags)
    })
}
