//! The registry from outside: the distribution specification's conformance cases, faults, and real clients.

mod catalog;
mod clients;
mod faults;
mod pull;
mod push;
mod referrers;

use std::sync::Arc;

use base64::Engine as _;
use blob_store::{Digest, FileBlobStore, Limits};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use state_store::{SqliteStore, State, Tables};
use vocabulary::{AccountId, Scope, Timestamp};

use super::catalog::Catalog;
use super::manifest::OCI_MANIFEST;
use super::records::{Encryption, Mutability, Repository, tables};
use super::token::{Access, TokenKey};
use super::{Authorize, Registry};

pub struct Everyone;

impl Authorize for Everyone {
    fn may(
        &self,
        _: &Access,
        _: &str,
        _: &str,
        _: &crate::gateway::Origin,
        _: Timestamp,
    ) -> Result<(), String> {
        Ok(())
    }
}

/// A registry with two repositories, `team/app` and `team/other`, and a client that is logged in.
pub struct Fixture {
    pub folder: tempfile::TempDir,
    pub registry: Registry,
    pub scope: Scope,
    pub token: String,
    pub now: Timestamp,
}

pub const NAME: &str = "team/app";
pub const OTHER: &str = "team/other";

pub fn settings(name: &str) -> Repository {
    Repository {
        name: name.to_owned(),
        created_at: Timestamp::from_millis(0),
        mutability: Mutability::mutable(),
        scan_on_push: false,
        encryption: Encryption { kind: "AES256".to_owned(), key: None },
        policy: None,
        lifecycle: None,
        preview: None,
        tags: Default::default(),
    }
}

pub async fn fixture() -> Fixture {
    fixture_with(Limits::default()).await
}

pub async fn fixture_with(limits: Limits) -> Fixture {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Arc::new(SqliteStore::in_memory().expect("a store"));
    let state = State::open(store, tables(Tables::new())).await.expect("tables");
    let catalog = Catalog::new(state);
    let key = TokenKey::new([7; 32]);
    let blobs = Arc::new(FileBlobStore::open(folder.path(), limits).expect("a blob store"));
    let scope = Scope::new(AccountId::local(), "us-east-1".parse().expect("a region"));
    for name in [NAME, OTHER] {
        catalog.create_repository(&scope, settings(name)).await.expect("created");
    }
    let now = Timestamp::from(std::time::SystemTime::now());
    let access = Access {
        scope: scope.clone(),
        account: scope.account.clone(),
        principal: "arn:aws:iam::000000000000:root".to_owned(),
        user_id: String::new(),
        access_key: String::new(),
        only: None,
    };
    let (token, _) = key.issue(&access, now);
    let registry = Registry::new(catalog, blobs, key, Arc::new(Everyone));
    Fixture { folder, registry, scope, token, now }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: header::HeaderMap,
    pub body: Bytes,
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The code of the first error, after checking that the body has the specification's form.
    pub fn code(&self) -> String {
        let body = self.json();
        assert!(body["errors"][0]["message"].is_string(), "{body}");
        body["errors"][0]["code"].as_str().expect("a code").to_owned()
    }

    #[track_caller]
    pub fn expect(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    #[track_caller]
    pub fn refused(self, status: StatusCode, code: &str) -> Self {
        let got = self.expect(status);
        assert_eq!(got.code(), code);
        got
    }
}

impl Fixture {
    pub fn basic(&self) -> String {
        let credentials = format!("AWS:{}", self.token);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials))
    }

    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(path).header(header::AUTHORIZATION, self.basic())
    }

    pub async fn send(&self, request: http::request::Builder, body: impl Into<Bytes>) -> Got {
        let body = body.into();
        let length = body.len();
        let request =
            request.header(header::CONTENT_LENGTH, length).body(Full::new(body)).expect("a request");
        self.send_body(request).await
    }

    pub async fn send_body<B>(&self, request: Request<B>) -> Got
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<super::request::BoxError>,
    {
        let answer = self.registry.handle(request, self.now).await;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Got { status: parts.status, headers: parts.headers, body }
    }

    pub async fn get(&self, path: &str) -> Got {
        self.send(self.request(Method::GET, path), Bytes::new()).await
    }

    pub async fn head(&self, path: &str) -> Got {
        self.send(self.request(Method::HEAD, path), Bytes::new()).await
    }

    pub async fn delete(&self, path: &str) -> Got {
        self.send(self.request(Method::DELETE, path), Bytes::new()).await
    }

    /// Pushes a blob in one request.
    pub async fn push_blob(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let request = self.request(Method::POST, &path);
        self.send(request, Bytes::copy_from_slice(bytes)).await.expect(StatusCode::CREATED);
        digest
    }

    pub async fn put_manifest(&self, name: &str, reference: &str, media_type: &str, manifest: &Value) -> Got {
        let request = self.request(Method::PUT, &format!("/v2/{name}/manifests/{reference}"));
        self.send(request.header(header::CONTENT_TYPE, media_type), manifest.to_string()).await
    }

    /// Pushes an image whose layer is `seed`, and returns its digest.
    pub async fn push_image(&self, name: &str, tag: &str, seed: &str) -> Digest {
        let manifest = self.image(name, seed).await;
        self.put_manifest(name, tag, OCI_MANIFEST, &manifest).await.expect(StatusCode::CREATED);
        Digest::sha256(manifest.to_string().as_bytes())
    }

    /// Pushes a configuration and a layer, and returns the manifest that names them.
    pub async fn image(&self, name: &str, seed: &str) -> Value {
        let config = json!({ "architecture": "amd64", "os": "linux", "author": seed }).to_string();
        let config_digest = self.push_blob(name, config.as_bytes()).await;
        let layer = self.push_blob(name, seed.as_bytes()).await;
        json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config_digest,
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": layer,
                "size": seed.len(),
            }],
        })
    }
}
