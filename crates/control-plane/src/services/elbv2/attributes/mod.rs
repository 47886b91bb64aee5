//! Attributes of load balancers, listeners and target groups: which there are for which kind, their defaults, and what they accept.
//!
//! Kept is only what differs from the default. An attribute that nothing on this platform acts on has [`Accepts::OnlyDefault`]: it is shown,
//! and refused when it is set to anything else, so that nobody relies on it.

mod balancers;
mod groups;
mod listeners;

pub use balancers::of_load_balancer;
pub use groups::of_target_group;
pub use listeners::{RESPONSE_HEADERS, of_listener};

use super::{
    errors::{invalid_configuration, validation},
    records::Attributes,
};
use crate::gateway::ApiError;

/// An attribute that a resource has.
pub struct Known {
    pub key: &'static str,
    pub default: &'static str,
    pub accepts: Accepts,
}

/// What an attribute can be set to.
pub enum Accepts {
    Bool,
    /// From the first to the last.
    Number(u64, u64),
    /// The first, or what lies within the range.
    NumberOr(&'static str, u64, u64),
    OneOf(&'static [&'static str]),
    /// Text of at most so many characters, or none.
    Text(usize),
    OnlyDefault,
}

fn known(key: &'static str, default: &'static str, accepts: Accepts) -> Known {
    Known { key, default, accepts }
}

/// All attributes with their values, in the order of the table.
pub fn all(table: &[Known], own: &Attributes) -> Vec<(String, String)> {
    table.iter().map(|known| (known.key.to_owned(), value(known, own).to_owned())).collect()
}

fn value<'a>(known: &'a Known, own: &'a Attributes) -> &'a str {
    own.get(known.key).map_or(known.default, String::as_str)
}

/// The value of an attribute; empty for one that the resource does not have.
pub fn get<'a>(table: &'a [Known], own: &'a Attributes, key: &str) -> &'a str {
    table.iter().find(|known| known.key == key).map_or("", |known| value(known, own))
}

/// `own` with what a request sets. `what` names the kind of resource: `Target group`.
///
/// # Errors
/// `ValidationError` for an attribute that the resource does not have, or twice; `InvalidConfigurationRequest` for a value that is not possible.
pub fn changed(
    table: &[Known],
    what: &str,
    own: &Attributes,
    given: impl IntoIterator<Item = (Option<String>, Option<String>)>,
) -> Result<Attributes, ApiError> {
    let mut changed = own.clone();
    let mut seen: Vec<String> = Vec::new();
    for (key, value) in given {
        let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
        let known = table
            .iter()
            .find(|known| known.key == key)
            .ok_or_else(|| validation(format!("{what} attribute key '{key}' is not recognized")))?;
        if seen.contains(&key) {
            return Err(validation(format!("{what} attribute key '{key}' is specified more than once")));
        }
        known.check(what, &value)?;
        if value == known.default {
            changed.remove(&key);
        } else {
            changed.insert(key.clone(), value);
        }
        seen.push(key);
    }
    Ok(changed)
}

impl Known {
    fn check(&self, what: &str, value: &str) -> Result<(), ApiError> {
        let key = self.key;
        let number =
            |first: u64, last: u64| value.parse::<u64>().is_ok_and(|number| (first..=last).contains(&number));
        let wanted = match &self.accepts {
            Accepts::Bool if matches!(value, "true" | "false") => return Ok(()),
            Accepts::Bool => "'true' or 'false'".to_owned(),
            Accepts::Number(first, last) if number(*first, *last) => return Ok(()),
            Accepts::Number(first, last) => format!("between '{first}' and '{last}'"),
            Accepts::NumberOr(other, first, last) if value == *other || number(*first, *last) => {
                return Ok(());
            }
            Accepts::NumberOr(other, first, last) => format!("'{other}' or between '{first}' and '{last}'"),
            Accepts::OneOf(values) if values.contains(&value) => return Ok(()),
            Accepts::OneOf(values) => format!("one of '{}'", values.join("', '")),
            Accepts::Text(most) if value.chars().count() <= *most => return Ok(()),
            Accepts::Text(most) => format!("at most '{most}' characters long"),
            Accepts::OnlyDefault if value == self.default => return Ok(()),
            Accepts::OnlyDefault => {
                return Err(invalid_configuration(format!(
                    "Longshore does not support setting the attribute '{key}' to '{value}'."
                )));
            }
        };
        Err(invalid_configuration(format!("{what} attribute '{key}' must be {wanted}, and is '{value}'")))
    }
}
