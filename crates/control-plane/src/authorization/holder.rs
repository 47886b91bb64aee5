//! Whose policies count: the caller's, their groups', their boundary's, their session's.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use policy::{Caller, Context, Policies, Policy, Principal};
use state_store::{Revision, View};
use vocabulary::{AccountId, Region, Scope, Timestamp};

use super::{
    circumstances,
    documents::{Compiled, compile},
};
use crate::{
    gateway::{self, Call, Origin},
    services::{
        ec2::records::global,
        iam::{
            access_keys::{AccessKey, Session},
            names, policies,
            policy_document::Use,
            records::{Group, Permissions, Policy as Managed, Role, User},
            sessions::{self, CannotAssume, TaskSession},
        },
    },
};

/// A caller with everything that limits or permits it.
#[derive(Debug)]
pub struct Holder {
    pub principal: Principal,
    /// `aws:userid`
    pub user_id: String,
    pub identity: Vec<Arc<Policy>>,
    pub boundary: Option<Vec<Arc<Policy>>>,
    pub session: Option<Vec<Arc<Policy>>>,
    /// Tags of the user, or of the role and its session.
    pub tags: BTreeMap<String, String>,
    pub source_identity: Option<String>,
    /// Who vouched for whoever began the session: the ARN of an identity provider.
    pub federated_provider: Option<String>,
    /// When its temporary credentials were issued; none for those that last.
    pub issued_at: Option<Timestamp>,
}

impl Holder {
    pub fn is_root(&self) -> bool {
        self.principal.caller == Caller::Root
    }

    /// The policies, as the core takes them.
    pub fn held(&self) -> Held<'_> {
        Held {
            identity: borrowed(&self.identity),
            boundary: self.boundary.as_deref().map(borrowed),
            session: self.session.as_deref().map(borrowed),
        }
    }

    /// What holds of everything that it asks for in a region at a time. For what the platform asks in a holder's name; what a
    /// client asks has an origin besides.
    pub fn context(&self, region: &Region, now: Timestamp) -> Context {
        circumstances::of_holder(self, region, now, &Origin::default())
    }

    /// The same for what a client asks for.
    pub fn context_from(&self, region: &Region, now: Timestamp, origin: &Origin) -> Context {
        circumstances::of_holder(self, region, now, origin)
    }

    /// Somebody without policies of their own: a service, or whom an identity provider vouches for.
    pub fn bare(principal: Principal, user_id: &str) -> Holder {
        Holder {
            principal,
            user_id: user_id.to_owned(),
            identity: Vec::new(),
            boundary: None,
            session: None,
            tags: BTreeMap::new(),
            source_identity: None,
            federated_provider: None,
            issued_at: None,
        }
    }
}

/// The policies of a [`Holder`].
#[derive(Debug)]
pub struct Held<'a> {
    identity: Vec<&'a Policy>,
    boundary: Option<Vec<&'a Policy>>,
    session: Option<Vec<&'a Policy>>,
}

impl Held<'_> {
    /// Without any of a resource.
    pub fn policies(&self) -> Policies<'_> {
        Policies {
            identity: &self.identity,
            boundary: self.boundary.as_deref(),
            session: self.session.as_deref(),
            ..Policies::default()
        }
    }
}

fn borrowed(policies: &[Arc<Policy>]) -> Vec<&Policy> {
    policies.iter().map(Arc::as_ref).collect()
}

/// Callers that are remembered; more are looked up anew.
const MOST: usize = 4096;

/// The holders that were asked for lately. Compiling their policies takes longer than asking them.
#[derive(Default)]
pub struct Holders {
    known: Mutex<HashMap<String, (Stamp, Arc<Holder>)>>,
    pub(super) compiled: Compiled,
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
        self.of_principal(view, &call.principal)
    }

    /// A role that the platform acts in for a task, an instance or a service: the execution role that pulls an image, the role of an
    /// instance. `service` (`ecs-tasks.amazonaws.com`) has to be trusted by the role; `source_arn` is what it is used for, a task or
    /// a service: its last part names the session, and its account has to be the role's.
    ///
    /// # Errors
    /// [`CannotAssume`] when the role is not there, is another account's, or does not trust the service.
    pub fn of_role(
        &self,
        view: &View,
        role_arn: &str,
        service: &str,
        source_arn: &str,
        now: Timestamp,
    ) -> Result<Arc<Holder>, CannotAssume> {
        let cannot = || CannotAssume { role_arn: role_arn.to_owned() };
        let source: vocabulary::Arn = source_arn.parse().map_err(|_| cannot())?;
        let account: AccountId = source.account().parse().map_err(|_| cannot())?;
        let session = TaskSession {
            role_arn,
            session_name: names::last_segment(source_arn),
            account: &account,
            source_arn,
            duration: sessions::SESSION_OF_THE_PLATFORM,
            now,
        };
        let role = sessions::role_in_view(view, role_arn).filter(|(owner, _)| *owner == account);
        let (_, role) = role.ok_or_else(cannot)?;
        if !sessions::trusts_service(&role, service, &session) {
            return Err(cannot());
        }
        let (arn, user_id) = sessions::principal(&account, &role, session.session_name);
        let caller = Caller::RoleSession { arn, role_arn: role.arn(&account) };
        let principal = Principal { account: Some(account.clone()), caller };
        let mut holder = Holder::bare(principal, &user_id);
        holder.issued_at = Some(now);
        of_role(view, &names::global(&account), &role, &mut holder);
        Ok(Arc::new(holder))
    }

    /// Somebody by name, as the tables show them.
    pub fn of_principal(&self, view: &View, principal: &gateway::Principal) -> Arc<Holder> {
        if principal.is_nobody() {
            let nobody = Principal { account: None, caller: Caller::Anonymous };
            return Arc::new(Holder::bare(nobody, &principal.user_id));
        }
        if principal.arn.ends_with(":root") {
            let account = &principal.account;
            return Arc::new(Holder::bare(Principal::root(account.clone()), account.as_str()));
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
        let holder = Arc::new(look_up(view, principal));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, (stamp, Arc::clone(&holder)));
        holder
    }
}

/// Who is no longer there has no policies, and so may do nothing.
fn look_up(view: &View, caller: &gateway::Principal) -> Holder {
    let (arn, scope) = (caller.arn.clone(), names::global(&caller.account));
    let key = view.get::<AccessKey>(&global(), &caller.access_key);
    let session = key.as_ref().map(|key| key.session.clone()).unwrap_or_default();
    let issued_at = key.filter(|key| key.is_temporary()).map(|key| key.created_at);
    let bare = |kind| {
        let principal = Principal { account: Some(caller.account.clone()), caller: kind };
        Holder { issued_at, ..Holder::bare(principal, &caller.user_id) }
    };
    if let Some((_, name)) = arn.split_once(":user/") {
        let mut holder = bare(Caller::User { arn: arn.clone() });
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
        let mut holder = bare(Caller::RoleSession { arn: arn.clone(), role_arn });
        if let Some(role) = role {
            of_role(view, &scope, &role, &mut holder);
        }
        limit_to_session(view, &scope, &session, &mut holder);
        return holder;
    }
    let mut holder = bare(Caller::Federated { arn });
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

fn of_role(view: &View, scope: &Scope, role: &Role, holder: &mut Holder) {
    holder.identity = permissions(view, scope, &role.name, &role.permissions);
    holder.boundary = boundary(view, scope, role.boundary.as_ref());
    holder.tags.extend(role.tags.iter().map(|(name, value)| (name.clone(), value.clone())));
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
    holder.federated_provider.clone_from(&session.provider);
}
