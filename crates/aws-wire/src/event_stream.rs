//! Answers made of events: `application/vnd.amazon.eventstream`.
//!
//! A message is: total length, headers' length, CRC-32 of these; headers; payload; CRC-32 of everything before.
//! In the RPC protocols the first event is the `initial-response`, which holds the output's other members; the
//! REST protocols put those into HTTP headers. An error ends the stream as an `exception` message.

use aws_schema::{Kind, MemberTable, OperationTable, Protocol, ServiceTable, StructureTable, Value};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use crate::error::{self, ErrorBody};
use crate::response::{assemble, finish_headers};
use crate::rest::{header_members, insert};
use crate::{cbor, json, text, xml};

/// Content type of the whole answer.
pub const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// The output member that is a stream of events, if the operation has one.
pub fn event_stream_of(operation: &OperationTable) -> Option<&'static StructureTable> {
    operation.output.members.iter().find_map(stream_table)
}

fn stream_table(member: &MemberTable) -> Option<&'static StructureTable> {
    match member.kind {
        Kind::Structure(table) if table.event_stream => Some(table),
        _ => None,
    }
}

/// Status and headers of an answer whose body are events, to which the caller gives the body.
/// `output` holds the members beside the stream.
pub fn response_head(
    protocol: Protocol,
    operation: &'static OperationTable,
    output: &Value,
    request_id: &str,
) -> Response<()> {
    let mut headers = HeaderMap::new();
    insert(&mut headers, "content-type", CONTENT_TYPE);
    if matches!(protocol, Protocol::RestJson | Protocol::RestXml) {
        header_members(&mut headers, operation.output, output);
    }
    finish_headers(&mut headers, protocol, request_id);
    assemble(StatusCode::OK, headers, Bytes::new()).map(|_| ())
}

/// The `initial-response` message: to be sent first in the RPC protocols, `None` in the REST protocols.
pub fn encode_initial_response(
    protocol: Protocol,
    operation: &'static OperationTable,
    output: &Value,
) -> Option<Bytes> {
    let beside = |member: &MemberTable| stream_table(member).is_none();
    let mut payload = Vec::new();
    match protocol {
        Protocol::AwsJson10 | Protocol::AwsJson11 => {
            json::encode(&mut payload, operation.output, output, &beside);
        }
        Protocol::RpcV2Cbor => cbor::encode(&mut payload, operation.output, output, &beside),
        Protocol::RestJson | Protocol::RestXml | Protocol::Query | Protocol::Ec2Query => return None,
    }
    let headers = [
        (":message-type", Header::Text("event")),
        (":event-type", Header::Text("initial-response")),
        (":content-type", Header::Text(payload_type(protocol))),
    ];
    Some(message(&headers, &payload))
}

/// One event of `operation`'s stream: `name` is the stream's member, `event` its value along that member's
/// structure. `None` when the stream has no such member.
pub fn encode_event(
    protocol: Protocol,
    operation: &OperationTable,
    name: &str,
    event: &Value,
) -> Option<Bytes> {
    let stream = event_stream_of(operation)?;
    let member = &stream.members[stream.index(name)?];
    let Kind::Structure(table) = member.kind else { return None };
    let mut headers =
        vec![(":message-type", Header::Text("event")), (":event-type", Header::Text(member.wire))];
    if let Value::Structure(values) = event {
        for (member, value) in table.members.iter().zip(values) {
            if let (true, Some(value)) = (member.event_header, value) {
                headers.extend(Header::from_value(value).map(|header| (member.wire, header)));
            }
        }
    }
    let (content, payload) = event_payload(protocol, table, event);
    headers.extend(content.map(|content| (":content-type", Header::Text(content))));
    Some(message(&headers, &payload))
}

/// An error that ends the stream: a declared one as the exception that the stream has for it, any other as an
/// unmodelled error.
pub fn encode_exception(
    protocol: Protocol,
    service: &'static ServiceTable,
    operation: &OperationTable,
    error: &ErrorBody,
) -> Bytes {
    let table = service.error(&error.code);
    let named = |member: &&MemberTable| match (member.kind, table) {
        (Kind::Structure(structure), Some(table)) => structure.name == table.structure.name,
        _ => false,
    };
    let member = event_stream_of(operation).and_then(|stream| stream.members.iter().find(named));
    let Some(member) = member else {
        let headers = [
            (":message-type", Header::Text("error")),
            (":error-code", Header::Text(error::shape_name(table, error))),
            (":error-message", Header::Text(&error.message)),
        ];
        return message(&headers, &[]);
    };
    let payload = match protocol {
        Protocol::RpcV2Cbor => error::cbor_body(table, error),
        Protocol::RestXml => error::xml_fragment(table, member.wire, error),
        _ => error::json_body(table, error, false),
    };
    let headers = [
        (":message-type", Header::Text("exception")),
        (":exception-type", Header::Text(member.wire)),
        (":content-type", Header::Text(payload_type(protocol))),
    ];
    message(&headers, &payload)
}

fn payload_type(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::RpcV2Cbor => "application/cbor",
        Protocol::RestXml => "application/xml",
        Protocol::AwsJson10 => "application/x-amz-json-1.0",
        Protocol::AwsJson11 => "application/x-amz-json-1.1",
        _ => "application/json",
    }
}

/// Content type and bytes of an event's payload: its payload member, or all members that are not headers.
fn event_payload(
    protocol: Protocol,
    table: &'static StructureTable,
    event: &Value,
) -> (Option<&'static str>, Vec<u8>) {
    let Value::Structure(values) = event else { return (None, Vec::new()) };
    let mut payload = Vec::new();
    if let Some(index) = table.members.iter().position(|member| member.event_payload) {
        let member = &table.members[index];
        return match values.get(index).and_then(Option::as_ref) {
            None => (None, Vec::new()),
            Some(Value::Blob(bytes)) => (Some("application/octet-stream"), bytes.clone()),
            Some(Value::String(text)) => (Some("text/plain"), text.clone().into_bytes()),
            Some(value) if protocol == Protocol::RestXml => {
                (Some("application/xml"), xml::root(member.wire, None, &member.kind, value))
            }
            Some(value) if protocol == Protocol::RpcV2Cbor => {
                cbor::encode_kind(&mut payload, &member.kind, value);
                (Some("application/cbor"), payload)
            }
            Some(value) => {
                json::encode_kind(&mut payload, &member.kind, value);
                (Some("application/json"), payload)
            }
        };
    }
    let rest = |member: &MemberTable| !member.event_header;
    if !table.members.iter().any(rest) {
        return (None, payload);
    }
    match protocol {
        Protocol::RpcV2Cbor => cbor::encode(&mut payload, table, event, &rest),
        Protocol::RestXml => {
            let mut writer = xml::Writer::default();
            writer.open(table.name, None);
            xml::members(&mut writer, table, event, &rest);
            writer.close(table.name);
            payload = writer.finish();
        }
        _ => json::encode(&mut payload, table, event, &rest),
    }
    (Some(payload_type(protocol)), payload)
}

/// A header's value, as far as events need them.
#[derive(Debug, Clone, Copy)]
enum Header<'a> {
    Bool(bool),
    Integer(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    /// Milliseconds since the epoch.
    Timestamp(i64),
}

impl<'a> Header<'a> {
    fn from_value(value: &'a Value) -> Option<Self> {
        Some(match value {
            Value::Bool(flag) => Header::Bool(*flag),
            Value::Integer(number) => Header::Integer(*number),
            Value::Blob(bytes) => Header::Bytes(bytes),
            Value::String(text) => Header::Text(text),
            Value::Timestamp(seconds) => Header::Timestamp((seconds * 1000.0).round() as i64),
            _ => return None,
        })
    }

    fn write(self, out: &mut Vec<u8>) {
        match self {
            Header::Bool(true) => out.push(0),
            Header::Bool(false) => out.push(1),
            Header::Integer(number) => match i32::try_from(number) {
                Ok(narrow) => {
                    out.push(4);
                    out.extend_from_slice(&narrow.to_be_bytes());
                }
                Err(_) => {
                    out.push(5);
                    out.extend_from_slice(&number.to_be_bytes());
                }
            },
            Header::Bytes(bytes) => sized(out, 6, bytes),
            Header::Text(text) => sized(out, 7, text.as_bytes()),
            Header::Timestamp(millis) => {
                out.push(8);
                out.extend_from_slice(&millis.to_be_bytes());
            }
        }
    }
}

/// A header's value may be 32 KiB less one byte; a longer one is cut, between characters where it is text.
fn sized(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    let mut length = bytes.len().min(0x7fff);
    while kind == 7 && length < bytes.len() && bytes[length] & 0xc0 == 0x80 {
        length -= 1;
    }
    out.push(kind);
    out.extend_from_slice(&(length as u16).to_be_bytes());
    out.extend_from_slice(&bytes[..length]);
}

/// Frames a message.
fn message(headers: &[(&str, Header<'_>)], payload: &[u8]) -> Bytes {
    let mut encoded = Vec::new();
    for (name, value) in headers {
        encoded.push(name.len().min(255) as u8);
        encoded.extend_from_slice(&name.as_bytes()[..name.len().min(255)]);
        value.write(&mut encoded);
    }
    let total = 12 + encoded.len() + payload.len() + 4;
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(&(total as u32).to_be_bytes());
    out.extend_from_slice(&(encoded.len() as u32).to_be_bytes());
    out.extend_from_slice(&text::crc32(&out).to_be_bytes());
    out.extend_from_slice(&encoded);
    out.extend_from_slice(payload);
    out.extend_from_slice(&text::crc32(&out).to_be_bytes());
    out.into()
}
