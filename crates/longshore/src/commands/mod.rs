//! One module per subcommand.

pub mod agent;
pub mod demo;
mod entry;
pub mod doctor;
pub mod env;
pub mod exec;
mod progress;
pub mod up;
