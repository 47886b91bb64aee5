//! Every store against one suite, and each against what only it can get wrong.

mod conformance;
mod crash;
mod etcd;
mod full_disk;
mod model;
mod sqlite;

use std::{future::Future, time::Duration};

/// Waits for something that must happen, but not forever.
async fn within<T>(what: impl Future<Output = T>) -> T {
    const BOUND: Duration = Duration::from_secs(60);
    tokio::time::timeout(BOUND, what).await.expect("it happens within a minute")
}
