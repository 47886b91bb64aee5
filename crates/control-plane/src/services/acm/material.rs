//! Certificates, chains and keys as they are imported: checked as a whole before anything is kept.

use std::time::Duration;

use rustls::{
    InconsistentKeys,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};
use vocabulary::Timestamp;

use super::{errors::invalid, x509, x509::Facts};
use crate::gateway::ApiError;

/// Certificates of a chain.
const MOST_CHAINED: usize = 10;

/// What was imported, and belongs together.
pub struct Material {
    pub body: String,
    pub chain: Option<String>,
    /// In PEM.
    pub key: String,
    pub facts: Facts,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Material {:?}", self.facts.domain_name())
    }
}

/// Checks certificate, chain and key against each other.
///
/// # Errors
/// `ValidationException`. No message shows anything of a key.
pub fn check(body: &[u8], chain: Option<&[u8]>, key: &[u8], now: Timestamp) -> Result<Material, ApiError> {
    let text = |bytes: &[u8], what: &str| {
        String::from_utf8(bytes.to_vec()).map_err(|_| invalid(format!("The {what} is not PEM-encoded text.")))
    };
    let leaf = match certificates(body, "certificate")?.as_slice() {
        [one] => one.clone(),
        [] => {
            return Err(invalid(
                "Could not parse the certificate. It must be one PEM-encoded X.509 certificate.",
            ));
        }
        _ => {
            return Err(invalid(
                "The certificate field contains more than one certificate. You can specify only one certificate in this field.",
            ));
        }
    };
    let chained = match chain {
        None => Vec::new(),
        Some(chain) => {
            let chained = certificates(chain, "certificate chain")?;
            if chained.is_empty() || chained.len() > MOST_CHAINED {
                return Err(invalid("Could not parse the certificate chain."));
            }
            chained
        }
    };
    let facts = x509::read(&leaf).map_err(|error| invalid(format!("The certificate is {error}.")))?;
    if facts.key_algorithm.is_none() {
        return Err(invalid("The kind of the certificate's key is not supported."));
    }
    if facts.not_after <= now {
        return Err(invalid("The certificate has expired."));
    }
    if facts.not_before > now {
        return Err(invalid("The certificate is not valid yet."));
    }
    if facts.domain_name().is_none() {
        return Err(invalid("The certificate names no domain."));
    }
    matching(&leaf, key)?;
    leads(&leaf, &chained, now)?;
    Ok(Material {
        body: text(body, "certificate")?,
        chain: chain.map(|chain| text(chain, "certificate chain")).transpose()?,
        key: text(key, "private key")?,
        facts,
    })
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, ApiError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).take(MOST_CHAINED + 1).collect();
    parsed.map_err(|_| invalid(format!("Could not parse the {what}. It must be PEM-encoded.")))
}

/// Whether the key is the certificate's, and of a kind that load balancers can use.
fn matching(leaf: &CertificateDer<'static>, key: &[u8]) -> Result<(), ApiError> {
    // The causes are left out: a parser may quote what it read.
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| invalid("Could not parse the private key. It must be PEM-encoded and not encrypted."))?;
    let key = ring::default_provider()
        .key_provider
        .load_private_key(key)
        .map_err(|_| invalid("The private key is not supported."))?;
    match CertifiedKey::new(vec![leaf.clone()], key).keys_match() {
        Ok(()) => Ok(()),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(invalid("The private key does not match the certificate."))
        }
        Err(_) => Err(invalid("The certificate cannot be used with the private key.")),
    }
}

/// Whether each certificate of the chain signs the one before it.
fn leads(leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), ApiError> {
    let Some((last, between)) = chain.split_last() else { return Ok(()) };
    let broken = |why: webpki::Error| {
        invalid(format!("The certificate chain does not lead from the certificate to its authority: {why}."))
    };
    let anchor = webpki::anchor_from_trusted_cert(last).map_err(broken)?;
    let leaf = webpki::EndEntityCert::try_from(leaf).map_err(broken)?;
    let seconds = u64::try_from(now.as_millis() / 1000).unwrap_or(0);
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &[anchor],
        between,
        UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        webpki::KeyUsage::server_auth(),
        None,
        None,
    )
    .map(drop)
    .map_err(broken)
}
