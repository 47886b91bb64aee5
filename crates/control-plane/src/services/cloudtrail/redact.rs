//! What of a request and of an answer may stand in the trail.
//!
//! Hidden is what the models mark as sensitive, whatever is named like a password, a secret's value or a token, the values of environment
//! variables, parameters and log events, and every blob. A hidden member stays, so that one sees that it was there; its value becomes
//! [`HIDDEN`], the word that CloudTrail has for it. Members are named as CloudTrail names them, with a small first letter.

use aws_schema::{Kind, StructureTable, Value};
use serde_json::{Map, Number, json};

/// What stands in the place of a value that is not recorded.
pub const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";
/// What a request or an answer may take in an event; beyond it only its size is told. CloudTrail's own limit.
const LARGEST: usize = 100_000;
/// Shapes that hold themselves end here.
const DEEPEST: usize = 24;

/// A structure as the trail shows it.
pub fn shown(table: &StructureTable, value: &Value) -> serde_json::Value {
    let shown = structure(table, value, 0);
    match size(&shown) {
        bytes if bytes > LARGEST => json!({"omitted": true, "originalSize": bytes, "reason": "too large"}),
        _ => shown,
    }
}

fn structure(table: &StructureTable, value: &Value, depth: usize) -> serde_json::Value {
    let Value::Structure(values) = value else { return serde_json::Value::Null };
    let mut out = Map::new();
    for (member, value) in table.members.iter().zip(values) {
        let Some(value) = value else { continue };
        let one = if member.sensitive || is_secret(table.name, member.name) || member.streaming {
            json!(HIDDEN)
        } else if is_environment(member.name) {
            environment(&member.kind, value, depth + 1)
        } else {
            of_kind(&member.kind, value, depth + 1)
        };
        out.insert(small_first(member.name), one);
    }
    serde_json::Value::Object(out)
}

fn of_kind(kind: &Kind, value: &Value, depth: usize) -> serde_json::Value {
    if depth > DEEPEST {
        return serde_json::Value::Null;
    }
    match (kind, value) {
        (Kind::Structure(table), value) => structure(table, value, depth),
        (Kind::List(table), Value::List(_)) if table.sensitive => json!(HIDDEN),
        (Kind::List(table), Value::List(items)) => {
            items.iter().map(|item| of_kind(&table.item, item, depth + 1)).collect()
        }
        (Kind::Map(table), Value::Map(pairs)) => serde_json::Value::Object(
            pairs
                .iter()
                .map(|(key, value)| {
                    let hidden = is_secret("", key);
                    (
                        key.clone(),
                        if hidden { json!(HIDDEN) } else { of_kind(&table.value, value, depth + 1) },
                    )
                })
                .collect(),
        ),
        (_, Value::Bool(value)) => json!(value),
        (_, Value::Integer(value)) => json!(value),
        (_, Value::Float(value) | Value::Timestamp(value)) => {
            Number::from_f64(*value).map_or(serde_json::Value::Null, serde_json::Value::Number)
        }
        (_, Value::String(text)) => json!(text),
        (_, Value::Document(document)) => document.clone(),
        (_, Value::Blob(_) | Value::List(_) | Value::Map(_) | Value::Structure(_)) => json!(HIDDEN),
    }
}

/// Names of environment variables are told, their values are not.
fn environment(kind: &Kind, value: &Value, depth: usize) -> serde_json::Value {
    match (kind, value) {
        (Kind::Map(_), Value::Map(pairs)) => {
            serde_json::Value::Object(pairs.iter().map(|(key, _)| (key.clone(), json!(HIDDEN))).collect())
        }
        (Kind::List(table), Value::List(items)) => items
            .iter()
            .map(|item| {
                let mut shown = of_kind(&table.item, item, depth);
                if let Some(value) = shown.get_mut("value") {
                    *value = json!(HIDDEN);
                }
                shown
            })
            .collect(),
        _ => json!(HIDDEN),
    }
}

fn is_environment(member: &str) -> bool {
    member.eq_ignore_ascii_case("environment")
}

/// Whether a member is to be hidden by its name. `shape` is the structure it is in.
fn is_secret(shape: &str, member: &str) -> bool {
    const NAMED: [&str; 14] = [
        "secretstring",
        "secretbinary",
        "secretaccesskey",
        "clientsecret",
        "privatekey",
        "plaintext",
        "tokenvalue",
        "streamurl",
        "samlassertion",
        "authorizationtoken",
        "downloadurl",
        "userdata",
        "logevents",
        "keymaterial",
    ];
    // Those that only mark a place in a list, or one request among its repetitions.
    const HARMLESS: [&str; 5] =
        ["nexttoken", "clienttoken", "clientrequesttoken", "continuationtoken", "idempotencytoken"];
    let name = member.to_ascii_lowercase();
    NAMED.contains(&name.as_str())
        || name.contains("password")
        || (name.ends_with("token") && !HARMLESS.contains(&name.as_str()))
        || (name == "value" && matches!(shape, "PutParameterRequest" | "Parameter" | "ParameterHistory"))
}

fn small_first(name: &str) -> String {
    let mut letters = name.chars();
    match letters.next() {
        Some(first) => first.to_ascii_lowercase().to_string() + letters.as_str(),
        None => String::new(),
    }
}

/// About what the text takes.
fn size(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::String(text) => text.len() + 2,
        serde_json::Value::Array(items) => items.iter().map(size).sum::<usize>() + items.len() + 2,
        serde_json::Value::Object(members) => {
            members.iter().map(|(name, value)| name.len() + 4 + size(value)).sum::<usize>() + 2
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => 8,
    }
}
