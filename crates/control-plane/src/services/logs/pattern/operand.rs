//! What a condition compares with: a text with wildcards, a number, or a regular expression.

use regex::{Regex, RegexBuilder};

use super::{InvalidPattern, cursor::Cursor};

/// Regular expressions in one pattern.
const MOST_REGEXES: usize = 2;
/// Bytes that one compiled expression may take: counted repetitions multiply.
const REGEX_BYTES: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone)]
pub(super) enum Operand {
    Text(Glob),
    /// An unquoted number, with its text for comparing with strings.
    Number(f64, Glob),
    Regex(Regex),
}

/// A text in which `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob(Vec<String>);

impl Comparison {
    pub fn parse(cursor: &mut Cursor<'_>) -> Option<Comparison> {
        let table = [
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
            ("=", Comparison::Equal),
        ];
        table.into_iter().find(|(token, _)| cursor.take(token)).map(|(_, comparison)| comparison)
    }

    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
            Comparison::Less => left < right,
            Comparison::LessOrEqual => left <= right,
            Comparison::Greater => left > right,
            Comparison::GreaterOrEqual => left >= right,
        }
    }
}

impl Operand {
    /// Reads a value that ends before the first character that `stop` accepts.
    pub fn parse(cursor: &mut Cursor<'_>, stop: impl Fn(char) -> bool) -> Result<Operand, InvalidPattern> {
        cursor.skip_space();
        match cursor.peek() {
            Some('"') => Ok(Operand::Text(Glob::new(&cursor.quoted()?))),
            Some('%') => regex(cursor).map(Operand::Regex),
            _ => {
                let text = cursor.until(|next| next.is_whitespace() || stop(next));
                if text.is_empty() {
                    return Err(cursor.expected("a value"));
                }
                let glob = Glob::new(text);
                match text.parse::<f64>() {
                    Ok(number) if number.is_finite() => Ok(Operand::Number(number, glob)),
                    _ => Ok(Operand::Text(glob)),
                }
            }
        }
    }

    /// Compares a text that is not a number by itself.
    pub fn compare_text(&self, comparison: Comparison, text: &str) -> bool {
        let equal = match self {
            Operand::Text(glob) | Operand::Number(_, glob) => glob.matches(text),
            Operand::Regex(regex) => regex.is_match(text),
        };
        match comparison {
            Comparison::Equal => equal,
            Comparison::NotEqual => !equal,
            _ => false,
        }
    }

    /// Compares a number that reads `text`.
    pub fn compare_number(&self, comparison: Comparison, number: f64, text: &str) -> bool {
        match self {
            Operand::Number(operand, _) => comparison.holds(number, *operand),
            Operand::Text(_) | Operand::Regex(_) => self.compare_text(comparison, text),
        }
    }
}

/// Reads `%…%`.
pub(super) fn regex(cursor: &mut Cursor<'_>) -> Result<Regex, InvalidPattern> {
    cursor.expect("%")?;
    let text = cursor.until(|next| next == '%');
    cursor.expect("%")?;
    cursor.regexes += 1;
    if cursor.regexes > MOST_REGEXES {
        return Err(InvalidPattern::TooMany { what: "regular expressions", limit: MOST_REGEXES });
    }
    let supported = |next: char| next.is_ascii_alphanumeric() || r" :_#=@/;,-^$?[]{}|\*+.".contains(next);
    let invalid = || InvalidPattern::Regex(text.to_owned());
    if text.is_empty() || !text.chars().all(supported) {
        return Err(invalid());
    }
    RegexBuilder::new(text).size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES).build().map_err(|_| invalid())
}

impl Glob {
    pub fn new(text: &str) -> Glob {
        Glob(text.split('*').map(str::to_owned).collect())
    }

    /// Whether the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        let (first, rest) = self.0.split_first().expect("splitting gives at least one part");
        let Some((last, middle)) = rest.split_last() else { return text == first };
        let Some(mut text) = text.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            let Some(at) = text.find(part.as_str()) else { return false };
            text = &text[at + part.len()..];
        }
        text.ends_with(last.as_str())
    }

    /// Whether some part of `text` fits.
    pub fn is_within(&self, mut text: &str) -> bool {
        for part in &self.0 {
            let Some(at) = text.find(part.as_str()) else { return false };
            text = &text[at + part.len()..];
        }
        true
    }
}
