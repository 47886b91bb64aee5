//! Layers of images, unpacked: whatever an archive says, nothing outside of the layer's directory is made, changed or read.
//!
//! The first byte says what the rest is: a compressed blob as it is, or lines that an archive is made of, `KIND PATH[ -> LINK]`.
#![no_main]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use image_store::{Digest, fuzzing};
use libfuzzer_sys::fuzz_target;

const BLOCK: usize = 512;

fn member(out: &mut Vec<u8>, kind: u8, path: &[u8], link: &[u8], content: &[u8]) {
    let mut header = [0; BLOCK];
    header[..path.len().min(100)].copy_from_slice(&path[..path.len().min(100)]);
    header[100..108].copy_from_slice(b"0004755\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[148..156].fill(b' ');
    header[156] = kind;
    header[157..157 + link.len().min(100)].copy_from_slice(&link[..link.len().min(100)]);
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.extend(header);
    out.extend(content);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

/// Lines to an archive. Kinds are tar's: `0` file, `1` hard link, `2` symbolic link, `5` directory, …
fn archive(lines: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines.split(|byte| *byte == b'\n').take(64) {
        let [kind, b' ', rest @ ..] = line else { continue };
        let arrow = rest.windows(4).position(|four| four == b" -> ");
        let (path, link) = arrow.map_or((rest, &b""[..]), |at| (&rest[..at], &rest[at + 4..]));
        member(&mut out, *kind, path, link, if *kind == b'0' { link } else { b"" });
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

fn prepared(base: &Path) {
    for name in ["root", "discard", "outside"] {
        fs::create_dir(base.join(name)).expect("a fresh directory");
    }
    fs::write(base.join("outside/victim"), b"untouched").expect("written");
    fs::set_permissions(base.join("outside/victim"), fs::Permissions::from_mode(0o640)).expect("its own");
}

fn check(base: &Path) {
    let names = |path: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(path).expect("there").map(|entry| entry.expect("readable").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(base), ["discard", "outside", "root"]);
    assert_eq!(names(&base.join("outside")), ["victim"]);
    let victim = base.join("outside/victim");
    assert_eq!(fs::read(&victim).expect("there"), b"untouched");
    let metadata = fs::symlink_metadata(&victim).expect("there");
    assert_eq!(
        (metadata.nlink(), metadata.mode() & 0o7777, metadata.uid()),
        (1, 0o640, fs::metadata(base).expect("there").uid())
    );
    assert_eq!(fs::metadata(base.join("outside")).expect("there").mode() & 0o7777, 0o755);
}

fuzz_target!(|data: &[u8]| {
    let [kind, rest @ ..] = data else { return };
    let blob = if kind % 2 == 0 { rest.to_vec() } else { archive(rest) };
    // In memory where there is such a place.
    let place = Path::new("/dev/shm");
    let place = if place.is_dir() { place.to_owned() } else { std::env::temp_dir() };
    let base = tempfile::Builder::new().prefix("lsh-fuzz-").tempdir_in(place).expect("a directory");
    prepared(base.path());
    let (root, discard) = (base.path().join("root"), base.path().join("discard"));
    let outcome = fuzzing::layer(&blob, &Digest::of(&blob), &root, &discard);
    check(base.path());
    if let Ok(entries) = outcome {
        assert!(entries <= 64);
    }
});
