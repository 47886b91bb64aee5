//! A REST request's parts to the members bound to them.

use aws_schema::{Kind, Location, MemberTable, Protocol, Value};

use crate::decode::{Budget, Malformed};
use crate::form::{mismatch, pairs, scalar};
use crate::limits::MAX_FORM_PARAMETERS;
use crate::text;
use crate::{RequestHead, Routed, json, xml};

/// Decodes an operation's input.
pub(crate) fn decode(
    routed: &Routed,
    head: &RequestHead<'_>,
    body: &[u8],
    budget: &mut Budget,
) -> Result<Value, Malformed> {
    let table = routed.operation.input;
    let mut members = decode_body(routed, body, budget)?;
    let query: Vec<(String, String)> = pairs(head.query).take(MAX_FORM_PARAMETERS).collect();
    for (place, member) in members.iter_mut().zip(table.members) {
        match member.location {
            Location::Body | Location::StatusCode => {}
            Location::Uri => {
                let found = routed.labels.iter().find(|(name, _)| *name == member.wire);
                *place = found.map(|(_, text)| read(&member.kind, text, member.wire)).transpose()?;
            }
            Location::Query => *place = from_query(member, &query, routed, budget)?,
            Location::Header => *place = from_header(member, head)?,
            Location::Headers => *place = from_prefix(member, head, budget)?,
        }
    }
    Ok(Value::Structure(members))
}

fn decode_body(routed: &Routed, body: &[u8], budget: &mut Budget) -> Result<Vec<Option<Value>>, Malformed> {
    let table = routed.operation.input;
    let is_xml = routed.protocol == Protocol::RestXml;
    if let Some(payload) = table.payload {
        let mut members = budget.members(table)?;
        if !body.is_empty() {
            members[payload] = match &table.members[payload].kind {
                Kind::Blob { .. } => Some(Value::Blob(body.to_vec())),
                Kind::String(_) => {
                    let text = std::str::from_utf8(body)
                        .map_err(|_| Malformed::new("The body is not valid UTF-8"))?;
                    Some(Value::String(text.to_owned()))
                }
                kind if is_xml => Some(xml::decode_kind(kind, &xml::parse(body, budget)?, budget)?),
                kind => json::decode_kind(kind, body, budget)?,
            };
        }
        return Ok(members);
    }
    if !table.members.iter().any(|member| member.location == Location::Body) {
        return budget.members(table);
    }
    let decoded = if is_xml {
        xml::decode_kind(&Kind::Structure(table), &xml::parse(body, budget)?, budget)?
    } else {
        json::decode(table, body, budget)?
    };
    let Value::Structure(mut members) = decoded else { return budget.members(table) };
    // What is bound elsewhere must not come in through the body.
    for (place, member) in members.iter_mut().zip(table.members) {
        if member.location != Location::Body {
            *place = None;
        }
    }
    Ok(members)
}

fn read(kind: &Kind, text: &str, name: &str) -> Result<Value, Malformed> {
    scalar(kind, text).ok_or_else(|| mismatch(text, kind, name))
}

fn from_query(
    member: &MemberTable,
    query: &[(String, String)],
    routed: &Routed,
    budget: &mut Budget,
) -> Result<Option<Value>, Malformed> {
    let mut values = query.iter().filter(|(name, _)| name == member.wire).map(|(_, value)| value);
    match &member.kind {
        Kind::List(table) => {
            let items =
                values.map(|text| read(&table.item, text, member.wire)).collect::<Result<Vec<_>, _>>()?;
            budget.spend(items.len())?;
            Ok((!items.is_empty()).then_some(Value::List(items)))
        }
        Kind::Map(table) => {
            // Everything in the query that no other member takes.
            let taken = |name: &str| {
                let bound = |other: &&MemberTable| {
                    other.location == Location::Query && !matches!(other.kind, Kind::Map(_))
                };
                routed.operation.input.members.iter().filter(bound).any(|other| other.wire == name)
            };
            let mut map: Vec<(String, Value)> = Vec::new();
            for (name, text) in query.iter().filter(|(name, _)| !taken(name)) {
                budget.spend(2)?;
                match &table.value {
                    Kind::List(list) => {
                        let item = read(&list.item, text, name)?;
                        match map.iter_mut().find(|(key, _)| key == name) {
                            Some((_, Value::List(items))) => items.push(item),
                            _ => map.push((name.clone(), Value::List(vec![item]))),
                        }
                    }
                    kind => map.push((name.clone(), read(kind, text, name)?)),
                }
            }
            Ok((!map.is_empty()).then_some(Value::Map(map)))
        }
        kind => values.next().map(|text| read(kind, text, member.wire)).transpose(),
    }
}

fn from_header(member: &MemberTable, head: &RequestHead<'_>) -> Result<Option<Value>, Malformed> {
    let Some(value) = head.headers.get(member.wire) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes())
        .map_err(|_| Malformed(format!("The header '{}' is not valid UTF-8", member.wire)))?;
    if member.json_value {
        let decoded = text::base64_decode(text).and_then(|bytes| String::from_utf8(bytes).ok());
        return decoded
            .map(|json| Some(Value::String(json)))
            .ok_or_else(|| mismatch(text, &member.kind, member.wire));
    }
    let Kind::List(table) = &member.kind else {
        return read(&member.kind, text, member.wire).map(Some);
    };
    let items = if let Kind::Timestamp(_) = table.item {
        // HTTP dates have a comma of their own.
        let parts: Vec<&str> = text.split(',').collect();
        if text.contains("GMT") {
            parts.chunks(2).map(|pair| pair.join(",")).collect()
        } else {
            split_list(text)
        }
    } else {
        split_list(text)
    };
    let items = items.iter().map(|item| read(&table.item, item, member.wire)).collect::<Result<_, _>>()?;
    Ok(Some(Value::List(items)))
}

/// Splits a header list at its commas; items may be quoted.
fn split_list(text: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut item = String::new();
    let (mut quoted, mut was_quoted) = (false, false);
    let mut letters = text.chars();
    let mut finish = |item: &mut String, was_quoted: &mut bool| {
        let whole = std::mem::take(item);
        items.push(if std::mem::take(was_quoted) { whole } else { whole.trim().to_owned() });
    };
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if quoted => item.extend(letters.next()),
            '"' if quoted => quoted = false,
            '"' if item.trim().is_empty() => {
                item.clear();
                (quoted, was_quoted) = (true, true);
            }
            ',' if !quoted => finish(&mut item, &mut was_quoted),
            other if was_quoted && !quoted && other.is_whitespace() => {}
            other => item.push(other),
        }
    }
    finish(&mut item, &mut was_quoted);
    items
}

fn from_prefix(
    member: &MemberTable,
    head: &RequestHead<'_>,
    budget: &mut Budget,
) -> Result<Option<Value>, Malformed> {
    let prefix = if member.renamed { member.wire.to_ascii_lowercase() } else { String::new() };
    let mut map = Vec::new();
    for (name, value) in head.headers {
        let Some(key) = name.as_str().strip_prefix(&prefix) else { continue };
        budget.spend(2)?;
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        map.push((key.to_owned(), Value::String(text)));
    }
    map.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok((!map.is_empty()).then_some(Value::Map(map)))
}
