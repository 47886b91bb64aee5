//! The XML codec: restXml's requests, and the answers of restXml, query and ec2Query.

mod element;
mod read;
mod write;

pub(crate) use element::Element;
pub(crate) use read::{decode_kind, parse};
pub(crate) use write::{Writer, members, root};
