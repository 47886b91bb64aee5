//! The words every other crate shares: who (accounts, regions), what (ARNs, ids) and when (timestamps).
//!
//! Nothing here does I/O, reads a clock or makes up randomness: the time and fresh ids are passed in, which is
//! what lets the pure cores be tested to the last branch. A type belongs here only when at least two layers
//! must agree on it.

mod arn;
mod identity;
mod ids;
mod scope;
mod seal;
mod time;
mod transfer;

pub use arn::{Arn, InvalidArn};
pub use identity::{AccountId, InvalidIdentity, Region};
pub use ids::{Ids, SeededIds};
pub use scope::Scope;
pub use seal::Seal;
pub use time::Timestamp;
pub use transfer::{Direction, Transfer, TransferProgress, Transfers};

#[cfg(test)]
mod tests;
