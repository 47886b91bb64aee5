//! Examples of every operation on local files, and the faults: wrong digests, lost connections, restarts, full disks.

use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt;
use proptest::prelude::*;

use crate::{Algorithm, BlobError, BlobStore, Digest, FileBlobStore, Limits, UploadId};

struct Fixture {
    folder: tempfile::TempDir,
    store: FileBlobStore,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = FileBlobStore::open(folder.path(), Limits::default()).expect("a store");
    Fixture { folder, store }
}

async fn add(
    store: &FileBlobStore,
    id: &UploadId,
    offset: Option<u64>,
    bytes: &[u8],
) -> Result<u64, BlobError> {
    let mut append = store.append(id, offset).await?;
    for chunk in bytes.chunks(7_000) {
        append.write(Bytes::copy_from_slice(chunk)).await?;
    }
    append.close().await
}

async fn content(store: &FileBlobStore, digest: &Digest) -> Bytes {
    store.open(digest).await.expect("the blob").read_all(u64::MAX).await.expect("its bytes")
}

fn files_under(path: &Path) -> usize {
    std::fs::read_dir(path)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| if path.is_dir() { files_under(&path) } else { 1 })
        .sum()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn chunks_become_a_blob() {
    let f = fixture();
    let bytes = pattern(100_000);
    let digest = Digest::sha256(&bytes);
    let id = f.store.begin_upload(Algorithm::Sha256).await.expect("an upload");
    assert_eq!(add(&f.store, &id, Some(0), &bytes[..60_000]).await.expect("first"), 60_000);
    assert_eq!(f.store.upload_length(&id).await.expect("a length"), 60_000);
    assert!(f.store.stat(&digest).await.expect("stat").is_none(), "not a blob before it is finished");
    assert_eq!(add(&f.store, &id, Some(60_000), &bytes[60_000..]).await.expect("second"), 100_000);
    assert_eq!(f.store.finish(&id, &digest).await.expect("finished"), 100_000);
    assert_eq!(content(&f.store, &digest).await, bytes);
    assert!(matches!(f.store.upload_length(&id).await, Err(BlobError::NoSuchUpload(_))));
    assert_eq!(files_under(f.folder.path()), 1);
}

#[tokio::test]
async fn sha512_is_accepted_whichever_was_expected_at_the_start() {
    for hint in Algorithm::ALL {
        let f = fixture();
        let bytes = pattern(9_999);
        let digest = Digest::of(Algorithm::Sha512, &bytes);
        let id = f.store.begin_upload(hint).await.expect("an upload");
        add(&f.store, &id, None, &bytes).await.expect("added");
        f.store.finish(&id, &digest).await.expect("finished");
        assert_eq!(content(&f.store, &digest).await, bytes);
    }
}

#[tokio::test]
async fn a_wrong_digest_leaves_nothing() {
    let f = fixture();
    let id = f.store.begin_upload(Algorithm::Sha256).await.expect("an upload");
    add(&f.store, &id, None, b"what was sent").await.expect("added");
    let expected = Digest::sha256(b"what was announced");
    let refused = f.store.finish(&id, &expected).await;
    assert!(
        matches!(refused, Err(BlobError::DigestMismatch { actual, .. }) if actual == Digest::sha256(b"what was sent"))
    );
    assert!(matches!(f.store.upload_length(&id).await, Err(BlobError::NoSuchUpload(_))));
    assert!(f.store.put_bytes(&expected, Bytes::from_static(b"other")).await.is_err());
    assert_eq!(files_under(f.folder.path()), 0);
}

#[tokio::test]
async fn a_chunk_must_continue_the_upload() {
    let f = fixture();
    let id = f.store.begin_upload(Algorithm::Sha256).await.expect("an upload");
    add(&f.store, &id, Some(0), b"12345").await.expect("added");
    for offset in [0, 4, 6] {
        let refused = add(&f.store, &id, Some(offset), b"x").await;
        assert!(matches!(refused, Err(BlobError::WrongOffset { length: 5, .. })), "offset {offset}");
    }
    assert_eq!(f.store.upload_length(&id).await.expect("unchanged"), 5);
}

#[tokio::test]
async fn one_writer_at_a_time() {
    let f = fixture();
    let id = f.store.begin_upload(Algorithm::Sha256).await.expect("an upload");
    let writer = f.store.append(&id, None).await.expect("the first writer");
    assert!(matches!(f.store.append(&id, None).await, Err(BlobError::UploadBusy(_))));
    assert!(matches!(f.store.finish(&id, &Digest::sha256(b"")).await, Err(BlobError::UploadBusy(_))));
    assert!(matches!(f.store.cancel(&id).await, Err(BlobError::UploadBusy(_))));
    writer.close().await.expect("closed");
    f.store.finish(&id, &Digest::sha256(b"")).await.expect("free again");
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart() {
    let f = fixture();
    let bytes = pattern(50_000);
    let id = f.store.begin_upload(Algorithm::Sha256).await.expect("an upload");
    let mut append = f.store.append(&id, None).await.expect("a writer");
    append.write(Bytes::copy_from_slice(&bytes[..20_000])).await.expect("written");
    append.close().await.expect("closed");
    drop(f.store);

    let store = FileBlobStore::open(f.folder.path(), Limits::default()).expect("opened again");
    assert_eq!(store.upload_length(&id).await.expect("found"), 20_000);
    add(&store, &id, Some(20_000), &bytes[20_000..]).await.expect("continued");
    store.finish(&id, &Digest::sha256(&bytes)).await.expect("finished");
    assert_eq!(content(&store, &Digest::sha256(&bytes)).await, bytes);
}

#[tokio::test]
async fn cancelled_and_expired_uploads_leave_nothing() {
    let f = fixture();
    let cancelled = f.store.begin_upload(Algorithm::Sha256).await.expect("an upload");
    f.store.cancel(&cancelled).await.expect("cancelled");
    assert!(matches!(f.store.cancel(&cancelled).await, Err(BlobError::NoSuchUpload(_))));

    let kept = f.store.begin_upload(Algorithm::Sha256).await.expect("an upload");
    assert_eq!(f.store.expire_uploads(Duration::from_secs(3600)).await.expect("too young"), 0);
    let busy = f.store.append(&kept, None).await.expect("a writer");
    assert_eq!(f.store.expire_uploads(Duration::ZERO).await.expect("being written to"), 0);
    busy.close().await.expect("closed");
    assert_eq!(f.store.expire_uploads(Duration::ZERO).await.expect("expired"), 1);
    assert!(matches!(f.store.append(&kept, None).await, Err(BlobError::NoSuchUpload(_))));
    assert_eq!(files_under(f.folder.path()), 0);
}

#[tokio::test]
async fn bounds_hold() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let limits = Limits { blob_bytes: 10, open_uploads: 2, ..Limits::default() };
    let store = FileBlobStore::open(folder.path(), limits).expect("a store");
    let first = store.begin_upload(Algorithm::Sha256).await.expect("first");
    let _second = store.begin_upload(Algorithm::Sha256).await.expect("second");
    assert!(matches!(
        store.begin_upload(Algorithm::Sha256).await,
        Err(BlobError::TooManyUploads { limit: 2 })
    ));
    add(&store, &first, None, b"0123456789").await.expect("as long as allowed");
    let refused = add(&store, &first, None, b"x").await;
    assert!(matches!(refused, Err(BlobError::TooLarge { limit_bytes: 10 })));
    assert!(matches!(store.upload_length(&first).await, Err(BlobError::NoSuchUpload(_))));
    let long = Bytes::from_static(b"0123456789x");
    assert!(matches!(store.put_bytes(&Digest::sha256(&long), long).await, Err(BlobError::TooLarge { .. })));
}

#[tokio::test]
async fn the_same_content_twice_is_one_blob() {
    let f = fixture();
    let bytes = Bytes::from_static(b"twice");
    let digest = Digest::sha256(&bytes);
    f.store.put_bytes(&digest, bytes.clone()).await.expect("stored");
    f.store.put_bytes(&digest, bytes.clone()).await.expect("stored again");
    let id = f.store.begin_upload(Algorithm::Sha256).await.expect("an upload");
    add(&f.store, &id, None, &bytes).await.expect("added");
    f.store.finish(&id, &digest).await.expect("finished");
    assert_eq!(files_under(f.folder.path()), 1);
    assert!(f.store.delete(&digest).await.expect("deleted"));
    assert!(!f.store.delete(&digest).await.expect("nothing to delete"));
    assert!(matches!(f.store.open(&digest).await, Err(BlobError::NoSuchBlob(_))));
}

#[tokio::test]
async fn only_idle_blobs_are_collected() {
    let f = fixture();
    let digest = Digest::sha256(b"kept");
    f.store.put_bytes(&digest, Bytes::from_static(b"kept")).await.expect("stored");
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let file = std::fs::File::open(f.store.path_of(&digest)).expect("the file");
    file.set_times(std::fs::FileTimes::new().set_modified(hour_ago)).expect("made old");
    let cutoff = SystemTime::now() - Duration::from_secs(60);

    assert!(f.store.touch(&digest).await.expect("touched"));
    assert!(!f.store.delete_if_idle(&digest, cutoff).await.expect("just touched"));
    file.set_times(std::fs::FileTimes::new().set_modified(hour_ago)).expect("made old");
    assert!(f.store.delete_if_idle(&digest, cutoff).await.expect("idle"));
    assert!(!f.store.touch(&digest).await.expect("gone"));
}

#[tokio::test]
async fn listing_pages_in_order() {
    let f = fixture();
    let mut expected = Vec::new();
    for at in 0..40_u8 {
        let algorithm = Algorithm::ALL[usize::from(at % 2)];
        let digest = Digest::of(algorithm, &[at]);
        f.store.put_bytes(&digest, Bytes::copy_from_slice(&[at])).await.expect("stored");
        expected.push(digest);
    }
    expected.sort();
    let mut listed = Vec::new();
    loop {
        let page = f.store.list(listed.last(), 7).await.expect("a page");
        let last = page.len() < 7;
        listed.extend(page.into_iter().map(|info| info.digest));
        if last {
            break;
        }
    }
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn ranges_are_streamed() {
    let f = fixture();
    let bytes = pattern(1_500_000);
    let digest = Digest::sha256(&bytes);
    f.store.put_bytes(&digest, Bytes::from(bytes.clone())).await.expect("stored");
    for range in [0..1_500_000_u64, 0..0, 10..600_000, 1_499_999..1_500_000, 1_000..9_000_000] {
        let reader = f.store.open(&digest).await.expect("opened");
        let chunks = reader.into_stream(range.clone()).try_collect::<Vec<_>>().await.expect("read");
        let end = (range.end as usize).min(bytes.len());
        assert_eq!(chunks.concat(), bytes[range.start as usize..end], "{range:?}");
    }
}

#[test]
fn only_well_formed_names_parse() {
    let hex = "ab".repeat(32);
    assert!(format!("sha256:{hex}").parse::<Digest>().is_ok());
    for refused in [
        String::new(),
        "sha256:".into(),
        hex.clone(),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha256:{hex}0"),
        format!("sha512:{hex}"),
        format!("md5:{hex}"),
        format!("sha256:../../{}", &hex[..58]),
    ] {
        assert!(refused.parse::<Digest>().is_err(), "{refused}");
    }
    assert!("0b5e1c6e-7f0a-4a52-9d3b-0123456789ab".parse::<UploadId>().is_ok());
    for refused in ["", "../../../../../../../../etc/passwd/x", "0B5E1C6E-7F0A-4A52-9D3B-0123456789AB"] {
        assert!(refused.parse::<UploadId>().is_err(), "{refused}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// However the bytes are cut, and wherever the process restarts, the same blob comes out.
    #[test]
    fn any_cut_gives_the_same_blob(
        bytes in proptest::collection::vec(any::<u8>(), 0..20_000),
        cuts in proptest::collection::vec((any::<proptest::sample::Index>(), any::<bool>()), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let mut store = FileBlobStore::open(folder.path(), Limits::default()).expect("a store");
            let id = store.begin_upload(Algorithm::Sha256).await.expect("an upload");
            let mut ends = cuts.iter().map(|(at, restart)| (at.index(bytes.len() + 1), *restart)).collect::<Vec<_>>();
            ends.push((bytes.len(), false));
            ends.sort_unstable();
            let mut start = 0;
            for (end, restart) in ends {
                add(&store, &id, Some(start as u64), &bytes[start..end]).await.expect("added");
                start = end;
                if restart {
                    store = FileBlobStore::open(folder.path(), Limits::default()).expect("opened again");
                }
            }
            let digest = Digest::sha256(&bytes);
            store.finish(&id, &digest).await.expect("finished");
            assert_eq!(content(&store, &digest).await, bytes);
        });
    }
}

/// Set in the process that runs inside its own mount namespace, on a file system of 4 MiB.
const SMALL_DISK: &str = "BLOB_STORE_TEST_SMALL_DISK";

/// The disk fills up during an upload: its own error, and every byte is given back.
#[test]
fn a_full_disk_is_reported_and_given_back() {
    if let Some(folder) = std::env::var_os(SMALL_DISK) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(fill_the_disk(Path::new(&folder)));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = "mount -t tmpfs -o size=4m longshore-test \"$1\" && exec \"$2\" --exact tests::a_full_disk_is_reported_and_given_back";
    let output = std::process::Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().expect("this test's own file"))
        .env(SMALL_DISK, folder.path())
        .output()
        .expect("unshare(1), run as root");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

async fn fill_the_disk(folder: &Path) {
    let store = FileBlobStore::open(folder, Limits::default()).expect("a store");
    let id = store.begin_upload(Algorithm::Sha256).await.expect("an upload");
    let refused = add(&store, &id, None, &pattern(6 * 1024 * 1024)).await;
    assert!(matches!(refused, Err(BlobError::StorageFull { .. })), "{refused:?}");
    assert!(matches!(store.upload_length(&id).await, Err(BlobError::NoSuchUpload(_))));
    let large = Bytes::from(pattern(6 * 1024 * 1024));
    let refused = store.put_bytes(&Digest::sha256(&large), large).await;
    assert!(matches!(refused, Err(BlobError::StorageFull { .. })), "{refused:?}");
    assert_eq!(files_under(folder), 0);

    let small = Bytes::from(pattern(3 * 1024 * 1024));
    let digest = Digest::sha256(&small);
    store.put_bytes(&digest, small.clone()).await.expect("there is room again");
    assert_eq!(content(&store, &digest).await, small);
}
