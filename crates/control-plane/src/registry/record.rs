//! Transfers in the audit trail, each as the operation of ECR's API that it stands for.

use std::net::SocketAddr;

use http::header;
use serde_json::json;
use vocabulary::Ids;

use super::{
    access::needed,
    answer::Refusal,
    request::{Session, text},
    route::{Reference, Route},
};
use crate::{
    gateway::{OverTls, Principal},
    services::{
        SystemIds,
        cloudtrail::{Caller, Entry, Place, Trail},
    },
};

/// One transfer on its way.
pub struct Recorded {
    entry: Entry,
    place: Option<Place>,
}

impl Recorded {
    /// None for what is no transfer, and where nothing is recorded.
    ///
    /// # Errors
    /// Refuses a change that could not be recorded.
    pub async fn begin(
        trail: Option<&Trail>,
        parts: &http::request::Parts,
        session: &Session,
        route: &Route,
    ) -> Result<Option<Recorded>, Refusal> {
        let (Some(trail), Some((actions, name))) = (trail, needed(route, parts)) else { return Ok(None) };
        let Some(action) = actions.last().and_then(|action| action.strip_prefix("ecr:")) else {
            return Ok(None);
        };
        let access = &session.access;
        let mut request =
            json!({"repositoryName": name.as_str(), "registryId": access.scope.account.as_str()});
        match route {
            Route::GetManifest(_, reference)
            | Route::PutManifest(_, reference)
            | Route::DeleteManifest(_, reference) => {
                request["imageIds"] = match reference {
                    Reference::Tag(tag) => json!([{"imageTag": tag}]),
                    Reference::Digest(digest) => json!([{"imageDigest": digest.to_string()}]),
                    Reference::Invalid(_) => json!([]),
                };
            }
            Route::GetBlob(_, digest) | Route::DeleteBlob(_, digest) => {
                request["layerDigest"] = json!(digest.to_string());
            }
            _ => {}
        }
        let entry = Entry {
            at: session.now,
            source: "ecr",
            api_version: None,
            name: action.to_owned(),
            read_only: route.reads(),
            management: true,
            account: access.account.clone(),
            region: access.scope.region.clone(),
            caller: Caller::Known(Principal {
                account: access.account.clone(),
                arn: access.principal.clone(),
                user_id: access.user_id.clone(),
                access_key: access.access_key.clone(),
            }),
            address: parts.extensions.get::<SocketAddr>().map(SocketAddr::ip),
            user_agent: text(&parts.headers, header::USER_AGENT)
                .map(|agent| agent.chars().take(512).collect()),
            invoked_by: None,
            host: text(&parts.headers, header::HOST).map(str::to_owned),
            tls: parts.extensions.get::<OverTls>().is_some(),
            request: Some(request),
            response: None,
            error: None,
            request_id: SystemIds.uuid(),
            event_id: SystemIds.uuid(),
        };
        let place = match trail.place().await {
            Ok(place) => Some(place),
            Err(_) if entry.read_only => None,
            Err(full) => return Err(Refusal::internal(full)),
        };
        Ok(Some(Recorded { entry, place }))
    }

    /// It is answered.
    pub fn end(mut self, trail: Option<&Trail>, refusal: Option<&Refusal>) {
        self.entry.error = refusal.map(|refusal| (code(refusal), refusal.message.clone()));
        match (self.place, trail) {
            (Some(place), _) => place.fill(self.entry),
            (None, Some(trail)) => trail.leave(self.entry),
            (None, None) => {}
        }
    }
}

/// ECR's name for the protocol's error.
fn code(refusal: &Refusal) -> String {
    match refusal.code {
        "DENIED" => "AccessDenied".to_owned(),
        "NAME_UNKNOWN" => "RepositoryNotFoundException".to_owned(),
        "MANIFEST_UNKNOWN" => "ImageNotFoundException".to_owned(),
        other => other.to_owned(),
    }
}
