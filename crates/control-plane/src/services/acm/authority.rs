//! The authority that signs the certificates which users request: this platform's own, as there is no public one that would sign for names
//! that only this platform knows.
//!
//! It is made when the first certificate is requested, lives for ten years, and is the same for every account and region: who trusts its certificate
//! (the chain that GetCertificate gives) trusts everything that is requested here. It is not the authority of the front door, so that nobody
//! who may request certificates can pass for the platform itself. Its key is sealed twice over, under the key of certificates and by the store.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use state_store::Record;
use time::{Duration, OffsetDateTime};
use vocabulary::Timestamp;

use super::x509::{self, Facts};
use crate::{
    gateway::ApiError,
    services::{Services, ec2::records::global},
};

const ID: &str = "authority";
const CONTEXT: &str = "the authority of requested certificates";
const AUTHORITY_DAYS: i64 = 3650;
/// Thirteen months, as AWS's.
const CERTIFICATE_DAYS: i64 = 395;
/// Clocks of clients may be behind.
const EARLIER: Duration = Duration::hours(1);
/// The longest common name: X.520's upper bound.
const LONGEST_NAME: usize = 64;

/// The authority as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub struct Authority {
    /// In PEM.
    pub certificate: String,
    /// PKCS #8, sealed; base 64.
    sealed_key: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Record for Authority {
    const SERVICE: &'static str = "acm";
    const KIND: &'static str = "authority";
    const SCHEMA_VERSION: u32 = 1;
    const SEALED: bool = true;
}

/// A kind of key that certificates can be requested for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
}

impl Curve {
    fn algorithm(self) -> &'static SignatureAlgorithm {
        match self {
            Curve::P256 => &PKCS_ECDSA_P256_SHA256,
            Curve::P384 => &PKCS_ECDSA_P384_SHA384,
        }
    }
}

/// A fresh certificate with its key.
pub struct Issued {
    /// In PEM, as the others.
    pub body: String,
    pub chain: String,
    pub key: String,
    pub facts: Facts,
}

/// The authority, made when there is none.
///
/// # Errors
/// What the store says.
pub async fn ensure(services: &Services, now: Timestamp) -> Result<Arc<Authority>, ApiError> {
    let kept = services.state.read(|view| view.get::<Authority>(&global(), ID));
    if let Some(kept) = kept {
        return Ok(kept);
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(ApiError::internal)?;
    let certificate = params(now).self_signed(&key).map_err(ApiError::internal)?.pem();
    let sealed = services.certificate_keys.seal(CONTEXT, &key.serialize_der());
    let fresh = Authority { certificate, sealed_key: STANDARD.encode(sealed) };
    services
        .state
        .transact(|tx| {
            // Another request may have been faster.
            if let Some(kept) = tx.get::<Authority>(&global(), ID) {
                return Ok(kept);
            }
            tx.put(&global(), ID, fresh.clone());
            Ok::<_, ApiError>(Arc::new(fresh.clone()))
        })
        .await
}

fn at(now: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(now.as_millis().div_euclid(1000))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn params(now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Longshore");
    name.push(DnType::CommonName, "Longshore Certificate Authority");
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = at(now) - EARLIER;
    params.not_after = at(now) + Duration::days(AUTHORITY_DAYS);
    params
}

impl Authority {
    /// A certificate for these names, the first of which it is listed by.
    ///
    /// # Errors
    /// Internal ones only: names have been checked by the model.
    pub fn issue(
        &self,
        services: &Services,
        names: &[String],
        curve: Curve,
        now: Timestamp,
    ) -> Result<Issued, ApiError> {
        let sealed = STANDARD.decode(&self.sealed_key).map_err(ApiError::internal)?;
        let opened = services.certificate_keys.open(CONTEXT, &sealed);
        let opened = opened.ok_or_else(|| ApiError::internal(CannotOpen))?;
        let own =
            KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(opened), &PKCS_ECDSA_P256_SHA256)
                .map_err(ApiError::internal)?;
        let issuer = Issuer::new(params(now), own);
        let mut params = CertificateParams::new(names.to_vec()).map_err(ApiError::internal)?;
        let mut subject = DistinguishedName::new();
        if let Some(first) = names.first().filter(|name| name.len() <= LONGEST_NAME) {
            subject.push(DnType::CommonName, first.as_str());
        }
        params.distinguished_name = subject;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = at(now) - EARLIER;
        params.not_after = at(now) + Duration::days(CERTIFICATE_DAYS);
        let key = KeyPair::generate_for(curve.algorithm()).map_err(ApiError::internal)?;
        let body = params.signed_by(&key, &issuer).map_err(ApiError::internal)?.pem();
        let der = CertificateDer::from_pem_slice(body.as_bytes()).map_err(ApiError::internal)?;
        let facts = x509::read(&der).map_err(ApiError::internal)?;
        Ok(Issued { body, chain: self.certificate.clone(), key: key.serialize_pem(), facts })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the key of the authority cannot be opened with this installation's secret")]
struct CannotOpen;
