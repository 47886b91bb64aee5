//! The certificate that a door shows: the operator's files, or one that the platform's own authority signs.
//!
//! Both are renewed while the door is open: files that have changed are read anew, looked at no more than once in half a minute; the
//! authority's certificate is replaced when two thirds of its life are over. A renewal that fails leaves what there was and is told in the
//! log. TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use time::OffsetDateTime;
use tokio_rustls::TlsAcceptor;

use super::authority::Authority;

/// Files are looked at no more often.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// Why a door cannot have TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} cannot be used: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{0} was sealed under another root key")]
    Sealed(PathBuf),
    #[error("{} is no certificate or key in PEM: {reason}", .path.display())]
    Pem { path: PathBuf, reason: String },
    #[error("certificate and key do not fit: {0}")]
    Unfit(#[from] rustls::Error),
    #[error("no certificate could be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// What the operator brings, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and those that lead to a known authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// TLS for a door.
pub struct Tls {
    pub acceptor: TlsAcceptor,
    /// The certificate that clients have to trust, in PEM; none where the operator brought a certificate, whose clients know it.
    pub authority: Option<String>,
}

impl Tls {
    /// With the operator's files.
    ///
    /// # Errors
    /// When they cannot be read or do not fit.
    pub fn of_files(files: CertificateFiles) -> Result<Tls, TlsError> {
        let (current, changed) = (read(&files)?, changed(&files));
        let state = RwLock::new(FileState { current, changed, looked: Instant::now() });
        Ok(Tls { acceptor: acceptor(Arc::new(OfFiles { files, state }))?, authority: None })
    }

    /// With a certificate for `names`, signed by the authority.
    ///
    /// # Errors
    /// Names that cannot stand in a certificate.
    pub fn of_own(authority: Arc<Authority>, names: Vec<String>) -> Result<Tls, TlsError> {
        let certificate = authority.certificate.clone();
        let current = RwLock::new(authority.certify(&names)?);
        let own = Arc::new(OfAuthority { authority, names, current });
        Ok(Tls { acceptor: acceptor(own)?, authority: Some(certificate) })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

fn acceptor(certificates: Arc<dyn ResolvesServerCert>) -> Result<TlsAcceptor, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read(files: &CertificateFiles) -> Result<Arc<CertifiedKey>, TlsError> {
    let text =
        |path: &PathBuf| fs::read(path).map_err(|source| TlsError::File { path: path.clone(), source });
    let pem = |path: &PathBuf, reason: String| TlsError::Pem { path: path.clone(), reason };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text(&files.certificate)?)
        .collect::<Result<_, _>>()
        .map_err(|error| pem(&files.certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(pem(&files.certificate, "it holds no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&text(&files.key)?)
        .map_err(|error| pem(&files.key, error.to_string()))?;
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &ring::default_provider())?))
}

/// When the files were written last.
fn changed(files: &CertificateFiles) -> [Option<SystemTime>; 2] {
    [&files.certificate, &files.key].map(|path| fs::metadata(path).and_then(|file| file.modified()).ok())
}

struct FileState {
    current: Arc<CertifiedKey>,
    changed: [Option<SystemTime>; 2],
    looked: Instant,
}

struct OfFiles {
    files: CertificateFiles,
    state: RwLock<FileState>,
}

impl OfFiles {
    fn renew(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() < LOOK_INTERVAL {
            return;
        }
        state.looked = Instant::now();
        let changed = changed(&self.files);
        if changed == state.changed {
            return;
        }
        state.changed = changed;
        match read(&self.files) {
            Ok(fresh) => {
                state.current = fresh;
                tracing::info!("the front door's certificate was read anew");
            }
            Err(error) => tracing::error!(%error, "the front door keeps its old certificate"),
        }
    }
}

impl ResolvesServerCert for OfFiles {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let due = self.state.read().unwrap_or_else(PoisonError::into_inner).looked.elapsed() >= LOOK_INTERVAL;
        if due {
            self.renew();
        }
        Some(Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).current))
    }
}

impl std::fmt::Debug for OfFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OfFiles").field(&self.files).finish()
    }
}

struct OfAuthority {
    authority: Arc<Authority>,
    names: Vec<String>,
    current: RwLock<(Arc<CertifiedKey>, OffsetDateTime)>,
}

impl ResolvesServerCert for OfAuthority {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (current, until) = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if OffsetDateTime::now_utc() < until {
            return Some(current);
        }
        match self.authority.certify(&self.names) {
            Ok(fresh) => {
                let shown = Arc::clone(&fresh.0);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
                Some(shown)
            }
            Err(error) => {
                tracing::error!(%error, "the front door keeps its old certificate");
                Some(current)
            }
        }
    }
}

impl std::fmt::Debug for OfAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OfAuthority").field(&self.names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SealingKey;

    #[test]
    fn the_authority_stays_the_same_and_its_key_is_not_to_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let seal = SealingKey::new([1; 32]);
        let names = || vec!["192.0.2.7".to_owned(), "door.example".to_owned()];
        let of = |seal: &SealingKey| {
            Authority::open(Some(folder.path()), seal).and_then(|own| Tls::of_own(Arc::new(own), names()))
        };
        let first = of(&seal).unwrap().authority.unwrap();
        assert!(first.starts_with("-----BEGIN CERTIFICATE-----"));
        let again = of(&seal).unwrap().authority.unwrap();
        assert_eq!(again, first);
        let other = of(&SealingKey::new([2; 32]));
        assert!(matches!(other, Err(TlsError::Sealed(_))));
        let key = fs::read(folder.path().join("authority.key")).unwrap();
        assert!(rcgen::KeyPair::try_from(key.as_slice()).is_err());
    }

    /// What a client that trusts the authority, and nothing else, makes of a certificate for a name.
    #[test]
    fn clients_that_trust_the_authority_take_its_certificates() {
        let authority = Authority::open(None, &SealingKey::new([1; 32])).unwrap();
        let (shown, _) = authority.certify(&["192.0.2.7".to_owned(), "door.example".to_owned()]).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap()).unwrap();
        let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::new(ring::default_provider()),
        )
        .build()
        .unwrap();
        let now = rustls::pki_types::UnixTime::now();
        let fits = |name: &str| {
            let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
            rustls::client::danger::ServerCertVerifier::verify_server_cert(
                &*verifier,
                &shown.cert[0],
                &[],
                &name,
                &[],
                now,
            )
            .is_ok()
        };
        assert!(fits("192.0.2.7") && fits("door.example"));
        assert!(!fits("192.0.2.8") && !fits("other.example"));
    }
}
