//! Values made from the tables, the same ones on every run.

use aws_schema::{Kind, Location, MemberTable, Protocol, StructureTable, TimestampFormat, Value};

/// What the value is for: protocols differ in what they can carry.
#[derive(Debug, Clone, Copy)]
pub struct Purpose {
    pub protocol: Protocol,
    pub request: bool,
}

impl Purpose {
    /// Forms and XML cannot tell an empty structure or map from an absent one everywhere; JSON and CBOR can.
    fn carries_empties(self) -> bool {
        !matches!(self.protocol, Protocol::Query | Protocol::Ec2Query | Protocol::RestXml)
    }

    fn writes_xml(self) -> bool {
        match self.protocol {
            Protocol::RestXml => true,
            Protocol::Query | Protocol::Ec2Query => !self.request,
            _ => false,
        }
    }
}

pub struct Generator {
    state: u64,
    round: u64,
    purpose: Purpose,
    depth: usize,
}

/// Below this structures give only what they must: recursive shapes end here.
const DEEP: usize = 9;

const TEXTS: &[&str] = &[
    "plain",
    "two words",
    "a&b<c>d\"e'f",
    "tab\tnewline\nend",
    "ünïcødé 漢字 🚢",
    "100%+1=2&x=y;#?",
    " spaces around ",
    "{\"json\": [\"\\\\\", 1]}",
    "arn:aws:iam::000000000000:role/path/Name",
    "0",
    "true",
    "null",
];

/// Times with every kind of fraction, before the epoch too.
const MILLIS: &[i64] =
    &[0, 1_700_000_000_000, 1_700_000_000_123, 951_782_400_500, 4_102_444_799_999, 1, 86_399_001];

impl Generator {
    pub fn new(name: &str, round: u64, purpose: Purpose) -> Self {
        let seed = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        Generator { state: seed ^ (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), round, purpose, depth: 0 }
    }

    pub fn structure(&mut self, table: &'static StructureTable) -> Value {
        let at_top = self.depth == 0;
        self.depth += 1;
        let mut values = vec![None; table.members.len()];
        let only = table.union.then(|| self.below(table.members.len()));
        for (index, member) in table.members.iter().enumerate() {
            let chosen = match only {
                None if at_top && !self.purpose.request && always_parsed(table, index) => true,
                Some(only) => index == only,
                None => self.chooses(member, at_top),
            };
            if chosen {
                values[index] = self.member(member, at_top);
            }
        }
        // A structure must leave a trace where the protocol does not show empty ones; a union must have its member.
        let must = !at_top && !self.purpose.carries_empties() || table.union;
        if must && values.iter().all(Option::is_none) {
            let first = table.members.iter().position(|member| !is_container(&member.kind)).unwrap_or(0);
            if let Some(member) = table.members.get(first) {
                values[first] = self.member(member, at_top);
            }
        }
        self.depth -= 1;
        Value::Structure(values)
    }

    fn chooses(&mut self, member: &MemberTable, at_top: bool) -> bool {
        // Routing needs them; the length is sent by the client itself.
        let sent_anyway = member.location == Location::Header && member.wire == "Content-Length";
        let routes = sent_anyway
            || member.location == Location::Uri
            || (matches!(member.location, Location::Header | Location::Query) && member.required);
        if at_top && self.purpose.request && (routes || member.host_label) {
            return true;
        }
        if self.depth > DEEP {
            return false;
        }
        match self.round {
            0 => true,
            1 => member.required,
            _ => self.below(2) == 0,
        }
    }

    /// `None` where the protocol cannot carry what came out.
    fn member(&mut self, member: &MemberTable, at_top: bool) -> Option<Value> {
        let bound = at_top && matches!(self.purpose.protocol, Protocol::RestJson | Protocol::RestXml);
        if bound && member.location != Location::Body {
            return self.bound(member);
        }
        if bound && matches!(member.kind, Kind::Blob { .. } | Kind::String(_)) && self.is_payload(member) {
            return Some(match member.kind {
                Kind::Blob { .. } => Value::Blob(b"payload \x00\xff bytes".to_vec()),
                _ => Value::String("payload text".to_owned()),
            });
        }
        if let (true, Kind::String(table)) = (member.xml_attribute, &member.kind) {
            return Some(Value::String(table.values.first().copied().unwrap_or("attribute").to_owned()));
        }
        let value = self.kind(&member.kind)?;
        // An empty list in a form is told by an empty parameter, except in EC2; in XML by its wrapping element.
        let flattened = match member.kind {
            Kind::List(table) => member.flattened || table.flattened,
            Kind::Map(table) => member.flattened || table.flattened,
            _ => false,
        };
        let shows_empty = match &value {
            Value::List(items) if items.is_empty() => {
                let form = self.purpose.request && self.purpose.protocol != Protocol::RestXml;
                self.purpose.carries_empties()
                    || (form && self.purpose.protocol == Protocol::Query)
                    || (!form && !flattened)
            }
            Value::List(_) => true,
            value => self.purpose.carries_empties() || leaves_trace(value),
        };
        shows_empty.then_some(value)
    }

    fn is_payload(&self, member: &MemberTable) -> bool {
        member.streaming || member.name == "Payload" || member.name == "Body"
    }

    /// A member in the path, the query or a header, which carry less than a body.
    fn bound(&mut self, member: &MemberTable) -> Option<Value> {
        let in_query = member.location == Location::Query;
        let text = |generator: &mut Self, kind: &Kind| match kind {
            Kind::String(table) if !table.values.is_empty() => {
                Value::String(generator.pick(table.values).to_owned())
            }
            // botocore takes S3's for a time, whatever the model says.
            Kind::String(_) if member.wire == "Expires" => {
                Value::String("Tue, 29 Feb 2000 00:00:00 GMT".to_owned())
            }
            Kind::String(_) => {
                let texts = ["name", "with-dash_and.dot", "a/b", "two words", "x,y", "100%"];
                let plain = ["name", "with-dash_and.dot", "x;y=z"];
                let from = if member.location == Location::Headers { &plain[..] } else { &texts[..] };
                Value::String(generator.pick(from).to_owned())
            }
            Kind::Timestamp(Some(TimestampFormat::Iso8601)) => Value::Timestamp(1_700_000_000.0),
            Kind::Timestamp(_) => Value::Timestamp(951_782_400.0),
            kind => generator.kind(kind).unwrap_or(Value::Bool(true)),
        };
        match &member.kind {
            _ if member.location == Location::StatusCode => Some(Value::Integer(200)),
            Kind::List(table) => {
                let items = (0..=self.below(3)).map(|_| match text(self, &table.item) {
                    // botocore does not undo the quoting of header lists.
                    Value::String(item) if !in_query && item.contains(',') => {
                        Value::String("plain".to_owned())
                    }
                    other => other,
                });
                Some(Value::List(items.collect()))
            }
            Kind::Map(table) => {
                let keys = ["alpha", "beta-2"];
                let entries = keys.iter().map(|key| ((*key).to_owned(), text(self, &table.value)));
                Some(Value::Map(entries.collect()))
            }
            kind => Some(text(self, kind)),
        }
    }

    fn kind(&mut self, kind: &Kind) -> Option<Value> {
        Some(match kind {
            Kind::Boolean => Value::Bool(self.below(2) == 0),
            Kind::Integer(table) => {
                let top = (i64::MAX as u64 >> (64 - table.bits)) as i64;
                Value::Integer(*self.pick_ref(&[
                    0,
                    1,
                    -1,
                    42,
                    top,
                    -top - 1,
                    100_000 % (top + i64::from(top < i64::MAX)),
                ]))
            }
            // Eighths are exact in both widths.
            Kind::Float { .. } => Value::Float(*self.pick_ref(&[0.0, 1.5, -2.125, 1e6, 0.125, 123_456.75])),
            Kind::String(table) if !table.values.is_empty() => {
                Value::String(self.pick(table.values).to_owned())
            }
            Kind::String(_) => Value::String(self.text()),
            Kind::Blob { .. } => {
                let length = self.below(6);
                Value::Blob((0..length).map(|_| self.below(256) as u8).collect())
            }
            Kind::Timestamp(Some(TimestampFormat::HttpDate)) => Value::Timestamp(1_700_000_000.0),
            Kind::Timestamp(_) => Value::Timestamp(*self.pick_ref(MILLIS) as f64 / 1000.0),
            Kind::List(table) => {
                let count = if self.depth > DEEP { 0 } else { self.count() };
                self.depth += 1;
                let items: Vec<Value> = (0..count).filter_map(|_| self.item(&table.item)).collect();
                self.depth -= 1;
                Value::List(items)
            }
            Kind::Map(table) => {
                let count = if self.depth > DEEP { 0 } else { self.count() };
                self.depth += 1;
                let mut entries: Vec<(String, Value)> = Vec::new();
                for index in 0..count {
                    let key = match table.key.values.get(index) {
                        Some(value) => (*value).to_owned(),
                        None if table.key.values.is_empty() => format!("{} {index}", self.text()),
                        None => continue,
                    };
                    entries.extend(self.item(&table.value).map(|value| (key, value)));
                }
                self.depth -= 1;
                Value::Map(entries)
            }
            Kind::Structure(table) => self.structure(table),
            Kind::Document => {
                Value::Document(serde_json::json!({"a": [1, 2.5, "x"], "b": {"c": null}, "d": true}))
            }
        })
    }

    /// An item of a list or map: empty containers would leave no trace in forms and flattened XML.
    fn item(&mut self, kind: &Kind) -> Option<Value> {
        let value = self.kind(kind)?;
        (self.purpose.carries_empties() || leaves_trace(&value)).then_some(value)
    }

    fn count(&mut self) -> usize {
        match self.round {
            0 => 2,
            1 => 0,
            _ => self.below(4),
        }
    }

    fn text(&mut self) -> String {
        let text = self.pick(TEXTS);
        if self.purpose.carries_empties() && self.below(12) == 0 {
            return "control \u{1} \u{7f} \r\n".to_owned();
        }
        if self.below(10) == 0 && !(self.purpose.request && self.purpose.writes_xml()) {
            return String::new();
        }
        text.to_owned()
    }

    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % bound.max(1) as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn pick_ref<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// What botocore finds in every answer, sent or not: payloads, the status, all headers with a prefix, and the
/// content type.
fn always_parsed(table: &StructureTable, index: usize) -> bool {
    let member = &table.members[index];
    table.payload == Some(index)
        || member.event_payload
        || matches!(member.location, Location::StatusCode | Location::Headers)
        || (member.location == Location::Header && member.wire.eq_ignore_ascii_case("content-type"))
}

/// Whether a form has any parameter for the value, and XML any element beside its own.
fn leaves_trace(value: &Value) -> bool {
    match value {
        Value::List(items) => items.iter().any(leaves_trace),
        Value::Map(entries) => !entries.is_empty(),
        Value::Structure(members) => members.iter().flatten().any(leaves_trace),
        _ => true,
    }
}

fn is_container(kind: &Kind) -> bool {
    matches!(kind, Kind::Structure(_) | Kind::List(_) | Kind::Map(_))
}
