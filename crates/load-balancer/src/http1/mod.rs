//! HTTP/1.1 as the load balancer reads and writes it: one strict reading of every message, nothing that two parsers could read
//! differently.

pub(crate) mod body;
pub(crate) mod head;
mod lines;
mod names;
pub(crate) mod syntax;

#[cfg(test)]
mod tests;
