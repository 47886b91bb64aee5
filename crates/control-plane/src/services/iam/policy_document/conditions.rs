//! The `Condition` of a statement: operators, keys and values.

use std::sync::LazyLock;

use serde_json::Value;

use super::{Condition, Malformed, Quantifier, syntax};

const OPERATORS: [&str; 27] = [
    "ArnEquals",
    "ArnLike",
    "ArnNotEquals",
    "ArnNotLike",
    "BinaryEquals",
    "Bool",
    "DateEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateNotEquals",
    "IpAddress",
    "NotIpAddress",
    "Null",
    "NumericEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericNotEquals",
    "StringEquals",
    "StringEqualsIgnoreCase",
    "StringLike",
    "StringNotEquals",
    "StringNotEqualsIgnoreCase",
    "StringNotLike",
];

static DATE: LazyLock<regex::Regex> = LazyLock::new(|| {
    let date = r"^-?\d{1,9}(-(0?[1-9]|1[0-2])(-(0?[1-9]|[12]\d|3[01]))?)?";
    let time =
        r"(t([01]?\d|2[0-3])?(:[0-5]?\d(:[0-5]?\d(\.\d{1,9})?(z|[+-]([01]\d|2[0-3])(:[0-5]\d)?)?)?)?)?$";
    regex::Regex::new(&format!("{date}{time}")).expect("a valid expression")
});

pub(super) fn parse(json: &Value) -> Result<Vec<Condition>, Malformed> {
    let mut conditions = Vec::new();
    for (name, keys) in json.as_object().ok_or_else(syntax)? {
        let keys = keys.as_object().ok_or_else(syntax)?;
        if keys.is_empty() {
            // An operator that is applied to nothing may have any name.
            continue;
        }
        let (quantifier, operator, if_exists) = operator(name).ok_or_else(syntax)?;
        for (key, values) in keys {
            conditions.push(Condition {
                quantifier,
                operator: operator.to_owned(),
                if_exists,
                key: key.clone(),
                values: scalars(values)?,
            });
        }
    }
    Ok(conditions)
}

/// `ForAllValues:StringLikeIfExists`, taken apart. Operators are told apart without regard to case.
fn operator(name: &str) -> Option<(Option<Quantifier>, &'static str, bool)> {
    let (quantifier, rest) = match name.split_once(':') {
        None => (None, name),
        Some(("ForAllValues", rest)) => (Some(Quantifier::AllValues), rest),
        Some(("ForAnyValue", rest)) => (Some(Quantifier::AnyValue), rest),
        Some(_) => return None,
    };
    let (stem, if_exists) = match rest.strip_suffix("IfExists") {
        Some(stem) => (stem, true),
        None => (rest, false),
    };
    let operator = OPERATORS.into_iter().find(|known| known.eq_ignore_ascii_case(stem))?;
    // Null asks whether a key exists.
    (!(if_exists && operator == "Null")).then_some((quantifier, operator, if_exists))
}

/// A text or a list of texts; numbers and truth values are written as text.
fn scalars(json: &Value) -> Result<Vec<String>, Malformed> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(bool) => Ok(bool.to_string()),
        _ => Err(syntax()),
    };
    match json {
        Value::Array(values) => values.iter().map(text).collect(),
        value => Ok(vec![text(value)?]),
    }
}

/// ISO 8601 in part or whole, or seconds since the epoch.
pub(super) fn is_date(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    if text.contains(['t', '-']) { DATE.is_match(&text) } else { text.parse::<i64>().is_ok_and(|at| at >= 0) }
}
