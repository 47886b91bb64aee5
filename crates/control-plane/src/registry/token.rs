//! The registry password: an opaque, signed statement of who may push and pull where, and until when.
//!
//! `GetAuthorizationToken` issues it, `docker login` sends it as the password of the user `AWS`, or as a bearer token. It is
//! checked without any look-up: `BODY.SIGNATURE`, both base64url, HMAC-SHA-256 under a key that all servers of an
//! installation share through the state store.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use vocabulary::{AccountId, Scope, Timestamp};

use super::route::parameter;

/// How long a password is good for, as in ECR: 12 hours.
pub const LIFETIME: std::time::Duration = std::time::Duration::from_secs(12 * 60 * 60);

/// Longer texts are not tokens of ours; they are refused before any work.
const LONGEST_TOKEN: usize = 4096;

/// Who is asking, as the token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The registry that is spoken to: an account in a region.
    #[serde(rename = "s")]
    pub scope: Scope,
    /// The account of who asked for the token.
    #[serde(rename = "a")]
    pub account: AccountId,
    /// The ARN of who asked for the token.
    #[serde(rename = "p")]
    pub principal: String,
    /// Their unique id, and the key with which they asked: they are looked up when the token is used.
    #[serde(rename = "u", default)]
    pub user_id: String,
    #[serde(rename = "k", default)]
    pub access_key: String,
    /// The one repository that the token opens, for reading, whatever policies say: they were asked before it was issued.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
}

impl Access {
    /// Whoever needs no password for what they ask.
    pub fn nobody(who: &str, scope: Scope) -> Access {
        Access {
            account: scope.account.clone(),
            principal: who.to_owned(),
            user_id: String::new(),
            access_key: String::new(),
            only: None,
            scope,
        }
    }

    /// For pulling from one repository: issued when that was found to be allowed, to the platform's own agents.
    pub fn pulling(scope: Scope, repository: &str) -> Access {
        let account = scope.account.clone();
        Access {
            principal: format!("arn:aws:iam::{account}:root"),
            user_id: account.to_string(),
            access_key: String::new(),
            only: Some(repository.to_owned()),
            account,
            scope,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(flatten)]
    access: Access,
    #[serde(rename = "x")]
    expires: Timestamp,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("Your Authorization Token is invalid.")]
    Invalid,
    #[error("Your authorization token has expired. Reauthenticate and try again.")]
    Expired,
}

/// Signs and checks tokens.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// A token for `access`, and when it expires.
    pub fn issue(&self, access: &Access, now: Timestamp) -> (String, Timestamp) {
        let expires = now + LIFETIME;
        let body = Body { access: access.clone(), expires };
        // A structure of strings and an integer always serializes.
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&body).unwrap_or_default());
        let signature = URL_SAFE_NO_PAD.encode(self.mac(&body).finalize().into_bytes());
        (format!("{body}.{signature}"), expires)
    }

    /// What a token says, when it is ours and still good.
    pub fn check(&self, token: &str, now: Timestamp) -> Result<Access, TokenError> {
        self.read(token, now).map(|body| body.access)
    }

    /// When a token that is ours and still good ends.
    pub fn expires(&self, token: &str, now: Timestamp) -> Result<Timestamp, TokenError> {
        self.read(token, now).map(|body| body.expires)
    }

    fn read(&self, token: &str, now: Timestamp) -> Result<Body, TokenError> {
        let (body, signature) = token.split_once('.').ok_or(TokenError::Invalid)?;
        if token.len() > LONGEST_TOKEN {
            return Err(TokenError::Invalid);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Invalid)?;
        self.mac(body).verify_slice(&signature).map_err(|_| TokenError::Invalid)?;
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| TokenError::Invalid)?;
        let body = serde_json::from_slice::<Body>(&body).map_err(|_| TokenError::Invalid)?;
        if now >= body.expires {
            return Err(TokenError::Expired);
        }
        Ok(body)
    }

    /// The query that lets whoever has it fetch `path` (without a query) of `scope` until `expires`, and nothing else.
    pub fn sign_link(&self, scope: &Scope, path: &str, expires: Timestamp) -> String {
        let expires = expires.as_millis();
        let signature = self.link_mac(scope, path, expires).finalize().into_bytes();
        let signature = URL_SAFE_NO_PAD.encode(signature);
        format!("account={}&region={}&expires={expires}&signature={signature}", scope.account, scope.region)
    }

    /// The scope that a signed link speaks for, `None` when it is no such link, changed or too old.
    pub fn check_link(&self, path: &str, query: Option<&str>, now: Timestamp) -> Option<Scope> {
        let value = |name| parameter(query, name);
        let scope = Scope::new(value("account")?.parse().ok()?, value("region")?.parse().ok()?);
        let expires = value("expires")?.parse::<i64>().ok()?;
        let signature = URL_SAFE_NO_PAD.decode(value("signature")?).ok()?;
        self.link_mac(&scope, path, expires).verify_slice(&signature).ok()?;
        if now < Timestamp::from_millis(expires) { Some(scope) } else { None }
    }

    fn link_mac(&self, scope: &Scope, path: &str, expires: i64) -> Hmac<Sha256> {
        self.mac(&format!("link\n{scope}\n{path}\n{expires}"))
    }

    fn mac(&self, body: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        mac.update(body.as_bytes());
        mac
    }
}

/// Finds the token in an `Authorization` header: the password of `Basic` (whatever the user), or `Bearer`.
pub fn presented(header: &str) -> Option<String> {
    let (scheme, value) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}
