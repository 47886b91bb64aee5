//! Bytes from outside never panic, and what decodes can be validated, made into a struct's value and answered.

use aws_schema::{OperationTable, Protocol, ServiceTable};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use proptest::prelude::*;

use super::services;
use crate::{RequestHead, Routed};

fn operations() -> impl Strategy<Value = (&'static ServiceTable, &'static OperationTable)> {
    let all: Vec<_> = services()
        .into_iter()
        .flat_map(|service| service.operations.iter().map(move |operation| (service, *operation)))
        .collect();
    proptest::sample::select(all)
}

fn protocols() -> impl Strategy<Value = Protocol> {
    use Protocol::{AwsJson10, AwsJson11, Ec2Query, Query, RestJson, RestXml, RpcV2Cbor};
    proptest::sample::select(vec![AwsJson10, AwsJson11, Query, Ec2Query, RestJson, RestXml, RpcV2Cbor])
}

/// Bodies made of the pieces that each format is made of, and of the operation's own names: far likelier than
/// plain noise to reach the depths of a decoder.
fn body(operation: &'static OperationTable, protocol: Protocol) -> BoxedStrategy<Vec<u8>> {
    let mut pieces: Vec<Vec<u8>> =
        operation.input.members.iter().map(|member| member.wire.as_bytes().to_vec()).collect();
    let syntax: &[&[u8]] = match protocol {
        Protocol::AwsJson10 | Protocol::AwsJson11 | Protocol::RestJson => &[
            b"{", b"}", b"[", b"]", b"\"", b":", b",", b"\\u", b"-1e999", b"1.5", b"true", b"null", b"{\"",
            b"\":", b"[{",
        ],
        Protocol::Query | Protocol::Ec2Query => &[
            b"=",
            b"&",
            b".",
            b"1",
            b".member.",
            b".entry.1.key",
            b"%",
            b"%ff",
            b"+",
            b"99999999999999999999",
            b".1",
        ],
        Protocol::RestXml => &[
            b"<",
            b">",
            b"</",
            b"/>",
            b"<a>",
            b"</a>",
            b"&amp;",
            b"&#x",
            b"<![CDATA[",
            b"]]>",
            b"<!--",
            b"xmlns=\"",
            b"<?",
        ],
        Protocol::RpcV2Cbor => &[
            b"\xa1",
            b"\xbf",
            b"\xff",
            b"\x9f",
            b"\x82",
            b"\x7f",
            b"\x5b",
            b"\x1b",
            b"\xc1",
            b"\xf9\x7c\x00",
            b"\xf6",
            b"\x64",
        ],
    };
    pieces.extend(syntax.iter().map(|piece| piece.to_vec()));
    let piece = prop_oneof![
        6 => proptest::sample::select(pieces),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat()).boxed()
}

fn header_pairs() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop_oneof![
        proptest::sample::select(vec![
            "x-amz-target",
            "content-type",
            "authorization",
            "smithy-protocol",
            "host",
            "x-amz-meta-a",
            "last-modified",
        ])
        .prop_map(str::to_owned),
        "[a-z-]{1,12}",
    ];
    let value = prop_oneof![
        proptest::sample::select(vec![
            &b"AmazonEC2ContainerServiceV20141113.RunTask"[..],
            b"application/x-www-form-urlencoded",
            b"rpc-v2-cbor",
            b"Credential=",
            b"AWS4-HMAC-SHA256 Credential=a/b/s3/aws4_request",
            b"....",
            b"\"a\\",
        ])
        .prop_map(<[u8]>::to_vec),
        proptest::collection::vec(any::<u8>(), 0..30),
    ];
    proptest::collection::vec((name, value), 0..6)
}

fn headers(pairs: &[(String, Vec<u8>)]) -> HeaderMap {
    let valid = |(name, value): &(String, Vec<u8>)| {
        Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::from_bytes(value).ok()?))
    };
    pairs.iter().filter_map(valid).collect()
}

fn handle(routed: &Routed, head: &RequestHead<'_>, body: &[u8]) {
    match crate::decode(routed, head, body) {
        Ok(value) => {
            if let Err(violations) = crate::validate(routed.operation.input, &value) {
                let error = violations.body(routed.service);
                crate::encode_error(routed.protocol, Some(routed.service), &error, "id");
            }
        }
        Err(error) => {
            crate::encode_error(routed.protocol, Some(routed.service), &error.body(), "id");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn no_body_breaks_a_decoder(
        ((service, operation), protocol, body) in (operations(), protocols())
            .prop_flat_map(|(both, protocol)| (Just(both), Just(protocol), body(both.1, protocol))),
        pairs in header_pairs(),
    ) {
        let (method, uri, headers) = (Method::POST, Uri::from_static("/?a=b&c"), headers(&pairs));
        let head = RequestHead::new(&method, &uri, &headers);
        let routed = Routed { service, operation, protocol, labels: vec![("Bucket", "b".to_owned())] };
        handle(&routed, &head, &body);
    }

    #[test]
    fn no_head_breaks_routing(
        path in "(/[a-z%0-9{}+.]{0,6}){1,5}(\\?[a-zA-Z=&%0-9-]{0,20})?",
        method in proptest::sample::select(vec!["GET", "POST", "PUT", "DELETE", "HEAD"]),
        pairs in header_pairs(),
        body in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let Ok(uri) = path.parse::<Uri>() else { return Ok(()) };
        let (method, headers) = (method.parse::<Method>().unwrap(), headers(&pairs));
        let head = RequestHead::new(&method, &uri, &headers);
        match crate::route(&services(), &head, &body) {
            Ok(routed) => handle(&routed, &head, &body),
            Err(error) => {
                crate::encode_error(error.protocol(), error.service(), &error.body(), "id");
            }
        }
    }
}
