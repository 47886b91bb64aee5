//! Streams between the control plane and something on a node: a process in a container, or a connection to one of its ports.
//!
//! A stream is begun by the control plane, lives at most as long as the connection it goes over, and ends with [`Up::Ended`] or
//! [`Down::End`]. Bytes go both ways in pieces of at most [`MOST_BYTES`]. Neither side sends more than [`WINDOW`] pieces that the other
//! has not said to have [taken](Down::Taken): so much is all that either has to keep, and a slow reader slows the writer and nobody else.
//! A side that sends more breaks the protocol, and the stream ends.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Pieces in each direction that may be on their way.
pub const WINDOW: usize = 16;
/// The longest piece: what the kernel's pipes hold is a few of them.
pub const MOST_BYTES: usize = 16 << 10;

/// What the control plane says about a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamDown {
    /// Unique among all that the node has.
    pub stream: String,
    pub say: Down,
}

/// What the node says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamUp {
    pub stream: String,
    pub say: Up,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Down {
    Begin(Box<Begin>),
    /// Input for the process, or what the connection is sent.
    Data(Piece),
    /// No more input comes.
    CloseInput,
    Resize(TerminalSize),
    /// To the process's group, by number.
    Signal(i32),
    /// So many pieces of output were taken.
    Taken(u32),
    /// The process ends with everything it started, or the connection is closed; nothing is answered.
    End,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Up {
    /// The process runs, or the connection stands.
    Began,
    /// It came to nothing. The text is for the user.
    Refused(String),
    Output(Piece),
    /// Standard error, of a process without a terminal.
    Errors(Piece),
    /// The other end of a connection sends no more.
    OutputClosed,
    /// So many pieces of input were taken.
    Taken(u32),
    /// The last word. Of a process: how it ended.
    Ended(Option<ProcessEnd>),
}

/// What is begun, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begin {
    pub task_arn: String,
    /// The container's name in the task.
    pub container: String,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    Process(Process),
    Connection(Destination),
}

/// A process in a running container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    pub args: Vec<String>,
    /// Added to the container's environment: `NAME=VALUE`.
    pub environment: Vec<String>,
    /// In place of the container's own.
    pub user: Option<String>,
    pub terminal: Option<TerminalSize>,
}

/// Somewhere in the container's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// An address or a name, as the container would resolve it; the container itself when not given.
    pub host: Option<String>,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminalSize {
    pub rows: u16,
    pub columns: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessEnd {
    /// The exit status, or 128 + the signal.
    pub exit_code: i32,
    /// Why it did not begin.
    pub reason: Option<String>,
}

/// Bytes, base64 in the message. They may be a password that was typed: `Debug` shows their number alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Piece(pub Vec<u8>);

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Piece({} bytes)", self.0.len())
    }
}

impl Serialize for Piece {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Piece {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Piece, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        match bytes.len() > MOST_BYTES {
            true => Err(D::Error::custom(format_args!("a piece of {} bytes", bytes.len()))),
            false => Ok(Piece(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AcsMessage, AgentMessage};

    #[test]
    fn bytes_of_any_kind_travel_and_do_not_show() {
        let bytes: Vec<u8> = (0..=255).collect();
        let said = StreamDown { stream: "s/1".into(), say: Down::Data(Piece(bytes)) };
        let message = AcsMessage::Stream(said.clone());
        assert_eq!(AcsMessage::decode(&message.encode()).unwrap(), message);
        assert!(format!("{said:?}").contains("256 bytes"), "{said:?}");
        let end = Some(ProcessEnd { exit_code: 3, reason: None });
        let message = AgentMessage::Stream(StreamUp { stream: "s/1".into(), say: Up::Ended(end) });
        assert_eq!(AgentMessage::decode(&message.encode()).unwrap(), message);
    }

    #[test]
    fn a_piece_has_a_limit() {
        let fits = serde_json::to_string(&Piece(vec![0; MOST_BYTES])).unwrap();
        assert!(serde_json::from_str::<Piece>(&fits).is_ok());
        let over = serde_json::to_string(&Piece(vec![0; MOST_BYTES + 1])).unwrap();
        assert!(serde_json::from_str::<Piece>(&over).is_err());
        assert!(serde_json::from_str::<Piece>("\"not base64!\"").is_err());
    }
}
