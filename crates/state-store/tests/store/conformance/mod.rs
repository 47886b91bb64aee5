//! What a [`Store`] promises, as cases that know nothing of how it is made.
//!
//! A case gets a store with no keys in it; revisions may start anywhere, because etcd's are shared by all cases.

pub mod concurrency;
pub mod history;
pub mod leases;
pub mod ranges;
pub mod servers;
pub mod transactions;
pub mod watches;

use std::sync::Arc;

use state_store::{
    KeyRange, Op, OpResult, RangeRequest, RangeResponse, Revision, Store, Txn, TxnResponse, Watcher,
};

use crate::within;

pub type Shared = Arc<dyn Store>;

/// Calls `$run` with the list of all cases.
macro_rules! all_cases {
    ($run:ident) => {
        $run! {
            transactions::{
                puts_count_versions,
                compares_judge_keys,
                a_missing_key_is_judged_as_zero,
                a_range_compare_judges_every_key,
                the_failure_branch_is_carried_out_instead,
                steps_see_those_before_them,
                a_transaction_is_one_revision,
                nothing_changed_is_no_revision,
                a_refused_branch_leaves_nothing,
                malformed_requests_are_refused,
                agrees_with_the_model,
            }
            ranges::{
                prefixes_and_ranges_select,
                limits_page_through,
                keys_and_counts_alone,
                the_past_stays_readable,
            }
            history::{
                compaction_keeps_what_is_current,
                compaction_is_once_and_not_ahead,
            }
            watches::{
                changes_arrive_whole_and_in_order,
                a_watch_starts_where_it_is_told,
                only_the_range_is_watched,
                a_slow_watcher_misses_nothing,
                a_compacted_past_ends_the_watch,
                a_watch_waits_for_the_future,
            }
            leases::{
                a_lease_ends_with_its_keys,
                expiry_deletes_the_keys,
                keeping_alive_prevents_expiry,
                keys_leave_their_lease,
                unknown_leases_are_refused,
            }
            concurrency::{
                no_update_is_lost,
                readers_see_what_was_acknowledged,
            }
            servers::{
                two_servers_see_each_others_records,
                two_servers_lose_no_update,
                one_leader_at_a_time,
            }
        }
    };
}
pub(crate) use all_cases;

/// Defines one test per case, each on a store of its own that `$make` makes.
macro_rules! each_as_a_test {
    ($make:path; $($module:ident::{$($case:ident),* $(,)?})*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let (store, _kept) = $make();
                crate::conformance::$module::$case(&store).await;
            }
        )*)*
    };
}
pub(crate) use each_as_a_test;

macro_rules! run_each {
    ($($module:ident::{$($case:ident),* $(,)?})*) => {
        /// Runs all cases one after the other, each on a store from `make`.
        pub async fn run_all(make: impl AsyncFn(&str) -> Shared) {
            $($(
                println!("{}::{}", stringify!($module), stringify!($case));
                let store = make(stringify!($case)).await;
                $module::$case(&store).await;
            )*)*
        }
    };
}
all_cases!(run_each);

async fn put(store: &Shared, key: &str, value: &str) -> Revision {
    commit(store, Txn::put(key.to_owned(), value.to_owned())).await.revision
}

async fn delete(store: &Shared, range: KeyRange) -> Revision {
    commit(store, Txn::delete(range)).await.revision
}

/// Carries out a transaction that must not be refused.
async fn commit(store: &Shared, txn: Txn) -> TxnResponse {
    store.txn(txn).await.unwrap()
}

async fn holds(store: &Shared, compare: state_store::Compare) -> bool {
    commit(store, Txn::new().when(compare)).await.succeeded
}

async fn read(store: &Shared, range: KeyRange) -> RangeResponse {
    store.range(RangeRequest::new(range)).await.unwrap()
}

async fn value(store: &Shared, key: &str) -> Option<String> {
    let found = read(store, KeyRange::key(key.to_owned())).await;
    found.kvs.first().map(|kv| text(&kv.value))
}

async fn revision(store: &Shared) -> Revision {
    read(store, KeyRange::key("any")).await.revision
}

fn key(name: &str) -> KeyRange {
    KeyRange::key(name.to_owned())
}

fn read_op(range: KeyRange) -> Op {
    Op::Range(RangeRequest::new(range))
}

fn keys(response: &RangeResponse) -> Vec<String> {
    response.kvs.iter().map(|kv| text(&kv.key)).collect()
}

fn values(results: &[OpResult]) -> Vec<String> {
    let ranges = results.iter().filter_map(|result| match result {
        OpResult::Range(range) => Some(&range.kvs),
        OpResult::Put | OpResult::Delete(_) => None,
    });
    ranges.flatten().map(|kv| text(&kv.value)).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The next `count` events at least, written `key=value@revision` or `-key@revision`, revisions relative to `base`.
async fn events(watcher: &mut Watcher, count: usize, base: Revision) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let batch = within(watcher.next()).await.unwrap();
        assert!(!batch.events.is_empty(), "a batch has events");
        assert!(batch.events.iter().all(|event| event.revision() <= batch.revision), "{batch:?}");
        seen.extend(batch.events.iter().map(|event| match event {
            state_store::Event::Put(kv) => {
                format!("{}={}@{}", text(&kv.key), text(&kv.value), kv.mod_revision - base)
            }
            state_store::Event::Delete { key, revision } => format!("-{}@{}", text(key), revision - base),
        }));
    }
    seen
}
