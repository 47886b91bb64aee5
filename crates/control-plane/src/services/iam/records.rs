//! What IAM keeps. Ids are the names in lower case; everything of an account lies in its global scope.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use state_store::{Record, Tx, View};
use std::sync::Arc;
use vocabulary::{AccountId, Scope, Timestamp};

use super::{errors, names};
use crate::{gateway::ApiError, services::tagging::Tags};

macro_rules! record {
    ($type:ident, $kind:literal, |$this:ident| $indexes:expr) => {
        impl Record for $type {
            const SERVICE: &'static str = "iam";
            const KIND: &'static str = $kind;
            const SCHEMA_VERSION: u32 = 1;

            fn indexes(&self) -> Vec<(&'static str, String)> {
                let $this = self;
                $indexes
            }
        }
    };
}

/// The policies of a user, a group or a role.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Permissions {
    /// ARNs of managed policies.
    pub attached: BTreeSet<String>,
    /// Names and documents.
    pub inline: BTreeMap<String, String>,
}

/// What can be looked up by its name.
pub trait Entity: Record {
    /// As in `The WORD with name … cannot be found.`
    const WORD: &'static str;
    fn name(&self) -> &str;

    fn missing(name: &str) -> ApiError {
        errors::no_such_entity(format!("The {} with name {name} cannot be found.", Self::WORD))
    }
}

/// What can have policies.
pub trait Holder: Entity {
    /// As in `Cannot exceed quota for PoliciesPerROLE`.
    const TITLE: &'static str;
    /// The characters that all inline policies together may have, white space not counted.
    const INLINE_CHARACTERS: usize;

    fn id(&self) -> &str;
    fn path(&self) -> &str;
    fn permissions(&self) -> &Permissions;
    fn permissions_mut(&mut self) -> &mut Permissions;
    fn boundary(&self) -> Option<&String>;

    /// Refuses changes by others than AWS itself.
    ///
    /// # Errors
    /// `UnmodifiableEntity`.
    fn changeable(&self) -> Result<(), ApiError> {
        Ok(())
    }
}

/// The entity named `name`, as the transaction sees it.
///
/// # Errors
/// `NoSuchEntity`.
pub fn get<T: Entity>(tx: &mut Tx, scope: &Scope, name: &str) -> Result<Arc<T>, ApiError> {
    let found = tx.get::<T>(scope, &names::key(name)).filter(|found| found.name() == name);
    found.ok_or_else(|| T::missing(name))
}

/// The entity named `name`.
///
/// # Errors
/// `NoSuchEntity`.
pub fn see<T: Entity>(view: &View, scope: &Scope, name: &str) -> Result<Arc<T>, ApiError> {
    let found = view.get::<T>(scope, &names::key(name)).filter(|found| found.name() == name);
    found.ok_or_else(|| T::missing(name))
}

fn policy_indexes(permissions: &Permissions, boundary: Option<&String>) -> Vec<(&'static str, String)> {
    let attached = permissions.attached.iter().map(|arn| ("policy", arn.clone()));
    attached.chain(boundary.map(|arn| ("boundary", arn.clone()))).collect()
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    pub name: String,
    pub path: String,
    /// `AIDA…`
    pub id: String,
    pub created_at: Timestamp,
    pub boundary: Option<String>,
    pub tags: Tags,
    pub permissions: Permissions,
    /// Unique ids of groups.
    pub groups: BTreeSet<String>,
    pub login: Option<Login>,
}

/// A password, of which only a digest is kept.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    pub created_at: Timestamp,
    pub reset_required: bool,
    pub salt: String,
    pub digest: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

record!(User, "user", |user| {
    let mut indexes = policy_indexes(&user.permissions, user.boundary.as_ref());
    indexes.extend(user.groups.iter().map(|group| ("group", group.clone())));
    indexes
});

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    pub name: String,
    pub path: String,
    /// `AGPA…`
    pub id: String,
    pub created_at: Timestamp,
    pub permissions: Permissions,
}

record!(Group, "group", |group| policy_indexes(&group.permissions, None));

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Role {
    pub name: String,
    pub path: String,
    /// `AROA…`
    pub id: String,
    pub created_at: Timestamp,
    pub description: Option<String>,
    /// The trust policy, as it was given.
    pub trust: String,
    pub max_session_seconds: u32,
    pub boundary: Option<String>,
    pub tags: Tags,
    pub permissions: Permissions,
    /// The service that a service-linked role belongs to.
    pub linked_service: Option<String>,
}

impl Role {
    pub fn arn(&self, account: &AccountId) -> String {
        names::arn(account, "role", &self.path, &self.name)
    }
}

record!(Role, "role", |role| policy_indexes(&role.permissions, role.boundary.as_ref()));

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstanceProfile {
    pub name: String,
    pub path: String,
    /// `AIPA…`
    pub id: String,
    pub created_at: Timestamp,
    pub tags: Tags,
    /// The role's name.
    pub role: Option<String>,
}

record!(InstanceProfile, "instance-profile", |profile| {
    profile.role.iter().map(|role| ("role", names::key(role))).collect()
});

/// A customer's managed policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Policy {
    pub name: String,
    pub path: String,
    /// `ANPA…`
    pub id: String,
    pub description: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub tags: Tags,
    pub versions: BTreeMap<u32, Version>,
    pub default_version: u32,
    /// Numbers are never given twice.
    pub next_version: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Version {
    pub document: String,
    pub created_at: Timestamp,
}

record!(Policy, "policy", |_policy| Vec::new());

/// An OpenID Connect provider; its id is the URL without the scheme.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OidcProvider {
    pub url: String,
    pub created_at: Timestamp,
    pub clients: Vec<String>,
    pub thumbprints: Vec<String>,
    pub tags: Tags,
}

record!(OidcProvider, "oidc-provider", |_provider| Vec::new());

/// What the account as a whole has. Its id is [`Account::ID`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Account {
    pub alias: Option<String>,
    pub password_policy: Option<PasswordPolicy>,
    /// When the credential report was asked for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_asked_at: Option<Timestamp>,
}

impl Account {
    pub const ID: &'static str = "account";
}

record!(Account, "account", |_account| Vec::new());

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PasswordPolicy {
    pub minimum_length: i32,
    pub symbols: bool,
    pub numbers: bool,
    pub uppercase: bool,
    pub lowercase: bool,
    pub users_may_change: bool,
    pub max_age_days: Option<i32>,
    pub reuse_prevention: Option<i32>,
    pub hard_expiry: Option<bool>,
}

/// Which account an alias belongs to; aliases are unique on the whole platform.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AliasClaim {
    pub account: AccountId,
}

record!(AliasClaim, "alias-claim", |_claim| Vec::new());

/// How the deletion of a service-linked role went. The id is what follows `task/`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deletion {
    /// Why the role could not be deleted: resources of its service, by region.
    pub in_use: BTreeMap<String, Vec<String>>,
    pub at: Timestamp,
}

record!(Deletion, "deletion", |_deletion| Vec::new());

/// When a key (id: the key, in the global scope of all) or a role (id: its unique id) was last used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUse {
    pub at: Timestamp,
    pub service: String,
    pub region: String,
}

record!(LastUse, "last-use", |_use| Vec::new());

macro_rules! entity {
    ($type:ident, $word:literal) => {
        impl Entity for $type {
            const WORD: &'static str = $word;

            fn name(&self) -> &str {
                &self.name
            }
        }
    };
}

entity!(User, "user");
entity!(Group, "group");
entity!(Role, "role");

impl Entity for InstanceProfile {
    const WORD: &'static str = "instance profile";

    fn name(&self) -> &str {
        &self.name
    }

    fn missing(name: &str) -> ApiError {
        errors::no_such_entity(format!("Instance Profile {name} cannot be found."))
    }
}

macro_rules! holder {
    ($type:ident, $title:literal, $characters:literal, |$this:ident| $boundary:expr, $changeable:expr) => {
        impl Holder for $type {
            const TITLE: &'static str = $title;
            const INLINE_CHARACTERS: usize = $characters;

            fn id(&self) -> &str {
                &self.id
            }

            fn path(&self) -> &str {
                &self.path
            }

            fn permissions(&self) -> &Permissions {
                &self.permissions
            }

            fn permissions_mut(&mut self) -> &mut Permissions {
                &mut self.permissions
            }

            fn boundary(&self) -> Option<&String> {
                let $this = self;
                $boundary
            }

            fn changeable(&self) -> Result<(), ApiError> {
                let changeable: fn(&$type) -> Result<(), ApiError> = $changeable;
                changeable(self)
            }
        }
    };
}

holder!(User, "User", 2048, |user| user.boundary.as_ref(), |_| Ok(()));
holder!(Group, "Group", 5120, |_group| None, |_| Ok(()));
holder!(Role, "Role", 10240, |role| role.boundary.as_ref(), |role| match role.linked_service {
    None => Ok(()),
    Some(_) => Err(ApiError::new(
        &aws_shapes_iam::errors::UNMODIFIABLE_ENTITY_EXCEPTION,
        format!(
            "Cannot perform the operation on the protected role '{}' - this role is only modifiable by AWS",
            role.name
        ),
    )),
});
