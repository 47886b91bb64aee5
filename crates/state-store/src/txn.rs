//! Transactions: what must hold, what is done when it does, and what when it does not.
//!
//! The limits are etcd's defaults and hold for every implementation, so that a caller that works on one works on all.

use bytes::Bytes;

use crate::{
    KeyRange, KeyValue, LeaseId, Revision,
    error::{InvalidRequest, StoreError},
};

/// Compares, and operations of one branch, that one transaction may hold (etcd's `--max-txn-ops`).
pub const MAX_TXN_OPERATIONS: usize = 128;

/// Bytes of keys and values that one transaction may carry: etcd's request limit of 1.5 MiB, less room for framing.
pub const MAX_TXN_BYTES: usize = 1_500_000;

/// When every compare holds, `success` is carried out, otherwise `failure`; either as a whole, or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    pub compares: Vec<Compare>,
    pub success: Vec<Op>,
    pub failure: Vec<Op>,
}

/// A condition on every key of `range`. When the range holds no key, it is judged as one key whose revisions, version and
/// lease are zero; a value compare then fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    pub range: KeyRange,
    pub relation: Relation,
    pub operand: Operand,
}

/// How the key's property must relate to the operand: `property RELATION operand`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Equal,
    NotEqual,
    Greater,
    Less,
}

/// The property that is compared, and what with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    CreateRevision(Revision),
    ModRevision(Revision),
    Version(i64),
    Lease(LeaseId),
    Value(Bytes),
}

/// One step of a branch. Steps are carried out in order and see the effect of those before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Sets the value and the lease; [`LeaseId::NONE`] detaches the key from the lease it had.
    Put {
        key: Bytes,
        value: Bytes,
        lease: LeaseId,
    },
    Delete(KeyRange),
    Range(RangeRequest),
}

/// Which keys to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRequest {
    pub range: KeyRange,
    /// At most so many keys; 0 for all.
    pub limit: usize,
    /// As of this revision; 0 for the latest.
    pub revision: Revision,
    /// Leave the values out.
    pub keys_only: bool,
    /// Only count.
    pub count_only: bool,
}

/// Keys in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeResponse {
    /// The store's revision when the range was read (not the one asked for).
    pub revision: Revision,
    pub kvs: Vec<KeyValue>,
    /// Whether the limit cut keys off.
    pub more: bool,
    /// Number of keys in the range, whatever the limit.
    pub count: usize,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnResponse {
    /// The revision that the transaction made, or the store's latest when it changed nothing.
    pub revision: Revision,
    /// Whether the compares held.
    pub succeeded: bool,
    /// One per operation of the branch that was carried out.
    pub results: Vec<OpResult>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpResult {
    Put,
    /// Number of keys that were deleted.
    Delete(usize),
    Range(RangeResponse),
}

impl Txn {
    pub fn new() -> Txn {
        Txn::default()
    }

    /// Adds a condition.
    pub fn when(mut self, compare: Compare) -> Txn {
        self.compares.push(compare);
        self
    }

    /// Adds an operation to the success branch.
    pub fn then(mut self, op: Op) -> Txn {
        self.success.push(op);
        self
    }

    /// Adds an operation to the failure branch.
    pub fn otherwise(mut self, op: Op) -> Txn {
        self.failure.push(op);
        self
    }

    /// An unconditional put.
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Txn {
        Txn::new().then(Op::put(key, value))
    }

    /// An unconditional delete.
    pub fn delete(range: KeyRange) -> Txn {
        Txn::new().then(Op::Delete(range))
    }

    /// Bytes of keys and values in it.
    pub fn size_bytes(&self) -> usize {
        let compares = self.compares.iter().map(|compare| {
            let operand = if let Operand::Value(value) = &compare.operand { value.len() } else { 0 };
            range_bytes(&compare.range) + operand
        });
        let ops = self.success.iter().chain(&self.failure).map(|op| match op {
            Op::Put { key, value, .. } => key.len() + value.len(),
            Op::Delete(range) => range_bytes(range),
            Op::Range(request) => range_bytes(&request.range),
        });
        compares.chain(ops).sum()
    }

    /// Whether the request is well-formed, whatever the store holds. Every implementation asks before anything else.
    pub fn validate(&self) -> Result<(), StoreError> {
        let count = self.compares.len().max(self.success.len()).max(self.failure.len());
        if count > MAX_TXN_OPERATIONS {
            return Err(InvalidRequest::TooManyOperations { count, limit: MAX_TXN_OPERATIONS }.into());
        }
        let bytes = self.size_bytes();
        if bytes > MAX_TXN_BYTES {
            return Err(InvalidRequest::TooLarge { bytes, limit: MAX_TXN_BYTES }.into());
        }
        self.compares.iter().try_for_each(|compare| compare.range.validate())?;
        validate_branch(&self.success)?;
        validate_branch(&self.failure)
    }
}

impl Compare {
    /// `key` is as the put of `revision` left it; 0: `key` does not exist.
    pub fn mod_revision(key: impl Into<Bytes>, revision: Revision) -> Compare {
        Compare {
            range: KeyRange::key(key),
            relation: Relation::Equal,
            operand: Operand::ModRevision(revision),
        }
    }

    /// `key` was created at `revision` and not deleted since; 0: `key` does not exist.
    pub fn create_revision(key: impl Into<Bytes>, revision: Revision) -> Compare {
        Compare {
            range: KeyRange::key(key),
            relation: Relation::Equal,
            operand: Operand::CreateRevision(revision),
        }
    }

    /// No key of `range` was put after `revision`. Deletions are not seen: deleted keys are not in the range.
    pub fn not_modified_since(range: KeyRange, revision: Revision) -> Compare {
        Compare { range, relation: Relation::Less, operand: Operand::ModRevision(revision + 1) }
    }

    pub fn value(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Compare {
        Compare {
            range: KeyRange::key(key),
            relation: Relation::Equal,
            operand: Operand::Value(value.into()),
        }
    }
}

impl Op {
    /// A put without lease.
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Op {
        Op::put_leased(key, value, LeaseId::NONE)
    }

    pub fn put_leased(key: impl Into<Bytes>, value: impl Into<Bytes>, lease: LeaseId) -> Op {
        Op::Put { key: key.into(), value: value.into(), lease }
    }
}

impl RangeRequest {
    /// Everything in `range`, at the latest revision.
    pub fn new(range: KeyRange) -> RangeRequest {
        RangeRequest { range, limit: 0, revision: 0, keys_only: false, count_only: false }
    }

    pub fn limit(mut self, limit: usize) -> RangeRequest {
        self.limit = limit;
        self
    }

    pub fn at(mut self, revision: Revision) -> RangeRequest {
        self.revision = revision;
        self
    }

    pub fn keys_only(mut self) -> RangeRequest {
        self.keys_only = true;
        self
    }

    pub fn count_only(mut self) -> RangeRequest {
        self.count_only = true;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), StoreError> {
        self.range.validate()
    }
}

impl Relation {
    pub(crate) fn holds<T: Ord + ?Sized>(self, property: &T, operand: &T) -> bool {
        match self {
            Relation::Equal => property == operand,
            Relation::NotEqual => property != operand,
            Relation::Greater => property > operand,
            Relation::Less => property < operand,
        }
    }
}

fn range_bytes(range: &KeyRange) -> usize {
    range.start().len() + range.end().map_or(0, Bytes::len)
}

/// No empty key, and no key touched by a put and by another write: the outcome would depend on the order.
fn validate_branch(ops: &[Op]) -> Result<(), StoreError> {
    let mut puts: Vec<&Bytes> = Vec::new();
    let mut deletes: Vec<&KeyRange> = Vec::new();
    for op in ops {
        match op {
            Op::Put { key, .. } if key.is_empty() => return Err(InvalidRequest::EmptyKey.into()),
            Op::Put { key, .. } => puts.push(key),
            Op::Delete(range) => {
                range.validate()?;
                deletes.push(range);
            }
            Op::Range(request) => request.validate()?,
        }
    }
    puts.sort_unstable();
    let twice = puts.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    let deleted = || puts.iter().find(|key| deletes.iter().any(|range| range.contains(key))).copied();
    match twice.or_else(deleted) {
        Some(key) => Err(InvalidRequest::DuplicateKey(key.clone()).into()),
        None => Ok(()),
    }
}
