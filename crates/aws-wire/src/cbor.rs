//! The CBOR codec of rpcV2Cbor.

mod read;
mod write;

pub(crate) use read::decode;
pub(crate) use write::{encode, encode_kind, encode_members, text as write_text};
