//! Conversion between [`Value`] and generated structs.

use std::collections::BTreeMap;
use std::fmt;

use crate::{OperationTable, StructureTable, Timestamp, Value};

/// A generated structure.
pub trait Shape: Sized {
    /// Its description.
    const TABLE: &'static StructureTable;

    /// Takes the struct out of a value that was decoded along [`Self::TABLE`].
    fn from_value(value: Value) -> Result<Self, ShapeError>;

    /// The value to be encoded along [`Self::TABLE`].
    fn into_value(self) -> Value;
}

/// An operation: a marker type naming its input and output.
pub trait Operation {
    /// Request shape.
    type Input: Shape;
    /// Response shape.
    type Output: Shape;
    /// Its description.
    const TABLE: &'static OperationTable;
}

/// A value that does not have the form its table says, or an enum value that the model does not know.
/// Values that went through `aws-wire`'s decoder and validator do not cause it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeError {
    /// Member names from the outside in, joined by dots; empty for the structure itself.
    pub path: String,
    /// What was expected.
    pub expected: &'static str,
    /// What was found.
    pub found: String,
}

impl ShapeError {
    /// An error at the value itself; enclosing members are added by [`take`].
    pub fn new(expected: &'static str, found: impl Into<String>) -> Self {
        ShapeError { path: String::new(), expected, found: found.into() }
    }

    fn within(mut self, name: &str) -> Self {
        if self.path.is_empty() {
            self.path = name.to_owned();
        } else {
            self.path = format!("{name}.{}", self.path);
        }
        self
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member '{}': expected {}, found {}", self.path, self.expected, self.found)
    }
}

impl std::error::Error for ShapeError {}

/// A type that a structure's member can have.
pub trait Member: Sized {
    /// From its value.
    fn from_member(value: Value) -> Result<Self, ShapeError>;
    /// To its value.
    fn into_member(self) -> Value;
}

/// The members of a structure value, padded to the table's length.
pub fn structure(value: Value, table: &'static StructureTable) -> Result<Vec<Option<Value>>, ShapeError> {
    match value {
        Value::Structure(mut members) => {
            members.resize(table.members.len(), None);
            Ok(members)
        }
        other => Err(ShapeError::new("structure", other.kind_name())),
    }
}

/// Moves member `index` out of `members`.
pub fn take<T: Member>(
    members: &mut [Option<Value>],
    table: &'static StructureTable,
    index: usize,
) -> Result<Option<T>, ShapeError> {
    match members.get_mut(index).and_then(Option::take) {
        None => Ok(None),
        Some(value) => {
            T::from_member(value).map(Some).map_err(|error| error.within(table.members[index].name))
        }
    }
}

/// The inverse of [`take`].
pub fn put<T: Member>(member: Option<T>) -> Option<Value> {
    member.map(T::into_member)
}

macro_rules! scalar {
    ($type:ty, $variant:ident, $expected:literal) => {
        impl Member for $type {
            fn from_member(value: Value) -> Result<Self, ShapeError> {
                match value {
                    Value::$variant(inner) => Ok(inner),
                    other => Err(ShapeError::new($expected, other.kind_name())),
                }
            }

            fn into_member(self) -> Value {
                Value::$variant(self)
            }
        }
    };
}

scalar!(bool, Bool, "boolean");
scalar!(i64, Integer, "integer");
scalar!(f64, Float, "float");
scalar!(String, String, "string");
scalar!(Vec<u8>, Blob, "blob");
scalar!(serde_json::Value, Document, "document");

impl Member for i32 {
    fn from_member(value: Value) -> Result<Self, ShapeError> {
        let wide = i64::from_member(value)?;
        i32::try_from(wide).map_err(|_| ShapeError::new("32-bit integer", wide.to_string()))
    }

    fn into_member(self) -> Value {
        Value::Integer(i64::from(self))
    }
}

impl Member for f32 {
    fn from_member(value: Value) -> Result<Self, ShapeError> {
        f64::from_member(value).map(|wide| wide as f32)
    }

    fn into_member(self) -> Value {
        Value::Float(f64::from(self))
    }
}

impl Member for Timestamp {
    fn from_member(value: Value) -> Result<Self, ShapeError> {
        match value {
            Value::Timestamp(seconds) => Ok(Timestamp(seconds)),
            other => Err(ShapeError::new("timestamp", other.kind_name())),
        }
    }

    fn into_member(self) -> Value {
        Value::Timestamp(self.0)
    }
}

impl<T: Member> Member for Vec<T> {
    fn from_member(value: Value) -> Result<Self, ShapeError> {
        match value {
            Value::List(items) => items.into_iter().map(T::from_member).collect(),
            other => Err(ShapeError::new("list", other.kind_name())),
        }
    }

    fn into_member(self) -> Value {
        Value::List(self.into_iter().map(T::into_member).collect())
    }
}

impl<T: Member> Member for BTreeMap<String, T> {
    fn from_member(value: Value) -> Result<Self, ShapeError> {
        match value {
            Value::Map(entries) => {
                entries.into_iter().map(|(key, value)| Ok((key, T::from_member(value)?))).collect()
            }
            other => Err(ShapeError::new("map", other.kind_name())),
        }
    }

    fn into_member(self) -> Value {
        Value::Map(self.into_iter().map(|(key, value)| (key, value.into_member())).collect())
    }
}

impl<T: Shape> Member for T {
    fn from_member(value: Value) -> Result<Self, ShapeError> {
        T::from_value(value)
    }

    fn into_member(self) -> Value {
        self.into_value()
    }
}

/// [`take`] for a member that is boxed because its structure contains itself.
pub fn take_boxed<T: Member>(
    members: &mut [Option<Value>],
    table: &'static StructureTable,
    index: usize,
) -> Result<Option<Box<T>>, ShapeError> {
    Ok(take(members, table, index)?.map(Box::new))
}

/// The inverse of [`take_boxed`].
pub fn put_boxed<T: Member>(member: Option<Box<T>>) -> Option<Value> {
    member.map(|inner| T::into_member(*inner))
}

/// Defines an enum of wire strings with `ALL`, `as_str`, `parse`, `Display` and [`Member`].
#[macro_export]
macro_rules! string_enum {
    ($name:ident { $($variant:ident = $text:literal,)* }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($variant,)* }

        impl $name {
            /// Every variant in the model's order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The wire value.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// From the wire value; `None` when the model does not have it.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some($name::$variant),)* _ => None }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::Member for $name {
            fn from_member(value: $crate::Value) -> Result<Self, $crate::ShapeError> {
                let text = <String as $crate::Member>::from_member(value)?;
                $name::parse(&text).ok_or_else(|| $crate::ShapeError::new(stringify!($name), text))
            }

            fn into_member(self) -> $crate::Value {
                $crate::Value::String(self.as_str().to_owned())
            }
        }
    };
}
