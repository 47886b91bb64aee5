//! Compares, branches, revisions, and what is refused.

use bytes::Bytes;
use state_store::{
    Compare, InvalidRequest, KeyRange, LeaseId, MAX_TXN_BYTES, MAX_TXN_OPERATIONS, Op, OpResult, Operand,
    Relation, StoreError, Txn,
};

use super::{Shared, commit, delete, holds, key, keys, put, read, read_op, revision, value, values};
use crate::model;

pub async fn puts_count_versions(store: &Shared) {
    let first = put(store, "a", "1").await;
    let second = put(store, "a", "2").await;
    assert_eq!(second, first + 1);
    let found = read(store, key("a")).await;
    let [kv] = &found.kvs[..] else { panic!("{found:?}") };
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (first, second, 2));
    assert_eq!((&kv.value[..], kv.lease, found.revision), (&b"2"[..], LeaseId::NONE, second));

    delete(store, key("a")).await;
    assert_eq!(read(store, key("a")).await.kvs, []);
    let reborn = put(store, "a", "3").await;
    let kv = &read(store, key("a")).await.kvs[0];
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (reborn, reborn, 1));
}

pub async fn compares_judge_keys(store: &Shared) {
    let created = put(store, "a", "m").await;
    let modified = put(store, "a", "m").await;
    let cases = [
        (Operand::CreateRevision(created), Operand::CreateRevision(created + 1)),
        (Operand::ModRevision(modified), Operand::ModRevision(modified + 1)),
        (Operand::Version(2), Operand::Version(3)),
        (Operand::Lease(LeaseId::NONE), Operand::Lease(LeaseId(1))),
        (Operand::Value(Bytes::from("m")), Operand::Value(Bytes::from("n"))),
    ];
    for (same, above) in cases {
        let judge = async |relation, operand: &Operand| {
            holds(store, Compare { range: key("a"), relation, operand: operand.clone() }).await
        };
        let judged_same = [
            judge(Relation::Equal, &same).await,
            judge(Relation::NotEqual, &same).await,
            judge(Relation::Greater, &same).await,
            judge(Relation::Less, &same).await,
        ];
        assert_eq!(judged_same, [true, false, false, false], "{same:?}");
        let judged_above = [
            judge(Relation::Equal, &above).await,
            judge(Relation::NotEqual, &above).await,
            judge(Relation::Greater, &above).await,
            judge(Relation::Less, &above).await,
        ];
        assert_eq!(judged_above, [false, true, false, true], "{above:?}");
    }
}

pub async fn a_missing_key_is_judged_as_zero(store: &Shared) {
    put(store, "gone", "x").await;
    delete(store, key("gone")).await;
    for name in ["never", "gone"] {
        for operand in [
            Operand::CreateRevision(0),
            Operand::ModRevision(0),
            Operand::Version(0),
            Operand::Lease(LeaseId::NONE),
        ] {
            let compare = Compare { range: key(name), relation: Relation::Equal, operand };
            assert!(holds(store, compare.clone()).await, "{compare:?}");
        }
        for relation in [Relation::Equal, Relation::NotEqual, Relation::Less, Relation::Greater] {
            let compare = Compare { range: key(name), relation, operand: Operand::Value(Bytes::new()) };
            assert!(!holds(store, compare.clone()).await, "a missing value never compares: {compare:?}");
        }
    }
}

pub async fn a_range_compare_judges_every_key(store: &Shared) {
    let range = || KeyRange::prefix("p/");
    let unchanged_since = |revision| Compare::not_modified_since(range(), revision);
    let before = revision(store).await;
    assert!(holds(store, unchanged_since(before)).await, "an empty range");
    let exists = Compare { range: range(), relation: Relation::Greater, operand: Operand::Version(0) };
    assert!(!holds(store, exists.clone()).await, "an empty range is judged as a missing key");

    put(store, "p/a", "1").await;
    let first = put(store, "p/b", "1").await;
    put(store, "q", "1").await;
    put(store, "p", "1").await;
    assert!(holds(store, unchanged_since(first)).await);
    assert!(!holds(store, unchanged_since(first - 1)).await, "one key of two is newer");
    assert!(holds(store, exists).await);
    let all_ones =
        Compare { range: range(), relation: Relation::Equal, operand: Operand::Value(Bytes::from("1")) };
    assert!(holds(store, all_ones.clone()).await);
    put(store, "p/b", "2").await;
    assert!(!holds(store, all_ones).await);
    assert!(!holds(store, unchanged_since(first)).await);
    delete(store, key("p/b")).await;
    assert!(holds(store, unchanged_since(first)).await, "a deleted key is not in the range");
    let backwards = Compare::not_modified_since(KeyRange::between("z", "a"), 1);
    assert!(holds(store, backwards).await, "a range that runs backwards is empty");
}

pub async fn the_failure_branch_is_carried_out_instead(store: &Shared) {
    put(store, "a", "old").await;
    let txn = || {
        Txn::new()
            .when(Compare::value("a", "old"))
            .when(Compare::create_revision("b", 0))
            .then(Op::put("b", "made"))
            .otherwise(read_op(key("a")))
            .otherwise(read_op(key("b")))
    };
    let first = commit(store, txn()).await;
    assert_eq!((first.succeeded, &first.results[..]), (true, &[OpResult::Put][..]));
    let second = commit(store, txn()).await;
    assert!(!second.succeeded);
    assert_eq!(values(&second.results), ["old", "made"]);
    assert_eq!(second.revision, first.revision);
}

pub async fn steps_see_those_before_them(store: &Shared) {
    put(store, "a", "1").await;
    let txn = Txn::new()
        .then(read_op(KeyRange::prefix("")))
        .then(Op::put("b", "2"))
        .then(read_op(KeyRange::prefix("")))
        .then(Op::Delete(key("a")))
        .then(read_op(KeyRange::prefix("")));
    let answer = commit(store, txn).await;
    assert_eq!(values(&answer.results), ["1", "1", "2", "2"]);
    assert_eq!(answer.results[3], OpResult::Delete(1));
}

pub async fn a_transaction_is_one_revision(store: &Shared) {
    for name in ["a", "b", "c"] {
        put(store, name, "old").await;
    }
    let before = revision(store).await;
    let txn = Txn::new()
        .then(Op::put("d", "new"))
        .then(Op::Delete(KeyRange::between("a", "c")))
        .then(Op::put("c", "new"));
    let answer = commit(store, txn).await;
    assert_eq!(answer.revision, before + 1);
    assert_eq!(answer.results, [OpResult::Put, OpResult::Delete(2), OpResult::Put]);
    let found = read(store, KeyRange::all()).await;
    assert_eq!(keys(&found), ["c", "d"]);
    assert!(found.kvs.iter().all(|kv| kv.mod_revision == before + 1));
}

pub async fn nothing_changed_is_no_revision(store: &Shared) {
    let before = put(store, "a", "1").await;
    assert_eq!(delete(store, key("missing")).await, before);
    assert_eq!(delete(store, KeyRange::between("z", "a")).await, before);
    assert_eq!(commit(store, Txn::new()).await.revision, before);
    let same = put(store, "a", "1").await;
    assert_eq!(same, before + 1, "a put counts even when the value stays");
}

pub async fn a_refused_branch_leaves_nothing(store: &Shared) {
    let before = put(store, "a", "1").await;
    let unknown = LeaseId(987_654_321);
    let txn = Txn::new().then(Op::put("b", "x")).then(Op::put_leased("c", "x", unknown));
    let refused = store.txn(txn).await;
    assert!(matches!(refused, Err(StoreError::LeaseNotFound(id)) if id == unknown), "{refused:?}");
    let ahead = state_store::RangeRequest::new(key("a")).at(before + 1000);
    let refused = store.txn(Txn::new().then(Op::put("b", "x")).then(Op::Range(ahead))).await;
    assert!(matches!(refused, Err(StoreError::FutureRevision { .. })), "{refused:?}");
    assert_eq!((revision(store).await, value(store, "b").await), (before, None));
    // Only the branch that is carried out counts.
    let other = Txn::new()
        .when(Compare::value("a", "2"))
        .then(Op::put_leased("c", "x", unknown))
        .otherwise(Op::put("b", "y"));
    assert!(!commit(store, other).await.succeeded);
    assert_eq!(value(store, "b").await.as_deref(), Some("y"));
}

pub async fn malformed_requests_are_refused(store: &Shared) {
    let before = revision(store).await;
    let check = async |txn: Txn, expected: fn(&InvalidRequest) -> bool| {
        let refused = store.txn(txn).await;
        assert!(matches!(&refused, Err(StoreError::Invalid(why)) if expected(why)), "{refused:?}");
    };
    let empty = |why: &InvalidRequest| matches!(why, InvalidRequest::EmptyKey);
    check(Txn::put("", "x"), empty).await;
    check(Txn::delete(key("")), empty).await;
    check(Txn::new().when(Compare::mod_revision("", 0)), empty).await;
    check(Txn::new().then(read_op(key(""))), empty).await;
    let twice = |why: &InvalidRequest| matches!(why, InvalidRequest::DuplicateKey(_));
    check(Txn::put("a", "1").then(Op::put("a", "2")), twice).await;
    check(Txn::put("a", "1").then(Op::Delete(KeyRange::prefix("a"))), twice).await;
    check(Txn::delete(key("a")).then(Op::put("a", "1")), twice).await;
    let many =
        |count: usize| (0..count).fold(Txn::new(), |txn, n| txn.then(Op::put(format!("many/{n}"), "x")));
    check(many(MAX_TXN_OPERATIONS + 1), |why| matches!(why, InvalidRequest::TooManyOperations { .. })).await;
    let long = |bytes: usize| Txn::put("long", vec![b'x'; bytes]);
    check(long(MAX_TXN_BYTES), |why| matches!(why, InvalidRequest::TooLarge { .. })).await;
    assert_eq!(revision(store).await, before);

    // What lies just within the limits is accepted by every store.
    commit(store, many(MAX_TXN_OPERATIONS)).await;
    commit(store, long(MAX_TXN_BYTES - "long".len())).await;
    commit(store, Txn::new().then(Op::put("a", "1")).otherwise(Op::put("a", "2"))).await;
    commit(store, Txn::delete(KeyRange::prefix("a")).then(Op::Delete(key("a")))).await;
}

/// Random transactions, answered and remembered as by the model.
pub async fn agrees_with_the_model(store: &Shared) {
    for seed in 0..8 {
        model::compare_with_model(store, seed).await;
        delete(store, KeyRange::all()).await;
    }
}
