//! A container's output on disk: stamped lines in append-only segment files, written by the shim, read by the agent.
//!
//! `output/0000000001.seg`, `…2.seg` hold records back to back (see [`record`]). The shim starts a new segment when the last
//! is full and deletes those before an acknowledged position. The end of all output is a record of its own, so that a reader
//! tells "nothing yet" from "nothing more".

pub(crate) mod lines;
pub(crate) mod record;
mod tail;
pub(crate) mod writer;

pub use record::{LogPosition, LogRecord, LogStream};
pub use tail::LogTail;

#[cfg(test)]
mod tests;
