//! Terms: `ERROR "bad gateway" -health`, `?WARN ?ERROR`, `%5\d\d%`.

use regex::Regex;

use super::{
    InvalidPattern,
    cursor::{Cursor, is_word},
    operand::{self, Glob},
};

#[derive(Debug, Clone)]
pub(super) struct Terms {
    required: Vec<Term>,
    excluded: Vec<Term>,
    /// One of them must be there, but only when there are no other terms.
    optional: Vec<Term>,
}

#[derive(Debug, Clone)]
enum Term {
    Text(Glob),
    Regex(Regex),
}

impl Terms {
    pub fn parse(cursor: &mut Cursor<'_>) -> Result<Terms, InvalidPattern> {
        let mut terms = Terms { required: Vec::new(), excluded: Vec::new(), optional: Vec::new() };
        loop {
            cursor.skip_space();
            let list = match cursor.peek() {
                None => break,
                Some('?') => &mut terms.optional,
                Some('-') => &mut terms.excluded,
                Some(_) => &mut terms.required,
            };
            let _signed = cursor.take("?") || cursor.take("-");
            list.push(Term::parse(cursor)?);
        }
        if !(terms.required.is_empty() && terms.excluded.is_empty()) {
            terms.optional.clear();
        }
        Ok(terms)
    }

    pub fn matches(&self, message: &str) -> bool {
        self.required.iter().all(|term| term.is_within(message))
            && !self.excluded.iter().any(|term| term.is_within(message))
            && (self.optional.is_empty() || self.optional.iter().any(|term| term.is_within(message)))
    }

    pub fn is_everything(&self) -> bool {
        self.required.is_empty() && self.excluded.is_empty() && self.optional.is_empty()
    }
}

impl Term {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Term, InvalidPattern> {
        match cursor.peek() {
            // White space alone in quotes matches everything, as the guide says.
            Some('"') => {
                let text = cursor.quoted()?;
                Ok(Term::Text(Glob::new(if text.trim().is_empty() { "" } else { &text })))
            }
            Some('%') => operand::regex(cursor).map(Term::Regex),
            _ => {
                let text = cursor.until(char::is_whitespace);
                if text.is_empty() || !text.chars().all(|next| is_word(next) || next == '*') {
                    return Err(InvalidPattern::Term(text.to_owned()));
                }
                Ok(Term::Text(Glob::new(text)))
            }
        }
    }

    fn is_within(&self, message: &str) -> bool {
        match self {
            Term::Text(glob) => glob.is_within(message),
            Term::Regex(regex) => regex.is_match(message),
        }
    }
}
