//! Addresses: where a registry is, and what a `Location` means.

use http::Uri;

use crate::error::RegistryError;

/// Where a registry answers: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: http::uri::Scheme,
    authority: http::uri::Authority,
}

/// Why a text is not a registry's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid registry address {text:?}: expected http://HOST[:PORT] or https://HOST[:PORT]")]
pub struct InvalidEndpoint {
    pub text: String,
}

impl Endpoint {
    /// `http://HOST[:PORT]` or `https://HOST[:PORT]`, without a path.
    pub fn parse(text: &str) -> Result<Endpoint, InvalidEndpoint> {
        let invalid = || InvalidEndpoint { text: text.to_owned() };
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let parts = uri.into_parts();
        let is_bare = parts.path_and_query.as_ref().is_none_or(|p| p.as_str() == "/");
        match (parts.scheme, parts.authority) {
            (Some(scheme), Some(authority))
                if is_bare && is_http(&scheme) && !authority.as_str().contains('@') =>
            {
                Ok(Endpoint { scheme, authority })
            }
            _ => Err(invalid()),
        }
    }

    /// The usual place of the registry named `host` in a reference: HTTPS, except on loopback, where test registries
    /// and Longshore's own speak plain HTTP; Docker Hub answers under another name than its own.
    pub fn of_registry(host: &str) -> Result<Endpoint, InvalidEndpoint> {
        let host = if host == "docker.io" { "registry-1.docker.io" } else { host };
        let scheme = if is_loopback(host) { "http" } else { "https" };
        Endpoint::parse(&format!("{scheme}://{host}"))
    }

    pub(super) fn join(&self, path: &str) -> Result<Uri, RegistryError> {
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(|e| RegistryError::Content { url: path.to_owned(), detail: e.to_string() })
    }

    pub(super) fn is_plain(&self) -> bool {
        self.scheme == http::uri::Scheme::HTTP
    }
}

fn is_http(scheme: &http::uri::Scheme) -> bool {
    *scheme == http::uri::Scheme::HTTP || *scheme == http::uri::Scheme::HTTPS
}

pub(super) fn is_loopback(host_and_port: &str) -> bool {
    let host = match host_and_port.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or(""),
        None => host_and_port.split(':').next().unwrap_or(""),
    };
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a request to `url` is still one to the registry itself.
pub(super) fn same_origin(url: &Uri, endpoint: &Endpoint) -> bool {
    url.scheme() == Some(&endpoint.scheme)
        && url.authority().is_some_and(|a| a.as_str().eq_ignore_ascii_case(endpoint.authority.as_str()))
}

/// The address that `location` means in an answer from `base`; none when it is no HTTP address, or would leave
/// HTTPS for plain HTTP.
pub(super) fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or("");
    let next = if location.starts_with("http://") || location.starts_with("https://") {
        location.parse::<Uri>().ok()?
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{}://{rest}", base.scheme_str()?).parse().ok()?
    } else {
        let path = if location.starts_with('/') {
            location.to_owned()
        } else {
            let directory = base.path().rsplit_once('/').map_or("", |(directory, _)| directory);
            format!("{directory}/{location}")
        };
        Uri::builder()
            .scheme(base.scheme()?.clone())
            .authority(base.authority()?.clone())
            .path_and_query(path)
            .build()
            .ok()?
    };
    let is_downgrade = base.scheme_str() == Some("https") && next.scheme_str() != Some("https");
    let has_user = next.authority().is_some_and(|a| a.as_str().contains('@'));
    (!is_downgrade && !has_user && next.host().is_some()).then_some(next)
}

/// An address as errors and logs show it: the query may be a signature.
pub(super) fn shown(url: &Uri) -> String {
    format!(
        "{}://{}{}",
        url.scheme_str().unwrap_or("http"),
        url.authority().map_or("", |a| a.as_str()),
        url.path()
    )
}
