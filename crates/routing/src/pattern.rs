//! Values of conditions, made ready to be compared.
//!
//! Wildcards are matched without going back over more than the last `*`, so a pattern costs at most its length times that of the value.
//! Regular expressions are bounded in size; one that does not compile matches nothing (the control plane refuses it beforehand).

use regex::{Regex, RegexBuilder};

use crate::config::Pattern;

/// Compiled size of one expression: the API's 128 characters fit many times, a repetition of repetitions does not.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// Whether letters of different case are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    Sensitive,
    Insensitive,
}

/// A value of a condition.
#[derive(Debug, Clone)]
pub struct Compiled(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Literal(Box<[u8]>, Case),
    Wildcard(Box<[Piece]>, Case),
    Regex(Regex),
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Byte(u8),
    One,
    Any,
}

/// A regular expression of a rule; `None` when it is none or too large.
pub fn regex(text: &str, case: Case) -> Option<Regex> {
    RegexBuilder::new(text)
        .case_insensitive(case == Case::Insensitive)
        .size_limit(REGEX_SIZE_LIMIT)
        .build()
        .ok()
}

impl Compiled {
    pub fn new(pattern: &Pattern, case: Case) -> Compiled {
        match pattern {
            Pattern::Wildcard(text) => Compiled::wildcard(text, case),
            Pattern::Regex(text) => Compiled(regex(text, case).map_or(Kind::Never, Kind::Regex)),
        }
    }

    pub fn wildcard(text: &str, case: Case) -> Compiled {
        let mut pieces = Vec::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'*' if pieces.last() == Some(&Piece::Any) => {}
                b'*' => pieces.push(Piece::Any),
                b'?' => pieces.push(Piece::One),
                // A backslash at the end is one.
                b'\\' => pieces.push(Piece::Byte(folded(bytes.next().unwrap_or(b'\\'), case))),
                byte => pieces.push(Piece::Byte(folded(byte, case))),
            }
        }
        let literal: Option<Vec<u8>> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Byte(byte) => Some(*byte),
                Piece::One | Piece::Any => None,
            })
            .collect();
        Compiled(match literal {
            Some(literal) => Kind::Literal(literal.into(), case),
            None => Kind::Wildcard(pieces.into(), case),
        })
    }

    /// Whether the whole value matches; for a regular expression, whether it matches somewhere.
    pub fn matches(&self, value: &[u8]) -> bool {
        match &self.0 {
            Kind::Literal(literal, Case::Sensitive) => **literal == *value,
            Kind::Literal(literal, Case::Insensitive) => literal.eq_ignore_ascii_case(value),
            Kind::Wildcard(pieces, case) => wildcard(pieces, value, *case),
            Kind::Regex(regex) => regex.is_match(&String::from_utf8_lossy(value)),
            Kind::Never => false,
        }
    }
}

fn folded(byte: u8, case: Case) -> u8 {
    match case {
        Case::Sensitive => byte,
        Case::Insensitive => byte.to_ascii_lowercase(),
    }
}

fn wildcard(pieces: &[Piece], value: &[u8], case: Case) -> bool {
    let (mut at, mut position) = (0, 0);
    // Where to take up again when what follows the last `*` did not fit: one byte further.
    let mut again: Option<(usize, usize)> = None;
    while position < value.len() {
        let fits = match pieces.get(at) {
            Some(Piece::Any) => {
                again = Some((at, position));
                at += 1;
                continue;
            }
            Some(Piece::One) => true,
            Some(Piece::Byte(byte)) => *byte == folded(value[position], case),
            None => false,
        };
        if fits {
            at += 1;
            position += 1;
        } else if let Some((star, from)) = again {
            again = Some((star, from + 1));
            at = star + 1;
            position = from + 1;
        } else {
            return false;
        }
    }
    pieces[at..].iter().all(|piece| *piece == Piece::Any)
}
