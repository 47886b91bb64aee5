//! Who is let in, with certificates made on the spot.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::crypto::ring;

use super::*;

/// An authority: its certificate in PEM, and what it signs with.
pub(crate) struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A client's certificate with its key.
pub(crate) struct Client {
    pub certificate: CertificateDer<'static>,
    pub key: KeyPair,
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    params
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        Authority::signed(name, None)
    }

    fn signed(name: &str, by: Option<&Authority>) -> Authority {
        let (mut params, key) = (named(name), key());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(SerialNumber::from(77_u64));
        let certificate = match by {
            Some(by) => params.signed_by(&key, &by.issuer),
            None => params.self_signed(&key),
        };
        Authority { pem: certificate.expect("signed").pem(), issuer: Issuer::new(params, key) }
    }

    /// A certificate with this number, good until a year begins.
    pub(crate) fn client(&self, number: u64, until: i32) -> Client {
        let (mut params, key) = (named("client, one"), key());
        params.distinguished_name.push(DnType::OrganizationName, "Ünits + more");
        params.distinguished_name.push(DnType::CountryName, "DE");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from(number));
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        Client { certificate: certificate.der().clone(), key }
    }

    pub(crate) fn revoking(&self, number: u64) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(number),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            // Long ago: an old list goes on to count.
            next_update: date_time_ymd(2021, 2, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("signed").pem().expect("PEM")
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM")
    }
}

pub(crate) fn trusting(authorities: &[&Authority]) -> TrustStore {
    TrustStore {
        arn: "arn:store".to_owned(),
        authorities_pem: authorities.iter().map(|one| one.pem.as_str()).collect(),
        ..TrustStore::default()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What is made of a client in the middle of 2025.
fn ask(store: TrustStore, own: &Client, others: &[CertificateDer<'_>]) -> Result<(), Error> {
    let verifier = verifier(&ClientCertificates::Verify(store), &provider()).expect("a usable store");
    assert!(verifier.offer_client_auth() && verifier.client_auth_mandatory());
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_750_000_000));
    verifier.verify_client_cert(&own.certificate, others, now).map(drop)
}

fn why(answer: Result<(), Error>) -> CertificateError {
    match answer {
        Err(Error::InvalidCertificate(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_trust_store_decides_who_is_let_in() {
    let (own, other) = (Authority::new("own"), Authority::new("other"));
    let client = own.client(5, 2029);
    assert_eq!(ask(trusting(&[&own]), &client, &[]), Ok(()));
    assert_eq!(ask(trusting(&[&other, &own]), &client, &[]), Ok(()));
    assert_eq!(why(ask(trusting(&[&other]), &client, &[])), CertificateError::UnknownIssuer);
    // An authority of the same name with another key.
    let impostor = Authority::new("own");
    assert_eq!(why(ask(trusting(&[&impostor]), &client, &[])), CertificateError::BadSignature);
    let crowd = vec![client.certificate.clone(); MOST_SHOWN];
    assert_eq!(why(ask(trusting(&[&own]), &client, &crowd)), CertificateError::BadEncoding);
}

#[test]
fn expiry_of_clients_may_be_ignored_and_of_authorities_not() {
    let own = Authority::new("own");
    let expired = own.client(5, 2024);
    let ignoring = |store: TrustStore| TrustStore { ignore_expiry: true, ..store };
    assert!(matches!(why(ask(trusting(&[&own]), &expired, &[])), CertificateError::ExpiredContext { .. }));
    assert_eq!(ask(ignoring(trusting(&[&own])), &expired, &[]), Ok(()));
    let revoked = TrustStore { revocations_pem: vec![own.revoking(5)], ..trusting(&[&own]) };
    assert_eq!(why(ask(ignoring(revoked), &expired, &[])), CertificateError::Revoked);
    // One between the root and the client that has expired.
    let mut params = named("between");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = date_time_ymd(2024, 1, 1);
    let key = key();
    let between = params.signed_by(&key, &own.issuer).expect("signed");
    let between = Authority { pem: between.pem(), issuer: Issuer::new(params, key) };
    let client = between.client(6, 2029);
    let answer = ask(ignoring(trusting(&[&own])), &client, &[between.der()]);
    assert!(matches!(why(answer), CertificateError::ExpiredContext { .. }));
    // It does not help that the client's own ended when that of the one between still held, whoever shows it.
    let client = between.client(7, 2023);
    let answer = ask(ignoring(trusting(&[&own])), &client, &[between.der()]);
    assert!(matches!(why(answer), CertificateError::ExpiredContext { .. }));
    let answer = ask(ignoring(trusting(&[&own, &between])), &client, &[]);
    assert!(matches!(why(answer), CertificateError::ExpiredContext { .. }));
    // One between that goes on does.
    let between = Authority::signed("goes on", Some(&own));
    let client = between.client(8, 2023);
    assert_eq!(ask(ignoring(trusting(&[&own])), &client, &[between.der()]), Ok(()));
}

#[test]
fn revoked_certificates_are_refused() {
    let (own, other) = (Authority::new("own"), Authority::new("other"));
    let client = own.client(5, 2029);
    let with = |lists: Vec<String>| TrustStore { revocations_pem: lists, ..trusting(&[&own]) };
    assert_eq!(why(ask(with(vec![own.revoking(5)]), &client, &[])), CertificateError::Revoked);
    assert_eq!(ask(with(vec![own.revoking(6)]), &client, &[]), Ok(()));
    // What another authority takes back is its own.
    assert_eq!(ask(with(vec![other.revoking(5)]), &client, &[]), Ok(()));
    assert_eq!(
        why(ask(with(vec![other.revoking(5), own.revoking(5)]), &client, &[])),
        CertificateError::Revoked
    );
    // All lists of an authority count.
    let both = || with(vec![own.revoking(6), own.revoking(5)]);
    for number in [5, 6] {
        let answer = ask(both(), &own.client(number, 2029), &[]);
        assert_eq!(why(answer), CertificateError::Revoked, "{number}");
    }
    assert_eq!(ask(both(), &own.client(7, 2029), &[]), Ok(()));
    // What keeps others out is said as ever.
    let answer = ask(both(), &own.client(7, 2024), &[]);
    assert!(matches!(why(answer), CertificateError::ExpiredContext { .. }));
    assert_eq!(why(ask(both(), &other.client(7, 2029), &[])), CertificateError::UnknownIssuer);
}

#[test]
fn authorities_between_may_stand_in_the_bundle() {
    let root = Authority::new("root");
    let between = Authority::signed("between", Some(&root));
    let client = between.client(5, 2029);
    assert_eq!(why(ask(trusting(&[&root]), &client, &[])), CertificateError::UnknownIssuer);
    assert_eq!(ask(trusting(&[&root]), &client, &[between.der()]), Ok(()));
    assert_eq!(ask(trusting(&[&root, &between]), &client, &[]), Ok(()));
    // Without its root it is trusted for itself.
    assert_eq!(ask(trusting(&[&between]), &client, &[]), Ok(()));
    // The root takes the one between back.
    let revoked = TrustStore { revocations_pem: vec![root.revoking(77)], ..trusting(&[&root, &between]) };
    assert_eq!(why(ask(revoked, &client, &[])), CertificateError::Revoked);
    let lists = vec![root.revoking(1), between.revoking(1), root.revoking(77)];
    let revoked = TrustStore { revocations_pem: lists, ..trusting(&[&root, &between]) };
    assert_eq!(why(ask(revoked, &client, &[])), CertificateError::Revoked);
}

#[test]
fn authorities_are_named_only_where_that_is_asked_for() {
    let own = Authority::new("own");
    let hints = |advertise: bool| {
        let store = TrustStore { advertise, ..trusting(&[&own]) };
        let verifier = verifier(&ClientCertificates::Verify(store), &provider()).expect("usable");
        verifier.root_hint_subjects().len()
    };
    assert_eq!((hints(false), hints(true)), (0, 1));
}

#[test]
fn an_empty_or_broken_store_vouches_for_nobody() {
    let broken = TrustStore {
        authorities_pem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
        ..TrustStore::default()
    };
    for store in [TrustStore::default(), broken] {
        assert!(verifier(&ClientCertificates::Verify(store), &provider()).is_err());
    }
    let off = verifier(&ClientCertificates::Off, &provider()).expect("nothing to fail");
    assert!(!off.offer_client_auth());
}

#[test]
fn passing_on_takes_everyone() {
    let client = Authority::new("own").client(5, 2024);
    let anyone = verifier(&ClientCertificates::PassThrough, &provider()).expect("nothing to fail");
    assert!(anyone.offer_client_auth() && !anyone.client_auth_mandatory());
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_750_000_000));
    assert!(anyone.verify_client_cert(&client.certificate, &[], now).is_ok());
    assert!(anyone.verify_client_cert(&CertificateDer::from(vec![0x30, 0]), &[], now).is_err());
}

#[test]
fn targets_are_told_what_stands_in_the_certificate() {
    let own = Authority::new("own");
    let client = own.client(0xa5b1, 2029);
    let told = Told::Facts.tell(std::slice::from_ref(&client.certificate));
    let value = |name: &str| told.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str());
    assert_eq!(value("X-Amzn-Mtls-Clientcert-Serial-Number"), Some("A5B1"));
    assert_eq!(value("X-Amzn-Mtls-Clientcert-Issuer"), Some("CN=own"));
    assert_eq!(
        value("X-Amzn-Mtls-Clientcert-Subject"),
        Some("C=DE,O=\\C3\\9Cnits \\+ more,CN=client\\, one")
    );
    assert_eq!(
        value("X-Amzn-Mtls-Clientcert-Validity"),
        Some("NotBefore=2020-01-01T00:00:00Z;NotAfter=2029-01-01T00:00:00Z")
    );
    let leaf = value("X-Amzn-Mtls-Clientcert-Leaf").expect("the certificate");
    assert!(leaf.starts_with("-----BEGIN%20CERTIFICATE-----%0AMII"), "{leaf}");
    assert!(leaf.ends_with("%0A-----END%20CERTIFICATE-----%0A"), "{leaf}");
    let plain = leaf.replace("%0A", "\n").replace("%20", " ");
    assert_eq!(CertificateDer::from_pem_slice(plain.as_bytes()).expect("PEM"), client.certificate);
    let chain = Told::Chain.tell(&[client.certificate.clone(), own.der()]);
    assert_eq!(chain[0].0, "X-Amzn-Mtls-Clientcert");
    assert_eq!(chain[0].1.matches("BEGIN%20CERTIFICATE").count(), 2);
    assert_eq!((Told::Nothing.tell(&[client.certificate]).len(), Told::Chain.tell(&[]).len()), (0, 0));
}

#[test]
fn headers_that_claim_a_certificate_are_known() {
    for name in ["X-Amzn-Mtls-Clientcert", "x-amzn-mtls-clientcert-subject", "X-AMZN-MTLS-CLIENTCERT-LEAF"] {
        assert!(Told::Facts.is_own(name.as_bytes()) && Told::Chain.is_own(name.as_bytes()), "{name}");
        assert!(!Told::Nothing.is_own(name.as_bytes()));
    }
    assert!(!Told::Facts.is_own(b"X-Amzn-Mtls"));
}
