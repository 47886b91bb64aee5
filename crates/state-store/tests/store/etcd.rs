//! The suite against the etcd of the system (Debian: `etcd-server`), started for the test and gone with it.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use state_store::{EtcdOptions, EtcdStore, KeyRange, RangeRequest, Store, StoreError, Txn};
use tempfile::TempDir;

use crate::{conformance, within};

struct Etcd {
    process: Child,
    endpoint: String,
    _data: TempDir,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // Already gone is as good.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

impl Etcd {
    /// Starts etcd on free ports of the loopback interface. Ports can be taken between choosing and using them, hence more
    /// than one try.
    async fn start() -> Etcd {
        for _ in 0..3 {
            let mut etcd = Etcd::spawn();
            if etcd.is_ready().await {
                return etcd;
            }
        }
        panic!("etcd did not start");
    }

    fn spawn() -> Etcd {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [client, peer] = listeners.each_ref().map(|listener| listener.local_addr().unwrap().to_string());
        drop(listeners);
        let data = tempfile::tempdir().unwrap();
        let process = Command::new("etcd")
            .arg("--data-dir")
            .arg(data.path())
            .args(["--listen-client-urls", &format!("http://{client}")])
            .args(["--advertise-client-urls", &format!("http://{client}")])
            .args(["--listen-peer-urls", &format!("http://{peer}")])
            .args(["--initial-advertise-peer-urls", &format!("http://{peer}")])
            .args(["--initial-cluster", &format!("default=http://{peer}")])
            // A quick election, which is also what the shortest lease is derived from.
            .args(["--heartbeat-interval", "50", "--election-timeout", "500", "--log-level", "error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd can be started; if it is missing: apt-get install etcd-server");
        Etcd { process, endpoint: client, _data: data }
    }

    async fn is_ready(&mut self) -> bool {
        let answers = async {
            loop {
                if self.process.try_wait().unwrap().is_some() {
                    return false;
                }
                if EtcdStore::connect(self.options("")).await.is_ok() {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), answers).await.unwrap_or(false)
    }

    fn options(&self, prefix: &str) -> EtcdOptions {
        let endpoints = vec![self.endpoint.clone()];
        EtcdOptions { prefix: prefix.to_owned(), keep_history: None, ..EtcdOptions::new(endpoints) }
    }

    async fn store(&self, prefix: &str) -> Arc<dyn Store> {
        Arc::new(EtcdStore::connect(self.options(prefix)).await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_conforms() {
    let etcd = Etcd::start().await;
    // Each case in a corner of its own, between neighbours that it must not see.
    let fence = etcd.store("").await;
    for key in ["case/", "case/a", "case0", "zzz"] {
        fence.txn(Txn::put(key, "a neighbour")).await.unwrap();
    }
    conformance::run_all(async |case| etcd.store(&format!("case/{case}/")).await).await;
    let neighbours = fence.range(RangeRequest::new(KeyRange::from("case0"))).await.unwrap();
    assert_eq!(neighbours.count, 2);
}

/// Without a prefix a store is the whole etcd; then its ranges without end have none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_conforms_without_a_prefix() {
    let etcd = Etcd::start().await;
    let make = async |_: &str| {
        let store = etcd.store("").await;
        store.txn(Txn::delete(KeyRange::all())).await.unwrap();
        store
    };
    conformance::run_all(make).await;
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_apart_from_what_may_have_happened() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let nobody = EtcdStore::connect(EtcdOptions::new(vec![free.clone()])).await.err().unwrap();
    assert!(matches!(nobody, StoreError::Backend { .. }), "{nobody}");
    assert!(nobody.to_string().contains(&free), "{nobody}");

    // The first endpoint is dead; the second answers.
    let etcd = Etcd::start().await;
    let options = EtcdOptions::new(vec![free, etcd.endpoint.clone()]);
    let store = EtcdStore::connect(options).await.unwrap();
    store.txn(Txn::put("a", "1")).await.unwrap();
    let mut watcher = store.watch(KeyRange::all(), 0).await.unwrap();
    drop(etcd);
    let ended = within(watcher.next()).await;
    assert!(matches!(ended, Err(StoreError::Backend { .. })), "{ended:?}");
    let refused = store.txn(Txn::put("a", "2")).await;
    assert!(matches!(refused, Err(StoreError::Backend { .. } | StoreError::Unknown { .. })), "{refused:?}");
}
