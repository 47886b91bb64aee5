//! The cluster query language: expressions over container instances, for `memberOf` constraints and for the filter of
//! ListContainerInstances.
//!
//! `subject operator [argument]`, combined by `and`, `or`, `not` and parentheses. A negated operator says the opposite of its
//! positive form, also of an instance without the attribute. Source: the developer guide, "cluster query language".

mod lexer;
mod parser;
mod values;

use std::{cmp::Ordering, str::FromStr};

pub use values::Pattern;
pub(crate) use values::{compare, date, version};

/// The most characters that the API takes.
pub const LONGEST_EXPRESSION: usize = 2000;

/// Why an expression cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("the expression is longer than {LONGEST_EXPRESSION} characters")]
    TooLong,
    #[error("the expression is nested too deeply")]
    TooDeep,
    #[error("the expression ends where more is expected")]
    Incomplete,
    #[error("a quotation is not closed")]
    OpenQuote,
    #[error("unexpected '{0}'")]
    Unexpected(String),
    #[error("unknown subject '{0}'")]
    UnknownSubject(String),
    #[error("the operator {operator} cannot be used with {subject}")]
    OperatorNotAllowed { subject: String, operator: String },
    #[error("'{0}' is not a value that the subject can be compared with")]
    WrongValue(String),
    #[error("'{0}' is not a pattern")]
    WrongPattern(String),
}

/// What an expression says.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Test(Test),
}

impl FromStr for Expression {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Expression, QueryError> {
        parser::parse(text)
    }
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    pub subject: Subject,
    pub negated: bool,
    pub condition: Condition,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    AgentConnected,
    AgentVersion,
    Attribute(String),
    Ec2InstanceId,
    RegisteredAt,
    RunningTasksCount,
    TaskGroup,
}

impl Subject {
    fn parse(word: &str) -> Result<Subject, QueryError> {
        Ok(match word {
            "agentConnected" => Subject::AgentConnected,
            "agentVersion" => Subject::AgentVersion,
            "ec2InstanceId" => Subject::Ec2InstanceId,
            "registeredAt" => Subject::RegisteredAt,
            "runningTasksCount" => Subject::RunningTasksCount,
            "task:group" => Subject::TaskGroup,
            _ => match word.strip_prefix("attribute:").filter(|name| !name.is_empty()) {
                Some(name) => Subject::Attribute(name.to_owned()),
                None => return Err(QueryError::UnknownSubject(word.to_owned())),
            },
        })
    }
}

/// What it is compared with. Values are checked against their subject when they are read.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    Exists,
    Equals(String),
    Compares(Order, String),
    In(Vec<String>),
    Matches(Pattern),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    pub(crate) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Order::Less => ordering.is_lt(),
            Order::LessOrEqual => ordering.is_le(),
            Order::Greater => ordering.is_gt(),
            Order::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Condition {
    /// Whether it holds for a text: equality is exact, order is by number when both are numbers.
    pub(crate) fn holds_for_text(&self, value: &str) -> bool {
        match self {
            Condition::Exists => true,
            Condition::Equals(given) => value == given,
            Condition::Compares(order, given) => order.holds(compare(value, given)),
            Condition::In(given) => given.iter().any(|given| given == value),
            Condition::Matches(pattern) => pattern.matches(value),
        }
    }

    /// Whether it holds for a value with an order of its own; `parse` reads the argument.
    pub(crate) fn holds_for<T: Ord>(&self, value: &T, parse: impl Fn(&str) -> Option<T>) -> bool {
        match self {
            Condition::Equals(given) => parse(given).is_some_and(|given| *value == given),
            Condition::Compares(order, given) => {
                parse(given).is_some_and(|given| order.holds(value.cmp(&given)))
            }
            Condition::Exists | Condition::In(_) | Condition::Matches(_) => false,
        }
    }
}
