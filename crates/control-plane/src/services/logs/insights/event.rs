//! An event's fields: those every event has, those found in its JSON, those that the query defines.

use std::{cell::OnceCell, collections::BTreeMap};

use telemetry_store::StoredEvent;

use super::language::{Fields, Value};

/// Fields found in one event's JSON: AWS discovers at most 200.
const MOST_FIELDS: usize = 200;

pub struct EventFields<'e> {
    /// The group, as `@log` shows it.
    log: &'e str,
    event: &'e StoredEvent,
    defined: Vec<(String, Value)>,
    json: OnceCell<Option<serde_json::Value>>,
}

impl<'e> EventFields<'e> {
    pub fn new(log: &'e str, event: &'e StoredEvent) -> EventFields<'e> {
        EventFields { log, event, defined: Vec::new(), json: OnceCell::new() }
    }

    pub fn define(&mut self, name: &str, value: Value) {
        self.defined.push((name.to_owned(), value));
    }

    fn json(&self) -> Option<&serde_json::Value> {
        let parse = || {
            let message = self.event.message.trim();
            if message.starts_with('{') { serde_json::from_str(message).ok() } else { None }
        };
        self.json.get_or_init(parse).as_ref()
    }

    /// Every field of the event, as text.
    pub fn all(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        if let Some(json) = self.json() {
            flatten(json, String::new(), &mut found);
        }
        for name in ["@timestamp", "@ingestionTime", "@message", "@logStream", "@log"] {
            let value = match self.field(name) {
                Value::Time(milliseconds) => milliseconds.to_string(),
                other => other.to_string(),
            };
            found.insert(name.to_owned(), value);
        }
        found
    }
}

impl Fields for EventFields<'_> {
    fn field(&self, name: &str) -> Value {
        if let Some((_, value)) = self.defined.iter().rev().find(|(known, _)| known == name) {
            return value.clone();
        }
        match name {
            "@timestamp" => Value::Time(self.event.timestamp.as_millis()),
            "@ingestionTime" => Value::Time(self.event.ingestion.as_millis()),
            "@message" => Value::Text(self.event.message.clone()),
            "@logStream" => Value::Text(self.event.stream.to_string()),
            "@log" => Value::Text(self.log.to_owned()),
            _ => self.json().and_then(|json| lookup(json, name)).map_or(Value::Missing, value),
        }
    }
}

/// `a.b.0`: members and elements; a member whose name holds a dot is found too.
fn lookup<'v>(json: &'v serde_json::Value, path: &str) -> Option<&'v serde_json::Value> {
    match json {
        serde_json::Value::Object(members) => {
            if let Some(found) = members.get(path) {
                return Some(found);
            }
            let mut dots = path.match_indices('.');
            dots.find_map(|(at, _)| lookup(members.get(&path[..at])?, &path[at + 1..]))
        }
        serde_json::Value::Array(elements) => {
            let (index, rest) =
                path.split_once('.').map_or((path, None), |(index, rest)| (index, Some(rest)));
            let element = elements.get(index.parse::<usize>().ok()?)?;
            rest.map_or(Some(element), |rest| lookup(element, rest))
        }
        _ => None,
    }
}

fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Missing,
        serde_json::Value::Bool(truth) => Value::Truth(*truth),
        serde_json::Value::Number(number) => number.as_f64().map_or(Value::Missing, Value::Number),
        serde_json::Value::String(text) => Value::Text(text.clone()),
        other => Value::Text(other.to_string()),
    }
}

fn flatten(json: &serde_json::Value, path: String, found: &mut BTreeMap<String, String>) {
    if found.len() >= MOST_FIELDS {
        return;
    }
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match json {
        serde_json::Value::Object(members) => {
            members.iter().for_each(|(name, member)| flatten(member, below(name), found));
        }
        serde_json::Value::Array(elements) => {
            let numbered = elements.iter().enumerate();
            numbered.for_each(|(index, element)| flatten(element, below(&index.to_string()), found));
        }
        leaf => drop(found.insert(path, value(leaf).to_string())),
    }
}
