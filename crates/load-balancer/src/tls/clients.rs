//! Certificates that clients show, for listeners with mutual TLS: who is let in, and what targets are told. Source: the guide's pages
//! "Mutual authentication with TLS".
//!
//! A trust store's bundle may hold roots and authorities between them and the clients. Those whose issuer is in the bundle too only help to
//! build the way, while they last; the others are what is trusted, also when they are no roots, and for as long as they are in the bundle.
//! Revocation lists count for the authorities that they are from, all of them where one has several; where an authority has none,
//! nothing of it is revoked. How old a list is does not matter, so that one that is not renewed goes on to keep out whom it names.
//!
//! Whoever is let in has shown that the key is theirs, in either mode. A session that is resumed keeps the certificate that it began with; a
//! changed trust store ends resumption, because sessions belong to the configuration.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use routing::config::{ClientCertificates, TrustStore};
use rustls::{
    CertRevocationListError, CertificateError, DistinguishedName, Error, OtherError, RootCertStore,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms},
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime, pem::PemObject},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use webpki::{
    CertRevocationList, EndEntityCert, KeyUsage, OwnedCertRevocationList, RevocationOptionsBuilder,
    UnknownStatusPolicy, VerifiedPath,
};

use super::{certificate, signatures::by_algorithms};

/// Certificates that a client may show, its own among them: as documented.
const MOST_SHOWN: usize = 4;

/// Who is let in.
///
/// # Errors
/// What of the trust store cannot be used, for people to read.
pub(crate) fn verifier(
    wanted: &ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    match wanted {
        ClientCertificates::Off => Ok(WebPkiClientVerifier::no_client_auth()),
        ClientCertificates::PassThrough => Ok(Arc::new(Anyone(Arc::clone(provider)))),
        ClientCertificates::Verify(store) => {
            let vouched = Vouched::new(store, provider);
            vouched
                .map(|vouched| Arc::new(vouched) as Arc<dyn ClientCertVerifier>)
                .map_err(|why| format!("trust store {}: {why}", store.arn))
        }
    }
}

/// Asks for a certificate and takes any, also none.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ClientCertVerifier for Anyone {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if others.len() >= MOST_SHOWN || certificate::read(own).is_none() {
            return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
        }
        Ok(ClientCertVerified::assertion())
    }

    by_algorithms!(self => self.0.signature_verification_algorithms);
}

/// Lets those in whom a trust store vouches for.
#[derive(Debug)]
struct Vouched {
    /// Knows of no revocation.
    verifier: Arc<dyn ClientCertVerifier>,
    roots: Arc<RootCertStore>,
    lists: Vec<CertRevocationList<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    /// Authorities of the bundle that others of it vouch for.
    between: Vec<CertificateDer<'static>>,
    ignore_expiry: bool,
}

impl Vouched {
    fn new(store: &TrustStore, provider: &Arc<CryptoProvider>) -> Result<Vouched, String> {
        let authorities: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(store.authorities_pem.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|error| error.to_string())?;
        let names: Vec<_> = authorities
            .iter()
            .map(|one| certificate::read(one).map(|one| (one.raw_subject.to_vec(), one.raw_issuer.to_vec())))
            .collect::<Option<_>>()
            .ok_or("an authority's certificate is not in the form of X.509")?;
        let mut roots = RootCertStore::empty();
        let mut between = Vec::new();
        for (authority, (subject, issuer)) in authorities.into_iter().zip(&names) {
            let vouched_for = subject != issuer && names.iter().any(|(other, _)| other == issuer);
            if vouched_for {
                between.push(authority);
            } else {
                roots.add(authority).map_err(|error| error.to_string())?;
            }
        }
        let mut lists = Vec::new();
        for pem in &store.revocations_pem {
            for list in CertificateRevocationListDer::pem_slice_iter(pem.as_bytes()) {
                let list = list.map_err(|error| error.to_string())?;
                let list = OwnedCertRevocationList::from_der(&list).map_err(|error| error.to_string())?;
                lists.push(list.into());
            }
        }
        let roots = Arc::new(roots);
        let mut builder =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider));
        if !store.advertise {
            builder = builder.clear_root_hint_subjects();
        }
        let verifier = builder.build().map_err(|error| error.to_string())?;
        let algorithms = provider.signature_verification_algorithms;
        Ok(Vouched { verifier, roots, lists, algorithms, between, ignore_expiry: store.ignore_expiry })
    }

    /// Whether there is a way from a root to the client, over these, on which nothing was revoked.
    fn vouch(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        at: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let lists: Vec<_> = self.lists.iter().collect();
        let Ok(revocation) = RevocationOptionsBuilder::new(&lists) else {
            return self.verifier.verify_client_cert(own, between, at);
        };
        let revocation = revocation.with_status_policy(UnknownStatusPolicy::Allow).build();
        let named = |path: &VerifiedPath<'_>| none_is_named(path, &self.lists);
        let client = EndEntityCert::try_from(own)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let way = client.verify_for_usage(
            self.algorithms.all,
            &self.roots.roots,
            between,
            at,
            KeyUsage::client_auth(),
            Some(revocation),
            Some(&named),
        );
        match way {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(webpki::Error::CertRevoked) => Err(CertificateError::Revoked.into()),
            Err(webpki::Error::InvalidCrlSignatureForPublicKey) => {
                Err(CertRevocationListError::BadSignature.into())
            }
            Err(why) => {
                // Said as it is said without lists, unless it is about them.
                self.verifier.verify_client_cert(own, between, at)?;
                Err(CertRevocationListError::Other(OtherError(Arc::new(why))).into())
            }
        }
    }
}

/// Refuses a way on which something is named by any list of its issuer. By itself, the library consults and verifies the first list of
/// an issuer alone; the others are taken at their word, since all that they can do is to keep somebody out.
fn none_is_named(path: &VerifiedPath<'_>, lists: &[CertRevocationList<'_>]) -> Result<(), webpki::Error> {
    let own = path.end_entity();
    let mut all = vec![(own.issuer(), own.serial())];
    all.extend(path.intermediate_certificates().map(|one| (one.issuer(), one.serial())));
    for list in lists {
        for (issuer, serial) in &all {
            if list.issuer() == *issuer && list.find_serial(serial)?.is_some() {
                return Err(webpki::Error::CertRevoked);
            }
        }
    }
    Ok(())
}

/// Whether a certificate has not expired; `false` for what is none.
fn lasts(certificate: &[u8], now: UnixTime) -> bool {
    certificate::read(certificate)
        .and_then(|facts| facts.not_after_unix())
        .is_some_and(|until| until >= now.as_secs())
}

impl ClientCertVerifier for Vouched {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // What targets will be told has to be readable.
        let facts = certificate::read(own).filter(|_| others.len() < MOST_SHOWN);
        let Some(facts) = facts else {
            return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
        };
        let between: Vec<CertificateDer<'_>> =
            others.iter().chain(&self.between).map(|one| CertificateDer::from(one.as_ref())).collect();
        match self.vouch(own, &between, now) {
            // As it was when it ended, by authorities that have not: one of an authority that has expired stays refused.
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }))
                if self.ignore_expiry && facts.not_after_unix() == Some(not_after.as_secs()) =>
            {
                let lasting: Vec<_> = between.iter().filter(|one| lasts(one, now)).cloned().collect();
                self.vouch(own, &lasting, not_after).map_err(|why| match why {
                    Error::InvalidCertificate(CertificateError::UnknownIssuer)
                        if lasting.len() < between.len() =>
                    {
                        CertificateError::ExpiredContext { time, not_after }.into()
                    }
                    why => why,
                })
            }
            other => other,
        }
    }

    by_algorithms!(self => self.algorithms);
}

/// What targets are told of clients' certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    /// All that the client has shown.
    Chain,
    /// What stands in its own certificate.
    Facts,
}

/// What the names of the headers begin with.
const PREFIX: &[u8] = b"x-amzn-mtls-clientcert";

impl Told {
    pub(crate) fn of(wanted: &ClientCertificates) -> Told {
        match wanted {
            ClientCertificates::Off => Told::Nothing,
            ClientCertificates::PassThrough => Told::Chain,
            ClientCertificates::Verify(_) => Told::Facts,
        }
    }

    /// Whether a header is the load balancer's alone to send: a client that sends it claims to be somebody.
    pub(crate) fn is_own(self, name: &[u8]) -> bool {
        self != Told::Nothing
            && name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
    }

    /// Headers for a client that has shown these, its own certificate first.
    pub(crate) fn tell(self, shown: &[CertificateDer<'_>]) -> Vec<(&'static str, String)> {
        let Some((own, _)) = shown.split_first() else { return Vec::new() };
        match self {
            Told::Nothing => Vec::new(),
            Told::Chain => {
                let chain: String = shown.iter().map(|one| escaped(&pem(one))).collect();
                vec![("X-Amzn-Mtls-Clientcert", chain)]
            }
            Told::Facts => {
                let Some(facts) = certificate::read(own) else { return Vec::new() };
                vec![
                    ("X-Amzn-Mtls-Clientcert-Serial-Number", facts.serial.clone()),
                    ("X-Amzn-Mtls-Clientcert-Issuer", facts.issuer()),
                    ("X-Amzn-Mtls-Clientcert-Subject", facts.subject()),
                    ("X-Amzn-Mtls-Clientcert-Validity", facts.validity()),
                    ("X-Amzn-Mtls-Clientcert-Leaf", escaped(&pem(own))),
                ]
            }
        }
    }
}

fn pem(certificate: &[u8]) -> String {
    const LINE: usize = 64;
    let text = STANDARD.encode(certificate);
    let mut pem = String::with_capacity(text.len() + text.len() / LINE + 64);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// As in an address, `+`, `=` and `/` left as they are.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'+' | b'=' | b'/' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
pub(crate) mod tests;
