//! The HTTP bindings of restJson and restXml: labels, query, headers, payload. The rest of the body is the
//! JSON or XML codec's.

mod read;
mod write;

pub(crate) use read::decode;
pub(crate) use write::{encode, header_members, insert};
