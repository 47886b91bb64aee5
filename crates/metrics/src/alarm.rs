//! When an alarm is in ALARM: the last N periods, of which M have to breach, and what is made of those without data.
//!
//! More periods are looked at than are evaluated, since data may be late or missing. If N of all of them have data, the latest N with data decide,
//! and no missing one is treated as anything. With fewer, all that have data count, and as many missing ones as are wanting are treated
//! as the alarm says:
//!
//! - *breaching*, *not breaching*: like data that is.
//! - *missing*: without any data the state is INSUFFICIENT_DATA. With some, M breaching ones are ALARM; so are fewer, if none is within the
//!   threshold and the oldest is at least M periods old, since the alarm would ring if the rest were like it.
//! - *ignore*: without any data, and in that last case, the state stays.
//!
//! Source: "How alarm state is evaluated when data is missing" of the CloudWatch guide, whose tables are the tests below.

use serde::{Deserialize, Serialize};

use crate::text;

/// How an alarm stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    Ok,
    Alarm,
    InsufficientData,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Ok => "OK",
            State::Alarm => "ALARM",
            State::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

/// What a value is held against the threshold by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    GreaterThanOrEqual,
    Greater,
    Less,
    LessThanOrEqual,
}

impl Comparison {
    pub fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Comparison::GreaterThanOrEqual => value >= threshold,
            Comparison::Greater => value > threshold,
            Comparison::Less => value < threshold,
            Comparison::LessThanOrEqual => value <= threshold,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Comparison::GreaterThanOrEqual => "greater than or equal to",
            Comparison::Greater => "greater than",
            Comparison::Less => "less than",
            Comparison::LessThanOrEqual => "less than or equal to",
        }
    }
}

/// What periods without data are taken for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missing {
    #[default]
    Missing,
    Ignore,
    Breaching,
    NotBreaching,
}

/// When an alarm rings.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub comparison: Comparison,
    pub threshold: f64,
    /// N: how many periods are evaluated.
    pub evaluation_periods: usize,
    /// M: how many of them have to breach.
    pub datapoints_to_alarm: usize,
    pub missing: Missing,
}

/// A period's data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Datum {
    Missing,
    Value(f64),
    /// There is some, but too little for the statistic to say anything: the state is to stay.
    TooLittle,
}

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub state: State,
    pub reason: String,
    /// The data that decided, the newest first: when its period begins, and its value.
    pub evaluated: Vec<(i64, f64)>,
}

/// Periods that are looked at for N that are evaluated: two more.
pub fn range(evaluation_periods: usize) -> usize {
    evaluation_periods + 2
}

/// Evaluates `data`, the periods of the [`range`] from the oldest to the newest, each with the time that it begins. None: the state stays as it is.
pub fn evaluate(rule: &Rule, data: &[(i64, Datum)]) -> Option<Verdict> {
    if data.iter().any(|(_, datum)| *datum == Datum::TooLittle) {
        return None;
    }
    let wanted = rule.evaluation_periods.max(1);
    let to_alarm = rule.datapoints_to_alarm.clamp(1, wanted);
    // With how many periods back it is, from 1 on.
    let there: Vec<(usize, i64, f64)> = data
        .iter()
        .rev()
        .enumerate()
        .filter_map(|(back, (at, datum))| match datum {
            Datum::Value(value) => Some((back + 1, *at, *value)),
            Datum::Missing | Datum::TooLittle => None,
        })
        .take(wanted)
        .collect();
    let evaluated: Vec<(i64, f64)> = there.iter().map(|(_, at, value)| (*at, *value)).collect();
    let breaches = |value: f64| rule.comparison.breaches(value, rule.threshold);
    let breaching = evaluated.iter().filter(|(_, value)| breaches(*value)).count();
    let wanting = wanted - evaluated.len();
    let rings = match rule.missing {
        _ if wanting == 0 => breaching >= to_alarm,
        Missing::Breaching => breaching + wanting >= to_alarm,
        Missing::NotBreaching => breaching >= to_alarm,
        Missing::Missing if evaluated.is_empty() => {
            let reason = format!("Insufficient Data: {} unknown.", was(wanted, "datapoint"));
            return Some(Verdict { state: State::InsufficientData, reason, evaluated });
        }
        Missing::Ignore if evaluated.is_empty() => return None,
        Missing::Missing | Missing::Ignore if breaching >= to_alarm => true,
        Missing::Missing | Missing::Ignore => {
            let oldest = there.last().map_or(0, |(back, ..)| *back);
            let would = breaching == evaluated.len() && oldest >= to_alarm;
            if would && rule.missing == Missing::Ignore {
                return None;
            }
            would
        }
    };
    let state = if rings { State::Alarm } else { State::Ok };
    let reason = reason(rule, rings, &evaluated, wanting);
    Some(Verdict { state, reason, evaluated })
}

fn reason(rule: &Rule, rings: bool, evaluated: &[(i64, f64)], wanting: usize) -> String {
    let treated = match rule.missing {
        Missing::Breaching => Some("Breaching"),
        Missing::NotBreaching => Some("NonBreaching"),
        Missing::Missing | Missing::Ignore => None,
    };
    let treated = treated.filter(|_| wanting > 0);
    if evaluated.is_empty() {
        let treated = treated.unwrap_or("Missing");
        return format!(
            "Threshold Crossed: no datapoints were received for {} and {} treated as [{treated}].",
            counted(wanting, "period"),
            was(wanting, "missing datapoint"),
        );
    }
    let breaches = |value: f64| rule.comparison.breaches(value, rule.threshold);
    // Those that made the state what it is.
    let told: Vec<String> = evaluated
        .iter()
        .filter(|(_, value)| breaches(*value) == rings)
        .map(|(at, value)| format!("{value:?} ({})", text::short(*at)))
        .collect();
    let (count, missing) = (told.len(), treated.map_or(0, |_| wanting));
    let minimum = if rings {
        rule.datapoints_to_alarm
    } else {
        rule.evaluation_periods.saturating_sub(rule.datapoints_to_alarm) + 1
    };
    let transition = if rings { "OK -> ALARM" } else { "ALARM -> OK" };
    let mut reason = format!(
        "Threshold Crossed: {count} out of the last {} [{}] {} {}{} the threshold ({:?}) (minimum {} for {transition} transition).",
        counted(evaluated.len(), "datapoint"),
        told.join(", "),
        if count == 1 { "was" } else { "were" },
        if rings { "" } else { "not " },
        rule.comparison.words(),
        rule.threshold,
        counted(minimum, "datapoint"),
    );
    if let Some(treated) = treated {
        reason.push_str(&format!(" {} treated as [{treated}].", was(missing, "missing datapoint")));
    }
    // AWS's own bound on the member.
    if reason.len() > 1023 {
        let end = (0..=1020).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
        reason.truncate(end);
        reason.push_str("...");
    }
    reason
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn was(count: usize, what: &str) -> String {
    format!("{} {}", counted(count, what), if count == 1 { "was" } else { "were" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `X` breaches, `0` does not, `-` is missing, `?` is too little.
    fn data(drawn: &str) -> Vec<(i64, Datum)> {
        let datum = |letter: char| match letter {
            'X' => Datum::Value(2.0),
            '0' => Datum::Value(0.0),
            '?' => Datum::TooLittle,
            _ => Datum::Missing,
        };
        drawn.chars().enumerate().map(|(at, letter)| (at as i64 * 60, datum(letter))).collect()
    }

    fn rule(datapoints_to_alarm: usize, evaluation_periods: usize, missing: Missing) -> Rule {
        Rule {
            comparison: Comparison::Greater,
            threshold: 1.0,
            evaluation_periods,
            datapoints_to_alarm,
            missing,
        }
    }

    /// The states for missing, ignore, breaching, notBreaching; `=` stays.
    #[track_caller]
    fn check(m: usize, n: usize, drawn: &str, expected: [&str; 4]) {
        let treatments = [Missing::Missing, Missing::Ignore, Missing::Breaching, Missing::NotBreaching];
        for (missing, expected) in treatments.into_iter().zip(expected) {
            let found = evaluate(&rule(m, n, missing), &data(drawn));
            let found = found.as_ref().map_or("=", |verdict| verdict.state.as_str());
            assert_eq!(found, expected, "{m} of {n}, {drawn}, {missing:?}");
        }
    }

    #[test]
    fn three_of_three() {
        check(3, 3, "0-X-X", ["OK", "OK", "OK", "OK"]);
        check(3, 3, "----0", ["OK", "OK", "OK", "OK"]);
        check(3, 3, "-----", ["INSUFFICIENT_DATA", "=", "ALARM", "OK"]);
        check(3, 3, "0XX-X", ["ALARM", "ALARM", "ALARM", "ALARM"]);
        check(3, 3, "--X--", ["ALARM", "=", "ALARM", "OK"]);
    }

    #[test]
    fn two_of_three() {
        check(2, 3, "0-X-X", ["ALARM", "ALARM", "ALARM", "ALARM"]);
        check(2, 3, "00X0X", ["ALARM", "ALARM", "ALARM", "ALARM"]);
        check(2, 3, "0-X--", ["OK", "OK", "ALARM", "OK"]);
        check(2, 3, "----0", ["OK", "OK", "ALARM", "OK"]);
        check(2, 3, "---X-", ["ALARM", "=", "ALARM", "OK"]);
    }

    #[test]
    fn a_fresh_breach_is_not_enough_for_more() {
        check(2, 3, "----X", ["OK", "OK", "ALARM", "OK"]);
        check(1, 1, "--X", ["ALARM", "ALARM", "ALARM", "ALARM"]);
        check(1, 1, "X--", ["ALARM", "ALARM", "ALARM", "ALARM"]);
    }

    #[test]
    fn too_little_data_changes_nothing() {
        check(1, 1, "X?X", ["=", "=", "=", "="]);
    }

    #[test]
    fn every_comparison() {
        use Comparison::{Greater, GreaterThanOrEqual, Less, LessThanOrEqual};
        for (comparison, expected) in [
            (Greater, [false, false, true]),
            (GreaterThanOrEqual, [false, true, true]),
            (Less, [true, false, false]),
            (LessThanOrEqual, [true, true, false]),
        ] {
            assert_eq!(
                [0.0, 1.0, 2.0].map(|value| comparison.breaches(value, 1.0)),
                expected,
                "{comparison:?}"
            );
        }
    }

    #[test]
    fn reasons_tell_what_decided() {
        let told = |drawn: &str, missing| evaluate(&rule(2, 2, missing), &data(drawn)).unwrap().reason;
        assert_eq!(
            told("--XX", Missing::Missing),
            "Threshold Crossed: 2 out of the last 2 datapoints [2.0 (01/01/70 00:03:00), 2.0 (01/01/70 00:02:00)] were greater than \
             the threshold (1.0) (minimum 2 datapoints for OK -> ALARM transition)."
        );
        assert_eq!(
            told("---0", Missing::NotBreaching),
            "Threshold Crossed: 1 out of the last 1 datapoint [0.0 (01/01/70 00:03:00)] was not greater than the threshold (1.0) \
             (minimum 1 datapoint for ALARM -> OK transition). 1 missing datapoint was treated as [NonBreaching]."
        );
        assert_eq!(
            told("----", Missing::Breaching),
            "Threshold Crossed: no datapoints were received for 2 periods and 2 missing datapoints were treated as [Breaching]."
        );
        assert_eq!(told("----", Missing::Missing), "Insufficient Data: 2 datapoints were unknown.");
    }

    proptest! {
        #[test]
        fn with_enough_data_missing_ones_do_not_matter(drawn in "[X0-]{3,12}", m in 1_usize..4, n in 1_usize..4) {
            let m = m.min(n);
            let there: Vec<char> = drawn.chars().filter(|letter| *letter != '-').collect();
            prop_assume!(there.len() >= n);
            let breaching = there.iter().rev().take(n).filter(|letter| **letter == 'X').count();
            let expected = if breaching >= m { State::Alarm } else { State::Ok };
            for missing in [Missing::Missing, Missing::Ignore, Missing::Breaching, Missing::NotBreaching] {
                prop_assert_eq!(evaluate(&rule(m, n, missing), &data(&drawn)).unwrap().state, expected);
            }
        }

        #[test]
        fn more_breaches_never_end_an_alarm(drawn in "[X0-]{1,8}", m in 1_usize..5, n in 1_usize..5) {
            let m = m.min(n);
            for missing in [Missing::Breaching, Missing::NotBreaching] {
                let before = evaluate(&rule(m, n, missing), &data(&drawn)).unwrap().state;
                let after = evaluate(&rule(m, n, missing), &data(&drawn.replace('0', "X"))).unwrap().state;
                prop_assert!(before != State::Alarm || after == State::Alarm);
            }
        }
    }
}
