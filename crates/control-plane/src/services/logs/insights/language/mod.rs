//! The query language of Logs Insights: text in, a [`Query`] out, and what its expressions mean for one event.
//!
//! Pure. The commands are `fields`, `display`, `filter`, `parse`, `stats`, `sort`, `limit` and `dedup`; the others
//! (`pattern`, `diff`, `anomaly`, `join`, `SOURCE` and the SQL and PPL dialects) are refused as malformed, never
//! skipped. Source: the guide's pages on query syntax.

mod eval;
mod lexer;
mod parser;
mod value;

pub use self::{
    eval::{Fields, evaluate, is_true},
    value::Value,
};

/// Where and why a query is refused; offsets count characters from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at characters {start}-{end})")]
pub struct Malformed {
    pub message: String,
    pub start: usize,
    pub end: usize,
}

/// A query: what is done to each event on its way, how many become rows, and how those are shown.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// In order.
    pub commands: Vec<Command>,
}

#[derive(Debug, Clone)]
pub enum Command {
    Fields(Vec<Column>),
    Display(Vec<Column>),
    Filter(Expression),
    Parse { from: Expression, pattern: ParsePattern, names: Vec<String> },
    Stats { aggregates: Vec<Aggregate>, by: Vec<Column> },
    Sort(Vec<(Expression, Order)>),
    Limit(usize),
    Dedup(Vec<Expression>),
}

/// An expression and the name that its values get.
#[derive(Debug, Clone)]
pub struct Column {
    pub expression: Expression,
    pub name: String,
}

#[derive(Debug, Clone)]
pub enum ParsePattern {
    /// The literal texts around the wildcards, of which there is one more than names.
    Glob(Vec<String>),
    /// With named groups.
    Regex(regex::Regex),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

#[derive(Debug, Clone)]
pub struct Aggregate {
    pub function: AggregateFunction,
    /// `None` for `count(*)`.
    pub over: Option<Expression>,
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AggregateFunction {
    Count,
    CountDistinct,
    Sum,
    Average,
    Minimum,
    Maximum,
    StandardDeviation,
    /// 0 to 100.
    Percentile(f64),
    Earliest,
    Latest,
}

#[derive(Debug, Clone)]
pub enum Expression {
    Field(String),
    Constant(Value),
    Not(Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Compare(Box<Expression>, Comparison, Box<Expression>),
    In(Box<Expression>, Vec<Expression>),
    Matches(Box<Expression>, regex::Regex),
    Contains(Box<Expression>, Box<Expression>),
    Arithmetic(Box<Expression>, char, Box<Expression>),
    Negative(Box<Expression>),
    Call(eval::Function, Vec<Expression>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// [`Malformed`], with the place.
    pub fn parse(text: &str) -> Result<Query, Malformed> {
        parser::parse(text)
    }
}

#[cfg(test)]
mod tests;
