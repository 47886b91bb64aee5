//! The control plane: the front door, the services behind it, and what keeps the world in line with what they were told.
//!
//! [`ControlPlane::start`] opens the stores, binds the front door and begins the background work. It runs in one process with
//! the node agent (connected by [`ControlPlane::connect_agent`]) or without.

mod agents;
pub mod authorization;
mod convert;
mod doors;
pub mod gateway;
mod names;
pub mod reconcilers;
pub mod registry;
pub mod secret;
pub mod services;
mod start;
mod upkeep;

pub use agents::AgentLink;
pub use convert::AwsJson;
pub use doors::{CertificateFiles, bootstrap::RootKey};
pub use services::cloudtrail::{KEPT_DAYS as AUDIT_KEPT_DAYS, chain as audit_chain};
pub use services::ecs::tasks::stop::INTERRUPTION;
pub use services::ssm::sessions as session_manager;
pub use start::{AgentDoor, Config, ControlPlane, OpenAgentDoor, StartError, StoreChoice, StrictDoor};
