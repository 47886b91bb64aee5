//! Several connections over one: the multiplexer that newer clients speak inside the data of a port session.
//!
//! It is version 1 of the protocol of xtaci/smux. A frame is a version, a command, the length of its data and the stream's number (little-endian),
//! then the data. A stream is opened by SYN, carries PSH, and ends with FIN from either side, which ends both directions: what comes behind has nobody to
//! go to. NOP keeps alive.
//!
//! Pure: bytes in, frames out.

/// Before a frame's data.
const HEADER_BYTES: usize = 8;
const VERSION: u8 = 1;
/// What one frame to the client carries: well below what the client's own frames do.
pub const MOST_DATA_BYTES: usize = 16 << 10;

const SYN: u8 = 0;
const FIN: u8 = 1;
const PSH: u8 = 2;
const NOP: u8 = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Open(u32),
    Data(u32, Vec<u8>),
    Close(u32),
    Nothing,
}

/// The client speaks something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client's multiplexer speaks version {version}, command {command}, which is not known")]
pub struct Unknown {
    pub version: u8,
    pub command: u8,
}

impl Frame {
    /// Data is [`MOST_DATA_BYTES`] at most.
    pub fn encode(&self) -> Vec<u8> {
        let (command, stream, data) = match self {
            Frame::Open(stream) => (SYN, *stream, &[][..]),
            Frame::Data(stream, data) => (PSH, *stream, data.as_slice()),
            Frame::Close(stream) => (FIN, *stream, &[][..]),
            Frame::Nothing => (NOP, 0, &[][..]),
        };
        let mut bytes = Vec::with_capacity(HEADER_BYTES + data.len());
        bytes.extend([VERSION, command]);
        bytes.extend((data.len() as u16).to_le_bytes());
        bytes.extend(stream.to_le_bytes());
        bytes.extend(data);
        bytes
    }
}

/// Takes frames off the front of what has come.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame, `None` when more must come. What waits is never longer than a frame and what was pushed last.
    ///
    /// # Errors
    /// Those are final: the bytes are out of step.
    pub fn take(&mut self) -> Result<Option<Frame>, Unknown> {
        let Some(header) = self.bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let [version, command, l0, l1, s0, s1, s2, s3] = *header;
        if version != VERSION || command > NOP {
            return Err(Unknown { version, command });
        }
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        let stream = u32::from_le_bytes([s0, s1, s2, s3]);
        if self.bytes.len() < HEADER_BYTES + length {
            return Ok(None);
        }
        let data: Vec<u8> = self.bytes.drain(..HEADER_BYTES + length).skip(HEADER_BYTES).collect();
        Ok(Some(match command {
            SYN => Frame::Open(stream),
            FIN => Frame::Close(stream),
            PSH => Frame::Data(stream, data),
            _ => Frame::Nothing,
        }))
    }
}
