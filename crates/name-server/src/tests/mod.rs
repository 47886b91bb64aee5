//! The whole crate: bytes, tables, and a server on loopback with an upstream made here.

mod bytes;
mod fixtures;
mod server;
mod tables;
mod upstream;

use crate::{
    message::{Message, Question},
    name::Name,
    record::{CLASS_IN, RecordType},
};

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn question(text: &str, kind: RecordType) -> Question {
    Question { name: name(text), kind, class: CLASS_IN }
}

pub(crate) fn query(id: u16, text: &str, kind: RecordType) -> Message {
    Message::query(id, question(text, kind))
}
