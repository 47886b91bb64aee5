//! Every imported operation, in every protocol that its service speaks, against botocore's own serializer and
//! parser: requests that botocore writes are read back to the same values, answers and errors that we write are
//! parsed by botocore to the same values. Inputs are generated from the tables with fixed seeds.
//!
//! The Python side is `e2e/wire/botocore_peer.py`; its interpreter is `$LONGSHORE_PYTHON`, else the repository's
//! `.venv/bin/python`, and must have the botocore version that `models/import.toml` pins.

#[path = "botocore/generate.rs"]
mod generate;
#[path = "botocore/peer.rs"]
mod peer;
#[path = "botocore/tagged.rs"]
mod tagged;

use aws_schema::{Auth, ErrorTable, Kind, OperationTable, Protocol, ServiceTable, StructureTable, Value};
use aws_wire::{ErrorBody, RequestHead, event_stream};
use bytes::Bytes;
use generate::{Generator, Purpose};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri};
use peer::Peer;
use serde_json::{Value as Json, json};

const REQUEST_ID: &str = "7a62c49f-347e-4fc4-9331-6e8eb0c5a1de";

/// Values for each operation and direction: everything, as little as possible, and random choices.
const ROUNDS: u64 = 8;

fn all_services() -> Vec<&'static ServiceTable> {
    use aws_wire_test_shapes as extra;
    vec![
        aws_shapes_ecs::SERVICE,
        aws_shapes_ecr::SERVICE,
        aws_shapes_ecr_public::SERVICE,
        aws_shapes_sts::SERVICE,
        aws_shapes_iam::SERVICE,
        aws_shapes_ec2::SERVICE,
        aws_shapes_logs::SERVICE,
        aws_shapes_elbv2::SERVICE,
        aws_shapes_elb::SERVICE,
        aws_shapes_acm::SERVICE,
        aws_shapes_cloudwatch::SERVICE,
        aws_shapes_secretsmanager::SERVICE,
        aws_shapes_kms::SERVICE,
        aws_shapes_ssm::SERVICE,
        aws_shapes_cloudtrail::SERVICE,
        extra::eks::SERVICE,
        extra::lambda::SERVICE,
        extra::route53::SERVICE,
        aws_shapes_s3::SERVICE,
        extra::sqs::SERVICE,
    ]
}

/// Runs every check for a service, and says all that failed.
fn check(service: &'static ServiceTable) {
    let mut peer = Peer::start();
    let mut failures = Vec::new();
    for operation in service.operations {
        failures.extend(same_members(&mut peer, service, operation).err());
        for &protocol in service.protocols {
            let case = Case { service, operation, protocol };
            for round in 0..ROUNDS {
                failures.extend(case.request(&mut peer, round).err());
                failures.extend(case.response(&mut peer, round).err());
            }
            failures.extend(case.errors(&mut peer).err());
            failures.extend(case.events(&mut peer).err());
        }
    }
    let shown = failures.iter().take(5).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(
        failures.is_empty(),
        "{}: {} failures, the first of them:\n{shown}",
        service.name,
        failures.len()
    );
}

macro_rules! services {
    ($($test:ident: $service:expr;)*) => {
        $(#[test] fn $test() { check($service); })*
    };
}

services! {
    ecs: aws_shapes_ecs::SERVICE;
    ecr: aws_shapes_ecr::SERVICE;
    ecr_public: aws_shapes_ecr_public::SERVICE;
    sts: aws_shapes_sts::SERVICE;
    iam: aws_shapes_iam::SERVICE;
    ec2: aws_shapes_ec2::SERVICE;
    logs: aws_shapes_logs::SERVICE;
    elbv2: aws_shapes_elbv2::SERVICE;
    elb: aws_shapes_elb::SERVICE;
    acm: aws_shapes_acm::SERVICE;
    cloudwatch: aws_shapes_cloudwatch::SERVICE;
    secretsmanager: aws_shapes_secretsmanager::SERVICE;
    kms: aws_shapes_kms::SERVICE;
    ssm: aws_shapes_ssm::SERVICE;
    cloudtrail: aws_shapes_cloudtrail::SERVICE;
    eks_in_rest_json: aws_wire_test_shapes::eks::SERVICE;
    lambda_in_rest_json: aws_wire_test_shapes::lambda::SERVICE;
    route53_in_rest_xml: aws_wire_test_shapes::route53::SERVICE;
    s3_in_rest_xml: aws_shapes_s3::SERVICE;
    sqs_with_query_compatible_errors: aws_wire_test_shapes::sqs::SERVICE;
}

/// The tables have every member that botocore's model has: a wrong import would otherwise go unseen, because
/// values are made from the tables.
fn same_members(
    peer: &mut Peer,
    service: &ServiceTable,
    operation: &'static OperationTable,
) -> Result<(), String> {
    let answer = peer.ask(&json!({"do": "members", "service": service.name, "operation": operation.name}));
    let shapes = answer["shapes"].as_object().ok_or_else(|| format!("{}: {answer}", operation.name))?;
    let mut ours = serde_json::Map::new();
    for (side, table) in [("input", operation.input), ("output", operation.output)] {
        if table.name != "Unit" {
            collect_members(&Kind::Structure(table), side, &mut Vec::new(), &mut ours);
        }
    }
    if ours == *shapes {
        Ok(())
    } else {
        Err(format!("{}: members differ\n{ours:?}\n{shapes:?}", operation.name))
    }
}

fn collect_members(
    kind: &Kind,
    path: &str,
    above: &mut Vec<*const ()>,
    found: &mut serde_json::Map<String, Json>,
) {
    let (address, next): (*const (), Vec<(String, Kind)>) = match kind {
        Kind::Structure(table) => {
            let next =
                table.members.iter().map(|member| (format!("{path}.{}", member.name), member.kind)).collect();
            (std::ptr::from_ref::<StructureTable>(table).cast(), next)
        }
        Kind::List(table) => (std::ptr::from_ref(*table).cast(), vec![(format!("{path}[]"), table.item)]),
        Kind::Map(table) => (std::ptr::from_ref(*table).cast(), vec![(format!("{path}{{}}"), table.value)]),
        _ => return,
    };
    if above.contains(&address) {
        return;
    }
    if let Kind::Structure(table) = kind {
        found.insert(path.to_owned(), table.members.iter().map(|member| member.name).collect());
    }
    above.push(address);
    for (path, kind) in next {
        collect_members(&kind, &path, above, found);
    }
    above.pop();
}

#[derive(Clone, Copy)]
struct Case {
    service: &'static ServiceTable,
    operation: &'static OperationTable,
    protocol: Protocol,
}

impl Case {
    fn ask(&self, peer: &mut Peer, what: &str, more: Json) -> Result<Json, String> {
        let mut line = json!({
            "do": what,
            "service": self.service.name,
            "operation": self.operation.name,
            "protocol": format!("{:?}", self.protocol),
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            line[key] = value.clone();
        }
        let answer = peer.ask(&line);
        match answer.get("failure") {
            Some(failure) => Err(self.failed(what, failure.as_str().unwrap_or(""), &line.to_string())),
            None => Ok(answer),
        }
    }

    fn failed(&self, what: &str, why: &str, input: &str) -> String {
        let input: String = input.chars().take(3000).collect();
        format!(
            "{what} of {}.{} in {:?}: {why}\n  {input}",
            self.service.name, self.operation.name, self.protocol
        )
    }

    fn request(&self, peer: &mut Peer, round: u64) -> Result<(), String> {
        let purpose = Purpose { protocol: self.protocol, request: true };
        let input = Generator::new(self.operation.name, round, purpose).structure(self.operation.input);
        let tagged = tagged::from_value(&Kind::Structure(self.operation.input), &input);
        let sent = self.ask(peer, "request", json!({"value": tagged}))?;
        let fail = |why: String| Err(self.failed("request", &why, &format!("{tagged}\n  {sent}")));

        let method: Method =
            sent["method"].as_str().unwrap_or("").parse().map_err(|_| "method".to_owned())?;
        let uri: Uri = match sent["url"].as_str().unwrap_or("").parse() {
            Ok(uri) => uri,
            Err(error) => return fail(format!("{error}")),
        };
        let mut headers = HeaderMap::new();
        for pair in sent["headers"].as_array().into_iter().flatten() {
            let (name, value) = (pair[0].as_str().unwrap_or(""), pair[1].as_str().unwrap_or(""));
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            headers
                .append(name, HeaderValue::from_bytes(value.as_bytes()).map_err(|error| error.to_string())?);
        }
        if self.operation.auth == Auth::SigV4 {
            let scope = format!("AKIDEXAMPLE/20261121/us-east-1/{}/aws4_request", self.service.signing_name);
            let text = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00");
            headers.insert("authorization", HeaderValue::try_from(text).map_err(|error| error.to_string())?);
        }
        let body = peer::bytes(&sent["body"]);
        let head = RequestHead::new(&method, &uri, &headers);
        let routed = match aws_wire::route(&all_services(), &head, &body) {
            Ok(routed) => routed,
            Err(error) => return fail(format!("not routed: {error}")),
        };
        if (routed.service.name, routed.operation.name) != (self.service.name, self.operation.name)
            || routed.protocol != self.protocol
        {
            return fail(format!("routed to {}.{}", routed.service.name, routed.operation.name));
        }
        match aws_wire::decode(&routed, &head, &body) {
            Ok(decoded) => {
                let decoded = tagged::from_value(&Kind::Structure(self.operation.input), &decoded);
                if decoded == tagged { Ok(()) } else { fail(format!("decoded to {decoded}")) }
            }
            Err(error) => fail(format!("not decoded: {error}")),
        }
    }

    fn response(&self, peer: &mut Peer, round: u64) -> Result<(), String> {
        if event_stream::event_stream_of(self.operation).is_some() {
            return Ok(());
        }
        // A root that is its only member's text: botocore's client reads it, its parser does not.
        if (self.service.name, self.operation.name) == ("s3", "GetBucketLocation") {
            return Ok(());
        }
        let purpose = Purpose { protocol: self.protocol, request: false };
        let output = Generator::new(self.operation.name, round, purpose).structure(self.operation.output);
        let encoded =
            aws_wire::encode_response(self.protocol, self.service, self.operation, &output, REQUEST_ID);
        let tagged = tagged::from_value(&Kind::Structure(self.operation.output), &output);
        // A body that is one structure and is not there is an empty one to botocore.
        if self.operation.output.payload.is_some() && encoded.body().is_empty() {
            return Ok(());
        }
        let parsed = self.ask(peer, "response", received(&encoded))?;
        // Without an output, botocore does not look for the id in CBOR answers.
        let no_id = self.protocol == Protocol::RpcV2Cbor && self.operation.output.name == "Unit";
        let id = if no_id { Json::Null } else { REQUEST_ID.into() };
        if parsed["value"] != tagged || parsed["request_id"] != id {
            let text = String::from_utf8_lossy(encoded.body());
            return Err(self.failed(
                "response",
                &format!("parsed to {parsed}"),
                &format!("{tagged}\n  {text}"),
            ));
        }
        Ok(())
    }

    fn errors(&self, peer: &mut Peer) -> Result<(), String> {
        for error in self.operation.errors.iter().copied() {
            for round in [0, 1, 2] {
                self.declared_error(peer, error, round)?;
            }
        }
        let error = ErrorBody::new("InternalFailure", 500, "An <unknown> error & \"more\"");
        let encoded = aws_wire::encode_error(self.protocol, Some(self.service), &error, REQUEST_ID);
        let parsed = self.ask(peer, "error", received(&encoded))?;
        if parsed["code"] != "InternalFailure"
            || parsed["message"] != error.message
            || parsed["request_id"] != REQUEST_ID
        {
            return Err(self.failed("error", &format!("parsed to {parsed}"), "InternalFailure"));
        }
        Ok(())
    }

    fn declared_error(&self, peer: &mut Peer, table: &'static ErrorTable, round: u64) -> Result<(), String> {
        let purpose = Purpose { protocol: self.protocol, request: false };
        let mut fields = Generator::new(table.name, round, purpose).structure(table.structure);
        let mut message = "Something <is> wrong: \"é\"".to_owned();
        if let Value::Structure(values) = &mut fields {
            for (member, value) in table.structure.members.iter().zip(values) {
                if member.name.eq_ignore_ascii_case("message") {
                    *value = Some(Value::String(message.clone()));
                }
            }
        }
        let error = ErrorBody { fields: Some(fields.clone()), ..ErrorBody::declared(table, message.clone()) };
        let encoded = aws_wire::encode_error(self.protocol, Some(self.service), &error, REQUEST_ID);
        let mut line = received(&encoded);
        line["shape"] = table.name.into();
        let parsed = self.ask(peer, "error", line)?;

        let xml = matches!(self.protocol, Protocol::Query | Protocol::RestXml);
        let wire_code = xml || self.service.query_compatible;
        let code = if wire_code { table.code } else { table.name };
        let mut wanted = tagged::from_value(&Kind::Structure(table.structure), &fields);
        // In XML the text is always `Message`; botocore finds a `message` member only under its own name.
        let lower = xml && table.structure.index("message").is_some();
        if lower {
            wanted["o"].as_object_mut().ok_or("a structure")?.remove("message");
            message = parsed["message"].as_str().unwrap_or("").to_owned();
        }
        let sound = parsed["code"] == code
            && parsed["message"] == message.as_str()
            && parsed["value"] == wanted
            && parsed["request_id"] == REQUEST_ID
            && encoded.status() == table.status
            && (!xml
                || parsed["type"] == if table.sender_fault { "Sender" } else { "Receiver" }
                || self.service.name == "s3");
        if sound {
            return Ok(());
        }
        let text = String::from_utf8_lossy(encoded.body());
        Err(self.failed("error", &format!("parsed to {parsed}"), &format!("{wanted}\n  {text}")))
    }

    fn events(&self, peer: &mut Peer) -> Result<(), String> {
        let Some(stream) = event_stream::event_stream_of(self.operation) else { return Ok(()) };
        let purpose = Purpose { protocol: self.protocol, request: false };
        let output = Generator::new(self.operation.name, 0, purpose).structure(self.operation.output);
        let head = event_stream::response_head(self.protocol, self.operation, &output, REQUEST_ID);
        let initial = event_stream::encode_initial_response(self.protocol, self.operation, &output);
        let mut body: Vec<u8> = initial.map(|message| message.to_vec()).unwrap_or_default();
        let mut wanted = Vec::new();
        let mut exception = None;
        for round in 0..ROUNDS {
            for member in stream.members {
                let Kind::Structure(table) = member.kind else { continue };
                if self.service.error(table.name).is_some() {
                    exception = Some((table.name, member.name));
                    continue;
                }
                let event = Generator::new(member.name, round, purpose).structure(table);
                let message = event_stream::encode_event(self.protocol, self.operation, member.name, &event);
                body.extend(message.ok_or_else(|| self.failed("event", "not encoded", member.name))?);
                wanted.push(json!([member.name, tagged::from_value(&member.kind, &event)]));
            }
        }
        let (code, shown) = exception.unwrap_or(("InternalFailure", "InternalFailure"));
        let error = ErrorBody::new(code, 400, "The session is over");
        body.extend(event_stream::encode_exception(self.protocol, self.service, self.operation, &error));
        wanted.push(json!([format!("!{shown}"), {"s": "The session is over"}]));

        let parsed = self.ask(peer, "events", received(&head.map(|()| Bytes::from(body))))?;
        if parsed["events"] != Json::Array(wanted.clone()) {
            let wanted = Json::Array(wanted).to_string();
            return Err(self.failed("events", &format!("parsed to {parsed}"), &wanted));
        }
        let beside = tagged::without(
            tagged::from_value(&Kind::Structure(self.operation.output), &output),
            stream_name(self.operation),
        );
        if parsed["value"] != beside {
            return Err(self.failed("initial response", &format!("parsed to {parsed}"), &beside.to_string()));
        }
        Ok(())
    }
}

fn stream_name(operation: &OperationTable) -> &'static str {
    let is_stream = |kind: &Kind| matches!(kind, Kind::Structure(table) if table.event_stream);
    operation.output.members.iter().find(|member| is_stream(&member.kind)).map_or("", |member| member.name)
}

fn received(response: &Response<Bytes>) -> Json {
    let headers: serde_json::Map<String, Json> = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned().into())
        })
        .collect();
    json!({"status": response.status().as_u16(), "headers": headers, "body": peer::hex(response.body())})
}

#[test]
fn botocore_is_the_pinned_one() {
    let config = std::fs::read_to_string(peer::repository().join("models/import.toml")).unwrap();
    let answer = Peer::start().ask(&json!({"do": "version"}));
    let version = answer["version"].as_str().unwrap();
    assert!(config.contains(&format!("botocore = \"{version}\"")), "the interpreter has botocore {version}");
}
