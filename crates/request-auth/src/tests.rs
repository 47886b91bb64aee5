//! The published example (`get-vanilla` and its relatives of AWS's SigV4 test suite, key AKIDEXAMPLE) and
//! every single-part alteration of it.

use http::{HeaderMap, HeaderValue, Method};
use vocabulary::Timestamp;

use crate::{AuthError, Head, parse};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2015-08-30T12:36:00Z
const SIGNED_AT: i64 = 1_440_938_160_000;

struct Example {
    method: Method,
    path: &'static str,
    query: &'static str,
    signature: &'static str,
    body: &'static [u8],
    secret: &'static str,
    now: i64,
    host: &'static str,
}

fn vanilla() -> Example {
    Example {
        method: Method::GET,
        path: "/",
        query: "",
        signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        body: b"",
        secret: SECRET,
        now: SIGNED_AT,
        host: "example.amazonaws.com",
    }
}

fn check(example: Example) -> Result<(), AuthError> {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static(example.host));
    headers.insert("x-amz-date", HeaderValue::from_static("20150830T123600Z"));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature={}",
        example.signature
    );
    headers.insert("authorization", authorization.parse().unwrap());
    let head = Head { method: &example.method, path: example.path, query: example.query, headers: &headers };
    let presented = parse(&head)?.expect("a claim");
    assert_eq!(presented.access_key, "AKIDEXAMPLE");
    assert_eq!(presented.region, "us-east-1");
    presented.verify(&head, example.body, example.secret, Timestamp::from_millis(example.now))
}

#[test]
fn the_published_examples_hold() {
    assert_eq!(check(vanilla()), Ok(()));
    // get-vanilla-query-order-key-case
    let query = "Param2=value2&Param1=value1";
    let signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
    assert_eq!(check(Example { query, signature, ..vanilla() }), Ok(()));
    // post-vanilla
    let signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
    assert_eq!(check(Example { method: Method::POST, signature, ..vanilla() }), Ok(()));
}

#[test]
fn any_alteration_breaks_it() {
    let mismatch = Err(AuthError::Mismatch);
    assert_eq!(check(Example { method: Method::PUT, ..vanilla() }), mismatch);
    assert_eq!(check(Example { path: "/x", ..vanilla() }), mismatch);
    assert_eq!(check(Example { query: "a=b", ..vanilla() }), mismatch);
    assert_eq!(check(Example { body: b"x", ..vanilla() }), mismatch);
    assert_eq!(check(Example { secret: "other", ..vanilla() }), mismatch);
    assert_eq!(check(Example { host: "evil.example.com", ..vanilla() }), mismatch);
    assert_eq!(check(Example { signature: "zz", ..vanilla() }), mismatch);
}

#[test]
fn old_and_future_signatures_are_refused() {
    let minutes = 60_000;
    assert!(check(Example { now: SIGNED_AT + 14 * minutes, ..vanilla() }).is_ok());
    assert!(check(Example { now: SIGNED_AT - 14 * minutes, ..vanilla() }).is_ok());
    for offset in [16 * minutes, -16 * minutes] {
        let result = check(Example { now: SIGNED_AT + offset, ..vanilla() });
        assert!(matches!(result, Err(AuthError::Skewed(_))), "{result:?}");
    }
}

#[test]
fn malformed_claims_are_incomplete_and_no_claim_is_none() {
    let parse_header = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", text.parse().unwrap());
        headers.insert("x-amz-date", HeaderValue::from_static("20150830T123600Z"));
        parse(&Head { method: &Method::GET, path: "/", query: "", headers: &headers })
    };
    assert_eq!(parse_header("Basic QVdTOng="), Ok(None));
    assert_eq!(parse_header("Bearer x"), Ok(None));
    for text in [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a",
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=x",
        "AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws5_request, SignedHeaders=host, Signature=x",
        "AWS4-HMAC-SHA256 Credential=a/20150831/r/s/aws4_request, SignedHeaders=host, Signature=x",
        "AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws4_request, SignedHeaders=date, Signature=x",
        "AWS4-ECDSA-P256-SHA256 Credential=a",
    ] {
        assert!(matches!(parse_header(text), Err(AuthError::Incomplete(_))), "{text}");
    }
    let headers = HeaderMap::new();
    assert_eq!(parse(&Head { method: &Method::GET, path: "/", query: "a=b", headers: &headers }), Ok(None));
}

/// What `aws s3 presign` makes, with another service's name: a URL holds for as long as it says, and for no other query.
#[test]
fn presigned_urls_hold_for_as_long_as_they_say() {
    let query = |expires: u32, more: &str| {
        format!(
            "Action=GetCallerIdentity&Version=2011-06-15{more}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fsts%2Faws4_request\
             &X-Amz-Date=20150830T123600Z&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host"
        )
    };
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("sts.amazonaws.com"));
    let sign = |unsigned: &str| {
        let draft = format!("{unsigned}&X-Amz-Signature=00");
        let head = Head { method: &Method::GET, path: "/", query: &draft, headers: &headers };
        let claim = parse(&head).unwrap().unwrap();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let request = crate::canonical::canonical_request(&head, &claim, empty);
        let key = crate::derive_key(SECRET, "20150830", "us-east-1", "sts");
        crate::sign(&key, "20150830T123600Z", "20150830/us-east-1/sts/aws4_request", &request)
    };
    let ask = |query: &str, later: i64| {
        let head = Head { method: &Method::GET, path: "/", query, headers: &headers };
        parse(&head)?.unwrap().verify(&head, b"", SECRET, Timestamp::from_millis(SIGNED_AT + later * 1000))
    };
    let unsigned = query(3600, "");
    let whole = format!("{unsigned}&X-Amz-Signature={}", sign(&unsigned));
    assert_eq!(ask(&whole, 0), Ok(()));
    assert_eq!(ask(&whole, 3600), Ok(()));
    assert_eq!(ask(&whole, 3601), Err(AuthError::Expired("Request has expired".to_owned())));
    assert!(matches!(ask(&whole, -901), Err(AuthError::Skewed(_))));
    assert_eq!(ask(&whole.replace("Expires=3600", "Expires=7200"), 0), Err(AuthError::Mismatch));
    assert_eq!(ask(&whole.replace("GetCallerIdentity", "GetSessionToken"), 0), Err(AuthError::Mismatch));
    assert!(matches!(
        ask(&whole.replace("Expires=3600", "Expires=604801"), 0),
        Err(AuthError::Incomplete(_))
    ));
}

#[test]
fn what_says_what_is_meant_has_to_be_signed() {
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-date", HeaderValue::from_static("20150830T123600Z"));
    headers.insert("x-amz-target", HeaderValue::from_static("A.B"));
    let text =
        "AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws4_request, SignedHeaders=host;x-amz-date, Signature=x";
    headers.insert("authorization", HeaderValue::from_static(text));
    let head = Head { method: &Method::POST, path: "/", query: "", headers: &headers };
    assert_eq!(parse(&head), Err(AuthError::Uncovered("x-amz-target".to_owned())));
}

#[test]
fn only_s3_may_leave_the_body_out() {
    for (service, expected) in [("s3", Ok(())), ("ecs", Err(AuthError::Mismatch))] {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("h"));
        headers.insert("x-amz-date", HeaderValue::from_static("20150830T123600Z"));
        headers.insert("x-amz-content-sha256", HeaderValue::from_static("UNSIGNED-PAYLOAD"));
        let scope = format!("20150830/r/{service}/aws4_request");
        let signed = format!(
            "AWS4-HMAC-SHA256 Credential=a/{scope}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature="
        );
        headers.insert("authorization", format!("{signed}00").parse().unwrap());
        fn head(headers: &HeaderMap) -> Head<'_> {
            Head { method: &Method::PUT, path: "/x", query: "", headers }
        }
        let draft = parse(&head(&headers)).unwrap().unwrap();
        let request = crate::canonical::canonical_request(&head(&headers), &draft, "UNSIGNED-PAYLOAD");
        let key = crate::derive_key(SECRET, "20150830", "r", service);
        let signature = crate::sign(&key, "20150830T123600Z", &scope, &request);
        headers.insert("authorization", format!("{signed}{signature}").parse().unwrap());
        let claim = parse(&head(&headers)).unwrap().unwrap();
        let answer = claim.verify(&head(&headers), b"body", SECRET, Timestamp::from_millis(SIGNED_AT));
        assert_eq!(answer, expected, "{service}");
    }
}
