//! When a secret is rotated: `rate(…)` and `cron(…)` expressions.
//!
//! Source: "Schedule expressions in Secrets Manager rotation" of the user guide. A cron expression has six fields, `cron(MINUTES HOURS DAY-OF-MONTH MONTH
//! DAY-OF-WEEK YEAR)`, in UTC; the minutes are 0, the year is `*`, and one of the two days is `?`. A rotation window opens at such a time; the
//! rotation begins then. Rates begin from the last rotation. Four hours is the least between two windows.
//!
//! Pure: the time is an argument.

use std::{collections::BTreeSet, time::Duration};

use time::{Date, Month, OffsetDateTime, Time};
use vocabulary::Timestamp;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The least between two rotations.
const LEAST_HOURS: u8 = 4;
/// How far a cron expression's next day is looked for: whatever can come at all comes within four years and a day.
const FARTHEST_DAYS: u32 = 4 * 366 + 1;

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    Rate(Duration),
    Cron(Box<Cron>),
}

/// A cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    hours: BTreeSet<u8>,
    months: BTreeSet<u8>,
    days: Days,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    Every,
    OfMonth(BTreeSet<u8>),
    /// `L`
    LastOfMonth,
    /// From 1, Sunday, to 7.
    OfWeek(BTreeSet<u8>),
    /// `2#1`: the first Monday.
    NthOfWeek(u8, u8),
    /// `6L`: the last Friday.
    LastOfWeek(u8),
}

impl Schedule {
    /// # Errors
    /// What is wrong with it, for the user.
    pub fn parse(expression: &str) -> Result<Schedule, String> {
        let inner = |name: &str| {
            let inner = expression.trim().strip_prefix(name)?.strip_suffix(')')?;
            Some(inner.trim())
        };
        if let Some(text) = inner("rate(") {
            let wrong =
                "give rate(NUMBER hours) or rate(NUMBER days), four hours at least and 999 days at most";
            return rate(text).map(Schedule::Rate).ok_or_else(|| wrong.to_owned());
        }
        let text = inner("cron(").ok_or("give a rate(…) or a cron(…) expression")?;
        Cron::parse(text).map(Box::new).map(Schedule::Cron)
    }

    /// The next time after `now`; none when there is none.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Schedule::Rate(period) => Some(now + *period),
            Schedule::Cron(cron) => cron.next(now),
        }
    }
}

/// `10 days`, `4 hours`.
fn rate(text: &str) -> Option<Duration> {
    let (count, unit) = text.split_once(' ')?;
    let count: u32 = count.parse().ok()?;
    let period = match unit.trim() {
        "hour" | "hours" => HOUR.checked_mul(count)?,
        "day" | "days" => DAY.checked_mul(count)?,
        _ => return None,
    };
    (HOUR * u32::from(LEAST_HOURS)..=DAY * 999).contains(&period).then_some(period)
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Cron {
    fn parse(text: &str) -> Result<Cron, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, day, month, weekday, year] = fields[..] else {
            return Err(
                "a cron expression has six fields: minutes, hours, day of month, month, day of week, year"
                    .to_owned(),
            );
        };
        if minutes != "0" {
            return Err("the minutes of a rotation are 0".to_owned());
        }
        if year != "*" {
            return Err("the year of a rotation is *".to_owned());
        }
        let hours = set("hours", hours, 0, 23, &[])?;
        let all: Vec<u8> = hours.iter().copied().collect();
        let around = all.first().map(|first| first + 24);
        let following = all.iter().copied().skip(1).chain(around);
        if all.iter().zip(following).any(|(one, next)| next - one < LEAST_HOURS) {
            return Err("rotations are four hours apart at least".to_owned());
        }
        let months = set("month", month, 1, 12, &MONTHS)?;
        let days = match (day, weekday) {
            ("?", "?") => return Err("one of the two days has to be told".to_owned()),
            ("?", "*") | ("*", "?") => Days::Every,
            ("L", "?") => Days::LastOfMonth,
            (days, "?") => Days::OfMonth(set("day of month", days, 1, 31, &[])?),
            ("?", days) => of_week(days)?,
            _ => return Err("one of day of month and day of week is ?".to_owned()),
        };
        Ok(Cron { hours, months, days })
    }

    fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let now = OffsetDateTime::from_unix_timestamp(now.as_millis().div_euclid(1000)).ok()?;
        let mut date = now.date();
        for _ in 0..FARTHEST_DAYS {
            if self.is_on(date) {
                let times = self.hours.iter().filter_map(|hour| Time::from_hms(*hour, 0, 0).ok());
                let next = times.map(|time| date.with_time(time).assume_utc()).find(|at| *at > now);
                if let Some(next) = next {
                    return Some(Timestamp::from_millis(next.unix_timestamp() * 1000));
                }
            }
            date = date.next_day()?;
        }
        None
    }

    fn is_on(&self, date: Date) -> bool {
        let weekday = date.weekday().number_days_from_sunday() + 1;
        let last = length(date.year(), date.month());
        self.months.contains(&u8::from(date.month()))
            && match &self.days {
                Days::Every => true,
                Days::OfMonth(days) => days.contains(&date.day()),
                Days::LastOfMonth => date.day() == last,
                Days::OfWeek(days) => days.contains(&weekday),
                Days::NthOfWeek(day, nth) => weekday == *day && (date.day() - 1) / 7 + 1 == *nth,
                Days::LastOfWeek(day) => weekday == *day && date.day() + 7 > last,
            }
    }
}

fn length(year: i32, month: Month) -> u8 {
    month.length(year)
}

fn of_week(text: &str) -> Result<Days, String> {
    let day = |text: &str| number("day of week", text, 1, 7, &WEEKDAYS);
    if let Some((of, nth)) = text.split_once('#') {
        return Ok(Days::NthOfWeek(day(of)?, number("day of week", nth, 1, 5, &[])?));
    }
    match text.strip_suffix(['L', 'l']).filter(|of| !of.is_empty()) {
        Some(of) => Ok(Days::LastOfWeek(day(of)?)),
        None if text == "L" => Ok(Days::OfWeek(BTreeSet::from([7]))),
        None => Ok(Days::OfWeek(set("day of week", text, 1, 7, &WEEKDAYS)?)),
    }
}

/// `*`, `3`, `1-5`, `/8`, `0/8`, `1-10/3`, and several of them with commas between.
fn set(what: &str, text: &str, least: u8, most: u8, names: &[&str]) -> Result<BTreeSet<u8>, String> {
    let mut all = BTreeSet::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(number(what, step, 1, most.max(1), &[])?)),
            None => (part, None),
        };
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (least, most),
            ("", _) if step.is_some() => (least, most),
            (_, Some((from, to))) => {
                (number(what, from, least, most, names)?, number(what, to, least, most, names)?)
            }
            (one, None) => {
                let one = number(what, one, least, most, names)?;
                (one, if step.is_some() { most } else { one })
            }
        };
        if from > to {
            return Err(format!("{part} is no {what}: it goes backwards"));
        }
        all.extend((from..=to).step_by(usize::from(step.unwrap_or(1))));
    }
    Ok(all)
}

fn number(what: &str, text: &str, least: u8, most: u8, names: &[&str]) -> Result<u8, String> {
    let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
    let number = named.and_then(|at| u8::try_from(at).ok()).map(|at| at + least);
    number
        .or_else(|| text.parse().ok())
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("{text:?} is no {what} from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::format_description::well_known::Rfc3339;

    use super::*;

    fn at(text: &str) -> Timestamp {
        let at = OffsetDateTime::parse(text, &Rfc3339).unwrap();
        Timestamp::from_millis(at.unix_timestamp() * 1000)
    }

    #[track_caller]
    fn check(expression: &str, now: &str, expected: &[&str]) {
        let schedule = Schedule::parse(expression).unwrap_or_else(|reason| panic!("{expression}: {reason}"));
        let mut now = at(now);
        for expected in expected {
            let next = schedule.next(now).unwrap();
            assert_eq!(next, at(expected), "{expression}");
            now = next;
        }
    }

    #[test]
    fn the_guides_examples_come_when_they_should() {
        let now = "2026-11-21T18:30:00Z";
        check("rate(10 days)", now, &["2026-12-01T18:30:00Z"]);
        check("rate(4 hours)", now, &["2026-11-21T22:30:00Z"]);
        check("cron(0 8 * * ? *)", now, &["2026-11-22T08:00:00Z", "2026-11-23T08:00:00Z"]);
        check("cron(0 /8 * * ? *)", now, &["2026-11-22T00:00:00Z", "2026-11-22T08:00:00Z"]);
        check("cron(0 8/8 * * ? *)", now, &["2026-11-22T08:00:00Z", "2026-11-22T16:00:00Z"]);
        check("cron(0 10 1,15 * ? *)", now, &["2026-12-01T10:00:00Z", "2026-12-15T10:00:00Z"]);
        check("cron(0 0 1 1/3 ? *)", now, &["2027-01-01T00:00:00Z", "2027-04-01T00:00:00Z"]);
        check("cron(0 2 ? * MON-FRI *)", now, &["2026-11-23T02:00:00Z", "2026-11-24T02:00:00Z"]);
        check("cron(0 0 L * ? *)", now, &["2026-11-30T00:00:00Z", "2026-12-31T00:00:00Z"]);
        check("cron(0 18 ? * SUN *)", now, &["2026-11-22T18:00:00Z"]);
        check("cron(0 23 ? * 2#1 *)", now, &["2026-12-07T23:00:00Z", "2027-01-04T23:00:00Z"]);
        check("cron(0 5 ? * 6L *)", now, &["2026-11-27T05:00:00Z", "2026-12-25T05:00:00Z"]);
        check("cron(0 0 29 2 ? *)", now, &["2028-02-29T00:00:00Z"]);
        // At the very time it is the next one's turn.
        check("cron(0 0,12 ? jan *  *)", "2027-01-01T12:00:00Z", &["2027-01-02T00:00:00Z"]);
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for (wrong, fragment) in [
            ("rate(3 hours)", "four hours"),
            ("rate(1000 days)", "999 days"),
            ("rate(1 week)", "rate("),
            ("at(2026-01-01)", "rate(…) or a cron(…)"),
            ("cron(0 8 * *)", "six fields"),
            ("cron(30 8 * * ? *)", "minutes"),
            ("cron(0 8 * * ? 2027)", "year"),
            ("cron(0 * * * ? *)", "four hours apart"),
            ("cron(0 0,22 * * ? *)", "four hours apart"),
            ("cron(0 24 * * ? *)", "no hours"),
            ("cron(0 8 32 * ? *)", "no day of month"),
            ("cron(0 8 ? 13 1 *)", "no month"),
            ("cron(0 8 ? * 8 *)", "no day of week"),
            ("cron(0 8 1 * 1 *)", "is ?"),
            ("cron(0 8 ? * ? *)", "has to be told"),
            ("cron(0 8 9-3 * ? *)", "backwards"),
            ("cron(0 8 ? * 2#6 *)", "no day of week"),
        ] {
            let reason = Schedule::parse(wrong).unwrap_err();
            assert!(reason.contains(fragment), "{wrong}: {reason}");
        }
        // It can never come.
        assert_eq!(Schedule::parse("cron(0 8 31 2 ? *)").unwrap().next(at("2026-01-01T00:00:00Z")), None);
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(text in "cron\\([0-9*?,/#L -]{0,30}\\)", now in 0i64..4_000_000_000_000) {
            if let Ok(schedule) = Schedule::parse(&text) {
                let now = Timestamp::from_millis(now);
                prop_assert!(schedule.next(now).is_none_or(|next| next > now));
            }
        }
    }
}
