//! Cuts an expression into words and signs.

use super::QueryError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A bare word; may be a keyword.
    Word(String),
    /// A quoted one; never a keyword.
    Quoted(String),
    /// `==`, `!=`, `>`, `>=`, `<`, `<=`, `=~`, `!~`, `&&`, `||`, `!`, `(`, `)`, `[`, `]`, `,`
    Sign(&'static str),
}

/// Longer ones first.
const SIGNS: &[&str] =
    &["==", "!=", ">=", "<=", "=~", "!~", "&&", "||", ">", "<", "!", "(", ")", "[", "]", ","];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else if first == '\'' || first == '"' {
            let inner = &rest[1..];
            let end = inner.find(first).ok_or(QueryError::OpenQuote)?;
            tokens.push(Token::Quoted(inner[..end].to_owned()));
            rest = &inner[end + 1..];
        } else {
            let end = word_end(rest);
            if end == 0 {
                return Err(QueryError::Unexpected(first.to_string()));
            }
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// A word ends before white space and before any sign. A lone `|` or `&` may be part of it, as in patterns.
fn word_end(text: &str) -> usize {
    for (at, c) in text.char_indices() {
        let rest = &text[at..];
        if c.is_whitespace() || "'\"".contains(c) || SIGNS.iter().any(|sign| rest.starts_with(sign)) {
            return at;
        }
    }
    text.len()
}
