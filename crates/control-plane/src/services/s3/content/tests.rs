//! What is written is read back, in any part; nobody reads it without the secret; it goes when nobody needs it.

use std::{collections::BTreeSet, fs, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::{ContentStore, Piece, seal::SEGMENT_BYTES};
use crate::services::s3::digests::{Algorithm, Wanted};

const WANTED: Wanted = Wanted { sha256: true, checksum: Algorithm::Crc32, second: None };

fn store(folder: &tempfile::TempDir) -> ContentStore {
    ContentStore::open(folder.path(), [7; 32], false).unwrap()
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect()
}

async fn write(store: &ContentStore, content: &[u8], chunk: usize) -> Piece {
    let mut writer = store.begin(WANTED).await.unwrap();
    for chunk in content.chunks(chunk) {
        writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    let written = writer.finish().await.unwrap();
    let piece = written.piece();
    written.keep();
    piece
}

async fn read(store: &ContentStore, pieces: &[Piece], range: std::ops::Range<u64>) -> Vec<u8> {
    let parts: Vec<Bytes> = store.hold(pieces).unwrap().stream(range).try_collect().await.unwrap();
    parts.concat()
}

fn files(folder: &tempfile::TempDir) -> Vec<std::path::PathBuf> {
    let folders = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())).collect()
}

#[tokio::test]
async fn every_part_of_what_was_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let (first, second) = (bytes(SEGMENT_BYTES * 5 + 11), bytes(SEGMENT_BYTES));
    let pieces = [write(&store, &first, 1000).await, write(&store, &second, 1 << 20).await];
    let whole = [first, second].concat();
    let end = whole.len() as u64;
    let edge = SEGMENT_BYTES as u64;
    for range in [0..end, 0..1, end - 1..end, edge - 1..edge + 1, edge * 5..edge * 5 + 12, 7..end - 7, 5..5] {
        let expected = &whole[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
        assert_eq!(read(&store, &pieces, range.clone()).await, expected, "{range:?}");
    }
}

#[tokio::test]
async fn nothing_of_it_lies_on_the_disk_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let secret = b"the very secret content of an object".repeat(100);
    let piece = write(&store, &secret, 1000).await;
    let file = files(&folder).pop().unwrap();
    let stored = fs::read(&file).unwrap();
    assert!(!stored.windows(8).any(|window| window == b"the very"));
    let other = ContentStore::open(folder.path(), [8; 32], false).unwrap();
    let outcome: Result<Vec<Bytes>, _> =
        other.hold(std::slice::from_ref(&piece)).unwrap().stream(0..10).try_collect().await;
    assert!(outcome.is_err());
    let mut damaged = stored;
    damaged[100] ^= 1;
    fs::write(&file, damaged).unwrap();
    let outcome: Result<Vec<Bytes>, _> = store.hold(&[piece]).unwrap().stream(0..10).try_collect().await;
    assert!(outcome.is_err());
}

#[tokio::test]
async fn what_is_not_kept_goes_with_its_writer() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let mut writer = store.begin(WANTED).await.unwrap();
    writer.write(Bytes::from_static(b"some")).await.unwrap();
    drop(writer.finish().await.unwrap());
    let mut left = store.begin(WANTED).await.unwrap();
    left.write(Bytes::from_static(b"some")).await.unwrap();
    drop(left);
    // Both are removed by tasks of their own.
    for _ in 0..1000 {
        if files(&folder).is_empty() && store.0.writing().is_empty() {
            return;
        }
        tokio::task::spawn_blocking(|| ()).await.unwrap();
    }
    panic!("{:?} are left", files(&folder));
}

#[tokio::test]
async fn what_is_read_stays_until_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let content = bytes(SEGMENT_BYTES * 20);
    let pieces = [write(&store, &content, 1 << 20).await];
    let mut reader = store.hold(&pieces).unwrap().stream(0..content.len() as u64);
    let first = reader.try_next().await.unwrap().unwrap();
    store.remove(&pieces).await;
    assert!(store.hold(&pieces).is_none(), "nobody begins to read what is to go");
    store.sweep(Duration::ZERO, BTreeSet::new).await.unwrap();
    let rest: Vec<Bytes> = reader.try_collect().await.unwrap();
    assert_eq!([vec![first], rest].concat().concat(), content);
    for _ in 0..1000 {
        if files(&folder).is_empty() {
            return;
        }
        tokio::task::spawn_blocking(|| ()).await.unwrap();
    }
    panic!("the file is left");
}

#[tokio::test]
async fn the_sweep_takes_what_no_record_names_and_nobody_writes() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let named = write(&store, b"named", 10).await;
    let lost = write(&store, b"lost", 10).await;
    let mut under_way = store.begin(WANTED).await.unwrap();
    under_way.write(Bytes::from_static(b"under way")).await.unwrap();
    let keep = named.0.clone();
    assert_eq!(store.sweep(Duration::from_secs(3600), BTreeSet::new).await.unwrap(), 0, "all is too new");
    assert_eq!(store.sweep(Duration::ZERO, move || BTreeSet::from([keep])).await.unwrap(), 1);
    assert!(store.hold(&[lost]).is_none());
    assert_eq!(read(&store, &[named], 0..5).await, b"named");
    let written = under_way.finish().await.unwrap();
    let piece = written.piece();
    written.keep();
    assert_eq!(read(&store, &[piece], 0..9).await, b"under way");
}

#[tokio::test]
async fn nothing_is_an_object_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let written = store.begin(WANTED).await.unwrap().finish().await.unwrap();
    assert_eq!(written.outcome.etag(), "d41d8cd98f00b204e9800998ecf8427e");
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(written.outcome.sha256.as_deref(), Some(empty));
    assert_eq!(read(&store, &[], 0..0).await, b"");
}
