//! What the control plane and a node's agent say to each other.
//!
//! Downward it is ACS, the published container agent's own protocol: typed JSON messages
//! `{"type": "PayloadMessage", "message": {…}}`, with the members of `ecs-agent/acs/model/api/api-2.json`
//! ([`acs`], [`envelope`]). Beside a task's ACS members stands one of ours, [`spec::TaskSpec`]: the validated
//! specification that our own agent runs from, so that it never has to interpret Docker's `config` and
//! `hostConfig` texts. The published agent ignores members that it does not know.
//!
//! Upward it is what the published agent submits over the ECS API: [`state::TaskStateChange`] and
//! [`state::AttachmentStateChange`], and TCS for telemetry ([`tcs`]). The agent reaches all of that through the
//! trait [`ControlPlane`], which the control plane implements in-process; from another process each call is a message of ours over the ACS
//! connection ([`call`]).
//!
//! Order: a [`acs::PayloadMessage`] carries `seqNum`. It grows for every later word about the same task; an agent
//! never acts on a payload whose number is below the last one that it saw for that task. State changes carry
//! `sequence` for the same purpose in the other direction.
//!
//! Nothing here does I/O. Text that must not reach a log is a [`Sensitive`], whose `Debug` shows nothing.

pub mod acs;
pub mod call;
mod control;
pub mod envelope;
pub mod handshake;
mod secrets;
mod sensitive;
pub mod spec;
pub mod state;
pub mod stream;
pub mod tcs;

pub use control::{
    AccessLogLines, Answer, ControlError, ControlPlane, InstanceRole, LogBatch, LogDestination, LogEvent,
    LogKind, RegistryLogin, RegistryLoginRequest, TargetHealthReport,
};
pub use envelope::{AcsMessage, AgentMessage, DecodeError, TelemetryAnswer, TelemetryMessage};
pub use secrets::{ContainerSecrets, TaskSecrets};
pub use sensitive::Sensitive;

#[cfg(test)]
mod tests;
