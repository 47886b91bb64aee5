//! Values of fields and expressions.

use std::{cmp::Ordering, fmt};

use time::OffsetDateTime;

/// A value. Logs are text: numbers are read from it where an operator asks for one.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The field is not there.
    Missing,
    Text(String),
    Number(f64),
    Truth(bool),
    /// Milliseconds since the epoch; shown as a date.
    Time(i64),
}

impl Value {
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Time(milliseconds) => Some(*milliseconds as f64),
            Value::Truth(truth) => Some(f64::from(u8::from(*truth))),
            Value::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            Value::Missing => None,
        }
    }

    pub fn is_missing(&self) -> bool {
        *self == Value::Missing
    }

    /// As numbers when both are numbers, else as texts. Missing values come first.
    pub fn compare(&self, other: &Value) -> Ordering {
        match (self.is_missing(), other.is_missing()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        match (self.number(), other.number()) {
            (Some(left), Some(right)) => left.total_cmp(&right),
            _ => self.to_string().cmp(&other.to_string()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Missing => Ok(()),
            Value::Text(text) => f.write_str(text),
            Value::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                write!(f, "{}", *number as i64)
            }
            Value::Number(number) => {
                let text = format!("{number:.4}");
                f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
            }
            Value::Truth(truth) => f.write_str(if *truth { "1" } else { "0" }),
            Value::Time(milliseconds) => {
                let nanoseconds = i128::from(*milliseconds) * 1_000_000;
                match OffsetDateTime::from_unix_timestamp_nanos(nanoseconds) {
                    Ok(time) => write!(
                        f,
                        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
                        time.year(),
                        u8::from(time.month()),
                        time.day(),
                        time.hour(),
                        time.minute(),
                        time.second(),
                        time.millisecond()
                    ),
                    Err(_) => write!(f, "{milliseconds}"),
                }
            }
        }
    }
}
