//! Signature Version 4, the client's side: what an agent does to its requests. The server's own canonical form is used, so that the two
//! cannot differ.

use http::{HeaderMap, HeaderValue, Method, header};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use vocabulary::Timestamp;

use crate::{
    Head, Payload, Presented, Source,
    canonical::canonical_request,
    claim::TIME_FORMAT,
    verify::{derive_key, sign},
};

/// A key to sign with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key: String,
    pub secret: String,
    pub session_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    /// The key's name only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// What is signed. `path` and `query` are percent-encoded as they are sent; `headers` has `host`, and everything that is to be covered.
#[derive(Debug)]
pub struct Unsigned<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub query: &'a str,
    pub body: &'a [u8],
    pub region: &'a str,
    pub service: &'a str,
}

/// Adds `x-amz-date`, `x-amz-security-token` where there is one, and `authorization` to `headers`. What can change on the way
/// (`connection`, `upgrade`) is not covered.
///
/// # Errors
/// When key, token, region or service cannot stand in a header.
pub fn sign_request(
    unsigned: &Unsigned<'_>,
    headers: &mut HeaderMap,
    credentials: &Credentials,
    now: Timestamp,
) -> Result<(), header::InvalidHeaderValue> {
    let signed_at = OffsetDateTime::from_unix_timestamp(now.as_millis() / 1000)
        .ok()
        .and_then(|at| at.format(TIME_FORMAT).ok())
        .unwrap_or_default();
    headers.insert("x-amz-date", HeaderValue::from_str(&signed_at)?);
    if let Some(token) = &credentials.session_token {
        let mut token = HeaderValue::from_str(token)?;
        token.set_sensitive(true);
        headers.insert("x-amz-security-token", token);
    }
    let mut names: Vec<String> = headers
        .keys()
        .map(|name| name.as_str().to_owned())
        .filter(|name| matches!(name.as_str(), "host" | "content-type") || name.starts_with("x-amz-"))
        .collect();
    names.sort();
    let date: String = signed_at.chars().take(8).collect();
    let presented = Presented {
        source: Source::Header,
        access_key: credentials.access_key.clone(),
        session_token: None,
        signed_at: now,
        signed_at_text: signed_at.clone(),
        date: date.clone(),
        region: unsigned.region.to_owned(),
        service: unsigned.service.to_owned(),
        signed_headers: names.clone(),
        signature: String::new(),
        payload: Payload::OfBody,
        expires: None,
    };
    let head = Head { method: unsigned.method, path: unsigned.path, query: unsigned.query, headers };
    let request = canonical_request(&head, &presented, &hex::encode(Sha256::digest(unsigned.body)));
    let scope = format!("{date}/{}/{}/aws4_request", unsigned.region, unsigned.service);
    let key = derive_key(&credentials.secret, &date, unsigned.region, unsigned.service);
    let signature = sign(&key, &signed_at, &scope, &request);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
        credentials.access_key,
        names.join(";")
    );
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&authorization)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AuthError, parse};

    const NOW: Timestamp = Timestamp::from_millis(1_440_938_160_000);

    fn credentials() -> Credentials {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned();
        Credentials { access_key: "AKIDEXAMPLE".to_owned(), secret, session_token: None }
    }

    #[test]
    fn the_published_example_comes_out() {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("example.amazonaws.com"));
        let unsigned = Unsigned {
            method: &Method::GET,
            path: "/",
            query: "",
            body: b"",
            region: "us-east-1",
            service: "service",
        };
        sign_request(&unsigned, &mut headers, &credentials(), NOW).unwrap();
        let text = headers["authorization"].to_str().unwrap();
        assert!(
            text.ends_with("Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            "{text}"
        );
    }

    #[test]
    fn the_servers_side_takes_what_is_signed_here_and_nothing_else() {
        let token = Some("token".to_owned());
        let credentials = Credentials { session_token: token.clone(), ..credentials() };
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("10.0.0.1:4567"));
        headers.insert("x-amz-target", HeaderValue::from_static("A.B"));
        headers.insert("connection", HeaderValue::from_static("upgrade"));
        let query = "clusterArn=arn%3Aaws%3Aecs&seqNum=1";
        let body = b"{}";
        let unsigned = Unsigned {
            method: &Method::POST,
            path: "/ws",
            query,
            body,
            region: "eu-central-1",
            service: "ecs",
        };
        sign_request(&unsigned, &mut headers, &credentials, NOW).unwrap();
        let verify = |headers: &HeaderMap, body: &[u8]| {
            let head = Head { method: &Method::POST, path: "/ws", query, headers };
            let claim = parse(&head).unwrap().unwrap();
            assert_eq!(claim.session_token, token);
            claim.verify(&head, body, &credentials.secret, NOW)
        };
        assert_eq!(verify(&headers, body), Ok(()));
        assert_eq!(verify(&headers, b"{ }"), Err(AuthError::Mismatch));
        // The way may change what belongs to a hop, and nothing that says what is meant.
        headers.insert("connection", HeaderValue::from_static("keep-alive"));
        assert_eq!(verify(&headers, body), Ok(()));
        headers.insert("x-amz-target", HeaderValue::from_static("A.C"));
        assert_eq!(verify(&headers, body), Err(AuthError::Mismatch));
        assert!(!format!("{credentials:?}").contains("wJalr"));
    }
}
