//! A reader of tar archives for bytes nobody vouches for.
//!
//! Streams entries from any [`Read`]; understands v7, ustar, pax (names, sizes, times, ids, extended attributes),
//! GNU long names, GNU base-256 numbers, and sparse files in both GNU's old and pax's forms. Everything that is
//! gathered before an entry is handed out is bounded: that is why this is not a general tar library, whose long
//! names and pax records are read whole into memory whatever length they claim.
//!
//! It decides nothing about paths: what is safe to create is the unpacker's business. Checksums, digits and record
//! lengths are verified; damage is an error that says where, never a guess.

mod header;
mod pax;
mod sparse;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

use header::{BLOCK, Header};
use pax::Records;
use sparse::Segment;

/// What an archive may be refused for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TarError {
    #[error("archive/tar: invalid tar header: {0}")]
    Malformed(&'static str),
    #[error("archive/tar: {what} is longer than {limit} bytes")]
    TooLong { what: &'static str, limit: u64 },
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One member of an archive, names and numbers as the archive gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) path: Vec<u8>,
    /// Target of a link; empty otherwise.
    pub(crate) link: Vec<u8>,
    /// Permission bits, set-id and sticky bits included.
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Seconds and nanoseconds since the epoch.
    pub(crate) mtime: (i64, u32),
    /// Length of the file's content, holes included.
    pub(crate) size: u64,
    /// Attribute names and values, in the archive's order.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Bounds on what is gathered in memory for one entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) max_name_bytes: u64,
    pub(crate) max_extended_header_bytes: u64,
}

pub(crate) struct TarReader<R> {
    input: R,
    bounds: Bounds,
    /// Bytes of the current entry's stored data not read yet.
    remaining: u64,
    /// Zero bytes after the stored data, up to the next block.
    padding: u64,
    /// Where the stored data goes in a sparse file, and the position within the file; none when it is not sparse.
    segments: Option<Vec<Segment>>,
    ended: bool,
}

impl<R: Read> TarReader<R> {
    pub(crate) fn new(input: R, bounds: Bounds) -> TarReader<R> {
        TarReader { input, bounds, remaining: 0, padding: 0, segments: None, ended: false }
    }

    /// The next entry, after skipping what was left of the one before. None at the end of the archive.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut records = Records::default();
        let mut long_name: Option<Vec<u8>> = None;
        let mut long_link: Option<Vec<u8>> = None;
        loop {
            self.skip_rest()?;
            let Some(header) = self.read_header()? else {
                let dangling = !records.is_empty() || long_name.is_some() || long_link.is_some();
                return if dangling {
                    Err(TarError::Malformed("it ends after an extended header"))
                } else {
                    Ok(None)
                };
            };
            match header.type_flag() {
                b'x' => records = pax::parse(&self.read_extended(&header)?)?,
                // Global records (a commit id, mostly) apply to nothing that an image layer needs.
                b'g' => drop(self.read_extended(&header)?),
                b'L' => long_name = Some(self.read_long(&header)?),
                b'K' => long_link = Some(self.read_long(&header)?),
                // A volume label; multi-volume archives are no layers.
                b'V' => self.start_data(header.size()?)?,
                b'M' => return Err(TarError::Malformed("multi-volume archives are not supported")),
                _ => return self.entry(&header, records, long_name, long_link).map(Some),
            }
        }
    }

    /// Ends the archive: gives back the input, of which trailing blocks may be unread.
    pub(crate) fn into_inner(self) -> R {
        self.input
    }

    /// Hands the current file's content, in order and without its holes, to `sink` as (offset, bytes).
    pub(crate) fn copy_data<E: From<TarError>>(
        &mut self,
        buffer: &mut [u8],
        mut sink: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.segments.take() {
            None => self.copy_run(0, self.remaining, buffer, &mut sink),
            Some(segments) => {
                for segment in segments {
                    self.copy_run(segment.offset, segment.length, buffer, &mut sink)?;
                }
                Ok(())
            }
        }
    }

    fn copy_run<E: From<TarError>>(
        &mut self,
        mut offset: u64,
        mut left: u64,
        buffer: &mut [u8],
        sink: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while left > 0 {
            let want = usize::try_from(left.min(buffer.len() as u64)).unwrap_or(buffer.len());
            let got = self.read_some(&mut buffer[..want])?;
            sink(offset, &buffer[..got])?;
            offset += got as u64;
            left -= got as u64;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        header: &Header,
        mut records: Records,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry, TarError> {
        let mut path = records.path.take().or(long_name).unwrap_or_else(|| header.path());
        let link = records.link_path.take().or(long_link).unwrap_or_else(|| header.link());
        let kind = kind_of(header.type_flag(), &path)?;
        // Only plain files have data. Others may claim a size (old writers give a hard link its target's).
        let stored = match kind {
            Kind::File => match records.size {
                Some(size) => size,
                None => header.size()?,
            },
            _ => 0,
        };
        self.start_data(stored)?;
        let mut size = stored;
        if kind == Kind::File {
            let map = if header.type_flag() == b'S' {
                Some(sparse::old_gnu(header, &mut self.input)?)
            } else {
                self.pax_sparse_map(&records)?
            };
            if let Some(map) = map {
                size = map.real_size;
                map.check(self.remaining)?;
                self.segments = Some(map.segments);
                if let Some(name) = records.sparse_name.take() {
                    path = name;
                }
            }
        }
        check_name("a path", &path, self.bounds.max_name_bytes)?;
        check_name("a link target", &link, self.bounds.max_name_bytes)?;
        Ok(Entry {
            kind,
            path,
            link,
            mode: header.mode()? & 0o7777,
            uid: match records.uid {
                Some(uid) => uid,
                None => header.uid()?,
            },
            gid: match records.gid {
                Some(gid) => gid,
                None => header.gid()?,
            },
            mtime: match records.mtime {
                Some(mtime) => mtime,
                None => (header.mtime()?, 0),
            },
            size,
            xattrs: records.xattrs,
        })
    }

    /// The map of a sparse file in one of pax's forms; version 1.0 keeps it in front of the data.
    fn pax_sparse_map(&mut self, records: &Records) -> Result<Option<sparse::Map>, TarError> {
        if !records.is_sparse() {
            return Ok(None);
        }
        if records.sparse_major == Some(1) {
            let real_size =
                records.sparse_real_size.ok_or(TarError::Malformed("a sparse file without its size"))?;
            let mut source = DataSource { reader: self };
            return sparse::version_1(&mut source, real_size).map(Some);
        }
        sparse::from_records(records).map(Some)
    }

    fn start_data(&mut self, size: u64) -> Result<(), TarError> {
        // A size near u64::MAX would overflow the sum of blocks; no medium holds it.
        if size > i64::MAX as u64 - BLOCK as u64 {
            return Err(TarError::Malformed("a size out of range"));
        }
        self.remaining = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        self.segments = None;
        Ok(())
    }

    fn read_header(&mut self) -> Result<Option<Header>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        if !read_block(&mut self.input, &mut block)? || is_zero(&block) {
            // One zero block ends an archive as well as two: writers disagree, and no entry starts with one.
            self.ended = true;
            return Ok(None);
        }
        Header::parse(block).map(Some)
    }

    fn read_extended(&mut self, header: &Header) -> Result<Vec<u8>, TarError> {
        self.read_bounded(header, "an extended header", self.bounds.max_extended_header_bytes)
    }

    fn read_long(&mut self, header: &Header) -> Result<Vec<u8>, TarError> {
        let mut name = self.read_bounded(header, "a long name", self.bounds.max_name_bytes + 1)?;
        if let Some(end) = name.iter().position(|b| *b == 0) {
            name.truncate(end);
        }
        Ok(name)
    }

    fn read_bounded(&mut self, header: &Header, what: &'static str, limit: u64) -> Result<Vec<u8>, TarError> {
        let size = header.size()?;
        if size > limit {
            return Err(TarError::TooLong { what, limit });
        }
        self.start_data(size)?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += self.read_some(&mut bytes[filled..])?;
        }
        Ok(bytes)
    }

    /// Reads at least one byte of the current data; the end of the input inside data is an error.
    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let want = usize::try_from(self.remaining.min(buffer.len() as u64)).unwrap_or(buffer.len());
        if want == 0 {
            return Err(TarError::Malformed("less data than its size says"));
        }
        let got = read_retrying(&mut self.input, &mut buffer[..want])?;
        if got == 0 {
            return Err(TarError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        self.remaining -= got as u64;
        Ok(got)
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        let mut scratch = [0; 8192];
        while self.remaining > 0 {
            self.read_some(&mut scratch)?;
        }
        let padding = std::mem::take(&mut self.padding);
        let padding = usize::try_from(padding).unwrap_or(0);
        read_exactly(&mut self.input, &mut scratch[..padding])
    }
}

/// The current entry's data as a plain reader, for a sparse map stored in it.
struct DataSource<'a, R> {
    reader: &'a mut TarReader<R>,
}

impl<R: Read> sparse::Source for DataSource<'_, R> {
    fn block(&mut self) -> Result<[u8; BLOCK], TarError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            filled += self.reader.read_some(&mut block[filled..])?;
        }
        Ok(block)
    }
}

fn kind_of(type_flag: u8, path: &[u8]) -> Result<Kind, TarError> {
    Ok(match type_flag {
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' | b'D' => Kind::Directory,
        b'6' => Kind::Fifo,
        // v7 had no directories: a name that ends in a slash is one.
        b'0' | 0 if path.ends_with(b"/") => Kind::Directory,
        b'0' | 0 | b'7' | b'S' => Kind::File,
        _ => return Err(TarError::Malformed("an unknown entry type")),
    })
}

fn check_name(what: &'static str, name: &[u8], limit: u64) -> Result<(), TarError> {
    if name.len() as u64 > limit {
        return Err(TarError::TooLong { what, limit });
    }
    if name.contains(&0) {
        return Err(TarError::Malformed("a name with a zero byte"));
    }
    Ok(())
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|b| *b == 0)
}

/// Fills `block`; false when the input ends before its first byte.
fn read_block(input: &mut impl Read, block: &mut [u8; BLOCK]) -> Result<bool, TarError> {
    let mut filled = 0;
    while filled < BLOCK {
        match read_retrying(input, &mut block[filled..])? {
            0 if filled == 0 => return Ok(false),
            0 => return Err(TarError::Io(io::ErrorKind::UnexpectedEof.into())),
            got => filled += got,
        }
    }
    Ok(true)
}

fn read_exactly(input: &mut impl Read, buffer: &mut [u8]) -> Result<(), TarError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_retrying(input, &mut buffer[filled..])? {
            0 => return Err(TarError::Io(io::ErrorKind::UnexpectedEof.into())),
            got => filled += got,
        }
    }
    Ok(())
}

fn read_retrying(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
