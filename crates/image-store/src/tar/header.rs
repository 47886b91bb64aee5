//! The 512-byte header block: fields, numbers, checksum.

use super::TarError;

pub(super) const BLOCK: usize = 512;

pub(super) struct Header {
    pub(super) block: [u8; BLOCK],
}

impl Header {
    /// Checks the checksum; the fields are read when asked for.
    pub(super) fn parse(block: [u8; BLOCK]) -> Result<Header, TarError> {
        let header = Header { block };
        let stated = number(&header.block[148..156])?;
        // Some historic writers summed signed bytes.
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (index, byte) in header.block.iter().enumerate() {
            let byte = if (148..156).contains(&index) { b' ' } else { *byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte as i8);
        }
        if stated != unsigned && stated != signed {
            return Err(TarError::Malformed("a wrong checksum"));
        }
        Ok(header)
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.block[156]
    }

    /// The name field, behind the prefix field where the header is ustar's.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.block[0..100]);
        let is_ustar = &self.block[257..263] == b"ustar\0";
        let prefix = if is_ustar { text(&self.block[345..500]) } else { &[] };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.block[157..257]).to_vec()
    }

    pub(super) fn mode(&self) -> Result<u32, TarError> {
        Ok((number(&self.block[100..108])? & 0o7777) as u32)
    }

    pub(super) fn uid(&self) -> Result<u64, TarError> {
        non_negative(&self.block[108..116])
    }

    pub(super) fn gid(&self) -> Result<u64, TarError> {
        non_negative(&self.block[116..124])
    }

    pub(super) fn size(&self) -> Result<u64, TarError> {
        non_negative(&self.block[124..136])
    }

    pub(super) fn mtime(&self) -> Result<i64, TarError> {
        number(&self.block[136..148])
    }
}

/// A field's bytes up to its first zero.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    &field[..end]
}

pub(super) fn non_negative(field: &[u8]) -> Result<u64, TarError> {
    u64::try_from(number(field)?).map_err(|_| TarError::Malformed("a negative number"))
}

/// Octal digits between optional spaces and zeros, or GNU's base-256 (top bit set, two's complement).
pub(super) fn number(field: &[u8]) -> Result<i64, TarError> {
    if field[0] & 0x80 != 0 {
        return base_256(field);
    }
    let is_filler = |b: &u8| *b == b' ' || *b == 0;
    let start = field.iter().position(|b| !is_filler(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(is_filler).unwrap_or(digits.len());
    if !digits[end..].iter().all(is_filler) {
        return Err(TarError::Malformed("a number followed by something else"));
    }
    digits[..end].iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value
            .checked_mul(8)
            .map(|v| v + i64::from(digit - b'0'))
            .ok_or(TarError::Malformed("a number out of range")),
        _ => Err(TarError::Malformed("a number that is not octal")),
    })
}

fn base_256(field: &[u8]) -> Result<i64, TarError> {
    let is_negative = field[0] & 0x40 != 0;
    // The marker bit is dropped and the sign extended into it.
    let first = if is_negative { field[0] | 0x80 } else { field[0] & 0x7f };
    let mut value: i128 = if is_negative { -1 } else { 0 };
    for byte in std::iter::once(first).chain(field[1..].iter().copied()) {
        value = (value << 8) | i128::from(byte);
        if i64::try_from(value).is_err() {
            return Err(TarError::Malformed("a number out of range"));
        }
    }
    Ok(value as i64)
}
