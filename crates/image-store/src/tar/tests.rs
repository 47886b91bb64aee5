use std::{fs, io::Write as _, os::unix::fs::FileExt as _, process::Command};

use proptest::prelude::*;

use super::*;
use crate::testing::{Member, archive, block, record, seal};

const BOUNDS: Bounds = Bounds { max_name_bytes: 4096, max_extended_header_bytes: 1 << 20 };

/// Every entry with its content, holes filled.
fn read_all(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
    let mut reader = TarReader::new(bytes, BOUNDS);
    let mut all = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        // Tests have no large files; a damaged size must not make the test allocate one.
        let mut content = vec![0; usize::try_from(entry.size.min(1 << 24)).unwrap()];
        reader.copy_data(&mut [0; 700], |offset, bytes| {
            let start = usize::try_from(offset).unwrap();
            if start + bytes.len() > content.len() {
                return Err(TarError::Malformed("content beyond the file's size"));
            }
            content[start..start + bytes.len()].copy_from_slice(bytes);
            Ok(())
        })?;
        all.push((entry, content));
    }
    Ok(all)
}

fn error_of(bytes: &[u8]) -> String {
    read_all(bytes).unwrap_err().to_string()
}

#[test]
fn fields_are_read() {
    let member = Member { mode: 0o4751, owner: (1000, 70_000), ..Member::file("a/b", b"hello") };
    let entries = read_all(&archive(&[member])).unwrap();
    let [(entry, content)] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(content, b"hello");
    assert_eq!(entry.path, b"a/b");
    assert_eq!((entry.mode, entry.uid, entry.gid), (0o4751, 1000, 70_000));
    assert_eq!(entry.mtime, (1_700_000_000, 0));
}

#[test]
fn pax_records_override_the_header() {
    let member = Member::file("short", b"x")
        .record("path", "a/long/name")
        .record("uid", "4000000")
        .record("gid", "5000000")
        .record("mtime", "-1.25")
        .record("SCHILY.xattr.user.a", b"\x00\n=")
        .record("comment", "ignored");
    let (entry, _) = read_all(&archive(&[member])).unwrap().remove(0);
    assert_eq!(entry.path, b"a/long/name");
    assert_eq!((entry.uid, entry.gid), (4_000_000, 5_000_000));
    assert_eq!(entry.mtime, (-2, 750_000_000));
    assert_eq!(entry.xattrs, [(b"user.a".to_vec(), b"\x00\n=".to_vec())]);
}

#[test]
fn a_size_record_decides_where_the_next_header_is() {
    // The header's own size field says 0: a reader that believed it would take the content for a header.
    let mut bytes = Vec::new();
    block(&mut bytes, b'x', b"pax", b"", 0, (0, 0), 0, &record("size", b"512"));
    block(&mut bytes, b'0', b"outer", b"", 0o644, (0, 0), 0, b"");
    let mut hidden = Vec::new();
    block(&mut hidden, b'0', b"smuggled", b"", 0o644, (0, 0), 0, b"");
    bytes.extend(hidden);
    bytes.extend(archive(&[Member::file("after", b"")]));
    let names: Vec<_> = read_all(&bytes).unwrap().into_iter().map(|(e, _)| e.path).collect();
    assert_eq!(names, [b"outer".to_vec(), b"after".to_vec()]);
}

#[test]
fn records_of_one_entry_do_not_reach_the_next() {
    let first = Member::file("one", b"").record("uid", "7");
    let entries = read_all(&archive(&[first, Member::file("two", b"")])).unwrap();
    assert_eq!(entries[1].0.uid, 0);
}

#[test]
fn base_256_numbers_are_read() {
    let mut bytes = archive(&[Member::file("f", b"")]);
    let mut header: [u8; 512] = bytes[..512].try_into().unwrap();
    header[108..116].copy_from_slice(&[0x80, 0, 0, 0, 0, 1, 0, 0]);
    header[136..148].copy_from_slice(&[0xff; 12]);
    seal(&mut header);
    bytes[..512].copy_from_slice(&header);
    let (entry, _) = read_all(&bytes).unwrap().remove(0);
    assert_eq!(entry.uid, 65_536);
    assert_eq!(entry.mtime, (-1, 0));
}

#[test]
fn damage_is_an_error() {
    let good = archive(&[Member::file("f", b"content")]);
    let mut flipped = good.clone();
    flipped[0] ^= 1;
    assert_eq!(error_of(&flipped), "archive/tar: invalid tar header: a wrong checksum");
    assert_eq!(error_of(&good[..600]), "unexpected end of file");
    assert_eq!(error_of(&good[..300]), "unexpected end of file");
    assert_eq!(error_of(b"not a tar archive"), "unexpected end of file");

    let mut negative: [u8; 512] = good[..512].try_into().unwrap();
    negative[124..136].copy_from_slice(&[0xff; 12]);
    seal(&mut negative);
    assert_eq!(error_of(&negative), "archive/tar: invalid tar header: a negative number");

    let mut huge = negative;
    huge[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    seal(&mut huge);
    assert_eq!(error_of(&huge), "archive/tar: invalid tar header: a size out of range");

    let mut bytes = Vec::new();
    block(&mut bytes, b'x', b"pax", b"", 0, (0, 0), 0, b"99 path=a\n");
    assert_eq!(error_of(&bytes), "archive/tar: invalid tar header: a malformed pax record");
    let mut bytes = Vec::new();
    block(&mut bytes, b'x', b"pax", b"", 0, (0, 0), 0, &record("path", b"a"));
    bytes.resize(bytes.len() + 1024, 0);
    assert_eq!(error_of(&bytes), "archive/tar: invalid tar header: it ends after an extended header");
}

#[test]
fn what_is_gathered_in_memory_is_bounded() {
    let mut long = Vec::new();
    block(&mut long, b'L', b"long", b"", 0, (0, 0), 0, &[b'a'; 5000]);
    assert_eq!(error_of(&long), "archive/tar: a long name is longer than 4097 bytes");
    // Claims a terabyte that never comes: refused by the claim alone.
    let mut header: [u8; 512] = long[..512].try_into().unwrap();
    header[156] = b'x';
    header[124..136].copy_from_slice(b"14000000000\0");
    seal(&mut header);
    assert_eq!(error_of(&header), "archive/tar: an extended header is longer than 1048576 bytes");
    let member = Member::file("f", b"").record("path", [b'a'; 4097]);
    assert_eq!(error_of(&archive(&[member])), "archive/tar: a path is longer than 4096 bytes");
}

#[test]
fn names_with_zero_bytes_are_refused() {
    let member = Member::file("f", b"").record("path", b"a\0b");
    assert_eq!(error_of(&archive(&[member])), "archive/tar: invalid tar header: a name with a zero byte");
}

/// What the `tar` crate writes, ours reads the same.
#[test]
fn agrees_with_the_tar_crate() {
    let long_name = format!("{}/file", "directory".repeat(30));
    let mut builder = ::tar::Builder::new(Vec::new());
    for (path, content) in [("plain", b"x".as_slice()), (&long_name, &[7; 3000])] {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o640);
        header.set_uid(5);
        builder.append_data(&mut header, path, content).unwrap();
    }
    let mut link = ::tar::Header::new_gnu();
    link.set_entry_type(::tar::EntryType::Symlink);
    link.set_size(0);
    link.set_mode(0o777);
    builder.append_link(&mut link, "link", &long_name).unwrap();
    let bytes = builder.into_inner().unwrap();

    let entries = read_all(&bytes).unwrap();

    let mut theirs = ::tar::Archive::new(bytes.as_slice());
    for (theirs, (ours, content)) in theirs.entries().unwrap().zip(&entries) {
        let mut theirs = theirs.unwrap();
        let mut their_content = Vec::new();
        theirs.read_to_end(&mut their_content).unwrap();
        assert_eq!(theirs.path_bytes(), ours.path.as_slice());
        assert_eq!(theirs.link_name_bytes().unwrap_or_default(), ours.link.as_slice());
        assert_eq!(theirs.header().mode().unwrap(), ours.mode);
        assert_eq!(&their_content, content);
    }
    assert_eq!(entries.len(), 3);
}

/// What GNU tar writes in each of its formats, ours reads: sparse files in all four forms, long names, links.
#[test]
fn agrees_with_gnu_tar() {
    let directory = tempfile::tempdir().unwrap();
    let long = "n".repeat(120);
    let path = |name: &str| directory.path().join(name);
    let file = fs::File::create(path("holes")).unwrap();
    file.set_len(3_000_000).unwrap();
    for step in 0..8 {
        file.write_all_at(&[step + 1; 4096], u64::from(step) * 400_000).unwrap();
    }
    fs::File::create(path(&long)).unwrap().write_all(b"long").unwrap();
    std::os::unix::fs::symlink(&long, path("link")).unwrap();
    fs::hard_link(path(&long), path("zhard")).unwrap();
    let want = fs::read(path("holes")).unwrap();

    let formats: [&[&str]; 5] = [
        &["--format=gnu"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
        &["--format=oldgnu"],
    ];
    for format in formats {
        let output = Command::new("tar")
            .args(format)
            .args(["--sparse", "--hole-detection=raw", "--sort=name", "-C"])
            .arg(directory.path())
            .args(["-cf", "-", "."])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.len() < 1_000_000, "{format:?} did not write a sparse file");
        let entries = read_all(&output.stdout).unwrap_or_else(|e| panic!("{format:?}: {e}"));
        let find = |name: &str| {
            let name = format!("./{name}").into_bytes();
            entries.iter().find(|(e, _)| e.path == name).unwrap_or_else(|| panic!("{format:?}: {entries:?}"))
        };
        assert!(find("holes").1 == want, "{format:?}");
        assert_eq!(find("holes").0.size, 3_000_000);
        assert_eq!(find(&long).1, b"long");
        assert_eq!(find("link").0.link, long.as_bytes());
        assert_eq!(find("zhard").0.kind, Kind::HardLink);
    }
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    let sparse = |map: &str, content: &[u8]| {
        let member =
            Member::file("f", content).record("GNU.sparse.size", "100").record("GNU.sparse.map", map);
        read_all(&archive(&[member])).map(|e| e[0].1.len()).map_err(|e| e.to_string())
    };
    assert_eq!(sparse("0,4,50,4", b"abcdefgh"), Ok(100));
    for (map, content) in [
        ("50,4,0,4", b"abcdefgh".as_slice()),
        ("0,4,2,4", b"abcdefgh"),
        ("98,4", b"abcd"),
        ("0,8", b"abcd"),
        ("0,4", b"abcdefgh"),
        ("18446744073709551615,4", b"abcd"),
    ] {
        assert!(sparse(map, content).is_err(), "{map}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_end_in_entries_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let _ = read_all(&bytes);
    }

    /// Damage in the right place: fields change and the checksum still fits.
    #[test]
    fn damaged_headers_end_in_entries_or_an_error(
        changes in proptest::collection::vec((0_usize..8, 0_usize..512, any::<u8>()), 1..12),
    ) {
        let mut bytes = archive(&[
            Member::file("one", &[1; 700]).record("GNU.sparse.size", "900").record("GNU.sparse.map", "10,700"),
            Member::symlink("two", "one"),
            Member::file("three", b"3").record("mtime", "1.5"),
        ]);
        for (block, offset, value) in changes {
            let start = block * 512;
            let Some(slice) = bytes.get_mut(start..start + 512) else { continue };
            let mut header: [u8; 512] = slice.try_into().unwrap();
            header[offset] = value;
            seal(&mut header);
            slice.copy_from_slice(&header);
        }
        let _ = read_all(&bytes);
    }
}
