//! What an expression is worth for one event.

use super::{Comparison, Expression, Value};

/// Where fields get their values from.
pub trait Fields {
    fn field(&self, name: &str) -> Value;
}

/// What a function may make of texts, some events long. A longer one is missing: replacements of replacements multiply.
const LONGEST_TEXT: usize = 1 << 20;

/// The functions of the language, without the aggregations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Bin,
    DateFloor,
    DateCeil,
    FromMillis,
    ToMillis,
    Abs,
    Ceil,
    Floor,
    Log,
    Sqrt,
    Greatest,
    Least,
    IsPresent,
    IsBlank,
    IsEmpty,
    Coalesce,
    Concat,
    StrLen,
    ToUpper,
    ToLower,
    Trim,
    LTrim,
    RTrim,
    Substr,
    Replace,
    StrContains,
}

impl Function {
    /// By its name, whose case does not matter.
    pub fn find(name: &str) -> Option<Function> {
        Some(match name.to_ascii_lowercase().as_str() {
            "bin" => Function::Bin,
            "datefloor" => Function::DateFloor,
            "dateceil" => Function::DateCeil,
            "frommillis" => Function::FromMillis,
            "tomillis" => Function::ToMillis,
            "abs" => Function::Abs,
            "ceil" => Function::Ceil,
            "floor" => Function::Floor,
            "log" => Function::Log,
            "sqrt" => Function::Sqrt,
            "greatest" => Function::Greatest,
            "least" => Function::Least,
            "ispresent" => Function::IsPresent,
            "isblank" => Function::IsBlank,
            "isempty" => Function::IsEmpty,
            "coalesce" => Function::Coalesce,
            "concat" => Function::Concat,
            "strlen" => Function::StrLen,
            "toupper" => Function::ToUpper,
            "tolower" => Function::ToLower,
            "trim" => Function::Trim,
            "ltrim" => Function::LTrim,
            "rtrim" => Function::RTrim,
            "substr" => Function::Substr,
            "replace" => Function::Replace,
            "strcontains" => Function::StrContains,
            _ => return None,
        })
    }

    pub fn takes(self, arguments: usize) -> bool {
        match self {
            Function::Bin => (1..=2).contains(&arguments),
            Function::DateFloor | Function::DateCeil | Function::StrContains => arguments == 2,
            Function::Substr => (2..=3).contains(&arguments),
            Function::Replace => arguments == 3,
            Function::Greatest | Function::Least | Function::Coalesce | Function::Concat => arguments >= 1,
            _ => arguments == 1,
        }
    }
}

/// Whether a condition holds.
pub fn is_true(expression: &Expression, fields: &dyn Fields) -> bool {
    match evaluate(expression, fields) {
        Value::Truth(truth) => truth,
        Value::Missing => false,
        Value::Number(number) => number != 0.0,
        Value::Text(text) => !text.is_empty(),
        Value::Time(_) => true,
    }
}

/// The value of an expression.
pub fn evaluate(expression: &Expression, fields: &dyn Fields) -> Value {
    match expression {
        Expression::Field(name) => fields.field(name),
        Expression::Constant(value) => value.clone(),
        Expression::Not(inner) => Value::Truth(!is_true(inner, fields)),
        Expression::And(left, right) => Value::Truth(is_true(left, fields) && is_true(right, fields)),
        Expression::Or(left, right) => Value::Truth(is_true(left, fields) || is_true(right, fields)),
        Expression::Compare(left, comparison, right) => {
            Value::Truth(compare(&evaluate(left, fields), *comparison, &evaluate(right, fields)))
        }
        Expression::In(left, items) => {
            let left = evaluate(left, fields);
            Value::Truth(items.iter().any(|item| compare(&left, Comparison::Equal, &evaluate(item, fields))))
        }
        Expression::Matches(left, regex) => match evaluate(left, fields) {
            Value::Missing => Value::Truth(false),
            value => Value::Truth(regex.is_match(&value.to_string())),
        },
        Expression::Contains(left, part) => match evaluate(left, fields) {
            Value::Missing => Value::Truth(false),
            value => Value::Truth(value.to_string().contains(&evaluate(part, fields).to_string())),
        },
        Expression::Arithmetic(left, operator, right) => {
            let (Some(left), Some(right)) =
                (evaluate(left, fields).number(), evaluate(right, fields).number())
            else {
                return Value::Missing;
            };
            finite(match operator {
                '+' => left + right,
                '-' => left - right,
                '*' => left * right,
                '/' => left / right,
                '%' => left % right,
                _ => left.powf(right),
            })
        }
        Expression::Negative(inner) => {
            evaluate(inner, fields).number().map_or(Value::Missing, |number| finite(-number))
        }
        Expression::Call(function, arguments) => {
            let values: Vec<Value> = arguments.iter().map(|argument| evaluate(argument, fields)).collect();
            call(*function, &values)
        }
    }
}

/// A comparison with a missing value is false, `!=` apart.
fn compare(left: &Value, comparison: Comparison, right: &Value) -> bool {
    if left.is_missing() || right.is_missing() {
        return comparison == Comparison::NotEqual && left.is_missing() != right.is_missing();
    }
    let order = left.compare(right);
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

fn finite(number: f64) -> Value {
    if number.is_finite() { Value::Number(number) } else { Value::Missing }
}

fn call(function: Function, values: &[Value]) -> Value {
    let first = || values.first().unwrap_or(&Value::Missing);
    let number =
        |work: fn(f64) -> f64| first().number().map_or(Value::Missing, |number| finite(work(number)));
    let text = |work: &dyn Fn(String) -> String| match first() {
        Value::Missing => Value::Missing,
        value => Value::Text(work(value.to_string())),
    };
    let argument = |index: usize| values.get(index).map(Value::to_string).unwrap_or_default();
    match function {
        Function::Bin | Function::DateFloor => time_step(values, |time, step| time.div_euclid(step)),
        Function::DateCeil => time_step(values, |time, step| {
            time.div_euclid(step).saturating_add(i64::from(time.rem_euclid(step) > 0))
        }),
        Function::FromMillis => first().number().map_or(Value::Missing, |number| Value::Time(number as i64)),
        Function::ToMillis => first().number().map_or(Value::Missing, Value::Number),
        Function::Abs => number(f64::abs),
        Function::Ceil => number(f64::ceil),
        Function::Floor => number(f64::floor),
        Function::Log => number(f64::ln),
        Function::Sqrt => number(f64::sqrt),
        Function::Greatest => {
            values.iter().max_by(|left, right| left.compare(right)).cloned().unwrap_or(Value::Missing)
        }
        Function::Least => {
            let present = values.iter().filter(|value| !value.is_missing());
            present.min_by(|left, right| left.compare(right)).cloned().unwrap_or(Value::Missing)
        }
        Function::IsPresent => Value::Truth(!first().is_missing()),
        Function::IsBlank => Value::Truth(first().to_string().trim().is_empty()),
        Function::IsEmpty => Value::Truth(first().to_string().is_empty()),
        Function::Coalesce => {
            values.iter().find(|value| !value.is_missing()).cloned().unwrap_or(Value::Missing)
        }
        Function::Concat => {
            let texts: Vec<String> = values.iter().map(Value::to_string).collect();
            let length: usize = texts.iter().map(String::len).sum();
            if length > LONGEST_TEXT { Value::Missing } else { Value::Text(texts.concat()) }
        }
        Function::StrLen => match first() {
            Value::Missing => Value::Missing,
            value => Value::Number(value.to_string().chars().count() as f64),
        },
        Function::ToUpper => text(&|text| text.to_uppercase()),
        Function::ToLower => text(&|text| text.to_lowercase()),
        Function::Trim => text(&|text| text.trim().to_owned()),
        Function::LTrim => text(&|text| text.trim_start().to_owned()),
        Function::RTrim => text(&|text| text.trim_end().to_owned()),
        Function::Substr => {
            let index = |at: usize| {
                values.get(at).and_then(Value::number).map_or(usize::MAX, |number| number.max(0.0) as usize)
            };
            text(&|text| text.chars().skip(index(1)).take(index(2)).collect())
        }
        Function::Replace => {
            let (from, to) = (argument(1), argument(2));
            let whole = first().to_string();
            let places = if from.is_empty() { 0 } else { whole.matches(&from).count() };
            let length = whole.len().saturating_add(places.saturating_mul(to.len()));
            match first() {
                Value::Missing => Value::Missing,
                _ if length > LONGEST_TEXT => Value::Missing,
                _ if places == 0 => Value::Text(whole),
                _ => Value::Text(whole.replace(&from, &to)),
            }
        }
        Function::StrContains => Value::Truth(first().to_string().contains(&argument(1))),
    }
}

/// A time brought to a multiple of a step, both in milliseconds.
fn time_step(values: &[Value], multiple: fn(i64, i64) -> i64) -> Value {
    let number = |index: usize| values.get(index).and_then(Value::number).map(|number| number as i64);
    match (number(0), number(1)) {
        (Some(time), Some(step)) if step > 0 => Value::Time(multiple(time, step).saturating_mul(step)),
        _ => Value::Missing,
    }
}
