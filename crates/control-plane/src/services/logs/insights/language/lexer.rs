//! Words, numbers, strings, regular expressions and signs of a query.

use super::Malformed;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A field, a keyword or a function, as written.
    Word(String),
    /// A field in backticks: never a keyword.
    Quoted(String),
    Number(f64),
    /// `5m`: milliseconds.
    Duration(i64),
    Text(String),
    Regex(String),
    Sign(&'static str),
    End,
}

#[derive(Debug, Clone)]
pub(super) struct Spanned {
    pub token: Token,
    pub start: usize,
    pub end: usize,
}

/// Longer signs first.
const SIGNS: [&str; 20] =
    ["!=", "<=", ">=", "=~", "=", "<", ">", "(", ")", "[", "]", ",", "|", "+", "-", "*", "/", "%", "^", "!"];

pub(super) fn tokens(text: &str) -> Result<Vec<Spanned>, Malformed> {
    let characters: Vec<char> = text.chars().collect();
    let mut found: Vec<Spanned> = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        let start = at;
        let first = characters[at];
        if first.is_whitespace() {
            at += 1;
            continue;
        }
        if first == '#' {
            while at < characters.len() && characters[at] != '\n' {
                at += 1;
            }
            continue;
        }
        let token = match first {
            '\'' | '"' => Token::Text(delimited(&characters, &mut at, first, true)?),
            '`' => Token::Quoted(delimited(&characters, &mut at, '`', false)?),
            '/' if regex_may_follow(&found) => Token::Regex(delimited(&characters, &mut at, '/', false)?),
            '0'..='9' => number(&characters, &mut at)?,
            '.' if characters.get(at + 1).is_some_and(char::is_ascii_digit) => number(&characters, &mut at)?,
            _ if first.is_alphabetic() || first == '_' || first == '@' || first == '$' => {
                while at < characters.len() && is_word(characters[at]) {
                    at += 1;
                }
                Token::Word(characters[start..at].iter().collect())
            }
            _ => {
                let rest: String = characters[at..].iter().take(2).collect();
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
                let sign = sign.ok_or_else(|| unexpected(first, at))?;
                at += sign.len();
                Token::Sign(sign)
            }
        };
        found.push(Spanned { token, start, end: at });
    }
    found.push(Spanned { token: Token::End, start: at, end: at });
    Ok(found)
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '@' | '.' | '$')
}

/// A slash begins a regular expression where a value would make no sense as a division.
fn regex_may_follow(before: &[Spanned]) -> bool {
    match before.last().map(|spanned| &spanned.token) {
        Some(Token::Sign(sign)) => *sign == "=~",
        Some(Token::Word(word)) => {
            let word = word.to_ascii_lowercase();
            // `parse @message /…/`: the word before the field is `parse`.
            word == "like" || word == "parse" || follows_parse(before)
        }
        Some(Token::Quoted(_)) => follows_parse(before),
        _ => false,
    }
}

fn follows_parse(before: &[Spanned]) -> bool {
    let previous = before.len().checked_sub(2).and_then(|index| before.get(index));
    matches!(previous.map(|spanned| &spanned.token), Some(Token::Word(word)) if word.eq_ignore_ascii_case("parse"))
}

/// The text up to the closing `mark`, the opening one being at `at`.
fn delimited(characters: &[char], at: &mut usize, mark: char, unescape: bool) -> Result<String, Malformed> {
    let start = *at;
    let mut text = String::new();
    *at += 1;
    while let Some(&next) = characters.get(*at) {
        *at += 1;
        if next == mark {
            return Ok(text);
        }
        match characters.get(*at) {
            Some(&escaped) if next == '\\' => {
                *at += 1;
                match (unescape, escaped) {
                    (true, 'n') => text.push('\n'),
                    (true, 't') => text.push('\t'),
                    (true, '"' | '\'' | '\\') => text.push(escaped),
                    _ if escaped == mark => text.push(escaped),
                    _ => text.extend(['\\', escaped]),
                }
            }
            _ => text.push(next),
        }
    }
    Err(Malformed { message: format!("missing closing {mark}"), start, end: characters.len() })
}

fn number(characters: &[char], at: &mut usize) -> Result<Token, Malformed> {
    let start = *at;
    while characters.get(*at).is_some_and(|next| next.is_ascii_digit() || *next == '.') {
        *at += 1;
    }
    let exponent = matches!(characters.get(*at), Some('e' | 'E'))
        && characters.get(*at + 1).is_some_and(|next| next.is_ascii_digit() || matches!(next, '+' | '-'));
    if exponent {
        *at += 2;
        while characters.get(*at).is_some_and(char::is_ascii_digit) {
            *at += 1;
        }
    }
    let text: String = characters[start..*at].iter().collect();
    let number: f64 =
        text.parse().map_err(|_| Malformed { message: format!("invalid number {text}"), start, end: *at })?;
    let unit_at = *at;
    while characters.get(*at).is_some_and(|next| is_word(*next)) {
        *at += 1;
    }
    let unit: String = characters[unit_at..*at].iter().collect();
    let milliseconds = match unit.as_str() {
        "" => return Ok(Token::Number(number)),
        "ms" => 1.0,
        "s" | "sec" | "second" | "seconds" => 1_000.0,
        "m" | "min" | "minute" | "minutes" => 60_000.0,
        "h" | "hr" | "hour" | "hours" => 3_600_000.0,
        "d" | "day" | "days" => 86_400_000.0,
        "w" | "week" | "weeks" => 604_800_000.0,
        _ => {
            return Err(Malformed { message: format!("unknown time unit {unit}"), start: unit_at, end: *at });
        }
    };
    Ok(Token::Duration((number * milliseconds) as i64))
}

fn unexpected(character: char, at: usize) -> Malformed {
    Malformed { message: format!("unexpected symbol found {character}"), start: at, end: at + 1 }
}
