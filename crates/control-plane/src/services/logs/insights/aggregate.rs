//! The aggregations of `stats`, fed one value at a time.

use std::collections::HashSet;

use super::language::{AggregateFunction, Value};

#[derive(Debug)]
pub enum Accumulator {
    Count(u64),
    Distinct(HashSet<String>),
    Sum {
        sum: f64,
        count: u64,
    },
    Average {
        sum: f64,
        count: u64,
    },
    Extreme {
        best: Value,
        largest: bool,
    },
    /// Welford's method: no large sums of squares.
    Deviation {
        count: u64,
        mean: f64,
        squares: f64,
    },
    Percentile {
        percent: f64,
        values: Vec<f64>,
    },
    End {
        best: Option<((i64, u64), Value)>,
        latest: bool,
    },
}

impl Accumulator {
    pub fn new(function: AggregateFunction) -> Accumulator {
        match function {
            AggregateFunction::Count => Accumulator::Count(0),
            AggregateFunction::CountDistinct => Accumulator::Distinct(HashSet::new()),
            AggregateFunction::Sum => Accumulator::Sum { sum: 0.0, count: 0 },
            AggregateFunction::Average => Accumulator::Average { sum: 0.0, count: 0 },
            AggregateFunction::Minimum => Accumulator::Extreme { best: Value::Missing, largest: false },
            AggregateFunction::Maximum => Accumulator::Extreme { best: Value::Missing, largest: true },
            AggregateFunction::StandardDeviation => {
                Accumulator::Deviation { count: 0, mean: 0.0, squares: 0.0 }
            }
            AggregateFunction::Percentile(percent) => Accumulator::Percentile { percent, values: Vec::new() },
            AggregateFunction::Earliest => Accumulator::End { best: None, latest: false },
            AggregateFunction::Latest => Accumulator::End { best: None, latest: true },
        }
    }

    /// Adds a value and says how many more values are remembered now. Missing values do not count.
    pub fn add(&mut self, value: Value, position: (i64, u64)) -> usize {
        if value.is_missing() {
            return 0;
        }
        match self {
            Accumulator::Count(count) => *count += 1,
            Accumulator::Distinct(seen) => return usize::from(seen.insert(value.to_string())),
            Accumulator::Sum { sum, count } | Accumulator::Average { sum, count } => {
                if let Some(number) = value.number() {
                    *sum += number;
                    *count += 1;
                }
            }
            Accumulator::Extreme { best, largest } => {
                let order = value.compare(best);
                if best.is_missing() || if *largest { order.is_gt() } else { order.is_lt() } {
                    *best = value;
                }
            }
            Accumulator::Deviation { count, mean, squares } => {
                if let Some(number) = value.number() {
                    *count += 1;
                    let before = number - *mean;
                    *mean += before / *count as f64;
                    *squares += before * (number - *mean);
                }
            }
            Accumulator::Percentile { values, .. } => {
                values.extend(value.number());
                return 1;
            }
            Accumulator::End { best, latest } => {
                let better = best.as_ref().is_none_or(|(known, _)| (position > *known) == *latest);
                if better {
                    *best = Some((position, value));
                }
            }
        }
        0
    }

    pub fn value(self) -> Value {
        match self {
            Accumulator::Count(count) => Value::Number(count as f64),
            Accumulator::Distinct(seen) => Value::Number(seen.len() as f64),
            Accumulator::Sum { count: 0, .. } | Accumulator::Average { count: 0, .. } => Value::Missing,
            Accumulator::Sum { sum, .. } => Value::Number(sum),
            Accumulator::Average { sum, count } => Value::Number(sum / count as f64),
            Accumulator::Extreme { best, .. } => best,
            Accumulator::Deviation { count: 0, .. } => Value::Missing,
            Accumulator::Deviation { count, squares, .. } => Value::Number((squares / count as f64).sqrt()),
            Accumulator::Percentile { percent, mut values } => {
                values.sort_by(f64::total_cmp);
                // Nearest rank.
                let rank = (percent / 100.0 * values.len() as f64).ceil().max(1.0) as usize;
                values.get(rank - 1).map_or(Value::Missing, |number| Value::Number(*number))
            }
            Accumulator::End { best, .. } => best.map_or(Value::Missing, |(_, value)| value),
        }
    }
}
