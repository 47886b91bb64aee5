//! Errors as each protocol writes them.

use std::borrow::Cow;

use aws_schema::{ErrorTable, MemberTable, Protocol, ServiceTable, Value, XmlNamespace};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use crate::response::{assemble, content_type, finish_headers};
use crate::rest::{header_members, insert};
use crate::{cbor, json, xml};

/// An error for the client.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorBody {
    /// Shape name or wire code: `ClusterNotFoundException`, `NoSuchEntity`. A declared error is found by either,
    /// and goes out under the name that the protocol uses.
    pub code: Cow<'static, str>,
    /// The text for people.
    pub message: String,
    /// HTTP status.
    pub status: u16,
    /// Whether the caller is at fault.
    pub sender_fault: bool,
    /// Members beside the message, along the declared error's structure.
    pub fields: Option<Value>,
}

impl ErrorBody {
    /// An error; the sender is at fault below status 500.
    pub fn new(code: impl Into<Cow<'static, str>>, status: u16, message: impl Into<String>) -> Self {
        ErrorBody {
            code: code.into(),
            message: message.into(),
            status,
            sender_fault: status < 500,
            fields: None,
        }
    }

    /// A declared error, with its status and fault.
    pub fn declared(table: &'static ErrorTable, message: impl Into<String>) -> Self {
        ErrorBody { sender_fault: table.sender_fault, ..ErrorBody::new(table.name, table.status, message) }
    }
}

/// Encodes an error. `service` is absent where the request did not tell it.
pub fn encode_error(
    protocol: Protocol,
    service: Option<&'static ServiceTable>,
    error: &ErrorBody,
    request_id: &str,
) -> Response<Bytes> {
    let table = service.and_then(|service| service.error(&error.code));
    let mut headers = HeaderMap::new();
    insert(&mut headers, "content-type", content_type(protocol));
    let body = match protocol {
        Protocol::AwsJson10 | Protocol::AwsJson11 => json_body(table, error, true),
        Protocol::RestJson => {
            insert(&mut headers, "x-amzn-errortype", shape_name(table, error));
            bound_headers(&mut headers, table, error);
            json_body(table, error, false)
        }
        Protocol::RpcV2Cbor => cbor_body(table, error),
        Protocol::Query => query_body(service, table, error, request_id),
        Protocol::Ec2Query => ec2_body(error, request_id),
        Protocol::RestXml => {
            bound_headers(&mut headers, table, error);
            match service {
                Some(service) if service.name == "s3" => s3_body(table, error, request_id),
                _ => query_body(service, table, error, request_id),
            }
        }
    };
    let typed = matches!(protocol, Protocol::AwsJson10 | Protocol::AwsJson11 | Protocol::RpcV2Cbor);
    if typed && service.is_some_and(|service| service.query_compatible) {
        let fault = if error.sender_fault { "Sender" } else { "Receiver" };
        insert(&mut headers, "x-amzn-query-error", &format!("{};{fault}", wire_code(table, error)));
    }
    finish_headers(&mut headers, protocol, request_id);
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    assemble(status, headers, body.into())
}

/// What the JSON and CBOR protocols call the error.
pub(crate) fn shape_name<'a>(table: Option<&'static ErrorTable>, error: &'a ErrorBody) -> &'a str {
    table.map_or(&error.code, |table| table.name)
}

/// What the query protocols call the error.
fn wire_code<'a>(table: Option<&'static ErrorTable>, error: &'a ErrorBody) -> &'a str {
    table.map_or(&error.code, |table| table.code)
}

/// The member that holds the text; it is written from [`ErrorBody::message`].
fn is_message(member: &MemberTable) -> bool {
    member.name.eq_ignore_ascii_case("message")
}

fn message_name(table: Option<&'static ErrorTable>) -> &'static str {
    let member = table.and_then(|table| table.structure.members.iter().find(|member| is_message(member)));
    member.map_or("message", |member| member.wire)
}

fn is_extra(member: &MemberTable) -> bool {
    !is_message(member) && member.location == aws_schema::Location::Body
}

pub(crate) fn json_body(table: Option<&'static ErrorTable>, error: &ErrorBody, typed: bool) -> Vec<u8> {
    let mut body = vec![b'{'];
    if typed {
        body.extend_from_slice(b"\"__type\":");
        json::string(&mut body, shape_name(table, error));
        body.push(b',');
    }
    json::string(&mut body, message_name(table));
    body.push(b':');
    json::string(&mut body, &error.message);
    if let (Some(table), Some(fields)) = (table, &error.fields) {
        let mut extra = Vec::new();
        json::encode(&mut extra, table.structure, fields, &is_extra);
        if let Some(inner) = extra.get(1..extra.len() - 1).filter(|inner| !inner.is_empty()) {
            body.push(b',');
            body.extend_from_slice(inner);
        }
    }
    body.push(b'}');
    body
}

pub(crate) fn cbor_body(table: Option<&'static ErrorTable>, error: &ErrorBody) -> Vec<u8> {
    // Indefinite length: the fields' number is the codec's to know.
    let mut body = vec![0xbf];
    cbor::write_text(&mut body, "__type");
    cbor::write_text(&mut body, shape_name(table, error));
    cbor::write_text(&mut body, message_name(table));
    cbor::write_text(&mut body, &error.message);
    if let (Some(table), Some(fields)) = (table, &error.fields) {
        cbor::encode_members(&mut body, table.structure, fields, &is_extra);
    }
    body.push(0xff);
    body
}

fn xml_error(writer: &mut xml::Writer, table: Option<&'static ErrorTable>, error: &ErrorBody) {
    writer.leaf("Code", wire_code(table, error));
    writer.leaf("Message", &error.message);
    if let (Some(table), Some(fields)) = (table, &error.fields) {
        xml::members(writer, table.structure, fields, &is_extra);
    }
}

/// An exception inside an event stream.
pub(crate) fn xml_fragment(table: Option<&'static ErrorTable>, name: &str, error: &ErrorBody) -> Vec<u8> {
    let mut writer = xml::Writer::default();
    writer.open(name, None);
    xml_error(&mut writer, table, error);
    writer.close(name);
    writer.finish()
}

fn query_body(
    service: Option<&'static ServiceTable>,
    table: Option<&'static ErrorTable>,
    error: &ErrorBody,
    request_id: &str,
) -> Vec<u8> {
    let mut writer = xml::Writer::default();
    let namespace =
        service.and_then(|service| service.xml_namespace).map(|uri| XmlNamespace { prefix: None, uri });
    writer.open("ErrorResponse", namespace.as_ref());
    writer.open("Error", None);
    writer.leaf("Type", if error.sender_fault { "Sender" } else { "Receiver" });
    xml_error(&mut writer, table, error);
    writer.close("Error");
    writer.leaf("RequestId", request_id);
    writer.close("ErrorResponse");
    writer.finish()
}

fn ec2_body(error: &ErrorBody, request_id: &str) -> Vec<u8> {
    let mut writer = xml::Writer::with_declaration();
    writer.open("Response", None);
    writer.open("Errors", None);
    writer.open("Error", None);
    // EC2's model declares no errors.
    xml_error(&mut writer, None, error);
    writer.close("Error");
    writer.close("Errors");
    writer.leaf("RequestID", request_id);
    writer.close("Response");
    writer.finish()
}

fn s3_body(table: Option<&'static ErrorTable>, error: &ErrorBody, request_id: &str) -> Vec<u8> {
    let mut writer = xml::Writer::with_declaration();
    writer.open("Error", None);
    xml_error(&mut writer, table, error);
    writer.leaf("RequestId", request_id);
    writer.leaf("HostId", request_id);
    writer.close("Error");
    writer.finish()
}

fn bound_headers(headers: &mut HeaderMap, table: Option<&'static ErrorTable>, error: &ErrorBody) {
    if let (Some(table), Some(fields)) = (table, &error.fields) {
        header_members(headers, table.structure, fields);
    }
}
