//! The part of a request that comes before its body.

use http::{HeaderMap, Method, Uri};

/// Method, path, query and headers as received: path and query are still percent-encoded.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// `POST`, …
    pub method: &'a Method,
    /// Path, percent-encoded.
    pub path: &'a str,
    /// Query string without `?`, percent-encoded; empty when there is none.
    pub query: &'a str,
    /// Headers.
    pub headers: &'a HeaderMap,
}

impl<'a> RequestHead<'a> {
    /// From the parts of an `http::Request`.
    pub fn from_parts(parts: &'a http::request::Parts) -> Self {
        Self::new(&parts.method, &parts.uri, &parts.headers)
    }

    /// From its pieces.
    pub fn new(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        RequestHead { method, path: uri.path(), query: uri.query().unwrap_or(""), headers }
    }

    /// A header as text; `None` when absent or not text.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Service part of the SigV4 credential scope, from `Authorization` or from a presigned query.
    /// Nothing is verified here.
    pub fn signing_name(&self) -> Option<String> {
        if let Some(authorization) = self.header("authorization") {
            let (_, scope) = authorization.split_once("Credential=")?;
            let scope = scope.split([',', ' ']).next()?;
            return credential_service(scope);
        }
        let (_, credential) =
            crate::form::pairs(self.query).find(|(name, _)| name.eq_ignore_ascii_case("X-Amz-Credential"))?;
        credential_service(&credential)
    }

    /// Host name without its port, in small letters.
    pub(crate) fn host(&self) -> String {
        let host = self.header("host").unwrap_or("");
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        name.to_ascii_lowercase()
    }
}

/// `KEY/20261121/us-east-1/ecs/aws4_request` → `ecs`. SigV4A scopes lack the region, so count from the end.
fn credential_service(scope: &str) -> Option<String> {
    let mut parts = scope.rsplit('/');
    (parts.next()? == "aws4_request").then_some(())?;
    parts.next().filter(|service| !service.is_empty()).map(str::to_owned)
}
