//! XML elements to values.

use aws_schema::{Kind, ListTable, MapTable, MemberTable, StructureTable, Value};

use super::Element;
use crate::decode::{Budget, Malformed, check_union};
use crate::form::{mismatch, scalar};

/// Parses a body; an empty one is an empty element.
pub(crate) fn parse(body: &[u8], budget: &mut Budget) -> Result<Element, Malformed> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Element::default());
    }
    Element::parse(body, budget)
}

/// Decodes an element of any kind.
pub(crate) fn decode_kind(kind: &Kind, element: &Element, budget: &mut Budget) -> Result<Value, Malformed> {
    match kind {
        Kind::Structure(table) => structure(table, element, budget),
        Kind::List(table) => list(table, &element.children.iter().collect::<Vec<_>>(), budget),
        Kind::Map(table) => map(table, &element.children.iter().collect::<Vec<_>>(), budget),
        _ => {
            budget.spend(1)?;
            if !element.children.is_empty() {
                return Err(Malformed(format!("Element '{}' must not have children", element.name)));
            }
            scalar(kind, &element.text).ok_or_else(|| mismatch(&element.text, kind, &element.name))
        }
    }
}

/// Decodes the members that live in the body.
pub(crate) fn structure(
    table: &'static StructureTable,
    element: &Element,
    budget: &mut Budget,
) -> Result<Value, Malformed> {
    budget.enter()?;
    let mut members = budget.members(table)?;
    for (place, member) in members.iter_mut().zip(table.members) {
        *place = decode_member(member, element, budget)?;
    }
    check_union(table, &members)?;
    budget.leave();
    Ok(Value::Structure(members))
}

fn decode_member(
    member: &MemberTable,
    element: &Element,
    budget: &mut Budget,
) -> Result<Option<Value>, Malformed> {
    if member.xml_attribute {
        let found = element.attributes.iter().find(|(name, _)| name == member.wire);
        return Ok(found.and_then(|(_, text)| scalar(&member.kind, text)));
    }
    let named = |name: &str| element.children.iter().filter(|child| child.name == name).collect::<Vec<_>>();
    let mut found = named(member.wire);
    match &member.kind {
        Kind::List(table) if member.flattened || table.flattened => {
            if let (true, Some(name)) = (found.is_empty(), table.item_name) {
                found = named(name);
            }
            if found.is_empty() { Ok(None) } else { list(table, &found, budget).map(Some) }
        }
        Kind::Map(table) if member.flattened || table.flattened => {
            if found.is_empty() {
                Ok(None)
            } else {
                map(table, &found, budget).map(Some)
            }
        }
        kind => found.first().map(|child| decode_kind(kind, child, budget)).transpose(),
    }
}

fn list(table: &'static ListTable, items: &[&Element], budget: &mut Budget) -> Result<Value, Malformed> {
    budget.enter()?;
    let items = items.iter().map(|item| decode_kind(&table.item, item, budget)).collect::<Result<_, _>>()?;
    budget.leave();
    Ok(Value::List(items))
}

fn map(table: &'static MapTable, entries: &[&Element], budget: &mut Budget) -> Result<Value, Malformed> {
    budget.enter()?;
    let mut map = Vec::new();
    for entry in entries {
        let part = |name: &str| entry.children.iter().find(|child| child.name == name);
        let key = part(table.key_name.unwrap_or("key"));
        let value = part(table.value_name.unwrap_or("value"));
        let (Some(key), Some(value)) = (key, value) else {
            return Err(Malformed(format!("Element '{}' must have a key and a value", entry.name)));
        };
        map.push((key.text.clone(), decode_kind(&table.value, value, budget)?));
    }
    budget.leave();
    Ok(Value::Map(map))
}
