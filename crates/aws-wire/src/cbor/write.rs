//! Values to CBOR.

use aws_schema::{Kind, MemberTable, StructureTable, Value};

/// Appends a structure as a map of its given members.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    table: &'static StructureTable,
    value: &Value,
    keep: &dyn Fn(&MemberTable) -> bool,
) {
    let Value::Structure(values) = value else {
        return head(out, 5, 0);
    };
    let count = given(table, values, keep).count();
    head(out, 5, count as u64);
    encode_members(out, table, value, keep);
}

/// Appends a structure's given members without the map's head.
pub(crate) fn encode_members(
    out: &mut Vec<u8>,
    table: &'static StructureTable,
    value: &Value,
    keep: &dyn Fn(&MemberTable) -> bool,
) {
    let Value::Structure(values) = value else { return };
    for (member, value) in given(table, values, keep) {
        text(out, member.wire);
        encode_kind(out, &member.kind, value);
    }
}

fn given<'a>(
    table: &'static StructureTable,
    values: &'a [Option<Value>],
    keep: &'a dyn Fn(&MemberTable) -> bool,
) -> impl Iterator<Item = (&'static MemberTable, &'a Value)> {
    let all = table.members.iter().zip(values).filter(move |(member, _)| keep(member));
    all.filter_map(|(member, value)| Some((member, value.as_ref()?)))
}

/// Appends a value of any kind.
pub(crate) fn encode_kind(out: &mut Vec<u8>, kind: &Kind, value: &Value) {
    match (kind, value) {
        (Kind::Structure(table), Value::Structure(_)) => encode(out, table, value, &|_| true),
        (Kind::List(table), Value::List(items)) => {
            head(out, 4, items.len() as u64);
            for item in items {
                encode_kind(out, &table.item, item);
            }
        }
        (Kind::Map(table), Value::Map(entries)) => {
            head(out, 5, entries.len() as u64);
            for (key, value) in entries {
                text(out, key);
                encode_kind(out, &table.value, value);
            }
        }
        (_, Value::Bool(flag)) => out.push(if *flag { 0xf5 } else { 0xf4 }),
        (_, Value::Integer(number)) => integer(out, *number),
        (Kind::Float { double: false, .. }, Value::Float(number)) => {
            out.push(0xfa);
            out.extend_from_slice(&(*number as f32).to_be_bytes());
        }
        (_, Value::Float(number)) => double(out, *number),
        (_, Value::String(string)) => text(out, string),
        (_, Value::Blob(bytes)) => {
            head(out, 2, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        (_, Value::Timestamp(seconds)) => {
            // Tag 1: seconds since the epoch.
            head(out, 6, 1);
            if seconds.fract() == 0.0 && seconds.abs() < 1e15 {
                integer(out, *seconds as i64);
            } else {
                double(out, *seconds);
            }
        }
        // Documents have no CBOR form, and a value of another kind than its table's cannot come from a shape.
        (_, Value::Document(_) | Value::Structure(_) | Value::List(_) | Value::Map(_)) => out.push(0xf6),
    }
}

fn double(out: &mut Vec<u8>, number: f64) {
    out.push(0xfb);
    out.extend_from_slice(&number.to_be_bytes());
}

fn integer(out: &mut Vec<u8>, number: i64) {
    if number < 0 { head(out, 1, !number as u64) } else { head(out, 0, number as u64) }
}

/// Appends a text string.
pub(crate) fn text(out: &mut Vec<u8>, string: &str) {
    head(out, 3, string.len() as u64);
    out.extend_from_slice(string.as_bytes());
}

/// Appends a map's head.
fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | argument as u8),
        24..=0xff => out.extend_from_slice(&[major | 24, argument as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&(argument as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&(argument as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}
