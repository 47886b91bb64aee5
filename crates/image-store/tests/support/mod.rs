//! A tiny OCI registry in this process, with faults to order, and images built by hand.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub mod images;

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{Request, Response, StatusCode, body::Frame, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use image_store::Digest;
use tokio::{net::TcpListener, sync::Semaphore};

type Body = BoxBody<Bytes, std::io::Error>;

/// What goes wrong with a request whose path contains `path`, `times` times.
#[derive(Clone)]
pub struct Fault {
    pub path: String,
    pub times: usize,
    pub kind: FaultKind,
}

#[derive(Clone)]
pub enum FaultKind {
    Status(u16, &'static str),
    /// Sends so many bytes of the body, then drops the connection.
    CutAfter(usize),
    /// Flips a bit in the middle.
    Corrupt,
    /// Sends half of the body, then waits for a permit before it sends the rest.
    HoldHalfway(Arc<Semaphore>),
    /// Sends to another address.
    Redirect(String),
}

#[derive(Clone, Default)]
pub enum Auth {
    #[default]
    Open,
    Basic {
        username: String,
        password: String,
    },
    /// Tokens from `/token`, which wants these credentials unless they are empty.
    Token {
        username: String,
        password: String,
    },
    /// A token made elsewhere.
    Bearer(String),
}

#[derive(Default)]
struct State {
    blobs: HashMap<String, Bytes>,
    manifests: BTreeMap<(String, String), (String, Bytes)>,
    faults: Vec<Fault>,
    auth: Auth,
    ignores_ranges: bool,
    requests: Vec<String>,
}

#[derive(Clone)]
pub struct Registry {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Registry {
    pub async fn start() -> Registry {
        Registry::start_with(None).await
    }

    /// Speaks TLS when given how.
    pub async fn start_with(tls: Option<Arc<rustls::ServerConfig>>) -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = Registry { address: listener.local_addr().unwrap(), state: Arc::default() };
        let served = registry.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (served, tls) = (served.clone(), tls.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let served = served.clone();
                        async move { Ok::<_, Infallible>(served.answer(&request)) }
                    });
                    let server = hyper::server::conn::http1::Builder::new();
                    // A cut connection is an error here and the point of the test there.
                    match tls {
                        None => drop(server.serve_connection(TokioIo::new(stream), service).await),
                        Some(tls) => {
                            let Ok(stream) = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await else {
                                return;
                            };
                            drop(server.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                });
            }
        });
        registry
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn put_blob(&self, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.state.lock().unwrap().blobs.insert(digest.to_string(), bytes);
        digest
    }

    /// Stores a manifest under its digest and under `tag`.
    pub fn put_manifest(&self, repository: &str, tag: &str, content_type: &str, json: &str) -> Digest {
        let bytes = Bytes::copy_from_slice(json.as_bytes());
        let digest = Digest::of(&bytes);
        let mut state = self.state.lock().unwrap();
        for key in [tag.to_owned(), digest.to_string()] {
            let value = (content_type.to_owned(), bytes.clone());
            state.manifests.insert((repository.to_owned(), key), value);
        }
        digest
    }

    pub fn fault(&self, path: impl Into<String>, times: usize, kind: FaultKind) {
        self.state.lock().unwrap().faults.push(Fault { path: path.into(), times, kind });
    }

    pub fn set_auth(&self, auth: Auth) {
        self.state.lock().unwrap().auth = auth;
    }

    pub fn ignore_ranges(&self) {
        self.state.lock().unwrap().ignores_ranges = true;
    }

    /// Requests so far whose line contains `text`.
    pub fn count(&self, text: &str) -> usize {
        self.state.lock().unwrap().requests.iter().filter(|r| r.contains(text)).count()
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let mut state = self.state.lock().unwrap();
        let path = request.uri().path().to_owned();
        let header = |name| request.headers().get(name).and_then(|v: &http::HeaderValue| v.to_str().ok());
        let range = header("range").map(str::to_owned);
        let authorization = header("authorization").map(str::to_owned);
        let line = format!(
            "{} {path} range={} authorized={}",
            request.method(),
            range.as_deref().unwrap_or("-"),
            authorization.as_deref().unwrap_or("-").split(' ').next().unwrap_or("-")
        );
        state.requests.push(line);
        if path == "/token" {
            return token(&state.auth, authorization.as_deref(), request.uri().query().unwrap_or(""));
        }
        if let Some(challenge) = challenge(&state.auth, authorization.as_deref(), self.address) {
            return challenge;
        }
        let fault = state.faults.iter_mut().find(|f| f.times > 0 && path.contains(&f.path)).map(|f| {
            f.times -= 1;
            f.kind.clone()
        });
        match fault {
            Some(FaultKind::Status(code, body)) => return plain(code, body),
            Some(FaultKind::Redirect(location)) => {
                return Response::builder().status(307).header("location", location).body(full("")).unwrap();
            }
            _ => {}
        }
        let Some((content_type, mut bytes)) = state.find(&path) else {
            return plain(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#);
        };
        let mut status = StatusCode::OK;
        if let Some(start) =
            range.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok())
            && !state.ignores_ranges
        {
            bytes = bytes.slice(start..);
            status = StatusCode::PARTIAL_CONTENT;
        }
        let response = Response::builder()
            .status(status)
            .header("content-type", content_type)
            .header("content-length", bytes.len());
        response.body(body(bytes, fault)).unwrap()
    }
}

impl State {
    fn find(&self, path: &str) -> Option<(String, Bytes)> {
        let path = path.strip_prefix("/v2/")?;
        if let Some((_, digest)) = path.rsplit_once("/blobs/") {
            return self.blobs.get(digest).map(|b| ("application/octet-stream".to_owned(), b.clone()));
        }
        let (repository, key) = path.rsplit_once("/manifests/")?;
        self.manifests.get(&(repository.to_owned(), key.to_owned())).cloned()
    }
}

fn body(bytes: Bytes, fault: Option<FaultKind>) -> Body {
    match fault {
        Some(FaultKind::CutAfter(count)) => {
            let first = stream::iter([Ok(Frame::data(bytes.slice(..count)))]);
            // A pause makes the server send what it has before it hears of the end.
            let cut = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut"))
            });
            StreamBody::new(futures_util::StreamExt::chain(first, cut)).boxed()
        }
        Some(FaultKind::Corrupt) => {
            let mut damaged = bytes.to_vec();
            let middle = damaged.len() / 2;
            damaged[middle] ^= 1;
            full(damaged)
        }
        Some(FaultKind::HoldHalfway(gate)) => {
            let half = bytes.len() / 2;
            let (first, second) = (bytes.slice(..half), bytes.slice(half..));
            let rest = stream::once(async move {
                gate.acquire().await.unwrap().forget();
                Ok(Frame::data(second))
            });
            let first = stream::iter([Ok(Frame::data(first))]);
            StreamBody::new(futures_util::StreamExt::chain(first, rest)).boxed()
        }
        _ => full(bytes),
    }
}

fn challenge(auth: &Auth, authorization: Option<&str>, address: SocketAddr) -> Option<Response<Body>> {
    let (is_authorized, challenge) = match auth {
        Auth::Open => return None,
        Auth::Basic { username, password } => {
            (authorization == Some(&basic(username, password)), "Basic realm=\"test\"".to_owned())
        }
        Auth::Token { .. } => (
            authorization == Some("Bearer made-by-token-service"),
            format!(
                "Bearer realm=\"http://{address}/token\",service=\"test, service\",scope=\"repository:app:pull\""
            ),
        ),
        Auth::Bearer(token) => (
            authorization == Some(&format!("Bearer {token}")),
            format!("Bearer realm=\"http://{address}/token\",service=\"test\""),
        ),
    };
    (!is_authorized).then(|| {
        Response::builder()
            .status(401)
            .header("www-authenticate", challenge)
            .body(full(r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#))
            .unwrap()
    })
}

fn token(auth: &Auth, authorization: Option<&str>, query: &str) -> Response<Body> {
    let Auth::Token { username, password } = auth else { return plain(404, "") };
    let is_asked_right = query == "service=test%2C%20service&scope=repository:app:pull";
    let is_known = username.is_empty() || authorization == Some(&basic(username, password));
    match (is_asked_right, is_known) {
        (false, _) => plain(400, ""),
        (_, false) => {
            plain(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}"#)
        }
        _ => plain(200, r#"{"token":"made-by-token-service"}"#),
    }
}

fn basic(username: &str, password: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
    format!("Basic {encoded}")
}

fn plain(status: u16, text: &'static str) -> Response<Body> {
    Response::builder().status(status).body(full(text)).unwrap()
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// A store in a directory of its own, which goes with the first member.
pub async fn store() -> (tempfile::TempDir, image_store::ImageStore) {
    let directory = tempfile::Builder::new().prefix("lsh-images-").tempdir_in("/var/tmp").unwrap();
    let store = image_store::ImageStore::open(directory.path().join("images"), options()).await.unwrap();
    (directory, store)
}

/// Options whose back-off a test can wait for.
pub fn options() -> image_store::StoreOptions {
    let retries = image_store::Retries {
        attempts: 3,
        first_delay: std::time::Duration::from_millis(1),
        max_delay: std::time::Duration::from_millis(5),
    };
    // Without the background sync, which could still be at work when the test removes the directory.
    image_store::StoreOptions { retries, durable: false, ..image_store::StoreOptions::default() }
}

/// What is in one of the store's directories, sorted.
pub fn names(store: &image_store::ImageStore, directory: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(store.directory().join(directory))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits, within reason, until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), waiting)
        .await
        .unwrap_or_else(|_| panic!("never came: {what}"));
}
