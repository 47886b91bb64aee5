//! The one validator: holds a decoded input against its shapes' constraints.
//!
//! Texts are those of AWS's own front ends ("1 validation error detected: Value 'x' at 'y' failed to satisfy
//! constraint: Member must …"), so that clients and tests which look for them find them. What the model does not
//! state as a constraint is for the service to check.

mod pattern;
mod render;

use aws_schema::{Kind, Protocol, ServiceTable, StringTable, StructureTable, Value};

use crate::error::ErrorBody;
use crate::limits::{MAX_DEPTH, MAX_VIOLATIONS};

pub use render::Constraint;

/// The constraints that an input breaks, in the order of its members; at most
/// [`MAX_VIOLATIONS`](crate::limits::MAX_VIOLATIONS). Never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Violations(pub Vec<Violation>);

/// One broken constraint.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// `tags.1.member.key`: members with a small first letter, items of lists by their number from 1.
    pub path: String,
    /// The offending value as text, shortened; `None` when it is missing or must not be shown.
    pub value: Option<String>,
    /// What it had to satisfy.
    pub constraint: Constraint,
}

impl Violations {
    /// The whole message.
    pub fn message(&self) -> String {
        let count = self.0.len();
        let plural = if count == 1 { "" } else { "s" };
        let each: Vec<String> = self.0.iter().map(Violation::message).collect();
        format!("{count} validation error{plural} detected: {}", each.join("; "))
    }

    /// The error as the client gets it, with the code that the service's protocol and model call for.
    /// Services with a habit of their own build theirs from the violations.
    pub fn body(&self, service: &ServiceTable) -> ErrorBody {
        if service.protocols.contains(&Protocol::Ec2Query) {
            if let Some(missing) =
                self.0.iter().find(|violation| violation.constraint == Constraint::Required)
            {
                let message = format!("The request must contain the parameter {}", missing.path);
                return ErrorBody::new("MissingParameter", 400, message);
            }
            return ErrorBody::new("InvalidParameterValue", 400, self.message());
        }
        let code = if service.protocols.contains(&Protocol::Query) {
            "ValidationError"
        } else if service.error("InvalidParameterException").is_some() {
            "InvalidParameterException"
        } else {
            "ValidationException"
        };
        ErrorBody::new(code, 400, self.message())
    }
}

impl Violation {
    /// "Value 'x' at 'y' failed to satisfy constraint: …".
    pub fn message(&self) -> String {
        let value = match (&self.value, &self.constraint) {
            (Some(value), _) => format!("Value '{value}' at"),
            (None, Constraint::Required) => "Value null at".to_owned(),
            (None, _) => "Value at".to_owned(),
        };
        format!("{value} '{}' failed to satisfy constraint: {}", self.path, self.constraint)
    }
}

/// Checks `value` against `table`.
///
/// # Errors
/// Every broken constraint, up to a bound.
pub fn validate(table: &'static StructureTable, value: &Value) -> Result<(), Violations> {
    let mut check = Check { found: Vec::new(), depth: 0 };
    check.structure(table, value, "");
    if check.found.is_empty() { Ok(()) } else { Err(Violations(check.found)) }
}

struct Check {
    found: Vec<Violation>,
    depth: usize,
}

impl Check {
    fn report(&mut self, path: &str, value: Option<String>, constraint: Constraint) {
        if self.found.len() < MAX_VIOLATIONS {
            self.found.push(Violation { path: path.to_owned(), value, constraint });
        }
    }

    fn structure(&mut self, table: &'static StructureTable, value: &Value, path: &str) {
        let Value::Structure(values) = value else { return };
        if self.depth == MAX_DEPTH || self.found.len() == MAX_VIOLATIONS {
            return;
        }
        self.depth += 1;
        for (index, member) in table.members.iter().enumerate() {
            let name = lowered(member.name);
            let path = if path.is_empty() { name } else { format!("{path}.{name}") };
            match values.get(index).and_then(Option::as_ref) {
                Some(value) => self.kind(&member.kind, value, &path, member.sensitive),
                None if member.required => self.report(&path, None, Constraint::Required),
                None => {}
            }
        }
        self.depth -= 1;
    }

    fn kind(&mut self, kind: &Kind, value: &Value, path: &str, sensitive: bool) {
        match (kind, value) {
            (Kind::Structure(table), Value::Structure(_)) => self.structure(table, value, path),
            (Kind::List(table), Value::List(items)) => {
                self.length(items.len(), table.min, table.max, value, path, sensitive);
                let mut bad_item = false;
                for (index, item) in items.iter().enumerate() {
                    match item {
                        Value::Structure(_) | Value::List(_) | Value::Map(_) => {
                            let path = format!("{path}.{}.member", index + 1);
                            self.kind(&table.item, item, &path, sensitive || table.sensitive);
                        }
                        scalar => bad_item |= !satisfies(&table.item, scalar),
                    }
                }
                if bad_item {
                    self.report(
                        path,
                        shown(value, sensitive || table.sensitive),
                        Constraint::Items(table.item),
                    );
                }
            }
            (Kind::Map(table), Value::Map(entries)) => {
                self.length(entries.len(), table.min, table.max, value, path, sensitive);
                let mut bad_value = false;
                for (key, item) in entries {
                    match item {
                        Value::Structure(_) | Value::List(_) | Value::Map(_) => {
                            self.kind(&table.value, item, &format!("{path}.{key}.member"), sensitive);
                        }
                        scalar => bad_value |= !satisfies(&table.value, scalar),
                    }
                }
                if entries.iter().any(|(key, _)| broken_string(table.key, key).next().is_some()) {
                    self.report(path, shown(value, sensitive), Constraint::MapKeys(table.key));
                }
                if bad_value {
                    self.report(path, shown(value, sensitive), Constraint::MapValues(table.value));
                }
            }
            _ => {
                for constraint in broken(kind, value) {
                    self.report(path, shown(value, sensitive), constraint);
                }
            }
        }
    }

    fn length(
        &mut self,
        length: usize,
        min: Option<i64>,
        max: Option<i64>,
        value: &Value,
        path: &str,
        sensitive: bool,
    ) {
        for constraint in broken_length(length, min, max) {
            self.report(path, shown(value, sensitive), constraint);
        }
    }
}

fn shown(value: &Value, sensitive: bool) -> Option<String> {
    (!sensitive).then(|| render::shown(value))
}

fn satisfies(kind: &Kind, value: &Value) -> bool {
    broken(kind, value).is_empty()
}

fn broken(kind: &Kind, value: &Value) -> Vec<Constraint> {
    match (kind, value) {
        (Kind::String(table), Value::String(text)) => broken_string(table, text).collect(),
        (Kind::Blob { min, max }, Value::Blob(bytes)) => broken_length(bytes.len(), *min, *max).collect(),
        (Kind::Integer(table), Value::Integer(number)) => {
            let low = table.min.filter(|min| number < min).map(Constraint::MinValue);
            let high = table.max.filter(|max| number > max).map(Constraint::MaxValue);
            low.into_iter().chain(high).collect()
        }
        (Kind::Float { min, max, .. }, Value::Float(number)) => {
            let low = min.filter(|min| number < min).map(Constraint::MinNumber);
            let high = max.filter(|max| number > max).map(Constraint::MaxNumber);
            low.into_iter().chain(high).collect()
        }
        _ => Vec::new(),
    }
}

fn broken_string(table: &'static StringTable, text: &str) -> impl Iterator<Item = Constraint> {
    let not_listed = !table.values.is_empty() && !table.values.contains(&text);
    let listed = not_listed.then_some(Constraint::Enum(table.values));
    let length = (table.min.is_some() || table.max.is_some())
        .then(|| broken_length(text.chars().count(), table.min, table.max))
        .into_iter()
        .flatten();
    let pattern = table.pattern.filter(|pattern| !pattern::matches(pattern, text)).map(Constraint::Pattern);
    listed.into_iter().chain(pattern).chain(length)
}

fn broken_length(length: usize, min: Option<i64>, max: Option<i64>) -> impl Iterator<Item = Constraint> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let low = min.filter(|min| length < *min).map(Constraint::MinLength);
    let high = max.filter(|max| length > *max).map(Constraint::MaxLength);
    high.into_iter().chain(low)
}

fn lowered(name: &str) -> String {
    let mut letters = name.chars();
    match letters.next() {
        Some(first) => first.to_ascii_lowercase().to_string() + letters.as_str(),
        None => String::new(),
    }
}

#[cfg(test)]
pub(crate) use pattern::compiles;
