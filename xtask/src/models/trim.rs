//! Cuts a published model down to what the code generator reads.
//!
//! What stays is listed, not what goes: a key that a later package adds is left out until someone wants it,
//! and prose cannot slip in. One operation or shape per line keeps the files small and their diffs readable.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::config::{Selection, Whole};
use super::fetch::Published;

const METADATA_KEYS: &[&str] = &[
    "apiVersion",
    "awsQueryCompatible",
    "endpointPrefix",
    "globalEndpoint",
    "jsonVersion",
    "protocol",
    "protocols",
    "serviceId",
    "signingName",
    "targetPrefix",
    "xmlNamespace",
];
const OPERATION_KEYS: &[&str] = &[
    "http",
    "input",
    "output",
    "errors",
    "auth",
    "authtype",
    "endpoint",
    "idempotent",
    "readonly",
    "unsignedPayload",
];
const SHAPE_KEYS: &[&str] = &[
    "type",
    "required",
    "members",
    "member",
    "key",
    "value",
    "enum",
    "min",
    "max",
    "pattern",
    "exception",
    "error",
    "fault",
    "sensitive",
    "payload",
    "flattened",
    "locationName",
    "xmlNamespace",
    "timestampFormat",
    "union",
    "event",
    "eventstream",
    "document",
    "streaming",
    "wrapper",
];
const REFERENCE_KEYS: &[&str] = &[
    "shape",
    "location",
    "locationName",
    "queryName",
    "flattened",
    "xmlAttribute",
    "xmlNamespace",
    "idempotencyToken",
    "hostLabel",
    "jsonvalue",
    "eventpayload",
    "eventheader",
    "streaming",
    "timestampFormat",
    "resultWrapper",
];

/// The text of `models/SERVICE.json`.
pub fn trim(service: &str, published: &Published, selection: &Selection) -> Result<String> {
    let operations = object(&published.model, "operations")?;
    let shapes = object(&published.model, "shapes")?;
    let chosen = chosen_operations(operations, selection)?;

    let mut kept_operations = BTreeMap::new();
    let mut pending = Vec::new();
    for name in &chosen {
        let mut operation = pick(&operations[*name], OPERATION_KEYS);
        for side in ["input", "output"] {
            if let Some(reference) = operation.get_mut(side) {
                pending.push(shape_of(reference)?.to_owned());
                *reference = Value::Object(pick(reference, REFERENCE_KEYS));
            }
        }
        let mut errors = Vec::new();
        for error in operation.get("errors").and_then(Value::as_array).into_iter().flatten() {
            errors.push(Value::String(shape_of(error)?.to_owned()));
            pending.push(shape_of(error)?.to_owned());
        }
        if !errors.is_empty() {
            operation.insert("errors".to_owned(), Value::Array(errors));
        }
        if let Some(paginator) = published.paginators.get(*name) {
            operation.insert("paginator".to_owned(), paginator.clone());
        }
        kept_operations.insert((*name).to_owned(), Value::Object(operation));
    }

    let kept_shapes = reachable(shapes, pending)?;
    let metadata = pick(object_value(&published.model, "metadata")?, METADATA_KEYS);
    let names: BTreeSet<&String> = operations.keys().collect();

    let mut text = String::from("{\n");
    writeln!(text, "\"service\": {},", Value::from(service))?;
    writeln!(text, "\"metadata\": {},", Value::Object(metadata))?;
    writeln!(text, "\"operationNames\": {},", serde_json::to_string(&names)?)?;
    if metadata_is_rest(&published.model) {
        // Paths and queries alone tell REST operations apart: without these, a request for one that is not imported would be
        // taken for another.
        let others = operations.iter().filter(|(name, _)| !chosen.contains(name.as_str()));
        let routes = others.map(|(name, operation)| (name.clone(), operation["http"].clone())).collect();
        write_lines(&mut text, "routes", &routes)?;
        text.push_str(",\n");
    }
    write_lines(&mut text, "operations", &kept_operations)?;
    text.push_str(",\n");
    write_lines(&mut text, "shapes", &kept_shapes)?;
    text.push_str("\n}\n");
    Ok(text)
}

fn metadata_is_rest(model: &Value) -> bool {
    model["metadata"]["protocol"].as_str().is_some_and(|protocol| protocol.starts_with("rest-"))
}

fn chosen_operations<'a>(
    operations: &'a Map<String, Value>,
    selection: &'a Selection,
) -> Result<BTreeSet<&'a str>> {
    match selection {
        Selection::Whole(Whole::All) => Ok(operations.keys().map(String::as_str).collect()),
        Selection::Operations(names) => {
            let mut chosen = BTreeSet::new();
            for name in names {
                if !operations.contains_key(name) {
                    bail!("the published model has no operation {name}");
                }
                if !chosen.insert(name.as_str()) {
                    bail!("operation {name} is listed twice");
                }
            }
            Ok(chosen)
        }
    }
}

/// The shapes named by `pending` and everything that they refer to, trimmed.
fn reachable(shapes: &Map<String, Value>, mut pending: Vec<String>) -> Result<BTreeMap<String, Value>> {
    let mut kept = BTreeMap::new();
    while let Some(name) = pending.pop() {
        if kept.contains_key(&name) {
            continue;
        }
        let published = shapes.get(&name).with_context(|| format!("shape {name} is not in the model"))?;
        let mut shape = pick(published, SHAPE_KEYS);
        for key in ["member", "key", "value"] {
            if let Some(reference) = shape.get_mut(key) {
                pending.push(shape_of(reference)?.to_owned());
                *reference = Value::Object(pick(reference, REFERENCE_KEYS));
            }
        }
        if let Some(Value::Object(members)) = shape.get_mut("members") {
            for reference in members.values_mut() {
                pending.push(shape_of(reference)?.to_owned());
                *reference = Value::Object(pick(reference, REFERENCE_KEYS));
            }
        }
        kept.insert(name, Value::Object(shape));
    }
    Ok(kept)
}

fn write_lines(text: &mut String, key: &str, entries: &BTreeMap<String, Value>) -> Result<()> {
    writeln!(text, "\"{key}\": {{")?;
    for (index, (name, value)) in entries.iter().enumerate() {
        let comma = if index + 1 == entries.len() { "" } else { "," };
        writeln!(text, "{}: {value}{comma}", Value::from(name.as_str()))?;
    }
    text.push('}');
    Ok(())
}

fn pick(value: &Value, keys: &[&str]) -> Map<String, Value> {
    keys.iter().filter_map(|key| Some(((*key).to_owned(), value.get(key)?.clone()))).collect()
}

fn shape_of(reference: &Value) -> Result<&str> {
    reference["shape"].as_str().context("a reference names its shape")
}

fn object_value<'a>(value: &'a Value, key: &str) -> Result<&'a Value> {
    value.get(key).with_context(|| format!("the model has no {key}"))
}

fn object<'a>(value: &'a Value, key: &str) -> Result<&'a Map<String, Value>> {
    object_value(value, key)?.as_object().with_context(|| format!("{key} of the model is an object"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn published() -> Published {
        Published {
            model: json!({
                "metadata": {"apiVersion": "1", "uid": "x"},
                "documentation": "prose",
                "operations": {
                    "Get": {"name": "Get", "http": {"method": "POST", "requestUri": "/"}, "documentation": "prose",
                            "input": {"shape": "GetRequest"}, "errors": [{"shape": "Gone", "documentation": "prose"}]},
                    "Put": {"name": "Put", "input": {"shape": "PutRequest"}},
                },
                "shapes": {
                    "GetRequest": {"type": "structure", "members": {"names": {"shape": "Names", "documentation": "prose"}}},
                    "Names": {"type": "list", "member": {"shape": "Name", "documentation": "prose"}},
                    "Name": {"type": "string", "documentation": "prose", "max": 3},
                    "Gone": {"type": "structure", "members": {}, "exception": true},
                    "PutRequest": {"type": "structure", "members": {}},
                },
            }),
            paginators: json!({"Get": {"input_token": "a"}}),
        }
    }

    #[test]
    fn keeps_what_a_chosen_operation_reaches_and_no_prose() {
        let selection = Selection::Operations(vec!["Get".to_owned()]);
        let text = trim("x", &published(), &selection).unwrap();
        assert!(!text.contains("prose"));
        let model: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(model["operationNames"], json!(["Get", "Put"]));
        assert_eq!(model["operations"].as_object().unwrap().len(), 1);
        assert_eq!(model["operations"]["Get"]["errors"], json!(["Gone"]));
        assert_eq!(model["operations"]["Get"]["paginator"], json!({"input_token": "a"}));
        let shapes: Vec<&str> = model["shapes"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(shapes, ["GetRequest", "Gone", "Name", "Names"]);
        assert_eq!(model["shapes"]["Name"], json!({"type": "string", "max": 3}));
    }

    #[test]
    fn refuses_an_unknown_or_repeated_operation() {
        for names in [vec!["Nope"], vec!["Get", "Get"]] {
            let selection = Selection::Operations(names.into_iter().map(str::to_owned).collect());
            assert!(trim("x", &published(), &selection).is_err());
        }
    }
}
