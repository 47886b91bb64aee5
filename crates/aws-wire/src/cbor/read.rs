//! CBOR to values, straight from the bytes.

use aws_schema::{Kind, StructureTable, Value};

use crate::decode::{Budget, Malformed, check_union};
use crate::text;

/// Decodes a body; an empty one is an empty structure.
pub(crate) fn decode(
    table: &'static StructureTable,
    body: &[u8],
    budget: &mut Budget,
) -> Result<Value, Malformed> {
    if body.is_empty() {
        return Ok(Value::Structure(budget.members(table)?));
    }
    let mut reader = Reader { rest: body, budget };
    let value = reader.value(&Kind::Structure(table))?;
    if !reader.rest.is_empty() {
        return Err(Malformed::new("The CBOR body has bytes after its end"));
    }
    value.ok_or_else(|| Malformed::new("The CBOR body is null"))
}

struct Reader<'a, 'b> {
    rest: &'a [u8],
    budget: &'b mut Budget,
}

/// The first byte of an item, with its argument.
#[derive(Debug, Clone, Copy)]
struct Head {
    major: u8,
    /// Low five bits; 31 means indefinite length or break.
    info: u8,
    argument: u64,
}

const INDEFINITE: u8 = 31;
const BREAK: u8 = 0xff;

/// A tag may hold a tag; two are one more than any client nests.
const MAX_TAGS: usize = 2;

impl<'a> Reader<'a, '_> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], Malformed> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(Malformed::new("The CBOR body ends early")),
        }
    }

    fn head(&mut self) -> Result<Head, Malformed> {
        let first = self.take(1)?[0];
        let info = first & 0x1f;
        let argument = match info {
            0..=23 => u64::from(info),
            24..=27 => {
                let bytes = self.take(1 << (info - 24))?;
                bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
            }
            INDEFINITE => 0,
            _ => return Err(Malformed::new("The CBOR body has a reserved length")),
        };
        Ok(Head { major: first >> 5, info, argument })
    }

    /// Whether a container has another item; `left` counts down for definite ones.
    fn more(&mut self, head: Head, left: &mut u64) -> Result<bool, Malformed> {
        if head.info == INDEFINITE {
            if self.rest.first() == Some(&BREAK) {
                self.take(1)?;
                return Ok(false);
            }
            return Ok(true);
        }
        Ok(match left.checked_sub(1) {
            Some(rest) => {
                *left = rest;
                true
            }
            None => false,
        })
    }

    /// `None` for null and undefined.
    fn value(&mut self, kind: &Kind) -> Result<Option<Value>, Malformed> {
        let mut head = self.head()?;
        let mut tags = 0;
        while head.major == 6 {
            tags += 1;
            if tags > MAX_TAGS {
                return Err(Malformed::new("The CBOR body nests tags"));
            }
            head = self.head()?;
        }
        if head.major == 7 && matches!(head.info, 22 | 23) {
            return Ok(None);
        }
        match (kind, head.major) {
            (Kind::Structure(table), 5) => self.structure(table, head).map(Some),
            (Kind::List(table), 4) => {
                self.budget.enter()?;
                let (mut items, mut left) = (Vec::new(), head.argument);
                while self.more(head, &mut left)? {
                    self.budget.spend(1)?;
                    items.push(
                        self.value(&table.item)?
                            .ok_or_else(|| Malformed::new("A list must not have null values"))?,
                    );
                }
                self.budget.leave();
                Ok(Some(Value::List(items)))
            }
            (Kind::Map(table), 5) => {
                self.budget.enter()?;
                let (mut entries, mut left) = (Vec::new(), head.argument);
                while self.more(head, &mut left)? {
                    self.budget.spend(2)?;
                    let key = self.key()?;
                    entries.extend(self.value(&table.value)?.map(|value| (key, value)));
                }
                self.budget.leave();
                Ok(Some(Value::Map(entries)))
            }
            (Kind::Document, _) => Err(Malformed::new("Documents can not be sent as CBOR")),
            _ => self.scalar(kind, head).map(Some),
        }
    }

    fn structure(&mut self, table: &'static StructureTable, head: Head) -> Result<Value, Malformed> {
        self.budget.enter()?;
        let (mut members, mut left) = (self.budget.members(table)?, head.argument);
        while self.more(head, &mut left)? {
            let name = self.key()?;
            match table.members.iter().position(|member| member.wire == name) {
                Some(index) => members[index] = self.value(&table.members[index].kind)?,
                None => self.skip()?,
            }
        }
        check_union(table, &members)?;
        self.budget.leave();
        Ok(Value::Structure(members))
    }

    fn key(&mut self) -> Result<String, Malformed> {
        let head = self.head()?;
        if head.major != 3 {
            return Err(Malformed::new("The CBOR body has a key that is not a text"));
        }
        self.text(head)
    }

    fn text(&mut self, head: Head) -> Result<String, Malformed> {
        let bytes = self.bytes(head)?;
        String::from_utf8(bytes).map_err(|_| Malformed::new("The CBOR body has a text that is not UTF-8"))
    }

    fn bytes(&mut self, head: Head) -> Result<Vec<u8>, Malformed> {
        if head.info != INDEFINITE {
            return self.take(head.argument).map(<[u8]>::to_vec);
        }
        let mut whole = Vec::new();
        while self.more(head, &mut 0)? {
            let chunk = self.head()?;
            if chunk.major != head.major || chunk.info == INDEFINITE {
                return Err(Malformed::new("The CBOR body has a chunk of another type"));
            }
            whole.extend_from_slice(self.take(chunk.argument)?);
        }
        Ok(whole)
    }

    fn scalar(&mut self, kind: &Kind, head: Head) -> Result<Value, Malformed> {
        self.budget.spend(1)?;
        let number = match (head.major, head.info) {
            (0 | 1, INDEFINITE) => return Err(Malformed::new("The CBOR body has a number without an end")),
            (0, _) => Some(Number::Integer(i128::from(head.argument))),
            (1, _) => Some(Number::Integer(-1 - i128::from(head.argument))),
            (7, 25) => Some(Number::Float(half(head.argument as u16))),
            (7, 26) => Some(Number::Float(f64::from(f32::from_bits(head.argument as u32)))),
            (7, 27) => Some(Number::Float(f64::from_bits(head.argument))),
            _ => None,
        };
        let value = match (kind, number) {
            (Kind::Integer(table), Some(Number::Integer(number))) => i64::try_from(number)
                .ok()
                .and_then(|number| text::fit_integer(number, table))
                .map(Value::Integer),
            (Kind::Float { .. }, Some(number)) => Some(Value::Float(number.as_f64())),
            (Kind::Timestamp(_), Some(number)) if number.as_f64().is_finite() => {
                Some(Value::Timestamp(number.as_f64()))
            }
            (_, Some(_)) => None,
            (Kind::String(_), None) if head.major == 3 => Some(Value::String(self.text(head)?)),
            (Kind::Blob { .. }, None) if head.major == 2 => Some(Value::Blob(self.bytes(head)?)),
            (Kind::Boolean, None) if head.major == 7 && matches!(head.info, 20 | 21) => {
                Some(Value::Bool(head.info == 21))
            }
            _ => None,
        };
        value.ok_or_else(|| Malformed::type_mismatch(major_name(head), kind))
    }

    fn skip(&mut self) -> Result<(), Malformed> {
        self.budget.enter()?;
        let head = self.head()?;
        match head.major {
            0 | 1 => {}
            2 | 3 => {
                self.bytes(head)?;
            }
            4 | 5 => {
                let mut left = head.argument;
                while self.more(head, &mut left)? {
                    self.skip()?;
                    if head.major == 5 {
                        self.skip()?;
                    }
                }
            }
            6 => self.skip()?,
            _ if head.info == INDEFINITE => {
                return Err(Malformed::new("The CBOR body has a break without a start"));
            }
            _ => {}
        }
        self.budget.leave();
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    fn as_f64(self) -> f64 {
        match self {
            Number::Integer(number) => number as f64,
            Number::Float(number) => number,
        }
    }
}

fn major_name(head: Head) -> &'static str {
    match (head.major, head.info) {
        (0 | 1, _) | (7, 25..=27) => "NUMBER_VALUE",
        (2, _) => "BLOB_VALUE",
        (3, _) => "STRING_VALUE",
        (4, _) => "Start of list",
        (5, _) => "Start of structure or map",
        (7, 20) => "FALSE_VALUE",
        (7, 21) => "TRUE_VALUE",
        _ => "Unknown value",
    }
}

/// IEEE 754 half precision.
fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let mantissa = f64::from(bits & 0x3ff);
    sign * match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2f64.powi(exponent - 25),
    }
}
