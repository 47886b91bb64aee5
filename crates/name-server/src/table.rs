//! Who sees which names: an immutable, generation-numbered table, swapped whole.
//!
//! A view belongs to the clients of some ranges, a VPC's for example, so that the same name can mean different things in two VPCs.
//! The view of the most specific range counts. Who is in no range gets no answer at all.

use std::{collections::HashMap, net::Ipv4Addr, sync::Arc};

use addressing::Cidr;

use crate::{
    name::Name,
    private_names::{Derived, PrivateNames, derive, private_domain},
    record::{Record, RecordType},
    zone::{Found, Zone},
};

/// Aliases followed for one question. Loops end here.
const MAX_ALIASES: usize = 8;

/// Everything the server answers by itself.
#[derive(Debug, Clone, Default)]
pub struct ZoneTable {
    generation: u64,
    views: Vec<View>,
    /// Ranges, the most specific first, and the view of each.
    sources: Vec<(Cidr, usize)>,
}

/// What clients in some ranges see.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Source addresses that this is the view of.
    pub sources: Vec<Cidr>,
    /// `false` for a VPC without DNS support: every question is refused.
    pub dns_support: bool,
    /// VPCs whose private names are known here.
    pub private_names: Vec<PrivateNames>,
    /// Published zones, shared between views. Of two with the same apex the first counts.
    pub zones: Zones,
}

/// Zones by apex.
#[derive(Debug, Clone, Default)]
pub struct Zones(HashMap<Name, Arc<Zone>>);

/// What is known here of a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Local {
    /// Aliases followed and the records at their end.
    pub answers: Vec<Record>,
    pub end: End,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    /// With the start of authority that says for how long.
    NoData(Record),
    NoName(Record),
    /// This name is somebody else's to answer for.
    Elsewhere(Name),
    /// Too many aliases, or aliases in a circle.
    TooLong,
}

impl ZoneTable {
    /// A table. Of two views of the same range the first counts.
    pub fn new(generation: u64, views: Vec<View>) -> ZoneTable {
        let mut sources: Vec<(Cidr, usize)> = Vec::new();
        for (index, view) in views.iter().enumerate() {
            sources.extend(view.sources.iter().map(|range| (*range, index)));
        }
        sources.sort_by_key(|(range, index)| (std::cmp::Reverse(range.prefix_len()), range.base(), *index));
        ZoneTable { generation, views, sources }
    }

    /// Grows with every change of what is published.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn view_of(&self, source: Ipv4Addr) -> Option<&View> {
        let (_, index) = self.sources.iter().find(|(range, _)| range.contains(source))?;
        self.views.get(*index)
    }

    pub(crate) fn serial(&self) -> u32 {
        // Serials wrap (RFC 1982).
        self.generation as u32
    }
}

impl FromIterator<Arc<Zone>> for Zones {
    fn from_iter<I: IntoIterator<Item = Arc<Zone>>>(zones: I) -> Zones {
        let mut by_apex = HashMap::new();
        for zone in zones {
            by_apex.entry(zone.apex().clone()).or_insert(zone);
        }
        Zones(by_apex)
    }
}

impl Zones {
    /// The zone with the longest apex that `name` is in.
    fn of(&self, name: &Name) -> Option<&Zone> {
        if self.0.is_empty() {
            return None;
        }
        let mut above = Some(name.clone());
        while let Some(name) = above {
            if let Some(zone) = self.0.get(&name) {
                return Some(zone);
            }
            above = name.parent();
        }
        None
    }
}

impl View {
    /// Answers a question as far as this server can, following aliases through all that the view holds.
    pub(crate) fn answer(&self, name: &Name, kind: RecordType, serial: u32) -> Local {
        let mut answers = Vec::new();
        let mut name = name.clone();
        for _ in 0..=MAX_ALIASES {
            let end = match self.step(&name, kind, serial) {
                Step::Records(records) => {
                    answers.extend(records);
                    End::Answered
                }
                Step::Alias(record, target) => {
                    answers.push(record);
                    name = target;
                    continue;
                }
                Step::NoData(soa) => End::NoData(soa),
                Step::NoName(soa) => End::NoName(soa),
                Step::Unknown => End::Elsewhere(name),
            };
            return Local { answers, end };
        }
        Local { answers: Vec::new(), end: End::TooLong }
    }

    fn step(&self, name: &Name, kind: RecordType, serial: u32) -> Step {
        // A published zone counts more than the rules unless it lies above EC2's own domains.
        let shadowed = |zone: &&Zone| private_domain(name).is_some_and(|own| !zone.apex().is_within(&own));
        if let Some(zone) = self.zones.of(name).filter(|zone| !shadowed(zone)) {
            return match zone.find(name, kind) {
                Found::Records(records) => Step::Records(records.to_vec()),
                Found::Alias(record, target) => Step::Alias(record.clone(), target),
                Found::NoData => Step::NoData(zone.soa().clone()),
                Found::NoName => Step::NoName(zone.soa().clone()),
            };
        }
        match derive(name, kind, &self.private_names, serial) {
            Derived::Record(record) => Step::Records(vec![record]),
            Derived::NoData(soa) => Step::NoData(soa),
            Derived::NoName(soa) => Step::NoName(soa),
            Derived::Outside => Step::Unknown,
        }
    }
}

enum Step {
    Records(Vec<Record>),
    Alias(Record, Name),
    NoData(Record),
    NoName(Record),
    Unknown,
}
