//! One module per subcommand.

pub mod agent;
pub mod demo;
pub mod doctor;
mod entry;
pub mod env;
pub mod exec;
mod progress;
pub mod up;
