//! What a number of samples add up to.
//!
//! Count, sum, least and greatest are exact. For percentiles the values themselves are kept, each with how often it came, as long as they are
//! few; when they are more, neighbours are drawn together, as finely as fits. A summary is therefore never larger than some kilobytes,
//! whatever goes into it, and summaries of parts can be merged into that of the whole.
//!
//! A statistic set that clients made themselves says nothing about its values: with one of those in it, a summary has no percentiles,
//! as in CloudWatch.

use serde::{Deserialize, Serialize};

/// Different values that a summary keeps at most: with values of four powers of two a percentile is off by less than one in a hundred.
pub const MOST_VALUES: usize = 256;
/// Bits of the mantissa that are tried first when values are drawn together.
const FINEST_BITS: u32 = 12;

/// Samples of a metric in some span of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub samples: f64,
    pub sum: f64,
    pub minimum: f64,
    pub maximum: f64,
    /// Samples whose values are not known.
    unknown: f64,
    /// Ascending, each with its number of samples.
    values: Vec<(f64, f64)>,
}

impl Summary {
    /// One sample.
    pub fn of_value(value: f64) -> Summary {
        Summary::of_values([(value, 1.0)])
    }

    /// Values, each with how often it was measured. Those that were not measured at all count for nothing.
    pub fn of_values(values: impl IntoIterator<Item = (f64, f64)>) -> Summary {
        let mut made = Summary::empty();
        let given: Vec<(f64, f64)> = values.into_iter().filter(|(_, count)| *count > 0.0).collect();
        for (value, count) in &given {
            made.samples += count;
            made.sum += value * count;
            made.minimum = made.minimum.min(*value);
            made.maximum = made.maximum.max(*value);
        }
        made.values = few(given);
        made
    }

    /// A statistic set as clients make them.
    pub fn of_set(samples: f64, sum: f64, minimum: f64, maximum: f64) -> Summary {
        let known = minimum == maximum || samples == 1.0;
        Summary {
            samples,
            sum,
            minimum,
            maximum,
            unknown: if known { 0.0 } else { samples },
            values: if known { vec![(sum / samples, samples)] } else { Vec::new() },
        }
    }

    /// Values that are known about, as those of a histogram, with their exact sum.
    pub fn of_histogram(values: impl IntoIterator<Item = (f64, f64)>, sum: f64) -> Summary {
        Summary { sum, ..Summary::of_values(values) }
    }

    /// As it was kept: see [`Summary::values`] and [`Summary::unknown`].
    pub fn from_parts(
        [samples, sum, minimum, maximum, unknown]: [f64; 5],
        values: Vec<(f64, f64)>,
    ) -> Summary {
        Summary { samples, sum, minimum, maximum, unknown, values }
    }

    fn empty() -> Summary {
        Summary {
            samples: 0.0,
            sum: 0.0,
            minimum: f64::INFINITY,
            maximum: f64::NEG_INFINITY,
            unknown: 0.0,
            values: Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.samples <= 0.0
    }

    pub fn average(&self) -> f64 {
        self.sum / self.samples
    }

    /// The values that are known, ascending, each with its number of samples.
    pub fn values(&self) -> &[(f64, f64)] {
        &self.values
    }

    /// Samples of which only the sums are known.
    pub fn unknown(&self) -> f64 {
        self.unknown
    }

    /// Adds another's samples.
    pub fn merge(&mut self, other: &Summary) {
        self.samples += other.samples;
        self.sum += other.sum;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        self.unknown += other.unknown;
        if !other.values.is_empty() {
            let mut all = std::mem::take(&mut self.values);
            all.extend_from_slice(&other.values);
            self.values = few(all);
        }
    }
}

/// Ascending, each value once, and no more than there may be.
fn few(mut values: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    values = joined(values);
    let mut bits = FINEST_BITS;
    while values.len() > MOST_VALUES {
        values = match bits.checked_sub(1) {
            Some(fewer) => {
                bits = fewer;
                joined(values.iter().map(|(value, count)| (rounded(*value, bits), *count)).collect())
            }
            // Spread over more powers of two than there is room for.
            None => values.chunks(2).map(middle).collect(),
        };
    }
    values
}

fn joined(mut values: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    values.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1 += later.1;
        }
        same
    });
    values
}

/// To so many bits behind the first.
fn rounded(value: f64, bits: u32) -> f64 {
    let dropped = f64::MANTISSA_DIGITS - 1 - bits;
    // Carries run over into the exponent, which is the next power of two, as it should be.
    let half = 1_u64 << (dropped - 1);
    f64::from_bits((value.to_bits() + half) & !((1 << dropped) - 1))
}

fn middle(pair: &[(f64, f64)]) -> (f64, f64) {
    let count: f64 = pair.iter().map(|(_, count)| count).sum();
    (pair.iter().map(|(value, of)| value * (of / count)).sum(), count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Statistic;

    fn percentile(summary: &Summary, percent: f64) -> f64 {
        let text = format!("p{percent}");
        text.parse::<Statistic>().unwrap().of(summary).unwrap()
    }

    #[test]
    fn few_values_are_exact() {
        let summary = Summary::of_values((1..=100).map(|value| (f64::from(value), 1.0)));
        assert_eq!((summary.samples, summary.sum), (100.0, 5050.0));
        assert_eq!((summary.minimum, summary.maximum), (1.0, 100.0));
        assert_eq!(percentile(&summary, 0.0), 1.0);
        assert_eq!(percentile(&summary, 50.0), 50.5);
        assert_eq!(percentile(&summary, 100.0), 100.0);
    }

    #[test]
    fn sets_have_no_percentiles_unless_all_their_samples_are_alike() {
        let p50: Statistic = "p50".parse().unwrap();
        assert_eq!(p50.of(&Summary::of_set(3.0, 6.0, 1.0, 3.0)), None);
        assert_eq!(p50.of(&Summary::of_set(3.0, 6.0, 2.0, 2.0)), Some(2.0));
        assert_eq!(p50.of(&Summary::of_set(1.0, 7.0, 7.0, 7.0)), Some(7.0));
        let mut mixed = Summary::of_value(1.0);
        mixed.merge(&Summary::of_set(3.0, 6.0, 1.0, 3.0));
        assert_eq!(p50.of(&mixed), None);
        assert_eq!("Average".parse::<Statistic>().unwrap().of(&mixed), Some(1.75));
    }

    #[test]
    fn whatever_goes_in_it_stays_small() {
        let wide = (-300..300).map(|power| (2.0_f64.powi(power), 1.0));
        let summary = Summary::of_values(wide.clone().chain(wide.map(|(value, count)| (-value, count))));
        assert!(summary.values().len() <= MOST_VALUES);
        assert_eq!(summary.samples, 1200.0);
    }

    proptest! {
        #[test]
        fn parts_merge_into_the_whole(values in prop::collection::vec(0.1_f64..1000.0, 2..2000), cut in 0.0_f64..1.0) {
            let counted = |part: &[f64]| Summary::of_values(part.iter().map(|value| (*value, 1.0)));
            let at = (values.len() as f64 * cut) as usize;
            let whole = counted(&values);
            let mut parts = counted(&values[..at]);
            parts.merge(&counted(&values[at..]));
            prop_assert_eq!(parts.samples, whole.samples);
            prop_assert!((parts.sum - whole.sum).abs() < 1e-6 * whole.sum);
            prop_assert_eq!((parts.minimum, parts.maximum), (whole.minimum, whole.maximum));
            prop_assert!(parts.values().len() <= MOST_VALUES);
            let kept: f64 = parts.values().iter().map(|(_, count)| count).sum();
            prop_assert!((kept - parts.samples).abs() < 1e-6);
        }

        #[test]
        fn percentiles_of_many_values_are_close(mut values in prop::collection::vec(1.0_f64..1000.0, 300..2000), percent in 1_u32..99) {
            let percent = f64::from(percent);
            let summary = Summary::of_values(values.iter().map(|value| (*value, 1.0)));
            values.sort_by(f64::total_cmp);
            let exact = values[(percent / 100.0 * (values.len() - 1) as f64) as usize];
            let next = values[((percent / 100.0 * (values.len() - 1) as f64) as usize + 1).min(values.len() - 1)];
            let found = percentile(&summary, percent);
            prop_assert!(found >= exact * 0.96 && found <= next * 1.04, "{found} is not about {exact} to {next}");
        }
    }
}
