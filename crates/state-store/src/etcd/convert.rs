//! Between the store's words and etcd's messages, the key prefix included.
//!
//! With a prefix several programs share one etcd: every key goes out with it and comes back without.

use bytes::Bytes;

use super::messages as m;
use crate::{
    Compare, Event, KeyRange, KeyValue, LeaseId, Op, OpResult, Operand, RangeRequest, RangeResponse,
    Relation, Revision, Txn, TxnResponse,
};

/// Puts the prefix on, and takes it off.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub prefix: Bytes,
}

impl Keys {
    fn outside(&self, key: &[u8]) -> Bytes {
        [&self.prefix[..], key].concat().into()
    }

    pub fn inside(&self, key: Bytes) -> Bytes {
        // Only keys of ranges that begin with the prefix are asked for.
        if key.starts_with(&self.prefix) { key.slice(self.prefix.len()..) } else { key }
    }

    /// `key` and `range_end` as etcd has them: a single key has no end, a range without end ends at a zero byte, and no
    /// key is empty.
    pub fn range(&self, range: &KeyRange) -> (Bytes, Bytes) {
        const ZERO: Bytes = Bytes::from_static(b"\0");
        let start = self.outside(range.start());
        let end = match (range.is_single(), range.end()) {
            (true, _) => return (start, Bytes::new()),
            (false, Some(end)) => self.outside(end),
            (false, None) => KeyRange::prefix(self.prefix.clone()).end().cloned().unwrap_or(ZERO),
        };
        // A range that is empty here must not turn into a single key, or into "up to the end", there.
        let start = if start.is_empty() { ZERO } else { start };
        let end = if end.is_empty() { ZERO.slice(..) } else { end };
        if range.end().is_some_and(|end| end <= range.start()) {
            (start.clone(), start)
        } else {
            (start, end)
        }
    }

    pub fn range_request(&self, request: &RangeRequest) -> m::RangeRequest {
        let (key, range_end) = self.range(&request.range);
        m::RangeRequest {
            key,
            range_end,
            limit: i64::try_from(request.limit).unwrap_or(0),
            revision: request.revision,
            keys_only: request.keys_only,
            count_only: request.count_only,
        }
    }

    pub fn range_response(&self, response: m::RangeResponse) -> RangeResponse {
        RangeResponse {
            revision: revision(response.header.as_ref()),
            kvs: response.kvs.into_iter().map(|kv| self.key_value(kv)).collect(),
            more: response.more,
            count: usize::try_from(response.count).unwrap_or(0),
        }
    }

    pub fn txn_request(&self, txn: &Txn) -> m::TxnRequest {
        m::TxnRequest {
            compare: txn.compares.iter().map(|compare| self.compare(compare)).collect(),
            success: txn.success.iter().map(|op| self.op(op)).collect(),
            failure: txn.failure.iter().map(|op| self.op(op)).collect(),
        }
    }

    pub fn txn_response(&self, response: m::TxnResponse) -> TxnResponse {
        let revision = revision(response.header.as_ref());
        let result = |op: m::ResponseOp| match op.response {
            Some(m::Response::Range(range)) => {
                OpResult::Range(RangeResponse { revision, ..self.range_response(range) })
            }
            Some(m::Response::DeleteRange(deleted)) => {
                OpResult::Delete(usize::try_from(deleted.deleted).unwrap_or(0))
            }
            Some(m::Response::Put(_)) | None => OpResult::Put,
        };
        TxnResponse {
            revision,
            succeeded: response.succeeded,
            results: response.responses.into_iter().map(result).collect(),
        }
    }

    pub fn event(&self, event: m::Event) -> Option<Event> {
        const DELETE: i32 = 1;
        let kv = event.kv?;
        Some(match event.kind {
            DELETE => Event::Delete { revision: kv.mod_revision, key: self.inside(kv.key) },
            _ => Event::Put(self.key_value(kv)),
        })
    }

    fn key_value(&self, kv: m::KeyValue) -> KeyValue {
        KeyValue {
            key: self.inside(kv.key),
            value: kv.value,
            create_revision: kv.create_revision,
            mod_revision: kv.mod_revision,
            version: kv.version,
            lease: LeaseId(kv.lease),
        }
    }

    fn compare(&self, compare: &Compare) -> m::Compare {
        let (key, range_end) = self.range(&compare.range);
        let (target, operand) = match &compare.operand {
            Operand::Version(version) => (0, m::Operand::Version(*version)),
            Operand::CreateRevision(revision) => (1, m::Operand::CreateRevision(*revision)),
            Operand::ModRevision(revision) => (2, m::Operand::ModRevision(*revision)),
            Operand::Value(value) => (3, m::Operand::Value(value.clone())),
            Operand::Lease(lease) => (4, m::Operand::Lease(lease.0)),
        };
        let result = match compare.relation {
            Relation::Equal => 0,
            Relation::Greater => 1,
            Relation::Less => 2,
            Relation::NotEqual => 3,
        };
        m::Compare { result, target, key, operand: Some(operand), range_end }
    }

    fn op(&self, op: &Op) -> m::RequestOp {
        let request = match op {
            Op::Put { key, value, lease } => m::Request::Put(m::PutRequest {
                key: self.outside(key),
                value: value.clone(),
                lease: lease.0,
            }),
            Op::Delete(range) => {
                let (key, range_end) = self.range(range);
                m::Request::DeleteRange(m::DeleteRangeRequest { key, range_end })
            }
            Op::Range(request) => m::Request::Range(self.range_request(request)),
        };
        m::RequestOp { request: Some(request) }
    }
}

fn revision(header: Option<&m::ResponseHeader>) -> Revision {
    header.map_or(0, |header| header.revision)
}
