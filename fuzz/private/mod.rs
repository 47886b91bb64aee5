//! Parsers of the control plane whose file has a folder beside it: `#[path]` would look for their modules in the wrong place, links do not.

pub mod policy_document;
