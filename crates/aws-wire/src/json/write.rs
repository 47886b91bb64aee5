//! Values to JSON text.

use aws_schema::{Kind, StructureTable, TimestampFormat, Value};

use crate::text;

/// Appends a structure. `keep` chooses members, for protocols that put some elsewhere.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    table: &'static StructureTable,
    value: &Value,
    keep: &dyn Fn(&aws_schema::MemberTable) -> bool,
) {
    out.push(b'{');
    if let Value::Structure(members) = value {
        let mut first = true;
        for (member, value) in table.members.iter().zip(members) {
            let Some(value) = value else { continue };
            if !keep(member) {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            string(out, member.wire);
            out.push(b':');
            encode_kind(out, &member.kind, value);
        }
    }
    out.push(b'}');
}

/// Appends a value. One that does not fit its kind becomes null: shapes are typed, so only a wrong table does that.
pub(crate) fn encode_kind(out: &mut Vec<u8>, kind: &Kind, value: &Value) {
    match (kind, value) {
        (Kind::Structure(table), Value::Structure(_)) => encode(out, table, value, &|_| true),
        (Kind::List(table), Value::List(items)) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                encode_kind(out, &table.item, item);
            }
            out.push(b']');
        }
        (Kind::Map(table), Value::Map(entries)) => {
            out.push(b'{');
            for (index, (key, item)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                string(out, key);
                out.push(b':');
                encode_kind(out, &table.value, item);
            }
            out.push(b'}');
        }
        (_, Value::String(text)) => string(out, text),
        (_, Value::Bool(flag)) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        (_, Value::Integer(number)) => out.extend_from_slice(number.to_string().as_bytes()),
        (Kind::Float { double: false, .. }, Value::Float(number)) if number.is_finite() => {
            // Through the narrow type, so that 0.1 stays 0.1.
            out.extend_from_slice(format!("{:?}", *number as f32).as_bytes());
        }
        (_, Value::Float(number)) if number.is_finite() => {
            out.extend_from_slice(format!("{number:?}").as_bytes());
        }
        (_, Value::Float(number)) => string(out, &text::format_float(*number)),
        (_, Value::Blob(bytes)) => string(out, &text::base64_encode(bytes)),
        (Kind::Timestamp(Some(format)), Value::Timestamp(seconds)) if *format != TimestampFormat::Unix => {
            string(out, &text::format_timestamp(*seconds, *format));
        }
        (_, Value::Timestamp(seconds)) => out.extend_from_slice(text::format_unix(*seconds).as_bytes()),
        (_, Value::Document(document)) => out.extend_from_slice(document.to_string().as_bytes()),
        (_, Value::Structure(_) | Value::List(_) | Value::Map(_)) => out.extend_from_slice(b"null"),
    }
}

/// Appends a JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f | 0x7f => {
                out.extend_from_slice(&text.as_bytes()[plain..at]);
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                plain = at + 1;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        out.extend_from_slice(escape);
        plain = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}
