//! Tasks: run, stop, describe, list, protect; what a node is told of them and what it reports.

pub mod describe;
pub mod exec;
pub mod execution;
pub mod injection;
pub mod launch;
pub mod protection;
pub mod references;
pub mod report;
pub mod roles;
pub mod run;
mod sources;
pub mod spec;
pub mod stop;
mod targets;
mod token;
mod unsupported;
