//! Who asks, and whether a statement speaks of them.

use vocabulary::AccountId;

use crate::{Clause, NamedPrincipal};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// None for services, which belong to no account.
    pub account: Option<AccountId>,
    pub caller: Caller,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The account itself.
    Root,
    /// `arn:aws:iam::ACCOUNT:user/NAME`
    User { arn: String },
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`, and the ARN of the role.
    RoleSession { arn: String, role_arn: String },
    /// `arn:aws:sts::ACCOUNT:federated-user/NAME`
    Federated { arn: String },
    /// `ecs-tasks.amazonaws.com`
    Service { name: String },
    /// Whom an identity provider vouches for, who has no account yet.
    WebIdentity { provider_arn: String },
    /// Nobody known.
    Anonymous,
}

/// How closely a statement names the one who asks; the closer, the less limits what it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Named {
    /// The account: it may pass the permission on to its own, who need one from there.
    Account,
    /// The role of a session, or everybody.
    Role,
    /// The user or the session itself, or a service.
    Itself,
}

impl Principal {
    pub fn root(account: AccountId) -> Principal {
        Principal { account: Some(account), caller: Caller::Root }
    }

    pub fn service(name: &str) -> Principal {
        Principal { account: None, caller: Caller::Service { name: name.to_owned() } }
    }

    /// The caller's ARN, or a service's name.
    pub fn name(&self) -> String {
        match &self.caller {
            Caller::Root => {
                format!("arn:aws:iam::{}:root", self.account.as_ref().map_or("", AccountId::as_str))
            }
            Caller::User { arn } | Caller::RoleSession { arn, .. } | Caller::Federated { arn } => arn.clone(),
            Caller::Service { name } => name.clone(),
            Caller::WebIdentity { provider_arn } => provider_arn.clone(),
            Caller::Anonymous => "anonymous".to_owned(),
        }
    }

    /// Whether a clause speaks of the one who asks.
    pub(crate) fn is_named_in(&self, clause: &Clause<NamedPrincipal>) -> Option<Named> {
        let named = clause.members.iter().filter_map(|principal| self.is(principal)).max();
        match (clause.negated, named) {
            (false, named) => named,
            (true, None) => Some(Named::Role),
            // The account of a user is not the user: who is left out has to be named as they are, with their account.
            (true, Some(Named::Account)) if self.caller != Caller::Root => Some(Named::Role),
            (true, Some(_)) => None,
        }
    }

    fn is(&self, named: &NamedPrincipal) -> Option<Named> {
        let when = |right: bool, how: Named| right.then_some(how);
        match (named, &self.caller) {
            (NamedPrincipal::Anyone, Caller::Service { .. }) => None,
            (NamedPrincipal::Anyone, _) => Some(Named::Role),
            (NamedPrincipal::Aws(name), Caller::Anonymous) => when(name == "*", Named::Role),
            (NamedPrincipal::Service(name), Caller::Service { name: own }) => {
                when(name == own, Named::Itself)
            }
            (NamedPrincipal::Federated(name), Caller::WebIdentity { provider_arn }) => {
                when(name == provider_arn, Named::Itself)
            }
            (NamedPrincipal::Aws(name), _) => self.is_in(name),
            _ => None,
        }
    }

    fn is_in(&self, name: &str) -> Option<Named> {
        let account = self.account.as_ref()?.as_str();
        if name == "*" {
            return Some(Named::Role);
        }
        let whole =
            name.strip_prefix("arn:aws:iam::").and_then(|rest| rest.strip_suffix(":root")).unwrap_or(name);
        if whole == account {
            return Some(if self.caller == Caller::Root { Named::Itself } else { Named::Account });
        }
        match &self.caller {
            Caller::User { arn } | Caller::Federated { arn } => (name == arn).then_some(Named::Itself),
            Caller::RoleSession { arn, .. } if name == arn => Some(Named::Itself),
            Caller::RoleSession { role_arn, .. } => (name == role_arn).then_some(Named::Role),
            _ => None,
        }
    }
}
