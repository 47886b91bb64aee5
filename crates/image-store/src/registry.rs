//! The registry side of a pull: one repository on one registry, as the OCI distribution specification has it.
//!
//! Answers are followed (redirects, bounded), challenges met (`Bearer` with a token service, `Basic`), failures that
//! may pass retried with back-off, and everything that comes back is checked against the digest it was asked by.
//! A blob whose connection breaks is resumed where it stopped.
//!
//! Credentials go to the registry and to the token service that it names, never to where a redirect leads.

mod auth;
mod http;
#[cfg(test)]
mod tests;
mod url;

use std::{future::Future, time::Duration};

use ::http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, RANGE, RETRY_AFTER},
};
use bytes::Bytes;
use hyper::body::Incoming;
use tokio::sync::Mutex;

pub use auth::Credentials;
pub(crate) use http::Http;
pub use http::Timeouts;
pub use url::{Endpoint, InvalidEndpoint};

use crate::{
    digest::Digest,
    error::RegistryError,
    manifest::{self, Descriptor},
    reference::Reference,
};

type Response = ::http::Response<Incoming>;

/// Redirects followed for one request.
const MAX_REDIRECTS: usize = 10;
/// Bytes read of an error's body: enough for the messages in it.
const MAX_ERROR_BYTES: u64 = 16 << 10;

/// How often a request is made again, and how long is waited before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// Tries in all, the first included.
    pub attempts: u32,
    /// Wait before the second try; doubles each time.
    pub first_delay: Duration,
    pub max_delay: Duration,
}

impl Default for Retries {
    /// Five tries over about six seconds: rides out the restart of a registry, and a dead one still fails the task
    /// before its user loses patience.
    fn default() -> Retries {
        Retries { attempts: 5, first_delay: Duration::from_millis(400), max_delay: Duration::from_secs(10) }
    }
}

impl Retries {
    fn delay(&self, attempts_made: u32) -> Duration {
        let factor = 2_u32.saturating_pow(attempts_made.saturating_sub(1).min(16));
        self.first_delay.saturating_mul(factor).min(self.max_delay)
    }
}

/// A failure with the number of tries it took.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) attempts: u32,
    pub(crate) cause: RegistryError,
}

/// Where the bytes of a blob went wrong.
#[derive(Debug)]
pub(crate) enum BlobError {
    Registry(Failed),
    /// All bytes came and are not what the digest says.
    Digest {
        actual: Digest,
    },
    /// Whoever takes the bytes wants no more.
    Stopped,
}

/// A manifest as it came, with its digest.
#[derive(Debug, Clone)]
pub(crate) struct RawManifest {
    pub(crate) digest: Digest,
    pub(crate) content_type: Option<String>,
    pub(crate) bytes: Bytes,
}

/// One repository, with the authorization that has been obtained for it.
pub(crate) struct Repository {
    http: Http,
    endpoint: Endpoint,
    name: String,
    credentials: Credentials,
    retries: Retries,
    authorization: Mutex<Option<HeaderValue>>,
}

impl Repository {
    pub(crate) fn new(
        http: Http,
        endpoint: Endpoint,
        reference: &Reference,
        credentials: Credentials,
        retries: Retries,
    ) -> Repository {
        let authorization = Mutex::new(credentials.initial_header());
        let name = reference.repository().to_owned();
        Repository { http, endpoint, name, credentials, retries, authorization }
    }

    /// The manifest under a tag or digest; with a digest its content is verified.
    pub(crate) async fn manifest(&self, key: &str, expected: Option<&Digest>) -> Result<RawManifest, Failed> {
        let path = format!("/v2/{}/manifests/{key}", self.name);
        let accept = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(manifest::ACCEPT))]);
        self.retrying(|| async {
            let (response, url) = self.get(&path, &accept).await?;
            let content_type = response.headers().get(CONTENT_TYPE);
            let content_type = content_type.and_then(|v| v.to_str().ok()).map(str::to_owned);
            let bytes = self.http.collect(response, manifest::MAX_MANIFEST_BYTES, &url).await?;
            let digest = match expected {
                Some(expected) => expected.recompute(&bytes),
                None => Digest::of(&bytes),
            };
            if let Some(expected) = expected
                && *expected != digest
            {
                return Err(RegistryError::Content {
                    url,
                    detail: format!("unexpected commit digest {digest}, expected {expected}"),
                });
            }
            Ok(RawManifest { digest, content_type, bytes })
        })
        .await
    }

    /// A small blob, whole and verified.
    pub(crate) async fn small_blob(&self, blob: &Descriptor, limit: u64) -> Result<Bytes, Failed> {
        let path = self.blob_path(blob);
        self.retrying(|| async {
            let (response, url) = self.get(&path, &HeaderMap::new()).await?;
            let bytes = self.http.collect(response, limit, &url).await?;
            let actual = blob.digest.recompute(&bytes);
            if actual != blob.digest {
                let detail = format!("unexpected commit digest {actual}, expected {}", blob.digest);
                return Err(RegistryError::Content { url, detail });
            }
            Ok(bytes)
        })
        .await
    }

    /// Streams a blob into `sink` in order, without gaps; success means that its size and digest are right. A broken
    /// connection is resumed with a range request, on servers without ranges by skipping what came before.
    pub(crate) async fn blob<F: Future<Output = bool>>(
        &self,
        blob: &Descriptor,
        mut sink: impl FnMut(Bytes) -> F,
    ) -> Result<(), BlobError> {
        let path = self.blob_path(blob);
        let mut hasher = blob.digest.hasher();
        let mut received = 0_u64;
        let mut attempts = 0;
        while received < blob.size || attempts == 0 {
            attempts += 1;
            let before = received;
            let error = match self.blob_run(blob, &path, &mut received, &mut hasher, &mut sink).await {
                Ok(()) => break,
                Err(BlobError::Registry(failed)) => failed.cause,
                Err(other) => return Err(other),
            };
            // Progress earns the tries back: a long download over a poor line is not to fail for its length.
            if received > before {
                attempts = 1;
            }
            if attempts >= self.retries.attempts || !error.is_transient() {
                return Err(BlobError::Registry(Failed { attempts, cause: error }));
            }
            tracing::debug!(blob = %blob.digest, received, %error, "download broke, resuming");
            self.wait(attempts).await;
        }
        let actual = hasher.finish();
        if actual != blob.digest { Err(BlobError::Digest { actual }) } else { Ok(()) }
    }

    /// One connection's worth of a blob. The hash covers everything that went into `sink`.
    async fn blob_run<F: Future<Output = bool>>(
        &self,
        blob: &Descriptor,
        path: &str,
        received: &mut u64,
        hasher: &mut crate::digest::Hasher,
        sink: &mut impl FnMut(Bytes) -> F,
    ) -> Result<(), BlobError> {
        let registry = |cause| BlobError::Registry(Failed { attempts: 1, cause });
        let mut headers = HeaderMap::new();
        if *received > 0
            && let Ok(range) = HeaderValue::try_from(format!("bytes={}-", *received))
        {
            headers.insert(RANGE, range);
        }
        let (response, url) = self.get(path, &headers).await.map_err(registry)?;
        let mut skip = if response.status() == StatusCode::PARTIAL_CONTENT { 0 } else { *received };
        let mut body = response.into_body();
        while let Some(mut bytes) = self.http.next_data(&mut body, &url).await.map_err(registry)? {
            if skip > 0 {
                let skipped = bytes.split_to(bytes.len().min(usize::try_from(skip).unwrap_or(usize::MAX)));
                skip -= skipped.len() as u64;
            }
            if bytes.is_empty() {
                continue;
            }
            *received += bytes.len() as u64;
            if *received > blob.size {
                let detail = format!("more than the {} bytes its descriptor says", blob.size);
                return Err(registry(RegistryError::Content { url, detail }));
            }
            hasher.update(&bytes);
            if !sink(bytes).await {
                return Err(BlobError::Stopped);
            }
        }
        if *received < blob.size {
            let detail = format!("unexpected EOF after {received} of {} bytes", blob.size);
            return Err(registry(RegistryError::Transport { method: "GET", url, detail }));
        }
        Ok(())
    }

    fn blob_path(&self, blob: &Descriptor) -> String {
        format!("/v2/{}/blobs/{}", self.name, blob.digest)
    }

    async fn retrying<T, F: Future<Output = Result<T, RegistryError>>>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<T, Failed> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match request().await {
                Ok(done) => return Ok(done),
                Err(cause) if attempts < self.retries.attempts && cause.is_transient() => {
                    tracing::debug!(%cause, attempts, "registry request failed, trying again");
                    self.wait(attempts).await;
                }
                Err(cause) => return Err(Failed { attempts, cause }),
            }
        }
    }

    async fn wait(&self, attempts_made: u32) {
        tokio::time::sleep(self.retries.delay(attempts_made)).await;
    }

    /// A successful answer to GET, and the address that it came from: authorized, redirected.
    async fn get(&self, path: &str, headers: &HeaderMap) -> Result<(Response, String), RegistryError> {
        let url = self.endpoint.join(path)?;
        let sent = self.authorization.lock().await.clone();
        let mut response = self.follow(&url, headers, sent.as_ref()).await?;
        if response.0.status() == StatusCode::UNAUTHORIZED {
            let challenge = auth::challenge(response.0.headers());
            // Read to its end, so that the connection can be used again.
            let (refused, url_shown) = response;
            let body = self.http.collect(refused, MAX_ERROR_BYTES, &url_shown).await.unwrap_or_default();
            let Some(challenge) = challenge else { return Err(denied(&body)) };
            let renewed = self.authorize(&challenge, sent.as_ref()).await?;
            let Some(renewed) = renewed else { return Err(denied(&body)) };
            response = self.follow(&url, headers, Some(&renewed)).await?;
        }
        let (response, url) = response;
        if response.status().is_success() {
            return Ok((response, url));
        }
        Err(self.refusal(response, url).await)
    }

    /// Meets `challenge`. None when there is nothing better to send than what was `sent`.
    async fn authorize(
        &self,
        challenge: &auth::Challenge,
        sent: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let mut current = self.authorization.lock().await;
        // Another request of this pull met the challenge meanwhile.
        if current.as_ref() != sent {
            return Ok(current.clone());
        }
        let renewed = self.http.answer(challenge, &self.endpoint, &self.name, &self.credentials).await?;
        if renewed.is_some() {
            current.clone_from(&renewed);
        }
        Ok(renewed)
    }

    async fn follow(
        &self,
        url: &::http::Uri,
        headers: &HeaderMap,
        authorization: Option<&HeaderValue>,
    ) -> Result<(Response, String), RegistryError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut headers = headers.clone();
            if let Some(value) = authorization
                && url::same_origin(&url, &self.endpoint)
            {
                headers.insert(AUTHORIZATION, value.clone());
            }
            let shown = url::shown(&url);
            let response = self.http.send(Method::GET, &url, headers).await?;
            if !response.status().is_redirection() {
                return Ok((response, shown));
            }
            let location = response.headers().get(LOCATION).and_then(|v| v.to_str().ok());
            let next = location.and_then(|location| url::resolve(&url, location));
            url = next.ok_or_else(|| RegistryError::Content {
                url: shown.clone(),
                detail: "a redirect that leads nowhere".to_owned(),
            })?;
        }
        Err(RegistryError::Content {
            url: url::shown(&url),
            detail: format!("stopped after {MAX_REDIRECTS} redirects"),
        })
    }

    /// What a response that is no success means.
    async fn refusal(&self, response: Response, url: String) -> RegistryError {
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).cloned();
        let body = self.http.collect(response, MAX_ERROR_BYTES, &url).await.unwrap_or_default();
        let (code, message) = error_message(&body);
        tracing::debug!(%status, url, code, message, ?retry_after, "registry refused");
        match status {
            StatusCode::NOT_FOUND if code == "DENIED" || code == "UNAUTHORIZED" => {
                RegistryError::Denied { message }
            }
            StatusCode::NOT_FOUND => RegistryError::NotFound,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => denied(&body),
            _ => RegistryError::Status { method: "GET", url, status, message },
        }
    }
}

fn denied(body: &[u8]) -> RegistryError {
    let message = error_message(body).1;
    let message =
        if message.is_empty() { "insufficient_scope: authorization failed".to_owned() } else { message };
    RegistryError::Denied { message }
}

/// The first error of a registry's error document: its code, and `code: message` in lower case as clients show it.
fn error_message(body: &[u8]) -> (String, String) {
    #[derive(serde::Deserialize)]
    struct Document {
        errors: Vec<Member>,
    }
    #[derive(serde::Deserialize)]
    struct Member {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(document) = serde_json::from_slice::<Document>(body) else { return Default::default() };
    let Some(first) = document.errors.into_iter().next() else { return Default::default() };
    let text = match (first.code.is_empty(), first.message.is_empty()) {
        (true, _) => first.message,
        (false, true) => first.code.to_ascii_lowercase(),
        (false, false) => format!("{}: {}", first.code.to_ascii_lowercase(), first.message),
    };
    let text = text.chars().filter(|c| !c.is_control()).take(500).collect();
    (first.code, text)
}
