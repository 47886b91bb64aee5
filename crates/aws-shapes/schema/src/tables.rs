//! The static description of a service: operations, structures, constraints, wire names.
//!
//! Tables are `static`, refer to each other by address and may be cyclic (recursive shapes). Members are sorted
//! by name, and so are operations, errors and operation names: lookups may use binary search.

/// A wire protocol as the service models name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// `json` with `jsonVersion` 1.0.
    AwsJson10,
    /// `json` with `jsonVersion` 1.1.
    AwsJson11,
    /// `query`: form in, XML out.
    Query,
    /// `ec2`: the query protocol's EC2 dialect.
    Ec2Query,
    /// `rest-json`.
    RestJson,
    /// `rest-xml`.
    RestXml,
    /// `smithy-rpc-v2-cbor`.
    RpcV2Cbor,
}

/// A whole service.
#[derive(Debug)]
pub struct ServiceTable {
    /// The model's folder name, also the CLI's command: `ecs`, `ecr-public`.
    pub name: &'static str,
    /// `serviceId`: `ECR PUBLIC`.
    pub service_id: &'static str,
    /// `2014-11-13`; what the query protocols send as `Version`.
    pub api_version: &'static str,
    /// Service part of the SigV4 credential scope.
    pub signing_name: &'static str,
    /// First part of the endpoint's host name: `api.ecr`.
    pub endpoint_prefix: &'static str,
    /// Part of `X-Amz-Target` before the dot, and the service part of rpcV2Cbor's path.
    pub target_prefix: Option<&'static str>,
    /// Namespace of XML answers.
    pub xml_namespace: Option<&'static str>,
    /// Every protocol that the service speaks, preferred first.
    pub protocols: &'static [Protocol],
    /// The service once spoke the query protocol and still sends its error codes in `x-amzn-query-error`.
    pub query_compatible: bool,
    /// Imported operations, sorted by name.
    pub operations: &'static [&'static OperationTable],
    /// Names of all operations of the published model, imported or not, sorted.
    pub operation_names: &'static [&'static str],
    /// Every error that an imported operation declares, sorted by shape name.
    pub errors: &'static [&'static ErrorTable],
    /// Where in a REST service the operations are that are not imported, so that a request for one is not taken for another.
    pub routes: &'static [BindingTable],
}

/// The place of an operation whose shapes are not imported.
#[derive(Debug)]
pub struct BindingTable {
    /// `GetBucketAcl`.
    pub name: &'static str,
    /// HTTP binding.
    pub http: HttpTable,
}

impl ServiceTable {
    /// The imported operation of that name.
    pub fn operation(&self, name: &str) -> Option<&'static OperationTable> {
        let at = self.operations.binary_search_by(|operation| operation.name.cmp(name)).ok()?;
        Some(self.operations[at])
    }

    /// Whether the published model has an operation of that name, imported or not.
    pub fn knows_operation(&self, name: &str) -> bool {
        self.operation_names.binary_search(&name).is_ok()
    }

    /// The error whose shape or wire code is `code`.
    pub fn error(&self, code: &str) -> Option<&'static ErrorTable> {
        self.errors.iter().copied().find(|error| error.name == code || error.code == code)
    }
}

/// How a request of the operation is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Signature version 4 (or 4a).
    SigV4,
    /// A bearer token.
    Bearer,
    /// Not signed (`AssumeRoleWithWebIdentity`).
    None,
}

/// HTTP binding of an operation.
#[derive(Debug)]
pub struct HttpTable {
    /// `POST`, …
    pub method: &'static str,
    /// URI pattern: `/clusters/{name}?list-type=2`.
    pub uri: &'static str,
    /// Status of a successful answer.
    pub status: u16,
}

/// One operation.
#[derive(Debug)]
pub struct OperationTable {
    /// `RunTask`.
    pub name: &'static str,
    /// HTTP binding.
    pub http: HttpTable,
    /// Input structure; [`UNIT`](crate::UNIT) where there is none.
    pub input: &'static StructureTable,
    /// Output structure; [`UNIT`](crate::UNIT) where there is none.
    pub output: &'static StructureTable,
    /// Element around the output in the query protocol: `CreateRoleResult`.
    pub result_wrapper: Option<&'static str>,
    /// Declared errors.
    pub errors: &'static [&'static ErrorTable],
    /// Authentication.
    pub auth: Auth,
    /// Label put before the endpoint's host: `stream-`.
    pub host_prefix: Option<&'static str>,
    /// Declared safe to repeat.
    pub idempotent: bool,
    /// Declared free of side effects.
    pub readonly: bool,
    /// How its answers are paged.
    pub paginator: Option<PaginatorTable>,
}

/// Paging members of an operation (JMESPath as published, mostly plain member names).
#[derive(Debug)]
pub struct PaginatorTable {
    /// Input members that take the token.
    pub input_token: &'static [&'static str],
    /// Output expressions that give the next token.
    pub output_token: &'static [&'static str],
    /// Input member that bounds the page.
    pub limit_key: Option<&'static str>,
    /// Output expressions that hold the page.
    pub result_key: &'static [&'static str],
    /// Output member that says whether there is more.
    pub more_results: Option<&'static str>,
}

/// A declared error.
#[derive(Debug)]
pub struct ErrorTable {
    /// Shape name: `ClusterNotFoundException`.
    pub name: &'static str,
    /// Code on the wire; differs from the name mainly in query services (`NoSuchEntity`).
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Whether the caller is at fault (`Sender`) or the service (`Receiver`).
    pub sender_fault: bool,
    /// Its members, `message` included where modelled.
    pub structure: &'static StructureTable,
}

/// A structure, union, exception or event stream.
#[derive(Debug)]
pub struct StructureTable {
    /// Shape name.
    pub name: &'static str,
    /// Members sorted by name; their order is the index into [`Value::Structure`](crate::Value::Structure).
    pub members: &'static [MemberTable],
    /// Index of the member that is the whole HTTP body.
    pub payload: Option<usize>,
    /// Exactly one member is set.
    pub union: bool,
    /// A union whose members are the events of a stream.
    pub event_stream: bool,
    /// Element name of the whole as an XML request or answer body.
    pub xml_name: Option<&'static str>,
    /// Namespace of the whole as XML.
    pub xml_namespace: Option<XmlNamespace>,
}

impl StructureTable {
    /// A plain structure.
    pub const fn new(name: &'static str, members: &'static [MemberTable]) -> Self {
        StructureTable {
            name,
            members,
            payload: None,
            union: false,
            event_stream: false,
            xml_name: None,
            xml_namespace: None,
        }
    }

    /// Index of the member with this model name.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.members.binary_search_by(|member| member.name.cmp(name)).ok()
    }
}

/// An XML namespace declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XmlNamespace {
    /// `xsi` in `xmlns:xsi`.
    pub prefix: Option<&'static str>,
    /// The URI.
    pub uri: &'static str,
}

/// Where in the HTTP message a member lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// In the body.
    Body,
    /// In the path.
    Uri,
    /// In the query string.
    Query,
    /// In one header.
    Header,
    /// In all headers that share a prefix.
    Headers,
    /// The status code.
    StatusCode,
}

/// Textual form of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampFormat {
    /// `2026-11-21T07:00:00Z`, fractions optional.
    Iso8601,
    /// Seconds since the epoch.
    Unix,
    /// `Sat, 21 Nov 2026 07:00:00 GMT`.
    HttpDate,
}

/// A member of a structure.
#[derive(Debug)]
pub struct MemberTable {
    /// Name in the model: `launchType`.
    pub name: &'static str,
    /// Name on the wire (`locationName`), the model name where none is given.
    pub wire: &'static str,
    /// Name in an ec2Query request.
    pub query_name: Option<&'static str>,
    /// Whether the model gives a `locationName`; ec2Query capitalizes only such names.
    pub renamed: bool,
    /// Place in the HTTP message.
    pub location: Location,
    /// Must be given.
    pub required: bool,
    /// A list or map without its own wrapping element.
    pub flattened: bool,
    /// An attribute of the enclosing XML element.
    pub xml_attribute: bool,
    /// Namespace of the element.
    pub xml_namespace: Option<XmlNamespace>,
    /// The SDK fills it with a random token when it is absent.
    pub idempotency_token: bool,
    /// Its value fills `{Name}` in the operation's host prefix.
    pub host_label: bool,
    /// JSON carried as base64 text in a header.
    pub json_value: bool,
    /// In an event: the member is the event's payload.
    pub event_payload: bool,
    /// In an event: the member is a header of the event.
    pub event_header: bool,
    /// A body of unbounded size.
    pub streaming: bool,
    /// Must not be logged.
    pub sensitive: bool,
    /// What it holds.
    pub kind: Kind,
}

impl MemberTable {
    /// An optional body member whose wire name is its name.
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        MemberTable {
            name,
            wire: name,
            query_name: None,
            renamed: false,
            location: Location::Body,
            required: false,
            flattened: false,
            xml_attribute: false,
            xml_namespace: None,
            idempotency_token: false,
            host_label: false,
            json_value: false,
            event_payload: false,
            event_header: false,
            streaming: false,
            sensitive: false,
            kind,
        }
    }
}

/// The kind of a value, with its constraints.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A byte, short, integer or long.
    Integer(&'static IntegerTable),
    /// A float or double, with its inclusive range.
    Float { double: bool, min: Option<f64>, max: Option<f64> },
    /// A string or enum.
    String(&'static StringTable),
    /// Bytes, with their length's inclusive range.
    Blob { min: Option<i64>, max: Option<i64> },
    /// A time; the format is the protocol's own where none is given.
    Timestamp(Option<TimestampFormat>),
    /// A list.
    List(&'static ListTable),
    /// A map from strings.
    Map(&'static MapTable),
    /// A structure or union.
    Structure(&'static StructureTable),
    /// Free-form JSON.
    Document,
}

/// Width and range of an integer.
#[derive(Debug, PartialEq, Eq)]
pub struct IntegerTable {
    /// 8, 16, 32 or 64.
    pub bits: u8,
    /// Smallest value allowed by the model.
    pub min: Option<i64>,
    /// Largest value allowed by the model.
    pub max: Option<i64>,
}

/// Constraints of a string.
#[derive(Debug, PartialEq, Eq)]
pub struct StringTable {
    /// Fewest characters.
    pub min: Option<i64>,
    /// Most characters.
    pub max: Option<i64>,
    /// Pattern that must match the whole (Java's dialect).
    pub pattern: Option<&'static str>,
    /// Allowed values; empty when the string is not an enum.
    pub values: &'static [&'static str],
}

/// A list's items and length.
#[derive(Debug)]
pub struct ListTable {
    /// What each item holds.
    pub item: Kind,
    /// `locationName` of the items.
    pub item_name: Option<&'static str>,
    /// Namespace of the items.
    pub item_namespace: Option<XmlNamespace>,
    /// Items must not be logged.
    pub sensitive: bool,
    /// Items without a wrapping element.
    pub flattened: bool,
    /// Fewest items.
    pub min: Option<i64>,
    /// Most items.
    pub max: Option<i64>,
}

/// A map's keys and values.
#[derive(Debug)]
pub struct MapTable {
    /// Constraints of the keys.
    pub key: &'static StringTable,
    /// `locationName` of the keys.
    pub key_name: Option<&'static str>,
    /// What each value holds.
    pub value: Kind,
    /// `locationName` of the values.
    pub value_name: Option<&'static str>,
    /// Entries without a wrapping element.
    pub flattened: bool,
    /// Fewest entries.
    pub min: Option<i64>,
    /// Most entries.
    pub max: Option<i64>,
}
