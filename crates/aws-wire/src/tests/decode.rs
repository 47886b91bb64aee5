use aws_schema::Shape;

use super::{Request, ecs, form, scope};
use crate::{ErrorBody, encode_error, limits};

fn message(request: &Request) -> String {
    request.decode().expect_err("the request is wrong")
}

fn run_task(body: &str) -> aws_shapes_ecs::RunTaskRequest {
    aws_shapes_ecs::RunTaskRequest::from_value(ecs("RunTask", body).decode().unwrap()).unwrap()
}

#[test]
fn missing_null_and_empty_are_told_apart() {
    let request = run_task(r#"{"cluster": null, "tags": [], "unknown": {"deep": [1, {}]}, "count": 2}"#);
    assert_eq!((request.cluster, request.count), (None, Some(2)));
    assert_eq!(request.tags, Some(vec![]));
    assert_eq!(request.group, None);
    assert_eq!(run_task(""), aws_shapes_ecs::RunTaskRequest::default());
    assert_eq!(run_task(" \n"), aws_shapes_ecs::RunTaskRequest::default());
}

#[test]
fn wrong_types_name_what_was_found() {
    for (body, wanted) in [
        (r#"{"cluster": 1}"#, "NUMBER_VALUE can not be converted to a String"),
        (r#"{"cluster": true}"#, "TRUE_VALUE can not be converted to a String"),
        (r#"{"count": "2"}"#, "STRING_VALUE can not be converted to an Integer"),
        (r#"{"count": 1.5}"#, "1.5 can not be converted to an Integer"),
        (r#"{"count": 2147483648}"#, "2147483648 can not be converted to an Integer"),
        (r#"{"cluster": []}"#, "Start of list found where not expected"),
        (r#"{"tags": {}}"#, "Start of structure or map found where not expected."),
        (r#"{"tags": [null]}"#, "A list must not have null values"),
        ("[]", "Start of list found where not expected"),
        ("null", "Start of structure or map expected, found null"),
    ] {
        assert_eq!(message(&ecs("RunTask", body)), wanted, "{body}");
    }
}

#[test]
fn malformed_json_is_a_serialization_exception() {
    for body in ["{", "{\"a\":}", "\u{feff}{}", "{} {}", "{\"cluster\": \"\\ud800\"}", "nope"] {
        let request = ecs("RunTask", body);
        let routed = request.route().unwrap();
        let error = crate::decode(&routed, &request.head(), &request.body).unwrap_err();
        assert!(error.message.contains("not valid JSON"), "{body}: {}", error.message);
        assert_eq!((&*error.body().code, error.body().status), ("SerializationException", 400));
    }
}

#[test]
fn whole_floats_are_integers() {
    assert_eq!(run_task(r#"{"count": 3.0}"#).count, Some(3));
}

#[test]
fn depth_is_bounded() {
    let deep = format!("{}1{}", r#"{"x":"#.repeat(5_000), "}".repeat(5_000));
    assert!(ecs("RunTask", &deep).decode().is_ok(), "what is unknown is skipped, not built");
    let hook = format!(r#"{{"deploymentConfiguration": {{"lifecycleHooks": [{{"hookDetails": {deep}}}]}}}}"#);
    assert!(message(&ecs("CreateService", &hook)).contains("recursion limit"));
    let nested = "a.".repeat(3 * limits::MAX_DEPTH + 1);
    let request = form("ec2", &format!("Action=DescribeVpcs&Version=2016-11-15&{nested}=1"));
    assert!(message(&request).contains("nested more deeply"));
    let xml = "<a>".repeat(1_000);
    let request =
        Request::new("POST", "/2013-04-01/hostedzone", &[("authorization", &scope("route53"))], &xml);
    assert!(message(&request).contains("nested more deeply"));
}

#[test]
fn empty_structures_cannot_multiply() {
    let many = format!(r#"{{"containerDefinitions": [{}{{}}]}}"#, "{},".repeat(100_000));
    assert!(message(&ecs("RegisterTaskDefinition", &many)).contains("more values"));
}

#[test]
fn unions_have_one_member() {
    let union = r#"{"serviceConnectConfiguration": {"enabled": true}, "cluster": "c"}"#;
    assert!(ecs("CreateService", union).decode().is_ok());
    let request = |rule: &str| {
        let headers = [("smithy-protocol", "rpc-v2-cbor")];
        let mut request = Request::new(
            "POST",
            "/service/GraniteServiceVersion20100801/operation/PutMetricAlarm",
            &headers,
            "",
        );
        request.body = [b"\xa1\x72EvaluationCriteria".as_slice(), rule.as_bytes()].concat();
        message(&request)
    };
    assert_eq!(request("\u{0}"), "NUMBER_VALUE can not be converted to a Structure");
}

#[test]
fn form_types() {
    let call = |parameters: &str| form("iam", &format!("Action=ListRoles&Version=2010-05-08&{parameters}"));
    assert_eq!(
        message(&call("MaxItems=many")),
        "Value 'many' at 'MaxItems' can not be converted to an Integer"
    );
    assert_eq!(message(&call("MaxItems.x=1")), "Unexpected complex element at 'MaxItems'");
    assert!(call("MaxItems=5&MaxItems=6").decode().is_ok());
    let tags = "Action=TagRole&Version=2010-05-08&RoleName=r&Tags.member.";
    assert_eq!(
        message(&form("iam", &format!("{tags}x.Key=a"))),
        "The list at 'Tags' has no numbered elements"
    );
    let value =
        form("iam", &format!("{tags}18446744073709551615.Key=b&Tags.member.7.Key=a")).decode().unwrap();
    let request = aws_shapes_iam::TagRoleRequest::from_value(value).unwrap();
    let keys: Vec<_> = request.tags.unwrap().into_iter().map(|tag| tag.key.unwrap()).collect();
    assert_eq!(keys, ["a", "b"]);
}

#[test]
fn hostile_xml() {
    let route53 = |body: &str| {
        Request::new("POST", "/2013-04-01/hostedzone", &[("authorization", &scope("route53"))], body)
    };
    for (body, wanted) in [
        ("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", "document type"),
        ("<a>&unknown;</a>", "unknown entity"),
        ("<a><b></a>", "not well-formed"),
        ("<a/><b/>", "more than one root"),
        ("text", "outside its root"),
        ("<a", "not well-formed"),
        ("<R><Name><x/></Name></R>", "must not have children"),
    ] {
        assert!(message(&route53(body)).contains(wanted), "{body}: {}", message(&route53(body)));
    }
    let many: String = (0..100).map(|number| format!(" a{number}=''")).collect();
    assert!(message(&route53(&format!("<a{many}/>"))).contains("more attributes"));
    let good = "<?xml version=\"1.0\"?><r:CreateHostedZoneRequest xmlns:r=\"u\"><r:Name>a&#x26;<![CDATA[<b>]]>&gt;</r:Name></r:CreateHostedZoneRequest>";
    let value = route53(good).decode().unwrap();
    let request = aws_wire_test_shapes::route53::CreateHostedZoneRequest::from_value(value).unwrap();
    assert_eq!(request.name.as_deref(), Some("a&<b>>"));
}

#[test]
fn members_bound_to_the_head_do_not_come_in_through_the_body() {
    let request =
        Request::new("GET", "/clusters/real", &[("authorization", &scope("eks"))], r#"{"name": "forged"}"#);
    let value =
        aws_wire_test_shapes::eks::DescribeClusterRequest::from_value(request.decode().unwrap()).unwrap();
    assert_eq!(value.name.as_deref(), Some("real"));
}

#[test]
fn errors_without_a_service() {
    let answer =
        encode_error(aws_schema::Protocol::Query, None, &ErrorBody::new("InvalidAction", 400, "<no>"), "id");
    assert_eq!(
        answer.body(),
        "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>&lt;no&gt;</Message></Error><RequestId>id</RequestId></ErrorResponse>"
    );
}

#[test]
fn query_compatible_services_send_the_old_code_in_a_header() {
    let service = aws_shapes_cloudwatch::SERVICE;
    let error = ErrorBody::declared(service.error("InvalidFormatFault").unwrap(), "odd");
    let answer = encode_error(aws_schema::Protocol::AwsJson10, Some(service), &error, "id");
    assert_eq!(answer.headers()["x-amzn-query-error"], "InvalidFormat;Sender");
    assert_eq!(answer.headers()["content-type"], "application/x-amz-json-1.0");
    assert_eq!(answer.body(), r#"{"__type":"InvalidFormatFault","message":"odd"}"#);
}
