//! Constraints and values as AWS's messages write them.

use std::fmt;

use aws_schema::{Kind, StringTable, Value};

use crate::limits::MAX_SHOWN_VALUE;
use crate::text::format_timestamp;

/// What a value had to satisfy. Displayed it is the end of AWS's message.
#[derive(Debug, Clone, Copy)]
pub enum Constraint {
    /// It must be given.
    Required,
    /// Fewest characters, bytes, items or entries.
    MinLength(i64),
    /// Most characters, bytes, items or entries.
    MaxLength(i64),
    /// Smallest integer.
    MinValue(i64),
    /// Largest integer.
    MaxValue(i64),
    /// Smallest float.
    MinNumber(f64),
    /// Largest float.
    MaxNumber(f64),
    /// The pattern that must match the whole.
    Pattern(&'static str),
    /// The allowed values.
    Enum(&'static [&'static str]),
    /// Every item of the list must satisfy its kind's constraints.
    Items(Kind),
    /// Every key of the map must satisfy these constraints.
    MapKeys(&'static StringTable),
    /// Every value of the map must satisfy its kind's constraints.
    MapValues(Kind),
}

impl PartialEq for Constraint {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.to_string() == other.to_string()
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Constraint::Required => f.write_str("Member must not be null"),
            Constraint::MinLength(min) => write!(f, "Member must have length greater than or equal to {min}"),
            Constraint::MaxLength(max) => write!(f, "Member must have length less than or equal to {max}"),
            Constraint::MinValue(min) => write!(f, "Member must have value greater than or equal to {min}"),
            Constraint::MaxValue(max) => write!(f, "Member must have value less than or equal to {max}"),
            Constraint::MinNumber(min) => write!(f, "Member must have value greater than or equal to {min}"),
            Constraint::MaxNumber(max) => write!(f, "Member must have value less than or equal to {max}"),
            Constraint::Pattern(pattern) => {
                write!(f, "Member must satisfy regular expression pattern: {pattern}")
            }
            Constraint::Enum(values) => {
                write!(f, "Member must satisfy enum value set: [{}]", values.join(", "))
            }
            Constraint::Items(kind) => write!(f, "Member must satisfy constraint: [{}]", all_of(kind)),
            Constraint::MapKeys(table) => {
                write!(f, "Map keys must satisfy constraint: [{}]", joined(&string_constraints(table)))
            }
            Constraint::MapValues(kind) => write!(f, "Map value must satisfy constraint: [{}]", all_of(kind)),
        }
    }
}

/// Every constraint of a kind, kept or broken: AWS lists them all for items.
fn all_of(kind: &Kind) -> String {
    let lengths = |min: Option<i64>, max: Option<i64>| {
        max.map(Constraint::MaxLength).into_iter().chain(min.map(Constraint::MinLength)).collect::<Vec<_>>()
    };
    joined(&match kind {
        Kind::String(table) => string_constraints(table),
        Kind::Integer(table) => {
            let high = table.max.map(Constraint::MaxValue);
            high.into_iter().chain(table.min.map(Constraint::MinValue)).collect()
        }
        Kind::Float { min, max, .. } => {
            max.map(Constraint::MaxNumber).into_iter().chain(min.map(Constraint::MinNumber)).collect()
        }
        Kind::Blob { min, max } => lengths(*min, *max),
        _ => Vec::new(),
    })
}

fn string_constraints(table: &'static StringTable) -> Vec<Constraint> {
    let mut all = Vec::new();
    all.extend(table.max.map(Constraint::MaxLength));
    all.extend(table.min.map(Constraint::MinLength));
    all.extend(table.pattern.map(Constraint::Pattern));
    all.extend((!table.values.is_empty()).then_some(Constraint::Enum(table.values)));
    all
}

fn joined(constraints: &[Constraint]) -> String {
    constraints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A value in a message, shortened.
pub(super) fn shown(value: &Value) -> String {
    let mut text = String::new();
    render(value, &mut text);
    match text.char_indices().nth(MAX_SHOWN_VALUE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn render(value: &Value, out: &mut String) {
    // Nothing after the part that is shown needs rendering; four bytes a character at most.
    if out.len() > 4 * MAX_SHOWN_VALUE {
        return;
    }
    let list = |out: &mut String, items: &mut dyn Iterator<Item = &Value>| {
        for (index, item) in items.enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            if index > MAX_SHOWN_VALUE {
                return;
            }
            render(item, out);
        }
    };
    match value {
        Value::Bool(flag) => out.push_str(&flag.to_string()),
        Value::Integer(number) => out.push_str(&number.to_string()),
        Value::Float(number) => out.push_str(&number.to_string()),
        Value::String(text) => out.extend(text.chars().take(MAX_SHOWN_VALUE + 1)),
        Value::Blob(bytes) => out.push_str(&format!("({} bytes)", bytes.len())),
        Value::Timestamp(seconds) => {
            out.push_str(&format_timestamp(*seconds, aws_schema::TimestampFormat::Iso8601));
        }
        Value::List(items) => {
            out.push('[');
            list(out, &mut items.iter());
            out.push(']');
        }
        Value::Structure(members) => {
            out.push('{');
            list(out, &mut members.iter().flatten());
            out.push('}');
        }
        Value::Map(entries) => {
            out.push('{');
            for (index, (key, item)) in entries.iter().take(MAX_SHOWN_VALUE).enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                out.extend(key.chars().take(MAX_SHOWN_VALUE + 1));
                out.push('=');
                render(item, out);
            }
            out.push('}');
        }
        Value::Document(document) => out.extend(document.to_string().chars().take(MAX_SHOWN_VALUE + 1)),
    }
}
