//! EC2's `Filter`s: every filter must match, any of its values may; values know `*` and `?`.

use std::{collections::BTreeMap, sync::Arc};

use aws_shapes_ec2::Filter;
use state_store::{Record, View};
use vocabulary::Scope;

use super::errors::invalid_value;
use crate::{gateway::ApiError, services::tagging::Tags};

/// What a resource answers to a filter's name; `None` for a name that this kind of resource does not have.
pub trait Filtered {
    fn values(&self, name: &str) -> Option<Vec<String>>;
    fn tags(&self) -> &Tags;
}

/// The one value that a resource has.
#[expect(clippy::unnecessary_wraps, reason = "what Filtered::values gives")]
pub fn one(value: impl ToString) -> Option<Vec<String>> {
    Some(vec![value.to_string()])
}

/// The filters of a request.
pub struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    pub fn new(given: Option<Vec<Filter>>) -> Filters {
        let given = given.unwrap_or_default().into_iter();
        Filters(
            given
                .map(|filter| (filter.name.unwrap_or_default(), filter.values.unwrap_or_default()))
                .collect(),
        )
    }

    /// The values asked for under a name.
    pub fn get(&self, name: &str) -> Option<&[String]> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, values)| values.as_slice())
    }

    /// Whether the resource passes all of them.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a name that the resource does not have.
    pub fn match_all(&self, resource: &impl Filtered) -> Result<bool, ApiError> {
        for (name, wanted) in &self.0 {
            let found = match tag_values(name, resource.tags()) {
                Some(found) => found,
                None => resource
                    .values(name)
                    .ok_or_else(|| invalid_value(format!("The filter '{name}' is invalid")))?,
            };
            if !found.iter().any(|value| wanted.iter().any(|pattern| matches(pattern, value))) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The records with these ids, or all, as far as they are to be shown.
///
/// # Errors
/// `missing` for the first id that no record has; those of `is_shown`.
pub fn chosen<R: Record>(
    view: &View,
    scope: &Scope,
    ids: Option<Vec<String>>,
    missing: impl Fn(&str) -> ApiError,
    is_shown: impl Fn(&R) -> Result<bool, ApiError>,
) -> Result<Vec<Arc<R>>, ApiError> {
    let ids = ids.unwrap_or_default();
    if let Some(id) = ids.iter().find(|id| view.get::<R>(scope, id).is_none()) {
        return Err(missing(id));
    }
    let mut found = Vec::new();
    for (id, record) in view.scan::<R>(scope) {
        if (ids.is_empty() || ids.iter().any(|wanted| wanted == id)) && is_shown(&record)? {
            found.push(record);
        }
    }
    Ok(found)
}

fn tag_values(name: &str, tags: &BTreeMap<String, String>) -> Option<Vec<String>> {
    match name {
        "tag-key" => Some(tags.keys().cloned().collect()),
        "tag-value" => Some(tags.values().cloned().collect()),
        _ => name.strip_prefix("tag:").map(|key| tags.get(key).cloned().into_iter().collect()),
    }
}

/// Whether `text` matches `pattern`: `*` any run of characters, `?` any one, `\` takes the next as it is.
///
/// Linear in memory and at worst quadratic in time: on a mismatch it goes back to the last `*` only.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut tokens = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        tokens.push(match character {
            '*' => Token::Any,
            '?' => Token::One,
            '\\' => Token::Literal(characters.next().unwrap_or('\\')),
            other => Token::Literal(other),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut token, mut resume) = (0, 0, None);
    while at < text.len() {
        match tokens.get(token) {
            Some(Token::Any) => {
                resume = Some((token, at));
                token += 1;
            }
            Some(Token::One) => (at, token) = (at + 1, token + 1),
            Some(Token::Literal(literal)) if *literal == text[at] => (at, token) = (at + 1, token + 1),
            _ => match resume {
                Some((star, from)) => {
                    resume = Some((star, from + 1));
                    (at, token) = (from + 1, star + 1);
                }
                None => return false,
            },
        }
    }
    tokens[token..].iter().all(|token| matches!(token, Token::Any))
}

enum Token {
    Any,
    One,
    Literal(char),
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_documented() {
        for (pattern, text, expected) in [
            ("web", "web", true),
            ("web", "web2", false),
            ("*", "", true),
            ("w*b", "web", true),
            ("w*b", "wxxbxb", true),
            ("w*b", "wxxbx", false),
            ("?eb", "web", true),
            ("?eb", "eb", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("a*b*c", "a--b--c", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
