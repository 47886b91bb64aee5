//! How finely samples are kept, and for how long; and the periods that they are looked at in.
//!
//! Source: "Metrics retention" in the concepts of the CloudWatch guide, and the remarks on `StartTime` of GetMetricStatistics.

use std::collections::BTreeMap;

use crate::Summary;

pub const DAY_SECONDS: i64 = 86_400;

/// The steps by which samples get coarser with age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    Second,
    Minute,
    FiveMinutes,
    Hour,
}

impl Resolution {
    pub const ALL: [Resolution; 4] =
        [Resolution::Second, Resolution::Minute, Resolution::FiveMinutes, Resolution::Hour];

    pub fn seconds(self) -> i64 {
        match self {
            Resolution::Second => 1,
            Resolution::Minute => 60,
            Resolution::FiveMinutes => 300,
            Resolution::Hour => 3600,
        }
    }

    /// How long samples of it can be asked for, in seconds.
    pub fn kept_seconds(self) -> i64 {
        match self {
            Resolution::Second => 3 * 3600,
            Resolution::Minute => 15 * DAY_SECONDS,
            Resolution::FiveMinutes => 63 * DAY_SECONDS,
            Resolution::Hour => 455 * DAY_SECONDS,
        }
    }

    /// The coarsest from which periods of this length, beginning at `start`, can be put together.
    pub fn dividing(start: i64, period: i64) -> Resolution {
        let divides = |one: &&Resolution| period % one.seconds() == 0 && start % one.seconds() == 0;
        *Resolution::ALL.iter().rev().find(divides).unwrap_or(&Resolution::Second)
    }
}

/// Where the first period of a request begins that asks from `start` on: on a whole minute, the earlier the coarser; of periods below a
/// minute on a multiple of them.
pub fn rounded_start(start: i64, period: i64, now: i64) -> i64 {
    let age = now - start;
    let step = match period {
        ..60 => period.max(1),
        _ if age < Resolution::Minute.kept_seconds() => 60,
        _ if age < Resolution::FiveMinutes.kept_seconds() => 300,
        _ => 3600,
    };
    start - start.rem_euclid(step)
}

/// Samples gathered into periods that begin at `start`.
pub fn in_periods(
    samples: impl IntoIterator<Item = (i64, Summary)>,
    start: i64,
    period: i64,
) -> BTreeMap<i64, Summary> {
    let mut periods: BTreeMap<i64, Summary> = BTreeMap::new();
    for (at, summary) in samples {
        let begins = at - (at - start).rem_euclid(period);
        match periods.get_mut(&begins) {
            Some(there) => there.merge(&summary),
            None => drop(periods.insert(begins, summary)),
        }
    }
    periods
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_where_they_are_asked_to() {
        let samples = (0..10).map(|minute| (600 + 60 * minute, Summary::of_value(1.0)));
        let found = in_periods(samples, 540, 300);
        let sums: Vec<(i64, f64)> = found.into_iter().map(|(at, summary)| (at, summary.sum)).collect();
        assert_eq!(sums, [(540, 4.0), (840, 5.0), (1140, 1.0)]);
    }

    #[test]
    fn starts_are_rounded_by_age_and_period() {
        let now = 100 * DAY_SECONDS;
        assert_eq!(rounded_start(now - 601, 60, now), now - 660);
        assert_eq!(rounded_start(now - 601, 10, now), now - 610);
        assert_eq!(rounded_start(now - 20 * DAY_SECONDS - 1, 300, now), now - 20 * DAY_SECONDS - 300);
        assert_eq!(rounded_start(now - 70 * DAY_SECONDS - 1, 3600, now), now - 70 * DAY_SECONDS - 3600);
    }

    #[test]
    fn the_coarsest_that_fits_is_read() {
        assert_eq!(Resolution::dividing(7200, 3600), Resolution::Hour);
        assert_eq!(Resolution::dividing(7260, 3600), Resolution::Minute);
        assert_eq!(Resolution::dividing(7200, 300), Resolution::FiveMinutes);
        assert_eq!(Resolution::dividing(7200, 10), Resolution::Second);
    }
}
