//! The frame around every ACS message: its type's name beside the message itself.
//!
//! Decoding answers one closed enum per direction, so that a receiver matches exhaustively. A type that the enum
//! does not name is an error that carries the name: the receiver logs it and goes on, as the published agent does.

use serde::{Deserialize, Serialize};

use crate::{
    acs,
    call::{Call, Outcome},
    spec::{LoadBalancers, NetworkState},
    stream::{StreamDown, StreamUp},
    tcs,
};

/// Everything that the control plane says to an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "message")]
pub enum AcsMessage {
    #[serde(rename = "PayloadMessage")]
    Payload(acs::PayloadMessage),
    #[serde(rename = "HeartbeatMessage")]
    Heartbeat(acs::HeartbeatMessage),
    #[serde(rename = "TaskManifestMessage")]
    TaskManifest(acs::TaskManifestMessage),
    #[serde(rename = "TaskStopVerificationAck")]
    TaskStopVerificationAck(acs::TaskStopVerificationAck),
    #[serde(rename = "IAMRoleCredentialsMessage")]
    IamRoleCredentials(acs::IamRoleCredentialsMessage),
    #[serde(rename = "AttachTaskNetworkInterfacesMessage")]
    AttachTaskNetworkInterfaces(acs::AttachTaskNetworkInterfacesMessage),
    #[serde(rename = "AttachInstanceNetworkInterfacesMessage")]
    AttachInstanceNetworkInterfaces(acs::AttachInstanceNetworkInterfacesMessage),
    #[serde(rename = "ConfirmAttachmentMessage")]
    ConfirmAttachment(acs::ConfirmAttachmentMessage),
    #[serde(rename = "PerformUpdateMessage")]
    PerformUpdate(acs::UpdateMessage),
    #[serde(rename = "StageUpdateMessage")]
    StageUpdate(acs::UpdateMessage),
    #[serde(rename = "ErrorMessage")]
    Error(acs::ErrorMessage),
    #[serde(rename = "CloseMessage")]
    Close(acs::CloseMessage),
    /// Ours: security groups and what belongs to them, for every interface on the node. The published agent
    /// leaves security groups to EC2 and ignores this type.
    #[serde(rename = "LongshoreNetworkStateMessage")]
    NetworkState(NetworkState),
    /// Ours: the load balancers whose listeners this node holds. The private keys of their certificates are in it.
    #[serde(rename = "LongshoreLoadBalancersMessage")]
    LoadBalancers(LoadBalancers),
    /// Ours: the answer to [`AgentMessage::Call`].
    #[serde(rename = "LongshoreOutcomeMessage")]
    Outcome(Outcome),
    /// Ours: a word about a process or a connection in a container.
    #[serde(rename = "LongshoreStreamMessage")]
    Stream(StreamDown),
}

/// Everything that an agent answers over the same connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "message")]
pub enum AgentMessage {
    #[serde(rename = "AckRequest")]
    Ack(acs::AckRequest),
    #[serde(rename = "NackRequest")]
    Nack(acs::NackRequest),
    #[serde(rename = "HeartbeatAckRequest")]
    HeartbeatAck(acs::HeartbeatAckRequest),
    #[serde(rename = "TaskStopVerificationMessage")]
    TaskStopVerification(acs::TaskStopVerificationMessage),
    #[serde(rename = "IAMRoleCredentialsAckRequest")]
    IamRoleCredentialsAck(acs::IamRoleCredentialsAckRequest),
    /// Ours: what the published agent says over the ECS API.
    #[serde(rename = "LongshoreCallMessage")]
    Call(Box<Call>),
    /// Ours: a word about a process or a connection in a container.
    #[serde(rename = "LongshoreStreamMessage")]
    Stream(StreamUp),
}

/// What an agent says over its telemetry connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "message")]
pub enum TelemetryMessage {
    #[serde(rename = "PublishMetricsRequest")]
    Metrics(tcs::PublishMetricsRequest),
    #[serde(rename = "PublishHealthRequest")]
    Health(tcs::PublishHealthRequest),
}

/// What it is answered there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "message")]
pub enum TelemetryAnswer {
    #[serde(rename = "AckPublishMetric")]
    AckMetrics(acs::ErrorMessage),
    #[serde(rename = "AckPublishHealth")]
    AckHealth(acs::ErrorMessage),
    #[serde(rename = "HeartbeatMessage")]
    Heartbeat(acs::HeartbeatMessage),
}

/// A frame that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("message type `{0}` is not known")]
    UnknownType(String),
    #[error("not a typed message: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("message of {0} bytes is over the limit of {MAX_MESSAGE_BYTES}")]
    TooLarge(usize),
}

/// The largest frame that is decoded. A task definition holds at most 64 KiB and a payload a handful of tasks; resolved
/// secrets and environment files may multiply that, hence the room.
pub const MAX_MESSAGE_BYTES: usize = 8 << 20;

const ACS_TYPES: &[&str] = &[
    "PayloadMessage",
    "HeartbeatMessage",
    "TaskManifestMessage",
    "TaskStopVerificationAck",
    "IAMRoleCredentialsMessage",
    "AttachTaskNetworkInterfacesMessage",
    "AttachInstanceNetworkInterfacesMessage",
    "ConfirmAttachmentMessage",
    "PerformUpdateMessage",
    "StageUpdateMessage",
    "ErrorMessage",
    "CloseMessage",
    "LongshoreNetworkStateMessage",
    "LongshoreOutcomeMessage",
    "LongshoreLoadBalancersMessage",
    "LongshoreStreamMessage",
];

const AGENT_TYPES: &[&str] = &[
    "AckRequest",
    "NackRequest",
    "HeartbeatAckRequest",
    "TaskStopVerificationMessage",
    "IAMRoleCredentialsAckRequest",
    "LongshoreCallMessage",
    "LongshoreStreamMessage",
];

const TELEMETRY_TYPES: &[&str] = &["PublishMetricsRequest", "PublishHealthRequest"];

const TELEMETRY_ANSWER_TYPES: &[&str] = &["AckPublishMetric", "AckPublishHealth", "HeartbeatMessage"];

impl AcsMessage {
    pub fn decode(frame: &[u8]) -> Result<AcsMessage, DecodeError> {
        decode(frame, ACS_TYPES)
    }

    /// The frame's JSON text.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}

impl AgentMessage {
    pub fn decode(frame: &[u8]) -> Result<AgentMessage, DecodeError> {
        decode(frame, AGENT_TYPES)
    }

    /// The frame's JSON text.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}

impl TelemetryMessage {
    pub fn decode(frame: &[u8]) -> Result<TelemetryMessage, DecodeError> {
        decode(frame, TELEMETRY_TYPES)
    }

    /// The frame's JSON text.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}

impl TelemetryAnswer {
    pub fn decode(frame: &[u8]) -> Result<TelemetryAnswer, DecodeError> {
        decode(frame, TELEMETRY_ANSWER_TYPES)
    }

    /// The frame's JSON text.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}

#[derive(Deserialize)]
struct TypeOnly {
    r#type: String,
}

fn decode<T: serde::de::DeserializeOwned>(frame: &[u8], known: &[&str]) -> Result<T, DecodeError> {
    if frame.len() > MAX_MESSAGE_BYTES {
        return Err(DecodeError::TooLarge(frame.len()));
    }
    let named: TypeOnly = serde_json::from_slice(frame)?;
    if !known.contains(&named.r#type.as_str()) {
        return Err(DecodeError::UnknownType(named.r#type));
    }
    Ok(serde_json::from_slice(frame)?)
}

fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    serde_json::to_vec(message).expect("messages have text keys and no failing serializers")
}
