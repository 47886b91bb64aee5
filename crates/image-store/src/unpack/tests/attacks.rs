//! Everything that an archive could try.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use proptest::prelude::*;

use super::{super::*, Bench, small_limits};
use crate::{tar::Kind, testing::Member};

#[test]
fn whiteouts_of_no_name_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh...", "a/.wh."] {
        assert!(Bench::new(&[Member::file(name, b"")]).error().contains("invalid whiteout name"), "{name}");
    }
}

#[test]
fn names_that_leave_the_layer_are_refused() {
    for name in ["../outside/new", "a/../../outside/new", "a/..", "..", "/../outside/x", "./../outside/x"] {
        for member in [
            Member::file(name, b"x"),
            Member::directory(name),
            Member::symlink(name, "x"),
            Member::new(Kind::Fifo, name),
        ] {
            assert!(Bench::new(&[member]).error().contains("\"..\""), "{name}");
        }
    }
    assert!(Bench::new(&[Member::file("../outside/.wh.victim", b"")]).error().contains("\"..\""));
    assert!(Bench::new(&[Member::file("..//.wh..wh..opq", b"")]).error().contains("\"..\""));
}

#[test]
fn absolute_names_are_names_in_the_layer() {
    let bench = Bench::new(&[Member::file("/etc/passwd", b"mine"), Member::file("//x", b"y")]);
    bench.result.as_ref().unwrap();
    assert_eq!(fs::read(bench.path("etc/passwd")).unwrap(), b"mine");
    assert_eq!(fs::read(bench.path("x")).unwrap(), b"y");
}

/// Every way of naming `outside` through a link planted before.
#[test]
fn links_lead_nowhere_else() {
    let real_outside = |bench: &Path| bench.join("outside").display().to_string();
    let somewhere = tempfile::Builder::new().prefix("lsh-unpack-").tempdir_in("/var/tmp").unwrap();
    let absolute = real_outside(somewhere.path());
    fs::create_dir(&absolute).unwrap();
    for target in ["../outside", "../../../../../../../../..", "/", absolute.as_str(), "/proc/self/cwd"] {
        for through in [
            Member::file("link/new", b"x"),
            Member::directory("link/new"),
            Member::file("link/.wh.victim", b""),
            Member::file("link/.wh..wh..opq", b""),
            Member::hard_link("link/new", "link/victim"),
            Member::file("link/deeper/new", b"x"),
        ] {
            let bench = Bench::new(&[Member::symlink("link", target), through]);
            // Contained or refused, both are right; `with` has looked outside.
            drop(bench);
            assert_eq!(fs::read_dir(&absolute).unwrap().count(), 0, "{target}");
        }
    }
}

#[test]
fn a_link_within_the_layer_is_followed_within_the_layer() {
    let bench = Bench::new(&[
        Member::directory("usr/lib"),
        Member::symlink("lib", "/usr/lib"),
        Member::file("lib/module", b"m"),
    ]);
    bench.result.as_ref().unwrap();
    assert_eq!(fs::read(bench.path("usr/lib/module")).unwrap(), b"m");
}

#[test]
fn nothing_is_written_through_what_is_there() {
    let bench = Bench::new(&[
        Member::symlink("file", "../outside/victim"),
        Member { mode: 0o777, ..Member::file("file", b"new") },
        Member::symlink("dir", "../outside"),
        Member { mode: 0o777, ..Member::directory("dir/") },
        Member::file("dir/new", b"x"),
        Member::file("first", b"first"),
        Member::hard_link("second", "first"),
        Member::file("second", b"changed"),
    ]);
    bench.result.as_ref().unwrap();
    assert!(bench.metadata("file").is_file());
    assert!(bench.metadata("dir").is_dir());
    assert_eq!(fs::read(bench.path("first")).unwrap(), b"first");
    assert_eq!(fs::read(bench.path("second")).unwrap(), b"changed");
}

/// The directory of the entry before is remembered: it must not be when its path comes to mean something else.
#[test]
fn a_directory_turned_into_a_link_is_not_used_any_more() {
    let bench = Bench::new(&[
        Member::directory("d"),
        Member::file("d/one", b"1"),
        Member::directory("real"),
        Member::symlink("d", "real"),
        Member::file("d/two", b"2"),
    ]);
    bench.result.as_ref().unwrap();
    assert_eq!(fs::read(bench.path("real/two")).unwrap(), b"2");
    let bench = Bench::new(&[
        Member::directory("a"),
        Member::directory("b"),
        Member::symlink("link", "a"),
        Member::file("link/one", b"1"),
        Member::symlink("link", "b"),
        Member::file("link/two", b"2"),
    ]);
    bench.result.as_ref().unwrap();
    assert_eq!(fs::read(bench.path("b/two")).unwrap(), b"2");
}

#[test]
fn hard_links_reach_only_the_layer() {
    let bench = Bench::new(&[Member::file("a", b"a"), Member::hard_link("d/b", "/a")]);
    bench.result.as_ref().unwrap();
    assert_eq!(bench.metadata("a").ino(), bench.metadata("d/b").ino());
    for (target, reason) in [
        ("../outside/victim", "could leave the layer"),
        ("/etc/passwd", "No such file"),
        ("missing", "not in the layer"),
        ("/", "is the root"),
        ("dir", "is a directory"),
    ] {
        let bench = Bench::new(&[Member::directory("dir"), Member::hard_link("b", target)]);
        assert!(bench.error().contains(reason), "{target}: {}", bench.error());
    }
    // To a link itself, not to what it points at.
    let bench = Bench::new(&[Member::symlink("link", "../outside/victim"), Member::hard_link("b", "link")]);
    bench.result.as_ref().unwrap();
    assert!(bench.metadata("b").is_symlink());
}

#[test]
fn devices_are_left_out() {
    let bench = Bench::new(&[
        Member::new(Kind::CharDevice, "dev/null"),
        Member::new(Kind::BlockDevice, "dev/sda"),
        Member::new(Kind::CharDevice, "elsewhere"),
        Member::file("file", b"x"),
    ]);
    assert_eq!(bench.result.as_ref().unwrap().skipped_devices, 3);
    assert!(!bench.path("dev/null").exists());
    assert!(fs::symlink_metadata(bench.path("elsewhere")).is_err());
    assert!(bench.path("file").exists());
}

#[test]
fn attributes_that_overlay_obeys_are_dropped() {
    let bench = Bench::new(&[Member::directory("d")
        .record("SCHILY.xattr.trusted.overlay.redirect", "/etc")
        .record("SCHILY.xattr.trusted.overlay.opaque", "y")
        .record("SCHILY.xattr.user.overlay.opaque", "y")
        .record("SCHILY.xattr.security.selinux", "x")]);
    bench.result.as_ref().unwrap();
    assert!(!bench.is_opaque("d"));
    for attribute in ["trusted.overlay.redirect", "user.overlay.opaque", "security.selinux"] {
        assert_eq!(bench.attribute("d", attribute), None, "{attribute}");
    }
}

#[test]
fn loops_and_files_in_the_way_are_refused() {
    let looping = [Member::symlink("a", "b"), Member::symlink("b", "a"), Member::file("a/x", b"")];
    assert!(Bench::new(&looping).error().contains("symbolic link"));
    let through_file = [Member::file("f", b""), Member::file("f/x", b"")];
    assert!(Bench::new(&through_file).error().contains("Not a directory"));
    let root_as_file = [Member::file("./", b"")];
    // A name with a slash at its end is a directory, whatever its type says.
    Bench::new(&root_as_file).result.unwrap();
    let root_as_link = [Member::symlink("/", "x")];
    assert!(Bench::new(&root_as_link).error().contains("stand for the root"));
}

/// Links let directories nest far deeper than a path is long; removing them must still work.
#[test]
fn deep_trees_can_be_removed() {
    let level = vec!["d"; 200].join("/");
    let mut members = Vec::new();
    let mut prefix = String::new();
    for number in 0..12 {
        members.push(Member::directory(&format!("{prefix}{level}")));
        members.push(Member::symlink(&format!("link{number}"), &format!("{prefix}{level}")));
        prefix = format!("link{number}/");
    }
    let bench = Bench::new(&members);
    bench.result.as_ref().unwrap();
    remove_tree(&bench.path("")).unwrap();
    assert!(!bench.path("").exists());
}

fn any_member() -> impl Strategy<Value = Member> {
    let name = || {
        proptest::sample::select(vec![
            "a",
            "b",
            "a/b",
            "a/b/c",
            "link",
            "link/x",
            "link/a/x",
            "../outside/x",
            "a/../b",
            ".",
            "/",
            ".wh.a",
            "a/.wh.b",
            "a/.wh..wh..opq",
            "link/.wh.victim",
            ".wh..wh.x",
            "outside",
            "victim",
        ])
    };
    let target = proptest::sample::select(vec![
        "a",
        "b",
        "/",
        "..",
        "../outside",
        "../outside/victim",
        "link",
        "/a/b",
        "a/b",
        ".",
        "",
    ]);
    let flag = proptest::sample::select(b"01234567L5552220".to_vec());
    (name(), target, flag, any::<u16>()).prop_map(|(path, link, type_flag, mode)| Member {
        type_flag,
        link: link.into(),
        mode: u32::from(mode) & 0o7777,
        ..Member::file(path, if type_flag == b'0' { b"content" } else { b"" })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is in an archive, in whatever order: nothing outside changes, and the rest can be removed.
    #[test]
    fn any_entries_stay_inside(members in proptest::collection::vec(any_member(), 1..14)) {
        let bench = Bench::new(&members);
        remove_tree(&bench.path("")).unwrap();
    }

    #[test]
    fn any_bytes_end_well(bytes in proptest::collection::vec(any::<u8>(), 0..3000), magic in 0..4) {
        let prefix: &[u8] = match magic {
            0 => &[0x1f, 0x8b, 8, 0],
            1 => &[0x28, 0xb5, 0x2f, 0xfd],
            2 => &[0x51, 0x2a, 0x4d, 0x18],
            _ => &[],
        };
        let _ = Bench::with(&[prefix, &bytes].concat(), None, &small_limits());
    }
}
