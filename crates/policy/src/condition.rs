//! One condition: an operator, a key, and the values it is held against.

use std::net::IpAddr;

use crate::{
    Context, LanguageVersion, Quantifier,
    document::Condition as Written,
    pattern::{ArnPattern, Case, Pattern},
    scalar::{Order, Range, date, number, truth},
};

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    quantifier: Option<Quantifier>,
    if_exists: bool,
    /// In lower case.
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// Whether the key is to be absent.
    Null { absent: bool },
    /// True when the value is like any of these; turned around when negated.
    Any { negated: bool, values: Vec<Value> },
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(Pattern, Case),
    Arn(Box<ArnPattern>),
    /// Told apart by text: a variable may stand for it.
    Number(Order, Pattern),
    Date(Order, Pattern),
    Truth(bool),
    Address(Pattern),
    Bytes(String),
}

impl Condition {
    /// # Errors
    /// With the operator or the value that is not one.
    pub(crate) fn compile(written: &Written, version: LanguageVersion) -> Result<Condition, String> {
        let test = if written.operator == "Null" {
            let wanted: Option<Vec<bool>> = written.values.iter().map(|value| truth(value)).collect();
            let wanted =
                wanted.ok_or_else(|| format!("Null asks for true or false, not {:?}", written.values))?;
            // Both together hold always; neither never: the first counts, as there is one in practice.
            Test::Null { absent: wanted.first().copied().unwrap_or(false) }
        } else {
            let (negated, kind) =
                kind(&written.operator).ok_or_else(|| format!("{} is not an operator", written.operator))?;
            let values = written.values.iter().map(|value| kind.value(value, version));
            Test::Any { negated, values: values.collect::<Result<_, _>>()? }
        };
        Ok(Condition {
            quantifier: written.quantifier,
            if_exists: written.if_exists,
            key: written.key.to_ascii_lowercase(),
            test,
        })
    }

    pub(crate) fn holds(&self, context: &Context) -> bool {
        let found = context.get(&self.key);
        let (negated, wanted) = match &self.test {
            Test::Null { absent } => return found.is_empty() == *absent,
            Test::Any { negated, values } => (*negated, values),
        };
        if found.is_empty() {
            return match self.quantifier {
                Some(Quantifier::AllValues) => true,
                Some(Quantifier::AnyValue) => self.if_exists,
                // What is not there is not equal to anything.
                None => self.if_exists || negated,
            };
        }
        let one = |value: &String| wanted.iter().any(|wanted| wanted.is_like(value, context)) != negated;
        match (self.quantifier, negated) {
            (Some(Quantifier::AllValues), _) | (None, true) => found.iter().all(one),
            (Some(Quantifier::AnyValue), _) | (None, false) => found.iter().any(one),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Text { glob: bool, case: Case },
    Arn,
    Number(Order),
    Date(Order),
    Truth,
    Address,
    Bytes,
}

/// What an operator compares, and whether it is turned around.
fn kind(operator: &str) -> Option<(bool, Kind)> {
    use Case::{Insensitive, Sensitive};
    let text = |glob, case| Kind::Text { glob, case };
    Some(match operator {
        "StringEquals" => (false, text(false, Sensitive)),
        "StringNotEquals" => (true, text(false, Sensitive)),
        "StringEqualsIgnoreCase" => (false, text(false, Insensitive)),
        "StringNotEqualsIgnoreCase" => (true, text(false, Insensitive)),
        "StringLike" => (false, text(true, Sensitive)),
        "StringNotLike" => (true, text(true, Sensitive)),
        // The two are the same: "ArnEquals" takes wildcards as well.
        "ArnEquals" | "ArnLike" => (false, Kind::Arn),
        "ArnNotEquals" | "ArnNotLike" => (true, Kind::Arn),
        "NumericEquals" => (false, Kind::Number(Order::Equal)),
        "NumericNotEquals" => (true, Kind::Number(Order::Equal)),
        "NumericLessThan" => (false, Kind::Number(Order::Less)),
        "NumericLessThanEquals" => (false, Kind::Number(Order::LessOrEqual)),
        "NumericGreaterThan" => (false, Kind::Number(Order::Greater)),
        "NumericGreaterThanEquals" => (false, Kind::Number(Order::GreaterOrEqual)),
        "DateEquals" => (false, Kind::Date(Order::Equal)),
        "DateNotEquals" => (true, Kind::Date(Order::Equal)),
        "DateLessThan" => (false, Kind::Date(Order::Less)),
        "DateLessThanEquals" => (false, Kind::Date(Order::LessOrEqual)),
        "DateGreaterThan" => (false, Kind::Date(Order::Greater)),
        "DateGreaterThanEquals" => (false, Kind::Date(Order::GreaterOrEqual)),
        "Bool" => (false, Kind::Truth),
        "IpAddress" => (false, Kind::Address),
        "NotIpAddress" => (true, Kind::Address),
        "BinaryEquals" => (false, Kind::Bytes),
        _ => return None,
    })
}

impl Kind {
    fn value(self, text: &str, version: LanguageVersion) -> Result<Value, String> {
        let written = || Pattern::text(text, version);
        let is_variable = text.contains("${") && version == LanguageVersion::V2012;
        let checked = |right: bool, what: &str| match right || is_variable {
            true => Ok(()),
            false => Err(format!("{text:?} is not {what}")),
        };
        Ok(match self {
            Kind::Text { glob: true, case } => Value::Text(Pattern::glob(text, version), case),
            Kind::Text { glob: false, case } => Value::Text(written(), case),
            Kind::Arn => Value::Arn(Box::new(ArnPattern::new(text, version))),
            Kind::Number(order) => {
                checked(number(text).is_some(), "a number")?;
                Value::Number(order, written())
            }
            Kind::Date(order) => {
                checked(date(text).is_some(), "a date")?;
                Value::Date(order, written())
            }
            Kind::Truth => Value::Truth(truth(text).ok_or_else(|| format!("{text:?} is not true or false"))?),
            Kind::Address => {
                checked(Range::parse(text).is_some(), "an address or a range of them")?;
                Value::Address(written())
            }
            Kind::Bytes => Value::Bytes(text.to_owned()),
        })
    }
}

impl Value {
    fn is_like(&self, found: &str, context: &Context) -> bool {
        let both = |order: Order, wanted: &Pattern, read: fn(&str) -> Option<f64>| {
            let wanted = wanted.value(context).and_then(|wanted| read(&wanted));
            let compared = read(found).zip(wanted).and_then(|(found, wanted)| found.partial_cmp(&wanted));
            compared.is_some_and(|found| order.is(found))
        };
        match self {
            Value::Text(pattern, case) => pattern.matches(found, context, *case),
            Value::Arn(pattern) => pattern.matches(found, context),
            Value::Number(order, wanted) => both(*order, wanted, number),
            Value::Date(order, wanted) => {
                let wanted = wanted.value(context).and_then(|wanted| date(&wanted));
                date(found).zip(wanted).is_some_and(|(found, wanted)| order.is(found.cmp(&wanted)))
            }
            Value::Truth(wanted) => truth(found) == Some(*wanted),
            Value::Address(wanted) => {
                let range = wanted.value(context).and_then(|wanted| Range::parse(&wanted));
                let found = found.parse::<IpAddr>().ok();
                range.zip(found).is_some_and(|(range, found)| range.holds(found))
            }
            Value::Bytes(wanted) => wanted == found,
        }
    }
}
