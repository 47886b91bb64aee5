//! Emits the static tables of structures, lists, maps and scalars.

use std::fmt::Write as _;

use serde_json::Value;

use crate::model::{Model, flag, strings, target};
use crate::names;

/// Rust literal of an optional string.
pub fn optional(text: Option<&str>) -> String {
    text.map_or_else(|| "None".to_owned(), |text| format!("Some({text:?})"))
}

/// Rust literal of a list of strings.
pub fn list(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("&[{}]", quoted.join(", "))
}

/// Name of the static that describes `shape`.
pub fn static_name(shape: &str) -> String {
    format!("T_{}", shape.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>())
}

/// The table of `shape`, if its kind has one.
pub fn shape_table(out: &mut String, model: &Model<'_>, name: &str) -> Result<(), String> {
    let shape = model.shapes[name];
    match model.type_of(name) {
        "structure" if model.is_structure(name) => structure_table(out, model, name),
        "list" => list_table(out, model, name),
        "map" => map_table(out, model, name),
        "string" | "character" => {
            if is_free_string(shape) {
                return Ok(());
            }
            writeln!(out, "static {}: StringTable = {};", static_name(name), string_table(shape))
                .map_err(text)
        }
        "byte" | "short" | "integer" | "long" => {
            let bits = integer_bits(model.type_of(name));
            writeln!(
                out,
                "static {}: IntegerTable = IntegerTable {{ bits: {bits}, min: {}, max: {} }};",
                static_name(name),
                integer(&shape["min"]),
                integer(&shape["max"])
            )
            .map_err(text)
        }
        _ => Ok(()),
    }
}

fn is_free_string(shape: &Value) -> bool {
    ["min", "max", "pattern", "enum"].iter().all(|key| shape.get(key).is_none())
}

fn string_table(shape: &Value) -> String {
    format!(
        "StringTable {{ min: {}, max: {}, pattern: {}, values: {} }}",
        integer(&shape["min"]),
        integer(&shape["max"]),
        optional(shape["pattern"].as_str()),
        list(&strings(&shape["enum"]))
    )
}

fn integer_bits(kind: &str) -> u8 {
    match kind {
        "byte" => 8,
        "short" => 16,
        "integer" => 32,
        _ => 64,
    }
}

/// Limits are sometimes published as 1.0E9.
fn integer(value: &Value) -> String {
    match value.as_i64().or_else(|| value.as_f64().map(|float| float as i64)) {
        Some(number) => format!("Some({number})"),
        None => "None".to_owned(),
    }
}

fn float(value: &Value) -> String {
    value.as_f64().map_or_else(|| "None".to_owned(), |number| format!("Some({number:?})"))
}

fn list_table(out: &mut String, model: &Model<'_>, name: &str) -> Result<(), String> {
    let shape = model.shapes[name];
    let item = &shape["member"];
    writeln!(
        out,
        "static {}: ListTable = ListTable {{ item: {}, item_name: {}, item_namespace: {}, sensitive: {}, flattened: {}, min: {}, max: {} }};",
        static_name(name),
        kind(model, item)?,
        optional(item["locationName"].as_str()),
        namespace(&item["xmlNamespace"], &model.shapes[target(item)]["xmlNamespace"]),
        flag(model.shapes[target(item)], "sensitive"),
        flag(shape, "flattened"),
        integer(&shape["min"]),
        integer(&shape["max"])
    )
    .map_err(text)
}

fn map_table(out: &mut String, model: &Model<'_>, name: &str) -> Result<(), String> {
    let shape = model.shapes[name];
    let key = target(&shape["key"]);
    let key_table =
        if is_free_string(model.shapes[key]) { "&FREE".to_owned() } else { format!("&{}", static_name(key)) };
    writeln!(
        out,
        "static {}: MapTable = MapTable {{ key: {key_table}, key_name: {}, value: {}, value_name: {}, flattened: {}, min: {}, max: {} }};",
        static_name(name),
        optional(shape["key"]["locationName"].as_str()),
        kind(model, &shape["value"])?,
        optional(shape["value"]["locationName"].as_str()),
        flag(shape, "flattened"),
        integer(&shape["min"]),
        integer(&shape["max"])
    )
    .map_err(text)
}

fn structure_table(out: &mut String, model: &Model<'_>, name: &str) -> Result<(), String> {
    let shape = model.shapes[name];
    let members = model.members(name);
    let required = strings(&shape["required"]);
    write!(out, "static {}: StructureTable = StructureTable {{ ", static_name(name)).map_err(text)?;
    if let Some(payload) = shape["payload"].as_str() {
        let index = members.iter().position(|(member, _)| *member == payload);
        write!(out, "payload: Some({}), ", index.ok_or_else(|| format!("{name}: no payload {payload}"))?)
            .map_err(text)?;
    }
    for (key, field) in [("union", "union"), ("eventstream", "event_stream")] {
        if flag(shape, key) {
            write!(out, "{field}: true, ").map_err(text)?;
        }
    }
    let reference = input_reference(model, name);
    let xml_name =
        reference.and_then(|reference| reference["locationName"].as_str()).or(shape["locationName"].as_str());
    if xml_name.is_some() {
        write!(out, "xml_name: {}, ", optional(xml_name)).map_err(text)?;
    }
    let spaces = namespace(
        reference.map_or(&Value::Null, |reference| &reference["xmlNamespace"]),
        &shape["xmlNamespace"],
    );
    if spaces != "None" {
        write!(out, "xml_namespace: {spaces}, ").map_err(text)?;
    }
    writeln!(out, "..StructureTable::new({name:?}, &[").map_err(text)?;
    for (member, reference) in members {
        let mut fields = String::new();
        member_fields(&mut fields, model, reference, required.iter().any(|name| name == member))?;
        let base = format!("MemberTable::new({member:?}, {})", kind(model, reference)?);
        if fields.is_empty() {
            writeln!(out, "    {base},").map_err(text)?;
        } else {
            writeln!(out, "    MemberTable {{ {fields}..{base} }},").map_err(text)?;
        }
    }
    writeln!(out, "]) }};").map_err(text)
}

/// The operation's reference to its input carries the XML name of a restXml body.
fn input_reference<'a>(model: &Model<'a>, name: &str) -> Option<&'a Value> {
    model.operations.values().map(|operation| &operation["input"]).find(|input| {
        target(input) == name && (input.get("locationName").is_some() || input.get("xmlNamespace").is_some())
    })
}

fn member_fields(
    out: &mut String,
    model: &Model<'_>,
    reference: &Value,
    required: bool,
) -> Result<(), String> {
    let shape = model.shapes[target(reference)];
    // A shape may carry the name for all its uses; the reference wins.
    if let Some(name) = reference["locationName"].as_str().or(shape["locationName"].as_str()) {
        write!(out, "wire: {name:?}, renamed: true, ").map_err(text)?;
    }
    if let Some(name) = reference["queryName"].as_str() {
        write!(out, "query_name: Some({name:?}), ").map_err(text)?;
    }
    let location = match reference["location"].as_str() {
        None => None,
        Some("uri") => Some("Uri"),
        Some("querystring") => Some("Query"),
        Some("header") => Some("Header"),
        Some("headers") => Some("Headers"),
        Some("statusCode") => Some("StatusCode"),
        Some(other) => return Err(format!("unknown location {other}")),
    };
    if let Some(location) = location {
        write!(out, "location: Location::{location}, ").map_err(text)?;
    }
    let spaces = namespace(&reference["xmlNamespace"], &shape["xmlNamespace"]);
    if spaces != "None" {
        write!(out, "xml_namespace: {spaces}, ").map_err(text)?;
    }
    let either = |key: &str| flag(reference, key) || flag(shape, key);
    let flags = [
        ("required", required),
        ("flattened", either("flattened")),
        ("xml_attribute", flag(reference, "xmlAttribute")),
        ("idempotency_token", flag(reference, "idempotencyToken")),
        ("host_label", flag(reference, "hostLabel")),
        ("json_value", flag(reference, "jsonvalue")),
        ("event_payload", flag(reference, "eventpayload")),
        ("event_header", flag(reference, "eventheader")),
        ("streaming", either("streaming")),
        ("sensitive", flag(shape, "sensitive")),
    ];
    for (name, _) in flags.into_iter().filter(|(_, set)| *set) {
        write!(out, "{name}: true, ").map_err(text)?;
    }
    Ok(())
}

/// The `Kind` expression for a reference.
fn kind(model: &Model<'_>, reference: &Value) -> Result<String, String> {
    let name = target(reference);
    let shape = model.shapes[name];
    let own = static_name(name);
    Ok(match model.type_of(name) {
        "structure" if flag(shape, "document") => "Kind::Document".to_owned(),
        "structure" => format!("Kind::Structure(&{own})"),
        "list" => format!("Kind::List(&{own})"),
        "map" => format!("Kind::Map(&{own})"),
        "string" | "character" if is_free_string(shape) => "Kind::String(&FREE)".to_owned(),
        "string" | "character" => format!("Kind::String(&{own})"),
        "boolean" => "Kind::Boolean".to_owned(),
        "byte" | "short" | "integer" | "long" => format!("Kind::Integer(&{own})"),
        "float" | "double" => format!(
            "Kind::Float {{ double: {}, min: {}, max: {} }}",
            model.type_of(name) == "double",
            float(&shape["min"]),
            float(&shape["max"])
        ),
        "blob" => {
            format!("Kind::Blob {{ min: {}, max: {} }}", integer(&shape["min"]), integer(&shape["max"]))
        }
        "timestamp" => {
            let format = reference["timestampFormat"].as_str().or(shape["timestampFormat"].as_str());
            match format {
                None => "Kind::Timestamp(None)".to_owned(),
                Some("iso8601") => "Kind::Timestamp(Some(TimestampFormat::Iso8601))".to_owned(),
                Some("unixTimestamp") => "Kind::Timestamp(Some(TimestampFormat::Unix))".to_owned(),
                Some("rfc822") => "Kind::Timestamp(Some(TimestampFormat::HttpDate))".to_owned(),
                Some(other) => return Err(format!("{name}: unknown timestamp format {other}")),
            }
        }
        other => return Err(format!("{name}: unknown type {other}")),
    })
}

/// The `XmlNamespace` expression of a reference, or else of its shape. Published as a URI or as an object.
fn namespace(reference: &Value, shape: &Value) -> String {
    let value = if reference.is_null() { shape } else { reference };
    let (prefix, uri) = match value {
        Value::String(uri) => (None, uri.as_str()),
        Value::Object(fields) => (
            fields.get("prefix").and_then(Value::as_str),
            fields.get("uri").and_then(Value::as_str).unwrap_or(""),
        ),
        _ => return "None".to_owned(),
    };
    format!("Some(XmlNamespace {{ prefix: {}, uri: {uri:?} }})", optional(prefix))
}

/// Rust type of a member, without its `Option`.
pub fn rust_type(model: &Model<'_>, shape: &str) -> Result<String, String> {
    Ok(match model.type_of(shape) {
        "structure" if flag(model.shapes[shape], "document") => "Document".to_owned(),
        "structure" => names::type_name(shape),
        "list" => format!("Vec<{}>", rust_type(model, target(&model.shapes[shape]["member"]))?),
        "map" => format!("BTreeMap<String, {}>", rust_type(model, target(&model.shapes[shape]["value"]))?),
        "string" | "character" if model.enum_values(shape).is_some() => names::type_name(shape),
        "string" | "character" => "String".to_owned(),
        "boolean" => "bool".to_owned(),
        "byte" | "short" | "integer" => "i32".to_owned(),
        "long" => "i64".to_owned(),
        "float" => "f32".to_owned(),
        "double" => "f64".to_owned(),
        "blob" => "Vec<u8>".to_owned(),
        "timestamp" => "Timestamp".to_owned(),
        other => return Err(format!("{shape}: unknown type {other}")),
    })
}

fn text(error: std::fmt::Error) -> String {
    error.to_string()
}
