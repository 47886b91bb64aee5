use aws_schema::Protocol;

use super::{Request, ecs, form, scope};
use crate::RouteError;

/// `service.Operation/Protocol`, or what is wrong: the code and status that the client gets.
fn outcome(request: &Request) -> String {
    match request.route() {
        Ok(routed) => format!("{}.{}/{:?}", routed.service.name, routed.operation.name, routed.protocol),
        Err(error) => {
            let body = error.body();
            format!("{:?}: {} {}", error.protocol(), body.status, body.code)
        }
    }
}

#[test]
fn by_target() {
    assert_eq!(outcome(&ecs("RunTask", "{}")), "ecs.RunTask/AwsJson11");
    assert_eq!(outcome(&ecs("FlyTask", "{}")), "AwsJson11: 400 UnknownOperationException");
    let other = Request::new("POST", "/", &[("x-amz-target", "DynamoDB_20120810.PutItem")], "{}");
    assert_eq!(outcome(&other), "AwsJson11: 400 UnknownOperationException");
    assert!(
        matches!(other.route(), Err(RouteError::UnknownService { name: Some(name), .. }) if name == "DynamoDB_20120810")
    );
    let bare = Request::new("POST", "/", &[("x-amz-target", "nonsense")], "");
    assert_eq!(outcome(&bare), "AwsJson11: 400 UnknownOperationException");
}

#[test]
fn json_version_is_the_clients_or_else_the_services() {
    let with = |content: &str| {
        let target = ("x-amz-target", "GraniteServiceVersion20100801.ListMetrics");
        outcome(&Request::new("POST", "/", &[target, ("content-type", content)], "{}"))
    };
    assert_eq!(with("application/x-amz-json-1.0"), "cloudwatch.ListMetrics/AwsJson10");
    assert_eq!(with("application/x-amz-json-1.1"), "cloudwatch.ListMetrics/AwsJson11");
    assert_eq!(with("text/plain"), "cloudwatch.ListMetrics/AwsJson10");
}

#[test]
fn known_but_not_imported_is_501_with_its_name() {
    let request = form("iam", "Action=CreateSAMLProvider&Version=2010-05-08");
    assert_eq!(outcome(&request), "Query: 501 NotImplemented");
    let error = request.route().unwrap_err();
    assert_eq!(error.to_string(), "Longshore does not implement CreateSAMLProvider of IAM yet");
    assert_eq!(error.service().map(|service| service.name), Some("iam"));
}

#[test]
fn by_form() {
    assert_eq!(
        outcome(&form("sts", "Action=GetCallerIdentity&Version=2011-06-15")),
        "sts.GetCallerIdentity/Query"
    );
    assert_eq!(outcome(&form("ec2", "Action=DescribeVpcs&Version=2014-06-15")), "ec2.DescribeVpcs/Ec2Query");
    assert_eq!(
        outcome(&form("ec2", "Action=DescribeNothing&Version=2016-11-15")),
        "Ec2Query: 400 InvalidAction"
    );
    assert_eq!(outcome(&form("ec2", "Version=2016-11-15")), "Ec2Query: 400 MissingAction");
    assert_eq!(outcome(&form("nowhere", "Action=ListThings&Version=1")), "Query: 400 InvalidAction");
    assert_eq!(
        outcome(&form("monitoring", "Action=ListMetrics&Version=2010-08-01")),
        "cloudwatch.ListMetrics/Query"
    );
}

#[test]
fn unsigned_forms_go_by_version_and_action() {
    let content = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    let unsigned = |body: &str| outcome(&Request::new("POST", "/", &[content], body));
    let call = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=a";
    assert_eq!(unsigned(call), "sts.AssumeRoleWithWebIdentity/Query");
    assert_eq!(unsigned("Action=AssumeRoleWithWebIdentity"), "sts.AssumeRoleWithWebIdentity/Query");
    assert_eq!(unsigned("Action=Fly&Version=1999-01-01"), "Query: 400 InvalidAction");
    let get = Request::new("GET", "/?Action=GetCallerIdentity&Version=2011-06-15", &[], "");
    assert_eq!(outcome(&get), "sts.GetCallerIdentity/Query");
}

#[test]
fn presigned_queries_carry_their_scope() {
    let uri = "/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Credential=AKID%2F20261121%2Fus-east-1%2Fsts%2Faws4_request";
    assert_eq!(outcome(&Request::new("GET", uri, &[], "")), "sts.GetCallerIdentity/Query");
}

#[test]
fn by_cbor_path() {
    let cbor = |path: &str| outcome(&Request::new("POST", path, &[("smithy-protocol", "rpc-v2-cbor")], ""));
    assert_eq!(
        cbor("/service/GraniteServiceVersion20100801/operation/ListMetrics"),
        "cloudwatch.ListMetrics/RpcV2Cbor"
    );
    assert_eq!(
        cbor("/prefix/service/GraniteServiceVersion20100801/operation/DeleteAnomalyDetector"),
        "RpcV2Cbor: 501 NotImplemented"
    );
    assert_eq!(
        cbor("/service/GraniteServiceVersion20100801/operation/Fly"),
        "RpcV2Cbor: 404 UnknownOperationException"
    );
    assert_eq!(cbor("/service/AmazonSQS/operation/SendMessage"), "RpcV2Cbor: 404 UnknownOperationException");
    assert_eq!(cbor("/"), "RpcV2Cbor: 404 UnknownOperationException");
}

#[test]
fn by_uri() {
    let signed = |service: &str, method: &str, uri: &str| {
        outcome(&Request::new(method, uri, &[("authorization", &scope(service))], ""))
    };
    assert_eq!(signed("eks", "GET", "/clusters/a%2Fb"), "eks.DescribeCluster/RestJson");
    assert_eq!(signed("eks", "GET", "/clusters/"), "eks.ListClusters/RestJson");
    assert_eq!(signed("eks", "PATCH", "/clusters"), "RestJson: 404 UnknownOperationException");
    assert_eq!(signed("s3", "GET", "/bucket/some/long/key"), "s3.GetObject/RestXml");
    assert_eq!(signed("s3", "GET", "/bucket?list-type=2&prefix=a"), "s3.ListObjectsV2/RestXml");
    assert_eq!(signed("s3", "POST", "/bucket?delete"), "s3.DeleteObjects/RestXml");
    assert_eq!(signed("s3", "PUT", "/bucket?tagging"), "s3.PutBucketTagging/RestXml");
    assert_eq!(signed("s3", "GET", "/bucket/key?uploadId=1"), "s3.ListParts/RestXml");
    assert_eq!(signed("s3", "PUT", "/bucket/key?uploadId=1&partNumber=2"), "s3.UploadPart/RestXml");
    assert_eq!(signed("s3", "DELETE", "/bucket/key?uploadId=1"), "s3.AbortMultipartUpload/RestXml");
    // Not imported, and not to be taken for what is.
    assert_eq!(signed("s3", "GET", "/bucket?cors"), "RestXml: 501 NotImplemented");
    assert_eq!(signed("s3", "GET", "/bucket/key?torrent"), "RestXml: 501 NotImplemented");
    assert_eq!(signed("s3", "PUT", "/bucket?website"), "RestXml: 501 NotImplemented");
    let unsigned = Request::new("GET", "/clusters/one", &[("host", "eks.us-east-1.amazonaws.com")], "");
    assert_eq!(outcome(&unsigned), "eks.DescribeCluster/RestJson");
}

#[test]
fn labels_are_decoded() {
    let request = Request::new("GET", "/bucket/a%20b//c%2Fd%25", &[("authorization", &scope("s3"))], "");
    let labels = request.route().unwrap().labels;
    assert_eq!(labels, [("Bucket", "bucket".to_owned()), ("Key", "a b//c/d%".to_owned())]);
}

#[test]
fn what_names_nothing() {
    let nothing = Request::new("GET", "/nowhere/to/be/found", &[("authorization", &scope("quantum"))], "");
    assert_eq!(outcome(&nothing), "RestJson: 404 UnknownOperationException");
    assert!(
        matches!(nothing.route(), Err(RouteError::UnknownService { name: Some(name), .. }) if name == "quantum")
    );
    let xml = Request::new("GET", "/x", &[("authorization", &scope("q")), ("content-type", "text/xml")], "");
    assert_eq!(xml.route().unwrap_err().protocol(), Protocol::RestXml);
}

#[test]
fn too_many_parameters() {
    let body = "a=1&".repeat(crate::limits::MAX_FORM_PARAMETERS + 1);
    assert_eq!(outcome(&form("ec2", &body)), "Query: 404 MalformedQueryString");
}
