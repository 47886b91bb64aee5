//! The API from outside: JSON over HTTP through the front door, and the registry behind the same port.

mod images;
mod layers;
mod settings;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::{Config, ControlPlane};

pub const ACCOUNT: &str = "123456789012";

/// A control plane that keeps nothing, and a client of it.
pub struct Fixture {
    plane: ControlPlane,
    client: Client<HttpConnector, Full<Bytes>>,
    target: &'static str,
    _folder: tempfile::TempDir,
}

pub async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = Config {
        account: ACCOUNT.parse().expect("an account"),
        ephemeral: true,
        ..Config::local("us-east-1".parse().expect("a region"), folder.path().to_owned())
    };
    let plane = ControlPlane::start(config).await.expect("a control plane");
    let client = Client::builder(TokioExecutor::new()).build_http();
    Fixture { plane, client, target: "AmazonEC2ContainerRegistry_V20150921", _folder: folder }
}

impl Fixture {
    /// The same, speaking to ECR Public from now on.
    pub fn of_ecr_public(self) -> Self {
        Self { target: "SpencerFrontendService", ..self }
    }

    pub fn host(&self) -> String {
        format!("localhost:{}", self.plane.address().port())
    }

    /// Calls an operation and returns its status and answer.
    async fn send(&self, operation: &str, input: Value) -> (StatusCode, Value) {
        let request = Request::post(format!("http://{}/", self.plane.address()))
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.1")
            .header("x-amz-target", format!("{}.{operation}", self.target))
            .body(Full::new(Bytes::from(input.to_string())))
            .expect("a request");
        let answer = self.client.request(request).await.expect("an answer");
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a whole answer").to_bytes();
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    /// Calls an operation that is to succeed.
    pub async fn call(&self, operation: &str, input: Value) -> Value {
        let (status, answer) = self.send(operation, input).await;
        assert_eq!(status, StatusCode::OK, "{operation}: {answer}");
        answer
    }

    /// Calls an operation that is to be refused with `code`, and returns the error.
    pub async fn refused(&self, operation: &str, input: Value, code: &str) -> Value {
        let (status, answer) = self.send(operation, input).await;
        let found = answer["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default();
        assert_eq!((status, found), (StatusCode::BAD_REQUEST, code), "{operation}: {answer}");
        answer
    }

    /// Calls an operation that is to be refused, and returns the message.
    pub async fn message(&self, operation: &str, input: Value, code: &str) -> String {
        let error = self.refused(operation, input, code).await;
        let message = error.get("message").or(error.get("Message"));
        message.and_then(Value::as_str).expect("a message").to_owned()
    }

    pub async fn create(&self, name: &str) -> Value {
        self.call("CreateRepository", json!({ "repositoryName": name })).await["repository"].clone()
    }

    /// The `Authorization` header of a client that logged in.
    pub async fn login(&self) -> String {
        let answer = self.call("GetAuthorizationToken", json!({})).await;
        let token = answer["authorizationData"][0]["authorizationToken"].as_str().expect("a token");
        let decoded = String::from_utf8(STANDARD.decode(token).expect("base64")).expect("text");
        assert!(decoded.starts_with("AWS:"));
        format!("Basic {token}")
    }

    /// A request to the registry, or to whatever else is behind the port.
    pub async fn http(
        &self,
        method: Method,
        url: &str,
        authorization: Option<&str>,
        body: &[u8],
    ) -> (StatusCode, Bytes) {
        let mut request = Request::builder().method(method).uri(url);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).expect("a request");
        let answer = self.client.request(request).await.expect("an answer");
        let status = answer.status();
        (status, answer.into_body().collect().await.expect("a whole answer").to_bytes())
    }
}
