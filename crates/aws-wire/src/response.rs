//! An operation's output to a whole answer.

use aws_schema::{OperationTable, Protocol, ServiceTable, Value, XmlNamespace};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use crate::rest::insert;
use crate::{cbor, json, rest, xml};

/// Encodes a successful answer. For operations that answer with events see [`event_stream`](crate::event_stream).
pub fn encode_response(
    protocol: Protocol,
    service: &'static ServiceTable,
    operation: &'static OperationTable,
    output: &Value,
    request_id: &str,
) -> Response<Bytes> {
    let (status, mut headers, body) = match protocol {
        Protocol::AwsJson10 | Protocol::AwsJson11 => {
            let mut body = Vec::new();
            json::encode(&mut body, operation.output, output, &|_| true);
            (StatusCode::OK, content(content_type(protocol)), Bytes::from(body))
        }
        Protocol::RpcV2Cbor => {
            let mut body = Vec::new();
            cbor::encode(&mut body, operation.output, output, &|_| true);
            (StatusCode::OK, content(content_type(protocol)), Bytes::from(body))
        }
        Protocol::Query => {
            (StatusCode::OK, content(content_type(protocol)), query(service, operation, output, request_id))
        }
        Protocol::Ec2Query => {
            (StatusCode::OK, content(content_type(protocol)), ec2(service, operation, output, request_id))
        }
        Protocol::RestJson | Protocol::RestXml => rest::encode(protocol, service, operation, output),
    };
    finish_headers(&mut headers, protocol, request_id);
    assemble(status, headers, body)
}

pub(crate) fn content_type(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::AwsJson10 => "application/x-amz-json-1.0",
        Protocol::AwsJson11 => "application/x-amz-json-1.1",
        Protocol::Query => "text/xml",
        Protocol::Ec2Query => "text/xml;charset=UTF-8",
        Protocol::RestJson => "application/json",
        Protocol::RestXml => "application/xml",
        Protocol::RpcV2Cbor => "application/cbor",
    }
}

fn content(content_type: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    insert(&mut headers, "content-type", content_type);
    headers
}

/// What every answer of a protocol carries.
pub(crate) fn finish_headers(headers: &mut HeaderMap, protocol: Protocol, request_id: &str) {
    insert(headers, "x-amzn-requestid", request_id);
    match protocol {
        Protocol::RpcV2Cbor => insert(headers, "smithy-protocol", "rpc-v2-cbor"),
        Protocol::RestXml => insert(headers, "x-amz-request-id", request_id),
        _ => {}
    }
}

pub(crate) fn assemble(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn query(
    service: &ServiceTable,
    operation: &'static OperationTable,
    output: &Value,
    request_id: &str,
) -> Bytes {
    let mut writer = xml::Writer::default();
    let name = format!("{}Response", operation.name);
    writer.open(&name, service.xml_namespace.map(|uri| XmlNamespace { prefix: None, uri }).as_ref());
    if let Some(wrapper) = operation.result_wrapper {
        writer.open(wrapper, None);
        xml::members(&mut writer, operation.output, output, &|_| true);
        writer.close(wrapper);
    }
    writer.open("ResponseMetadata", None);
    writer.leaf("RequestId", request_id);
    writer.close("ResponseMetadata");
    writer.close(&name);
    writer.finish().into()
}

fn ec2(
    service: &ServiceTable,
    operation: &'static OperationTable,
    output: &Value,
    request_id: &str,
) -> Bytes {
    let mut writer = xml::Writer::with_declaration();
    let name = format!("{}Response", operation.name);
    // EC2 answers with a slash that the model's namespace lacks.
    let uri = service.xml_namespace.map(|uri| format!("{}/", uri.trim_end_matches('/')));
    writer.open_uri(&name, uri.as_deref());
    writer.leaf("requestId", request_id);
    if operation.output.members.is_empty() {
        writer.leaf("return", "true");
    }
    xml::members(&mut writer, operation.output, output, &|_| true);
    writer.close(&name);
    writer.finish().into()
}
