//! Owner, mode, extended attributes and times of what has been created.

use std::os::fd::OwnedFd;

use rustix::fs::{self, AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

use super::{
    UnpackError,
    entries::{failed, refused},
    root::name,
};
use crate::tar::Entry;

/// Owner, mode and extended attributes of an open file or directory. The owner first: changing it clears set-id bits
/// and capabilities. What is right already is not set again: each change is one in the file system's journal.
pub(super) fn set_attributes(entry: &Entry, fd: &OwnedFd) -> Result<(), UnpackError> {
    let (uid, gid) = owner(entry)?;
    let stat = fs::fstat(fd).map_err(|e| failed("looking at", &entry.path)(e.into()))?;
    let is_owner_right = stat.st_uid == uid.as_raw() && stat.st_gid == gid.as_raw();
    if !is_owner_right {
        fs::fchown(fd, Some(uid), Some(gid))
            .map_err(|e| failed("setting the owner of", &entry.path)(e.into()))?;
    }
    if !is_owner_right || stat.st_mode & 0o7777 != entry.mode {
        fs::fchmod(fd, Mode::from_raw_mode(entry.mode))
            .map_err(|e| failed("setting the mode of", &entry.path)(e.into()))?;
    }
    for (attribute, value) in entry.xattrs.iter().filter(|(attribute, _)| is_kept(attribute)) {
        match fs::fsetxattr(fd, name(attribute), value, XattrFlags::empty()) {
            // The file system keeps no such attributes; the other runtimes go on without them too.
            Err(rustix::io::Errno::NOTSUP) => {}
            other => {
                other.map_err(|e| failed("setting an extended attribute of", &entry.path)(e.into()))?;
            }
        }
    }
    Ok(())
}

/// Owner and time of what cannot be opened: links, pipes.
pub(super) fn set_owner_and_time(entry: &Entry, parent: &OwnedFd, leaf: &[u8]) -> Result<(), UnpackError> {
    let (uid, gid) = owner(entry)?;
    fs::chownat(parent, name(leaf), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| failed("setting the owner of", &entry.path)(e.into()))?;
    fs::utimensat(parent, name(leaf), &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| failed("setting the time of", &entry.path)(e.into()))
}

/// Attributes that describe the file to the container, not to overlayfs or to the host's own labelling.
fn is_kept(attribute: &[u8]) -> bool {
    if attribute.contains(&0) || attribute.starts_with(b"user.overlay.") {
        return false;
    }
    attribute == b"security.capability"
        || attribute.starts_with(b"user.")
        || attribute == b"system.posix_acl_access"
        || attribute == b"system.posix_acl_default"
}

fn owner(entry: &Entry) -> Result<(Uid, Gid), UnpackError> {
    let id = |value: u64| {
        u32::try_from(value)
            .ok()
            .filter(|id| *id != u32::MAX)
            .ok_or_else(|| refused(&entry.path, "its owner's number is out of range"))
    };
    Ok((Uid::from_raw(id(entry.uid)?), Gid::from_raw(id(entry.gid)?)))
}

pub(super) fn times((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: i64::from(nanoseconds) };
    Timestamps { last_access: time, last_modification: time }
}
