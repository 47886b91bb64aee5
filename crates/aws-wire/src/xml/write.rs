//! Values to XML text.

use aws_schema::{Kind, MemberTable, StructureTable, TimestampFormat, Value, XmlNamespace};

use crate::text;

/// XML being written. Elements are closed by name, so that a caller cannot forget what it opened.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    out: String,
}

impl Writer {
    /// Starts with the XML declaration, as AWS's answers do.
    pub fn with_declaration() -> Self {
        Writer { out: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned() }
    }

    pub fn finish(self) -> Vec<u8> {
        self.out.into_bytes()
    }

    pub fn open(&mut self, name: &str, namespace: Option<&XmlNamespace>) {
        self.open_with(name, namespace, &[]);
    }

    /// [`Self::open`] for a namespace that is made at run time.
    pub fn open_uri(&mut self, name: &str, uri: Option<&str>) {
        let attributes: Vec<_> = uri.map(|uri| ("xmlns", uri.to_owned())).into_iter().collect();
        self.open_with(name, None, &attributes);
    }

    fn open_with(&mut self, name: &str, namespace: Option<&XmlNamespace>, attributes: &[(&str, String)]) {
        self.out.push('<');
        self.out.push_str(name);
        if let Some(namespace) = namespace {
            self.out.push_str(" xmlns");
            if let Some(prefix) = namespace.prefix {
                self.out.push(':');
                self.out.push_str(prefix);
            }
            self.out.push_str("=\"");
            self.escaped(namespace.uri, true);
            self.out.push('"');
        }
        for (name, value) in attributes {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            self.escaped(value, true);
            self.out.push('"');
        }
        self.out.push('>');
    }

    pub fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    pub fn text(&mut self, text: &str) {
        self.escaped(text, false);
    }

    /// `<name>text</name>`.
    pub fn leaf(&mut self, name: &str, text: &str) {
        self.open(name, None);
        self.escaped(text, false);
        self.close(name);
    }

    fn escaped(&mut self, text: &str, attribute: bool) {
        for letter in text.chars() {
            match letter {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\r' => self.out.push_str("&#xD;"),
                '\n' if attribute => self.out.push_str("&#xA;"),
                '\t' if attribute => self.out.push_str("&#x9;"),
                '\n' | '\t' => self.out.push(letter),
                // XML 1.0 cannot carry these, not even as references.
                '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => self.out.push('\u{fffd}'),
                other => self.out.push(other),
            }
        }
    }

    fn value(&mut self, name: &str, namespace: Option<&XmlNamespace>, kind: &Kind, value: &Value) {
        match (kind, value) {
            (Kind::Structure(table), Value::Structure(_)) => {
                let namespace = namespace.or(table.xml_namespace.as_ref());
                self.open_with(name, namespace, &attributes(table, value));
                members(self, table, value, &|_| true);
                self.close(name);
            }
            (Kind::List(table), Value::List(items)) => {
                self.open(name, namespace);
                for item in items {
                    self.value(
                        table.item_name.unwrap_or("member"),
                        table.item_namespace.as_ref(),
                        &table.item,
                        item,
                    );
                }
                self.close(name);
            }
            (Kind::Map(_), Value::Map(_)) => {
                self.open(name, namespace);
                self.entries("entry", kind, value);
                self.close(name);
            }
            _ => {
                self.open(name, namespace);
                self.escaped(&plain(kind, value), false);
                self.close(name);
            }
        }
    }

    fn entries(&mut self, element: &str, kind: &Kind, value: &Value) {
        let (Kind::Map(table), Value::Map(entries)) = (kind, value) else { return };
        for (key, value) in entries {
            self.open(element, None);
            self.leaf(table.key_name.unwrap_or("key"), key);
            self.value(table.value_name.unwrap_or("value"), None, &table.value, value);
            self.close(element);
        }
    }

    fn member(&mut self, member: &MemberTable, value: &Value) {
        let namespace = member.xml_namespace.as_ref();
        match (&member.kind, value) {
            (Kind::List(table), Value::List(items)) if member.flattened || table.flattened => {
                let name = table.item_name.unwrap_or(member.wire);
                for item in items {
                    self.value(name, table.item_namespace.as_ref(), &table.item, item);
                }
            }
            (Kind::Map(table), Value::Map(_)) if member.flattened || table.flattened => {
                self.entries(member.wire, &member.kind, value);
            }
            (kind, value) => self.value(member.wire, namespace, kind, value),
        }
    }
}

/// Writes a structure's members without an element around them.
pub(crate) fn members(
    writer: &mut Writer,
    table: &'static StructureTable,
    value: &Value,
    keep: &dyn Fn(&MemberTable) -> bool,
) {
    let Value::Structure(values) = value else { return };
    for (member, value) in table.members.iter().zip(values) {
        if let Some(value) = value
            && !member.xml_attribute
            && keep(member)
        {
            writer.member(member, value);
        }
    }
}

/// Writes a value as the document's root.
pub(crate) fn root(name: &str, namespace: Option<&XmlNamespace>, kind: &Kind, value: &Value) -> Vec<u8> {
    let mut writer = Writer::with_declaration();
    writer.value(name, namespace, kind, value);
    writer.finish()
}

fn attributes<'a>(table: &'static StructureTable, value: &'a Value) -> Vec<(&'a str, String)> {
    let Value::Structure(values) = value else { return Vec::new() };
    let given = table.members.iter().zip(values).filter(|(member, _)| member.xml_attribute);
    given.filter_map(|(member, value)| Some((member.wire, plain(&member.kind, value.as_ref()?)))).collect()
}

/// A scalar as text; empty for anything else.
fn plain(kind: &Kind, value: &Value) -> String {
    match value {
        Value::Bool(flag) => flag.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) if matches!(kind, Kind::Float { double: false, .. }) && number.is_finite() => {
            format!("{:?}", *number as f32)
        }
        Value::Float(number) => text::format_float(*number),
        Value::String(text) => text.clone(),
        Value::Blob(bytes) => text::base64_encode(bytes),
        Value::Timestamp(seconds) => {
            let format = match kind {
                Kind::Timestamp(Some(format)) => *format,
                _ => TimestampFormat::Iso8601,
            };
            text::format_timestamp(*seconds, format)
        }
        Value::Document(document) => document.to_string(),
        Value::List(_) | Value::Map(_) | Value::Structure(_) => String::new(),
    }
}
