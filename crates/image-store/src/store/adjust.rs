//! Corrections for directories that a layer only implies.
//!
//! An archive may hold `tmp/x` without an entry for `tmp`. Unpacked on its own, the layer gets a `tmp` of root's with
//! mode 0755, and overlayfs, which shows a merged directory as its topmost layer has it, would turn the 1777 of the
//! layer below into that. Layers are shared and unpacked in parallel, so none can know what will be below it. Instead
//! an image that needs it gets one more layer on top: the affected directories alone, looking as the topmost layer
//! that has an entry for them says. Most images need none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    os::fd::OwnedFd,
    path::PathBuf,
};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, XattrFlags};

use super::{
    Inner,
    layer::{make_temp, publish},
    records::ImageRecord,
};
use crate::{digest::Digest, error::StoreError, unpack::Unpacked};

/// Implied directories looked at in one image: each costs a few system calls per layer. An image with more of them
/// keeps the usual directory attributes for the rest.
const MAX_DIRECTORIES: usize = 20_000;

/// Under which name an image's corrections are kept among the layers.
pub(super) fn id_of(manifest_digest: &Digest) -> Digest {
    Digest::of(format!("corrections of {manifest_digest}").as_bytes())
}

/// Builds the corrections of an image whose layers are present. None when it needs none.
pub(super) fn build(inner: &Inner, image: &ImageRecord) -> Result<Option<Digest>, StoreError> {
    let id = id_of(&image.manifest_digest);
    let (layers, implied) = {
        let state = inner.state();
        if state.layers.contains_key(&id) {
            return Ok(Some(id));
        }
        // Topmost first, as the question is asked.
        let records = image.parsed.diff_ids.iter().rev().filter_map(|id| state.layers.get(id));
        let mut implied: Vec<BTreeSet<Vec<u8>>> = Vec::new();
        let mut layers: Vec<PathBuf> = Vec::new();
        for record in records {
            implied.push(record.implied_directories.iter().filter_map(|p| hex::decode(p).ok()).collect());
            layers.push(record.layer(&inner.paths).path);
        }
        (layers, implied)
    };
    // The lowest layer has nothing below that could say otherwise.
    let above_lowest = implied.len().saturating_sub(1);
    if implied[..above_lowest].iter().all(BTreeSet::is_empty) {
        return Ok(None);
    }
    let failed = StoreError::io("correcting directories of an image in", &inner.paths.root);
    let stack = match Stack::open(&layers, implied) {
        Ok(stack) => stack,
        Err(e) => return Err(failed(e)),
    };
    let wanted = stack.corrections().map_err(StoreError::io("reading the layers of", &inner.paths.root))?;
    if wanted.is_empty() {
        return Ok(None);
    }
    let temporary = make_temp(inner)?;
    stack.copy(&wanted, &temporary.path.join("root")).map_err(failed)?;
    let unpacked = Unpacked {
        diff_id: id.clone(),
        archive_bytes: 0,
        entries: wanted.len() as u64,
        skipped_devices: 0,
        implied_directories: BTreeSet::new(),
    };
    publish(inner, temporary, &unpacked)?;
    Ok(Some(id))
}

/// What one layer says about a path.
enum Look {
    /// Nothing; lower layers decide.
    Absent,
    /// There is no such directory from here downwards.
    Hidden,
    Directory {
        is_implied: bool,
        /// Lower layers do not show through.
        is_opaque: bool,
    },
}

/// The layers of an image, topmost first.
struct Stack {
    roots: Vec<OwnedFd>,
    implied: Vec<BTreeSet<Vec<u8>>>,
}

impl Stack {
    fn open(layers: &[PathBuf], implied: Vec<BTreeSet<Vec<u8>>>) -> io::Result<Stack> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let roots = layers.iter().map(|path| Ok(fs::open(path, flags, Mode::empty())?));
        Ok(Stack { roots: roots.collect::<io::Result<_>>()?, implied })
    }

    /// The directories to correct, with the layer to take each from; their parents included, since those come to
    /// lie on top as well.
    fn corrections(&self) -> io::Result<BTreeMap<Vec<u8>, usize>> {
        let paths: BTreeSet<&Vec<u8>> = self.implied.iter().flatten().take(MAX_DIRECTORIES).collect();
        let mut wanted = BTreeMap::new();
        for path in paths {
            let Some((top, model)) = self.model_of(path)? else { continue };
            if top == model {
                continue;
            }
            wanted.insert(path.clone(), model);
            for (index, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/') {
                let parent = &path[..index];
                if let Some((_, model)) = self.model_of(parent)? {
                    wanted.insert(parent.to_vec(), model);
                }
            }
        }
        Ok(wanted)
    }

    /// The topmost layer that shows `path` as a directory, and the topmost that has an entry for it (the same when
    /// none below has one).
    fn model_of(&self, path: &[u8]) -> io::Result<Option<(usize, usize)>> {
        let mut top = None;
        for layer in 0..self.roots.len() {
            match self.look(layer, path)? {
                Look::Absent => {}
                Look::Hidden => break,
                Look::Directory { is_implied: false, .. } => {
                    return Ok(Some((top.unwrap_or(layer), layer)));
                }
                Look::Directory { is_opaque, .. } => {
                    top = top.or(Some(layer));
                    if is_opaque {
                        break;
                    }
                }
            }
        }
        Ok(top.map(|layer| (layer, layer)))
    }

    fn look(&self, layer: usize, path: &[u8]) -> io::Result<Look> {
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(i, _)| i).chain([path.len()]);
        let mut is_opaque = false;
        for end in ends {
            let prefix = &path[..end];
            match self.open_at(layer, prefix) {
                Ok(directory) => {
                    let mut value = [0; 1];
                    is_opaque |=
                        fs::fgetxattr(&directory, "trusted.overlay.opaque", &mut value).is_ok_and(|n| n > 0);
                }
                Err(rustix::io::Errno::NOENT) if is_opaque => return Ok(Look::Hidden),
                Err(rustix::io::Errno::NOENT) => return Ok(Look::Absent),
                // A whiteout, a link, a file: what lies below is not to be seen through it.
                Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => return Ok(Look::Hidden),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(Look::Directory { is_implied: self.implied[layer].contains(path), is_opaque })
    }

    fn open_at(&self, layer: usize, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        fs::openat2(&self.roots[layer], path, flags, Mode::empty(), resolve)
    }

    /// Makes the directories of `wanted` under `target`, looking as their models. Parents sort before children.
    fn copy(&self, wanted: &BTreeMap<Vec<u8>, usize>, target: &std::path::Path) -> io::Result<()> {
        let root = OwnedFd::from(File::open(target)?);
        // The layer's own top directory stands for all others' now.
        if let Some(top) = self.roots.first() {
            copy_attributes(top, &root)?;
        }
        for (path, layer) in wanted {
            fs::mkdirat(&root, path.as_slice(), Mode::from_raw_mode(0o700))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let made = fs::openat(&root, path.as_slice(), flags, Mode::empty())?;
            copy_attributes(&self.open_at(*layer, path)?, &made)?;
        }
        for (path, layer) in wanted.iter().rev() {
            let stat = fs::fstat(self.open_at(*layer, path)?)?;
            fs::utimensat(&root, path.as_slice(), &times(&stat), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }
}

fn copy_attributes(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    let stat = fs::fstat(from)?;
    debug_assert_eq!(FileType::from_raw_mode(stat.st_mode), FileType::Directory);
    let (uid, gid) = (fs::Uid::from_raw(stat.st_uid), fs::Gid::from_raw(stat.st_gid));
    fs::fchown(to, Some(uid), Some(gid))?;
    fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    for attribute in ["system.posix_acl_access", "system.posix_acl_default"] {
        // As long as the largest attribute a file system takes.
        let mut value = vec![0; 65_536];
        if let Ok(length) = fs::fgetxattr(from, attribute, &mut value) {
            fs::fsetxattr(to, attribute, &value[..length], XattrFlags::empty())?;
        }
    }
    Ok(())
}

fn times(stat: &fs::Stat) -> Timestamps {
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as i64 };
    Timestamps { last_access: time, last_modification: time }
}
