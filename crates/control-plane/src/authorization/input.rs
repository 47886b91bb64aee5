//! What an input says, by the names of its members.

use aws_schema::{Kind, StructureTable, Value};

/// The texts of a member: one, or those of a list. `a.b` is member `b` of structure `a`.
pub fn texts<'a>(table: &StructureTable, value: &'a Value, path: &str) -> Vec<&'a str> {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let Some((kind, value)) = member(table, value, name) else { return Vec::new() };
    match (rest, kind, value) {
        (Some(rest), Kind::Structure(inner), value) => texts(inner, value, rest),
        (None, _, Value::String(text)) => vec![text],
        (None, _, Value::List(items)) => items.iter().filter_map(text).collect(),
        _ => Vec::new(),
    }
}

/// The values of a member as conditions compare them: texts, numbers and truth values; `a.b` reaches into each of a list of structures.
pub fn scalars(table: &StructureTable, value: &Value, path: &str) -> Vec<String> {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let Some((kind, value)) = member(table, value, name) else { return Vec::new() };
    match (rest, kind, value) {
        (Some(rest), Kind::Structure(inner), value) => scalars(inner, value, rest),
        (Some(rest), Kind::List(list), Value::List(items)) => match &list.item {
            Kind::Structure(inner) => items.iter().flat_map(|item| scalars(inner, item, rest)).collect(),
            _ => Vec::new(),
        },
        (None, _, Value::List(items)) => items.iter().filter_map(scalar).collect(),
        (None, _, value) => scalar(value).into_iter().collect(),
        (Some(_), ..) => Vec::new(),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

pub fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// A member's kind and value, when it was given.
pub fn member<'a>(
    table: &StructureTable,
    value: &'a Value,
    name: &str,
) -> Option<(&'static Kind, &'a Value)> {
    let Value::Structure(members) = value else { return None };
    let at = table.members.iter().position(|member| member.name == name)?;
    Some((&table.members[at].kind, members.get(at)?.as_ref()?))
}

/// Tags that are passed along: pairs of key and value, and keys that are taken away.
pub fn tags(table: &StructureTable, value: &Value) -> Vec<(String, Option<String>)> {
    for name in ["tags", "Tags", "TagList", "TagSpecifications"] {
        let Some((kind, Value::List(items))) = member(table, value, name) else { continue };
        let Kind::List(list) = kind else { continue };
        let Kind::Structure(pair) = list.item else { continue };
        // EC2 has lists of tags by the kind of what they are for.
        if pair.members.iter().any(|member| member.name == "Tags") {
            return items.iter().flat_map(|item| tags(pair, item)).collect();
        }
        let one = |item: &Value, names: [&str; 3]| {
            names.into_iter().find_map(|name| {
                member(pair, item, name).and_then(|(_, value)| text(value).map(str::to_owned))
            })
        };
        return items
            .iter()
            .filter_map(|item| {
                let key = one(item, ["key", "Key", "TagKey"])?;
                Some((key, one(item, ["value", "Value", "TagValue"])))
            })
            .collect();
    }
    // A map of them, as CloudWatch Logs has it.
    if let Some((_, Value::Map(pairs))) = member(table, value, "tags") {
        return pairs.iter().map(|(key, value)| (key.clone(), text(value).map(str::to_owned))).collect();
    }
    ["tagKeys", "TagKeys"]
        .iter()
        .flat_map(|name| texts(table, value, name))
        .map(|key| (key.to_owned(), None))
        .collect()
}
