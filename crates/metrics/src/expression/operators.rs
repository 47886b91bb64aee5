//! Operators between values.

use super::{Invalid, Series, Value};
use crate::Points;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    Plus,
    Minus,
    Times,
    Over,
    Power,
}

impl Operator {
    /// What binds most tightly.
    pub const HIGHEST: usize = 5;

    pub fn of(text: &str) -> Option<Operator> {
        Some(match text {
            "OR" | "||" => Operator::Or,
            "AND" | "&&" => Operator::And,
            "==" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            ">" => Operator::Greater,
            "<=" => Operator::LessOrEqual,
            ">=" => Operator::GreaterOrEqual,
            "+" => Operator::Plus,
            "-" => Operator::Minus,
            "*" => Operator::Times,
            "/" => Operator::Over,
            "^" => Operator::Power,
            _ => return None,
        })
    }

    pub fn level(self) -> usize {
        match self {
            Operator::Or => 0,
            Operator::And => 1,
            Operator::Equal
            | Operator::NotEqual
            | Operator::Less
            | Operator::Greater
            | Operator::LessOrEqual
            | Operator::GreaterOrEqual => 2,
            Operator::Plus | Operator::Minus => 3,
            Operator::Times | Operator::Over => 4,
            Operator::Power => 5,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Operator::Or => "OR",
            Operator::And => "AND",
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::Greater => ">",
            Operator::LessOrEqual => "<=",
            Operator::GreaterOrEqual => ">=",
            Operator::Plus => "+",
            Operator::Minus => "-",
            Operator::Times => "*",
            Operator::Over => "/",
            Operator::Power => "^",
        }
    }

    /// None where there is no result: what is divided by zero.
    fn apply(self, a: f64, b: f64) -> Option<f64> {
        let truth = |holds: bool| f64::from(u8::from(holds));
        let result = match self {
            Operator::Or => truth(a != 0.0 || b != 0.0),
            Operator::And => truth(a != 0.0 && b != 0.0),
            Operator::Equal => truth(a == b),
            Operator::NotEqual => truth(a != b),
            Operator::Less => truth(a < b),
            Operator::Greater => truth(a > b),
            Operator::LessOrEqual => truth(a <= b),
            Operator::GreaterOrEqual => truth(a >= b),
            Operator::Plus => a + b,
            Operator::Minus => a - b,
            Operator::Times => a * b,
            Operator::Over => a / b,
            Operator::Power => a.powf(b),
        };
        result.is_finite().then_some(result)
    }
}

pub(super) fn binary(operator: Operator, left: Value, right: Value) -> Result<Value, Invalid> {
    let apply = |a, b| operator.apply(a, b);
    Ok(match (left, right) {
        (Value::Number(a), Value::Number(b)) => Value::Number(apply(a, b).unwrap_or(0.0)),
        (Value::Series(a), Value::Number(b)) => Value::Series(each(a, |value| apply(value, b))),
        (Value::Number(a), Value::Series(b)) => Value::Series(each(b, |value| apply(a, value))),
        (Value::Series(a), Value::Series(b)) => Value::Series(both(a, &b, apply)),
        (Value::Array(all), Value::Number(b)) => {
            Value::Array(all.into_iter().map(|a| each(a, |value| apply(value, b))).collect())
        }
        (Value::Number(a), Value::Array(all)) => {
            Value::Array(all.into_iter().map(|b| each(b, |value| apply(a, value))).collect())
        }
        (Value::Array(all), Value::Series(b)) => {
            Value::Array(all.into_iter().map(|a| both(a, &b, apply)).collect())
        }
        (Value::Series(a), Value::Array(all)) => Value::Array(
            all.into_iter()
                .map(|b| Series { label: b.label.clone(), ..both(a.clone(), &b, apply) })
                .collect(),
        ),
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            Value::Array(a.into_iter().zip(b).map(|(a, b)| both(a, &b, apply)).collect())
        }
        _ => return Err(Invalid::Operands(operator.sign())),
    })
}

/// The series with every value changed; those that have none are left out.
pub(super) fn each(mut series: Series, change: impl Fn(f64) -> Option<f64>) -> Series {
    series.points = series.points.iter().filter_map(|(at, value)| Some((*at, change(*value)?))).collect();
    series
}

fn both(a: Series, b: &Series, apply: impl Fn(f64, f64) -> Option<f64>) -> Series {
    let points: Points =
        a.points.iter().filter_map(|(at, value)| Some((*at, apply(*value, *b.points.get(at)?)?))).collect();
    Series { label: a.label, points, period: a.period.max(b.period) }
}
