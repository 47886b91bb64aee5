//! The layer's directory as the only place there is.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, XattrFlags};

/// A path split into its components: no empty ones, no `.`, no `..`.
pub(super) type Components<'a> = Vec<&'a [u8]>;

pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// Splits a name from an archive. None when it has a `..` component: no writer of layers produces one, and every
/// meaning it could be given has been somebody's way out.
pub(super) fn components(path: &[u8]) -> Option<Components<'_>> {
    let parts: Components<'_> =
        path.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    (!parts.contains(&b"..".as_slice())).then_some(parts)
}

pub(super) fn name(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

pub(super) struct Root {
    root: OwnedFd,
    /// Where directories that a later entry replaces are moved to.
    discard: OwnedFd,
    discarded: u64,
    /// The directory that the entry before was in: archives list a directory's members together.
    cached: Option<(Vec<u8>, OwnedFd)>,
}

/// What an entry found in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replaced {
    Whiteout,
    Other,
}

impl Root {
    pub(super) fn open(root: &Path, discard: &Path) -> io::Result<Root> {
        Ok(Root {
            root: fs::open(root, DIRECTORY, Mode::empty())?,
            discard: fs::open(discard, DIRECTORY, Mode::empty())?,
            discarded: 0,
            cached: None,
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens the directory at `parts`, making the missing ones (root's, 0755); `made` hears of each of those.
    pub(super) fn directory(
        &mut self,
        parts: &[&[u8]],
        mut made: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<BorrowedFd<'_>> {
        let path = parts.join(&b'/');
        let hit = self.cached.as_ref().is_some_and(|(cached, _)| *cached == path);
        if !hit {
            let opened = match self.resolve(&path) {
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    self.make(parts, &mut made)?
                }
                other => other?,
            };
            self.cached = Some((path, opened));
        }
        match &self.cached {
            Some((_, fd)) => Ok(fd.as_fd()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Opens an existing directory inside the root; symbolic links on the way stay inside it.
    pub(super) fn resolve(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { b".".as_slice() } else { path };
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        loop {
            match fs::openat2(&self.root, name(path), flags, Mode::empty(), inside) {
                // The kernel could not rule out a rename race; asking again is what its manual says.
                Err(rustix::io::Errno::AGAIN) => {}
                other => return Ok(other?),
            }
        }
    }

    fn make(&self, parts: &[&[u8]], made: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<OwnedFd> {
        let mut current = self.resolve(b"")?;
        for end in 1..=parts.len() {
            let (path, leaf) = (parts[..end].join(&b'/'), parts[end - 1]);
            current = match self.resolve(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    let fd = make_directory(&current, leaf)?;
                    made(&path)?;
                    fd
                }
                // The archive hid the name below, and now has a directory of its own under it.
                Err(e) if e.kind() == io::ErrorKind::NotADirectory && is_whiteout(&current, leaf)? => {
                    fs::unlinkat(&current, name(leaf), AtFlags::empty())?;
                    let fd = make_directory(&current, leaf)?;
                    set_opaque(&fd)?;
                    made(&path)?;
                    fd
                }
                other => other?,
            };
        }
        Ok(current)
    }

    /// Takes away what stands at `leaf` in `parent`, if anything: files are unlinked, directories moved away whole.
    pub(super) fn clear(&mut self, parent: &OwnedFd, leaf: &[u8]) -> io::Result<Option<Replaced>> {
        let Some(stat) = stat(parent.as_fd(), leaf)? else { return Ok(None) };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                self.cached = None;
                self.discarded += 1;
                fs::renameat(parent, name(leaf), &self.discard, self.discarded.to_string())?;
            }
            kind => {
                if kind == FileType::Symlink {
                    self.cached = None;
                }
                fs::unlinkat(parent, name(leaf), AtFlags::empty())?;
                if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
                    return Ok(Some(Replaced::Whiteout));
                }
            }
        }
        Ok(Some(Replaced::Other))
    }
}

/// Fails with EEXIST where a dangling link stands: it is not to be made true.
fn make_directory(parent: &OwnedFd, leaf: &[u8]) -> io::Result<OwnedFd> {
    fs::mkdirat(parent, name(leaf), Mode::from_raw_mode(0o755))?;
    let fd = fs::openat(parent, name(leaf), DIRECTORY, Mode::empty())?;
    fs::fchmod(&fd, Mode::from_raw_mode(0o755))?;
    Ok(fd)
}

/// Devices are never unpacked, so a character device is a whiteout that this layer has made.
fn is_whiteout(parent: &OwnedFd, leaf: &[u8]) -> io::Result<bool> {
    let found = stat(parent.as_fd(), leaf)?;
    Ok(found
        .is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::CharacterDevice && s.st_rdev == 0))
}

/// Makes overlayfs show nothing of what lower layers have in `directory`.
pub(super) fn set_opaque(directory: &OwnedFd) -> io::Result<()> {
    Ok(fs::fsetxattr(directory, "trusted.overlay.opaque", b"y", XattrFlags::empty())?)
}

/// What is at `leaf` itself, not behind it; none when nothing is.
pub(super) fn stat(parent: BorrowedFd<'_>, leaf: &[u8]) -> io::Result<Option<fs::Stat>> {
    match fs::statat(parent, name(leaf), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
