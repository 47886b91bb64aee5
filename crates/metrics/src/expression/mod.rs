//! Metric math: expressions over metrics and over each other, as GetMetricData and alarms take them.
//!
//! A value is a number, a series, or several series. Operators work on each point that both sides have; a number goes with every point. Source:
//! "Using metric math" of the CloudWatch guide. Not here: `SEARCH`, anomaly detection, Metrics Insights queries, and `LAMBDA`, which
//! are refused by name.

mod functions;
mod operators;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::Points;
pub use parse::Expression;
use parse::Node;

/// Points that one value may take on its way, those of what it is made from included each time that they are used: expressions that name
/// each other twice would double the work with each. GetMetricData answers 100,800.
const MOST_POINTS: usize = 1_000_000;
/// Expressions within expressions, by parentheses, calls and names: the evaluation recurses.
const DEEPEST: usize = 128;

/// A series: one value for each period that has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub label: String,
    pub points: Points,
    pub period: i64,
}

/// What an expression comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Number(f64),
    Series(Series),
    Array(Vec<Series>),
    /// The argument of a function that takes a word.
    Text(String),
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("the expression ends too early")]
    End,
    #[error("`{0}` is not expected here")]
    Unexpected(String),
    #[error("the expression is nested too deeply")]
    Deep,
    #[error("the expression takes more than {MOST_POINTS} points to compute")]
    Work,
    #[error("`{0}` is not the id of a metric or expression of this request")]
    Unknown(String),
    #[error("`{0}` is defined by itself")]
    Circle(String),
    #[error("`{0}` is not a function of metric math that is known here")]
    Function(String),
    #[error("{0} cannot take these arguments")]
    Arguments(&'static str),
    #[error("the operator {0} cannot work on these values")]
    Operands(&'static str),
}

/// What an id of a request stands for.
#[derive(Debug, Clone)]
pub enum Source {
    Metric(Series),
    Expression(Expression),
}

/// The periods of a request: where they begin and end, in seconds, and how long each is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: i64,
    /// Exclusive.
    pub end: i64,
    pub period: i64,
}

impl Span {
    /// The beginnings of the periods.
    pub fn periods(self) -> impl Iterator<Item = i64> {
        let step = usize::try_from(self.period.max(1)).unwrap_or(usize::MAX);
        (self.start..self.end).step_by(step)
    }
}

/// The metrics and expressions of a request, by their ids.
#[derive(Debug)]
pub struct Request {
    pub sources: BTreeMap<String, Source>,
    pub span: Span,
}

impl Request {
    /// What an id comes to.
    ///
    /// # Errors
    /// Why its expression, or one that it is made from, has no value.
    pub fn value(&self, id: &str) -> Result<Value, Invalid> {
        self.named(id, &mut Walk { within: Vec::new(), deep: 0, points: MOST_POINTS })
    }

    fn named(&self, id: &str, walk: &mut Walk) -> Result<Value, Invalid> {
        match self.sources.get(id) {
            None => Err(Invalid::Unknown(id.to_owned())),
            Some(Source::Metric(series)) => Ok(Value::Series(series.clone())),
            Some(Source::Expression(expression)) => {
                if walk.within.iter().any(|outer| outer == id) {
                    return Err(Invalid::Circle(id.to_owned()));
                }
                walk.within.push(id.to_owned());
                let value = self.node(&expression.root, walk);
                walk.within.pop();
                value
            }
        }
    }

    fn node(&self, node: &Node, walk: &mut Walk) -> Result<Value, Invalid> {
        walk.deep += 1;
        if walk.deep > DEEPEST {
            return Err(Invalid::Deep);
        }
        let value = self.computed(node, walk)?;
        walk.deep -= 1;
        walk.take(&value)?;
        Ok(value)
    }

    fn computed(&self, node: &Node, walk: &mut Walk) -> Result<Value, Invalid> {
        match node {
            Node::Number(number) => Ok(Value::Number(*number)),
            Node::Text(text) => Ok(Value::Text(text.clone())),
            Node::Name(id) => self.named(id, walk),
            Node::List(nodes) => {
                let mut all = Vec::new();
                for node in nodes {
                    match self.node(node, walk)? {
                        Value::Series(series) => all.push(series),
                        Value::Array(more) => all.extend(more),
                        Value::Number(number) => {
                            let series = functions::constant(number, self.span);
                            walk.spend(series.points.len())?;
                            all.push(series);
                        }
                        Value::Text(text) => return Err(Invalid::Unexpected(text)),
                    }
                }
                Ok(Value::Array(all))
            }
            Node::Negative(inner) => {
                let value = self.node(inner, walk)?;
                operators::binary(operators::Operator::Minus, Value::Number(0.0), value)
            }
            Node::Binary(..) => {
                // `a + b + c` is as deep to the left as it is long.
                let (mut first, mut rest) = (node, Vec::new());
                while let Node::Binary(operator, left, right) = first {
                    rest.push((*operator, right));
                    first = left;
                }
                let mut value = self.node(first, walk)?;
                while let Some((operator, right)) = rest.pop() {
                    value = operators::binary(operator, value, self.node(right, walk)?)?;
                    walk.take(&value)?;
                }
                Ok(value)
            }
            Node::Call(name, arguments) if name == "METRICS" => match arguments.as_slice() {
                [] => Ok(self.metrics("")),
                [Node::Text(part)] => Ok(self.metrics(part)),
                _ => Err(Invalid::Arguments("METRICS")),
            },
            Node::Call(name, arguments) => {
                // These words are arguments where functions take words, and ids anywhere else.
                let value = |node: &Node, walk: &mut Walk| match node {
                    Node::Name(word) if functions::is_word(word) => Ok(Value::Text(word.clone())),
                    _ => self.node(node, walk),
                };
                let mut given = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    given.push(value(argument, walk)?);
                }
                functions::call(name, given, self.span)
            }
        }
    }

    /// The metrics whose ids contain `part`.
    fn metrics(&self, part: &str) -> Value {
        let all = self.sources.iter().filter(|(id, _)| id.contains(part));
        let series = all.filter_map(|(_, source)| match source {
            Source::Metric(series) => Some(series.clone()),
            Source::Expression(_) => None,
        });
        Value::Array(series.collect())
    }
}

/// One computation of a value.
struct Walk {
    /// The ids whose expressions are being computed, each within the one before.
    within: Vec<String>,
    deep: usize,
    /// That may still be taken.
    points: usize,
}

impl Walk {
    fn take(&mut self, value: &Value) -> Result<(), Invalid> {
        let points = match value {
            Value::Number(_) | Value::Text(_) => 1,
            Value::Series(series) => 1 + series.points.len(),
            Value::Array(all) => 1 + all.iter().map(|series| 1 + series.points.len()).sum::<usize>(),
        };
        self.spend(points)
    }

    fn spend(&mut self, points: usize) -> Result<(), Invalid> {
        self.points = self.points.checked_sub(points).ok_or(Invalid::Work)?;
        Ok(())
    }
}
