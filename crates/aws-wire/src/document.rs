//! Structures as plain JSON text, for keeping them: the form of the JSON protocols, without a protocol around it.

use aws_schema::{StructureTable, Value};

use crate::{
    decode::{Budget, Malformed},
    json,
};

/// JSON text that is not the structure that its table says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidDocument(String);

/// The JSON text of a structure.
pub fn to_json(table: &'static StructureTable, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    json::encode(&mut out, table, value, &|_| true);
    out
}

/// The inverse of [`to_json`]; members that the table does not know are passed over.
///
/// # Errors
/// [`InvalidDocument`] for what is not such a structure.
pub fn from_json(table: &'static StructureTable, text: &[u8]) -> Result<Value, InvalidDocument> {
    json::decode(table, text, &mut Budget::default()).map_err(|Malformed(reason)| InvalidDocument(reason))
}
