//! Fills an empty volume with what the image has at its destination, owner and mode included, as Docker does.
//!
//! Another container may already run with the volume and change it at any moment, so that no path into the volume is ever walked: each
//! thing is made by its single name in an open directory, must not have existed, and is opened without following a link. The
//! most that such a container reaches is a volume that it can write anyway. What it made first stays as it made it.
//!
//! Runs in the set-up's own process ([`super::helper`]), where a large copy keeps nobody else waiting.

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// How deep directories may lie in each other: two descriptors are open for each, of the usual 1,024.
const DEEPEST: usize = 256;

/// A volume to be filled.
#[derive(Debug)]
pub(super) struct Fill {
    /// Of the container.
    pub(super) rootfs: PathBuf,
    /// Within the container.
    pub(super) destination: PathBuf,
    /// The volume's directory on the machine.
    pub(super) volume: PathBuf,
}

impl Fill {
    /// Does it, after whoever fills a volume beside this one. A volume with anything in it is left as it is.
    pub(super) fn run(&self) -> io::Result<()> {
        // The directory around the volume is no container's, unlike the volume itself: nobody else holds a lock on it for long.
        let around = self.volume.parent().map(File::open).transpose()?;
        if let Some(around) = &around {
            rustix::fs::flock(around, FlockOperation::LockExclusive)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let volume = rustix::fs::open(&self.volume, flags, Mode::empty())?;
        if !names(&volume)?.is_empty() {
            return Ok(());
        }
        let root = File::open(&self.rootfs)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let inside = self.destination.strip_prefix("/").unwrap_or(&self.destination);
        match rustix::fs::openat2(&root, inside, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(source) => copy_directory(&source, &volume, DEEPEST),
            // The image has nothing there.
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

/// Copies what is in one open directory to another, then its owner and mode.
fn copy_directory(from: &OwnedFd, to: &OwnedFd, deeper: usize) -> io::Result<()> {
    for name in names(from)? {
        let stat = rustix::fs::statat(from, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", name.to_string_lossy()));
        let copied = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => copy_subdirectory(from, to, &name, deeper),
            FileType::Symlink => copy_link(from, to, &name, &stat).map_err(named),
            FileType::RegularFile => copy_file(from, to, &name).map_err(named),
            // Pipes, sockets and devices: nothing to keep.
            _ => Ok(()),
        };
        match copied {
            // Somebody who uses the volume already was first.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
    }
    give(to, &rustix::fs::fstat(from)?)
}

fn copy_subdirectory(from: &OwnedFd, to: &OwnedFd, name: &CStr, deeper: usize) -> io::Result<()> {
    let deeper = deeper.checked_sub(1).ok_or_else(|| io::Error::other("directories too deep"))?;
    let source = open_within(from, name, OFlags::DIRECTORY)?;
    rustix::fs::mkdirat(to, name, Mode::RWXU)?;
    let target = match open_within(to, name, OFlags::DIRECTORY) {
        // It has been moved away or replaced since: what is there now is not ours.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => {
            return Ok(());
        }
        other => other?,
    };
    copy_directory(&source, &target, deeper)
}

fn copy_link(from: &OwnedFd, to: &OwnedFd, name: &CStr, stat: &Stat) -> io::Result<()> {
    let target = rustix::fs::readlinkat(from, name, Vec::new())?;
    rustix::fs::symlinkat(&target, to, name)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    match rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW) {
        // Removed since.
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

fn copy_file(from: &OwnedFd, to: &OwnedFd, name: &CStr) -> io::Result<()> {
    let mut source = File::from(open_within(from, name, OFlags::NONBLOCK)?);
    let stat = rustix::fs::fstat(&source)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
    let mut target = File::from(target);
    io::copy(&mut source, &mut target)?;
    give(&target.into(), &stat)
}

/// Opens by a single name for reading, following nothing and staying on this file system.
fn open_within(directory: &OwnedFd, name: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    Ok(rustix::fs::openat2(directory, name, flags, Mode::empty(), resolve)?)
}

/// The owner first: a change of owner takes set-user-ID away.
fn give(to: &OwnedFd, stat: &Stat) -> io::Result<()> {
    rustix::fs::fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    Ok(rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode))?)
}

fn names(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// What is to be filled for a container.
pub(super) fn fills(rootfs: &Path, mounts: &[crate::config::Mount]) -> Vec<Fill> {
    let of_mount = |mount: &crate::config::Mount| match &mount.kind {
        crate::config::MountKind::Volume { source } => Some(Fill {
            rootfs: rootfs.to_owned(),
            destination: mount.destination.clone(),
            volume: source.clone(),
        }),
        _ => None,
    };
    mounts.iter().filter_map(of_mount).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    /// A root with `data`, a volume, and a directory of the machine's own.
    struct Disk {
        dir: tempfile::TempDir,
    }

    impl Disk {
        fn new() -> Disk {
            let disk = Disk { dir: tempfile::tempdir().expect("directory") };
            for name in ["rootfs/data/sub", "volumes/data", "machine"] {
                fs::create_dir_all(disk.path(name)).expect("directory");
            }
            disk
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).expect("file");
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.path(name)).expect("file")
        }

        fn fill(&self, destination: &str) -> io::Result<()> {
            let destination = destination.into();
            Fill { rootfs: self.path("rootfs"), destination, volume: self.path("volumes/data") }.run()
        }

        /// The copy alone, as after somebody else got in between.
        fn copy(&self) -> io::Result<()> {
            let open = |name| OwnedFd::from(File::open(self.path(name)).expect("directory"));
            copy_directory(&open("rootfs/data"), &open("volumes/data"), DEEPEST)
        }
    }

    #[test]
    fn an_empty_volume_gets_what_the_image_has() {
        let disk = Disk::new();
        disk.write("rootfs/data/sub/file", "seed");
        let mode = |name: &str, mode| {
            fs::set_permissions(disk.path(name), fs::Permissions::from_mode(mode)).expect("mode");
        };
        mode("rootfs/data/sub/file", 0o4711);
        mode("rootfs/data/sub", 0o750);
        mode("rootfs/data", 0o1777);
        symlink("/machine", disk.path("rootfs/data/link")).expect("link");
        disk.fill("/data").expect("filled");
        assert_eq!(disk.read("volumes/data/sub/file"), "seed");
        assert_eq!(fs::read_link(disk.path("volumes/data/link")).expect("link"), Path::new("/machine"));
        for name in ["", "/sub", "/sub/file", "/link"] {
            let of =
                |parent: &str| fs::symlink_metadata(disk.path(&format!("{parent}{name}"))).expect("metadata");
            let (source, copy) = (of("rootfs/data"), of("volumes/data"));
            assert_eq!(
                (source.mode(), source.uid(), source.gid()),
                (copy.mode(), copy.uid(), copy.gid()),
                "{name}"
            );
        }
    }

    #[test]
    fn a_volume_with_something_in_it_is_left_as_it_is() {
        let disk = Disk::new();
        disk.write("rootfs/data/file", "seed");
        disk.write("volumes/data/own", "own");
        disk.fill("/data").expect("left");
        assert!(!disk.path("volumes/data/file").exists());
        disk.fill("/missing").expect("left");
    }

    #[test]
    fn links_planted_in_a_volume_are_not_followed() {
        let disk = Disk::new();
        for name in ["rootfs/data/sub/evil", "rootfs/data/file", "rootfs/data/rest"] {
            disk.write(name, "evil");
        }
        symlink("/elsewhere", disk.path("rootfs/data/link")).expect("link");
        disk.write("machine/shadow", "secret");
        let mode = |path: PathBuf| fs::metadata(path).expect("metadata").mode();
        let before = (mode(disk.path("machine")), mode(disk.path("machine/shadow")));
        for (name, target) in [("sub", "machine"), ("file", "machine/shadow"), ("link", "machine/shadow")] {
            symlink(disk.path(target), disk.path("volumes/data").join(name)).expect("link");
        }
        disk.copy().expect("the rest is copied");
        assert_eq!(disk.read("volumes/data/rest"), "evil");
        assert_eq!(disk.read("machine/shadow"), "secret");
        assert_eq!(fs::read_dir(disk.path("machine")).expect("directory").count(), 1);
        assert_eq!((mode(disk.path("machine")), mode(disk.path("machine/shadow"))), before);

        // Nor is a link in place of the volume itself.
        fs::remove_dir_all(disk.path("volumes/data")).expect("removed");
        symlink(disk.path("machine"), disk.path("volumes/data")).expect("link");
        disk.fill("/data").expect_err("a link is no volume");
        assert_eq!(fs::read_dir(disk.path("machine")).expect("directory").count(), 1);
    }

    #[test]
    fn a_directory_swapped_for_a_link_is_not_opened() {
        let disk = Disk::new();
        symlink(disk.path("machine"), disk.path("volumes/data/sub")).expect("link");
        let volume = OwnedFd::from(File::open(disk.path("volumes/data")).expect("directory"));
        let refused = open_within(&volume, c"sub", OFlags::DIRECTORY).expect_err("a link");
        assert!(matches!(refused.raw_os_error(), Some(libc::ELOOP | libc::ENOTDIR)), "{refused}");
        open_within(&volume, c"..", OFlags::DIRECTORY).expect_err("outside");
    }

    #[test]
    fn links_of_the_image_stay_within_its_root() {
        let disk = Disk::new();
        disk.write("rootfs/data/file", "seed");
        disk.write("machine/shadow", "secret");
        symlink("/data", disk.path("rootfs/inside")).expect("link");
        symlink(disk.path("machine"), disk.path("rootfs/outside")).expect("link");
        disk.fill("/outside").expect("nothing there");
        assert!(!disk.path("volumes/data/shadow").exists());
        disk.fill("/inside").expect("filled");
        assert_eq!(disk.read("volumes/data/file"), "seed");
    }

    #[test]
    fn the_depth_is_bounded() {
        let disk = Disk::new();
        let deep = "d/".repeat(DEEPEST + 1);
        fs::create_dir_all(disk.path("rootfs/data").join(deep)).expect("directories");
        let refused = disk.fill("/data").expect_err("too deep").to_string();
        assert!(refused.contains("too deep"), "{refused}");
    }
}
