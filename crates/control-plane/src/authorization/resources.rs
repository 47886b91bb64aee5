//! What services know of their resources that bears on who may use them: the ARN by which policies know one that an input named
//! otherwise, its tags, and its own policy.
//!
//! [`facts`] is asked once for each resource of a request, before the handler. A service that has such resources adds a line there
//! and, where policies are among them, its name to [`have_policies`]. What is not there has no facts: its caller's own policies decide
//! alone, and the handler says that it is not there.

mod container;
mod network;

use std::sync::Arc;

use state_store::View;
use vocabulary::{AccountId, Arn, Scope};

use crate::services::{
    iam::{
        names, policies,
        records::{InstanceProfile, OidcProvider, Role, User},
    },
    kms, logs, s3, secretsmanager, ssm,
    tagging::Tags,
};

/// What a service knows of one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The whole ARN, where the one asked about is not it: of a key that was named by an alias, a secret without its ending, a task
    /// definition without its revision.
    pub arn: Option<String>,
    /// Whose it is, where the ARN does not say so: of a bucket.
    pub owner: Option<AccountId>,
    pub tags: Tags,
    pub policy: Option<ResourcePolicy>,
    /// Condition keys that hold of the resource, such as `kms:KeySpec`.
    pub keys: Vec<(String, String)>,
}

/// The policy that a resource has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourcePolicy {
    /// As it was stored, after `policy_document::parse(…, Use::Resource)` took it.
    pub document: Arc<str>,
    /// Whether it has to speak first, as a KMS key's policy does: what identity policies allow counts only when it names the
    /// account, and even the account's root has nothing without it.
    pub decides: bool,
}

/// Whether resources of a service (by its model's name) have policies of their own, so that the root of an account is asked
/// about them as well: it may be another account's.
pub fn have_policies(service: &str) -> bool {
    matches!(service, "ecr" | "kms" | "s3" | "secretsmanager")
}

/// What the service of an ARN knows of its resource.
pub fn facts(view: &View, arn: &str) -> Option<Facts> {
    let parsed: Arn = arn.parse().ok()?;
    let resource = parsed.resource();
    // Buckets' names are enough: neither account nor region stands in their ARNs.
    if parsed.service() == "s3" {
        return s3::facts(view, resource);
    }
    let account: AccountId = parsed.account().parse().ok()?;
    if parsed.service() == "iam" {
        return identity(view, &names::global(&account), arn, resource);
    }
    if parsed.service() == "ecr-public" {
        return container::public_repository(view, &account, resource);
    }
    let scope = Scope::new(account, parsed.region().parse().ok()?);
    match parsed.service() {
        "ecs" => container::of_ecs(view, &scope, resource),
        "ecr" => container::repository(view, &scope, resource),
        "ec2" => network::of_ec2(view, &scope, resource),
        "elasticloadbalancing" => network::balancing(view, &scope, arn, resource),
        "ssm" => ssm::parameters::facts(view, &scope, resource),
        "acm" => network::certificate(view, &scope, resource),
        "kms" => kms::facts(view, &scope, resource),
        "secretsmanager" => secretsmanager::facts(view, &scope, resource),
        "logs" => {
            let group = resource.strip_prefix("log-group:")?.split(':').next()?;
            view.get::<logs::records::Group>(&scope, group).map(|group| tagged(&group.tags))
        }
        _ => None,
    }
}

/// A resource of which nothing but its tags counts.
fn tagged(tags: &Tags) -> Facts {
    Facts { tags: tags.clone(), ..Facts::default() }
}

fn identity(view: &View, scope: &Scope, arn: &str, resource: &str) -> Option<Facts> {
    let (kind, path) = resource.split_once('/')?;
    let id = names::key(names::last_segment(path));
    match kind {
        "user" => view.get::<User>(scope, &id).map(|user| tagged(&user.tags)),
        "role" => view.get::<Role>(scope, &id).map(|role| tagged(&role.tags)),
        "instance-profile" => view.get::<InstanceProfile>(scope, &id).map(|profile| tagged(&profile.tags)),
        "oidc-provider" => view.get::<OidcProvider>(scope, path).map(|provider| tagged(&provider.tags)),
        "policy" => policies::seen(view, scope, arn).map(|policy| tagged(&policy.tags)),
        _ => None,
    }
}
