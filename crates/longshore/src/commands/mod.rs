//! One module per subcommand.

pub mod agent;
pub mod demo;
pub mod doctor;
pub mod env;
pub mod up;
