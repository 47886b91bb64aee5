//! Lists: tags of a repository, repositories of a registry, what refers to a manifest.
//!
//! Tags and repositories come in pages (`n`, `last`, and a `Link` to the next); a referrers list is complete, which the bound on
//! annotations keeps within reason.

use blob_store::Digest;
use http::{StatusCode, header};
use serde_json::{Map, Value, json};

use super::Registry;
use super::answer::{Answer, Refusal, set, with_body};
use super::manifest::OCI_INDEX;
use super::records::Referrer;
use super::request::{Incoming, Session};
use super::route::{RepositoryName, encode, parameter};

/// The longest page, asked for or not.
const LONGEST_PAGE: usize = 10_000;

struct Page {
    limit: usize,
    last: Option<String>,
}

impl Page {
    fn of(request: &Incoming) -> Result<Self, Refusal> {
        let query = request.query.as_deref();
        let limit = match parameter(query, "n") {
            Some(n) => n.parse::<usize>().map_err(|_| {
                let message = format!("invalid number of results requested: '{n}'");
                Refusal::new(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", message)
            })?,
            None => LONGEST_PAGE,
        };
        Ok(Self {
            limit: limit.min(LONGEST_PAGE),
            last: parameter(query, "last").filter(|last| !last.is_empty()),
        })
    }

    /// Cuts `names`, of which one more than the page holds was looked up, and links to the next page if there is one.
    fn answer(&self, path: &str, mut names: Vec<String>, body: impl FnOnce(&[String]) -> Value) -> Answer {
        let more = names.len() > self.limit;
        names.truncate(self.limit);
        let mut answer = with_body(StatusCode::OK, "application/json", body(&names).to_string());
        if let Some(last) = names.last().filter(|_| more) {
            let link = format!("<{path}?n={}&last={}>; rel=\"next\"", self.limit, encode(last));
            set(&mut answer, header::LINK, &link);
        }
        answer
    }
}

impl Registry {
    /// `GET /v2/NAME/tags/list`.
    pub(super) fn list_tags(
        &self,
        session: &Session,
        name: &RepositoryName,
        request: &Incoming,
    ) -> Result<Answer, Refusal> {
        let scope = &session.access.scope;
        self.catalog.repository(scope, name.as_str())?;
        let page = Page::of(request)?;
        let tags = self.catalog.tags(scope, name.as_str(), page.last.as_deref(), page.limit + 1);
        Ok(page.answer(
            &format!("/v2/{name}/tags/list"),
            tags,
            |tags| json!({ "name": name.as_str(), "tags": tags }),
        ))
    }

    /// `GET /v2/_catalog`.
    pub(super) fn list_repositories(&self, session: &Session, request: &Incoming) -> Result<Answer, Refusal> {
        let page = Page::of(request)?;
        let names = (self.catalog.repositories(&session.access.scope).into_iter())
            .map(|repository| repository.name.clone())
            .filter(|name| page.last.as_ref().is_none_or(|last| name > last))
            .filter(|name| self.may(session, "ecr:DescribeRepositories", name).is_ok())
            .take(page.limit + 1)
            .collect();
        Ok(page.answer("/v2/_catalog", names, |names| json!({ "repositories": names })))
    }

    /// `GET /v2/NAME/referrers/DIGEST`.
    pub(super) fn list_referrers(
        &self,
        session: &Session,
        name: &RepositoryName,
        subject: &Digest,
        request: &Incoming,
    ) -> Result<Answer, Refusal> {
        let scope = &session.access.scope;
        self.catalog.repository(scope, name.as_str())?;
        let wanted = parameter(request.query.as_deref(), "artifactType").filter(|wanted| !wanted.is_empty());
        let manifests = (self.catalog.referrers(scope, name.as_str(), subject).iter())
            .filter(|referrer| wanted.is_none() || referrer.artifact_type == wanted)
            .map(|referrer| describe(referrer))
            .collect::<Vec<_>>();
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
        let mut answer = with_body(StatusCode::OK, OCI_INDEX, index.to_string());
        if wanted.is_some() {
            set(&mut answer, "oci-filters-applied", "artifactType");
        }
        Ok(answer)
    }
}

fn describe(referrer: &Referrer) -> Value {
    let mut entry = Map::new();
    entry.insert("mediaType".into(), json!(referrer.descriptor.media_type));
    entry.insert("digest".into(), json!(referrer.descriptor.digest));
    entry.insert("size".into(), json!(referrer.descriptor.size));
    if let Some(artifact_type) = &referrer.artifact_type {
        entry.insert("artifactType".into(), json!(artifact_type));
    }
    if !referrer.annotations.is_empty() {
        entry.insert("annotations".into(), json!(referrer.annotations));
    }
    Value::Object(entry)
}
