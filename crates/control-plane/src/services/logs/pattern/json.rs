//! JSON patterns: `{ $.level = "ERROR" && ($.status >= 500 || $.user.id NOT EXISTS) }`.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::{
    InvalidPattern,
    cursor::{Cursor, is_word},
    operand::{Comparison, Operand},
};

/// Parentheses within parentheses: more than anyone writes, few enough for the stack.
const DEEPEST: usize = 32;
/// Wildcard selectors in one selector, and in a pattern.
const WILDCARDS_PER_SELECTOR: usize = 1;
const WILDCARDS: usize = 3;

#[derive(Debug, Clone)]
pub(super) enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Condition(Vec<Step>, Condition),
}

/// One step of a property selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    Element(usize),
    AnyChild,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Member(name) if name.contains('.') => write!(f, ".['{name}']"),
            Step::Member(name) => write!(f, ".{name}"),
            Step::Element(index) => write!(f, "[{index}]"),
            Step::AnyChild => write!(f, "[*]"),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Condition {
    Compare(Comparison, Operand),
    Is(Value),
    NotExists,
}

impl Expression {
    pub fn parse(cursor: &mut Cursor<'_>) -> Result<Expression, InvalidPattern> {
        cursor.expect("{")?;
        let expression = alternatives(cursor, 0)?;
        cursor.expect("}")?;
        Ok(expression)
    }

    pub fn matches(&self, message: &str) -> bool {
        let message = message.trim();
        // Most lines are not JSON at all: do not parse those.
        if !message.starts_with(['{', '[']) {
            return false;
        }
        serde_json::from_str(message).is_ok_and(|value| self.holds(&value))
    }

    /// The values of the properties that the pattern names, by selector.
    pub fn extract(&self, message: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        if let Ok(value) = serde_json::from_str::<Value>(message) {
            self.collect(&value, &mut found);
        }
        found
    }

    fn collect(&self, value: &Value, found: &mut BTreeMap<String, String>) {
        match self {
            Expression::All(parts) | Expression::Any(parts) => {
                parts.iter().for_each(|part| part.collect(value, found));
            }
            Expression::Condition(selector, _) => {
                let text = match select(selector, value).first() {
                    Some(Value::String(text)) => text.clone(),
                    Some(Value::Null) | None => return,
                    Some(other) => other.to_string(),
                };
                let written = selector.iter().map(Step::to_string).collect::<String>();
                found.insert(format!("${written}"), text);
            }
        }
    }

    fn holds(&self, value: &Value) -> bool {
        match self {
            Expression::All(parts) => parts.iter().all(|part| part.holds(value)),
            Expression::Any(parts) => parts.iter().any(|part| part.holds(value)),
            Expression::Condition(selector, condition) => {
                let nodes = select(selector, value);
                match condition {
                    Condition::NotExists => nodes.is_empty(),
                    Condition::Is(wanted) => nodes.contains(&wanted),
                    Condition::Compare(comparison, operand) => {
                        nodes.into_iter().any(|node| compare(node, *comparison, operand))
                    }
                }
            }
        }
    }
}

fn alternatives(cursor: &mut Cursor<'_>, depth: usize) -> Result<Expression, InvalidPattern> {
    list(
        cursor,
        depth,
        "||",
        |cursor, depth| list(cursor, depth, "&&", primary, Expression::All),
        Expression::Any,
    )
}

fn list(
    cursor: &mut Cursor<'_>,
    depth: usize,
    operator: &str,
    part: impl Fn(&mut Cursor<'_>, usize) -> Result<Expression, InvalidPattern>,
    join: impl Fn(Vec<Expression>) -> Expression,
) -> Result<Expression, InvalidPattern> {
    let mut parts = vec![part(cursor, depth)?];
    loop {
        cursor.skip_space();
        if !cursor.take(operator) {
            break;
        }
        parts.push(part(cursor, depth)?);
    }
    Ok(match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    })
}

fn primary(cursor: &mut Cursor<'_>, depth: usize) -> Result<Expression, InvalidPattern> {
    cursor.skip_space();
    if cursor.take("(") {
        if depth == DEEPEST {
            return Err(InvalidPattern::TooMany { what: "nested parentheses", limit: DEEPEST });
        }
        let inner = alternatives(cursor, depth + 1)?;
        cursor.expect(")")?;
        return Ok(inner);
    }
    let selector = selector(cursor)?;
    cursor.skip_space();
    if cursor.take_word("NOT") {
        cursor.skip_space();
        return match cursor.take_word("EXISTS") {
            true => Ok(Expression::Condition(selector, Condition::NotExists)),
            false => Err(cursor.expected("EXISTS")),
        };
    }
    if cursor.take_word("IS") {
        cursor.skip_space();
        let table = [("NULL", Value::Null), ("TRUE", Value::Bool(true)), ("FALSE", Value::Bool(false))];
        let found = table.into_iter().find(|(word, _)| cursor.take_word(word));
        let (_, value) = found.ok_or_else(|| cursor.expected("NULL, TRUE or FALSE"))?;
        return Ok(Expression::Condition(selector, Condition::Is(value)));
    }
    let comparison = Comparison::parse(cursor).ok_or_else(|| cursor.expected("a comparison"))?;
    let operand = Operand::parse(cursor, |next| "(){}&|".contains(next))?;
    Ok(Expression::Condition(selector, Condition::Compare(comparison, operand)))
}

/// `$.a.b[0].c`, `$.['a.b']`, `$.list[*]`, `$.*`
fn selector(cursor: &mut Cursor<'_>) -> Result<Vec<Step>, InvalidPattern> {
    cursor.expect("$")?;
    let mut steps = Vec::new();
    let mut wildcards = 0;
    loop {
        let dot = cursor.take(".");
        let step = if cursor.take("[") {
            bracketed(cursor)?
        } else if dot && cursor.take("*") {
            Step::AnyChild
        } else if dot {
            let name = cursor.until(|next| !(is_word(next) || next == '-'));
            if name.is_empty() {
                return Err(cursor.expected("a property name"));
            }
            Step::Member(name.to_owned())
        } else {
            break;
        };
        wildcards += usize::from(step == Step::AnyChild);
        steps.push(step);
    }
    if steps.is_empty() {
        return Err(cursor.expected("a property"));
    }
    if wildcards > WILDCARDS_PER_SELECTOR {
        return Err(InvalidPattern::TooMany {
            what: "wildcards in a selector",
            limit: WILDCARDS_PER_SELECTOR,
        });
    }
    cursor.wildcards += wildcards;
    if cursor.wildcards > WILDCARDS {
        return Err(InvalidPattern::TooMany { what: "wildcard selectors", limit: WILDCARDS });
    }
    Ok(steps)
}

fn bracketed(cursor: &mut Cursor<'_>) -> Result<Step, InvalidPattern> {
    cursor.skip_space();
    let step = match cursor.peek() {
        Some('*') => {
            cursor.next();
            Step::AnyChild
        }
        Some('"') => Step::Member(cursor.quoted()?),
        Some('\'') => {
            cursor.next();
            let name = cursor.until(|next| next == '\'').to_owned();
            cursor.expect("'")?;
            Step::Member(name)
        }
        _ => {
            let digits = cursor.until(|next| !next.is_ascii_digit());
            Step::Element(digits.parse().map_err(|_| cursor.expected("an array index"))?)
        }
    };
    cursor.expect("]")?;
    Ok(step)
}

/// The nodes that a selector leads to: at most one unless it has a wildcard.
fn select<'v>(selector: &[Step], value: &'v Value) -> Vec<&'v Value> {
    let mut nodes = vec![value];
    for step in selector {
        nodes = nodes
            .into_iter()
            .flat_map(|node| -> Box<dyn Iterator<Item = &'v Value>> {
                match (step, node) {
                    (Step::Member(name), Value::Object(members)) => Box::new(members.get(name).into_iter()),
                    (Step::Element(index), Value::Array(elements)) => {
                        Box::new(elements.get(*index).into_iter())
                    }
                    (Step::AnyChild, Value::Object(members)) => Box::new(members.values()),
                    (Step::AnyChild, Value::Array(elements)) => Box::new(elements.iter()),
                    _ => Box::new(std::iter::empty()),
                }
            })
            .collect();
    }
    nodes
}

fn compare(node: &Value, comparison: Comparison, operand: &Operand) -> bool {
    match node {
        Value::String(text) => operand.compare_text(comparison, text),
        Value::Number(number) => {
            let text = number.to_string();
            operand.compare_number(comparison, number.as_f64().unwrap_or(f64::NAN), &text)
        }
        Value::Bool(truth) => operand.compare_text(comparison, if *truth { "true" } else { "false" }),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}
