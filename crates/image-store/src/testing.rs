//! Archives for tests, bit by bit: library writers refuse to write what the tests are about.

use crate::tar::Kind;

/// One entry to write. Start from [`Member::file`] and its siblings and change what the test needs.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) type_flag: u8,
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: u64,
    pub(crate) content: Vec<u8>,
    /// Pax records written in front.
    pub(crate) records: Vec<(String, Vec<u8>)>,
}

impl Member {
    pub(crate) fn new(kind: Kind, path: &str) -> Member {
        let type_flag = match kind {
            Kind::File => b'0',
            Kind::HardLink => b'1',
            Kind::Symlink => b'2',
            Kind::CharDevice => b'3',
            Kind::BlockDevice => b'4',
            Kind::Directory => b'5',
            Kind::Fifo => b'6',
        };
        let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
        Member {
            type_flag,
            path: path.into(),
            link: Vec::new(),
            mode,
            owner: (0, 0),
            mtime: 1_700_000_000,
            content: Vec::new(),
            records: Vec::new(),
        }
    }

    pub(crate) fn file(path: &str, content: &[u8]) -> Member {
        Member { content: content.to_vec(), ..Member::new(Kind::File, path) }
    }

    pub(crate) fn directory(path: &str) -> Member {
        Member::new(Kind::Directory, path)
    }

    pub(crate) fn symlink(path: &str, target: &str) -> Member {
        Member { link: target.into(), ..Member::new(Kind::Symlink, path) }
    }

    pub(crate) fn hard_link(path: &str, target: &str) -> Member {
        Member { link: target.into(), ..Member::new(Kind::HardLink, path) }
    }

    pub(crate) fn record(mut self, key: &str, value: impl AsRef<[u8]>) -> Member {
        self.records.push((key.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn write(&self, archive: &mut Vec<u8>) {
        let mut records = self.records.clone();
        if self.path.len() > 100 {
            records.push(("path".to_owned(), self.path.clone()));
        }
        if self.link.len() > 100 {
            records.push(("linkpath".to_owned(), self.link.clone()));
        }
        if !records.is_empty() {
            let body: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
            block(archive, b'x', b"pax", b"", 0o644, (0, 0), 0, &body);
        }
        let name = &self.path[..self.path.len().min(100)];
        let link = &self.link[..self.link.len().min(100)];
        block(archive, self.type_flag, name, link, self.mode, self.owner, self.mtime, &self.content);
    }
}

/// The archive of `members`, ended as it should be.
pub(crate) fn archive(members: &[Member]) -> Vec<u8> {
    let mut bytes = Vec::new();
    members.iter().for_each(|m| m.write(&mut bytes));
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// A pax record with its own length in front, which counts itself.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat()
}

/// A header block and its data, filled to whole blocks.
#[allow(clippy::too_many_arguments, reason = "the fields of a tar header")]
pub(crate) fn block(
    archive: &mut Vec<u8>,
    type_flag: u8,
    name: &[u8],
    link: &[u8],
    mode: u32,
    (uid, gid): (u32, u32),
    mtime: u64,
    content: &[u8],
) {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name);
    header[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
    header[108..116].copy_from_slice(format!("{uid:07o}\0").as_bytes());
    header[116..124].copy_from_slice(format!("{gid:07o}\0").as_bytes());
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[136..148].copy_from_slice(format!("{mtime:011o}\0").as_bytes());
    header[156] = type_flag;
    header[157..157 + link.len()].copy_from_slice(link);
    header[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut header);
    archive.extend_from_slice(&header);
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

/// Writes the checksum that fits the rest of `header`.
pub(crate) fn seal(header: &mut [u8; 512]) {
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
