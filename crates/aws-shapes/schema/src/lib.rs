//! What every generated AWS shape has in common: the untyped [`Value`], the static tables that describe a
//! service, and the traits that tie a generated struct to its table.
//!
//! Codecs and the validator (`aws-wire`) walk a [`Value`] along a table; handlers work on plain structs.
//! The two meet in [`Shape::from_value`] and [`Shape::into_value`]. Keeping per-struct code down to these two
//! functions is what makes thousands of shapes affordable to build: no serde derive, no codec per protocol.
//!
//! This crate does no I/O, knows no protocol and holds no service's tables.

mod convert;
mod tables;
mod value;

pub use convert::{Member, Operation, Shape, ShapeError, put, put_boxed, structure, take, take_boxed};
pub use tables::{
    Auth, BindingTable, ErrorTable, HttpTable, IntegerTable, Kind, ListTable, Location, MapTable,
    MemberTable, OperationTable, PaginatorTable, Protocol, ServiceTable, StringTable, StructureTable,
    TimestampFormat, XmlNamespace,
};
pub use value::{Timestamp, Value};

/// The shape of an operation without input or without output: a structure with no members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unit;

/// The table of [`Unit`].
pub static UNIT: StructureTable = StructureTable::new("Unit", &[]);

impl Shape for Unit {
    const TABLE: &'static StructureTable = &UNIT;

    fn from_value(value: Value) -> Result<Self, ShapeError> {
        structure(value, Self::TABLE).map(|_| Unit)
    }

    fn into_value(self) -> Value {
        Value::Structure(Vec::new())
    }
}

#[cfg(test)]
mod tests;
