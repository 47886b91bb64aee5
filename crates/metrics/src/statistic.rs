//! Statistics, by the names that requests have for them: `Average`, `p99.9`, `tm90`, `TM(10%:90%)`, `PR(:300)`, `IQM`.
//!
//! Source: "CloudWatch statistics definitions" of the CloudWatch user guide. Percentiles between two samples are interpolated.

use std::{fmt, str::FromStr};

use crate::Summary;

/// What is made of the samples of a period.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistic {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    SampleCount,
    Average,
    Sum,
    Minimum,
    Maximum,
    Percentile(f64),
    TrimmedMean(Span),
    WinsorizedMean(Span),
    TrimmedCount(Span),
    TrimmedSum(Span),
    /// How many per cent of the samples are in the span.
    PercentileRank(Span),
}

/// Which samples count.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Span {
    /// From one percentile to another.
    Percent(f64, f64),
    /// Greater than the first, at most the second.
    Values(f64, f64),
}

/// Text that names no statistic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a statistic")]
pub struct InvalidStatistic(pub String);

impl Statistic {
    /// Of these samples; none when there are none, or when their values are not known and would have to be.
    pub fn of(&self, summary: &Summary) -> Option<f64> {
        if summary.is_empty() {
            return None;
        }
        let values = summary.values();
        Some(match self.kind {
            Kind::SampleCount => summary.samples,
            Kind::Average => summary.average(),
            Kind::Sum => summary.sum,
            Kind::Minimum => summary.minimum,
            Kind::Maximum => summary.maximum,
            _ if summary.unknown() > 0.0 => return None,
            Kind::Percentile(percent) => percentile(values, percent),
            Kind::TrimmedMean(span) => {
                let (count, sum) = trimmed(values, span);
                if count <= 0.0 {
                    return None;
                }
                sum / count
            }
            Kind::TrimmedCount(span) => trimmed(values, span).0,
            Kind::TrimmedSum(span) => trimmed(values, span).1,
            Kind::WinsorizedMean(span) => {
                let (low, high) = match span {
                    Span::Percent(from, to) => (percentile(values, from), percentile(values, to)),
                    Span::Values(from, to) => (from, to),
                };
                let total: f64 = values.iter().map(|(_, count)| count).sum();
                values.iter().map(|(value, count)| value.max(low).min(high) * count).sum::<f64>() / total
            }
            Kind::PercentileRank(span) => {
                let total: f64 = values.iter().map(|(_, count)| count).sum();
                trimmed(values, span).0 / total * 100.0
            }
        })
    }

    /// Whether it is one of the five that are not "extended".
    pub fn is_simple(&self) -> bool {
        matches!(self.kind, Kind::SampleCount | Kind::Average | Kind::Sum | Kind::Minimum | Kind::Maximum)
    }

    /// Samples from which on a percentile says something; none for other statistics. Source: the guide on alarms of percentiles.
    pub fn samples_needed(&self) -> Option<f64> {
        match self.kind {
            Kind::Percentile(percent) if percent >= 50.0 => Some(10.0 / (1.0 - percent / 100.0)),
            Kind::Percentile(percent) => Some(10.0 / (percent / 100.0)),
            _ => None,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Statistic {
    type Err = InvalidStatistic;

    fn from_str(text: &str) -> Result<Statistic, InvalidStatistic> {
        let kind = kind(text).ok_or_else(|| InvalidStatistic(text.to_owned()))?;
        Ok(Statistic { text: text.to_owned(), kind })
    }
}

fn kind(text: &str) -> Option<Kind> {
    Some(match text {
        "SampleCount" => Kind::SampleCount,
        "Average" => Kind::Average,
        "Sum" => Kind::Sum,
        "Minimum" => Kind::Minimum,
        "Maximum" => Kind::Maximum,
        "IQM" => Kind::TrimmedMean(Span::Percent(25.0, 75.0)),
        _ => match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            Some((name, span)) => {
                let span = span_of(span)?;
                match (name.to_ascii_uppercase().as_str(), span) {
                    ("TM", _) => Kind::TrimmedMean(span),
                    ("WM", _) => Kind::WinsorizedMean(span),
                    ("TC", _) => Kind::TrimmedCount(span),
                    ("TS", _) => Kind::TrimmedSum(span),
                    ("PR", Span::Values(..)) => Kind::PercentileRank(span),
                    _ => return None,
                }
            }
            None => {
                let split = text.find(|letter: char| !letter.is_ascii_alphabetic())?;
                let (name, percent) = text.split_at(split);
                let percent = percent_of(percent)?;
                match name.to_ascii_lowercase().as_str() {
                    "p" => Kind::Percentile(percent),
                    "tm" => Kind::TrimmedMean(Span::Percent(0.0, percent)),
                    "wm" => Kind::WinsorizedMean(Span::Percent(0.0, percent)),
                    "tc" => Kind::TrimmedCount(Span::Percent(0.0, percent)),
                    "ts" => Kind::TrimmedSum(Span::Percent(0.0, percent)),
                    _ => return None,
                }
            }
        },
    })
}

/// Up to ten places behind the point.
fn percent_of(text: &str) -> Option<f64> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || places.len() > 10 || !digits(whole) || !digits(places) {
        return None;
    }
    text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))
}

/// `10%:90%`, `150:1000`, either side left out.
fn span_of(text: &str) -> Option<Span> {
    let (from, to) = text.split_once(':')?;
    let (from, to) = (from.trim(), to.trim());
    if from.is_empty() && to.is_empty() {
        return None;
    }
    if from.ends_with('%') || to.ends_with('%') {
        let side = |text: &str, otherwise: f64| match text {
            "" => Some(otherwise),
            text => percent_of(text.strip_suffix('%')?),
        };
        let (from, to) = (side(from, 0.0)?, side(to, 100.0)?);
        return (from < to).then_some(Span::Percent(from, to));
    }
    let side = |text: &str, otherwise: f64| match text {
        "" => Some(otherwise),
        text => text.parse::<f64>().ok().filter(|value| value.is_finite()),
    };
    let (from, to) = (side(from, f64::NEG_INFINITY)?, side(to, f64::INFINITY)?);
    (from < to).then_some(Span::Values(from, to))
}

fn percentile(values: &[(f64, f64)], percent: f64) -> f64 {
    let total: f64 = values.iter().map(|(_, count)| count).sum();
    let place = percent / 100.0 * (total - 1.0).max(0.0);
    let (below, above) = (at(values, place.floor()), at(values, place.floor() + 1.0));
    below + (above - below) * place.fract()
}

/// The value at a place of the ascending samples, from 0 on.
fn at(values: &[(f64, f64)], place: f64) -> f64 {
    let mut passed = 0.0;
    for (value, count) in values {
        passed += count;
        if passed > place {
            return *value;
        }
    }
    values.last().map_or(0.0, |(value, _)| *value)
}

/// How many samples are in the span, and their sum.
fn trimmed(values: &[(f64, f64)], span: Span) -> (f64, f64) {
    match span {
        Span::Values(from, to) => values
            .iter()
            .filter(|(value, _)| *value > from && *value <= to)
            .fold((0.0, 0.0), |(samples, sum), (value, count)| (samples + count, sum + value * count)),
        Span::Percent(from, to) => {
            let total: f64 = values.iter().map(|(_, count)| count).sum();
            let (from, to) = (from / 100.0 * total, to / 100.0 * total);
            let (mut passed, mut samples, mut sum) = (0.0_f64, 0.0, 0.0);
            for (value, count) in values {
                let share = ((passed + count).min(to) - passed.max(from)).max(0.0);
                passed += count;
                samples += share;
                sum += value * share;
            }
            (samples, sum)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(statistic: &str, values: &[f64]) -> Option<f64> {
        let summary = Summary::of_values(values.iter().map(|value| (*value, 1.0)));
        statistic.parse::<Statistic>().unwrap().of(&summary)
    }

    #[test]
    fn statistics_of_ten_values() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 100.0];
        for (statistic, expected) in [
            ("SampleCount", 10.0),
            ("Average", 14.5),
            ("Sum", 145.0),
            ("Minimum", 1.0),
            ("Maximum", 100.0),
            ("p50", 5.5),
            ("p90.0", 18.1),
            ("tm90", 5.0),
            ("tc90", 9.0),
            ("ts90", 45.0),
            ("TM(10%:90%)", 5.5),
            ("TM(2:4)", 3.5),
            ("TM(:2)", 1.5),
            ("TC(9:)", 1.0),
            ("PR(:5)", 50.0),
            ("PR(5:9)", 40.0),
            ("IQM", 5.5),
            ("WM(0:10)", 5.5),
        ] {
            let found = of(statistic, &values).unwrap();
            assert!((found - expected).abs() < 1e-9, "{statistic}: {found}, not {expected}");
        }
        assert_eq!(of("TM(200:300)", &values), None);
        assert_eq!(of("Average", &[]), None);
    }

    #[test]
    fn other_words_are_no_statistics() {
        for text in [
            "",
            "average",
            "p",
            "p101",
            "p-1",
            "pp9",
            "p9.12345678901",
            "TM()",
            "TM(:)",
            "TM(9:1)",
            "PR(1%:2%)",
            "XX(1:2)",
            "p9é",
        ] {
            assert!(text.parse::<Statistic>().is_err(), "{text}");
        }
    }
}
