//! Two documents of a provider, over TLS.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde::{Deserialize, de::DeserializeOwned};
use sha1::{Digest, Sha1};

use super::KeySet;
use crate::services::iam::records::OidcProvider;

/// For one document, from the connection to its last byte.
const TIMEOUT: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 256 * 1024;

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

/// Why a provider's keys are not at hand.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{0} is not a URL of https")]
    Url(String),
    #[error("{0} did not answer within {TIMEOUT:?}")]
    Timeout(String),
    #[error("{url} could not be asked: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{url} answered with status {status}")]
    Status { url: String, status: StatusCode },
    #[error("{url} gave no {what}")]
    Document { url: String, what: &'static str },
    #[error("the provider at {0} says that it is another one")]
    Issuer(String),
}

/// The keys that the provider publishes.
///
/// # Errors
/// [`FetchError`].
pub async fn keys(provider: &OidcProvider) -> Result<KeySet, FetchError> {
    let tls = Arc::new(tls(&provider.thumbprints));
    let base = format!("https://{}", provider.url);
    let url = format!("{base}/.well-known/openid-configuration");
    let configuration: Configuration = document(&tls, &url, "configuration").await?;
    if configuration.issuer.trim_end_matches('/') != base {
        return Err(FetchError::Issuer(base));
    }
    document(&tls, &configuration.jwks_uri, "set of keys").await
}

async fn document<T: DeserializeOwned>(
    tls: &Arc<ClientConfig>,
    url: &str,
    what: &'static str,
) -> Result<T, FetchError> {
    let uri: Uri = url.parse().map_err(|_| FetchError::Url(url.to_owned()))?;
    if uri.scheme_str() != Some("https") {
        return Err(FetchError::Url(url.to_owned()));
    }
    let connector =
        HttpsConnectorBuilder::new().with_tls_config((**tls).clone()).https_only().enable_http1().build();
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let request = Request::get(uri)
        .header(header::ACCEPT, "application/json")
        .body(Empty::new())
        .map_err(|_| FetchError::Url(url.to_owned()))?;
    let answered = async {
        let unreachable = |error: &dyn std::error::Error| FetchError::Unreachable {
            url: url.to_owned(),
            reason: chain(error),
        };
        let answer = client.request(request).await.map_err(|error| unreachable(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status { url: url.to_owned(), status: answer.status() });
        }
        let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
        Ok(body.map_err(|error| unreachable(error.as_ref()))?.to_bytes())
    };
    let bytes =
        tokio::time::timeout(TIMEOUT, answered).await.map_err(|_| FetchError::Timeout(url.to_owned()))??;
    serde_json::from_slice(&bytes).map_err(|_| FetchError::Document { url: url.to_owned(), what })
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn tls(thumbprints: &[String]) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier {
        thumbprints: thumbprints.iter().map(|text| text.to_ascii_lowercase()).collect(),
        provider: Arc::clone(&provider),
    };
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth()
}

/// Trusts the machine's authorities, and certificates by their thumbprint: SHA-1, as IAM has it. A thumbprint of an authority makes that
/// authority trusted for this server; one of the server's own certificate makes that one trusted, under the names that it has.
#[derive(Debug)]
struct Verifier {
    thumbprints: Vec<String>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn is_known(&self, certificate: &CertificateDer<'_>) -> bool {
        self.thumbprints.contains(&hex::encode(Sha1::digest(certificate.as_ref())))
    }

    fn by_roots(
        &self,
        roots: RootCertStore,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider)).build();
        let verifier = verifier.map_err(|error| Error::General(error.to_string()))?;
        let (own, rest) = chain.split_first().ok_or_else(|| Error::General("no certificate".to_owned()))?;
        verifier.verify_server_cert(own, rest, name, &[], now)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<CertificateDer<'_>> =
            std::iter::once(own.clone()).chain(rest.iter().cloned()).collect();
        if self.is_known(own) {
            let parsed = webpki::EndEntityCert::try_from(own)
                .map_err(|error| Error::General(format!("the certificate cannot be read: {error}")))?;
            return match parsed.verify_is_valid_for_subject_name(name) {
                Ok(()) => Ok(ServerCertVerified::assertion()),
                Err(_) => Err(Error::General("the certificate is of another name".to_owned())),
            };
        }
        let mut pinned = RootCertStore::empty();
        for certificate in rest.iter().filter(|certificate| self.is_known(certificate)) {
            // One that cannot be an authority is passed over; the chain then does not end at it.
            let _ = pinned.add(certificate.clone().into_owned());
        }
        if !pinned.is_empty()
            && let Ok(verified) = self.by_roots(pinned, &chain, name, now)
        {
            return Ok(verified);
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Error::General("the machine trusts no authorities".to_owned()));
        }
        self.by_roots(roots, &chain, name, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
