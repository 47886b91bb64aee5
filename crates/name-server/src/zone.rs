//! A zone: the names below an apex, as published by the control plane. Immutable once built.
//!
//! What is not in the zone but below its apex does not exist; a name that only has names below it exists without records
//! (RFC 8020), so that the two negative answers stay apart. There are no wildcards, no delegations and no transfers.

use std::collections::{HashMap, HashSet};

use crate::{
    name::Name,
    record::{Data, Record, RecordType, Soa},
};

/// More answers to one question than this are left out, as Route 53 and Cloud Map do not give more than 8 and load
/// balancers do not have more addresses. Bounds the work of one question.
pub const MAX_RECORDS_PER_SET: usize = 256;
/// Records of one zone. Bounds the memory of what one account may publish; Route 53's limit is 10,000.
pub const MAX_RECORDS_PER_ZONE: usize = 100_000;
/// How long a negative answer may be kept, when the publisher does not say. Short: tasks come and go.
pub const DEFAULT_NEGATIVE_TTL_SECONDS: u32 = 5;

/// A published zone.
#[derive(Debug, Clone)]
pub struct Zone {
    apex: Name,
    soa: Record,
    sets: HashMap<Name, HashMap<RecordType, Vec<Record>>>,
    /// Names without records that have names below them.
    between: HashSet<Name>,
    records: usize,
}

/// Why a record cannot be in a zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    #[error("{name} is not in the zone {apex}")]
    Outside { name: Name, apex: Name },
    #[error("{0} has an alias (CNAME), which stands alone")]
    AliasNotAlone(Name),
    #[error("the zone's own name {0} cannot be an alias (CNAME)")]
    AliasAtApex(Name),
    #[error("a text record of {0} holds nothing, or a string of more than 255 bytes")]
    Text(Name),
    #[error("{0} has too many records of one type; {MAX_RECORDS_PER_SET} are the most")]
    SetFull(Name),
    #[error("the zone {0} is full; {MAX_RECORDS_PER_ZONE} records are the most")]
    ZoneFull(Name),
}

/// What a zone knows of a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    Records(&'a [Record]),
    /// The name is an alias of this one.
    Alias(&'a Record, Name),
    /// The name exists, with records of other types or with names below it.
    NoData,
    NoName,
}

impl Zone {
    /// An empty zone. `serial` is shown to those who ask for the start of authority: the generation it was built from.
    pub fn new(apex: Name, serial: u32) -> Zone {
        Zone::with_negative_ttl(apex, serial, DEFAULT_NEGATIVE_TTL_SECONDS)
    }

    /// An empty zone whose negative answers may be kept for so long.
    pub fn with_negative_ttl(apex: Name, serial: u32, negative_ttl_seconds: u32) -> Zone {
        let soa = Record::soa(&Soa { apex: &apex, serial, negative_ttl_seconds });
        Zone { soa, apex, sets: HashMap::new(), between: HashSet::new(), records: 0 }
    }

    /// Adds a record. Adding what is there already changes nothing.
    ///
    /// # Errors
    /// See [`ZoneError`]; the zone is unchanged then.
    pub fn add(&mut self, name: Name, ttl_seconds: u32, data: &Data) -> Result<(), ZoneError> {
        if !name.is_within(&self.apex) {
            return Err(ZoneError::Outside { name, apex: self.apex.clone() });
        }
        let Some(record) = Record::new(name.clone(), ttl_seconds, data) else {
            return Err(ZoneError::Text(name));
        };
        let alias = record.kind == RecordType::CNAME;
        if alias && name == self.apex {
            return Err(ZoneError::AliasAtApex(name));
        }
        if let Some(sets) = self.sets.get(&name) {
            if sets.values().flatten().any(|other| other.data == record.data && other.kind == record.kind) {
                return Ok(());
            }
            if alias || sets.contains_key(&RecordType::CNAME) {
                return Err(ZoneError::AliasNotAlone(name));
            }
            if sets.get(&record.kind).is_some_and(|set| set.len() >= MAX_RECORDS_PER_SET) {
                return Err(ZoneError::SetFull(name));
            }
        }
        if self.records >= MAX_RECORDS_PER_ZONE {
            return Err(ZoneError::ZoneFull(self.apex.clone()));
        }
        self.records += 1;
        let mut above = name.parent();
        while let Some(parent) = above.filter(|parent| parent.is_within(&self.apex)) {
            above = parent.parent();
            self.between.insert(parent);
        }
        self.sets.entry(name).or_default().entry(record.kind).or_default().push(record);
        Ok(())
    }

    pub fn apex(&self) -> &Name {
        &self.apex
    }

    pub(crate) fn soa(&self) -> &Record {
        &self.soa
    }

    /// Answers for a name at or below the apex.
    pub(crate) fn find(&self, name: &Name, kind: RecordType) -> Found<'_> {
        if kind == RecordType::SOA && *name == self.apex {
            return Found::Records(std::slice::from_ref(&self.soa));
        }
        let Some(sets) = self.sets.get(name) else {
            let exists = *name == self.apex || self.between.contains(name);
            return if exists { Found::NoData } else { Found::NoName };
        };
        if let Some(records) = sets.get(&kind) {
            return Found::Records(records);
        }
        let alias = sets.get(&RecordType::CNAME).and_then(|set| set.first());
        match alias.and_then(|record| Some((record, record.target()?))) {
            Some((record, target)) => Found::Alias(record, target),
            None => Found::NoData,
        }
    }
}
