//! One module per subcommand.

pub mod agent;
pub mod audit;
mod client;
pub mod demo;
pub mod doctor;
mod entry;
pub mod env;
pub mod exec;
pub mod interrupt;
mod process;
mod progress;
pub mod up;
