//! Lifecycle policies: which images of a repository expire. Pure: images and the time in, decisions out.
//!
//! The rules, from the ECR user guide:
//! - Every rule selects images by their tags: a rule on prefixes or patterns selects an image when each of them matches
//!   one of the image's tags.
//! - An image that a rule selects is not expired by a rule of lower priority (a higher number). It still counts there.
//! - `imageCountMoreThan` keeps the youngest N of what it selects, `sinceImagePushed` what is younger than N days,
//!   `sinceImagePulled` what was pulled (or else pushed) in the last N days.
//! - What an image index refers to does not expire before the index.
//!
//! Moving images to archive storage, which newer policies can ask for, is refused by `parse`: there is no such storage.

mod parse;

#[cfg(test)]
mod tests;

use std::time::Duration;

use vocabulary::Timestamp;

use crate::registry::records::wildcard_matches;

/// A checked policy; its rules are in order of priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub priority: u32,
    pub selection: Selection,
    pub limit: Limit,
}

/// Which images a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    Any,
    Untagged,
    Prefixes(Vec<String>),
    Patterns(Vec<String>),
}

/// Which of these expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    CountMoreThan(usize),
    DaysSincePushed(u32),
    DaysSincePulled(u32),
}

/// What a policy looks at in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub digest: String,
    pub tags: Vec<String>,
    pub pushed_at: Timestamp,
    pub pulled_at: Option<Timestamp>,
    /// An index in the repository refers to it.
    pub held: bool,
}

/// An image that is to go, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// Its place in the candidates.
    pub candidate: usize,
    pub priority: u32,
}

/// Why a policy's text is refused, in AWS's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: {0}'"
)]
pub struct InvalidPolicy(String);

impl Policy {
    /// What expires at `now`, in the order of the candidates.
    pub fn evaluate(&self, candidates: &[Candidate], now: Timestamp) -> Vec<Expiry> {
        // The rule of highest priority that selects an image decides; the others only count it.
        let decisive = candidates
            .iter()
            .map(|candidate| self.rules.iter().position(|rule| rule.selection.selects(candidate)))
            .collect::<Vec<_>>();
        let mut expiries = Vec::new();
        for (place, rule) in self.rules.iter().enumerate() {
            for candidate in rule.beyond_limit(candidates, now) {
                if decisive[candidate] == Some(place) && !candidates[candidate].held {
                    expiries.push(Expiry { candidate, priority: rule.priority });
                }
            }
        }
        expiries.sort_by_key(|expiry| expiry.candidate);
        expiries
    }
}

impl Rule {
    /// The places of the images that the rule selects and that are beyond its limit.
    fn beyond_limit(&self, candidates: &[Candidate], now: Timestamp) -> Vec<usize> {
        let mut selected = (0..candidates.len())
            .filter(|place| self.selection.selects(&candidates[*place]))
            .collect::<Vec<_>>();
        match self.limit {
            Limit::CountMoreThan(count) => {
                // The youngest first; the digest decides between images of one instant.
                selected.sort_by(|a, b| {
                    let (a, b) = (&candidates[*a], &candidates[*b]);
                    (b.pushed_at, &b.digest).cmp(&(a.pushed_at, &a.digest))
                });
                selected.split_off(count.min(selected.len()))
            }
            Limit::DaysSincePushed(days) => {
                selected.retain(|place| now.since(candidates[*place].pushed_at) > of_days(days));
                selected
            }
            Limit::DaysSincePulled(days) => {
                selected.retain(|place| {
                    let candidate = &candidates[*place];
                    now.since(candidate.pulled_at.unwrap_or(candidate.pushed_at)) > of_days(days)
                });
                selected
            }
        }
    }
}

impl Selection {
    fn selects(&self, candidate: &Candidate) -> bool {
        let tags = &candidate.tags;
        match self {
            Self::Any => true,
            Self::Untagged => tags.is_empty(),
            Self::Prefixes(prefixes) => {
                prefixes.iter().all(|prefix| tags.iter().any(|tag| tag.starts_with(prefix)))
            }
            Self::Patterns(patterns) => {
                patterns.iter().all(|pattern| tags.iter().any(|tag| wildcard_matches(pattern, tag)))
            }
        }
    }
}

fn of_days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 60 * 60)
}
