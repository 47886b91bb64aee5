//! A container's root: the image's layers, read-only, under a layer of its own.
//!
//! Mounted in the shim's private mount namespace: it ends with the shim at the latest.

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// What one mount call takes as options; a page, less the final zero.
const LONGEST_OPTIONS: usize = 4095;

/// Mounts the root at `rootfs`: `lower_dirs`, topmost first, under what the container writes, in `dir`.
pub(super) fn mount(rootfs: &Path, dir: &Path, lower_dirs: &[PathBuf]) -> io::Result<()> {
    fs::create_dir_all(rootfs)?;
    for name in ["upper", "work"] {
        fs::create_dir(dir.join(name))?;
    }
    let plain = options(dir, lower_dirs.iter().map(|path| path.as_os_str().as_bytes().to_vec()));
    let awkward =
        lower_dirs.iter().any(|p| p.as_os_str().as_bytes().iter().any(|b| matches!(b, b':' | b',' | b'\\')));
    // Descriptors have short names without special characters.
    let mut directories = Vec::new();
    let options = if awkward || plain.len() > LONGEST_OPTIONS {
        for path in lower_dirs {
            let open =
                fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(path);
            directories
                .push(open.map_err(|e| io::Error::new(e.kind(), format!("layer {}: {e}", path.display())))?);
        }
        options(
            dir,
            directories.iter().map(|file| format!("/proc/self/fd/{}", file.as_raw_fd()).into_bytes()),
        )
    } else {
        plain
    };
    // Volatile: nothing in this layer outlives a crash of the machine, so that unmounting need not flush it.
    let attempt = |extra: &[u8]| {
        let text = [&options[..], extra].concat();
        let text = std::ffi::CString::new(text).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        rustix::mount::mount("overlay", rootfs, "overlay", MountFlags::empty(), text.as_c_str())
            .map_err(io::Error::from)
    };
    match attempt(b",volatile") {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => attempt(b""),
        other => other,
    }
}

fn options(dir: &Path, lower: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut options = b"lowerdir=".to_vec();
    options.extend(lower.collect::<Vec<_>>().join(&b':'));
    for (key, name) in [("upperdir", "upper"), ("workdir", "work")] {
        options.extend_from_slice(format!(",{key}=").as_bytes());
        options.extend_from_slice(dir.join(name).as_os_str().as_bytes());
    }
    options
}

/// Lazily: nobody uses it any more but perhaps a process that is just dying.
pub(super) fn unmount(rootfs: &Path) {
    // Not mounted is what is wanted.
    let _ = rustix::mount::unmount(rootfs, UnmountFlags::DETACH);
}

/// Makes a directory within a root, with those above it, following no link out of it.
pub(super) fn make_directory(rootfs: &Path, path: &Path) -> io::Result<()> {
    let mut at: OwnedFd = File::open(rootfs)?.into();
    let mut walked = std::path::PathBuf::new();
    let root = at.try_clone()?;
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        walked.push(name);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || rustix::fs::openat2(&root, &walked, flags, Mode::empty(), ResolveFlags::IN_ROOT);
        at = match open() {
            Ok(directory) => directory,
            Err(rustix::io::Errno::NOENT) => {
                match rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(e) => return Err(e.into()),
                }
                open()?
            }
            Err(e) => return Err(e.into()),
        };
    }
    Ok(())
}
