//! The layer below every image: empty places for what every container has mounted.
//!
//! Images need not have `/proc` or `/etc/hosts`. Without this layer each is made anew in every container's own layer, on the disk, before it
//! is covered by its mount. Here they are made once per agent, in the run directory.

use crate::error::RuntimeError;
use crate::spec::oci;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// In the run directory; no task's name begins with a dot.
pub(crate) const NAME: &str = ".mount-points";

/// With their modes, as distributions have them.
const DIRECTORIES: [(&str, u32); 4] = [("dev", 0o755), ("etc", 0o755), ("proc", 0o555), ("sys", 0o555)];

/// Makes what is missing.
pub(crate) fn make(run_dir: &Path) -> Result<(), RuntimeError> {
    let root = run_dir.join(NAME);
    let failed = || RuntimeError::io("make", &root);
    directory(&root, 0o755).map_err(failed())?;
    for (name, mode) in DIRECTORIES {
        directory(&root.join(name), mode).map_err(failed())?;
    }
    for (_, destination) in oci::ETC {
        let path = root.join(destination.trim_start_matches('/'));
        fs::OpenOptions::new().create(true).append(true).open(&path).map_err(failed())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).map_err(failed())?;
    }
    Ok(())
}

fn directory(path: &Path, mode: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        // Whatever the caller's file mode mask is.
        _ => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
    }
}

/// The layer, unless somebody removed it: containers then make their own places.
pub(crate) fn layer(run_dir: &Path) -> Option<PathBuf> {
    let root = run_dir.join(NAME);
    root.is_dir().then_some(root)
}

/// Removes the layer when nothing else is in the run directory: no task lives on it.
pub(crate) fn remove_if_alone(run_dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(run_dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        if entry?.file_name() != NAME {
            return Ok(());
        }
    }
    match fs::remove_dir_all(run_dir.join(NAME)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
