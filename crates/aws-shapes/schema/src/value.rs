//! The untyped form of a request or response, and the time type of shapes.

/// One decoded value. Which variant a member holds is given by its [`Kind`](crate::Kind).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A boolean.
    Bool(bool),
    /// A byte, short, integer or long.
    Integer(i64),
    /// A float or double.
    Float(f64),
    /// A string or an enum's wire value.
    String(String),
    /// Bytes, already freed from the protocol's encoding (base64, CBOR byte string).
    Blob(Vec<u8>),
    /// Seconds since the epoch.
    Timestamp(f64),
    /// A list; sparse lists are not represented, null elements are dropped or refused by the codec.
    List(Vec<Value>),
    /// A map in the order it was read.
    Map(Vec<(String, Value)>),
    /// A structure: one entry per member, by the member's index in its table; `None` is "not given".
    Structure(Vec<Option<Value>>),
    /// Free-form JSON (Smithy's document type).
    Document(serde_json::Value),
}

impl Value {
    /// The variant's name, for error messages.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Value::Bool(_) => "boolean",
            Value::Integer(_) => "integer",
            Value::Float(_) => "float",
            Value::String(_) => "string",
            Value::Blob(_) => "blob",
            Value::Timestamp(_) => "timestamp",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Structure(_) => "structure",
            Value::Document(_) => "document",
        }
    }
}

/// A point in time as shapes carry it: seconds since the epoch, fractions kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Timestamp(pub f64);

impl Timestamp {
    /// From whole milliseconds since the epoch.
    pub fn from_millis(millis: i64) -> Self {
        Timestamp(millis as f64 / 1000.0)
    }

    /// Milliseconds since the epoch, rounded to the nearest; saturates at the ends of `i64`.
    pub fn as_millis(self) -> i64 {
        (self.0 * 1000.0).round() as i64
    }

    /// Seconds since the epoch.
    pub fn as_secs_f64(self) -> f64 {
        self.0
    }
}
