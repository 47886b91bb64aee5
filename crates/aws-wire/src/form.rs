//! Form parameters to values: the query protocol and EC2's dialect of it.
//!
//! `Filter.1.Value.2=x` names a path; all parameters of a request become one tree, along which the tables then
//! walk. Numbers index lists by order, not by place: gaps close, and a huge index costs nothing.

use std::collections::BTreeMap;

use aws_schema::{Kind, ListTable, MapTable, MemberTable, StructureTable, Value};

use crate::RequestHead;
use crate::decode::{Budget, Malformed, check_union};
use crate::limits::{MAX_DEPTH, MAX_FORM_PARAMETERS};
use crate::text;

/// The two protocols that use forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Query,
    Ec2,
}

/// The decoded pairs of a form or query string, in order.
pub(crate) fn pairs(form: &str) -> impl Iterator<Item = (String, String)> + '_ {
    form.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (text::percent_decode(name, true), text::percent_decode(value, true))
    })
}

/// The parameters of a request: those of its query string, then those of its body.
pub(crate) fn parameters(head: &RequestHead<'_>, body: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
    let body = std::str::from_utf8(body).map_err(|_| Malformed::new("The form is not valid UTF-8"))?;
    let all: Vec<_> = pairs(head.query).chain(pairs(body)).take(MAX_FORM_PARAMETERS + 1).collect();
    if all.len() > MAX_FORM_PARAMETERS {
        return Err(Malformed(format!("The request has more than {MAX_FORM_PARAMETERS} parameters")));
    }
    Ok(all)
}

/// Decodes an operation's input.
pub(crate) fn decode(
    table: &'static StructureTable,
    dialect: Dialect,
    head: &RequestHead<'_>,
    body: &[u8],
    budget: &mut Budget,
) -> Result<Value, Malformed> {
    let mut root = Node::default();
    for (name, value) in parameters(head, body)? {
        root.insert(&name, value, budget)?;
    }
    Reader { dialect, budget }.structure(table, &root, "")
}

/// A point of the parameter tree.
#[derive(Debug, Default)]
struct Node {
    value: Option<String>,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn insert(&mut self, name: &str, value: String, budget: &mut Budget) -> Result<(), Malformed> {
        let mut node = self;
        for (depth, part) in name.split('.').enumerate() {
            // Lists and maps take up to three parts a level.
            if depth > 3 * MAX_DEPTH {
                return Err(Malformed::new(
                    "A parameter's name is nested more deeply than this service accepts",
                ));
            }
            budget.spend(1)?;
            node = node.children.entry(part.to_owned()).or_default();
        }
        node.value = Some(value);
        Ok(())
    }

    /// Children that are numbered, in order of their numbers.
    fn numbered(&self) -> Vec<&Node> {
        let mut items: Vec<(u64, &Node)> =
            self.children.iter().filter_map(|(name, node)| Some((name.parse().ok()?, node))).collect();
        items.sort_by_key(|(number, _)| *number);
        items.into_iter().map(|(_, node)| node).collect()
    }
}

struct Reader<'a> {
    dialect: Dialect,
    budget: &'a mut Budget,
}

impl Reader<'_> {
    fn structure(
        &mut self,
        table: &'static StructureTable,
        node: &Node,
        path: &str,
    ) -> Result<Value, Malformed> {
        self.budget.enter()?;
        let mut members = self.budget.members(table)?;
        for (place, member) in members.iter_mut().zip(table.members) {
            let Some((name, child)) = self.find(member, node) else { continue };
            let path = if path.is_empty() { name } else { format!("{path}.{name}") };
            *place = Some(self.kind(&member.kind, member.flattened, child, &path)?);
        }
        check_union(table, &members)?;
        self.budget.leave();
        Ok(Value::Structure(members))
    }

    /// The node of a member, with the name that the client used.
    fn find<'n>(&self, member: &MemberTable, node: &'n Node) -> Option<(String, &'n Node)> {
        let mut names: Vec<String> = Vec::with_capacity(2);
        match self.dialect {
            Dialect::Ec2 => {
                // Some SDKs capitalize every name, some only those that the model renames.
                match member.query_name {
                    Some(name) => names.push(name.to_owned()),
                    None => names.push(capitalized(member.wire)),
                }
                names.push(member.name.to_owned());
            }
            Dialect::Query => {
                if let (Kind::List(list), true) = (&member.kind, member.flattened) {
                    names.extend(list.item_name.map(str::to_owned));
                }
                names.push(member.wire.to_owned());
            }
        }
        names.into_iter().find_map(|name| {
            let child = node.children.get(&name)?;
            Some((name, child))
        })
    }

    fn kind(&mut self, kind: &Kind, flattened: bool, node: &Node, path: &str) -> Result<Value, Malformed> {
        match kind {
            Kind::Structure(table) => self.structure(table, node, path),
            Kind::List(table) => self.list(table, flattened || table.flattened, node, path),
            Kind::Map(table) => self.map(table, flattened || table.flattened, node, path),
            _ => {
                let Some(text) = &node.value else {
                    return Err(Malformed(format!("Unexpected complex element at '{path}'")));
                };
                self.budget.spend(1)?;
                scalar(kind, text).ok_or_else(|| mismatch(text, kind, path))
            }
        }
    }

    fn list(
        &mut self,
        table: &'static ListTable,
        flattened: bool,
        node: &Node,
        path: &str,
    ) -> Result<Value, Malformed> {
        let items = if flattened || self.dialect == Dialect::Ec2 {
            node.numbered()
        } else {
            let named =
                node.children.get(table.item_name.unwrap_or("member")).or(node.children.get("member"));
            named.map(Node::numbered).unwrap_or_default()
        };
        if items.is_empty() && !node.children.is_empty() {
            return Err(Malformed(format!("The list at '{path}' has no numbered elements")));
        }
        self.budget.enter()?;
        let list = items
            .into_iter()
            .enumerate()
            .map(|(index, item)| self.kind(&table.item, false, item, &format!("{path}.{}", index + 1)))
            .collect::<Result<_, _>>()?;
        self.budget.leave();
        Ok(Value::List(list))
    }

    fn map(
        &mut self,
        table: &'static MapTable,
        flattened: bool,
        node: &Node,
        path: &str,
    ) -> Result<Value, Malformed> {
        let entries = if flattened {
            node.numbered()
        } else {
            node.children.get("entry").map(Node::numbered).unwrap_or_default()
        };
        self.budget.enter()?;
        let mut map = Vec::new();
        for entry in entries {
            let key = entry.children.get(table.key_name.unwrap_or("key")).and_then(|node| node.value.clone());
            let key = key.ok_or_else(|| Malformed(format!("An entry of the map at '{path}' has no key")))?;
            let value = entry
                .children
                .get(table.value_name.unwrap_or("value"))
                .ok_or_else(|| Malformed(format!("An entry of the map at '{path}' has no value")))?;
            let value = self.kind(&table.value, false, value, &format!("{path}.{key}"))?;
            map.push((key, value));
        }
        self.budget.leave();
        Ok(Value::Map(map))
    }
}

/// Reads a scalar of any textual protocol.
pub(crate) fn scalar(kind: &Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::Boolean => text::parse_boolean(text).map(Value::Bool),
        Kind::Integer(table) => text::parse_integer(text, table).map(Value::Integer),
        Kind::Float { .. } => text::parse_float(text).map(Value::Float),
        Kind::String(_) => Some(Value::String(text.to_owned())),
        Kind::Blob { .. } => text::base64_decode(text).map(Value::Blob),
        Kind::Timestamp(_) => text::parse_timestamp(text).map(Value::Timestamp),
        Kind::Document => serde_json::from_str(text).ok().map(Value::Document),
        Kind::List(_) | Kind::Map(_) | Kind::Structure(_) => None,
    }
}

/// "Value 'x' at 'MaxItems' can not be converted to an Integer".
pub(crate) fn mismatch(found: &str, kind: &Kind, path: &str) -> Malformed {
    let shown: String = found.chars().take(crate::limits::MAX_SHOWN_VALUE).collect();
    Malformed(format!(
        "Value '{shown}' at '{path}' can not be converted to {}",
        crate::decode::expected(kind)
    ))
}

pub(crate) fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    match letters.next() {
        Some(first) => first.to_ascii_uppercase().to_string() + letters.as_str(),
        None => String::new(),
    }
}
