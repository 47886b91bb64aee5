//! Metrics without a store: what samples add up to, which statistics they have, what expressions over them come to, and when an alarm
//! is in ALARM.
//!
//! Times are seconds since 1970 and periods are seconds, since nothing here is finer than a second. Nothing reads a clock, stores a sample or
//! acts on an alarm.

pub mod alarm;
pub mod composite;
pub mod expression;
mod resolution;
mod statistic;
mod summary;
pub mod text;

pub use resolution::{DAY_SECONDS, Resolution, in_periods, rounded_start};
pub use statistic::{InvalidStatistic, Statistic};
pub use summary::{MOST_VALUES, Summary};

/// Values of one metric or expression by the start of their period.
pub type Points = std::collections::BTreeMap<i64, f64>;
