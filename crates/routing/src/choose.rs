//! Which target group and which target a request goes to.
//!
//! Two steps. First who may get it: healthy targets that are not draining, in the node's own zone when cross-zone is off; when fewer are
//! healthy than the group asks for, all of them whatever their health, so that a wrong health check does not turn everyone away. Then one
//! of those, by the group's algorithm. A target in slow start gets a share that grows with its age.

use crate::config::{Algorithm, TargetGroupAttributes};

/// Where slow start begins: a target gets at least a tenth of its full share, so that it can warm up at all.
const LEAST_SHARE: f64 = 0.1;

/// What is known of a target at this moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    pub healthy: bool,
    pub draining: bool,
    /// In the zone of the node that chooses, or of no zone.
    pub in_zone: bool,
    /// Requests in flight on it, from all nodes.
    pub outstanding: u32,
    /// How long it has been healthy, when slow start applies to it; unset when it has its full share.
    pub healthy_for_seconds: Option<f64>,
}

/// What decides beside the candidates.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// Grows by one with every request of the group.
    pub number: usize,
    /// Any number, evenly distributed.
    pub random: u64,
}

/// Which group of a weighted action: places in `weights`, `None` when all are zero.
pub fn group(weights: &[u32], random: u64) -> Option<usize> {
    let total: u64 = weights.iter().copied().map(u64::from).sum();
    if total == 0 {
        return None;
    }
    let mut point = random % total;
    weights.iter().position(|weight| match point.checked_sub(u64::from(*weight)) {
        Some(left) => {
            point = left;
            false
        }
        None => true,
    })
}

/// Fills `eligible` with the places of those that may get a request. Empty when the group has no target that is not draining.
pub fn eligible(
    candidates: impl Iterator<Item = Candidate> + Clone,
    attributes: &TargetGroupAttributes,
    cross_zone: bool,
    eligible: &mut Vec<u32>,
) {
    eligible.clear();
    let serving = |candidate: &Candidate| !candidate.draining && (cross_zone || candidate.in_zone);
    let (mut healthy, mut all) = (0_u32, 0_u32);
    for (place, candidate) in (0_u32..).zip(candidates.clone()) {
        if serving(&candidate) {
            all += 1;
            if candidate.healthy {
                healthy += 1;
                eligible.push(place);
            }
        }
    }
    let by_percentage = attributes
        .minimum_healthy_percentage
        .map_or(0, |percentage| (u64::from(all) * u64::from(percentage)).div_ceil(100) as u32);
    if healthy < by_percentage.max(attributes.minimum_healthy_count) && healthy < all {
        eligible.clear();
        let everyone = (0_u32..).zip(candidates).filter(|(_, candidate)| serving(candidate));
        eligible.extend(everyone.map(|(place, _)| place));
    }
}

/// Which of the eligible ones. `candidate` tells what is known of one.
pub fn target(
    eligible: &[u32],
    attributes: &TargetGroupAttributes,
    candidate: impl Fn(u32) -> Candidate,
    turn: Turn,
) -> Option<u32> {
    if eligible.is_empty() {
        return None;
    }
    if attributes.slow_start_seconds > 0 {
        let share = |place| share(&candidate(place), attributes.slow_start_seconds);
        if eligible.iter().any(|place| share(*place) < 1.0) {
            return by_share(eligible, share, turn.random);
        }
    }
    match attributes.algorithm {
        Algorithm::RoundRobin => Some(eligible[turn.number % eligible.len()]),
        Algorithm::WeightedRandom { .. } => Some(eligible[(turn.random % eligible.len() as u64) as usize]),
        Algorithm::LeastOutstandingRequests => {
            // Begins elsewhere each time, so that the first of several equal ones does not get everything.
            let from = turn.number % eligible.len();
            let (before, after) = eligible.split_at(from);
            after.iter().chain(before).copied().min_by_key(|place| candidate(*place).outstanding)
        }
    }
}

fn share(candidate: &Candidate, slow_start_seconds: u32) -> f64 {
    let Some(age) = candidate.healthy_for_seconds else { return 1.0 };
    (age / f64::from(slow_start_seconds)).clamp(LEAST_SHARE, 1.0)
}

fn by_share(eligible: &[u32], share: impl Fn(u32) -> f64, random: u64) -> Option<u32> {
    let total: f64 = eligible.iter().map(|place| share(*place)).sum();
    // 53 bits are what a double holds exactly.
    let mut point = (random >> 11) as f64 / (1_u64 << 53) as f64 * total;
    for place in eligible {
        point -= share(*place);
        if point < 0.0 {
            return Some(*place);
        }
    }
    eligible.last().copied()
}
