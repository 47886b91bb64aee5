//! A store so simple that it can be seen to be right, and random transactions to hold the others against it.
//!
//! It keeps every revision whole. Requests come from a seed, so a failure can be had again.

use std::collections::BTreeMap;

use bytes::Bytes;
use state_store::{
    Compare, Event, KeyRange, KeyValue, LeaseId, Op, OpResult, Operand, RangeRequest, RangeResponse,
    Relation, Revision, StoreError, Txn, TxnResponse,
};
use vocabulary::{Ids, SeededIds};

use crate::{conformance::Shared, within};

type Live = BTreeMap<Bytes, KeyValue>;

struct Model {
    revision: Revision,
    live: Live,
    /// The keys as each revision left them.
    past: BTreeMap<Revision, Live>,
    events: Vec<Event>,
    compacted: Revision,
}

/// What a refusal is compared by.
#[derive(Debug, PartialEq)]
enum Refusal {
    Invalid,
    Compacted,
    Future,
    Lease,
}

impl Model {
    fn new(revision: Revision) -> Model {
        let past = BTreeMap::from([(revision, Live::new())]);
        Model { revision, live: Live::new(), past, events: Vec::new(), compacted: 0 }
    }

    fn txn(&mut self, txn: &Txn, leases: &[LeaseId]) -> Result<TxnResponse, Refusal> {
        txn.validate().map_err(|_| Refusal::Invalid)?;
        let succeeded = txn.compares.iter().all(|compare| self.holds(compare));
        let branch = if succeeded { &txn.success } else { &txn.failure };
        let unknown = |lease: &LeaseId| *lease != LeaseId::NONE && !leases.contains(lease);
        if branch.iter().any(|op| matches!(op, Op::Put { lease, .. } if unknown(lease))) {
            return Err(Refusal::Lease);
        }
        for op in branch {
            if let Op::Range(request) = op {
                self.check_revision(request.revision)?;
            }
        }
        let (next, before) = (self.revision + 1, self.events.len());
        let mut results = Vec::new();
        for op in branch {
            results.push(match op {
                Op::Put { key, value, lease } => {
                    let old = self.live.get(key);
                    let (create_revision, version) =
                        old.map_or((next, 1), |old| (old.create_revision, old.version + 1));
                    let (key, value, lease) = (key.clone(), value.clone(), *lease);
                    let kv = KeyValue { key, value, create_revision, mod_revision: next, version, lease };
                    self.live.insert(kv.key.clone(), kv.clone());
                    self.events.push(Event::Put(kv));
                    OpResult::Put
                }
                Op::Delete(range) => OpResult::Delete(self.delete(|kv| range.contains(&kv.key), next)),
                Op::Range(request) => OpResult::Range(self.range(request)),
            });
        }
        if self.events.len() > before {
            self.end_revision();
        }
        for result in &mut results {
            if let OpResult::Range(range) = result {
                range.revision = self.revision;
            }
        }
        Ok(TxnResponse { revision: self.revision, succeeded, results })
    }

    fn delete(&mut self, doomed: impl Fn(&KeyValue) -> bool, revision: Revision) -> usize {
        let keys: Vec<Bytes> = self.live.values().filter(|kv| doomed(kv)).map(|kv| kv.key.clone()).collect();
        for key in &keys {
            self.live.remove(key);
            self.events.push(Event::Delete { key: key.clone(), revision });
        }
        keys.len()
    }

    fn end_revision(&mut self) {
        self.revision += 1;
        self.past.insert(self.revision, self.live.clone());
    }

    fn revoke(&mut self, lease: LeaseId) {
        if self.delete(|kv| kv.lease == lease, self.revision + 1) > 0 {
            self.end_revision();
        }
    }

    fn check_revision(&self, revision: Revision) -> Result<(), Refusal> {
        match revision {
            0 => Ok(()),
            _ if revision > self.revision => Err(Refusal::Future),
            _ if revision < self.compacted => Err(Refusal::Compacted),
            _ => Ok(()),
        }
    }

    fn range(&self, request: &RangeRequest) -> RangeResponse {
        let keys = if request.revision == 0 { &self.live } else { &self.past[&request.revision] };
        let mut kvs: Vec<KeyValue> =
            keys.values().filter(|kv| request.range.contains(&kv.key)).cloned().collect();
        let count = kvs.len();
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        if request.limit > 0 {
            kvs.truncate(request.limit);
        }
        let more = !request.count_only && kvs.len() < count;
        if request.count_only {
            kvs.clear();
        }
        RangeResponse { revision: self.revision, kvs, more, count }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let judge = |kv: Option<&KeyValue>| {
            let number = |property: fn(&KeyValue) -> i64, operand: i64| {
                relates(compare.relation, &kv.map_or(0, property), &operand)
            };
            match &compare.operand {
                Operand::CreateRevision(operand) => number(|kv| kv.create_revision, *operand),
                Operand::ModRevision(operand) => number(|kv| kv.mod_revision, *operand),
                Operand::Version(operand) => number(|kv| kv.version, *operand),
                Operand::Lease(operand) => number(|kv| kv.lease.0, operand.0),
                Operand::Value(operand) => kv.is_some_and(|kv| relates(compare.relation, &kv.value, operand)),
            }
        };
        let keys: Vec<_> = self.live.values().filter(|kv| compare.range.contains(&kv.key)).collect();
        if keys.is_empty() { judge(None) } else { keys.into_iter().all(|kv| judge(Some(kv))) }
    }
}

fn relates<T: Ord>(relation: Relation, property: &T, operand: &T) -> bool {
    match relation {
        Relation::Equal => property == operand,
        Relation::NotEqual => property != operand,
        Relation::Greater => property > operand,
        Relation::Less => property < operand,
    }
}

/// Random requests.
struct Generator(SeededIds);

impl Generator {
    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % u64::try_from(bound).unwrap()).unwrap()
    }

    fn key(&mut self) -> String {
        let keys = ["a", "a/", "a/1", "a/2", "a0", "b", "b/1", "c"];
        keys[self.below(keys.len())].to_owned()
    }

    fn value(&mut self) -> String {
        ["", "x", "y", "z"][self.below(4)].to_owned()
    }

    fn range(&mut self) -> KeyRange {
        match self.below(6) {
            0 => KeyRange::prefix(self.key()),
            1 => KeyRange::between(self.key(), self.key()),
            2 => KeyRange::from(self.key()),
            3 => KeyRange::prefix("a/"),
            _ => KeyRange::key(self.key()),
        }
    }

    /// A revision around those that there are, mostly valid.
    fn revision(&mut self, model: &Model) -> Revision {
        let first = *model.past.keys().next().unwrap();
        let span = usize::try_from(model.revision - first).unwrap() + 2;
        first + i64::try_from(self.below(span)).unwrap()
    }

    fn compare(&mut self, model: &Model, leases: &[LeaseId]) -> Compare {
        let relations = [Relation::Equal, Relation::NotEqual, Relation::Greater, Relation::Less];
        let operand = match self.below(6) {
            0 => Operand::CreateRevision(self.revision(model)),
            1 => Operand::ModRevision(self.revision(model)),
            2 => Operand::Version(i64::try_from(self.below(4)).unwrap()),
            3 => Operand::Lease(self.lease(leases)),
            4 => Operand::Value(self.value().into()),
            _ => return Compare::not_modified_since(self.range(), self.revision(model)),
        };
        Compare { range: self.range(), relation: relations[self.below(4)], operand }
    }

    fn lease(&mut self, leases: &[LeaseId]) -> LeaseId {
        if self.below(2) == 0 { LeaseId::NONE } else { leases[self.below(leases.len())] }
    }

    fn read(&mut self, model: &Model) -> RangeRequest {
        RangeRequest {
            range: self.range(),
            limit: self.below(4),
            revision: if self.below(3) == 0 { self.revision(model) } else { 0 },
            keys_only: self.below(4) == 0,
            count_only: self.below(6) == 0,
        }
    }

    fn op(&mut self, model: &Model, leases: &[LeaseId]) -> Op {
        match self.below(8) {
            0 | 1 => Op::Delete(self.range()),
            2 => Op::Range(self.read(model)),
            _ => Op::Put { key: self.key().into(), value: self.value().into(), lease: self.lease(leases) },
        }
    }

    fn txn(&mut self, model: &Model, leases: &[LeaseId]) -> Txn {
        let mut txn = Txn::new();
        for _ in 0..self.below(3) {
            txn = txn.when(self.compare(model, leases));
        }
        for _ in 0..self.below(5) {
            txn = txn.then(self.op(model, leases));
        }
        for _ in 0..self.below(4) {
            txn = txn.otherwise(self.op(model, leases));
        }
        txn
    }
}

fn refusal(error: StoreError) -> Refusal {
    match error {
        StoreError::Invalid(_) => Refusal::Invalid,
        StoreError::Compacted { .. } => Refusal::Compacted,
        StoreError::FutureRevision { .. } => Refusal::Future,
        StoreError::LeaseNotFound(_) => Refusal::Lease,
        error => panic!("{error}"),
    }
}

/// Random requests to a store without keys; every answer must be the model's, and so must the watched history.
pub async fn compare_with_model(store: &Shared, seed: u64) {
    const STEPS: usize = 150;
    let mut random = Generator(SeededIds::new(seed));
    let base = store.range(RangeRequest::new(KeyRange::key("any"))).await.unwrap().revision;
    let mut model = Model::new(base);
    let mut watcher = store.watch(KeyRange::all(), base + 1).await.unwrap();
    // The last one does not exist.
    let leases = [LeaseId(1001), LeaseId(1002), LeaseId(1003)];
    let granted = &leases[..2];
    for lease in granted {
        store.lease_grant(*lease, 3600).await.unwrap();
    }
    for step in 0..STEPS {
        match random.below(20) {
            0 => {
                let lease = granted[random.below(granted.len())];
                store.lease_revoke(lease).await.unwrap();
                store.lease_grant(lease, 3600).await.unwrap();
                model.revoke(lease);
            }
            1 => compact(store, &mut model, &mut random).await,
            2..8 => {
                let request = random.read(&model);
                let found = store.range(request.clone()).await.map_err(refusal);
                let expected = model.check_revision(request.revision).map(|()| model.range(&request));
                assert_eq!(found, expected, "seed {seed}, step {step}: {request:?}");
            }
            _ => {
                let txn = random.txn(&model, &leases);
                let found = store.txn(txn.clone()).await.map_err(refusal);
                let expected = model.txn(&txn, granted);
                assert_eq!(found, expected, "seed {seed}, step {step}: {txn:?}");
            }
        }
    }
    for lease in granted {
        store.lease_revoke(*lease).await.unwrap();
        model.revoke(*lease);
    }
    let mut seen = Vec::new();
    while seen.len() < model.events.len() {
        seen.extend(within(watcher.next()).await.unwrap().events);
    }
    assert_eq!(seen, model.events, "seed {seed}: the history as watched");
}

/// Compacts at one of the model's revisions. Only when the watcher cannot be behind it: it is read at the end.
async fn compact(store: &Shared, model: &mut Model, random: &mut Generator) {
    let revision = random.revision(model);
    let expected = match revision {
        _ if revision > model.revision => Err(Refusal::Future),
        _ if revision <= model.compacted => Err(Refusal::Compacted),
        _ => Ok(()),
    };
    // The revision that the store started from may be behind a compaction of an earlier run.
    if expected.is_ok() && *model.past.keys().next().unwrap() == revision {
        return;
    }
    assert_eq!(store.compact(revision).await.map_err(refusal), expected);
    if expected.is_ok() {
        model.compacted = revision;
    }
}
