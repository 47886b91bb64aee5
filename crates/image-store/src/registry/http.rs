//! HTTP/1.1 over TCP or TLS, with every wait bounded.
//!
//! HTTP/1.1 on purpose: blobs are few, large and parallel, which separate connections carry faster than one
//! multiplexed one with its flow-control windows.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use ::http::{
    HeaderMap, Method, Request, Uri,
    header::{HOST, USER_AGENT},
};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{Response, url};
use crate::error::RegistryError;

/// How long one step of a transfer may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// From sending a request to the head of its answer.
    pub response: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(10),
            response: Duration::from_secs(30),
            idle: Duration::from_secs(60),
        }
    }
}

type Body = Empty<Bytes>;

/// The connections of one store, shared by all pulls. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Http {
    inner: Arc<Inner>,
}

struct Inner {
    plain: Client<HttpConnector, Body>,
    /// Made at the first HTTPS request: reading the machine's certificates takes milliseconds.
    tls: OnceLock<Result<Client<HttpsConnector<HttpConnector>, Body>, String>>,
    timeouts: Timeouts,
    authority: Option<String>,
}

impl Http {
    /// `authority`: certificates, in PEM, to trust beside the machine's own.
    pub(crate) fn new(timeouts: Timeouts, authority: Option<String>) -> Http {
        let plain = client(connector(&timeouts, true));
        Http { inner: Arc::new(Inner { plain, tls: OnceLock::new(), timeouts, authority }) }
    }

    /// Sends a request without a body and gives the head of the answer, whatever its status.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &Uri,
        mut headers: HeaderMap,
    ) -> Result<Response, RegistryError> {
        let failed = |detail: String| transport(url::shown(url), detail);
        headers.insert(USER_AGENT, ::http::HeaderValue::from_static(AGENT));
        if let Some(host) = url.authority().and_then(|a| ::http::HeaderValue::from_str(a.as_str()).ok()) {
            headers.insert(HOST, host);
        }
        let mut request = Request::new(Body::new());
        *request.method_mut() = method;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = headers;
        let response = async {
            if url.scheme_str() == Some("https") {
                let tls = self
                    .inner
                    .tls
                    .get_or_init(|| tls_client(&self.inner.timeouts, self.inner.authority.as_deref()));
                let client = tls.as_ref().map_err(|e| failed(e.clone()))?;
                client.request(request).await.map_err(|e| failed(with_causes(&e)))
            } else {
                self.inner.plain.request(request).await.map_err(|e| failed(with_causes(&e)))
            }
        };
        match tokio::time::timeout(self.inner.timeouts.response, response).await {
            Ok(result) => result,
            Err(_) => Err(failed("i/o timeout while awaiting headers".to_owned())),
        }
    }

    /// The next piece of a body; none at its end.
    pub(super) fn next_data(
        &self,
        body: &mut Incoming,
        url: &str,
    ) -> impl Future<Output = Result<Option<Bytes>, RegistryError>> {
        let idle = self.inner.timeouts.idle;
        async move {
            loop {
                let frame = match tokio::time::timeout(idle, body.frame()).await {
                    Err(_) => {
                        return Err(transport(url.to_owned(), "i/o timeout while reading body".to_owned()));
                    }
                    Ok(None) => return Ok(None),
                    Ok(Some(Err(e))) => return Err(transport(url.to_owned(), with_causes(&e))),
                    Ok(Some(Ok(frame))) => frame,
                };
                // Trailers say nothing that is needed.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }

    /// A whole body of at most `limit` bytes.
    pub(super) async fn collect(
        &self,
        response: Response,
        limit: u64,
        url: &str,
    ) -> Result<Bytes, RegistryError> {
        let mut body = response.into_body();
        let mut collected = BytesMut::new();
        while let Some(data) = self.next_data(&mut body, url).await? {
            if collected.len() as u64 + data.len() as u64 > limit {
                let detail = format!("the answer is longer than {limit} bytes");
                return Err(RegistryError::Content { url: url.to_owned(), detail });
            }
            collected.extend_from_slice(&data);
        }
        Ok(collected.freeze())
    }
}

const AGENT: &str = concat!("longshore/", env!("CARGO_PKG_VERSION"));

fn client<C>(connector: C) -> Client<C, Body>
where
    C: hyper_util::client::legacy::connect::Connect + Clone,
{
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(20))
        .pool_max_idle_per_host(8)
        // Large reads: a layer is megabytes, and each read is a wake-up.
        .http1_max_buf_size(1 << 20)
        .build(connector)
}

fn connector(timeouts: &Timeouts, enforce_http: bool) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(timeouts.connect));
    connector.set_nodelay(true);
    connector.enforce_http(enforce_http);
    connector
}

fn tls_client(
    timeouts: &Timeouts,
    authority: Option<&str>,
) -> Result<Client<HttpsConnector<HttpConnector>, Body>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in CertificateDer::pem_slice_iter(authority.unwrap_or_default().as_bytes()) {
        let added =
            certificate.map_err(|e| e.to_string()).and_then(|one| roots.add(one).map_err(|e| e.to_string()));
        added.map_err(|e| format!("the registry's authority is no certificate: {e}"))?;
    }
    if roots.is_empty() {
        return Err("no trusted certificates on this machine (install ca-certificates)".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only()
        .enable_http1()
        .wrap_connector(connector(timeouts, false));
    Ok(client(connector))
}

fn transport(url: String, detail: String) -> RegistryError {
    RegistryError::Transport { method: "GET", url, detail }
}

/// An error with what caused it: hyper's own texts stop at "client error (Connect)".
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    // Chains are short; the bound is against one that loops.
    for _ in 0..8 {
        let Some(next) = cause else { break };
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    text
}
