//! Layers unpacked as root into real directories. `outside` beside the layer's root is what attacks aim at; after every
//! unpacking it must be as it was.

mod attacks;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::PathBuf,
};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::{
    tar::Kind,
    testing::{Member, archive},
};

struct Bench {
    directory: TempDir,
    result: Result<Unpacked, UnpackError>,
}

impl Bench {
    fn new(members: &[Member]) -> Bench {
        Bench::with(&archive(members), None, &small_limits())
    }

    /// Unpacks `blob`; `plain` is its uncompressed form when it has another.
    fn with(blob: &[u8], plain: Option<&[u8]>, limits: &Limits) -> Bench {
        let directory = tempfile::Builder::new().prefix("lsh-unpack-").tempdir_in("/var/tmp").unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["root", "discard", "outside"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("outside/victim"), b"untouched").unwrap();
        let expected = Digest::of(plain.unwrap_or(blob));
        let result = unpack(chunks(blob, true), &path("root"), &path("discard"), &expected, limits);
        let bench = Bench { directory, result };
        bench.check_outside();
        bench
    }

    fn check_outside(&self) {
        let outside = self.directory.path().join("outside");
        let names: Vec<_> = fs::read_dir(&outside).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["victim"]);
        assert_eq!(fs::read(outside.join("victim")).unwrap(), b"untouched");
        assert_eq!(fs::metadata(outside.join("victim")).unwrap().nlink(), 1);
        assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o7777, 0o755);
        let names: Vec<_> = fs::read_dir(self.directory.path()).unwrap().collect();
        assert_eq!(names.len(), 3);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("root").join(name)
    }

    fn metadata(&self, name: &str) -> fs::Metadata {
        fs::symlink_metadata(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e} ({:?})", self.result))
    }

    fn is_whiteout(&self, name: &str) -> bool {
        let metadata = self.metadata(name);
        metadata.file_type().is_char_device() && metadata.rdev() == 0
    }

    fn attribute(&self, name: &str, attribute: &str) -> Option<Vec<u8>> {
        let mut value = [0; 256];
        let length = rustix::fs::lgetxattr(self.path(name), attribute, &mut value).ok()?;
        Some(value[..length].to_vec())
    }

    fn is_opaque(&self, name: &str) -> bool {
        self.attribute(name, "trusted.overlay.opaque").as_deref() == Some(b"y")
    }

    fn error(&self) -> String {
        self.result.as_ref().expect_err("the layer should have been refused").to_string()
    }
}

fn small_limits() -> Limits {
    Limits { keep_free_bytes: 0, ..Limits::default() }
}

fn chunks(bytes: &[u8], is_whole: bool) -> ChunkReader {
    let pieces: Vec<&[u8]> = bytes.chunks(1000).collect();
    let (sender, receiver) = mpsc::channel(pieces.len() + 1);
    for piece in pieces {
        sender.try_send(Chunk::Data(Bytes::copy_from_slice(piece))).unwrap();
    }
    if is_whole {
        sender.try_send(Chunk::End).unwrap();
    }
    ChunkReader::new(receiver)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A zstd frame of one stored block.
fn zstd_frame(bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 65_536);
    let block = ((bytes.len() as u32) << 3 | 1).to_le_bytes();
    // Single segment with a content size of four bytes.
    let size = (bytes.len() as u32).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0], size.as_slice(), &block[..3], bytes].concat()
}

#[test]
fn attributes_are_kept() {
    let capability = hex::decode("0100000200040000000000000000000000000000").unwrap();
    let bench = Bench::new(&[
        Member { mode: 0o1777, owner: (1, 2), mtime: 1_500_000_000, ..Member::directory("tmp/") },
        Member { mode: 0o4755, owner: (10, 20), ..Member::file("tmp/suid", b"s") }
            .record("SCHILY.xattr.security.capability", &capability)
            .record("SCHILY.xattr.user.note", "n")
            .record("mtime", "1600000000.123456789"),
        Member { owner: (3, 4), mtime: 1_400_000_000, ..Member::symlink("tmp/link", "/nowhere") },
        Member { owner: (5, 6), mode: 0o620, ..Member::new(Kind::Fifo, "tmp/fifo") },
        Member { mode: 0o700, owner: (7, 8), ..Member::directory("./") },
    ]);
    let unpacked = bench.result.as_ref().unwrap();
    assert_eq!(unpacked.entries, 5);
    let directory = bench.metadata("tmp");
    assert_eq!((directory.mode() & 0o7777, directory.uid(), directory.gid()), (0o1777, 1, 2));
    assert_eq!(directory.mtime(), 1_500_000_000);
    let file = bench.metadata("tmp/suid");
    assert_eq!((file.mode() & 0o7777, file.uid(), file.gid()), (0o4755, 10, 20));
    assert_eq!((file.mtime(), file.mtime_nsec()), (1_600_000_000, 123_456_789));
    assert_eq!(bench.attribute("tmp/suid", "security.capability"), Some(capability));
    assert_eq!(bench.attribute("tmp/suid", "user.note").as_deref(), Some(b"n".as_slice()));
    let link = bench.metadata("tmp/link");
    assert_eq!((link.uid(), link.gid(), link.mtime()), (3, 4, 1_400_000_000));
    assert_eq!(fs::read_link(bench.path("tmp/link")).unwrap(), Path::new("/nowhere"));
    let fifo = bench.metadata("tmp/fifo");
    assert!(fifo.file_type().is_fifo());
    assert_eq!((fifo.mode() & 0o7777, fifo.uid()), (0o620, 5));
    let root = bench.metadata("");
    assert_eq!((root.mode() & 0o7777, root.uid()), (0o700, 7));
}

#[test]
fn whiteouts_become_overlays_own() {
    let bench = Bench::new(&[
        Member::file(".wh.gone", b""),
        Member::directory("kept/"),
        Member::file("kept/.wh..wh..opq", b""),
        Member::file("kept/new", b"new"),
        Member::file("kept/.wh.old", b""),
        // The same name below is hidden, and this layer has its own.
        Member::file(".wh.replaced", b""),
        Member::file("replaced", b"mine"),
        Member::file(".wh.tree", b""),
        Member::directory("tree/"),
        Member::directory("late/"),
        Member::file("late/inner", b"mine"),
        Member::file(".wh.late", b""),
        Member::file("own", b"mine"),
        Member::file(".wh.own", b""),
        Member::file(".wh..wh.plnk", b""),
    ]);
    bench.result.as_ref().unwrap();
    assert!(bench.is_whiteout("gone"));
    assert!(bench.is_opaque("kept"));
    assert!(bench.is_whiteout("kept/old"));
    assert_eq!(fs::read(bench.path("replaced")).unwrap(), b"mine");
    assert!(bench.is_opaque("tree"));
    assert!(bench.is_opaque("late"));
    assert_eq!(fs::read(bench.path("late/inner")).unwrap(), b"mine");
    assert_eq!(fs::read(bench.path("own")).unwrap(), b"mine");
    assert!(!bench.path(".wh..wh.plnk").exists());
}

#[test]
fn directories_that_are_only_implied_are_reported() {
    let bench = Bench::new(&[
        Member::file("a/b/c", b""),
        Member::file("opt/x", b""),
        Member::directory("opt/"),
        Member::directory("srv"),
        Member::file("srv/x", b""),
    ]);
    let implied: Vec<_> = bench.result.as_ref().unwrap().implied_directories.iter().cloned().collect();
    assert_eq!(implied, [b"a".to_vec(), b"a/b".to_vec()]);
}

#[test]
fn each_limit_is_enforced() {
    let over = |limits: Limits, members: &[Member]| Bench::with(&archive(members), None, &limits).error();
    let three = [Member::file("a", b""), Member::file("b", b""), Member::file("c", b"")];
    assert_eq!(
        over(Limits { max_entries: 2, ..small_limits() }, &three),
        "the number of entries of the layer is over the limit of 2"
    );
    // Implied directories count.
    let deep = [Member::file("a/b/c/d/e", b"")];
    assert!(over(Limits { max_entries: 3, ..small_limits() }, &deep).contains("number of entries"));
    assert!(over(Limits { max_path_depth: 4, ..small_limits() }, &deep).contains("depth of a path"));
    assert!(
        over(Limits { max_path_bytes: 5, ..small_limits() }, &deep).contains("path is over the limit of 5")
    );
    let big = [Member::file("big", &[0; 10_000])];
    assert!(over(Limits { max_layer_bytes: 5000, ..small_limits() }, &big).contains("uncompressed size"));
    let full = Limits { keep_free_bytes: u64::MAX, ..Limits::default() };
    assert!(Bench::with(&archive(&big), None, &full).result.unwrap_err().is_no_space());
    let huge_hole =
        [Member::file("f", b"x").record("GNU.sparse.size", "9000000000000").record("GNU.sparse.map", "0,1")];
    assert!(over(small_limits(), &huge_hole).contains("sparse file"));
}

#[test]
fn bombs_are_stopped_by_their_ratio() {
    let plain = archive(&[Member::file("zeros", &vec![0; 4 << 20])]);
    let limits = Limits { max_compression_ratio: 100, ratio_free_bytes: 1 << 20, ..small_limits() };
    let bench = Bench::with(&gzip(&plain), Some(&plain), &limits);
    assert!(bench.error().contains("compression ratio"), "{}", bench.error());
    // The same content passes where the limits allow it.
    Bench::with(&gzip(&plain), Some(&plain), &small_limits()).result.unwrap();
}

#[test]
fn compression_is_told_from_the_bytes() {
    let plain = archive(&[Member::file("f", &[7; 3000])]);
    let (first, second) = plain.split_at(1234);
    let skippable = [&[0x55, 0x2a, 0x4d, 0x18, 4, 0, 0, 0], b"seek".as_slice()].concat();
    for blob in [
        gzip(&plain),
        [gzip(first), gzip(second)].concat(),
        zstd_frame(&plain),
        [zstd_frame(first), skippable.clone(), zstd_frame(second), skippable.clone()].concat(),
        [skippable, zstd_frame(&plain)].concat(),
    ] {
        let bench = Bench::with(&blob, Some(&plain), &small_limits());
        bench.result.as_ref().unwrap();
        assert_eq!(fs::read(bench.path("f")).unwrap(), [7; 3000]);
    }
}

#[test]
fn damaged_streams_are_refused() {
    let plain = archive(&[Member::file("f", &[7; 3000])]);
    let whole = gzip(&plain);
    for blob in [
        whole[..whole.len() / 2].to_vec(),
        [whole.clone(), b"garbage after the end".to_vec()].concat(),
        zstd_frame(&plain)[..100].to_vec(),
        [zstd_frame(&plain), b"garbage".to_vec()].concat(),
        [0x50, 0x2a, 0x4d, 0x18, 255, 255, 0, 0].to_vec(),
    ] {
        Bench::with(&blob, Some(&plain), &small_limits()).error();
    }
    let wrong = Bench::with(&plain, Some(b"another archive"), &small_limits());
    assert!(matches!(wrong.result, Err(UnpackError::DiffId { .. })), "{}", wrong.error());
}

#[test]
fn a_stream_that_was_cut_is_no_layer() {
    // The archive itself is complete; the download did not say that it had ended well.
    let bytes = archive(&[Member::file("f", b"x")]);
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let (root, discard) = (directory.path().join("root"), directory.path().join("discard"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&discard).unwrap();
    let result = unpack(chunks(&bytes, false), &root, &discard, &Digest::of(&bytes), &small_limits());
    assert!(result.unwrap_err().to_string().contains("cut"));
}
