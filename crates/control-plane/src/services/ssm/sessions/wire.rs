//! The messages of a session's data channel, as `session-manager-plugin` and the SSM agent write them.
//!
//! A message is a header of fixed fields, big-endian, and a payload:
//!
//! | bytes | field |
//! |---|---|
//! | 4 | length of the header up to the payload's length: 116 |
//! | 32 | type, in ASCII, filled up with blanks |
//! | 4 | schema version: 1 |
//! | 8 | when it was made, milliseconds since 1970 |
//! | 8 | sequence number |
//! | 8 | flags: 1 first, 2 last of a sequence |
//! | 16 | id: a UUID with its two halves exchanged |
//! | 32 | SHA-256 of the payload |
//! | 4 | what the payload is |
//! | 4 | its length |
//!
//! Source: `src/message/messageparser.go` and `clientmessage.go` of aws/session-manager-plugin. Nothing here knows what a session is.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What stands before the payload's length.
const HEADER_BYTES: u32 = 116;
const PAYLOAD_AT: usize = HEADER_BYTES as usize + 4;
/// The plugin sends at most 1,024 bytes; others a little more. What is longer is no message of a session.
pub const MOST_PAYLOAD_BYTES: usize = 64 << 10;
/// What one message of output carries, as the SSM agent has it.
pub const OUTPUT_BYTES: usize = 1024;
/// The longest message.
pub const MOST_BYTES: usize = PAYLOAD_AT + MOST_PAYLOAD_BYTES;

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From the client.
    Input,
    /// To the client.
    Output,
    Acknowledge,
    ChannelClosed,
    /// The other side may send again.
    Start,
    /// The other side shall not send for now.
    Pause,
}

const KINDS: [(Kind, &str); 6] = [
    (Kind::Input, "input_stream_data"),
    (Kind::Output, "output_stream_data"),
    (Kind::Acknowledge, "acknowledge"),
    (Kind::ChannelClosed, "channel_closed"),
    (Kind::Start, "start_publication"),
    (Kind::Pause, "pause_publication"),
];

impl Kind {
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Payload {
    None = 0,
    Output = 1,
    Error = 2,
    Size = 3,
    Parameter = 4,
    HandshakeRequest = 5,
    HandshakeResponse = 6,
    HandshakeComplete = 7,
    EncryptionChallenge = 8,
    EncryptionAnswer = 9,
    Flag = 10,
    StdErr = 11,
    ExitCode = 12,
}

impl Payload {
    fn of(number: u32) -> Option<Payload> {
        use Payload::{
            EncryptionAnswer, EncryptionChallenge, Error, ExitCode, Flag, HandshakeComplete,
            HandshakeRequest, HandshakeResponse, None as Nothing, Output, Parameter, Size, StdErr,
        };
        let all = [
            Nothing,
            Output,
            Error,
            Size,
            Parameter,
            HandshakeRequest,
            HandshakeResponse,
            HandshakeComplete,
            EncryptionChallenge,
            EncryptionAnswer,
            Flag,
            StdErr,
            ExitCode,
        ];
        all.into_iter().find(|kind| *kind as u32 == number)
    }
}

/// The flags of [`Payload::Flag`], a big-endian `u32`.
pub mod flag {
    /// The client's connection to the forwarded port has ended.
    pub const DISCONNECT_TO_PORT: u32 = 1;
    pub const TERMINATE_SESSION: u32 = 2;
    /// To the client: nothing listens at the port.
    pub const CONNECT_TO_PORT_ERROR: u32 = 3;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub kind: Kind,
    /// Milliseconds since 1970.
    pub created: u64,
    pub sequence: i64,
    pub flags: u64,
    /// A UUID's bytes, in their usual order.
    pub id: [u8; 16],
    pub payload_kind: Payload,
    pub payload: Vec<u8>,
}

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("{0} bytes are no message")]
    Length(usize),
    #[error("a header of {0} bytes")]
    Header(u32),
    #[error("a message of an unknown type")]
    Kind,
    #[error("a payload of the unknown type {0}")]
    Payload(u32),
    #[error("the payload's length is said to be {said} and is {is}")]
    PayloadLength { said: u32, is: usize },
    #[error("the payload is not what its digest says")]
    Digest,
}

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PAYLOAD_AT + self.payload.len());
        bytes.extend(HEADER_BYTES.to_be_bytes());
        bytes.extend(format!("{:<32}", self.kind.name()).into_bytes());
        bytes.extend(1u32.to_be_bytes());
        bytes.extend(self.created.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.flags.to_be_bytes());
        bytes.extend(&self.id[8..]);
        bytes.extend(&self.id[..8]);
        bytes.extend(Sha256::digest(&self.payload));
        bytes.extend((self.payload_kind as u32).to_be_bytes());
        // Payloads are cut to far less.
        bytes.extend((self.payload.len() as u32).to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// # Errors
    /// When the bytes are no message: too long, cut off, altered, or of a kind that is not known.
    pub fn decode(bytes: &[u8]) -> Result<Message, WireError> {
        if bytes.len() > MOST_BYTES {
            return Err(WireError::Length(bytes.len()));
        }
        let mut rest = Rest { bytes, total: bytes.len() };
        let header = rest.number()?;
        if header != HEADER_BYTES {
            return Err(WireError::Header(header));
        }
        let name: [u8; 32] = rest.take()?;
        let name = name.trim_ascii_end();
        let name = name.strip_suffix(b"\0").map_or(name, |_| {
            // Filled up with zeroes, as older agents do it.
            name.split(|byte| *byte == 0).next().unwrap_or_default()
        });
        let kind = KINDS.iter().find(|(_, known)| known.as_bytes() == name).ok_or(WireError::Kind)?.0;
        let _schema = rest.number()?;
        let created = u64::from_be_bytes(rest.take()?);
        let sequence = i64::from_be_bytes(rest.take()?);
        let flags = u64::from_be_bytes(rest.take()?);
        let (low, high): ([u8; 8], [u8; 8]) = (rest.take()?, rest.take()?);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&high);
        id[8..].copy_from_slice(&low);
        let digest: [u8; 32] = rest.take()?;
        let number = rest.number()?;
        let payload_kind = Payload::of(number).ok_or(WireError::Payload(number))?;
        let said = rest.number()?;
        let payload = rest.bytes;
        if said as usize != payload.len() {
            return Err(WireError::PayloadLength { said, is: payload.len() });
        }
        // The plugin does not look at the digest of nothing either.
        if !payload.is_empty() && Sha256::digest(payload).as_slice() != digest {
            return Err(WireError::Digest);
        }
        Ok(Message { kind, created, sequence, flags, id, payload_kind, payload: payload.to_vec() })
    }
}

/// What is left to read.
struct Rest<'a> {
    bytes: &'a [u8],
    total: usize,
}

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (first, rest) = self.bytes.split_first_chunk::<N>().ok_or(WireError::Length(self.total))?;
        self.bytes = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_be_bytes(self.take()?))
    }
}

/// `01234567-89ab-…`.
pub fn uuid_text(id: &[u8; 16]) -> String {
    let hex = hex::encode(id);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The payload of an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Acknowledgement {
    pub acknowledged_message_type: String,
    pub acknowledged_message_id: String,
    pub acknowledged_message_sequence_number: i64,
    pub is_sequential_message: bool,
}

/// The first message of a connection, as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OpenDataChannel {
    pub message_schema_version: String,
    pub request_id: String,
    pub token_value: String,
    #[serde(default)]
    pub client_id: String,
    #[serde(default)]
    pub client_version: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeRequest {
    pub agent_version: String,
    pub requested_client_actions: Vec<RequestedAction>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RequestedAction {
    pub action_type: String,
    pub action_parameters: serde_json::Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeResponse {
    #[serde(default)]
    pub client_version: String,
    #[serde(default)]
    pub processed_client_actions: Vec<ProcessedAction>,
    /// The plugin gives null for none.
    #[serde(default)]
    pub errors: Option<Vec<String>>,
}

/// That an action was carried out.
pub const ACTION_SUCCEEDED: i32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessedAction {
    pub action_type: String,
    pub action_status: i32,
    #[serde(default)]
    pub action_result: serde_json::Value,
    #[serde(default)]
    pub error: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeComplete {
    /// In nanoseconds.
    pub handshake_time_to_complete: u64,
    pub customer_message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    pub cols: u32,
    pub rows: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChannelClosed {
    pub message_id: String,
    pub created_date: String,
    pub destination_id: String,
    pub session_id: String,
    pub message_type: String,
    pub schema_version: u32,
    /// Shown to the user; nothing when the session ended as it should.
    pub output: String,
    /// Ours: how the command ended. The plugin passes over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}
