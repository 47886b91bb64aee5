//! Who asks, which registry is meant, and whether that is allowed.
//!
//! A password says both who asks and which account's registry in which region is meant, unless the host name or the
//! path of a public repository says otherwise. Public repositories are read without a password. A signed link stands for a
//! password, and for nothing but the blob that it names.

use http::{StatusCode, header};
use vocabulary::{AccountId, Region, Scope, Timestamp};

use super::answer::{Answer, Refusal};
use super::request::{Session, text};
use super::route::{RepositoryName, Route};
use super::token::{self, Access};
use super::{Registry, public};

impl Registry {
    /// A signed link stands for a password, and for nothing but the blob that it names.
    pub(super) async fn answer_link(
        &self,
        parts: &http::request::Parts,
        now: Timestamp,
    ) -> Result<Option<Answer>, Refusal> {
        let (path, query) = (parts.uri.path(), parts.uri.query());
        let Some(scope) = self.key.check_link(path, query, now) else { return Ok(None) };
        let Ok(Route::GetBlob(name, digest)) = Route::parse(&parts.method, path) else { return Ok(None) };
        let access = Access { account: scope.account.clone(), principal: "a signed link".to_owned(), scope };
        let session = Session { access, now };
        let head_only = parts.method == http::Method::HEAD;
        self.get_blob(&session, &name, &digest, &parts.headers, head_only).await.map(Some)
    }

    /// Who asks, and which registry is meant.
    pub(super) fn session(
        &self,
        parts: &http::request::Parts,
        route: Option<&Route>,
        now: Timestamp,
    ) -> Result<Session, Refusal> {
        let public = route.and_then(Route::name).and_then(public::scope_of);
        let Some(token) = text(&parts.headers, header::AUTHORIZATION).and_then(token::presented) else {
            return match public {
                Some(scope) if route.is_some_and(Route::reads) => {
                    let access =
                        Access { account: scope.account.clone(), principal: "anonymous".to_owned(), scope };
                    Ok(Session { access, now })
                }
                _ => Err(unauthorized("no basic auth credentials")),
            };
        };
        let mut access = self.key.check(&token, now).map_err(|error| unauthorized(&error.to_string()))?;
        if let Some(scope) = public {
            access.scope = scope;
            return Ok(Session { access, now });
        }
        let named = text(&parts.headers, header::HOST).or(parts.uri.host()).and_then(registry_of_host);
        if let Some(scope) = named {
            if scope.account != access.scope.account {
                let message = format!("The token is not for the registry with id '{}'", scope.account);
                return Err(Refusal::new(StatusCode::FORBIDDEN, "DENIED", message));
            }
            access.scope = scope;
        }
        Ok(Session { access, now })
    }

    /// Refuses what the session may not do. Everyone reads public repositories.
    pub(super) fn authorize(&self, session: &Session, route: &Route) -> Result<(), Refusal> {
        let Some((action, name)) = needed(route) else { return Ok(()) };
        let open = route.reads() && public::scope_of(name).is_some();
        if open || self.may(session, action, name.as_str()) {
            return Ok(());
        }
        Err(denied(session, action, name))
    }

    /// Whether the session may do this to the repository of that name.
    pub(super) fn may(&self, session: &Session, action: &str, name: &str) -> bool {
        let resource = session.access.scope.arn("ecr", format_args!("repository/{name}"));
        self.policies.may(&session.access, action, &resource.to_string())
    }
}

/// What a route needs the permission for, in ECR's names, and on which repository.
fn needed(route: &Route) -> Option<(&'static str, &RepositoryName)> {
    match route {
        // The list of repositories is the account's own; it is filtered by the token's scope.
        Route::Base | Route::Token | Route::Catalog => None,
        Route::Tags(name) => Some(("ecr:ListImages", name)),
        Route::Referrers(name, _) => Some(("ecr:ListImageReferrers", name)),
        Route::GetManifest(name, _) => Some(("ecr:BatchGetImage", name)),
        Route::PutManifest(name, _) => Some(("ecr:PutImage", name)),
        Route::DeleteManifest(name, _) | Route::DeleteBlob(name, _) => Some(("ecr:BatchDeleteImage", name)),
        Route::GetBlob(name, _) => Some(("ecr:GetDownloadUrlForLayer", name)),
        Route::StartUpload(name) => Some(("ecr:InitiateLayerUpload", name)),
        Route::UploadStatus(name, _) | Route::AppendUpload(name, _) | Route::CancelUpload(name, _) => {
            Some(("ecr:UploadLayerPart", name))
        }
        Route::FinishUpload(name, _) => Some(("ecr:CompleteLayerUpload", name)),
    }
}

fn denied(session: &Session, action: &str, name: &RepositoryName) -> Refusal {
    let message = format!(
        "User: {} is not authorized to perform: {action} on resource: {}",
        session.access.principal,
        session.access.scope.arn("ecr", format_args!("repository/{name}")),
    );
    Refusal::new(StatusCode::FORBIDDEN, "DENIED", message)
}

fn unauthorized(message: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
        .with_header(header::WWW_AUTHENTICATE, "Basic realm=\"longshore\",service=\"ecr.amazonaws.com\"")
}

/// `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, with whatever port.
pub(crate) fn registry_of_host(host: &str) -> Option<Scope> {
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let (account, rest) = host.split_once(".dkr.ecr.")?;
    let region = rest.strip_suffix(".amazonaws.com")?;
    Some(Scope::new(account.parse::<AccountId>().ok()?, region.parse::<Region>().ok()?))
}
