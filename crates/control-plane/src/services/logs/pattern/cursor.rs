//! A place in a pattern's text, and the few steps that all three languages take.

use super::InvalidPattern;

#[derive(Debug)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    at: usize,
    /// Regular expressions seen so far.
    pub regexes: usize,
    /// Wildcard selectors seen so far.
    pub wildcards: usize,
}

impl<'t> Cursor<'t> {
    pub fn new(text: &'t str) -> Cursor<'t> {
        Cursor { text, at: 0, regexes: 0, wildcards: 0 }
    }

    pub fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    pub fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Steps over `token` if it comes next.
    pub fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Steps over a keyword, which must end where a word ends.
    pub fn take_word(&mut self, word: &str) -> bool {
        let found = self.rest().strip_prefix(word).is_some_and(|rest| !rest.starts_with(is_word));
        if found {
            self.at += word.len();
        }
        found
    }

    pub fn expect(&mut self, token: &'static str) -> Result<(), InvalidPattern> {
        self.skip_space();
        if self.take(token) { Ok(()) } else { Err(self.expected(token)) }
    }

    /// Everything up to the first character that `stop` accepts.
    pub fn until(&mut self, stop: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let length = rest.find(stop).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// The text between double quotes, the opening one of which comes next; a backslash takes the next character
    /// as it is.
    pub fn quoted(&mut self) -> Result<String, InvalidPattern> {
        self.expect("\"")?;
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => match self.next() {
                    Some(escaped @ ('"' | '\\')) => text.push(escaped),
                    Some(other) => text.extend(['\\', other]),
                    None => return Err(self.expected("\"")),
                },
                Some(other) => text.push(other),
                None => return Err(self.expected("\"")),
            }
        }
    }

    pub fn expected(&self, expected: &'static str) -> InvalidPattern {
        InvalidPattern::Expected { expected, at: self.text[..self.at].chars().count() + 1 }
    }
}

/// Characters of a term, a keyword or a field name.
pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
