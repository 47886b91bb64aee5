//! A certificate authority of the platform's own, for doors whose operator brings no certificate.
//!
//! Its key is made at the first start and lies in the data directory, sealed under the root key; the certificates that it signs live for
//! ninety days, and their keys never leave memory. Who trusts the authority's certificate trusts every door of this platform, also after
//! a restart and under another address. It may sign for servers only and no further authorities.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use time::{Duration, OffsetDateTime};

use super::tls::TlsError;
use crate::secret::SealingKey;

const AUTHORITY_YEARS: i64 = 10;
const CERTIFICATE_DAYS: i64 = 90;
/// Clocks of clients may be behind.
const EARLIER: Duration = Duration::hours(1);

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// What clients have to trust, in PEM.
    pub certificate: String,
}

impl Authority {
    /// The authority kept in `directory`, made when there is none; with none it goes with the process.
    ///
    /// # Errors
    /// What the disk says, and a key that another root key sealed.
    pub fn open(directory: Option<&Path>, seal: &SealingKey) -> Result<Authority, TlsError> {
        const CONTEXT: &str = "the authority's key";
        let Some(directory) = directory else {
            return Authority::with_key(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?, None);
        };
        let files = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::File { path, source }
        };
        fs::create_dir_all(directory).map_err(files(directory))?;
        let (key_path, certificate_path) = (directory.join("authority.key"), directory.join("authority.pem"));
        match fs::read(&key_path) {
            Ok(sealed) => {
                let plain = seal.open(CONTEXT, &sealed).ok_or_else(|| TlsError::Sealed(key_path.clone()))?;
                let der = PrivatePkcs8KeyDer::from(plain);
                let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)?;
                let certificate = fs::read_to_string(&certificate_path).map_err(files(&certificate_path))?;
                Authority::with_key(key, Some(certificate))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
                let sealed = seal.seal(CONTEXT, &key.serialize_der());
                let authority = Authority::with_key(key, None)?;
                // The key comes last: one without its certificate would be kept for good.
                fs::write(&certificate_path, &authority.certificate).map_err(files(&certificate_path))?;
                let draft: PathBuf = directory.join("authority.key.new");
                fs::write(&draft, sealed).map_err(files(&draft))?;
                fs::rename(&draft, &key_path).map_err(files(&key_path))?;
                Ok(authority)
            }
            Err(source) => Err(TlsError::File { path: key_path, source }),
        }
    }

    fn with_key(key: KeyPair, certificate: Option<String>) -> Result<Authority, TlsError> {
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "Longshore authority");
        params.distinguished_name = name;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = OffsetDateTime::now_utc();
        params.not_before = now - EARLIER;
        params.not_after = now + Duration::days(365 * AUTHORITY_YEARS);
        let certificate = match certificate {
            Some(certificate) => certificate,
            None => params.self_signed(&key)?.pem(),
        };
        Ok(Authority { issuer: Issuer::new(params, key), certificate })
    }

    /// A fresh certificate for these names and addresses, with its key, and when it should be replaced.
    ///
    /// # Errors
    /// Names that cannot stand in a certificate.
    pub fn certify(&self, names: &[String]) -> Result<(Arc<CertifiedKey>, OffsetDateTime), TlsError> {
        let now = OffsetDateTime::now_utc();
        let mut params = CertificateParams::default();
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, "Longshore");
        params.distinguished_name = subject;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = now - EARLIER;
        params.not_after = now + Duration::days(CERTIFICATE_DAYS);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())?;
        Ok((Arc::new(certified), now + Duration::days(CERTIFICATE_DAYS * 2 / 3)))
    }
}
