//! One archive entry after the other, onto the file system.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::Path,
};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};

use super::{
    UnpackError,
    attributes::{set_attributes, set_owner_and_time, times},
    root::{Components, DIRECTORY, Replaced, Root, components, name, set_opaque, stat},
};
use crate::{
    limits::Limits,
    tar::{Entry, Kind, TarReader},
};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Bookkeeping of AUFS, where whiteouts come from.
const AUFS: &[u8] = b".wh..wh.";

/// How much is written between two looks at the free space.
const SPACE_CHECK_BYTES: u64 = 64 << 20;
const COPY_BUFFER_BYTES: usize = 128 << 10;

pub(super) struct Summary {
    pub(super) entries: u64,
    pub(super) skipped_devices: u64,
    pub(super) implied_directories: BTreeSet<Vec<u8>>,
}

pub(super) struct Unpacker<'a> {
    root: Root,
    limits: &'a Limits,
    summary: Summary,
    /// Directory times, set last: creating what is in a directory changes them.
    directory_times: Vec<(Vec<u8>, (i64, u32))>,
    buffer: Box<[u8]>,
    unchecked_bytes: u64,
}

impl<'a> Unpacker<'a> {
    pub(super) fn open(root: &Path, discard: &Path, limits: &'a Limits) -> Result<Unpacker<'a>, UnpackError> {
        let root = Root::open(root, discard).map_err(failed("opening", b"/"))?;
        let unpacker = Unpacker {
            root,
            limits,
            summary: Summary { entries: 0, skipped_devices: 0, implied_directories: BTreeSet::new() },
            directory_times: Vec::new(),
            buffer: vec![0; COPY_BUFFER_BYTES].into_boxed_slice(),
            unchecked_bytes: 0,
        };
        unpacker.check_space()?;
        Ok(unpacker)
    }

    pub(super) fn apply<R: Read>(
        &mut self,
        entry: &Entry,
        archive: &mut TarReader<R>,
    ) -> Result<(), UnpackError> {
        count_entry(&mut self.summary.entries, self.limits)?;
        let parts = self.checked_components(&entry.path)?;
        let Some((leaf, parents)) = parts.split_last() else { return self.root_entry(entry) };
        if leaf.starts_with(WHITEOUT) {
            return self.whiteout(entry, leaf, parents);
        }
        if matches!(entry.kind, Kind::CharDevice | Kind::BlockDevice) {
            self.summary.skipped_devices += 1;
            tracing::debug!(path = %super::display(&entry.path), "device node left out of the layer");
            return Ok(());
        }
        let parent = self.parent(entry, parents)?;
        match entry.kind {
            Kind::File => self.file(entry, &parent, leaf, archive),
            Kind::Directory => self.directory(entry, &parent, leaf, &parts),
            Kind::Symlink => self.symlink(entry, &parent, leaf),
            Kind::HardLink => self.hard_link(entry, &parent, leaf, &parts),
            Kind::Fifo => self.fifo(entry, &parent, leaf),
            Kind::CharDevice | Kind::BlockDevice => Ok(()),
        }
    }

    /// Sets what had to wait and gives the counts.
    pub(super) fn finish(mut self) -> Result<Summary, UnpackError> {
        for (path, mtime) in std::mem::take(&mut self.directory_times) {
            let parts = components(&path).unwrap_or_default();
            let result = match parts.split_last() {
                None => fs::futimens(self.root.fd(), &times(mtime)).map_err(io::Error::from),
                Some((leaf, parents)) => self.root.directory(parents, |_| Ok(())).and_then(|parent| {
                    Ok(fs::utimensat(parent, name(leaf), &times(mtime), AtFlags::SYMLINK_NOFOLLOW)?)
                }),
            };
            match result {
                // A later entry put something else there.
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                other => other.map_err(failed("setting the time of", &path))?,
            }
        }
        Ok(self.summary)
    }

    fn checked_components<'p>(&self, path: &'p [u8]) -> Result<Components<'p>, UnpackError> {
        let parts = components(path).ok_or_else(|| {
            refused(path, "invalid path: it has a component \"..\" and could leave the layer")
        })?;
        if parts.len() > self.limits.max_path_depth {
            return Err(UnpackError::OverLimit {
                what: "the depth of a path in the layer",
                limit: self.limits.max_path_depth as u64,
            });
        }
        Ok(parts)
    }

    fn parent(&mut self, entry: &Entry, parents: &[&[u8]]) -> Result<OwnedFd, UnpackError> {
        let (summary, limits) = (&mut self.summary, self.limits);
        self.root
            .directory(parents, |made| {
                // Directories made on the way count as entries: a short archive could imply very many.
                count_entry(&mut summary.entries, limits).map_err(io::Error::other)?;
                summary.implied_directories.insert(made.to_vec());
                Ok(())
            })
            .and_then(|fd| fd.try_clone_to_owned())
            .map_err(failed("opening the directory of", &entry.path))
    }

    /// `./`: the layer's own top directory.
    fn root_entry(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        if entry.kind != Kind::Directory {
            return Err(refused(&entry.path, "invalid path: only a directory can stand for the root"));
        }
        let root = self.root.fd().try_clone_to_owned().map_err(failed("opening", &entry.path))?;
        set_attributes(entry, &root)?;
        self.directory_times.push((Vec::new(), entry.mtime));
        Ok(())
    }

    fn whiteout(&mut self, entry: &Entry, leaf: &[u8], parents: &[&[u8]]) -> Result<(), UnpackError> {
        if leaf == OPAQUE {
            let parent = self.parent(entry, parents)?;
            return set_opaque(&parent).map_err(failed("making opaque the directory of", &entry.path));
        }
        if leaf.starts_with(AUFS) {
            return Ok(());
        }
        let hidden = &leaf[WHITEOUT.len()..];
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(refused(&entry.path, "invalid whiteout name"));
        }
        let parent = self.parent(entry, parents)?;
        // A whiteout speaks of the layers below: what this layer itself has under the name stays.
        let doing = failed("whiting out", &entry.path);
        match stat(parent.as_fd(), hidden) {
            Err(e) => Err(doing(e)),
            Ok(None) => fs::mknodat(&parent, name(hidden), FileType::CharacterDevice, Mode::empty(), 0)
                .map_err(|e| doing(e.into())),
            Ok(Some(found)) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {
                let flags = DIRECTORY;
                fs::openat(&parent, name(hidden), flags, Mode::empty())
                    .map_err(io::Error::from)
                    .and_then(|fd| set_opaque(&fd))
                    .map_err(doing)
            }
            Ok(Some(_)) => Ok(()),
        }
    }

    fn file<R: Read>(
        &mut self,
        entry: &Entry,
        parent: &OwnedFd,
        leaf: &[u8],
        archive: &mut TarReader<R>,
    ) -> Result<(), UnpackError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Mostly the mode it stays with; set-id bits only once the owner is right.
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let create = || fs::openat(parent, name(leaf), flags, mode);
        let fd = self.create(entry, parent, leaf, create)?.0;
        let file = File::from(fd);
        let mut written = 0_u64;
        let mut buffer = std::mem::take(&mut self.buffer);
        let copied = archive.copy_data(&mut buffer, |offset, bytes| {
            file.write_all_at(bytes, offset).map_err(failed("writing", &entry.path))?;
            written = offset + bytes.len() as u64;
            self.wrote(bytes.len() as u64)
        });
        self.buffer = buffer;
        copied?;
        if written < entry.size {
            self.check_logical_size(entry)?;
            file.set_len(entry.size).map_err(failed("writing", &entry.path))?;
        }
        let fd = OwnedFd::from(file);
        set_attributes(entry, &fd)?;
        fs::futimens(&fd, &times(entry.mtime))
            .map_err(|e| failed("setting the time of", &entry.path)(e.into()))
    }

    fn directory(
        &mut self,
        entry: &Entry,
        parent: &OwnedFd,
        leaf: &[u8],
        parts: &[&[u8]],
    ) -> Result<(), UnpackError> {
        let doing = || failed("creating", &entry.path);
        let is_there = stat(parent.as_fd(), leaf)
            .map_err(doing())?
            .is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
        let mut replaced = None;
        if !is_there {
            let create = || fs::mkdirat(parent, name(leaf), Mode::from_raw_mode(0o700));
            replaced = self.create(entry, parent, leaf, create)?.1;
        }
        let fd = fs::openat(parent, name(leaf), DIRECTORY, Mode::empty()).map_err(|e| doing()(e.into()))?;
        if replaced == Some(Replaced::Whiteout) {
            set_opaque(&fd).map_err(doing())?;
        }
        set_attributes(entry, &fd)?;
        let path = parts.join(&b'/');
        self.summary.implied_directories.remove(&path);
        self.directory_times.push((path, entry.mtime));
        Ok(())
    }

    fn symlink(&mut self, entry: &Entry, parent: &OwnedFd, leaf: &[u8]) -> Result<(), UnpackError> {
        if entry.link.is_empty() {
            return Err(refused(&entry.path, "a symbolic link without a target"));
        }
        // The target is text that means something in the container only; nothing here ever follows it outward.
        let create = || fs::symlinkat(name(&entry.link), parent, name(leaf));
        self.create(entry, parent, leaf, create)?;
        set_owner_and_time(entry, parent, leaf)
    }

    fn fifo(&mut self, entry: &Entry, parent: &OwnedFd, leaf: &[u8]) -> Result<(), UnpackError> {
        let mode = Mode::from_raw_mode(entry.mode);
        let create = || fs::mknodat(parent, name(leaf), FileType::Fifo, mode, 0);
        self.create(entry, parent, leaf, create)?;
        set_owner_and_time(entry, parent, leaf)?;
        fs::chmodat(parent, name(leaf), mode, AtFlags::empty())
            .map_err(|e| failed("setting the mode of", &entry.path)(e.into()))
    }

    fn hard_link(
        &mut self,
        entry: &Entry,
        parent: &OwnedFd,
        leaf: &[u8],
        parts: &[&[u8]],
    ) -> Result<(), UnpackError> {
        let target = components(&entry.link)
            .ok_or_else(|| refused(&entry.path, "invalid hard link: its target could leave the layer"))?;
        if target == parts {
            return Ok(());
        }
        let Some((target_leaf, target_parents)) = target.split_last() else {
            return Err(refused(&entry.path, "invalid hard link: its target is the root"));
        };
        let source = self
            .root
            .resolve(&target_parents.join(&b'/'))
            .map_err(failed("opening the hard link target's directory of", &entry.path))?;
        let found = stat(source.as_fd(), target_leaf).map_err(failed("linking", &entry.path))?;
        match found.map(|s| FileType::from_raw_mode(s.st_mode)) {
            None => return Err(refused(&entry.path, "invalid hard link: its target is not in the layer")),
            Some(FileType::Directory) => {
                return Err(refused(&entry.path, "invalid hard link: its target is a directory"));
            }
            Some(_) => {}
        }
        // No flag to follow: a hard link to a symbolic link is one to the link itself.
        let create = || fs::linkat(&source, name(target_leaf), parent, name(leaf), AtFlags::empty());
        self.create(entry, parent, leaf, create)?;
        Ok(())
    }

    /// Creates with `create`, taking away what stood there when it says that something does.
    fn create<T>(
        &mut self,
        entry: &Entry,
        parent: &OwnedFd,
        leaf: &[u8],
        create: impl Fn() -> rustix::io::Result<T>,
    ) -> Result<(T, Option<Replaced>), UnpackError> {
        let doing = || failed("creating", &entry.path);
        match create() {
            Err(rustix::io::Errno::EXIST) => {
                let replaced = self.root.clear(parent, leaf).map_err(doing())?;
                create().map(|made| (made, replaced)).map_err(|e| doing()(e.into()))
            }
            other => other.map(|made| (made, None)).map_err(|e| doing()(e.into())),
        }
    }

    /// A sparse file costs nothing to store but is copied in full by many programs.
    fn check_logical_size(&self, entry: &Entry) -> Result<(), UnpackError> {
        if entry.size > self.limits.max_layer_bytes {
            return Err(UnpackError::OverLimit {
                what: "the size of a sparse file in the layer",
                limit: self.limits.max_layer_bytes,
            });
        }
        Ok(())
    }

    fn wrote(&mut self, bytes: u64) -> Result<(), UnpackError> {
        self.unchecked_bytes += bytes;
        if self.unchecked_bytes < SPACE_CHECK_BYTES {
            return Ok(());
        }
        self.unchecked_bytes = 0;
        self.check_space()
    }

    fn check_space(&self) -> Result<(), UnpackError> {
        let stat =
            fs::fstatvfs(self.root.fd()).map_err(|e| failed("asking for the space of", b"/")(e.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free < self.limits.keep_free_bytes {
            return Err(UnpackError::NoSpace { free, keep: self.limits.keep_free_bytes });
        }
        Ok(())
    }
}

fn count_entry(entries: &mut u64, limits: &Limits) -> Result<(), UnpackError> {
    *entries += 1;
    if *entries > limits.max_entries {
        return Err(UnpackError::OverLimit {
            what: "the number of entries of the layer",
            limit: limits.max_entries,
        });
    }
    Ok(())
}

pub(super) fn refused(path: &[u8], reason: &'static str) -> UnpackError {
    UnpackError::Entry { path: path.to_vec(), reason }
}

pub(super) fn failed(doing: &'static str, path: &[u8]) -> impl Fn(io::Error) -> UnpackError {
    move |error| match error.downcast::<UnpackError>() {
        Ok(ours) => ours,
        Err(source) => UnpackError::Io { doing, path: path.to_vec(), source: source.into() },
    }
}
