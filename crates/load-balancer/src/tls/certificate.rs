//! What stands in a client's certificate, as targets and logs are told it. Source: RFC 5280 for the form, RFC 2253 for names.
//!
//! Nothing is verified here.

/// A certificate, version 3, with its names still in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts<'a> {
    /// Hexadecimal digits, in capitals.
    pub serial: String,
    pub raw_issuer: &'a [u8],
    pub raw_subject: &'a [u8],
    /// `2023-09-21T01:50:17Z`
    pub not_before: String,
    pub not_after: String,
}

impl Facts<'_> {
    /// As RFC 2253 writes it, the last part first.
    pub(crate) fn issuer(&self) -> String {
        name(self.raw_issuer).unwrap_or_default()
    }

    pub(crate) fn subject(&self) -> String {
        name(self.raw_subject).unwrap_or_default()
    }

    pub(crate) fn validity(&self) -> String {
        format!("NotBefore={};NotAfter={}", self.not_before, self.not_after)
    }

    /// Seconds since 1970.
    pub(crate) fn not_after_unix(&self) -> Option<u64> {
        let number = |from: usize, to: usize| self.not_after.get(from..to)?.parse::<u64>().ok();
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        // Years that begin in March have their leap day at the end.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
        let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
        // Counted from the 1st of March of the year 0.
        let days = days.checked_sub(719_469)?;
        Some(days * 86_400 + number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?)
    }
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// Reads a certificate in DER; `None` for what is none.
pub(crate) fn read(der: &[u8]) -> Option<Facts<'_>> {
    let mut certificate = Reader(Reader(der).expect(SEQUENCE)?);
    let mut signed = Reader(certificate.expect(SEQUENCE)?);
    // Counted from zero.
    if Reader(signed.expect(0xa0)?).expect(INTEGER)? != [2] {
        return None;
    }
    let serial = match signed.expect(INTEGER)? {
        [0, rest @ ..] if !rest.is_empty() => rest,
        serial => serial,
    };
    signed.expect(SEQUENCE)?;
    let raw_issuer = signed.expect(SEQUENCE)?;
    let mut validity = Reader(signed.expect(SEQUENCE)?);
    let (not_before, not_after) = (moment(validity.next()?)?, moment(validity.next()?)?);
    let raw_subject = signed.expect(SEQUENCE)?;
    Some(Facts { serial: hex(serial), raw_issuer, raw_subject, not_before, not_after })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// What is left of a run of values.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next value: its tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let [tag, first, rest @ ..] = self.0 else { return None };
        let (length, rest) = match *first {
            short @ 0..=0x7f => (usize::from(short), rest),
            long @ 0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn moment((tag, content): (u8, &[u8])) -> Option<String> {
    let digits = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let whole = match (tag, digits.len()) {
        (0x17, 12) if digits < "50" => format!("20{digits}"),
        (0x17, 12) => format!("19{digits}"),
        (0x18, 14) => digits.to_owned(),
        _ => return None,
    };
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| whole.get(from..to).unwrap_or_default();
    Some(format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14)
    ))
}

/// Short names of the parts that names usually have.
const PARTS: [(&[u8], &str); 12] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 4], "SN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "street"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
];

fn name(sequence: &[u8]) -> Option<String> {
    let mut sets = Reader(sequence);
    let mut parts: Vec<String> = Vec::new();
    while !sets.0.is_empty() {
        let mut set = Reader(sets.expect(SET)?);
        let mut together: Vec<String> = Vec::new();
        while !set.0.is_empty() {
            let mut part = Reader(set.expect(SEQUENCE)?);
            let identifier = part.expect(OBJECT_IDENTIFIER)?;
            let encoded = part.0;
            let (tag, value) = part.next()?;
            together.push(match PARTS.iter().find(|(known, _)| *known == identifier) {
                Some((_, short)) => format!("{short}={}", escaped(&text(tag, value))),
                None => format!("{}=#{}", dotted(identifier)?, hex(encoded)),
            });
        }
        parts.push(together.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

fn text(tag: u8, value: &[u8]) -> String {
    // BMPString; the others are ASCII, UTF-8 or nearly so.
    if tag == 0x1e {
        let units: Vec<u16> =
            value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        return String::from_utf16_lossy(&units);
    }
    String::from_utf8_lossy(value).into_owned()
}

/// With backslashes before what separates, and everything that is not printable ASCII in hexadecimal.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'#' if at == 0 => out.push_str("\\#"),
            b' ' if at == 0 || at == last => out.push_str("\\ "),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\{byte:02X}")),
        }
    }
    out
}

fn dotted(identifier: &[u8]) -> Option<String> {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc: u64 = 0;
    for byte in identifier {
        arc = arc.checked_mul(128)? | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            arcs.push(arc);
            arc = 0;
        }
    }
    let (first, rest) = arcs.split_first()?;
    let root = (first / 40).min(2);
    let rest: String = rest.iter().map(|arc| format!(".{arc}")).collect();
    Some(format!("{root}.{}{rest}", first - root * 40))
}
