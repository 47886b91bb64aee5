//! Adding bytes: the async side gathers what the network delivers into batches, blocking tasks hash and write them in order.
//!
//! One batch is being written while the next gathers, and no thread waits for a client: a slow one costs memory only, and all
//! uploads together have a bounded amount of that, so that clients faster than the disk are held back by their own connections.
//! A failed write ends the upload: nothing of it stays.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::upload::{Claim, Upload};
use super::writeback::Writeback;
use super::{QUEUED_KIBIBYTES, Shared};
use crate::error::BlobError;
use crate::store::{Append, BoxFuture, UploadId};

/// Bytes gathered before they are written: enough that the hop to another thread is lost in the hashing.
const BATCH_BYTES: usize = 1024 * 1024;

/// The unit in which gathered memory is counted.
const KIBIBYTE: usize = 1024;

/// Chunks with their shares of the memory that all uploads may hold.
type Batch = Vec<(Bytes, OwnedSemaphorePermit)>;

struct FileAppend {
    shared: Arc<Shared>,
    batch: Batch,
    batch_bytes: usize,
    writer: Writer,
}

/// Where the right to write is.
enum Writer {
    Idle(Box<Worker>),
    Busy(JoinHandle<Result<Box<Worker>, BlobError>>),
    Failed,
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
    let writeback = Writeback::new(shared.uploads.join(id.as_str()), shared.limits.durable);
    let worker = Box::new(Worker { shared: Arc::clone(shared), id, upload, claim, writeback });
    let writer = Writer::Idle(worker);
    Ok(Box::new(FileAppend { shared: Arc::clone(shared), batch: Batch::new(), batch_bytes: 0, writer }))
}

fn gone() -> BlobError {
    BlobError::Io {
        context: "writing an upload",
        source: std::io::Error::other("an earlier write has failed already"),
    }
}

impl FileAppend {
    /// Waits until the batch before is written.
    async fn idle(&mut self) -> Result<Box<Worker>, BlobError> {
        match std::mem::replace(&mut self.writer, Writer::Failed) {
            Writer::Idle(worker) => Ok(worker),
            Writer::Busy(running) => running.await.unwrap_or_else(|_| Err(gone())),
            Writer::Failed => Err(gone()),
        }
    }

    /// Hands the batch to a blocking task.
    async fn flush(&mut self) -> Result<(), BlobError> {
        let worker = self.idle().await?;
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.writer = Writer::Busy(tokio::task::spawn_blocking(move || worker.run(batch)));
        Ok(())
    }
}

impl Append for FileAppend {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            let share = bytes.len().div_ceil(KIBIBYTE).clamp(1, QUEUED_KIBIBYTES);
            let share = u32::try_from(share).unwrap_or(u32::MAX);
            let memory = Arc::clone(&self.shared.queued);
            let share = match memory.try_acquire_many_owned(share) {
                Ok(share) => share,
                Err(_) => {
                    // Memory is short: what this upload holds goes to the disk before it waits for more.
                    self.flush().await?;
                    let memory = Arc::clone(&self.shared.queued);
                    memory.acquire_many_owned(share).await.map_err(|_| gone())?
                }
            };
            self.batch_bytes += bytes.len();
            self.batch.push((bytes, share));
            if self.batch_bytes >= BATCH_BYTES { self.flush().await } else { Ok(()) }
        })
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, Result<u64, BlobError>> {
        Box::pin(async move {
            if !self.batch.is_empty() {
                self.flush().await?;
            }
            let worker = self.idle().await?;
            Ok(worker.claim.as_ref().map_or(0, |state| state.length))
        })
    }
}

/// The right to one upload, and what writes to it.
struct Worker {
    shared: Arc<Shared>,
    id: UploadId,
    upload: Arc<Upload>,
    claim: Claim,
    writeback: Writeback,
}

impl Worker {
    fn run(mut self: Box<Self>, batch: Batch) -> Result<Box<Self>, BlobError> {
        match self.write(batch) {
            Ok(()) => Ok(self),
            Err(error) => {
                self.shared.discard(&self.id);
                *self.claim = None;
                Err(error)
            }
        }
    }

    fn write(&mut self, batch: Batch) -> Result<(), BlobError> {
        let Some(state) = self.claim.as_mut() else { return Err(BlobError::NoSuchUpload(self.id.clone())) };
        let limit_bytes = self.shared.limits.blob_bytes;
        let file = match state.file.take() {
            Some(file) => file,
            None => self.shared.open_file(&self.id)?,
        };
        let file = state.file.insert(file);
        for (chunk, _share) in batch {
            let length = state.length + chunk.len() as u64;
            if length > limit_bytes {
                return Err(BlobError::TooLarge { limit_bytes });
            }
            file.write_all(&chunk).map_err(BlobError::io("writing an upload"))?;
            state.hasher.update(&chunk);
            state.length = length;
            self.upload.set_length(length);
            self.writeback.written(chunk.len() as u64);
        }
        Ok(())
    }
}
