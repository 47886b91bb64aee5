"""botocore's serializer and parser behind JSON lines, for the round trips of crates/aws-wire/tests/botocore.rs.

The Rust side makes the values and compares; this side only lets botocore do what a client does. One request a
line on standard input, one answer a line on standard output:

  {"do": "version"}                                              -> {"version": "1.44.5"}
  {"do": "members", "service", "operation"}                      -> {"shapes": {"input.tags[]": ["key", ...]}}
  {"do": "request", "service", "operation", "protocol", "value"} -> {"method", "url", "headers", "body"}
  {"do": "response", "service", "operation", "protocol", "status", "headers", "body"} -> {"value", "request_id"}
  {"do": "error", ..., "shape"}                                  -> {"code", "message", "type", "value", "request_id"}
  {"do": "events", ...}                                          -> {"value", "events": [[name, value], ...]}

Values are tagged: b boolean, i integer, f float, s string, x bytes (hex), t milliseconds since the epoch, l list,
m map, o structure, d document. Bodies are hex. A failure here is answered as {"failure": traceback}.
"""

import datetime
import email.utils
import io
import json
import math
import sys
import traceback

import botocore
import botocore.awsrequest
import botocore.eventstream
import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.serialize
from botocore.awsrequest import HeadersDict

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
LOADER = botocore.loaders.Loader()
MODELS = {}
PROTOCOLS = {
    "AwsJson10": "json",
    "AwsJson11": "json",
    "Query": "query",
    "Ec2Query": "ec2",
    "RestJson": "rest-json",
    "RestXml": "rest-xml",
    "RpcV2Cbor": "smithy-rpc-v2-cbor",
}


def operation_model(line):
    service = line["service"]
    if service not in MODELS:
        description = LOADER.load_service_model(service, "service-2")
        MODELS[service] = botocore.model.ServiceModel(description, service)
    return MODELS[service].operation_model(line["operation"])


def untag(tagged):
    """A tagged value as botocore's callers give it."""
    ((tag, value),) = tagged.items()
    if tag == "x":
        return bytes.fromhex(value)
    if tag == "f":
        return float(value)
    if tag == "t":
        return EPOCH + datetime.timedelta(milliseconds=value)
    if tag == "l":
        return [untag(item) for item in value]
    if tag in "mo":
        return {key: untag(item) for key, item in value.items()}
    return value


def tag(shape, value):
    """A parsed value, tagged by its shape."""
    kind = shape.type_name
    if getattr(shape, "is_document_type", False):
        return {"d": value}
    if kind == "structure":
        return {"o": {key: tag(shape.members[key], item) for key, item in value.items() if key in shape.members}}
    if kind == "list":
        return {"l": [tag(shape.member, item) for item in value]}
    if kind == "map":
        return {"m": {key: tag(shape.value, item) for key, item in value.items()}}
    if kind == "boolean":
        return {"b": value}
    if kind in ("byte", "short", "integer", "long"):
        return {"i": value}
    if kind in ("float", "double"):
        return {"f": repr(value) if math.isfinite(value) else {math.inf: "inf", -math.inf: "-inf"}.get(value, "nan")}
    if kind == "blob":
        if hasattr(value, "read"):
            value = value.read()
        return {"x": (value.encode() if isinstance(value, str) else value).hex()}
    if kind == "timestamp" and shape.name == "Expires":
        # A string in S3's model, which botocore takes for a time.
        return {"s": email.utils.format_datetime(value.astimezone(datetime.timezone.utc), usegmt=True)}
    if kind == "timestamp":
        return {"t": round((value - EPOCH) / datetime.timedelta(milliseconds=1))}
    if hasattr(value, "read"):
        value = value.read().decode()
    return {"s": value}


def members(line):
    """Every structure that the operation's input and output reach, by path, with its members' names."""
    operation = operation_model(line)
    shapes = {}

    def walk(shape, path, above):
        if shape.name in above:
            return
        above = above | {shape.name}
        if shape.type_name == "structure" and not shape.is_document_type:
            shapes[path] = sorted(shape.members)
            for name, member in shape.members.items():
                walk(member, f"{path}.{name}", above)
        elif shape.type_name == "list":
            walk(shape.member, path + "[]", above)
        elif shape.type_name == "map":
            walk(shape.value, path + "{}", above)

    for side, shape in (("input", operation.input_shape), ("output", operation.output_shape)):
        if shape is not None:
            walk(shape, side, frozenset())
    return {"shapes": shapes}


def request(line):
    operation = operation_model(line)
    serializer = botocore.serialize.create_serializer(PROTOCOLS[line["protocol"]], include_validation=False)
    serialized = serializer.serialize_to_request(untag(line["value"]), operation)
    botocore.awsrequest.prepare_request_dict(serialized, endpoint_url="http://service.example:4566")
    prepared = botocore.awsrequest.create_request_object(serialized).prepare()
    body = prepared.body or b""
    if hasattr(body, "read"):
        body = body.read()
    return {
        "method": prepared.method,
        "url": prepared.url,
        "headers": [[k, v.decode("utf-8") if isinstance(v, bytes) else v] for k, v in prepared.headers.items()],
        "body": (body.encode() if isinstance(body, str) else body).hex(),
    }


def received(line, operation):
    body = bytes.fromhex(line["body"])
    return {
        "status_code": line["status"],
        "headers": HeadersDict(line["headers"]),
        "body": io.BytesIO(body) if operation.has_streaming_output and line["do"] == "response" else body,
        "context": {"operation_name": operation.name},
    }


def response(line):
    operation = operation_model(line)
    parser = botocore.parsers.create_parser(PROTOCOLS[line["protocol"]])
    parsed = parser.parse(received(line, operation), operation.output_shape)
    metadata = parsed.pop("ResponseMetadata")
    value = tag(operation.output_shape, parsed) if operation.output_shape is not None else {"o": {}}
    return {"value": value, "request_id": metadata.get("RequestId")}


def error(line):
    operation = operation_model(line)
    parser = botocore.parsers.create_parser(PROTOCOLS[line["protocol"]])
    parsed = parser.parse(received(line, operation), operation.output_shape)
    answer = {
        "code": parsed["Error"].get("Code"),
        "message": parsed["Error"].get("Message"),
        "type": parsed["Error"].get("Type"),
        "request_id": parsed["ResponseMetadata"].get("RequestId"),
    }
    if line.get("shape"):
        shape = operation.service_model.shape_for(line["shape"])
        answer["value"] = tag(shape, parser.parse(received(line, operation), shape))
    return answer


class Raw:
    """As much of a connection as an event stream reads."""

    def __init__(self, body):
        self.body = body

    def stream(self):
        # Odd pieces, so that frames are cut anywhere.
        for start in range(0, len(self.body), 7):
            yield self.body[start : start + 7]

    def close(self):
        pass


def events(line):
    operation = operation_model(line)
    parser = botocore.parsers.create_parser(PROTOCOLS[line["protocol"]])
    whole = received(line, operation)
    whole["body"] = Raw(whole["body"])
    parsed = parser.parse(whole, operation.output_shape)
    parsed.pop("ResponseMetadata", None)
    name = operation.output_shape.event_stream_name
    stream = parsed.pop(name)
    shape = operation.output_shape.members[name]
    found = []
    try:
        for event in stream:
            ((kind, value),) = event.items()
            found.append([kind, tag(shape.members[kind], value)])
    except botocore.eventstream.EventStreamError as failure:
        details = failure.response["Error"]
        found.append(["!" + details["Code"], {"s": details["Message"]}])
    return {"value": tag(operation.output_shape, parsed), "events": found}


def version(_line):
    return {"version": botocore.__version__}


DO = {function.__name__: function for function in (version, members, request, response, error, events)}


def main():
    for text in sys.stdin:
        line = json.loads(text)
        try:
            answer = DO[line["do"]](line)
        except Exception:
            answer = {"failure": traceback.format_exc()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
