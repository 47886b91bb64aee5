//! The policies of a simulation, and where each comes from.

use std::{collections::BTreeMap, sync::Arc};

use aws_shapes_iam::PolicySourceType;
use policy::Policy;
use state_store::View;
use vocabulary::{Arn, Scope};

use crate::{
    gateway::ApiError,
    services::iam::{
        errors, names, policies,
        policy_document::{self, Use},
        records::{self, Entity, Group, Permissions, Role, User},
    },
};

/// Where a policy of a simulation comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Given with the request.
    Request,
    Resource,
    /// Inline.
    User,
    Group,
    Role,
    AwsManaged,
    CustomerManaged,
}

impl Origin {
    pub fn shape(self) -> PolicySourceType {
        match self {
            Origin::Request => PolicySourceType::None,
            Origin::Resource => PolicySourceType::Resource,
            Origin::User => PolicySourceType::User,
            Origin::Group => PolicySourceType::Group,
            Origin::Role => PolicySourceType::Role,
            Origin::AwsManaged => PolicySourceType::AwsManaged,
            Origin::CustomerManaged => PolicySourceType::UserManaged,
        }
    }
}

/// One policy; its name within the simulation is the compiled policy's.
#[derive(Debug)]
pub struct Source {
    pub origin: Origin,
    pub text: String,
    pub kind: Use,
    pub policy: Arc<Policy>,
}

/// A policy given with the request.
///
/// # Errors
/// `InvalidInput` for what is no policy.
pub fn one(name: &str, text: String, kind: Use) -> Result<Source, ApiError> {
    let invalid = |error: String| errors::invalid_input(format!("Invalid policy {name}: {error}"));
    let document = policy_document::parse(&text, kind).map_err(|error| invalid(error.to_string()))?;
    let compiled = Policy::new(name, document.version, &document.statements);
    let policy = Arc::new(compiled.map_err(|error| invalid(error.to_string()))?);
    let origin = if kind == Use::Resource { Origin::Resource } else { Origin::Request };
    Ok(Source { origin, text, kind, policy })
}

/// Policies given with the request, called `LIST.1` and so on.
///
/// # Errors
/// As [`one`].
pub fn given(list: &str, texts: Vec<String>) -> Result<Vec<Source>, ApiError> {
    let named = texts.into_iter().enumerate();
    named.map(|(index, text)| one(&format!("{list}.{}", index + 1), text, Use::Inline)).collect()
}

/// What a user, a group or a role has.
pub struct Held {
    pub policies: Vec<Source>,
    pub boundary: Option<Vec<Source>>,
    pub tags: BTreeMap<String, String>,
    /// Who is simulated; none for a group, which calls nothing.
    pub caller: Option<String>,
}

/// The policies of the user, group or role that an ARN names; a user has those of its groups, too.
///
/// # Errors
/// `InvalidInput`, `NoSuchEntity`.
pub fn held(view: &View, scope: &Scope, arn: &str) -> Result<Held, ApiError> {
    let invalid = || {
        errors::invalid_input(format!(
            "Invalid Entity Arn: {arn} does not clearly define entity type and name."
        ))
    };
    let parsed: Arn = arn.parse().map_err(|_| invalid())?;
    let (kind, path) = parsed.resource().split_once('/').ok_or_else(invalid)?;
    let name = names::last_segment(path);
    let own = parsed.account() == scope.account.as_str();
    let of = |held: &Permissions, origin: Origin, owner: &str| permissions(view, scope, held, origin, owner);
    let limit =
        |boundary: Option<&String>| boundary.map(|arn| managed(view, scope, arn).into_iter().collect());
    match kind {
        _ if parsed.service() != "iam" => Err(invalid()),
        "user" if own => {
            let user = records::see::<User>(view, scope, name)?;
            let mut policies = of(&user.permissions, Origin::User, &user.name);
            for (_, group) in view.scan::<Group>(scope).filter(|(_, group)| user.groups.contains(&group.id)) {
                policies.extend(of(&group.permissions, Origin::Group, &group.name));
            }
            let boundary = limit(user.boundary.as_ref());
            Ok(Held { policies, boundary, tags: user.tags.clone(), caller: Some(arn.to_owned()) })
        }
        "role" if own => {
            let role = records::see::<Role>(view, scope, name)?;
            let policies = of(&role.permissions, Origin::Role, &role.name);
            let boundary = limit(role.boundary.as_ref());
            Ok(Held { policies, boundary, tags: role.tags.clone(), caller: Some(arn.to_owned()) })
        }
        "group" if own => {
            let group = records::see::<Group>(view, scope, name)?;
            let policies = of(&group.permissions, Origin::Group, &group.name);
            Ok(Held { policies, boundary: None, tags: BTreeMap::new(), caller: None })
        }
        "user" => Err(User::missing(name)),
        "role" => Err(Role::missing(name)),
        "group" => Err(Group::missing(name)),
        _ => Err(invalid()),
    }
}

fn permissions(view: &View, scope: &Scope, held: &Permissions, origin: Origin, owner: &str) -> Vec<Source> {
    let inline = held.inline.iter().map(|(name, text)| {
        let word = match origin {
            Origin::Group => "group",
            Origin::Role => "role",
            _ => "user",
        };
        compiled(&format!("{word}_{owner}_{name}"), text, origin)
    });
    let attached = held.attached.iter().filter_map(|arn| managed(view, scope, arn));
    attached.chain(inline).collect()
}

fn managed(view: &View, scope: &Scope, arn: &str) -> Option<Source> {
    let policy = policies::seen(view, scope, arn)?;
    let version = policy.versions.get(&policy.default_version)?;
    let aws = arn.starts_with("arn:aws:iam::aws:");
    let origin = if aws { Origin::AwsManaged } else { Origin::CustomerManaged };
    Some(compiled(&policy.name, &version.document, origin))
}

/// A policy that was stored, in the way in which it counts for requests.
fn compiled(name: &str, text: &str, origin: Origin) -> Source {
    let policy = crate::authorization::compile(name, text, Use::Inline);
    Source { origin, text: text.to_owned(), kind: Use::Inline, policy }
}
