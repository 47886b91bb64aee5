//! What the arguments of an expression mean: dates, versions, patterns, and how values are compared.

use std::cmp::Ordering;

use regex::RegexBuilder;
use vocabulary::Timestamp;

use super::QueryError;

/// What a compiled pattern may take: an expression of 2,000 characters must not cost megabytes.
const LARGEST_PATTERN_BYTES: usize = 1 << 18;

/// A regular expression that a whole value has to match, as Java's `matches` has it.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    compiled: regex::Regex,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Pattern, QueryError> {
        let wrong = |_| QueryError::WrongPattern(text.to_owned());
        // Looked at alone first, so that no parenthesis of it closes the group around it.
        RegexBuilder::new(text).size_limit(LARGEST_PATTERN_BYTES).build().map_err(wrong)?;
        let whole = format!("^(?:{text})$");
        let compiled = RegexBuilder::new(&whole).size_limit(LARGEST_PATTERN_BYTES).build().map_err(wrong)?;
        Ok(Pattern { text: text.to_owned(), compiled })
    }

    pub(crate) fn matches(&self, value: &str) -> bool {
        self.compiled.is_match(value)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

/// `2018-06-18T22:28:28+00:00`, `2018-06-18T22:28:28Z`, `2018-06-18T22:28:28` or `2018-06-18`; in UTC unless it says otherwise.
pub(crate) fn date(text: &str) -> Option<Timestamp> {
    let digits = |text: &str, length: usize, most: i64| {
        let fits = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|number| fits && *number <= most)
    };
    let (day, time) = match text.split_once('T') {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let mut parts = day.splitn(3, '-');
    let year = digits(parts.next()?, 4, 9999)?;
    let month = digits(parts.next()?, 2, 12).filter(|month| *month > 0)?;
    let day = digits(parts.next()?, 2, days_of(year, month)).filter(|day| *day > 0)?;
    let mut seconds = days_since_1970(year, month, day) * 86_400;
    if let Some(time) = time {
        let (clock, offset) = match time.find(['+', '-', 'Z']) {
            None => (time, 0),
            Some(at) if &time[at..] == "Z" => (&time[..at], 0),
            Some(at) => {
                let (hours, minutes) = time[at + 1..].split_once(':')?;
                let offset = digits(hours, 2, 18)? * 3600 + digits(minutes, 2, 59)? * 60;
                (&time[..at], if time[at..].starts_with('-') { -offset } else { offset })
            }
        };
        let mut parts = clock.splitn(3, ':');
        let (hour, minute) = (digits(parts.next()?, 2, 23)?, digits(parts.next()?, 2, 59)?);
        let second = digits(parts.next()?, 2, 60)?;
        seconds += hour * 3600 + minute * 60 + second - offset;
    }
    Some(Timestamp::from_millis(seconds * 1000))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days of the proleptic Gregorian calendar; years count from March, so that the leap day ends one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// The numbers of `1.14.5` or `v1.14.5`.
pub(crate) fn version(text: &str) -> Option<Vec<u32>> {
    let text = text.strip_prefix('v').unwrap_or(text);
    text.split('.').map(|part| part.parse().ok()).collect()
}

/// As numbers when both are, else as text.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(left), Ok(right)) => left.total_cmp(&right),
        _ => left.cmp(right),
    }
}
