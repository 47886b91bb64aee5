//! Who asks, which registry is meant, and whether that is allowed.
//!
//! A password says both who asks and which account's registry in which region is meant, unless the host name or the
//! path of a public repository says otherwise. Public repositories are read without a password. A signed link stands for a
//! password, and for nothing but the blob that it names.

use std::net::SocketAddr;

use http::{StatusCode, header};
use vocabulary::{AccountId, Region, Scope, Timestamp};

use super::answer::{Answer, Refusal};
use super::request::{Session, text};
use super::route::{RepositoryName, Route};
use super::token::{self, Access};
use super::{Registry, public};
use crate::gateway::{Origin, OverTls};

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
        let session = Session { access: Access::nobody("a signed link", scope), origin: origin(parts), now };
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
                    Ok(Session { access: Access::nobody("anonymous", scope), origin: origin(parts), now })
                }
                _ => Err(unauthorized("no basic auth credentials")),
            };
        };
        let mut access = self.key.check(&token, now).map_err(|error| unauthorized(&error.to_string()))?;
        if let Some(scope) = public {
            access.scope = scope;
            return Ok(Session { access, origin: origin(parts), now });
        }
        let named = text(&parts.headers, header::HOST).or(parts.uri.host()).and_then(registry_of_host);
        // Another account's registry: what its policies say is asked before anything is done.
        if let Some(scope) = named {
            access.scope = scope;
        }
        Ok(Session { access, origin: origin(parts), now })
    }

    /// Refuses what the session may not do. Everyone reads public repositories.
    pub(super) fn authorize(
        &self,
        session: &Session,
        route: &Route,
        parts: &http::request::Parts,
    ) -> Result<(), Refusal> {
        let Some((actions, name)) = needed(route, parts) else {
            // A password that opens one repository lists none.
            let narrow = session.access.only.is_some() && matches!(route, Route::Catalog);
            return if narrow {
                Err(denied("This password opens one repository.".to_owned()))
            } else {
                Ok(())
            };
        };
        if route.reads() && public::scope_of(name).is_some() {
            return Ok(());
        }
        for action in actions {
            self.may(session, action, name.as_str()).map_err(denied)?;
        }
        Ok(())
    }

    /// Whether the session may do this to the repository of that name; the refusal otherwise.
    pub(super) fn may(&self, session: &Session, action: &str, name: &str) -> Result<(), String> {
        let access = &session.access;
        if let Some(only) = &access.only {
            // Decided on when the password was given out.
            return match READING.contains(&action) && only == name {
                true => Ok(()),
                false => Err(format!("This password is for pulling from {only} alone.")),
            };
        }
        let operation = action.strip_prefix("ecr:").unwrap_or(action);
        let (action, resource) = match name.strip_prefix(&public::prefix(&access.scope.account)) {
            Some(own) if public::of_name(name).is_some() => (
                format!("ecr-public:{operation}"),
                format!("arn:aws:ecr-public::{}:repository/{own}", access.scope.account),
            ),
            _ => (action.to_owned(), access.scope.arn("ecr", format_args!("repository/{name}")).to_string()),
        };
        self.policies.may(access, &action, &resource, &session.origin, session.now)
    }
}

/// What a password for pulling from one repository lets do there.
const READING: [&str; 3] =
    ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"];

/// Where the request came from.
fn origin(parts: &http::request::Parts) -> Origin {
    Origin {
        address: parts.extensions.get::<SocketAddr>().map(SocketAddr::ip),
        user_agent: text(&parts.headers, header::USER_AGENT).map(str::to_owned),
        secure: parts.extensions.get::<OverTls>().is_some(),
    }
}

/// What a route needs the permissions for, in ECR's names, and on which repository.
pub(super) fn needed<'a>(
    route: &'a Route,
    parts: &http::request::Parts,
) -> Option<(&'static [&'static str], &'a RepositoryName)> {
    let is_head = parts.method == http::Method::HEAD;
    // A body here is a part of the layer, or all of it.
    let has_body = text(&parts.headers, header::CONTENT_LENGTH).is_none_or(|length| length != "0");
    let whole = parts.uri.query().is_some_and(|query| query.contains("digest="));
    let (actions, name): (&'static [&'static str], _) = match route {
        // The list of repositories is the account's own; it is filtered by the token's scope.
        Route::Base | Route::Token | Route::Catalog => return None,
        Route::Tags(name) => (&["ecr:ListImages"], name),
        Route::Referrers(name, _) => (&["ecr:ListImageReferrers"], name),
        Route::GetManifest(name, _) => (&["ecr:BatchGetImage"], name),
        Route::PutManifest(name, _) => (&["ecr:PutImage"], name),
        Route::DeleteManifest(name, _) | Route::DeleteBlob(name, _) => (&["ecr:BatchDeleteImage"], name),
        Route::GetBlob(name, _) if is_head => (&["ecr:BatchCheckLayerAvailability"], name),
        Route::GetBlob(name, _) => (&["ecr:GetDownloadUrlForLayer"], name),
        // A whole layer in one request.
        Route::StartUpload(name) if whole => {
            (&["ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload"], name)
        }
        Route::StartUpload(name) => (&["ecr:InitiateLayerUpload"], name),
        Route::UploadStatus(name, _) | Route::AppendUpload(name, _) | Route::CancelUpload(name, _) => {
            (&["ecr:UploadLayerPart"], name)
        }
        Route::FinishUpload(name, _) if has_body => {
            (&["ecr:UploadLayerPart", "ecr:CompleteLayerUpload"], name)
        }
        Route::FinishUpload(name, _) => (&["ecr:CompleteLayerUpload"], name),
    };
    Some((actions, name))
}

fn denied(message: String) -> Refusal {
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
