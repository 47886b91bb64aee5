//! TLS toward clients, made from a listener's certificates and policies, and toward targets.
//!
//! A client gets the first certificate whose names the one it asks for is among, the listener's default otherwise, as the guide says of
//! certificate lists. Targets' certificates are not looked at: who may be a target is decided by registration and security
//! groups, and self-signed certificates are what targets have. What clients show is [`clients`]' matter.

pub(crate) mod certificate;
pub(crate) mod clients;
mod signatures;

use std::sync::Arc;

use routing::config::{Certificate, Listener};
use rustls::{
    ClientConfig, ServerConfig, SupportedProtocolVersion,
    client::danger::{ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use signatures::by_algorithms;

/// The TLS side of an encrypted listener. `protocols` are offered in this order (ALPN); none: the client's wish is not answered.
///
/// # Errors
/// What of the certificates cannot be used, for people to read.
pub(crate) fn of_listener(listener: &Listener, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let certificates: Vec<Named> =
        listener.certificates.iter().map(|one| Named::read(one, &provider)).collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        return Err("the listener has no certificate".to_owned());
    }
    let clients = clients::verifier(&listener.client_certificates, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(listener.ssl_policy.as_deref().unwrap_or_default()))
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(ByName(certificates)));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// The protocols that an ALPN policy of a TLS listener names.
pub(crate) fn protocols(alpn_policy: Option<&str>) -> &'static [&'static [u8]] {
    match alpn_policy {
        Some("HTTP1Only") => &[b"http/1.1", b"http/1.0"],
        Some("HTTP2Only") => &[b"h2"],
        Some("HTTP2Optional") => &[b"http/1.1", b"http/1.0", b"h2"],
        Some("HTTP2Preferred") => &[b"h2", b"http/1.1", b"http/1.0"],
        _ => &[],
    }
}

/// Versions that a policy allows, as far as there is an implementation: 1.2 and 1.3. Policies that allow older ones get what is left.
fn versions(policy: &str) -> Vec<&'static SupportedProtocolVersion> {
    if policy.starts_with("ELBSecurityPolicy-TLS13-1-3") {
        vec![&TLS13]
    } else if policy.starts_with("ELBSecurityPolicy-TLS13") || policy.is_empty() {
        vec![&TLS13, &TLS12]
    } else {
        vec![&TLS12]
    }
}

/// A certificate that can be shown, and the names it is for, in lower case.
#[derive(Debug)]
struct Named {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
}

impl Named {
    fn read(certificate: &Certificate, provider: &CryptoProvider) -> Result<Named, String> {
        let unusable = |why: String| format!("certificate {}: {why}", certificate.arn);
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|error| unusable(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(certificate.private_key_pem.expose().as_bytes())
            .map_err(|error| unusable(error.to_string()))?;
        let key =
            CertifiedKey::from_der(chain, key, provider).map_err(|error| unusable(error.to_string()))?;
        let own = key.end_entity_cert().map_err(|error| unusable(error.to_string()))?;
        // One whose names cannot be read is still good as a default.
        let names = webpki::EndEntityCert::try_from(own)
            .map(|own| own.valid_dns_names().map(str::to_ascii_lowercase).collect())
            .unwrap_or_default();
        Ok(Named { key: Arc::new(key), names })
    }

    fn is_for(&self, name: &str) -> bool {
        are_for(&self.names, name)
    }
}

/// RFC 6125 §6.4: `*` stands for the whole leftmost label.
fn are_for(names: &[String], name: &str) -> bool {
    names.iter().any(|own| match own.strip_prefix("*.") {
        Some(domain) => name.split_once('.').is_some_and(|(_, rest)| rest == domain),
        None => own == name,
    })
}

/// Tells which certificate a client is shown.
#[derive(Debug)]
pub(crate) struct ByCertificate(Vec<(String, Vec<String>)>);

impl ByCertificate {
    /// Of a listener's certificates, the default first.
    pub(crate) fn new(certificates: &[Certificate]) -> ByCertificate {
        let provider = ring::default_provider();
        let names =
            |one: &Certificate| Named::read(one, &provider).map(|named| named.names).unwrap_or_default();
        ByCertificate(certificates.iter().map(|one| (one.arn.clone(), names(one))).collect())
    }

    /// The ARN of the one for a client that asked for this name.
    pub(crate) fn shown_to(&self, name: Option<&str>) -> Option<&str> {
        let name = name.map(str::to_ascii_lowercase);
        let named = name.and_then(|name| self.0.iter().find(|(_, own)| are_for(own, &name)));
        named.or(self.0.first()).map(|(arn, _)| arn.as_str())
    }
}

#[derive(Debug)]
struct ByName(Vec<Named>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().map(str::to_ascii_lowercase);
        let named = asked.and_then(|name| self.0.iter().find(|one| one.is_for(&name)));
        named.or(self.0.first()).map(|one| Arc::clone(&one.key))
    }
}

/// TLS toward targets, without a look at who they say they are.
pub(crate) fn to_targets() -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Anyone(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("the provider has both versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Arc::new(config)
}

#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    by_algorithms!(self => self.0.signature_verification_algorithms);
}

#[cfg(test)]
mod tests;
