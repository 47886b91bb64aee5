//! Values as tagged JSON, the form in which both sides compare them.

use aws_schema::{Kind, Value};
use serde_json::{Value as Json, json};

/// See `botocore_peer.py`. Times are compared to the millisecond.
pub fn from_value(kind: &Kind, value: &Value) -> Json {
    match (kind, value) {
        (_, Value::Bool(flag)) => json!({"b": flag}),
        (_, Value::Integer(number)) => json!({"i": number}),
        (_, Value::Float(number)) => {
            let text = format!("{number:?}");
            json!({"f": match text.as_str() { "NaN" => "nan", other => other }})
        }
        (_, Value::String(text)) => json!({"s": text}),
        (_, Value::Blob(bytes)) => json!({"x": super::peer::hex(bytes)}),
        (_, Value::Timestamp(seconds)) => json!({"t": (seconds * 1000.0).round() as i64}),
        (_, Value::Document(document)) => json!({"d": document}),
        (Kind::List(table), Value::List(items)) => {
            json!({"l": items.iter().map(|item| from_value(&table.item, item)).collect::<Vec<_>>()})
        }
        (Kind::Map(table), Value::Map(entries)) => {
            let entries: serde_json::Map<String, Json> =
                entries.iter().map(|(key, value)| (key.clone(), from_value(&table.value, value))).collect();
            json!({"m": entries})
        }
        (Kind::Structure(table), Value::Structure(values)) => {
            let members: serde_json::Map<String, Json> = table
                .members
                .iter()
                .zip(values)
                .filter_map(|(member, value)| {
                    Some((member.name.to_owned(), from_value(&member.kind, value.as_ref()?)))
                })
                .collect();
            json!({"o": members})
        }
        (kind, value) => panic!("a {} where the table has {kind:?}", value.kind_name()),
    }
}

/// A structure without one member.
pub fn without(mut tagged: Json, member: &str) -> Json {
    if let Some(members) = tagged["o"].as_object_mut() {
        members.remove(member);
    }
    tagged
}
