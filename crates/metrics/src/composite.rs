//! Rules of composite alarms: `ALARM("a") AND NOT (OK(b) OR AT_LEAST(2, ALARM, (c, d, e)))`.
//!
//! Source: `AlarmRule` of PutCompositeAlarm. Names may be quoted, as they have to be with spaces or brackets in them, and may be ARNs.

use crate::alarm::State;

/// How deep a rule may be nested: its evaluation recurses.
const DEEPEST: usize = 64;
/// Alarms that one rule may name, as AWS has it.
pub const MOST_CHILDREN: usize = 100;

/// A rule that was understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    Constant(bool),
    /// The alarm of this name or ARN is in this state.
    Is(State, String),
    /// At least so many of the alarms are in this state, or are not.
    AtLeast {
        count: usize,
        state: State,
        negated: bool,
        alarms: Vec<String>,
    },
    Not(Box<Rule>),
    And(Box<Rule>, Box<Rule>),
    Or(Box<Rule>, Box<Rule>),
}

/// Text that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    #[error("the rule ends too early")]
    End,
    #[error("`{0}` is not expected here")]
    Unexpected(String),
    #[error("the rule is nested too deeply")]
    Deep,
    #[error("the rule names more than {MOST_CHILDREN} alarms")]
    Children,
}

impl Rule {
    /// Whether it holds, when alarms stand as `state` says; none for an alarm that is not there.
    pub fn holds(&self, state: &dyn Fn(&str) -> Option<State>) -> bool {
        match self {
            Rule::Constant(value) => *value,
            Rule::Is(wanted, alarm) => state(alarm) == Some(*wanted),
            Rule::AtLeast { count, state: wanted, negated, alarms } => {
                let alike = alarms
                    .iter()
                    .filter(|alarm| state(alarm).is_some_and(|there| (there == *wanted) != *negated));
                alike.count() >= *count
            }
            Rule::Not(inner) => !inner.holds(state),
            Rule::And(a, b) => a.holds(state) && b.holds(state),
            Rule::Or(a, b) => a.holds(state) || b.holds(state),
        }
    }

    /// The alarms that it names, as it names them, each once.
    pub fn children(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.gather(&mut found);
        found.sort_unstable();
        found.dedup();
        found
    }

    fn gather<'a>(&'a self, found: &mut Vec<&'a str>) {
        match self {
            Rule::Constant(_) => {}
            Rule::Is(_, alarm) => found.push(alarm),
            Rule::AtLeast { alarms, .. } => found.extend(alarms.iter().map(String::as_str)),
            Rule::Not(inner) => inner.gather(found),
            Rule::And(a, b) | Rule::Or(a, b) => {
                a.gather(found);
                b.gather(found);
            }
        }
    }
}

impl std::str::FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Rule, InvalidRule> {
        let mut parser = Parser { words: words(text)?, at: 0 };
        let rule = parser.either(0)?;
        if let Some(word) = parser.words.get(parser.at) {
            return Err(InvalidRule::Unexpected(word.text().to_owned()));
        }
        if rule.children().len() > MOST_CHILDREN {
            return Err(InvalidRule::Children);
        }
        Ok(rule)
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Word {
    Plain(String),
    Quoted(String),
    Mark(char),
}

impl Word {
    fn text(&self) -> &str {
        match self {
            Word::Plain(text) | Word::Quoted(text) => text,
            Word::Mark('(') => "(",
            Word::Mark(')') => ")",
            Word::Mark(_) => ",",
        }
    }
}

fn words(text: &str) -> Result<Vec<Word>, InvalidRule> {
    let (mut words, mut letters) = (Vec::new(), text.chars().peekable());
    while let Some(letter) = letters.next() {
        match letter {
            _ if letter.is_whitespace() => {}
            '(' | ')' | ',' => words.push(Word::Mark(letter)),
            '"' | '\'' => {
                let mut name = String::new();
                loop {
                    match letters.next() {
                        None => return Err(InvalidRule::End),
                        Some(end) if end == letter => break,
                        Some('\\') => name.push(letters.next().ok_or(InvalidRule::End)?),
                        Some(other) => name.push(other),
                    }
                }
                words.push(Word::Quoted(name));
            }
            _ => {
                let mut word = String::from(letter);
                while let Some(next) =
                    letters.next_if(|next| !next.is_whitespace() && !"(),\"'".contains(*next))
                {
                    word.push(next);
                }
                words.push(Word::Plain(word));
            }
        }
    }
    Ok(words)
}

struct Parser {
    words: Vec<Word>,
    at: usize,
}

impl Parser {
    fn next(&mut self) -> Result<Word, InvalidRule> {
        let word = self.words.get(self.at).cloned().ok_or(InvalidRule::End)?;
        self.at += 1;
        Ok(word)
    }

    fn takes(&mut self, keyword: &str) -> bool {
        let is =
            matches!(self.words.get(self.at), Some(Word::Plain(word)) if word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(is);
        is
    }

    fn mark(&mut self, mark: char) -> Result<(), InvalidRule> {
        match self.next()? {
            Word::Mark(found) if found == mark => Ok(()),
            other => Err(InvalidRule::Unexpected(other.text().to_owned())),
        }
    }

    fn either(&mut self, depth: usize) -> Result<Rule, InvalidRule> {
        let mut rule = self.both(depth)?;
        while self.takes("OR") {
            rule = Rule::Or(Box::new(rule), Box::new(self.both(depth)?));
        }
        Ok(rule)
    }

    fn both(&mut self, depth: usize) -> Result<Rule, InvalidRule> {
        let mut rule = self.one(depth)?;
        while self.takes("AND") {
            rule = Rule::And(Box::new(rule), Box::new(self.one(depth)?));
        }
        Ok(rule)
    }

    fn one(&mut self, depth: usize) -> Result<Rule, InvalidRule> {
        if depth > DEEPEST {
            return Err(InvalidRule::Deep);
        }
        if self.takes("NOT") {
            return Ok(Rule::Not(Box::new(self.one(depth + 1)?)));
        }
        match self.next()? {
            Word::Mark('(') => {
                let rule = self.either(depth + 1)?;
                self.mark(')')?;
                Ok(rule)
            }
            Word::Plain(word) => match word.to_ascii_uppercase().as_str() {
                "TRUE" => Ok(Rule::Constant(true)),
                "FALSE" => Ok(Rule::Constant(false)),
                "AT_LEAST" => self.at_least(),
                other => {
                    let state = state(other).ok_or(InvalidRule::Unexpected(word))?;
                    self.mark('(')?;
                    let alarm = self.name()?;
                    self.mark(')')?;
                    Ok(Rule::Is(state, alarm))
                }
            },
            other => Err(InvalidRule::Unexpected(other.text().to_owned())),
        }
    }

    fn name(&mut self) -> Result<String, InvalidRule> {
        match self.next()? {
            Word::Plain(name) | Word::Quoted(name) => Ok(name),
            other => Err(InvalidRule::Unexpected(other.text().to_owned())),
        }
    }

    fn at_least(&mut self) -> Result<Rule, InvalidRule> {
        self.mark('(')?;
        let count = self.name()?;
        self.mark(',')?;
        let negated = self.takes("NOT");
        let word = self.name()?;
        let state = state(&word.to_ascii_uppercase()).ok_or(InvalidRule::Unexpected(word))?;
        self.mark(',')?;
        self.mark('(')?;
        let mut alarms = vec![self.name()?];
        loop {
            match self.next()? {
                Word::Mark(',') => alarms.push(self.name()?),
                Word::Mark(')') => break,
                other => return Err(InvalidRule::Unexpected(other.text().to_owned())),
            }
        }
        self.mark(')')?;
        let number = match count.strip_suffix('%') {
            Some(percent) => percent
                .parse::<usize>()
                .ok()
                .filter(|percent| *percent <= 100)
                .map(|percent| (alarms.len() * percent).div_ceil(100)),
            None => count.parse().ok(),
        };
        let count = number
            .filter(|count| (1..=alarms.len()).contains(count))
            .ok_or(InvalidRule::Unexpected(count))?;
        Ok(Rule::AtLeast { count, state, negated, alarms })
    }
}

fn state(word: &str) -> Option<State> {
    match word {
        "OK" => Some(State::Ok),
        "ALARM" => Some(State::Alarm),
        "INSUFFICIENT_DATA" => Some(State::InsufficientData),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a` is in ALARM, `o` is OK, `i` has no data, others are not there.
    fn holds(text: &str) -> bool {
        let state = |name: &str| match name {
            "a" | "with space" => Some(State::Alarm),
            "o" => Some(State::Ok),
            "i" => Some(State::InsufficientData),
            _ => None,
        };
        text.parse::<Rule>().unwrap().holds(&state)
    }

    #[test]
    fn rules_hold_or_do_not() {
        for (text, expected) in [
            ("TRUE", true),
            ("FALSE OR TRUE", true),
            ("ALARM(a)", true),
            ("ALARM(\"with space\")", true),
            ("OK(a) OR INSUFFICIENT_DATA(i)", true),
            ("ALARM(a) AND ALARM(o)", false),
            ("NOT ALARM(o) AND OK(o)", true),
            ("ALARM(o) AND ALARM(o) OR ALARM(a)", true),
            ("ALARM(o) AND (ALARM(o) OR ALARM(a))", false),
            ("ALARM(absent) OR OK(absent)", false),
            ("AT_LEAST(2, ALARM, (a, o, \"with space\"))", true),
            ("AT_LEAST(2, NOT ALARM, (a, o, i))", true),
            ("AT_LEAST(67%, ALARM, (a, o, i))", false),
        ] {
            assert_eq!(holds(text), expected, "{text}");
        }
    }

    #[test]
    fn children_are_named_once() {
        let rule: Rule = "ALARM(b) AND (ALARM(a) OR NOT OK(b)) AND AT_LEAST(1, OK, (c, a))".parse().unwrap();
        assert_eq!(rule.children(), ["a", "b", "c"]);
    }

    #[test]
    fn other_texts_are_no_rules() {
        let deep = "(".repeat(100) + "TRUE" + &")".repeat(100);
        let many = (0..101).map(|number| format!("ALARM(a{number})")).collect::<Vec<_>>().join(" OR ");
        for text in [
            "",
            "ALARM",
            "ALARM(",
            "ALARM()",
            "ALARM(a) ALARM(b)",
            "BAD(a)",
            "ALARM(a) AND",
            "(TRUE",
            "TRUE)",
            "ALARM(\"a)",
            "AT_LEAST(4, OK, (a))",
            &deep,
            &many,
        ] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }
}
