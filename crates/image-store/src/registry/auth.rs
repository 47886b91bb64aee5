//! Challenges and how they are met: `Basic`, and `Bearer` with a token service (distribution's token protocol).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};

use super::{Endpoint, Http, url};
use crate::error::RegistryError;

/// What to show a registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    #[default]
    Anonymous,
    /// Sent to the registry when it asks for `Basic`, or to its token service.
    Basic { username: String, password: String },
    /// A ready registry token, sent with every request.
    Bearer { token: String },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credentials::Anonymous => "Anonymous",
            Credentials::Basic { .. } => "Basic(..)",
            Credentials::Bearer { .. } => "Bearer(..)",
        })
    }
}

impl Credentials {
    /// What goes with the first request, before any challenge.
    pub(super) fn initial_header(&self) -> Option<HeaderValue> {
        match self {
            Credentials::Bearer { token } => secret(&format!("Bearer {token}")),
            _ => None,
        }
    }

    fn basic_header(&self) -> Option<HeaderValue> {
        match self {
            Credentials::Basic { username, password } => {
                secret(&format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
            }
            _ => None,
        }
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// The challenge to meet: `Bearer` when there is one, else `Basic`.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = None;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Ok(text) = value.to_str() else { continue };
        let (scheme, parameters) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            let parameters = parse_parameters(parameters);
            let get = |key: &str| parameters.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
            if let Some(realm) = get("realm") {
                return Some(Challenge::Bearer { realm, service: get("service"), scope: get("scope") });
            }
        } else if scheme.eq_ignore_ascii_case("basic") {
            basic = Some(Challenge::Basic);
        }
    }
    basic
}

/// `key="value", key=value`; quoted values may hold commas and escaped characters.
fn parse_parameters(text: &str) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while let Some((key, after)) = rest.split_once('=') {
        let (value, remaining) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => match after.split_once(',') {
                Some((value, remaining)) => (value.trim().to_owned(), remaining),
                None => (after.trim().to_owned(), ""),
            },
        };
        parameters.push((key.trim().to_ascii_lowercase(), value));
        rest = remaining.trim_start_matches([' ', ',', '\t']);
    }
    parameters
}

fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return (value, &text[index + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

impl Http {
    /// The header that meets `challenge`; none when these credentials have nothing for it.
    pub(super) async fn answer(
        &self,
        challenge: &Challenge,
        endpoint: &Endpoint,
        repository: &str,
        credentials: &Credentials,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        match challenge {
            Challenge::Basic => Ok(credentials.basic_header()),
            // A ready token that was refused cannot be made better.
            Challenge::Bearer { .. } if matches!(credentials, Credentials::Bearer { .. }) => Ok(None),
            Challenge::Bearer { realm, service, scope } => {
                let pull = format!("repository:{repository}:pull");
                let scope = scope.as_deref().unwrap_or(&pull);
                self.fetch_token(realm, service.as_deref(), scope, endpoint, credentials).await.map(Some)
            }
        }
    }

    async fn fetch_token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        endpoint: &Endpoint,
        credentials: &Credentials,
    ) -> Result<HeaderValue, RegistryError> {
        let basic = credentials.basic_header();
        let kind = if basic.is_some() { "oauth" } else { "anonymous" };
        let failed = |detail: String| RegistryError::Token { kind, detail };
        let url =
            token_url(realm, service, scope).ok_or_else(|| failed(format!("invalid realm {realm:?}")))?;
        let is_plain = url.scheme_str() == Some("http");
        let is_local = url.host().is_some_and(url::is_loopback);
        // A registry reached over TLS must not have its users' passwords sent in the clear.
        if basic.is_some() && is_plain && !is_local && !endpoint.is_plain() {
            return Err(failed(format!("the realm {realm:?} would take the password unencrypted")));
        }
        let mut headers = HeaderMap::new();
        if let Some(basic) = basic {
            headers.insert(AUTHORIZATION, basic);
        }
        let response = self.send(Method::GET, &url, headers).await?;
        let status = response.status();
        let shown = url::shown(&url);
        let body = self.collect(response, MAX_TOKEN_BYTES, &shown).await?;
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            let (_, message) = super::error_message(&body);
            let message = if message.is_empty() { format!("{status} from {shown}") } else { message };
            return Err(RegistryError::Denied { message });
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let message = super::error_message(&body).1;
            return Err(RegistryError::Status { method: "GET", url: shown, status, message });
        }
        if !status.is_success() {
            return Err(failed(format!("unexpected status: {status}")));
        }
        let token: TokenResponse =
            serde_json::from_slice(&body).map_err(|e| failed(format!("malformed answer: {e}")))?;
        token
            .token
            .or(token.access_token)
            .filter(|t| !t.is_empty())
            .and_then(|t| secret(&format!("Bearer {t}")))
            .ok_or_else(|| failed("authorization server did not include a token in the response".to_owned()))
    }
}

/// Tokens are a few kilobytes; this leaves room for very large claims.
const MAX_TOKEN_BYTES: u64 = 1 << 20;

#[derive(serde::Deserialize)]
struct TokenResponse {
    token: Option<String>,
    access_token: Option<String>,
}

pub(super) fn token_url(realm: &str, service: Option<&str>, scope: &str) -> Option<Uri> {
    let mut text = realm.to_owned();
    let mut separator = if realm.contains('?') { '&' } else { '?' };
    let mut append = |key: &str, value: &str| {
        text.push(separator);
        text.push_str(key);
        text.push('=');
        percent_encode(value, &mut text);
        separator = '&';
    };
    if let Some(service) = service {
        append("service", service);
    }
    scope.split(' ').filter(|s| !s.is_empty()).for_each(|one| append("scope", one));
    let url: Uri = text.parse().ok()?;
    let has_user = url.authority().is_some_and(|a| a.as_str().contains('@'));
    (matches!(url.scheme_str(), Some("http" | "https")) && !has_user).then_some(url)
}

fn percent_encode(value: &str, into: &mut String) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' | b'/' => {
                into.push(char::from(byte));
            }
            _ => into.push_str(&format!("%{byte:02X}")),
        }
    }
}
