//! Examples of each rule, and hostile bytes for everything that reads. What clients really send is held against
//! botocore in `tests/botocore.rs`.

mod decode;
mod encode;
mod fuzz;
mod route;
mod text;
mod validate;

use aws_schema::{ServiceTable, Value};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::{RequestHead, RouteError, Routed};

fn services() -> Vec<&'static ServiceTable> {
    use aws_wire_test_shapes as extra;
    vec![
        aws_shapes_ecs::SERVICE,
        aws_shapes_sts::SERVICE,
        aws_shapes_iam::SERVICE,
        aws_shapes_ec2::SERVICE,
        aws_shapes_logs::SERVICE,
        aws_shapes_cloudwatch::SERVICE,
        aws_shapes_elb::SERVICE,
        aws_shapes_elbv2::SERVICE,
        extra::eks::SERVICE,
        extra::lambda::SERVICE,
        extra::route53::SERVICE,
        aws_shapes_s3::SERVICE,
        extra::sqs::SERVICE,
    ]
}

/// A request in pieces; the head borrows from it.
struct Request {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Request {
    fn new(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let header = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
        };
        Request {
            method: method.parse().unwrap(),
            uri: uri.parse().unwrap(),
            headers: headers.iter().map(header).collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn head(&self) -> RequestHead<'_> {
        RequestHead::new(&self.method, &self.uri, &self.headers)
    }

    fn route(&self) -> Result<Routed, RouteError> {
        crate::route(&services(), &self.head(), &self.body)
    }

    fn decode(&self) -> Result<Value, String> {
        let routed = self.route().map_err(|error| error.to_string())?;
        crate::decode(&routed, &self.head(), &self.body).map_err(|error| error.message)
    }
}

fn scope(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKID/20261121/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
}

fn ecs(operation: &str, body: &str) -> Request {
    let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
    Request::new(
        "POST",
        "/",
        &[("x-amz-target", &target), ("content-type", "application/x-amz-json-1.1")],
        body,
    )
}

fn form(service: &str, body: &str) -> Request {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", &scope(service))];
    Request::new("POST", "/", &headers, body)
}
