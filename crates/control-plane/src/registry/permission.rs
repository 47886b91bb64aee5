//! Whether somebody may do something to a repository: by their own policies, the repository's and the registry's.
//!
//! A password says who asked for it, and its holder is looked up for every request: a policy that is taken away, a key that is deleted or a
//! task that has stopped counts at once. The platform's own agents hold passwords that were decided on when they were given out
//! (`agents/pulls.rs`) and open one repository, for reading; they are not asked about here.

use std::sync::{Arc, OnceLock, Weak};

use aws_shapes_ecr as ecr;
use vocabulary::Timestamp;

use super::{Authorize, token::Access};
use crate::{
    authorization::{self, Wish},
    gateway::{Origin, Principal},
    services::{Services, ec2::records::global, iam::access_keys::AccessKey},
};

/// Asks the policies. It knows the services only when they are all there.
#[derive(Default)]
pub struct ByPolicies(OnceLock<Weak<Services>>);

impl ByPolicies {
    /// From now on requests can be decided on; until then all are refused.
    pub fn know(&self, services: &Arc<Services>) {
        let _ = self.0.set(Arc::downgrade(services));
    }
}

impl Authorize for ByPolicies {
    fn may(
        &self,
        access: &Access,
        action: &str,
        resource: &str,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), String> {
        let Some(services) = self.0.get().and_then(Weak::upgrade) else {
            return Err("The registry is not ready.".to_owned());
        };
        let principal = Principal {
            account: access.account.clone(),
            arn: access.principal.clone(),
            user_id: access.user_id.clone(),
            access_key: access.access_key.clone(),
        };
        if !still_signs(&services, &principal, now) {
            return Err("Your authorization token has expired. Reauthenticate and try again.".to_owned());
        }
        let holder = services.state.read(|view| services.holders.of_principal(view, &principal));
        let context = holder.context_from(&access.scope.region, now, origin);
        let wish = Wish::new(action, resource);
        authorization::authorize_with_resource_policy(&services, &holder, &context, ecr::SERVICE, &wish)
            .map_err(|error| error.message)
    }
}

/// Whether the key with which a password was asked for still counts. One that was not issued here is a stranger's at the open door.
fn still_signs(services: &Services, principal: &Principal, now: Timestamp) -> bool {
    let issued = principal.access_key.len() == 20
        && ["AKIA", "ASIA"].iter().any(|kind| principal.access_key.starts_with(kind));
    if !issued {
        return principal.arn.ends_with(":root");
    }
    let key = services.state.read(|view| view.get::<AccessKey>(&global(), &principal.access_key));
    key.is_some_and(|key| key.active && key.expires_at.is_none_or(|end| now < end))
}
