//! Constraints, which bind, and strategies, which order: what may be asked for, and how it is written.

use std::fmt;

use crate::query::{Expression, QueryError};

/// Strategies that one request may chain.
pub const MOST_STRATEGIES: usize = 5;
/// Constraints of a request and its definition together.
pub const MOST_CONSTRAINTS: usize = 10;

/// What an instance must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Constraint {
    /// No two wanted tasks of the group on one instance.
    DistinctInstance,
    /// The expression holds for the instance.
    MemberOf(Expression),
}

/// What is preferred, as far as it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// Evenly over the values of an attribute.
    SpreadAttribute(String),
    /// Evenly over instances.
    SpreadInstance,
    /// Where the least is left.
    Binpack(Resource),
    Random,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Cpu,
    Memory,
}

/// Why a constraint or a strategy is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("distinctInstance expression should not be specified.")]
    DistinctExpression,
    #[error("memberOf expression cannot be empty.")]
    NoExpression,
    #[error("Invalid memberOf expression: {0}.")]
    Expression(#[from] QueryError),
    #[error("A maximum of {MOST_CONSTRAINTS} placement constraints can be specified.")]
    TooManyConstraints,
    #[error("A maximum of {MOST_STRATEGIES} placement strategies can be specified.")]
    TooManyStrategies,
    #[error("The field '{field}' is not valid for the placement strategy {strategy}.")]
    Field { strategy: &'static str, field: String },
    #[error("The field of the placement strategy {0} cannot be empty.")]
    NoField(&'static str),
}

impl Constraint {
    pub fn distinct_instance(expression: Option<&str>) -> Result<Constraint, RuleError> {
        match expression {
            None => Ok(Constraint::DistinctInstance),
            Some(_) => Err(RuleError::DistinctExpression),
        }
    }

    pub fn member_of(expression: Option<&str>) -> Result<Constraint, RuleError> {
        match expression.filter(|text| !text.trim().is_empty()) {
            None => Err(RuleError::NoExpression),
            Some(text) => Ok(Constraint::MemberOf(text.parse()?)),
        }
    }
}

impl Strategy {
    /// By `instanceId` or `host`, which mean the same, or by an attribute, `attribute:` before its name or not.
    pub fn spread(field: Option<&str>) -> Result<Strategy, RuleError> {
        match field.filter(|field| !field.is_empty()).ok_or(RuleError::NoField("spread"))? {
            "instanceId" | "host" => Ok(Strategy::SpreadInstance),
            field => {
                let name = field.strip_prefix("attribute:").unwrap_or(field);
                let named = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_./\\".contains(c));
                if name.is_empty() || !named {
                    return Err(RuleError::Field { strategy: "spread", field: field.to_owned() });
                }
                Ok(Strategy::SpreadAttribute(name.to_owned()))
            }
        }
    }

    /// By `cpu` or `memory`, in any case.
    pub fn binpack(field: Option<&str>) -> Result<Strategy, RuleError> {
        let field = field.filter(|field| !field.is_empty()).ok_or(RuleError::NoField("binpack"))?;
        match field.to_ascii_lowercase().as_str() {
            "cpu" => Ok(Strategy::Binpack(Resource::Cpu)),
            "memory" => Ok(Strategy::Binpack(Resource::Memory)),
            _ => Err(RuleError::Field { strategy: "binpack", field: field.to_owned() }),
        }
    }

    /// What a service without strategies gets: the zone with the fewest of its tasks, then the instance with the fewest.
    pub fn service_default() -> Vec<Strategy> {
        vec![Strategy::SpreadAttribute(crate::Instance::ZONE.to_owned()), Strategy::SpreadInstance]
    }
}

/// Why an instance does not take a task. Ordered: the further down, the more of the request the instance fulfils.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Its agent is not connected.
    Agent,
    /// It lacks an attribute that the definition needs.
    Attribute,
    MemberOf,
    DistinctInstance,
    Ports,
    Gpu,
    Eni,
    Cpu,
    Memory,
}

/// As `failures` of RunTask and StartTask say it.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Agent => "AGENT",
            Reason::Attribute => "ATTRIBUTE",
            Reason::MemberOf => "MemberOf placement constraint unsatisfied.",
            Reason::DistinctInstance => "DistinctInstance placement constraint unsatisfied.",
            Reason::Ports => "RESOURCE:PORTS",
            Reason::Gpu => "RESOURCE:GPU",
            Reason::Eni => "RESOURCE:ENI",
            Reason::Cpu => "RESOURCE:CPU",
            Reason::Memory => "RESOURCE:MEMORY",
        })
    }
}

impl Reason {
    /// As a service's event says it of the closest matching instance.
    pub fn of_closest(self) -> String {
        match self {
            Reason::Attribute => "is missing an attribute required by your task".to_owned(),
            Reason::Ports => "is already using a port required by your task".to_owned(),
            Reason::Cpu => "has insufficient CPU units available".to_owned(),
            Reason::Memory => "has insufficient memory available".to_owned(),
            other => format!("encountered error \"{other}\""),
        }
    }
}
