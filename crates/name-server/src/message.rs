//! DNS messages: bytes in, one closed structure out, and back (RFC 1035 §4, RFC 6891).
//!
//! Reading rejects whatever it does not understand whole; nothing of a message that was not understood is passed on. A
//! message cannot make the reader use more than some hundred times its own size: every record takes at least 11
//! bytes, and its names at most 255 each when written out.

use std::collections::HashMap;

use crate::{
    name::Name,
    record::{Piece, Record, RecordType, compressible},
};

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a DNS message")]
pub struct Malformed;

/// A response's code, extended ones included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u16);

impl Code {
    pub const NO_ERROR: Code = Code(0);
    pub const FORMAT_ERROR: Code = Code(1);
    pub const SERVER_FAILURE: Code = Code(2);
    pub const NO_NAME: Code = Code(3);
    pub const NOT_IMPLEMENTED: Code = Code(4);
    pub const REFUSED: Code = Code(5);
    pub const BAD_VERSION: Code = Code(16);
}

const HEADER_BYTES: usize = 12;
const OPT_BYTES: usize = 11;
/// What a receiver takes over UDP when it does not say (RFC 1035 §2.3.4).
pub const PLAIN_UDP_BYTES: usize = 512;
/// What we take and send at most over UDP: fits every path without fragments (the value of the 2020 flag day).
pub const OWN_UDP_BYTES: u16 = 1232;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    pub name: Name,
    pub kind: RecordType,
    pub class: u16,
}

/// The extension record, its options left out: none is understood here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    pub udp_bytes: u16,
    pub version: u8,
    pub dnssec_ok: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub id: u16,
    pub response: bool,
    pub opcode: u8,
    pub authoritative: bool,
    pub truncated: bool,
    pub recursion_desired: bool,
    pub recursion_available: bool,
    pub checking_disabled: bool,
    pub code: Code,
    pub questions: Vec<Question>,
    pub answers: Vec<Record>,
    pub authorities: Vec<Record>,
    pub additionals: Vec<Record>,
    pub edns: Option<Edns>,
}

impl Message {
    /// A question to another server.
    pub fn query(id: u16, question: Question) -> Message {
        Message {
            id,
            response: false,
            opcode: 0,
            authoritative: false,
            truncated: false,
            recursion_desired: true,
            recursion_available: false,
            checking_disabled: false,
            code: Code::NO_ERROR,
            questions: vec![question],
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
            edns: None,
        }
    }

    /// The answer to `self` with nothing in it yet but `code`. A message with more than one question is answered without them: so many fit
    /// into one, with names that are only pointed to, that no answer could repeat them.
    pub fn reply(&self, code: Code) -> Message {
        let edns =
            self.edns.map(|edns| Edns { udp_bytes: OWN_UDP_BYTES, version: 0, dnssec_ok: edns.dnssec_ok });
        Message {
            response: true,
            authoritative: false,
            truncated: false,
            recursion_available: true,
            code,
            questions: if self.questions.len() == 1 { self.questions.clone() } else { Vec::new() },
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
            edns,
            ..*self
        }
    }

    /// Reads a whole message. Bytes behind it are ignored.
    ///
    /// # Errors
    /// [`Malformed`] when a section is cut short, a name does not end, or there is more than one extension record.
    pub fn read(bytes: &[u8]) -> Result<Message, Malformed> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(Malformed)?;
        let word = |index: usize| u16::from_be_bytes([header[index * 2], header[index * 2 + 1]]);
        let flags = word(1);
        let mut at = HEADER_BYTES;
        let mut questions = Vec::new();
        for _ in 0..word(2) {
            let (name, end) = Name::read(bytes, at)?;
            let [k0, k1, c0, c1]: [u8; 4] =
                *bytes.get(end..).and_then(<[u8]>::first_chunk).ok_or(Malformed)?;
            let (kind, class) = (RecordType(u16::from_be_bytes([k0, k1])), u16::from_be_bytes([c0, c1]));
            questions.push(Question { name, kind, class });
            at = end + 4;
        }
        let mut section = |count: u16| {
            let mut records = Vec::new();
            for _ in 0..count {
                let (record, end) = Record::read(bytes, at)?;
                records.push(record);
                at = end;
            }
            Ok(records)
        };
        let (answers, authorities, mut additionals) =
            (section(word(3))?, section(word(4))?, section(word(5))?);
        let edns = take_edns(&mut additionals)?;
        let extended = edns.map_or(0, |(_, high)| u16::from(high) << 4);
        Ok(Message {
            id: word(0),
            response: flags & 0x8000 != 0,
            opcode: (flags >> 11 & 0xf) as u8,
            authoritative: flags & 0x0400 != 0,
            truncated: flags & 0x0200 != 0,
            recursion_desired: flags & 0x0100 != 0,
            recursion_available: flags & 0x0080 != 0,
            checking_disabled: flags & 0x0010 != 0,
            code: Code(flags & 0xf | extended),
            questions,
            answers,
            authorities,
            additionals,
            edns: edns.map(|(edns, _)| edns),
        })
    }

    /// The message in at most `limit` bytes. Where answers or authorities do not fit, as many as fit are written and the
    /// truncation bit is set; additional records are left out silently.
    pub fn write(&self, limit: usize) -> Vec<u8> {
        let mut writer = Writer { bytes: vec![0; HEADER_BYTES], suffixes: HashMap::new() };
        for question in &self.questions {
            writer.name(&question.name);
            writer.word(question.kind.0);
            writer.word(question.class);
        }
        let room = limit.saturating_sub(if self.edns.is_some() { OPT_BYTES } else { 0 });
        let (answers, all_answers) = writer.section(&self.answers, room);
        let (authorities, all_authorities) = match all_answers {
            true => writer.section(&self.authorities, room),
            false => (0, false),
        };
        let whole = all_answers && all_authorities;
        let (mut additionals, _) = if whole { writer.section(&self.additionals, room) } else { (0, false) };
        if let Some(edns) = self.edns {
            writer.edns(edns, self.code);
            additionals += 1;
        }
        let flags = [
            (self.response, 0x8000),
            (self.authoritative, 0x0400),
            (self.truncated || !whole, 0x0200),
            (self.recursion_desired, 0x0100),
            (self.recursion_available, 0x0080),
            (self.checking_disabled, 0x0010),
        ];
        let flags = flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, bit)| all | bit);
        let flags = flags | u16::from(self.opcode & 0xf) << 11 | self.code.0 & 0xf;
        let questions = self.questions.len() as u16;
        for (index, word) in [self.id, flags, questions, answers, authorities, additionals].iter().enumerate()
        {
            writer.bytes[index * 2..index * 2 + 2].copy_from_slice(&word.to_be_bytes());
        }
        writer.bytes
    }
}

/// Takes the extension record out of `additionals`, with the upper bits of the response code.
fn take_edns(additionals: &mut Vec<Record>) -> Result<Option<(Edns, u8)>, Malformed> {
    let Some(index) = additionals.iter().position(|record| record.kind == RecordType::OPT) else {
        return Ok(None);
    };
    let record = additionals.remove(index);
    if !record.name.is_root() || additionals.iter().any(|record| record.kind == RecordType::OPT) {
        return Err(Malformed);
    }
    let [high, version, flags, _] = record.ttl_seconds.to_be_bytes();
    Ok(Some((Edns { udp_bytes: record.class, version, dnssec_ok: flags & 0x80 != 0 }, high)))
}

struct Writer {
    bytes: Vec<u8>,
    /// Where names and their ends were written, for pointers to them. Case counts: names leave in the case they have.
    suffixes: HashMap<Vec<u8>, u16>,
}

impl Writer {
    fn word(&mut self, word: u16) {
        self.bytes.extend_from_slice(&word.to_be_bytes());
    }

    fn name(&mut self, name: &Name) {
        let mut wire = name.wire();
        while wire[0] != 0 {
            if let Some(target) = self.suffixes.get(wire) {
                return self.word(0xc000 | *target);
            }
            // A pointer has 14 bits.
            if let Some(here) = u16::try_from(self.bytes.len()).ok().filter(|here| *here < 0x4000) {
                self.suffixes.insert(wire.to_vec(), here);
            }
            let (label, rest) = wire.split_at(1 + usize::from(wire[0]));
            self.bytes.extend_from_slice(label);
            wire = rest;
        }
        self.bytes.push(0);
    }

    /// Writes records as long as they fit; returns how many, and whether these were all.
    fn section(&mut self, records: &[Record], room: usize) -> (u16, bool) {
        let mut count = 0;
        for record in records {
            let before = self.bytes.len();
            self.record(record);
            if self.bytes.len() > room || count == u16::MAX {
                self.bytes.truncate(before);
                self.suffixes.retain(|_, at| usize::from(*at) < before);
                return (count, false);
            }
            count += 1;
        }
        (count, true)
    }

    fn record(&mut self, record: &Record) {
        self.name(&record.name);
        self.word(record.kind.0);
        self.word(record.class);
        self.bytes.extend_from_slice(&record.ttl_seconds.to_be_bytes());
        let length_at = self.bytes.len();
        self.word(0);
        let mut data = &*record.data;
        for piece in compressible(record.kind) {
            match piece {
                Piece::Name => {
                    // Data is made by us: its names are whole.
                    let Ok((name, end)) = Name::read(data, 0) else { break };
                    self.name(&name);
                    data = &data[end..];
                }
                Piece::Bytes(length) => {
                    let (bytes, rest) = data.split_at((*length).min(data.len()));
                    self.bytes.extend_from_slice(bytes);
                    data = rest;
                }
                Piece::Text => break,
            }
        }
        self.bytes.extend_from_slice(data);
        let length = (self.bytes.len() - length_at - 2) as u16;
        self.bytes[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
    }

    fn edns(&mut self, edns: Edns, code: Code) {
        self.bytes.push(0);
        self.word(RecordType::OPT.0);
        self.word(edns.udp_bytes);
        self.bytes.push((code.0 >> 4) as u8);
        self.bytes.push(edns.version);
        self.word(if edns.dnssec_ok { 0x8000 } else { 0 });
        self.word(0);
    }
}
