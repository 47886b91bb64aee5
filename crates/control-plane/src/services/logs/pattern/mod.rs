//! Filter patterns: which log events FilterLogEvents, live tail and filters let through.
//!
//! A pattern is one of three languages, told apart by its first character: `{ … }` asks about JSON properties,
//! `[ … ]` about space-delimited fields, anything else lists terms. All are case sensitive. Source: the guide's page
//! on filter pattern syntax; what it leaves open is decided here and pinned by a test:
//! - a term matches anywhere in the message, also inside a longer word;
//! - a comparison with a property that is missing, or is an object or an array, is false, `!=` included;
//! - in a delimited pattern without an ellipsis a last field without a condition takes the rest of the line.
//!
//! Pure: text in, a decision out. A pattern's length is bounded by the model (1024 characters), which bounds parsing,
//! nesting and matching; regular expressions run in linear time and have a size limit.

mod cursor;
mod delimited;
mod json;
mod operand;
mod terms;

use std::collections::BTreeMap;

use self::{cursor::Cursor, delimited::Fields, json::Expression, terms::Terms};

/// A pattern, ready to be asked.
#[derive(Debug, Clone)]
pub struct FilterPattern(Language);

#[derive(Debug, Clone)]
enum Language {
    Terms(Terms),
    Json(Expression),
    Delimited(Fields),
}

/// Why a pattern is refused; the text is what the client sees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    #[error("Invalid filter pattern: expected {expected} at character {at}")]
    Expected { expected: &'static str, at: usize },
    #[error("Invalid character(s) in term '{0}'")]
    Term(String),
    #[error("Invalid filter pattern: '{0}' is not a supported regular expression")]
    Regex(String),
    #[error("Invalid filter pattern: at most {limit} {what} are allowed")]
    TooMany { what: &'static str, limit: usize },
}

impl FilterPattern {
    /// Reads a pattern. Nothing but white space lets every event through.
    ///
    /// # Errors
    /// [`InvalidPattern`].
    pub fn parse(text: &str) -> Result<FilterPattern, InvalidPattern> {
        let mut cursor = Cursor::new(text);
        cursor.skip_space();
        let language = match cursor.peek() {
            Some('{') => Language::Json(Expression::parse(&mut cursor)?),
            Some('[') => Language::Delimited(Fields::parse(&mut cursor)?),
            _ => Language::Terms(Terms::parse(&mut cursor)?),
        };
        cursor.skip_space();
        match cursor.peek() {
            None => Ok(FilterPattern(language)),
            Some(_) => Err(cursor.expected("the end of the pattern")),
        }
    }

    /// Whether the pattern lets `message` through.
    pub fn matches(&self, message: &str) -> bool {
        match &self.0 {
            Language::Terms(terms) => terms.matches(message),
            Language::Json(expression) => expression.matches(message),
            Language::Delimited(fields) => fields.matches(message),
        }
    }

    /// The values that the pattern names in a message that it lets through: `$` and the field's name for delimited
    /// patterns, the property's selector for JSON patterns.
    pub fn extract(&self, message: &str) -> BTreeMap<String, String> {
        match &self.0 {
            Language::Terms(_) => BTreeMap::new(),
            Language::Json(expression) => expression.extract(message),
            Language::Delimited(fields) => fields.extract(message),
        }
    }

    /// Whether the pattern lets everything through.
    pub fn is_everything(&self) -> bool {
        matches!(&self.0, Language::Terms(terms) if terms.is_everything())
    }
}

#[cfg(test)]
mod tests;
