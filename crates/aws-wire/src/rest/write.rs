//! A REST answer's members to the parts they are bound to.

use aws_schema::{
    Kind, Location, OperationTable, Protocol, ServiceTable, StructureTable, TimestampFormat, Value,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{json, text, xml};

/// Status, headers and body of a successful answer.
pub(crate) fn encode(
    protocol: Protocol,
    service: &'static ServiceTable,
    operation: &'static OperationTable,
    output: &Value,
) -> (StatusCode, HeaderMap, Bytes) {
    let table = operation.output;
    let mut headers = HeaderMap::new();
    let mut status = StatusCode::from_u16(operation.http.status).unwrap_or(StatusCode::OK);
    header_members(&mut headers, table, output);
    let Value::Structure(members) = output else { return (status, headers, Bytes::new()) };
    for (member, value) in table.members.iter().zip(members) {
        if let (Location::StatusCode, Some(Value::Integer(code))) = (member.location, value) {
            status =
                u16::try_from(*code).ok().and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(status);
        }
    }
    let (content, body) = match table.payload {
        Some(index) => payload(protocol, table, index, members.get(index).and_then(Option::as_ref)),
        None => whole_body(protocol, service, table, output),
    };
    if let (Some(content), false) = (content, headers.contains_key("content-type")) {
        insert(&mut headers, "content-type", content);
    }
    (status, headers, body.into())
}

type Body = (Option<&'static str>, Vec<u8>);

fn whole_body(
    protocol: Protocol,
    service: &'static ServiceTable,
    table: &'static StructureTable,
    output: &Value,
) -> Body {
    let in_body = |member: &aws_schema::MemberTable| member.location == Location::Body;
    if protocol == Protocol::RestXml {
        if !table.members.iter().any(in_body) {
            return (None, Vec::new());
        }
        let mut writer = xml::Writer::with_declaration();
        let name = match s3_root(service, table) {
            // The one answer whose root is its only member.
            Some("LocationConstraint") => return (Some("application/xml"), location(table, output)),
            Some(name) => name,
            None => table.xml_name.unwrap_or(table.name),
        };
        let own = (service.name == "s3").then_some(S3_NAMESPACE);
        let uri = service.xml_namespace.or(own).map(|uri| aws_schema::XmlNamespace { prefix: None, uri });
        writer.open(name, table.xml_namespace.as_ref().or(uri.as_ref()));
        xml::members(&mut writer, table, output, &in_body);
        writer.close(name);
        return (Some("application/xml"), writer.finish());
    }
    let mut body = Vec::new();
    json::encode(&mut body, table, output, &in_body);
    (Some("application/json"), body)
}

/// S3's names of its answers' roots, which this copy of the model lacks and some clients insist on.
fn s3_root(service: &ServiceTable, table: &StructureTable) -> Option<&'static str> {
    (service.name == "s3").then_some(())?;
    Some(match table.name {
        "CompleteMultipartUploadOutput" => "CompleteMultipartUploadResult",
        "CreateMultipartUploadOutput" => "InitiateMultipartUploadResult",
        "DeleteObjectsOutput" => "DeleteResult",
        "GetBucketAclOutput" | "GetObjectAclOutput" => "AccessControlPolicy",
        "GetBucketLocationOutput" => "LocationConstraint",
        "GetBucketTaggingOutput" | "GetObjectTaggingOutput" => "Tagging",
        "GetBucketVersioningOutput" => "VersioningConfiguration",
        "GetObjectAttributesOutput" => "GetObjectAttributesResponse",
        "ListBucketsOutput" => "ListAllMyBucketsResult",
        "ListMultipartUploadsOutput" => "ListMultipartUploadsResult",
        "ListObjectVersionsOutput" => "ListVersionsResult",
        "ListObjectsOutput" | "ListObjectsV2Output" => "ListBucketResult",
        "ListPartsOutput" => "ListPartsResult",
        _ => return None,
    })
}

const S3_NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A bucket's region as text of the root; empty for the first of all regions.
fn location(table: &'static StructureTable, output: &Value) -> Vec<u8> {
    let mut writer = xml::Writer::with_declaration();
    let namespace = aws_schema::XmlNamespace { prefix: None, uri: S3_NAMESPACE };
    writer.open("LocationConstraint", Some(&namespace));
    let at = table.index("LocationConstraint");
    if let (Value::Structure(members), Some(at)) = (output, at)
        && let Some(Some(Value::String(region))) = members.get(at)
    {
        writer.text(region);
    }
    writer.close("LocationConstraint");
    writer.finish()
}

fn payload(protocol: Protocol, table: &'static StructureTable, index: usize, value: Option<&Value>) -> Body {
    let member = &table.members[index];
    let Some(value) = value else { return (None, Vec::new()) };
    match value {
        Value::Blob(bytes) => (Some("application/octet-stream"), bytes.clone()),
        Value::String(string) => (Some("text/plain"), string.clone().into_bytes()),
        _ if protocol == Protocol::RestXml => {
            let name = match &member.kind {
                Kind::Structure(inner) if !member.renamed => inner.xml_name.unwrap_or(member.wire),
                _ => member.wire,
            };
            (Some("application/xml"), xml::root(name, member.xml_namespace.as_ref(), &member.kind, value))
        }
        _ => {
            let mut body = Vec::new();
            json::encode_kind(&mut body, &member.kind, value);
            (Some("application/json"), body)
        }
    }
}

/// Adds the members that are bound to headers.
pub(crate) fn header_members(headers: &mut HeaderMap, table: &'static StructureTable, value: &Value) {
    let Value::Structure(members) = value else { return };
    for (member, value) in table.members.iter().zip(members) {
        let Some(value) = value else { continue };
        match (member.location, value) {
            (Location::Header, Value::String(json)) if member.json_value => {
                insert(headers, member.wire, &text::base64_encode(json.as_bytes()));
            }
            (Location::Header, _) => insert(headers, member.wire, &header_text(&member.kind, value)),
            (Location::Headers, Value::Map(entries)) => {
                let prefix = if member.renamed { member.wire } else { "" };
                for (key, value) in entries {
                    if let Value::String(text) = value {
                        insert(headers, &format!("{prefix}{key}"), text);
                    }
                }
            }
            _ => {}
        }
    }
}

fn header_text(kind: &Kind, value: &Value) -> String {
    match (kind, value) {
        (Kind::List(table), Value::List(items)) => {
            let items: Vec<String> = items
                .iter()
                .map(|item| match item {
                    Value::String(text) if text.contains([',', '"']) => {
                        format!("\"{}\"", text.replace('"', "\\\""))
                    }
                    other => header_text(&table.item, other),
                })
                .collect();
            items.join(", ")
        }
        (_, Value::String(text)) => text.clone(),
        (_, Value::Bool(flag)) => flag.to_string(),
        (_, Value::Integer(number)) => number.to_string(),
        (_, Value::Float(number)) => text::format_float(*number),
        (Kind::Timestamp(Some(format)), Value::Timestamp(seconds)) => {
            text::format_timestamp(*seconds, *format)
        }
        (_, Value::Timestamp(seconds)) => text::format_timestamp(*seconds, TimestampFormat::HttpDate),
        (_, Value::Blob(bytes)) => text::base64_encode(bytes),
        (_, Value::Document(document)) => document.to_string(),
        (_, Value::List(_) | Value::Map(_) | Value::Structure(_)) => String::new(),
    }
}

/// Adds a header, unless its name or value cannot be one: an answer is worth more without it than not at all.
pub(crate) fn insert(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.insert(name, value);
    }
}
