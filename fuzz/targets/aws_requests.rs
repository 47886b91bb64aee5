//! AWS's protocols: a request is routed, decoded and validated or refused with an answer; what was decoded is written as JSON and CBOR, read
//! again, and is the same.
#![no_main]

use aws_schema::{HttpTable, OperationTable, Protocol, ServiceTable, Value};
use aws_wire::{RequestHead, Routed, decode, encode_error, encode_response, limits, route, validate};
use aws_wire_test_shapes::{eks, lambda, route53, sqs};
use http::{HeaderMap, HeaderValue, Method, Uri};
use libfuzzer_sys::fuzz_target;
use longshore_fuzz::Request;

/// How many values hang together, and how deep.
fn size(value: &Value) -> (usize, usize) {
    let all = |values: &mut dyn Iterator<Item = &Value>| {
        values.map(size).fold((1, 0), |(count, depth), (more, deeper)| (count + more, depth.max(deeper)))
    };
    let (count, depth) = match value {
        Value::Structure(members) => all(&mut members.iter().flatten()),
        Value::List(items) => all(&mut items.iter()),
        Value::Map(entries) => all(&mut entries.iter().map(|(_, value)| value)),
        _ => (1, 0),
    };
    (count, depth + 1)
}

/// As an answer would be written and the request read.
fn again(routed: &Routed, protocol: Protocol, value: &Value) -> (Vec<u8>, Value) {
    // The operation with its input as its output, made once for each.
    thread_local! {
        static MIRRORED: std::cell::RefCell<std::collections::HashMap<usize, &'static OperationTable>> =
            std::cell::RefCell::default();
    }
    let operation: &'static OperationTable = MIRRORED.with_borrow_mut(|mirrored| {
        let key = std::ptr::from_ref(routed.operation).addr();
        *mirrored.entry(key).or_insert_with(|| {
            let OperationTable { name, http, input, result_wrapper, errors, auth, host_prefix, .. } =
                routed.operation;
            let HttpTable { method, uri, status } = *http;
            Box::leak(Box::new(OperationTable {
                name,
                http: HttpTable { method, uri, status },
                input,
                output: input,
                result_wrapper: *result_wrapper,
                errors,
                auth: *auth,
                host_prefix: *host_prefix,
                idempotent: false,
                readonly: false,
                paginator: None,
            }))
        })
    });
    let body = encode_response(protocol, routed.service, operation, value, "id").into_body();
    let (method, uri, headers) = (Method::POST, Uri::from_static("/"), HeaderMap::new());
    let head = RequestHead::new(&method, &uri, &headers);
    let routed = Routed { protocol, ..routed.clone() };
    let read = decode(&routed, &head, &body).expect("what was written is read");
    (body.to_vec(), read)
}

static SERVICES: [&ServiceTable; 7] = [
    aws_shapes_sts::SERVICE,
    aws_shapes_s3::SERVICE,
    aws_shapes_cloudwatch::SERVICE,
    eks::SERVICE,
    lambda::SERVICE,
    route53::SERVICE,
    sqs::SERVICE,
];

fuzz_target!(|data: &[u8]| {
    let Some(Request { method, uri, mut headers, body }) = Request::read(data) else { return };
    headers.entry("host").or_insert(HeaderValue::from_static("localhost"));
    let head = RequestHead::new(&method, &uri, &headers);
    _ = head.signing_name();
    let routed = match route(&SERVICES, &head, body) {
        Ok(routed) => routed,
        Err(error) => {
            let answer = encode_error(error.protocol(), error.service(), &error.body(), "id");
            assert!(answer.status().is_client_error() || answer.status().is_server_error());
            return;
        }
    };
    let value = match decode(&routed, &head, body) {
        Ok(value) => value,
        Err(error) => {
            assert_eq!(
                encode_error(routed.protocol, Some(routed.service), &error.body(), "id").status(),
                400
            );
            return;
        }
    };
    let (count, depth) = size(&value);
    assert!(count <= limits::MAX_SLOTS + 1 && depth <= limits::MAX_DEPTH + 2, "{count} values, {depth} deep");
    if let Err(violations) = validate(routed.operation.input, &value) {
        let answer =
            encode_error(routed.protocol, Some(routed.service), &violations.body(routed.service), "id");
        assert_eq!(answer.status(), 400);
    }
    for protocol in [Protocol::AwsJson11, Protocol::RpcV2Cbor] {
        // Documents are none of CBOR's.
        if protocol == Protocol::RpcV2Cbor && format!("{value:?}").contains("Document(") {
            continue;
        }
        // Times are cut to what can be written, once.
        let (_, first) = again(&routed, protocol, &value);
        let (written, second) = again(&routed, protocol, &first);
        let (rewritten, _) = again(&routed, protocol, &second);
        assert_eq!(written, rewritten, "{}", routed.operation.name);
    }
});
