//! Ships containers' output.
//!
//! One [`ship`] per run of a container reads the output that the sandbox keeps on disk and sends it on. What was sent
//! and acknowledged is remembered before the disk's copy may go, so that a restart of either side repeats at most the
//! last batch and loses nothing. Text becomes events in [`events`], events become batches in [`batch`].

mod batch;
mod events;
mod ship;

pub use batch::{Batch, MAX_BATCH_BYTES};
pub use events::Assembler;
pub(crate) use ship::{Destination, Shipper, ship};
