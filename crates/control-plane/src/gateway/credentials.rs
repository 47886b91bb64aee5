//! Who is calling: from the signature's claim to a principal, an account and a region.
//!
//! Two rules, after where the request came in (printed at start-up):
//! - **open** (loopback only): an access key that Longshore did not issue acts as an account's root: a 12-digit key
//!   names its account, any other means the default account. Keys that Longshore issued are always verified.
//! - **strict** (everything else, tasks included): a valid signature of an issued key, or nothing.

use std::borrow::Cow;

use aws_schema::{Protocol, ServiceTable};
use request_auth::{AuthError, Head, Presented, Unframed};
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
    /// The body, where it came in pieces.
    pub unframed: Option<Unframed>,
}

/// Whoever sends a request that needs no signature, in the default account. Nothing is allowed to nobody but what needs no permission.
pub fn nobody(services: &Services) -> Caller {
    let settings = &services.settings;
    Caller {
        scope: Scope::new(settings.account.clone(), settings.region.clone()),
        principal: Principal::nobody(),
        unframed: None,
    }
}

/// Establishes the caller. `service` is the one that is asked, where that is known: a signature is for one service.
///
/// # Errors
/// The errors that AWS gives for missing, malformed, expired and wrong signatures and for unknown keys, in the
/// words of the JSON protocols; [`in_words_of`] turns them into the names that others have for them.
pub fn establish(
    services: &Services,
    trust: Trust,
    service: Option<&ServiceTable>,
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
                unframed: None,
            }),
            Trust::Strict | Trust::Agents => {
                Err(ApiError::undeclared(UNSIGNED, 403, "Missing Authentication Token"))
            }
        };
    };
    let region: Region = claim.region.parse().map_err(|_| {
        ApiError::undeclared(
            "IncompleteSignatureException",
            400,
            "The credential scope names no valid region.",
        )
    })?;
    let unframe = |secret| claim.unframe(body, secret).map_err(auth_error);
    let (principal, unframed) = match access_keys::look_up(services, &claim.access_key, now) {
        Lookup::Signs(key) => {
            verify_session(&claim, key.session_token.as_deref())?;
            claim.verify(head, body, &key.secret, now).map_err(auth_error)?;
            if let Some(asked) = service.filter(|asked| asked.signing_name != claim.service) {
                let message =
                    format!("Credential should be scoped to correct service: '{}'. ", asked.signing_name);
                return Err(ApiError::undeclared(MISMATCH, 403, message));
            }
            let unframed = unframe(Some(key.secret.as_str()))?;
            access_keys::note_use(services, &key.principal, &claim.service, region.as_str(), now);
            (key.principal, unframed)
        }
        Lookup::Unknown if trust == Trust::Open && !names::is_issued_key(&claim.access_key) => {
            let account: AccountId = claim.access_key.parse().unwrap_or_else(|_| settings.account.clone());
            (Principal::root(&account, &claim.access_key), unframe(None)?)
        }
        // A key that was issued here is never a stranger's, also when it no longer signs.
        Lookup::Unknown | Lookup::Inactive => return Err(invalid_token(UNKNOWN_KEY)),
        Lookup::Expired => {
            let message = "The security token included in the request is expired";
            return Err(ApiError::undeclared("ExpiredTokenException", 403, message));
        }
    };
    Ok(Caller { scope: Scope::new(principal.account.clone(), region), principal, unframed })
}

pub(super) fn verify_session(claim: &Presented, expected: Option<&str>) -> Result<(), ApiError> {
    if claim.session_token.as_deref() == expected {
        return Ok(());
    }
    Err(invalid_token(WRONG_TOKEN))
}

// What went wrong, as it is told apart here. S3 and EC2 have words of their own for each.
pub const UNSIGNED: &str = "MissingAuthenticationTokenException";
const MISMATCH: &str = "InvalidSignatureException";
const SKEWED: &str = "RequestTimeTooSkewed";
const OVER: &str = "RequestExpired";
const UNCOVERED: &str = "HeadersNotSigned";
const UNKNOWN_KEY: &str = "UnrecognizedClientException";
const WRONG_TOKEN: &str = "InvalidToken";
const MALFORMED_BODY: &str = "IncompleteBody";

fn invalid_token(code: &'static str) -> ApiError {
    ApiError::undeclared(code, 403, "The security token included in the request is invalid.")
}

pub(super) fn auth_error(error: AuthError) -> ApiError {
    let (code, status) = match &error {
        AuthError::Incomplete(_) => ("IncompleteSignatureException", 400),
        AuthError::Mismatch => (MISMATCH, 403),
        AuthError::Uncovered(_) => (UNCOVERED, 403),
        AuthError::Skewed(_) => (SKEWED, 403),
        AuthError::Expired(_) => (OVER, 403),
        AuthError::Malformed(_) => (MALFORMED_BODY, 400),
    };
    ApiError::undeclared(code, status, error.to_string())
}

/// An error of authentication in the words of the protocol that was spoken; any other as it is.
pub fn in_words_of(protocol: Protocol, mut error: ApiError) -> ApiError {
    if error.table.is_some() {
        return error;
    }
    let words: Option<(&'static str, u16, Option<&'static str>)> = match protocol {
        Protocol::RestXml => in_words_of_s3(&error.code),
        Protocol::Ec2Query => in_words_of_ec2(&error.code),
        Protocol::Query => in_words_of_query(&error.code).map(|code| (code, error.status, None)),
        _ => match error.code.as_ref() {
            SKEWED | OVER | UNCOVERED => Some((MISMATCH, 403, None)),
            WRONG_TOKEN => Some((UNKNOWN_KEY, 403, None)),
            _ => None,
        },
    };
    if let Some((code, status, message)) = words {
        error.code = Cow::Borrowed(code);
        error.status = status;
        if let Some(message) = message {
            message.clone_into(&mut error.message);
        }
    }
    error
}

fn in_words_of_query(code: &str) -> Option<&'static str> {
    Some(match code {
        "IncompleteSignatureException" => "IncompleteSignature",
        "MissingAuthenticationTokenException" => "MissingAuthenticationToken",
        MISMATCH | SKEWED | OVER | UNCOVERED => "SignatureDoesNotMatch",
        UNKNOWN_KEY | WRONG_TOKEN => "InvalidClientTokenId",
        "ExpiredTokenException" => "ExpiredToken",
        _ => return None,
    })
}

/// Source: "Error codes for the Amazon EC2 API".
fn in_words_of_ec2(code: &str) -> Option<(&'static str, u16, Option<&'static str>)> {
    const AUTH_FAILURE: &str = "AWS was not able to validate the provided access credentials";
    Some(match code {
        "IncompleteSignatureException" => ("IncompleteSignature", 400, None),
        "MissingAuthenticationTokenException" => ("MissingAuthenticationToken", 403, None),
        MISMATCH | UNCOVERED | UNKNOWN_KEY | WRONG_TOKEN => ("AuthFailure", 401, Some(AUTH_FAILURE)),
        SKEWED | OVER | "ExpiredTokenException" => ("RequestExpired", 400, Some("Request has expired.")),
        _ => return None,
    })
}

/// Source: "Error responses" of the S3 API reference.
fn in_words_of_s3(code: &str) -> Option<(&'static str, u16, Option<&'static str>)> {
    Some(match code {
        "IncompleteSignatureException" => ("AuthorizationHeaderMalformed", 400, None),
        "MissingAuthenticationTokenException" => ("AccessDenied", 403, Some("Access Denied")),
        MISMATCH => ("SignatureDoesNotMatch", 403, None),
        SKEWED => {
            (SKEWED, 403, Some("The difference between the request time and the current time is too large."))
        }
        OVER => ("AccessDenied", 403, Some("Request has expired")),
        UNCOVERED => {
            ("AccessDenied", 403, Some("There were headers present in the request which were not signed"))
        }
        UNKNOWN_KEY => (
            "InvalidAccessKeyId",
            403,
            Some("The AWS Access Key Id you provided does not exist in our records."),
        ),
        WRONG_TOKEN => ("InvalidToken", 400, Some("The provided token is malformed or otherwise invalid.")),
        "ExpiredTokenException" => ("ExpiredToken", 400, Some("The provided token has expired.")),
        _ => return None,
    })
}
