//! Domain names: sequences of labels, compared without regard to ASCII case (RFC 4343).
//!
//! A name is kept as it goes over the wire, without compression, and in the case in which it came: a question has to be
//! echoed as it was asked. Labels may hold any byte, as on the wire; names written in source or configuration are
//! restricted to printable ASCII.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use crate::message::Malformed;

/// A whole name in octets, its final zero included (RFC 1035 §2.3.4).
const MAX_NAME_BYTES: usize = 255;
const MAX_LABEL_BYTES: usize = 63;

/// A fully qualified domain name.
#[derive(Clone)]
pub struct Name {
    /// Each label behind its length, then a zero.
    wire: Box<[u8]>,
}

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a domain name: labels of 1 to 63 printable ASCII characters, 255 bytes in all")]
pub struct NameError(String);

impl Name {
    pub fn root() -> Name {
        Name { wire: Box::new([0]) }
    }

    /// `web.example.internal`, with or without a final dot. There are no escapes.
    ///
    /// # Errors
    /// [`NameError`] on empty or overlong labels and names, and on anything but printable ASCII.
    pub fn parse(text: &str) -> Result<Name, NameError> {
        let error = || NameError(text.chars().take(80).collect());
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(error());
        }
        let mut builder = Builder::default();
        for label in text.split('.') {
            if !label.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(error());
            }
            builder.push(label.as_bytes()).map_err(|_| error())?;
        }
        builder.finish().map_err(|_| error())
    }

    /// This name with one more label in front.
    ///
    /// # Errors
    /// As for [`Name::parse`]; the label holds no dot.
    pub fn child(&self, label: &str) -> Result<Name, NameError> {
        if label.contains('.') {
            return Err(NameError(label.chars().take(80).collect()));
        }
        match self.is_root() {
            true => Name::parse(label),
            false => Name::parse(&format!("{label}.{self}")),
        }
    }

    pub fn is_root(&self) -> bool {
        self.wire.len() == 1
    }

    /// The labels from the left, the root's empty one left out.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        let labels: Vec<&[u8]> =
            self.starts().map(|at| &self.wire[at + 1..][..self.wire[at] as usize]).collect();
        labels.into_iter()
    }

    pub fn depth(&self) -> usize {
        self.starts().count()
    }

    /// The name without its first label; `None` for the root.
    pub fn parent(&self) -> Option<Name> {
        let first = usize::from(self.wire[0]);
        (first > 0).then(|| Name { wire: self.wire[first + 1..].into() })
    }

    /// Whether this is `apex` or a name below it.
    pub fn is_within(&self, apex: &Name) -> bool {
        let Some(at) = self.wire.len().checked_sub(apex.wire.len()) else { return false };
        let boundary = at == self.wire.len() - 1 || self.starts().any(|start| start == at);
        boundary && self.wire[at..].eq_ignore_ascii_case(&apex.wire)
    }

    /// Offsets of the labels in `wire`.
    fn starts(&self) -> impl Iterator<Item = usize> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let length = usize::from(self.wire[at]);
            let here = at;
            at += 1 + length;
            (length > 0).then_some(here)
        })
    }

    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Reads the name at `at` and returns the offset behind it. Pointers have to point before everything read so far,
    /// so that no message makes the reader go in circles.
    pub(crate) fn read(message: &[u8], at: usize) -> Result<(Name, usize), Malformed> {
        let mut builder = Builder::default();
        let (mut at, mut floor, mut end) = (at, at, None);
        loop {
            let length = *message.get(at).ok_or(Malformed)?;
            match length {
                0 => return Ok((builder.finish()?, end.unwrap_or(at + 1))),
                1..=63 => {
                    let label = message.get(at + 1..at + 1 + usize::from(length)).ok_or(Malformed)?;
                    builder.push(label)?;
                    at += 1 + label.len();
                }
                0xc0.. => {
                    let low = *message.get(at + 1).ok_or(Malformed)?;
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if target >= floor {
                        return Err(Malformed);
                    }
                    end.get_or_insert(at + 2);
                    (at, floor) = (target, target);
                }
                _ => return Err(Malformed),
            }
        }
    }
}

/// Collects labels within the bounds.
#[derive(Default)]
struct Builder {
    wire: Vec<u8>,
}

impl Builder {
    fn push(&mut self, label: &[u8]) -> Result<(), Malformed> {
        let length = u8::try_from(label.len()).map_err(|_| Malformed)?;
        let fits = self.wire.len() + label.len() + 2 <= MAX_NAME_BYTES;
        if label.is_empty() || label.len() > MAX_LABEL_BYTES || !fits {
            return Err(Malformed);
        }
        self.wire.push(length);
        self.wire.extend_from_slice(label);
        Ok(())
    }

    fn finish(mut self) -> Result<Name, Malformed> {
        self.wire.push(0);
        Ok(Name { wire: self.wire.into() })
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        // Lengths are below the letters, so folding case leaves them alone.
        self.wire.eq_ignore_ascii_case(&other.wire)
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.wire.iter().for_each(|byte| state.write_u8(byte.to_ascii_lowercase()));
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Name) -> Ordering {
        let folded = |name: &'_ Name| name.wire.to_ascii_lowercase();
        folded(self).cmp(&folded(other))
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Name {
    /// Without the final dot; bytes that are not printable as `\DDD`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return formatter.write_str(".");
        }
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                formatter.write_str(".")?;
            }
            for byte in label {
                match byte {
                    b'.' | b'\\' => write!(formatter, "\\{}", char::from(*byte))?,
                    byte if byte.is_ascii_graphic() => write!(formatter, "{}", char::from(*byte))?,
                    byte => write!(formatter, "\\{byte:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
