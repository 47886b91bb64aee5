//! Space-delimited patterns: `[ip, user, ..., status_code = 4* && status_code != 404, bytes > 1000]`.

use std::collections::BTreeMap;

use super::{
    InvalidPattern,
    cursor::{Cursor, is_word},
    operand::{Comparison, Operand},
};

#[derive(Debug, Clone)]
pub(super) struct Fields {
    /// The fields before the ellipsis, or all.
    head: Vec<Field>,
    /// The fields after the ellipsis, if there is one.
    tail: Option<Vec<Field>>,
}

/// What one field must fulfil: one of the alternatives, all conditions of it. None: anything.
#[derive(Debug, Clone)]
struct Field {
    name: String,
    alternatives: Vec<Vec<(Comparison, Operand)>>,
}

impl Fields {
    pub fn parse(cursor: &mut Cursor<'_>) -> Result<Fields, InvalidPattern> {
        cursor.expect("[")?;
        let mut fields = Fields { head: Vec::new(), tail: None };
        loop {
            cursor.skip_space();
            if cursor.take("...") {
                if fields.tail.replace(Vec::new()).is_some() {
                    return Err(InvalidPattern::TooMany { what: "ellipses", limit: 1 });
                }
            } else {
                let field = Field::parse(cursor)?;
                fields.tail.as_mut().unwrap_or(&mut fields.head).push(field);
            }
            cursor.skip_space();
            if !cursor.take(",") {
                break;
            }
        }
        cursor.expect("]")?;
        Ok(fields)
    }

    pub fn matches(&self, message: &str) -> bool {
        let words = split(message);
        let fits = |fields: &[Field], words: &[&str]| {
            fields.iter().zip(words).all(|(field, word)| field.holds(word))
        };
        match &self.tail {
            Some(tail) => {
                words.len() >= self.head.len() + tail.len()
                    && fits(&self.head, &words)
                    && fits(tail, &words[words.len() - tail.len()..])
            }
            None => {
                let takes_rest = self.head.last().is_some_and(|last| last.alternatives.is_empty());
                (words.len() == self.head.len() || takes_rest && words.len() > self.head.len())
                    && fits(&self.head, &words)
            }
        }
    }

    /// The named fields' values; what an ellipsis stands for has no names.
    pub fn extract(&self, message: &str) -> BTreeMap<String, String> {
        let words = split(message);
        let named = |fields: &[Field], words: &[&str]| -> Vec<(String, String)> {
            let last = fields.len().saturating_sub(1);
            let value = |index: usize, word: &str| match self.tail {
                // The last field takes the rest of the line.
                None if index == last => words[index..].join(" "),
                _ => word.to_owned(),
            };
            let pairs = fields.iter().zip(words).enumerate();
            pairs.map(|(index, (field, word))| (format!("${}", field.name), value(index, word))).collect()
        };
        let mut found: BTreeMap<String, String> = named(&self.head, &words).into_iter().collect();
        if let Some(tail) = &self.tail {
            found.extend(named(tail, &words[words.len().saturating_sub(tail.len())..]));
        }
        found
    }
}

impl Field {
    /// `name`, `name = value`, `name = a || name = b && name != c`
    fn parse(cursor: &mut Cursor<'_>) -> Result<Field, InvalidPattern> {
        let name = cursor.until(|next| !(is_word(next) || next == '-' || next == '.'));
        if name.is_empty() {
            return Err(cursor.expected("a field name"));
        }
        cursor.skip_space();
        let owned = name.to_owned();
        let Some(first) = condition(cursor)? else {
            return Ok(Field { name: owned, alternatives: Vec::new() });
        };
        let mut alternatives = vec![vec![first]];
        loop {
            cursor.skip_space();
            let either = cursor.take("||");
            if !either && !cursor.take("&&") {
                return Ok(Field { name: owned, alternatives });
            }
            cursor.skip_space();
            if cursor.until(|next| !(is_word(next) || next == '-' || next == '.')) != name {
                return Err(cursor.expected("the same field's name"));
            }
            cursor.skip_space();
            let next = condition(cursor)?.ok_or_else(|| cursor.expected("a comparison"))?;
            match alternatives.last_mut() {
                Some(all) if !either => all.push(next),
                _ => alternatives.push(vec![next]),
            }
        }
    }

    fn holds(&self, word: &str) -> bool {
        let condition = |(comparison, operand): &(Comparison, Operand)| match word.parse::<f64>() {
            Ok(number) if number.is_finite() => operand.compare_number(*comparison, number, word),
            _ => operand.compare_text(*comparison, word),
        };
        self.alternatives.is_empty() || self.alternatives.iter().any(|all| all.iter().all(condition))
    }
}

fn condition(cursor: &mut Cursor<'_>) -> Result<Option<(Comparison, Operand)>, InvalidPattern> {
    let Some(comparison) = Comparison::parse(cursor) else { return Ok(None) };
    Ok(Some((comparison, Operand::parse(cursor, |next| "],&|".contains(next))?)))
}

/// The fields of a line: words, and what stands between brackets or double quotes, without these.
fn split(message: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = message.trim();
    // What was not found once is not there further on: a line of opening brackets must not take its length squared.
    let (mut brackets, mut quotes) = (true, true);
    while let Some(first) = rest.chars().next() {
        let closing = match first {
            '[' if brackets => Some((']', &mut brackets)),
            '"' if quotes => Some(('"', &mut quotes)),
            _ => None,
        };
        let enclosed = closing.and_then(|(closing, may_close)| {
            let found = rest[1..].split_once(closing);
            *may_close = found.is_some();
            found
        });
        let (word, after) = match enclosed {
            Some(enclosed) => enclosed,
            // Also when the bracket or quote is never closed.
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}
