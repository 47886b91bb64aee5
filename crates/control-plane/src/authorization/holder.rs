//! Whose policies count: the caller's, their groups', their boundary's, their session's.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use policy::{Caller, Policy, Principal};
use state_store::{Revision, View};
use vocabulary::Scope;

use super::documents::compile;
use crate::{
    gateway::Call,
    services::{
        ec2::records::global,
        iam::{
            access_keys::{AccessKey, Session},
            names, policies,
            policy_document::Use,
            records::{Group, Permissions, Policy as Managed, Role, User},
        },
    },
};

/// A caller with everything that limits or permits it.
#[derive(Debug)]
pub struct Holder {
    pub principal: Principal,
    pub identity: Vec<Arc<Policy>>,
    pub boundary: Option<Vec<Arc<Policy>>>,
    pub session: Option<Vec<Arc<Policy>>>,
    /// Tags of the user, or of the role and its session.
    pub tags: BTreeMap<String, String>,
    pub source_identity: Option<String>,
}

impl Holder {
    pub fn is_root(&self) -> bool {
        self.principal.caller == Caller::Root
    }

    pub fn borrowed(policies: &[Arc<Policy>]) -> Vec<&Policy> {
        policies.iter().map(Arc::as_ref).collect()
    }

    fn bare(principal: Principal) -> Holder {
        Holder {
            principal,
            identity: Vec::new(),
            boundary: None,
            session: None,
            tags: BTreeMap::new(),
            source_identity: None,
        }
    }
}

/// Callers that are remembered; more are looked up anew.
const MOST: usize = 4096;

/// The holders that were asked for lately. Compiling their policies takes longer than asking them.
#[derive(Default)]
pub struct Holders {
    known: Mutex<HashMap<String, (Stamp, Arc<Holder>)>>,
}

/// When the tables that a holder is made of changed last.
type Stamp = [Revision; 5];

impl std::fmt::Debug for Holders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Holders")
    }
}

impl Holders {
    /// The caller, as the tables show it.
    pub fn find(&self, view: &View, call: &Call) -> Arc<Holder> {
        let principal = &call.principal;
        if principal.arn.ends_with(":root") {
            return Arc::new(Holder::bare(Principal::root(principal.account.clone())));
        }
        let stamp = [
            view.changed::<User>(),
            view.changed::<Group>(),
            view.changed::<Role>(),
            view.changed::<Managed>(),
            view.changed::<AccessKey>(),
        ];
        let key = format!("{}\0{}", principal.access_key, principal.user_id);
        if let Some((made, holder)) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
            && *made == stamp
        {
            return Arc::clone(holder);
        }
        let holder = Arc::new(look_up(view, call));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, (stamp, Arc::clone(&holder)));
        holder
    }
}

/// Who is no longer there has no policies, and so may do nothing.
fn look_up(view: &View, call: &Call) -> Holder {
    let caller = &call.principal;
    let (arn, scope) = (caller.arn.clone(), names::global(&caller.account));
    let key = view.get::<AccessKey>(&global(), &caller.access_key);
    let session = key.as_ref().map(|key| key.session.clone()).unwrap_or_default();
    let principal = |caller_kind| Principal { account: Some(caller.account.clone()), caller: caller_kind };
    if let Some((_, name)) = arn.split_once(":user/") {
        let mut holder = Holder::bare(principal(Caller::User { arn: arn.clone() }));
        let user = view.get::<User>(&scope, &names::key(names::last_segment(name)));
        if let Some(user) = user.filter(|user| user.id == caller.user_id) {
            of_user(view, &scope, &user, &mut holder);
        }
        limit_to_session(view, &scope, &session, &mut holder);
        return holder;
    }
    if let Some((role_name, _)) = arn.split_once(":assumed-role/").and_then(|(_, rest)| rest.split_once('/'))
    {
        let role = view.get::<Role>(&scope, &names::key(role_name));
        let role = role.filter(|role| caller.user_id.split(':').next() == Some(&role.id));
        let role_arn = role.as_ref().map(|role| role.arn(&caller.account)).unwrap_or_default();
        let mut holder = Holder::bare(principal(Caller::RoleSession { arn: arn.clone(), role_arn }));
        if let Some(role) = role {
            holder.identity = permissions(view, &scope, &role.name, &role.permissions);
            holder.boundary = boundary(view, &scope, role.boundary.as_ref());
            holder.tags.extend(role.tags.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        limit_to_session(view, &scope, &session, &mut holder);
        return holder;
    }
    let mut holder = Holder::bare(principal(Caller::Federated { arn }));
    let issuer = session.issuer.clone();
    limit_to_session(view, &scope, &session, &mut holder);
    match issuer {
        // What the root hands out is limited by what it hands out with it alone.
        None => holder.identity = holder.session.take().unwrap_or_default(),
        Some(id) => {
            let found = view.scan::<User>(&scope).find(|(_, user)| user.id == id);
            if let Some((_, user)) = found {
                of_user(view, &scope, &user, &mut holder);
            }
            // Without a policy of its own a federated user may do nothing.
            holder.session.get_or_insert_default();
        }
    }
    holder
}

fn of_user(view: &View, scope: &Scope, user: &User, holder: &mut Holder) {
    holder.identity = permissions(view, scope, &user.name, &user.permissions);
    for (_, group) in view.scan::<Group>(scope).filter(|(_, group)| user.groups.contains(&group.id)) {
        holder.identity.extend(permissions(view, scope, &group.name, &group.permissions));
    }
    holder.boundary = boundary(view, scope, user.boundary.as_ref());
    holder.tags.extend(user.tags.iter().map(|(name, value)| (name.clone(), value.clone())));
}

fn permissions(view: &View, scope: &Scope, owner: &str, held: &Permissions) -> Vec<Arc<Policy>> {
    let attached = held.attached.iter().map(|arn| managed(view, scope, arn));
    let inline =
        held.inline.iter().map(|(name, text)| compile(&format!("{owner}/{name}"), text, Use::Inline));
    attached.chain(inline).collect()
}

/// A managed policy that is no longer there allows nothing.
fn managed(view: &View, scope: &Scope, arn: &str) -> Arc<Policy> {
    let policy = policies::seen(view, scope, arn);
    let version = policy.as_ref().and_then(|policy| policy.versions.get(&policy.default_version));
    match version {
        Some(version) => compile(arn, &version.document, Use::Inline),
        None => {
            Arc::new(Policy::new(arn, policy::LanguageVersion::V2012, &[]).expect("it has no conditions"))
        }
    }
}

fn boundary(view: &View, scope: &Scope, arn: Option<&String>) -> Option<Vec<Arc<Policy>>> {
    arn.map(|arn| vec![managed(view, scope, arn)])
}

fn limit_to_session(view: &View, scope: &Scope, session: &Session, holder: &mut Holder) {
    if session.policy.is_some() || !session.policy_arns.is_empty() {
        let passed = session.policy.iter().map(|text| compile("session policy", text, Use::Inline));
        let named = session.policy_arns.iter().map(|arn| managed(view, scope, arn));
        holder.session = Some(passed.chain(named).collect());
    }
    holder.tags.extend(session.tags.iter().map(|(name, value)| (name.clone(), value.clone())));
    holder.source_identity.clone_from(&session.source_identity);
}
