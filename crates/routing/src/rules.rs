//! Which rule a request falls under.
//!
//! Rules are tried in the order of their priorities; the first whose conditions all hold decides, and without one the default does.
//! A condition holds when one of its values matches. Source: the application load balancer's guide, "Condition types".

use std::net::IpAddr;

use crate::{
    config::{AddressRange, Condition, Listener, Outcome, Rewrite, Transform},
    pattern::{Case, Compiled, regex},
};

/// What conditions look at. Text is as the client sent it.
pub trait Request {
    fn method(&self) -> &[u8];
    /// Without the query.
    fn path(&self) -> &[u8];
    /// Without the question mark; empty when there is none.
    fn query(&self) -> &[u8];
    /// Without the port.
    fn host(&self) -> &[u8];
    /// Whether any line of the header, named in lower case, satisfies `holds`.
    fn any_header(&self, name: &str, holds: &mut dyn FnMut(&[u8]) -> bool) -> bool;
    fn source(&self) -> IpAddr;
}

/// The rules of a listener, made ready.
#[derive(Debug, Clone)]
pub struct Rules {
    rules: Vec<CompiledRule>,
    default: CompiledOutcome,
}

#[derive(Debug, Clone)]
struct CompiledRule {
    conditions: Vec<CompiledCondition>,
    outcome: CompiledOutcome,
}

#[derive(Debug, Clone)]
enum CompiledCondition {
    Path(Vec<Compiled>),
    Host(Vec<Compiled>),
    Header { name: String, values: Vec<Compiled> },
    Query(Vec<(Option<Compiled>, Compiled)>),
    Method(Vec<String>),
    Source(Vec<AddressRange>),
}

/// What is to be done with a request, with its expressions made ready.
#[derive(Debug, Clone)]
pub struct CompiledOutcome {
    /// Of the rule; 0 for the default, as access logs have it.
    pub priority: u32,
    pub outcome: Outcome,
    host: Option<CompiledRewrite>,
    url: Option<CompiledRewrite>,
}

#[derive(Debug, Clone)]
struct CompiledRewrite {
    /// `None`: it did not compile, and changes nothing.
    regex: Option<regex::Regex>,
    replace: String,
}

impl Rules {
    pub fn new(listener: &Listener) -> Rules {
        let mut rules: Vec<_> = listener.rules.iter().collect();
        rules.sort_by_key(|rule| rule.priority);
        Rules {
            rules: rules
                .into_iter()
                .map(|rule| CompiledRule {
                    conditions: rule.conditions.iter().map(CompiledCondition::new).collect(),
                    outcome: CompiledOutcome::new(rule.priority, &rule.outcome),
                })
                .collect(),
            default: CompiledOutcome::new(0, &listener.default),
        }
    }

    /// The outcome for a request.
    pub fn decide(&self, request: &impl Request) -> &CompiledOutcome {
        self.outcome(self.decide_index(request))
    }

    /// Which rule: its place in the order of priorities, `None` for the default.
    pub fn decide_index(&self, request: &impl Request) -> Option<usize> {
        self.rules.iter().position(|rule| rule.conditions.iter().all(|condition| condition.holds(request)))
    }

    /// The outcome of a rule that `decide_index` named.
    pub fn outcome(&self, index: Option<usize>) -> &CompiledOutcome {
        index.map_or(&self.default, |index| &self.rules[index].outcome)
    }

    /// Every outcome, in the order of priorities, the default last.
    pub fn outcomes(&self) -> impl Iterator<Item = &CompiledOutcome> {
        self.rules.iter().map(|rule| &rule.outcome).chain([&self.default])
    }
}

impl CompiledCondition {
    fn new(condition: &Condition) -> CompiledCondition {
        let all = |values: &[_], case| values.iter().map(|value| Compiled::new(value, case)).collect();
        match condition {
            Condition::Path(values) => CompiledCondition::Path(all(values, Case::Sensitive)),
            Condition::Host(values) => CompiledCondition::Host(all(values, Case::Insensitive)),
            Condition::Header { name, values } => CompiledCondition::Header {
                name: name.to_ascii_lowercase(),
                values: all(values, Case::Insensitive),
            },
            Condition::Query(values) => CompiledCondition::Query(
                values
                    .iter()
                    .map(|pair| {
                        let part = |text: &str| Compiled::wildcard(text, Case::Insensitive);
                        (pair.key.as_deref().map(part), part(&pair.value))
                    })
                    .collect(),
            ),
            Condition::Method(values) => CompiledCondition::Method(values.clone()),
            Condition::Source(ranges) => CompiledCondition::Source(ranges.clone()),
        }
    }

    fn holds(&self, request: &impl Request) -> bool {
        match self {
            CompiledCondition::Path(values) => any(values, request.path()),
            CompiledCondition::Host(values) => any(values, request.host()),
            CompiledCondition::Header { name, values } => {
                request.any_header(name, &mut |value| any(values, value))
            }
            CompiledCondition::Query(values) => parameters(request.query()).any(|(key, value)| {
                values.iter().any(|(wanted_key, wanted)| {
                    wanted_key.as_ref().is_none_or(|wanted| wanted.matches(key)) && wanted.matches(value)
                })
            }),
            CompiledCondition::Method(values) => {
                values.iter().any(|value| value.as_bytes() == request.method())
            }
            CompiledCondition::Source(ranges) => ranges.iter().any(|range| range.contains(request.source())),
        }
    }
}

fn any(values: &[Compiled], value: &[u8]) -> bool {
    values.iter().any(|compiled| compiled.matches(value))
}

/// Keys and values of a query, as they are written.
fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        match pair.iter().position(|byte| *byte == b'=') {
            Some(equals) => (&pair[..equals], &pair[equals + 1..]),
            None => (pair, &pair[pair.len()..]),
        }
    })
}

impl CompiledOutcome {
    fn new(priority: u32, outcome: &Outcome) -> CompiledOutcome {
        let compiled = |rewrite: &Rewrite, case| CompiledRewrite {
            regex: regex(&rewrite.regex, case),
            replace: rewrite.replace.clone(),
        };
        let mut result = CompiledOutcome { priority, outcome: outcome.clone(), host: None, url: None };
        for transform in &outcome.transforms {
            match transform {
                Transform::Host(rewrite) => result.host = Some(compiled(rewrite, Case::Insensitive)),
                Transform::Url(rewrite) => result.url = Some(compiled(rewrite, Case::Sensitive)),
            }
        }
        result
    }

    /// The host to forward with, when it is another one.
    pub fn rewritten_host(&self, host: &str) -> Option<String> {
        self.host.as_ref()?.apply(host)
    }

    /// Path and query to forward with, when they are others.
    pub fn rewritten_url(&self, path_and_query: &str) -> Option<String> {
        // What is left without its beginning is still a path; a request has no other.
        let changed = self.url.as_ref()?.apply(path_and_query)?;
        Some(if changed.starts_with('/') { changed } else { format!("/{changed}") })
    }
}

impl CompiledRewrite {
    fn apply(&self, value: &str) -> Option<String> {
        let regex = self.regex.as_ref()?;
        let captures = regex.captures(value)?;
        let whole = captures.get(0)?;
        let mut changed = value[..whole.start()].to_owned();
        let mut rest = self.replace.chars().peekable();
        while let Some(character) = rest.next() {
            match (character, rest.peek().and_then(|next| next.to_digit(10))) {
                ('$', Some(group)) => {
                    rest.next();
                    changed.push_str(captures.get(group as usize).map_or("", |group| group.as_str()));
                }
                (character, _) => changed.push(character),
            }
        }
        changed.push_str(&value[whole.end()..]);
        // What a rewrite makes must not end the line that it is written on.
        (changed != value && !changed.contains(|c: char| c.is_control() || c == ' ')).then_some(changed)
    }
}
