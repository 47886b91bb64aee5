//! The state of the control plane: an etcd-shaped store, and typed tables in memory on top of it.
//!
//! [`Store`] is the contract: ordered keys, one global revision, transactions of compares and writes, range reads, watches
//! from a revision, leases. [`SqliteStore`] is the embedded implementation: durable before it acknowledges, many
//! transactions per fsync. [`EtcdStore`] is the distributed one. [`State`] is what services use: tables of [`Record`]s in memory, fed by the watch, read without
//! touching the store, and changed in transactions whose commit depends on what they read.
//!
//! It does not decide what is stored, who may read it, or when history is worth keeping: callers do.
//!
//! ```
//! use std::sync::Arc;
//!
//! use serde::{Deserialize, Serialize};
//! use state_store::{Record, SqliteStore, State, StateError, Tables};
//! use vocabulary::{AccountId, Scope};
//!
//! #[derive(Debug, Clone, Serialize, Deserialize)]
//! struct Cluster {
//!     status: String,
//!     tasks: u32,
//! }
//!
//! impl Record for Cluster {
//!     const SERVICE: &'static str = "ecs";
//!     const KIND: &'static str = "cluster";
//!     const SCHEMA_VERSION: u32 = 1;
//!
//!     fn indexes(&self) -> Vec<(&'static str, String)> {
//!         vec![("status", self.status.clone())]
//!     }
//! }
//!
//! /// A service's own errors; `transact` needs the conversion.
//! #[derive(Debug, thiserror::Error)]
//! enum EcsError {
//!     #[error("no such cluster")]
//!     ClusterNotFound,
//!     #[error(transparent)]
//!     State(#[from] StateError),
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), EcsError> {
//! let store = Arc::new(SqliteStore::in_memory().map_err(StateError::from)?);
//! let state = State::open(store, Tables::new().with::<Cluster>()).await?;
//! let scope = Scope::new(AccountId::local(), "us-east-1".parse().expect("a region name"));
//!
//! // The closure may run more than once: it must have no effect but through `tx`.
//! state
//!     .transact(|tx| {
//!         tx.put(&scope, "default", Cluster { status: "ACTIVE".to_owned(), tasks: 0 });
//!         Ok::<_, EcsError>(())
//!     })
//!     .await?;
//! let tasks = state
//!     .transact(|tx| {
//!         let cluster = tx.get::<Cluster>(&scope, "default").ok_or(EcsError::ClusterNotFound)?;
//!         let changed = Cluster { tasks: cluster.tasks + 1, ..(*cluster).clone() };
//!         tx.put(&scope, "default", changed);
//!         Ok::<_, EcsError>(cluster.tasks + 1)
//!     })
//!     .await?;
//! assert_eq!(tasks, 1);
//!
//! let active = state.read(|view| view.by_index::<Cluster>(&scope, "status", "ACTIVE").count());
//! assert_eq!(active, 1);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod error;
mod etcd;
mod kv;
mod leadership;
mod sqlite;
mod store;
mod tables;
mod txn;

pub use error::{InvalidRequest, StoreError};
pub use etcd::{EtcdOptions, EtcdStore, InvalidEtcdUrl};
pub use kv::{Event, KeyRange, KeyValue, LeaseId, Revision};
pub use leadership::{Fence, Leadership};
pub use sqlite::{SqliteOptions, SqliteStats, SqliteStore};
pub use store::{BoxFuture, Lease, LeaseStatus, MAX_LEASE_SECONDS, Store, WatchBatch, Watcher};
pub use tables::{
    AllChanges, AlreadyExists, Change, Changes, Found, Notice, Record, State, StateError, Tables, Touched,
    Tx, View,
};
pub use txn::{
    Compare, MAX_TXN_BYTES, MAX_TXN_OPERATIONS, Op, OpResult, Operand, RangeRequest, RangeResponse, Relation,
    Txn, TxnResponse,
};
