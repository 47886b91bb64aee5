//! One layer: from the registry to its place in the store.

use std::{fs, path::Path, sync::Arc};

use tokio::sync::mpsc;

use super::{
    Inner,
    files::TempDirectory,
    records::{LayerRecord, ensure_link, short_name},
};
use crate::{
    digest::Digest,
    error::{PullError, StoreError},
    manifest::Descriptor,
    registry::{BlobError, Repository},
    unpack::{Chunk, ChunkReader, UnpackError, Unpacked, unpack},
};

/// Pieces in flight between the connection and the unpacker: enough to bridge either one's pauses. A piece is as large
/// as one read of the connection, a megabyte at most.
const CHUNKS_IN_FLIGHT: usize = 16;

/// How often a layer whose content is wrong is fetched afresh: a proxy's truncated copy may be one of several.
const CONTENT_ATTEMPTS: u32 = 2;

/// Told how many compressed bytes have arrived.
pub(super) type BytesFn = Arc<dyn Fn(u64) + Send + Sync>;

/// Downloads, verifies, unpacks and publishes a layer.
pub(super) async fn fetch(
    inner: Arc<Inner>,
    repository: Arc<Repository>,
    blob: Descriptor,
    diff_id: Digest,
    arrived: BytesFn,
) -> Result<(), PullError> {
    let _slot = inner
        .layer_slots
        .acquire()
        .await
        .map_err(|e| PullError::Store(StoreError::Task { detail: e.to_string() }))?;
    let mut attempts = 0;
    let (directory, unpacked) = loop {
        attempts += 1;
        match fetch_once(&inner, &repository, &blob, &diff_id, &arrived).await {
            Err(PullError::Digest { .. }) if attempts < CONTENT_ATTEMPTS => {}
            other => break other?,
        }
    };
    let publisher = inner.clone();
    super::blocking(move || publish(&publisher, directory, &unpacked)).await?;
    Ok(())
}

async fn fetch_once(
    inner: &Arc<Inner>,
    repository: &Repository,
    blob: &Descriptor,
    diff_id: &Digest,
    arrived: &BytesFn,
) -> Result<(TempDirectory, Unpacked), PullError> {
    let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
    let unpacking = {
        let (inner, diff_id, job) = (inner.clone(), diff_id.clone(), inner.background.job());
        // The temporary directory lives in the thread: when this future is dropped, the thread notices that no more
        // bytes come, and removes what it has made.
        tokio::task::spawn_blocking(move || {
            let unpacked = unpack_into_temp(&inner, receiver, &diff_id);
            drop(inner);
            drop(job);
            unpacked
        })
    };
    let downloaded = repository
        .blob(blob, |bytes| {
            arrived(bytes.len() as u64);
            let sender = &sender;
            async move { sender.send(Chunk::Data(bytes)).await.is_ok() }
        })
        .await;
    if downloaded.is_ok() {
        // A closed channel means that the unpacker failed, which its own result says better.
        let _ = sender.send(Chunk::End).await;
    }
    drop(sender);
    let unpacked =
        unpacking.await.map_err(|e| PullError::Store(StoreError::Task { detail: e.to_string() }))?;
    match downloaded {
        Ok(()) | Err(BlobError::Stopped) => unpacked.map_err(|e| e.into_pull_error(inner, diff_id)),
        Err(BlobError::Registry(failed)) => {
            Err(PullError::Copy { attempts: failed.attempts, cause: failed.cause })
        }
        Err(BlobError::Digest { actual }) => Err(PullError::Digest { expected: blob.digest.clone(), actual }),
    }
}

enum LayerError {
    Unpack(UnpackError),
    Store(StoreError),
}

impl LayerError {
    fn into_pull_error(self, inner: &Inner, diff_id: &Digest) -> PullError {
        match self {
            LayerError::Unpack(cause) if cause.is_no_space() => PullError::NoSpace {
                path: inner.paths.root.clone(),
                detail: match cause {
                    UnpackError::NoSpace { free, keep } => {
                        format!(" ({free} bytes are free, {keep} are kept free)")
                    }
                    _ => String::new(),
                },
            },
            LayerError::Unpack(cause) => PullError::Extract { layer: diff_id.clone(), cause },
            LayerError::Store(error) => PullError::Store(error),
        }
    }
}

fn unpack_into_temp(
    inner: &Inner,
    receiver: mpsc::Receiver<Chunk>,
    diff_id: &Digest,
) -> Result<(TempDirectory, Unpacked), LayerError> {
    let temporary = make_temp(inner).map_err(LayerError::Store)?;
    let (root, discard) = (temporary.path.join("root"), temporary.path.join("discard"));
    fs::create_dir(&discard).map_err(|e| LayerError::Store(StoreError::io("creating", &discard)(e)))?;
    let unpacked = unpack(ChunkReader::new(receiver), &root, &discard, diff_id, &inner.options.limits)
        .map_err(LayerError::Unpack)?;
    crate::unpack::remove_tree(&discard)
        .map_err(|e| LayerError::Store(StoreError::io("removing", &discard)(e)))?;
    Ok((temporary, unpacked))
}

/// A place for a layer in the making: a temporary directory with `root` in it.
pub(super) fn make_temp(inner: &Inner) -> Result<TempDirectory, StoreError> {
    let temporary = inner.paths.temp_directory()?;
    let root = temporary.path.join("root");
    // An archive need not have an entry for its top; then it is the usual one.
    fs::create_dir(&root).and_then(|()| set_mode(&root)).map_err(StoreError::io("creating", &root))?;
    Ok(temporary)
}

fn set_mode(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Gives the layer its name. A layer that is there already stays; the new copy goes.
pub(super) fn publish(
    inner: &Inner,
    temporary: TempDirectory,
    unpacked: &Unpacked,
) -> Result<(), StoreError> {
    let paths = &inner.paths;
    let mut state = inner.state();
    if state.layers.contains_key(&unpacked.diff_id) {
        return Ok(());
    }
    let link = short_name(&unpacked.diff_id, state.layers.values().map(|l| l.link.as_str()));
    let record = LayerRecord::new(unpacked, link);
    paths.write_record(&temporary.path.join("layer.json"), &record)?;
    let target = paths.layer(&unpacked.diff_id);
    // Left by a process that died between the two steps of a removal.
    drop(paths.discard(&target)?);
    fs::rename(&temporary.path, &target).map_err(StoreError::io("creating", &target))?;
    ensure_link(paths, &record)?;
    state.layers.insert(record.diff_id.clone(), record);
    Ok(())
}
