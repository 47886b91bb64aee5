//! Signature Version 4: a claim is read or refused and, made without the key, never holds; what is signed here holds, and not for another
//! body.
#![no_main]

use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use longshore_fuzz::Request;
use request_auth::{AuthError, Credentials, Head, Unsigned, parse, sign_request};
use vocabulary::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_440_938_160_000);

fuzz_target!(|data: &[u8]| {
    let Some(Request { method, uri, mut headers, body }) = Request::read(data) else { return };
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let head = Head { method: &method, path, query, headers: &headers };
    if let Ok(Some(claim)) = parse(&head) {
        assert!(!claim.access_key.is_empty());
        for secret in ["", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY+"] {
            assert!(claim.verify(&head, body, secret, NOW).is_err());
            assert!(claim.verify(&head, body, secret, claim.signed_at).is_err());
            assert!(claim.verify_head(&head, secret, claim.signed_at).is_err());
        }
    }

    for name in ["authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"] {
        headers.remove(name);
    }
    headers.insert("host", HeaderValue::from_static("localhost"));
    let credentials = Credentials {
        access_key: "AKIDEXAMPLE".to_owned(),
        secret: "secret".to_owned(),
        session_token: None,
    };
    let unsigned = Unsigned { method: &method, path, query, body, region: "us-east-1", service: "ecs" };
    sign_request(&unsigned, &mut headers, &credentials, NOW).expect("plain names");
    let head = Head { method: &method, path, query, headers: &headers };
    let claim = parse(&head).expect("well-formed").expect("there");
    assert_eq!(claim.verify(&head, body, "secret", NOW), Ok(()));
    let other = [body, b"x"].concat();
    assert_eq!(claim.verify(&head, &other, "secret", NOW), Err(AuthError::Mismatch));
    assert_eq!(claim.verify(&head, body, "Secret", NOW), Err(AuthError::Mismatch));
});
