//! The functions of metric math.

use super::{Invalid, Series, Span, Value, operators::each};
use crate::{DAY_SECONDS, Points, text};

/// Words that are arguments of functions and not ids.
pub(super) fn is_word(word: &str) -> bool {
    ["REPEAT", "LINEAR", "ASC", "DESC", "AVG", "MIN", "MAX", "SUM"].contains(&word)
}

/// The number at every period.
pub(super) fn constant(number: f64, span: Span) -> Series {
    Series {
        label: number.to_string(),
        points: span.periods().map(|at| (at, number)).collect(),
        period: span.period,
    }
}

/// Calls a function.
///
/// # Errors
/// [`Invalid::Function`], [`Invalid::Arguments`].
pub(super) fn call(name: &str, arguments: Vec<Value>, span: Span) -> Result<Value, Invalid> {
    let finite = |number: f64| number.is_finite().then_some(number);
    match name {
        "ABS" => mapped("ABS", arguments, |value| Some(value.abs())),
        "CEIL" => mapped("CEIL", arguments, |value| Some(value.ceil())),
        "FLOOR" => mapped("FLOOR", arguments, |value| Some(value.floor())),
        "LOG" => mapped("LOG", arguments, |value| finite(value.ln())),
        "LOG10" => mapped("LOG10", arguments, |value| finite(value.log10())),
        "AVG" => gathered("AVG", arguments, average),
        "SUM" => gathered("SUM", arguments, |values| values.iter().sum()),
        "MIN" => gathered("MIN", arguments, |values| values.iter().copied().fold(f64::INFINITY, f64::min)),
        "MAX" => {
            gathered("MAX", arguments, |values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
        }
        "STDDEV" => gathered("STDDEV", arguments, deviation),
        "METRIC_COUNT" => match arguments.as_slice() {
            [Value::Array(all)] => Ok(Value::Number(all.len() as f64)),
            [Value::Series(_)] => Ok(Value::Number(1.0)),
            _ => Err(Invalid::Arguments("METRIC_COUNT")),
        },
        "DATAPOINT_COUNT" => gathered("DATAPOINT_COUNT", arguments, |values| values.len() as f64),
        "FIRST" => picked("FIRST", arguments, |all| all.into_iter().next()),
        "LAST" => picked("LAST", arguments, |all| all.into_iter().next_back()),
        "PERIOD" => match arguments.as_slice() {
            [Value::Series(series)] => Ok(Value::Number(series.period as f64)),
            _ => Err(Invalid::Arguments("PERIOD")),
        },
        "RATE" => {
            stepped("RATE", arguments, |(before, was), (at, value)| (value - was) / (at - before) as f64)
        }
        "DIFF" => stepped("DIFF", arguments, |(_, was), (_, value)| value - was),
        "DIFF_TIME" => stepped("DIFF_TIME", arguments, |(before, _), (at, _)| (at - before) as f64),
        "RUNNING_SUM" => changed("RUNNING_SUM", arguments, |mut series| {
            let mut sum = 0.0;
            series.points.values_mut().for_each(|value| {
                sum += *value;
                *value = sum;
            });
            series
        }),
        "FILL" => fill(arguments, span),
        "IF" => choose(arguments, span),
        "TIME_SERIES" => match arguments.as_slice() {
            [Value::Number(number)] => Ok(Value::Series(constant(*number, span))),
            _ => Err(Invalid::Arguments("TIME_SERIES")),
        },
        "REMOVE_EMPTY" => match arguments.into_iter().next() {
            Some(Value::Array(mut all)) => {
                all.retain(|series| !series.points.is_empty());
                Ok(Value::Array(all))
            }
            _ => Err(Invalid::Arguments("REMOVE_EMPTY")),
        },
        "SLICE" => slice(arguments),
        "SORT" => sort(arguments),
        "EPOCH" => timed("EPOCH", arguments, |at| at),
        "MINUTE" => timed("MINUTE", arguments, |at| text::clock(at).1),
        "HOUR" => timed("HOUR", arguments, |at| text::clock(at).0),
        "DAY" => timed("DAY", arguments, |at| (at.div_euclid(DAY_SECONDS) + 3).rem_euclid(7) + 1),
        "DATE" => timed("DATE", arguments, |at| text::date(at.div_euclid(DAY_SECONDS)).2),
        "MONTH" => timed("MONTH", arguments, |at| text::date(at.div_euclid(DAY_SECONDS)).1),
        "YEAR" => timed("YEAR", arguments, |at| text::date(at.div_euclid(DAY_SECONDS)).0),
        other => Err(Invalid::Function(other.to_owned())),
    }
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = average(values);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

/// Of each value alone.
fn mapped(
    name: &'static str,
    arguments: Vec<Value>,
    change: impl Fn(f64) -> Option<f64>,
) -> Result<Value, Invalid> {
    match <[Value; 1]>::try_from(arguments) {
        Ok([Value::Number(number)]) => Ok(Value::Number(change(number).unwrap_or(0.0))),
        Ok([Value::Series(series)]) => Ok(Value::Series(each(series, change))),
        Ok([Value::Array(all)]) => {
            Ok(Value::Array(all.into_iter().map(|series| each(series, &change)).collect()))
        }
        _ => Err(Invalid::Arguments(name)),
    }
}

fn changed(
    name: &'static str,
    arguments: Vec<Value>,
    change: impl Fn(Series) -> Series,
) -> Result<Value, Invalid> {
    match <[Value; 1]>::try_from(arguments) {
        Ok([Value::Series(series)]) => Ok(Value::Series(change(series))),
        Ok([Value::Array(all)]) => Ok(Value::Array(all.into_iter().map(change).collect())),
        _ => Err(Invalid::Arguments(name)),
    }
}

/// Of each point and the one before it.
fn stepped(
    name: &'static str,
    arguments: Vec<Value>,
    step: impl Fn((i64, f64), (i64, f64)) -> f64,
) -> Result<Value, Invalid> {
    changed(name, arguments, |series| {
        let points: Vec<(i64, f64)> = series.points.iter().map(|(at, value)| (*at, *value)).collect();
        let points = points.windows(2).map(|pair| (pair[1].0, step(pair[0], pair[1]))).collect();
        Series { points, ..series }
    })
}

/// One number of a series; one series of several, point by point.
fn gathered(name: &'static str, arguments: Vec<Value>, of: impl Fn(&[f64]) -> f64) -> Result<Value, Invalid> {
    match <[Value; 1]>::try_from(arguments) {
        Ok([Value::Series(series)]) => {
            let values: Vec<f64> = series.points.values().copied().collect();
            Ok(Value::Number(if values.is_empty() { 0.0 } else { of(&values) }))
        }
        Ok([Value::Array(all)]) => {
            let mut values: std::collections::BTreeMap<i64, Vec<f64>> = Default::default();
            for (at, value) in all.iter().flat_map(|series| &series.points) {
                values.entry(*at).or_default().push(*value);
            }
            let points: Points = values.into_iter().map(|(at, values)| (at, of(&values))).collect();
            let period = all.iter().map(|series| series.period).max().unwrap_or(60);
            Ok(Value::Series(Series { label: name.to_owned(), points, period }))
        }
        _ => Err(Invalid::Arguments(name)),
    }
}

fn picked(
    name: &'static str,
    arguments: Vec<Value>,
    pick: impl Fn(Vec<Series>) -> Option<Series>,
) -> Result<Value, Invalid> {
    match <[Value; 1]>::try_from(arguments) {
        Ok([Value::Array(all)]) => pick(all).map(Value::Series).ok_or(Invalid::Arguments(name)),
        _ => Err(Invalid::Arguments(name)),
    }
}

/// `FILL(m, 0)`, `FILL(m, REPEAT)`, `FILL(m, LINEAR)`, `FILL(m, n)`.
fn fill(arguments: Vec<Value>, span: Span) -> Result<Value, Invalid> {
    let wrong = Invalid::Arguments("FILL");
    let [into, with] = <[Value; 2]>::try_from(arguments).map_err(|_| wrong.clone())?;
    let filled = |mut series: Series| -> Option<Series> {
        let missing: Vec<i64> = span.periods().filter(|at| !series.points.contains_key(at)).collect();
        let there = series.points.clone();
        let value = |at: i64| -> Option<Option<f64>> {
            let before = there.range(..at).next_back();
            let after = there.range(at..).next();
            Some(match &with {
                Value::Number(number) => Some(*number),
                Value::Series(other) => other.points.get(&at).copied(),
                Value::Text(word) if word == "REPEAT" => before.map(|(_, value)| *value),
                Value::Text(word) if word == "LINEAR" => match (before, after) {
                    (Some((from, a)), Some((to, b))) => {
                        Some(a + (b - a) * (at - from) as f64 / (to - from) as f64)
                    }
                    _ => None,
                },
                Value::Text(_) | Value::Array(_) => return None,
            })
        };
        for at in missing {
            if let Some(value) = value(at)? {
                series.points.insert(at, value);
            }
        }
        Some(series)
    };
    match into {
        Value::Series(series) => filled(series).map(Value::Series).ok_or(wrong),
        Value::Array(all) => {
            all.into_iter().map(filled).collect::<Option<_>>().map(Value::Array).ok_or(wrong)
        }
        Value::Number(_) | Value::Text(_) => Err(wrong),
    }
}

/// `IF(condition, then, otherwise)`; without the last, points where the condition does not hold are left out.
fn choose(arguments: Vec<Value>, span: Span) -> Result<Value, Invalid> {
    let wrong = Invalid::Arguments("IF");
    let mut arguments = arguments.into_iter();
    let (Some(condition), Some(then)) = (arguments.next(), arguments.next()) else { return Err(wrong) };
    let otherwise = arguments.next();
    if arguments.next().is_some() {
        return Err(wrong);
    }
    let condition = match condition {
        Value::Number(number) => {
            return match (number != 0.0, otherwise) {
                (true, _) => Ok(then),
                (false, Some(otherwise)) => Ok(otherwise),
                (false, None) => Err(wrong),
            };
        }
        Value::Series(series) => series,
        Value::Array(_) | Value::Text(_) => return Err(wrong),
    };
    let side = |value: Option<Value>| -> Result<Option<Series>, Invalid> {
        Ok(match value {
            None => None,
            Some(Value::Number(number)) => {
                let mut series = constant(number, span);
                // Where the condition has points, whatever the request's periods are.
                series.points.extend(condition.points.keys().map(|at| (*at, number)));
                Some(series)
            }
            Some(Value::Series(series)) => Some(series),
            Some(Value::Array(_) | Value::Text(_)) => return Err(wrong.clone()),
        })
    };
    let (then, otherwise) = (side(Some(then))?, side(otherwise)?);
    let points = condition.points.iter().filter_map(|(at, holds)| {
        let chosen = if *holds != 0.0 { then.as_ref() } else { otherwise.as_ref() };
        Some((*at, *chosen?.points.get(at)?))
    });
    let points = points.collect();
    Ok(Value::Series(Series { points, ..condition }))
}

/// `SLICE(array, from, to)`.
fn slice(arguments: Vec<Value>) -> Result<Value, Invalid> {
    let (all, from, to) = match arguments.as_slice() {
        [Value::Array(all), Value::Number(from)] => (all, *from, None),
        [Value::Array(all), Value::Number(from), Value::Number(to)] => (all, *from, Some(*to)),
        _ => return Err(Invalid::Arguments("SLICE")),
    };
    // Saturates, as it should.
    let index = |number: f64| (number.max(0.0) as usize).min(all.len());
    let (from, to) = (index(from), to.map(index));
    match to {
        None => all.get(from).cloned().map(Value::Series).ok_or(Invalid::Arguments("SLICE")),
        Some(to) => Ok(Value::Array(all.get(from..to).unwrap_or_default().to_vec())),
    }
}

/// `SORT(array, AVG|MIN|MAX|SUM, ASC|DESC, limit)`.
fn sort(arguments: Vec<Value>) -> Result<Value, Invalid> {
    let wrong = Invalid::Arguments("SORT");
    let (mut all, by, order, limit) = match arguments.as_slice() {
        [Value::Array(all), Value::Text(by), Value::Text(order)] => (all.clone(), by, order, None),
        [Value::Array(all), Value::Text(by), Value::Text(order), Value::Number(limit)] => {
            (all.clone(), by, order, Some(limit.max(0.0) as usize))
        }
        _ => return Err(wrong),
    };
    let worth = |series: &Series| -> f64 {
        let values: Vec<f64> = series.points.values().copied().collect();
        match by.as_str() {
            "AVG" => average(&values),
            "MIN" => values.iter().copied().fold(f64::INFINITY, f64::min),
            "MAX" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            _ => values.iter().sum(),
        }
    };
    match order.as_str() {
        "ASC" => all.sort_by(|a, b| worth(a).total_cmp(&worth(b))),
        "DESC" => all.sort_by(|a, b| worth(b).total_cmp(&worth(a))),
        _ => return Err(wrong),
    }
    all.truncate(limit.unwrap_or(usize::MAX));
    Ok(Value::Array(all))
}

fn timed(name: &'static str, arguments: Vec<Value>, of: impl Fn(i64) -> i64) -> Result<Value, Invalid> {
    changed(name, arguments, |mut series| {
        series.points.iter_mut().for_each(|(at, value)| *value = of(*at) as f64);
        series
    })
}
