//! Patterns with `*`, `?` and `${variables}`.
//!
//! What a variable stands for is taken as it is: a `*` in it is a star. A variable that has no value and no default makes
//! the pattern match nothing.

use std::borrow::Cow;

use crate::{Context, LanguageVersion};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
    /// The pattern itself, when nothing in it stands for anything else.
    literal: Option<String>,
    has_variables: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Char(char),
    /// Any number of characters.
    Any,
    One,
    /// Its key in lower case.
    Variable {
        key: String,
        default: Option<String>,
    },
}

/// How characters are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Sensitive,
    Insensitive,
}

impl Pattern {
    /// With wildcards; with variables in the language that has them.
    pub(crate) fn glob(text: &str, version: LanguageVersion) -> Pattern {
        Pattern::new(text, version, true)
    }

    /// A text with variables but without wildcards, as `StringEquals` takes it.
    pub(crate) fn text(text: &str, version: LanguageVersion) -> Pattern {
        Pattern::new(text, version, false)
    }

    fn new(text: &str, version: LanguageVersion, wildcards: bool) -> Pattern {
        let mut parts = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            if version == LanguageVersion::V2012
                && let Some((part, after)) = variable(rest)
            {
                parts.push(part);
                rest = after;
                continue;
            }
            rest = &rest[next.len_utf8()..];
            match next {
                // Two stars match what one does, and cost more.
                '*' if wildcards && parts.last() == Some(&Part::Any) => {}
                '*' if wildcards => parts.push(Part::Any),
                '?' if wildcards => parts.push(Part::One),
                other => parts.push(Part::Char(other)),
            }
        }
        let is_literal = parts.iter().all(|part| matches!(part, Part::Char(_)));
        let literal = is_literal.then(|| text_of(&parts));
        let has_variables = parts.iter().any(|part| matches!(part, Part::Variable { .. }));
        Pattern { parts, literal, has_variables }
    }

    pub(crate) fn matches(&self, text: &str, context: &Context, case: Case) -> bool {
        if let Some(literal) = &self.literal {
            return match case {
                Case::Sensitive => literal == text,
                Case::Insensitive => literal.eq_ignore_ascii_case(text),
            };
        }
        if self.parts == [Part::Any] {
            return true;
        }
        if !self.has_variables {
            return matches(&self.parts, text, case);
        }
        self.substituted(context).is_some_and(|parts| matches(&parts, text, case))
    }

    /// The text, its variables replaced; `None` when one has no value.
    pub(crate) fn value(&self, context: &Context) -> Option<String> {
        match &self.literal {
            Some(literal) => Some(literal.clone()),
            None => self.substituted(context).map(|parts| text_of(&parts)),
        }
    }

    fn substituted(&self, context: &Context) -> Option<Vec<Part>> {
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            match part {
                Part::Variable { key, default } => {
                    let value = context.variable(key).or(default.as_deref())?;
                    parts.extend(value.chars().map(Part::Char));
                }
                other => parts.push(other.clone()),
            }
        }
        Some(parts)
    }
}

/// `${key}`, `${key, 'default'}`, and `${*}`, `${?}`, `${$}` for the characters themselves; with what follows.
fn variable(text: &str) -> Option<(Part, &str)> {
    let (inside, after) = text.strip_prefix("${")?.split_once('}')?;
    let part = match inside {
        "*" | "?" | "$" => Part::Char(inside.chars().next()?),
        _ => match inside.split_once(',') {
            None => Part::Variable { key: inside.trim().to_ascii_lowercase(), default: None },
            Some((key, default)) => {
                let default = default.trim().strip_prefix('\'')?.strip_suffix('\'')?;
                Part::Variable { key: key.trim().to_ascii_lowercase(), default: Some(default.to_owned()) }
            }
        },
    };
    Some((part, after))
}

/// The characters of parts that are text; wildcards as they are written.
fn text_of(parts: &[Part]) -> String {
    let char_of = |part: &Part| match part {
        Part::Char(char) => Some(*char),
        Part::Any => Some('*'),
        Part::One => Some('?'),
        Part::Variable { .. } => None,
    };
    parts.iter().filter_map(char_of).collect()
}

/// In time proportional to the product of both lengths at worst: a mismatch goes back to the last star only.
fn matches(pattern: &[Part], text: &str, case: Case) -> bool {
    let same = |a: char, b: char| match case {
        Case::Sensitive => a == b,
        Case::Insensitive => a.eq_ignore_ascii_case(&b),
    };
    let (mut at, mut rest) = (0, text.chars());
    let mut star: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        if pattern.get(at) == Some(&Part::Any) {
            at += 1;
            star = Some((at, rest.clone()));
            continue;
        }
        let mut ahead = rest.clone();
        let next = ahead.next();
        match (pattern.get(at), next) {
            (None, None) => return true,
            (Some(Part::One), Some(_)) => (at, rest) = (at + 1, ahead),
            (Some(Part::Char(wanted)), Some(found)) if same(*wanted, found) => (at, rest) = (at + 1, ahead),
            _ => {
                // The star takes one character more.
                let Some((after, from)) = &mut star else { return false };
                if from.next().is_none() {
                    return false;
                }
                (at, rest) = (*after, from.clone());
            }
        }
    }
}

/// An ARN in six parts; each is compared by itself, so that a star ends at a colon but in the last part. Source: "ArnLike".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArnPattern {
    parts: Option<[Pattern; 6]>,
    /// A pattern that is not an ARN matches as a whole.
    whole: Pattern,
}

impl ArnPattern {
    pub(crate) fn new(text: &str, version: LanguageVersion) -> ArnPattern {
        let parts = <[&str; 6]>::try_from(pieces(text)).ok();
        ArnPattern {
            parts: parts.map(|pieces| pieces.map(|piece| Pattern::glob(piece, version))),
            whole: Pattern::glob(text, version),
        }
    }

    pub(crate) fn matches(&self, text: &str, context: &Context) -> bool {
        let Some(parts) = &self.parts else { return self.whole.matches(text, context, Case::Sensitive) };
        let mut pieces = text.splitn(6, ':');
        parts
            .iter()
            .all(|part| pieces.next().is_some_and(|piece| part.matches(piece, context, Case::Sensitive)))
    }
}

/// The name of resources, made whole: an ARN that breaks off before its sixth part means all that begin so. Source: "IAM JSON policy elements:
/// Resource".
pub(crate) fn completed(text: &str) -> Cow<'_, str> {
    let missing = 6_usize.saturating_sub(pieces(text).len());
    match text.starts_with("arn:") && missing > 0 {
        true => Cow::Owned(format!("{text}{}", ":*".repeat(missing))),
        false => Cow::Borrowed(text),
    }
}

/// A pattern at its first five colons; those in the name of a variable are none of them.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut in_variable) = (Vec::with_capacity(6), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if text[..at].ends_with('$') => in_variable = true,
            b'}' => in_variable = false,
            b':' if !in_variable && pieces.len() < 5 => {
                pieces.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&text[start..]);
    pieces
}
