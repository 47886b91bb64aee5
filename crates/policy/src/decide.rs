//! The decision, over all policies that have a say.

use vocabulary::AccountId;

use crate::{Caller, Context, Effect, Policy, Principal, compile::Statement, principal::Named};

/// What is asked.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub principal: &'a Principal,
    /// `ecs:RunTask`
    pub action: &'a str,
    /// An ARN, or `*` for an action that has no resource.
    pub resource: &'a str,
    /// The account that the resource is in; the caller's own when there is none.
    pub resource_account: Option<&'a AccountId>,
    pub context: &'a Context,
}

/// Every policy that has a say. An absent boundary or session policy limits nothing; an empty one allows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policies<'a> {
    /// Of the user and their groups, or of the role: managed and inline.
    pub identity: &'a [&'a Policy],
    pub boundary: Option<&'a [&'a Policy]>,
    pub session: Option<&'a [&'a Policy]>,
    /// Of the resource.
    pub resource: Option<&'a Policy>,
    /// The resource's policy has to speak first, as a key's policy and a role's trust policy do: what identity policies
    /// allow counts only when it names the account.
    pub resource_decides: bool,
}

/// Which policy of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Identity,
    Boundary,
    Session,
    Resource,
}

impl Kind {
    /// As the refusals of AWS call it.
    pub fn words(self) -> &'static str {
        match self {
            Kind::Identity => "identity-based policy",
            Kind::Boundary => "permissions boundary",
            Kind::Session => "session policy",
            Kind::Resource => "resource-based policy",
        }
    }
}

/// The statement that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub kind: Kind,
    pub policy: String,
    /// From 1.
    pub statement: usize,
    pub sid: Option<String>,
}

/// By what a request is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    Statement(Source),
    /// The account's root needs none.
    Root,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Allowed(By),
    /// A statement denies it.
    Denied(Source),
    /// No policy of this kind allows it.
    NotAllowed(Kind),
}

impl Source {
    /// `POLICY#3` or `POLICY#Sid`: what a log says of the statement.
    pub fn id(&self) -> String {
        match &self.sid {
            Some(sid) if !sid.is_empty() => format!("{}#{sid}", self.policy),
            _ => format!("{}#{}", self.policy, self.statement),
        }
    }
}

/// The three words that IAM's simulator knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    ExplicitDeny,
    ImplicitDeny,
}

impl Decision {
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allowed(_))
    }

    pub fn verdict(&self) -> Verdict {
        match self {
            Decision::Allowed(_) => Verdict::Allowed,
            Decision::Denied(_) => Verdict::ExplicitDeny,
            Decision::NotAllowed(_) => Verdict::ImplicitDeny,
        }
    }

    /// The statement that decided, where one did.
    pub fn source(&self) -> Option<&Source> {
        match self {
            Decision::Allowed(By::Statement(source)) | Decision::Denied(source) => Some(source),
            Decision::Allowed(By::Root) | Decision::NotAllowed(_) => None,
        }
    }

    /// The refusal as AWS words it; `None` when the request is allowed.
    pub fn refusal(&self, request: &Request<'_>) -> Option<String> {
        let because = match self {
            Decision::Allowed(_) => return None,
            Decision::Denied(source) => {
                let article = if source.kind == Kind::Identity { "an" } else { "a" };
                format!("with an explicit deny in {article} {}", source.kind.words())
            }
            Decision::NotAllowed(kind) => {
                format!("because no {} allows the {} action", kind.words(), request.action)
            }
        };
        let user = request.principal.name();
        let on = match request.resource {
            "*" => String::new(),
            resource => format!(" on resource: {resource}"),
        };
        Some(format!("User: {user} is not authorized to perform: {}{on} {because}", request.action))
    }
}

/// Whether the request is allowed, and by which statement or for want of which kind of policy.
pub fn decide(request: &Request<'_>, policies: &Policies<'_>) -> Decision {
    let own = |kind: Kind, all: Option<&[&Policy]>, effect: Effect| {
        all.into_iter().flatten().find_map(|policy| find(request, policy, kind, effect, |_| true))
    };
    let limited = [(Kind::Boundary, policies.boundary), (Kind::Session, policies.session)];
    let identity = Some(policies.identity);
    let denied = std::iter::once((Kind::Identity, identity))
        .chain(limited)
        .find_map(|(kind, all)| own(kind, all, Effect::Deny))
        .or_else(|| {
            let denies = |statement: &Statement| is_denied(request.principal, policies, statement);
            policies.resource.and_then(|policy| find(request, policy, Kind::Resource, Effect::Deny, denies))
        });
    if let Some(source) = denied {
        return Decision::Denied(source);
    }
    let granted = policies.resource.and_then(|policy| grant(request, policy));
    let account = request.principal.account.as_ref();
    let foreign = match (account, request.resource_account) {
        (None, _) => true,
        (Some(own), Some(resource)) => own != resource,
        (Some(_), None) => false,
    };
    if request.principal.caller == Caller::Root && !foreign && !policies.resource_decides {
        return Decision::Allowed(By::Root);
    }
    let limit =
        || limited.into_iter().find(|(kind, all)| all.is_some() && own(*kind, *all, Effect::Allow).is_none());
    let by_identity = || match own(Kind::Identity, identity, Effect::Allow) {
        // The root of an account has every permission that can be passed on to the account.
        None if request.principal.caller == Caller::Root => Ok(By::Root),
        None => Err(Decision::NotAllowed(Kind::Identity)),
        Some(source) => match limit() {
            Some((kind, _)) => Err(Decision::NotAllowed(kind)),
            None => Ok(By::Statement(source)),
        },
    };
    let decided = match granted {
        // Whoever belongs to no account has nothing but what the resource's policy says.
        None if account.is_none() => Err(Decision::NotAllowed(Kind::Resource)),
        Some((source, _)) if account.is_none() => Ok(By::Statement(source)),
        None if foreign || policies.resource_decides => Err(Decision::NotAllowed(Kind::Resource)),
        Some((_, Named::Account)) => by_identity(),
        Some(_) if foreign => by_identity(),
        Some((source, Named::Itself)) => Ok(By::Statement(source)),
        // What is allowed to a role, its boundary and its session still limit.
        Some((source, Named::Role)) => match limit() {
            Some((kind, _)) => Err(Decision::NotAllowed(kind)),
            None => Ok(By::Statement(source)),
        },
        None => by_identity(),
    };
    decided.map_or_else(|refused| refused, Decision::Allowed)
}

/// The statements that make the decision what it is: where one denies, all that do; else all that allow, of every kind of
/// policy. What is decided without a statement has none.
pub fn statements(request: &Request<'_>, policies: &Policies<'_>) -> Vec<Source> {
    let sources = |effect: Effect| -> Vec<Source> {
        let identity = policies.identity.iter().map(|policy| (Kind::Identity, *policy));
        let limits = [(Kind::Boundary, policies.boundary), (Kind::Session, policies.session)];
        let limits = limits.into_iter().flat_map(|(kind, all)| {
            all.into_iter().flatten().map(move |policy| (kind, *policy)).collect::<Vec<_>>()
        });
        let resource = policies.resource.map(|policy| (Kind::Resource, policy));
        let all = identity.chain(limits).chain(resource);
        all.flat_map(|(kind, policy)| {
            let speaks = move |statement: &Statement| {
                statement.effect == effect
                    && match (kind, effect) {
                        (Kind::Resource, Effect::Deny) => is_denied(request.principal, policies, statement),
                        (Kind::Resource, Effect::Allow) => named(request.principal, statement).is_some(),
                        _ => true,
                    }
                    && statement.fits(request.action, request.resource, request.context)
            };
            policy.statements.iter().enumerate().filter(move |(_, statement)| speaks(statement)).map(
                move |(index, statement)| Source {
                    kind,
                    policy: policy.name.clone(),
                    statement: index + 1,
                    sid: statement.sid.clone(),
                },
            )
        })
        .collect()
    };
    let denying = sources(Effect::Deny);
    if denying.is_empty() { sources(Effect::Allow) } else { denying }
}

/// The statement of a resource's policy that allows the request and names the one who asks most closely.
fn grant(request: &Request<'_>, policy: &Policy) -> Option<(Source, Named)> {
    let closest = |how: Named| {
        let names = |statement: &Statement| named(request.principal, statement) == Some(how);
        find(request, policy, Kind::Resource, Effect::Allow, names).map(|source| (source, how))
    };
    closest(Named::Itself).or_else(|| closest(Named::Role)).or_else(|| closest(Named::Account))
}

/// Whether a denying statement of a resource's policy means the one who asks. One with `NotPrincipal` means everybody who has a permissions
/// boundary, whoever it leaves out. Source: "Permissions boundaries for IAM entities".
fn is_denied(principal: &Principal, policies: &Policies<'_>, statement: &Statement) -> bool {
    let leaves_out = statement.principals.as_ref().is_some_and(|clause| clause.negated);
    (leaves_out && policies.boundary.is_some()) || named(principal, statement).is_some()
}

fn named(principal: &Principal, statement: &Statement) -> Option<Named> {
    principal.is_named_in(statement.principals.as_ref()?)
}

fn find(
    request: &Request<'_>,
    policy: &Policy,
    kind: Kind,
    effect: Effect,
    also: impl Fn(&Statement) -> bool,
) -> Option<Source> {
    let fits = |statement: &Statement| {
        statement.effect == effect
            && also(statement)
            && statement.fits(request.action, request.resource, request.context)
    };
    let index = policy.statements.iter().position(fits)?;
    let sid = policy.statements[index].sid.clone();
    Some(Source { kind, policy: policy.name.clone(), statement: index + 1, sid })
}
