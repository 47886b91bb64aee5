//! The JSON codec of awsJson and restJson.

mod read;
mod write;

pub(crate) use read::{decode, decode_kind};
pub(crate) use write::{encode, encode_kind, string};
