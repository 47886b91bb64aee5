//! The HTTP side: paths to documents.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use agent_protocol::ControlPlane;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

use super::{
    Directory, documents, stats,
    view::{TaskView, ViewState},
};
use crate::clock::Clock;

/// Requests answered at once; more wait to be accepted. A task asks for credentials about once an hour.
const MAX_CONNECTIONS: usize = 256;
/// A client that says nothing for so long is let go.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The endpoint's address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the metadata endpoint cannot listen on {address}: {source}")]
pub struct ServerError {
    address: SocketAddr,
    source: io::Error,
}

/// Serves until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    pub(crate) async fn start(
        address: SocketAddr,
        directory: Arc<Directory>,
        control: Arc<dyn ControlPlane>,
    ) -> Result<Server, ServerError> {
        let failed = |source| ServerError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Server { address, accepting: tokio::spawn(accept(listener, directory, control)) })
    }
}

async fn accept(listener: TcpListener, directory: Arc<Directory>, control: Arc<dyn ControlPlane>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(connection) => connection,
            Err(error) => {
                // Out of descriptors, most likely: what is open has to end first.
                tracing::warn!(%error, "the metadata endpoint could not accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (directory, control) = (Arc::clone(&directory), Arc::clone(&control));
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let (directory, control) = (Arc::clone(&directory), Arc::clone(&control));
                async move { Ok::<_, Infallible>(respond(&request, &directory, &*control, peer).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "a metadata connection broke");
            }
            drop(place);
        });
    }
}

async fn respond(
    request: &Request<Incoming>,
    directory: &Directory,
    control: &dyn ControlPlane,
    peer: SocketAddr,
) -> Response<Full<Bytes>> {
    let (status, mut body) = match *request.method() {
        Method::GET | Method::HEAD => answer(request.uri().path(), request.uri().query(), directory, peer),
        _ => (StatusCode::METHOD_NOT_ALLOWED, json!({"message": "Method not allowed"})),
    };
    if status == StatusCode::OK && request.uri().path().ends_with("/taskWithTags") {
        add_tags(&mut body, control).await;
    }
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

/// The tags as they are now: they may change while the task runs.
async fn add_tags(document: &mut Value, control: &dyn ControlPlane) {
    let task = document["TaskARN"].as_str().unwrap_or_default().to_owned();
    match control.task_tags(task.clone()).await {
        Ok(tags) => document["TaskTags"] = json!(tags),
        Err(error) => {
            let error = json!({
                "ErrorField": "TaskTags", "ErrorCode": "InternalServerException", "ErrorMessage": error.to_string(),
                "StatusCode": 500, "RequestId": "", "ResourceARN": task,
            });
            document["Errors"] = json!([error]);
        }
    }
}

pub(super) fn answer(
    path: &str,
    query: Option<&str>,
    directory: &Directory,
    peer: SocketAddr,
) -> (StatusCode, Value) {
    let candidates = directory.candidates(peer.ip());
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        ["v2", "credentials", id] => credentials(id, &candidates),
        ["v2", "credentials"] => {
            let id = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("id="));
            credentials(id.unwrap_or_default(), &candidates)
        }
        ["v3" | "v4", id, rest @ ..] => match find(id, &candidates) {
            Some((state, container)) => metadata(words[0], rest, &state, container, path),
            None => (
                StatusCode::NOT_FOUND,
                json!(format!(
                    "V{} container metadata handler: unable to get container ID from request: unable to get docker ID from v{0} endpoint ID: {id}",
                    &words[0][1..]
                )),
            ),
        },
        _ => not_found(path),
    }
}

/// The container that an id of the path names, among the tasks that may ask.
fn find(id: &str, candidates: &[Arc<TaskView>]) -> Option<(ViewState, usize)> {
    candidates.iter().find_map(|task| {
        let state = task.snapshot();
        let container = state.spec.containers.iter().position(|container| container.runtime_id == id)?;
        Some((state, container))
    })
}

fn metadata(
    version: &str,
    rest: &[&str],
    state: &ViewState,
    container: usize,
    path: &str,
) -> (StatusCode, Value) {
    let document = match rest {
        [] => documents::container(state, container, version),
        ["task" | "taskWithTags"] => documents::task(state, version, Clock::System.now()),
        ["stats"] => stats::container(state, container),
        ["task", "stats"] => stats::task(state),
        _ => return not_found(path),
    };
    (StatusCode::OK, document)
}

fn credentials(id: &str, candidates: &[Arc<TaskView>]) -> (StatusCode, Value) {
    let found = candidates.iter().find_map(|task| {
        let state = task.snapshot();
        // The execution role is the agent's, not the containers'.
        let role =
            state.spec.task_role.as_ref().filter(|role| !id.is_empty() && role.credentials_id == id)?;
        Some(documents::credentials(role))
    });
    match found {
        Some(document) => (StatusCode::OK, document),
        None if id.is_empty() => (
            StatusCode::BAD_REQUEST,
            json!({"code": "NoIdInRequest", "message": "CredentialsV2Request: No ID in the request", "HTTPErrorCode": 400}),
        ),
        None => (
            StatusCode::BAD_REQUEST,
            json!({"code": "InvalidIdInRequest", "message": "CredentialsV2Request: ID not found", "HTTPErrorCode": 400}),
        ),
    }
}

fn not_found(path: &str) -> (StatusCode, Value) {
    (StatusCode::NOT_FOUND, json!({"message": format!("404 page not found: {path}")}))
}
