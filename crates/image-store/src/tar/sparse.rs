//! Sparse files: where the stored bytes belong in the file.

use std::io::Read;

use super::{
    TarError,
    header::{BLOCK, Header, non_negative},
    pax::Records,
    read_block,
};

/// Segments of one sparse file: 16 bytes each in memory, so 1 MiB at most; far above what tar programs write.
const MAX_SEGMENTS: usize = 65_536;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) length: u64,
}

pub(super) struct Map {
    pub(super) real_size: u64,
    pub(super) segments: Vec<Segment>,
}

/// Where the blocks of a map stored in front of the data come from.
pub(super) trait Source {
    fn block(&mut self) -> Result<[u8; BLOCK], TarError>;
}

impl Map {
    /// Segments ascend without overlap inside the file, and use exactly the stored bytes.
    pub(super) fn check(&self, stored: u64) -> Result<(), TarError> {
        let mut position = 0_u64;
        let mut used = 0_u64;
        for segment in &self.segments {
            let end = segment.offset.checked_add(segment.length);
            match end {
                Some(end) if segment.offset >= position && end <= self.real_size => position = end,
                _ => return Err(TarError::Malformed("a sparse map out of order or range")),
            }
            used += segment.length;
        }
        if used != stored {
            return Err(TarError::Malformed("a sparse map that does not use the stored data"));
        }
        Ok(())
    }
}

/// GNU's old form: four segments in the header, more in extension blocks that follow it.
pub(super) fn old_gnu(header: &Header, input: &mut impl Read) -> Result<Map, TarError> {
    let mut segments = Vec::new();
    push_segments(&mut segments, &header.block[386..482])?;
    let mut is_extended = header.block[482] != 0;
    while is_extended {
        let mut block = [0; BLOCK];
        if !read_block(input, &mut block)? {
            return Err(TarError::Malformed("a sparse map cut short"));
        }
        push_segments(&mut segments, &block[..504])?;
        is_extended = block[504] != 0;
    }
    Ok(Map { real_size: non_negative(&header.block[483..495])?, segments })
}

fn push_segments(segments: &mut Vec<Segment>, fields: &[u8]) -> Result<(), TarError> {
    for field in fields.chunks_exact(24) {
        if field[0] == 0 || field[12] == 0 {
            break;
        }
        push(segments, non_negative(&field[..12])?, non_negative(&field[12..])?)?;
    }
    Ok(())
}

/// Pax 1.0: decimal lines at the start of the data (the count, then offset and length in turn), filled to a block.
pub(super) fn version_1(source: &mut impl Source, real_size: u64) -> Result<Map, TarError> {
    let mut lines = Lines { source, block: [0; BLOCK], position: BLOCK };
    let count = lines.number()?;
    if count > MAX_SEGMENTS as u64 {
        return Err(TarError::TooLong { what: "a sparse map", limit: MAX_SEGMENTS as u64 });
    }
    let mut segments = Vec::new();
    for _ in 0..count {
        let (offset, length) = (lines.number()?, lines.number()?);
        push(&mut segments, offset, length)?;
    }
    Ok(Map { real_size, segments })
}

/// Pax 0.0 and 0.1: the map is in the records.
pub(super) fn from_records(records: &Records) -> Result<Map, TarError> {
    let real_size = records.sparse_real_size.ok_or(TarError::Malformed("a sparse file without its size"))?;
    let mut segments = Vec::new();
    for pair in records.sparse_map.chunks_exact(2) {
        push(&mut segments, pair[0], pair[1])?;
    }
    Ok(Map { real_size, segments })
}

fn push(segments: &mut Vec<Segment>, offset: u64, length: u64) -> Result<(), TarError> {
    if segments.len() >= MAX_SEGMENTS {
        return Err(TarError::TooLong { what: "a sparse map", limit: MAX_SEGMENTS as u64 });
    }
    if length > 0 {
        segments.push(Segment { offset, length });
    }
    Ok(())
}

struct Lines<'a, S> {
    source: &'a mut S,
    block: [u8; BLOCK],
    position: usize,
}

impl<S: Source> Lines<'_, S> {
    fn number(&mut self) -> Result<u64, TarError> {
        let mut value = 0_u64;
        let mut digits = 0;
        loop {
            if self.position == BLOCK {
                self.block = self.source.block()?;
                self.position = 0;
            }
            let byte = self.block[self.position];
            self.position += 1;
            match byte {
                b'0'..=b'9' if digits < 19 => {
                    value = value * 10 + u64::from(byte - b'0');
                    digits += 1;
                }
                b'\n' if digits > 0 => return Ok(value),
                _ => return Err(TarError::Malformed("a sparse map that is none")),
            }
        }
    }
}
