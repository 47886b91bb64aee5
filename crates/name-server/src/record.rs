//! Resource records: a name, a type, a time to live, and data.
//!
//! Data is kept as it goes over the wire with every name in it written out. Where the names lie is said by one table
//! ([`layout`]), for reading (names may come compressed) and for writing (they may leave so). Types that are not in it are
//! carried as bytes, as RFC 3597 asks.

use std::net::Ipv4Addr;

use crate::{message::Malformed, name::Name};

/// The type of a record or a question; any number, those known here by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordType(pub u16);

impl RecordType {
    pub const A: RecordType = RecordType(1);
    pub const NS: RecordType = RecordType(2);
    pub const CNAME: RecordType = RecordType(5);
    pub const SOA: RecordType = RecordType(6);
    pub const PTR: RecordType = RecordType(12);
    pub const MX: RecordType = RecordType(15);
    pub const TXT: RecordType = RecordType(16);
    pub const AAAA: RecordType = RecordType(28);
    pub const SRV: RecordType = RecordType(33);
    pub const OPT: RecordType = RecordType(41);
    pub const IXFR: RecordType = RecordType(251);
    pub const AXFR: RecordType = RecordType(252);
    pub const ANY: RecordType = RecordType(255);
}

/// The Internet's class, the only one there is.
pub(crate) const CLASS_IN: u16 = 1;
/// RFC 2181 §8: the top bit is always zero.
const MAX_TTL: u32 = i32::MAX as u32;

/// A record of class IN (or, passed through from upstream, of whatever class it had).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub name: Name,
    pub kind: RecordType,
    pub(crate) class: u16,
    pub ttl_seconds: u32,
    /// Without compression.
    pub(crate) data: Box<[u8]>,
}

/// What a published record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    A(Ipv4Addr),
    Cname(Name),
    Ptr(Name),
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: Name,
    },
    /// Strings of at most 255 bytes each, at least one.
    Txt(Vec<Vec<u8>>),
}

/// The start of authority that goes with negative answers; they may be kept for `negative_ttl_seconds`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Soa<'a> {
    pub apex: &'a Name,
    pub serial: u32,
    pub negative_ttl_seconds: u32,
}

impl Record {
    /// `None` when a text is empty or one of its strings is longer than 255 bytes, or all of it does not fit a record.
    pub(crate) fn new(name: Name, ttl_seconds: u32, data: &Data) -> Option<Record> {
        let (kind, data) = match data {
            Data::A(address) => (RecordType::A, address.octets().to_vec()),
            Data::Cname(target) => (RecordType::CNAME, target.wire().to_vec()),
            Data::Ptr(target) => (RecordType::PTR, target.wire().to_vec()),
            Data::Srv { priority, weight, port, target } => {
                let numbers = [priority, weight, port].map(|number| number.to_be_bytes());
                (RecordType::SRV, [numbers.as_flattened(), target.wire()].concat())
            }
            Data::Txt(strings) => {
                let mut bytes = Vec::new();
                for string in strings {
                    bytes.push(u8::try_from(string.len()).ok()?);
                    bytes.extend_from_slice(string);
                }
                if bytes.is_empty() || bytes.len() > usize::from(u16::MAX) {
                    return None;
                }
                (RecordType::TXT, bytes)
            }
        };
        let ttl_seconds = ttl_seconds.min(MAX_TTL);
        Some(Record { name, kind, class: CLASS_IN, ttl_seconds, data: data.into() })
    }

    pub(crate) fn soa(soa: &Soa<'_>) -> Record {
        let mut data = Vec::new();
        // The server's own name and the responsible mailbox: nobody may transfer or update, so both are the zone itself.
        data.extend_from_slice(soa.apex.wire());
        data.extend_from_slice(soa.apex.wire());
        let (refresh, retry, expire) = (7200_u32, 900_u32, 1_209_600_u32);
        for number in [soa.serial, refresh, retry, expire, soa.negative_ttl_seconds] {
            data.extend_from_slice(&number.to_be_bytes());
        }
        Record {
            name: soa.apex.clone(),
            kind: RecordType::SOA,
            class: CLASS_IN,
            ttl_seconds: soa.negative_ttl_seconds,
            data: data.into(),
        }
    }

    /// The name that a CNAME, PTR or SRV record points to.
    pub(crate) fn target(&self) -> Option<Name> {
        let at = match self.kind {
            RecordType::CNAME | RecordType::PTR => 0,
            RecordType::SRV => 6,
            _ => return None,
        };
        Name::read(&self.data, at).ok().map(|(name, _)| name)
    }

    /// How long a negative answer with this start of authority may be kept (RFC 2308 §5).
    pub(crate) fn negative_ttl_seconds(&self) -> Option<u32> {
        let minimum = self.data.last_chunk::<4>().filter(|_| self.kind == RecordType::SOA)?;
        Some(self.ttl_seconds.min(u32::from_be_bytes(*minimum)))
    }

    /// Reads the record at `at` and returns the offset behind it.
    pub(crate) fn read(message: &[u8], at: usize) -> Result<(Record, usize), Malformed> {
        let (name, at) = Name::read(message, at)?;
        let fixed: &[u8; 10] = message.get(at..).and_then(<[u8]>::first_chunk).ok_or(Malformed)?;
        let [k0, k1, c0, c1, t0, t1, t2, t3, l0, l1] = *fixed;
        let kind = RecordType(u16::from_be_bytes([k0, k1]));
        let ttl = u32::from_be_bytes([t0, t1, t2, t3]);
        let (start, length) = (at + 10, usize::from(u16::from_be_bytes([l0, l1])));
        let end = start + length;
        if end > message.len() {
            return Err(Malformed);
        }
        let record = Record {
            name,
            kind,
            class: u16::from_be_bytes([c0, c1]),
            // In OPT the field is no time.
            ttl_seconds: if ttl > MAX_TTL && kind != RecordType::OPT { 0 } else { ttl },
            data: read_data(&message[..end], start, kind)?,
        };
        Ok((record, end))
    }
}

/// A piece of a record's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    Bytes(usize),
    /// A length in one byte and as many bytes.
    Text,
    Name,
}

/// The pieces that a type's data begins with; what follows is bytes. The types that may be compressed (RFC 1035) and those
/// that a reader should expect to be (RFC 3597 §4).
fn layout(kind: RecordType) -> &'static [Piece] {
    use Piece::{Bytes, Name, Text};
    match kind.0 {
        // A, AAAA: checked for their length.
        1 => &[Bytes(4)],
        28 => &[Bytes(16)],
        // NS, MD, MF, CNAME, MB, MG, MR, PTR, DNAME
        2 | 3 | 4 | 5 | 7 | 8 | 9 | 12 | 39 => &[Name],
        // SOA
        6 => &[Name, Name, Bytes(20)],
        // MINFO, RP
        14 | 17 => &[Name, Name],
        // MX, AFSDB, RT, KX
        15 | 18 | 21 | 36 => &[Bytes(2), Name],
        // PX
        26 => &[Bytes(2), Name, Name],
        // SRV
        33 => &[Bytes(6), Name],
        // NAPTR
        35 => &[Bytes(4), Text, Text, Text, Name],
        _ => &[],
    }
}

/// Whether the names in the data of this type may be written compressed: only those of RFC 1035.
pub(crate) fn compressible(kind: RecordType) -> &'static [Piece] {
    match kind {
        RecordType::NS | RecordType::CNAME | RecordType::PTR | RecordType::SOA | RecordType::MX => {
            layout(kind)
        }
        _ => &[],
    }
}

/// The data from `start` to the end of `message`, its names written out.
fn read_data(message: &[u8], start: usize, kind: RecordType) -> Result<Box<[u8]>, Malformed> {
    let (mut at, mut data) = (start, Vec::new());
    for piece in layout(kind) {
        let length = match piece {
            Piece::Name => {
                let (name, end) = Name::read(message, at)?;
                data.extend_from_slice(name.wire());
                at = end;
                continue;
            }
            Piece::Bytes(length) => *length,
            Piece::Text => 1 + usize::from(*message.get(at).ok_or(Malformed)?),
        };
        data.extend_from_slice(message.get(at..at + length).ok_or(Malformed)?);
        at += length;
    }
    let rest = message.get(at..).ok_or(Malformed)?;
    if !layout(kind).is_empty() && !rest.is_empty() {
        return Err(Malformed);
    }
    data.extend_from_slice(rest);
    Ok(data.into())
}
