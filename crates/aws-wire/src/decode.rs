//! A request's bytes to its operation's input.

use aws_schema::{Kind, Protocol, StructureTable, Value};

use crate::error::ErrorBody;
use crate::limits::{MAX_DEPTH, MAX_SLOTS};
use crate::{RequestHead, Routed, cbor, form, json, rest};

/// The body or a part of the head is not what the operation's shapes and the protocol say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DecodeError {
    /// Protocol of the request, which decides the error code.
    pub protocol: Protocol,
    /// What is wrong, fit for the client.
    pub message: String,
}

impl DecodeError {
    /// The error as the client gets it: the code that AWS's own front ends use for this protocol, status 400.
    pub fn body(&self) -> ErrorBody {
        let code = match self.protocol {
            Protocol::AwsJson10 | Protocol::AwsJson11 | Protocol::RestJson | Protocol::RpcV2Cbor => {
                "SerializationException"
            }
            Protocol::Query => "MalformedInput",
            Protocol::Ec2Query => "InvalidParameterValue",
            Protocol::RestXml => "MalformedXML",
        };
        ErrorBody::new(code, 400, self.message.clone())
    }
}

/// Decodes the input of `routed`. Members that the tables do not know are passed over; constraints are not
/// checked, see [`validate`](crate::validate).
///
/// # Errors
/// A malformed body, a value of the wrong type, or more than [`limits`](crate::limits) allow.
pub fn decode(routed: &Routed, head: &RequestHead<'_>, body: &[u8]) -> Result<Value, DecodeError> {
    let table = routed.operation.input;
    let mut budget = Budget::default();
    let decoded = match routed.protocol {
        Protocol::AwsJson10 | Protocol::AwsJson11 => json::decode(table, body, &mut budget),
        Protocol::RpcV2Cbor => cbor::decode(table, body, &mut budget),
        Protocol::Query => form::decode(table, form::Dialect::Query, head, body, &mut budget),
        Protocol::Ec2Query => form::decode(table, form::Dialect::Ec2, head, body, &mut budget),
        Protocol::RestJson | Protocol::RestXml => rest::decode(routed, head, body, &mut budget),
    };
    decoded.map_err(|error| DecodeError { protocol: routed.protocol, message: error.0 })
}

/// Why a codec gave up; [`decode`] adds the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(pub String);

impl Malformed {
    pub fn new(message: impl Into<String>) -> Self {
        Malformed(message.into())
    }

    /// A value of the wrong type, in the words of AWS's own front ends.
    pub fn type_mismatch(found: &str, kind: &Kind) -> Self {
        Malformed(format!("{found} can not be converted to {}", expected(kind)))
    }
}

/// The kind with its article: "a String".
pub(crate) fn expected(kind: &Kind) -> &'static str {
    match kind {
        Kind::Boolean => "a Boolean",
        Kind::Integer(table) if table.bits > 32 => "a Long",
        Kind::Integer(_) => "an Integer",
        Kind::Float { double: true, .. } => "a Double",
        Kind::Float { .. } => "a Float",
        Kind::String(_) => "a String",
        Kind::Blob { .. } => "a Blob",
        Kind::Timestamp(_) => "a Timestamp",
        Kind::List(_) => "a List",
        Kind::Map(_) => "a Map",
        Kind::Structure(_) => "a Structure",
        Kind::Document => "a Document",
    }
}

/// What one request may still build.
#[derive(Debug)]
pub(crate) struct Budget {
    slots: usize,
    depth: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { slots: MAX_SLOTS, depth: 0 }
    }
}

impl Budget {
    /// Takes places for `count` values.
    pub fn spend(&mut self, count: usize) -> Result<(), Malformed> {
        match self.slots.checked_sub(count) {
            Some(left) => {
                self.slots = left;
                Ok(())
            }
            None => Err(Malformed::new("The request has more values than this service accepts")),
        }
    }

    /// Goes one level down; [`Self::leave`] comes back up.
    pub fn enter(&mut self) -> Result<(), Malformed> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Malformed::new("The request is nested more deeply than this service accepts"));
        }
        Ok(())
    }

    pub fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Empty places for a structure's members.
    pub fn members(&mut self, table: &StructureTable) -> Result<Vec<Option<Value>>, Malformed> {
        self.spend(table.members.len().max(1))?;
        Ok(vec![None; table.members.len()])
    }
}

/// A union has exactly one member.
pub(crate) fn check_union(table: &StructureTable, members: &[Option<Value>]) -> Result<(), Malformed> {
    if table.union && members.iter().flatten().count() != 1 {
        return Err(Malformed(format!("{} must have exactly one member", table.name)));
    }
    Ok(())
}
