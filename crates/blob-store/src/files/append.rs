//! Adding bytes: the async side hands chunks to one blocking worker, which hashes and writes them in order.
//!
//! The queue between them is short and counted in chunks of what the network delivers at once, so that a client faster
//! than the disk is held back by its own connection. A failed write ends the upload: nothing of it stays.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Shared;
use super::upload::{Claim, Upload};
use super::writeback::Writeback;
use crate::error::BlobError;
use crate::store::{Append, BoxFuture, UploadId};

/// Chunks waiting for the worker. HTTP/1 delivers at most some 400 KiB at once, so this is about 12 MiB a connection.
const QUEUED_CHUNKS: usize = 32;

struct FileAppend {
    sender: Option<mpsc::Sender<Bytes>>,
    worker: Option<JoinHandle<Result<u64, BlobError>>>,
}

pub(super) fn start(
    shared: &Arc<Shared>,
    id: UploadId,
    offset: Option<u64>,
) -> Result<Box<dyn Append>, BlobError> {
    let upload = shared.upload(&id)?;
    let claim = upload.claim()?;
    let length = claim.as_ref().map_or(0, |state| state.length);
    if let Some(offset) = offset
        && offset != length
    {
        return Err(BlobError::WrongOffset { id, offset, length });
    }
    let (sender, receiver) = mpsc::channel(QUEUED_CHUNKS);
    let worker = Worker { shared: Arc::clone(shared), id, upload, claim };
    let worker = tokio::task::spawn_blocking(move || worker.run(receiver));
    Ok(Box::new(FileAppend { sender: Some(sender), worker: Some(worker) }))
}

impl FileAppend {
    /// Waits for the worker's last word.
    async fn joined(&mut self) -> Result<u64, BlobError> {
        self.sender = None;
        let gone = || BlobError::Io {
            context: "writing an upload",
            source: std::io::Error::other("the writer has already ended"),
        };
        let worker = self.worker.take().ok_or_else(gone)?;
        worker.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Append for FileAppend {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            let accepted = match &self.sender {
                Some(sender) => sender.send(bytes).await.is_ok(),
                None => false,
            };
            if accepted {
                return Ok(());
            }
            // The worker only ends early with an error; that error is what the caller needs to hear.
            self.joined().await.map(drop)
        })
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, Result<u64, BlobError>> {
        Box::pin(async move { self.joined().await })
    }
}

struct Worker {
    shared: Arc<Shared>,
    id: UploadId,
    upload: Arc<Upload>,
    claim: Claim,
}

impl Worker {
    fn run(mut self, mut receiver: mpsc::Receiver<Bytes>) -> Result<u64, BlobError> {
        let written = self.drain(&mut receiver);
        if written.is_err() {
            self.shared.discard(&self.id);
            *self.claim = None;
        }
        written
    }

    fn drain(&mut self, receiver: &mut mpsc::Receiver<Bytes>) -> Result<u64, BlobError> {
        let Some(state) = self.claim.as_mut() else { return Err(BlobError::NoSuchUpload(self.id.clone())) };
        let limit_bytes = self.shared.limits.blob_bytes;
        let mut writeback = Writeback::new(self.shared.uploads.join(self.id.as_str()));
        while let Some(chunk) = receiver.blocking_recv() {
            let length = state.length + chunk.len() as u64;
            if length > limit_bytes {
                return Err(BlobError::TooLarge { limit_bytes });
            }
            state.file.write_all(&chunk).map_err(BlobError::io("writing an upload"))?;
            state.hasher.update(&chunk);
            state.length = length;
            self.upload.set_length(length);
            writeback.written(chunk.len() as u64);
        }
        Ok(state.length)
    }
}
