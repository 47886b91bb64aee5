//! JSON to values, straight from the bytes: members that the tables do not know are skipped, not built.

use std::fmt;

use aws_schema::{Kind, StructureTable, Value};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::decode::{Budget, Malformed, check_union};
use crate::text;

/// Decodes a body; an empty one is an empty structure.
pub(crate) fn decode(
    table: &'static StructureTable,
    body: &[u8],
    budget: &mut Budget,
) -> Result<Value, Malformed> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Structure(budget.members(table)?));
    }
    match decode_kind(&Kind::Structure(table), body, budget)? {
        Some(value) => Ok(value),
        None => Err(Malformed::new("Start of structure or map expected, found null")),
    }
}

/// Decodes a body of any kind; `None` for null.
pub(crate) fn decode_kind(kind: &Kind, body: &[u8], budget: &mut Budget) -> Result<Option<Value>, Malformed> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = Seed { kind, budget }.deserialize(&mut reader).map_err(malformed)?;
    reader.end().map_err(malformed)?;
    Ok(value)
}

/// serde_json appends the position to every message; that of our own messages is dropped, they stand alone.
fn malformed(error: serde_json::Error) -> Malformed {
    let text = error.to_string();
    if error.is_data() {
        let end = text.rfind(" at line ").unwrap_or(text.len());
        return Malformed::new(text.get(..end).unwrap_or(&text));
    }
    Malformed(format!("The request body is not valid JSON: {text}"))
}

struct Seed<'a> {
    kind: &'a Kind,
    budget: &'a mut Budget,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    /// `None` for null: a null member is an absent one.
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if let Kind::Document = self.kind {
            let document: serde_json::Value = serde::Deserialize::deserialize(deserializer)?;
            self.budget.spend(document_size(&document)).map_err(|error| D::Error::custom(error.0))?;
            return Ok((!document.is_null()).then_some(Value::Document(document)));
        }
        deserializer.deserialize_any(self)
    }
}

fn document_size(document: &serde_json::Value) -> usize {
    match document {
        serde_json::Value::Array(items) => 1 + items.iter().map(document_size).sum::<usize>(),
        serde_json::Value::Object(fields) => 1 + fields.values().map(document_size).sum::<usize>(),
        _ => 1,
    }
}

impl Seed<'_> {
    fn mismatch<E: serde::de::Error>(&self, found: &str) -> E {
        E::custom(Malformed::type_mismatch(found, self.kind).0)
    }

    fn number<E: serde::de::Error>(self, number: i64) -> Result<Option<Value>, E> {
        match self.kind {
            Kind::Integer(table) => match text::fit_integer(number, table) {
                Some(number) => Ok(Some(Value::Integer(number))),
                None => Err(E::custom(Malformed::type_mismatch(&number.to_string(), self.kind).0)),
            },
            Kind::Float { .. } => Ok(Some(Value::Float(number as f64))),
            Kind::Timestamp(_) => Ok(Some(Value::Timestamp(number as f64))),
            _ => Err(self.mismatch("NUMBER_VALUE")),
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(crate::decode::expected(self.kind))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self::Value, E> {
        match self.kind {
            Kind::Boolean => Ok(Some(Value::Bool(value))),
            _ => Err(self.mismatch(if value { "TRUE_VALUE" } else { "FALSE_VALUE" })),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        self.number(value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        match i64::try_from(value) {
            Ok(value) => self.number(value),
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        match self.kind {
            Kind::Float { .. } => Ok(Some(Value::Float(value))),
            Kind::Timestamp(_) => Ok(Some(Value::Timestamp(value))),
            // 3.0 is what some languages write for 3. Beyond 2^53 a float no longer names one integer.
            Kind::Integer(_) if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 => {
                self.number(value as i64)
            }
            Kind::Integer(_) => Err(self.mismatch(&value.to_string())),
            _ => Err(self.mismatch("NUMBER_VALUE")),
        }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        let converted = match self.kind {
            Kind::String(_) => Some(Value::String(value.to_owned())),
            Kind::Blob { .. } => text::base64_decode(value).map(Value::Blob),
            Kind::Timestamp(_) => text::parse_timestamp(value).map(Value::Timestamp),
            Kind::Float { .. } => {
                text::parse_float(value).filter(|number| !number.is_finite()).map(Value::Float)
            }
            _ => None,
        };
        match converted {
            Some(value) => Ok(Some(value)),
            None => Err(self.mismatch("STRING_VALUE")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let Kind::List(table) = self.kind else {
            return Err(A::Error::custom("Start of list found where not expected"));
        };
        let broken = |error: Malformed| A::Error::custom(error.0);
        self.budget.enter().map_err(broken)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Seed { kind: &table.item, budget: self.budget })? {
            self.budget.spend(1).map_err(broken)?;
            list.push(item.ok_or_else(|| A::Error::custom("A list must not have null values"))?);
        }
        self.budget.leave();
        Ok(Some(Value::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let broken = |error: Malformed| A::Error::custom(error.0);
        self.budget.enter().map_err(broken)?;
        let value = match self.kind {
            Kind::Structure(table) => {
                let mut members = self.budget.members(table).map_err(broken)?;
                while let Some(Key(name)) = entries.next_key()? {
                    match table.members.iter().position(|member| member.wire == name) {
                        Some(index) => {
                            let kind = &table.members[index].kind;
                            members[index] = entries.next_value_seed(Seed { kind, budget: self.budget })?;
                        }
                        None => {
                            entries.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                check_union(table, &members).map_err(broken)?;
                Value::Structure(members)
            }
            Kind::Map(table) => {
                let mut map: Vec<(String, Value)> = Vec::new();
                while let Some(Key(name)) = entries.next_key()? {
                    let value = entries.next_value_seed(Seed { kind: &table.value, budget: self.budget })?;
                    self.budget.spend(2).map_err(broken)?;
                    map.extend(value.map(|value| (name.into_owned(), value)));
                }
                Value::Map(map)
            }
            _ => return Err(A::Error::custom("Start of structure or map found where not expected.")),
        };
        self.budget.leave();
        Ok(Some(value))
    }
}

/// A key, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);
