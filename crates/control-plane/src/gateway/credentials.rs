//! Who is calling: from the signature's claim to a principal, an account and a region.
//!
//! Two rules, after where the request came in (printed at start-up):
//! - **open** (loopback only): an access key that Longshore did not issue acts as an account's root: a 12-digit key
//!   names its account, any other means the default account. Keys that Longshore issued are always verified.
//! - **strict** (everything else, tasks included): a valid signature of an issued key, or nothing.

use request_auth::{AuthError, Head, Presented};
use vocabulary::{AccountId, Region, Scope, Timestamp};

use super::{ApiError, Principal};
use crate::services::{
    Services,
    iam::{
        access_keys::{self, Lookup},
        names,
    },
};

/// How strangers are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    Open,
    Strict,
    /// Strict, and only for what the agents of container instances ask.
    Agents,
}

/// The signer of a request and what it addresses.
#[derive(Debug)]
pub struct Caller {
    pub scope: Scope,
    pub principal: Principal,
}

/// Establishes the caller.
///
/// # Errors
/// The errors that AWS gives for missing, malformed, expired and wrong signatures and for unknown keys, in the
/// words of the JSON protocols; `encode` turns them into the query protocols' names.
pub fn establish(
    services: &Services,
    trust: Trust,
    head: &Head<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<Caller, ApiError> {
    let settings = &services.settings;
    let Some(claim) = request_auth::parse(head).map_err(auth_error)? else {
        return match trust {
            Trust::Open => Ok(Caller {
                scope: Scope::new(settings.account.clone(), settings.region.clone()),
                principal: Principal::root(&settings.account, ""),
            }),
            Trust::Strict | Trust::Agents => Err(ApiError::undeclared(
                "MissingAuthenticationTokenException",
                403,
                "Missing Authentication Token",
            )),
        };
    };
    let region: Region = claim.region.parse().map_err(|_| {
        ApiError::undeclared(
            "IncompleteSignatureException",
            400,
            "The credential scope names no valid region.",
        )
    })?;
    let principal = match access_keys::look_up(services, &claim.access_key, now) {
        Lookup::Signs(key) => {
            verify_session(&claim, key.session_token.as_deref())?;
            claim.verify(head, body, &key.secret, now).map_err(auth_error)?;
            access_keys::note_use(services, &key.principal, &claim.service, region.as_str(), now);
            key.principal
        }
        Lookup::Unknown if trust == Trust::Open && !names::is_issued_key(&claim.access_key) => {
            let account: AccountId = claim.access_key.parse().unwrap_or_else(|_| settings.account.clone());
            Principal::root(&account, &claim.access_key)
        }
        // A key that was issued here is never a stranger's, also when it no longer signs.
        Lookup::Unknown | Lookup::Inactive => return Err(invalid_token()),
        Lookup::Expired => {
            let message = "The security token included in the request is expired";
            return Err(ApiError::undeclared("ExpiredTokenException", 403, message));
        }
    };
    Ok(Caller { scope: Scope::new(principal.account.clone(), region), principal })
}

fn verify_session(claim: &Presented, expected: Option<&str>) -> Result<(), ApiError> {
    if claim.session_token.as_deref() == expected {
        return Ok(());
    }
    Err(invalid_token())
}

fn invalid_token() -> ApiError {
    ApiError::undeclared(
        "UnrecognizedClientException",
        403,
        "The security token included in the request is invalid.",
    )
}

fn auth_error(error: AuthError) -> ApiError {
    let (code, status) = match &error {
        AuthError::Incomplete(_) => ("IncompleteSignatureException", 400),
        AuthError::Mismatch => ("InvalidSignatureException", 403),
        AuthError::Expired(_) => ("InvalidSignatureException", 403),
    };
    ApiError::undeclared(code, status, error.to_string())
}

/// The query protocols' name of an authentication error.
pub fn query_code(code: &str) -> &str {
    match code {
        "IncompleteSignatureException" => "IncompleteSignature",
        "MissingAuthenticationTokenException" => "MissingAuthenticationToken",
        "InvalidSignatureException" => "SignatureDoesNotMatch",
        "UnrecognizedClientException" => "InvalidClientTokenId",
        "ExpiredTokenException" => "ExpiredToken",
        other => other,
    }
}
