//! The numbers of a deployment: percentages of the desired count, exactly, and the circuit breaker's threshold.

use crate::{Configuration, Threshold};

/// How many tasks a service may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub desired: u32,
    /// Tasks in good health that a plan keeps: `ceil(desired · minimumHealthyPercent / 100)`, never above `desired`.
    pub minimum: u32,
    /// RUNNING and PENDING tasks that a plan does not go above: `floor(desired · maximumPercent / 100)`.
    pub maximum: u32,
}

impl Bounds {
    pub fn new(desired: u32, configuration: &Configuration) -> Bounds {
        Bounds {
            desired,
            minimum: percent_up(desired, configuration.minimum_healthy_percent).min(desired),
            maximum: percent_down(desired, configuration.maximum_percent),
        }
    }
}

/// `ceil(of · percent / 100)`.
pub(crate) fn percent_up(of: u32, percent: u32) -> u32 {
    u32::try_from((u64::from(of) * u64::from(percent)).div_ceil(100)).unwrap_or(u32::MAX)
}

fn percent_down(of: u32, percent: u32) -> u32 {
    u32::try_from(u64::from(of) * u64::from(percent) / 100).unwrap_or(u32::MAX)
}

/// How many failures make a deployment FAILED; at least one.
pub fn circuit_breaker_threshold(threshold: Threshold, desired: u32) -> u32 {
    match threshold {
        Threshold::Count(count) => count,
        Threshold::BoundedPercent(percent) => percent_up(desired, percent).clamp(3, 200),
        Threshold::UnboundedPercent(percent) => percent_up(desired, percent),
    }
    .max(1)
}
