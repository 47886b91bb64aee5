//! Trust stores, and listeners that verify by them.

use aws_shapes_elbv2::{
    AddTrustStoreRevocationsInput, AdvertiseTrustStoreCaNamesEnum, CreateListenerInput,
    CreateTrustStoreInput, DeleteSharedTrustStoreAssociationInput, DeleteTrustStoreInput,
    DescribeTrustStoreAssociationsInput, DescribeTrustStoreRevocationsInput, DescribeTrustStoresInput,
    GetResourcePolicyInput, GetTrustStoreCaCertificatesBundleInput, GetTrustStoreRevocationContentInput,
    ModifyListenerInput, ModifyTrustStoreInput, MutualAuthenticationAttributes, ProtocolEnum,
    RemoveTrustStoreRevocationsInput, RevocationContent, TrustStoreStatus,
};
use aws_shapes_s3 as s3;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, PKCS_ECDSA_P256_SHA256, RevokedCertParams, SerialNumber, date_time_ymd,
};
use routing::config::ClientCertificates;

use super::Lab;
use crate::{
    gateway::{ApiError, Principal},
    services::{
        acm,
        elbv2::{configuration::configuration, listeners, trust_stores},
        s3 as objects,
        testing::{HOUR, refused, scope, text},
    },
};

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str, constraints: IsCa) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = constraints;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    fn revoking(&self, count: u64) -> Vec<u8> {
        let revoked = |number: u64| RevokedCertParams {
            serial_number: SerialNumber::from(number),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2031, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: (1..=count).map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().der().to_vec()
    }
}

fn authority(name: &str) -> Authority {
    Authority::new(name, IsCa::Ca(BasicConstraints::Unconstrained))
}

async fn put(lab: &Lab, key: &str, content: impl Into<Vec<u8>>) {
    let services = &lab.fixture.services;
    let content = content.into().into();
    objects::write_for_the_platform(services, "certs", key, "text/plain", content, lab.fixture.now())
        .await
        .unwrap();
}

/// A bucket `certs` with the bundle `ca.pem`.
async fn lab() -> (Lab, Authority) {
    let lab = Lab::new().await;
    let make = s3::CreateBucketRequest { bucket: text("certs"), ..Default::default() };
    objects::create_bucket(lab.fixture.call(), make).await.unwrap();
    let own = authority("own");
    put(&lab, "ca.pem", own.pem.clone()).await;
    (lab, own)
}

async fn create(lab: &Lab, name: &str, key: &str) -> Result<String, ApiError> {
    let input = CreateTrustStoreInput {
        name: text(name),
        ca_certificates_bundle_s3_bucket: text("certs"),
        ca_certificates_bundle_s3_key: text(key),
        ..Default::default()
    };
    let made = trust_stores::create(lab.fixture.call(), input).await?;
    Ok(made.trust_stores.unwrap().remove(0).trust_store_arn.unwrap())
}

async fn described(lab: &Lab, arn: &str) -> aws_shapes_elbv2::TrustStore {
    let input =
        DescribeTrustStoresInput { trust_store_arns: Some(vec![arn.to_owned()]), ..Default::default() };
    let found = trust_stores::describe(lab.fixture.call(), input).await.unwrap();
    found.trust_stores.unwrap().remove(0)
}

#[tokio::test]
async fn a_trust_store_is_made_of_a_bundle_and_keeps_it() {
    let (lab, own) = lab().await;
    let arn = create(&lab, "clients", "ca.pem").await.unwrap();
    assert!(arn.starts_with("arn:aws:elasticloadbalancing:us-east-1:000000000000:truststore/clients/"));
    refused(create(&lab, "clients", "ca.pem").await, "DuplicateTrustStoreName", "already exists");
    let shown = described(&lab, &arn).await;
    assert_eq!(shown.status, Some(TrustStoreStatus::Active));
    assert_eq!((shown.number_of_ca_certificates, shown.total_revoked_entries), (Some(1), Some(0)));
    // What becomes of the object is no matter; another bundle is taken in when that is asked for.
    let other = authority("other");
    put(&lab, "ca.pem", format!("some words\n{}{}", own.pem, other.pem)).await;
    assert_eq!(described(&lab, &arn).await.number_of_ca_certificates, Some(1));
    let input = ModifyTrustStoreInput {
        trust_store_arn: text(&arn),
        ca_certificates_bundle_s3_bucket: text("certs"),
        ca_certificates_bundle_s3_key: text("ca.pem"),
        ..Default::default()
    };
    trust_stores::modify(lab.fixture.call(), input).await.unwrap();
    assert_eq!(described(&lab, &arn).await.number_of_ca_certificates, Some(2));
    let by_name = DescribeTrustStoresInput { names: Some(vec!["none".into()]), ..Default::default() };
    refused(trust_stores::describe(lab.fixture.call(), by_name).await, "TrustStoreNotFound", "none");
    let gone = DeleteTrustStoreInput { trust_store_arn: text(&arn) };
    trust_stores::delete(lab.fixture.call(), gone.clone()).await.unwrap();
    refused(trust_stores::delete(lab.fixture.call(), gone).await, "TrustStoreNotFound", "not found");
}

#[tokio::test]
async fn bundles_that_cannot_be_trusted_are_refused() {
    let (lab, own) = lab().await;
    refused(create(&lab, "a", "none.pem").await, "CaCertificatesBundleNotFound", "does not exist");
    let client = Authority::new("client", IsCa::NoCa);
    put(&lab, "client.pem", format!("{}{}", own.pem, client.pem)).await;
    put(&lab, "words.pem", "no certificate").await;
    put(&lab, "broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").await;
    put(&lab, "many.pem", own.pem.repeat(26)).await;
    for (key, fragment) in [
        ("client.pem", "Certificate 2 of the CA certificates bundle is not the certificate of"),
        ("words.pem", "no certificates"),
        ("broken.pem", "cannot be used"),
        ("many.pem", "more than 25"),
    ] {
        refused(create(&lab, "a", key).await, "InvalidCaCertificatesBundle", fragment);
    }
    // Who may not read the object cannot have it read.
    let nobody = Principal::nobody();
    let input = CreateTrustStoreInput {
        name: text("a"),
        ca_certificates_bundle_s3_bucket: text("certs"),
        ca_certificates_bundle_s3_key: text("ca.pem"),
        ..Default::default()
    };
    let answer = trust_stores::create(lab.fixture.call_as(nobody), input).await;
    refused(answer, "AccessDenied", "");
}

#[tokio::test]
async fn revocation_lists_are_numbered_counted_and_given_back() {
    let (lab, own) = lab().await;
    let arn = create(&lab, "clients", "ca.pem").await.unwrap();
    put(&lab, "three.crl", own.revoking(3)).await;
    put(&lab, "words.crl", "no list").await;
    let add = async |keys: &[&str]| {
        let contents = keys.iter().map(|key| RevocationContent {
            s3_bucket: text("certs"),
            s3_key: text(key),
            ..Default::default()
        });
        let input = AddTrustStoreRevocationsInput {
            trust_store_arn: text(&arn),
            revocation_contents: Some(contents.collect()),
        };
        let added = trust_stores::add_revocations(lab.fixture.call(), input).await?;
        let added = added.trust_store_revocations.unwrap();
        Ok::<_, ApiError>(added.iter().map(|one| one.revocation_id.unwrap()).collect::<Vec<_>>())
    };
    refused(add(&["none.crl"]).await, "RevocationContentNotFound", "does not exist");
    refused(add(&["three.crl", "words.crl"]).await, "InvalidRevocationContent", "not a certificate");
    assert_eq!(add(&["three.crl", "three.crl"]).await.unwrap(), [1, 2]);
    assert_eq!(described(&lab, &arn).await.total_revoked_entries, Some(6));
    let remove =
        RemoveTrustStoreRevocationsInput { trust_store_arn: text(&arn), revocation_ids: Some(vec![1]) };
    trust_stores::remove_revocations(lab.fixture.call(), remove.clone()).await.unwrap();
    refused(
        trust_stores::remove_revocations(lab.fixture.call(), remove).await,
        "RevocationIdNotFound",
        "'1'",
    );
    // A number is not given twice.
    assert_eq!(add(&["three.crl"]).await.unwrap(), [3]);
    let input = DescribeTrustStoreRevocationsInput { trust_store_arn: text(&arn), ..Default::default() };
    let shown = trust_stores::describe_revocations(lab.fixture.call(), input).await.unwrap();
    let shown: Vec<_> = shown
        .trust_store_revocations
        .unwrap()
        .into_iter()
        .map(|one| (one.revocation_id, one.number_of_revoked_entries))
        .collect();
    assert_eq!(shown, [(Some(2), Some(3)), (Some(3), Some(3))]);
    let input = GetTrustStoreRevocationContentInput { trust_store_arn: text(&arn), revocation_id: Some(3) };
    let list = trust_stores::revocation_content(lab.fixture.call(), input).await.unwrap().location.unwrap();
    assert!(fetched(&lab, &list).unwrap().starts_with("-----BEGIN X509 CRL-----\n"));
    let input = GetTrustStoreCaCertificatesBundleInput { trust_store_arn: text(&arn) };
    let bundle = trust_stores::bundle(lab.fixture.call(), input).await.unwrap().location.unwrap();
    assert!(fetched(&lab, &bundle).unwrap().starts_with("-----BEGIN CERTIFICATE-----\n"));
    // What one link opens, no other path does; and not for long.
    assert_eq!(fetched(&lab, &list.replace("0003?", "0002?")), None);
    assert_eq!(fetched(&lab, bundle.split_once('?').unwrap().0), None);
    lab.fixture.pass(HOUR);
    assert_eq!(fetched(&lab, &bundle), None);
}

fn fetched(lab: &Lab, url: &str) -> Option<String> {
    let path = url.strip_prefix("http://localhost:4566").unwrap_or(url);
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    trust_stores::fetch(&lab.fixture.services, path, query, lab.fixture.now())
}

fn verify(arn: &str) -> MutualAuthenticationAttributes {
    MutualAuthenticationAttributes {
        mode: text("verify"),
        trust_store_arn: text(arn),
        ignore_client_certificate_expiry: Some(true),
        advertise_trust_store_ca_names: Some(AdvertiseTrustStoreCaNamesEnum::On),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_listener_verifies_by_a_trust_store() {
    let (lab, own) = lab().await;
    let arn = create(&lab, "clients", "ca.pem").await.unwrap();
    let balancer = lab.balancer("web").await;
    let group = lab.group("group").await;
    let certificate = acm::tests::imported(&lab.fixture).await;
    let input = CreateListenerInput {
        protocol: Some(ProtocolEnum::Https),
        certificates: Some(vec![aws_shapes_elbv2::Certificate {
            certificate_arn: text(&certificate),
            is_default: None,
        }]),
        mutual_authentication: Some(verify(&arn)),
        ..lab.listener_request(&balancer, 443, &group)
    };
    let made = listeners::create(lab.fixture.call(), input).await.unwrap().listeners.unwrap().remove(0);
    let shown = made.mutual_authentication.unwrap();
    assert_eq!((shown.mode, shown.trust_store_arn), (text("verify"), text(&arn)));
    let told = || {
        let view = lab.state().view();
        let mut all = configuration(&lab.fixture.services, &view);
        all.load_balancers.remove(0).listeners.remove(0).client_certificates
    };
    let ClientCertificates::Verify(store) = told() else { panic!("{:?}", told()) };
    assert!(store.ignore_expiry && store.advertise && store.revocations_pem.is_empty());
    assert_eq!(store.authorities_pem, own.pem.replace("\r\n", "\n"));
    let users = DescribeTrustStoreAssociationsInput { trust_store_arn: text(&arn), ..Default::default() };
    let users = trust_stores::associations(lab.fixture.call(), users).await.unwrap();
    let users = users.trust_store_associations.unwrap();
    assert_eq!(users.len(), 1);
    assert_eq!(users[0].resource_arn, balancer.load_balancer_arn);
    let gone = DeleteTrustStoreInput { trust_store_arn: text(&arn) };
    refused(trust_stores::delete(lab.fixture.call(), gone.clone()).await, "TrustStoreInUse", "in use");
    let shared = DeleteSharedTrustStoreAssociationInput {
        trust_store_arn: text(&arn),
        resource_arn: balancer.load_balancer_arn.clone(),
    };
    refused(
        trust_stores::delete_shared_association(lab.fixture.call(), shared).await,
        "DeleteAssociationSameAccount",
        "same account",
    );
    let policy = GetResourcePolicyInput { resource_arn: text(&arn) };
    refused(trust_stores::resource_policy(lab.fixture.call(), policy).await, "ResourceNotFound", &arn);
    // A list that is added is told without a change of the listener.
    put(&lab, "one.crl", own.revoking(1)).await;
    let input = AddTrustStoreRevocationsInput {
        trust_store_arn: text(&arn),
        revocation_contents: Some(vec![RevocationContent {
            s3_bucket: text("certs"),
            s3_key: text("one.crl"),
            ..Default::default()
        }]),
    };
    trust_stores::add_revocations(lab.fixture.call(), input).await.unwrap();
    let ClientCertificates::Verify(store) = told() else { panic!("{:?}", told()) };
    assert_eq!(store.revocations_pem.len(), 1);
    let modify = async |mutual: MutualAuthenticationAttributes| {
        let input = ModifyListenerInput {
            listener_arn: made.listener_arn.clone(),
            mutual_authentication: Some(mutual),
            ..Default::default()
        };
        listeners::modify(lab.fixture.call(), input).await
    };
    let mode = |mode: &str| MutualAuthenticationAttributes { mode: text(mode), ..Default::default() };
    refused(modify(mode("verify")).await, "InvalidConfigurationRequest", "trust store");
    refused(modify(mode("maybe")).await, "ValidationError", "'maybe'");
    refused(
        modify(MutualAuthenticationAttributes { mode: text("passthrough"), ..verify(&arn) }).await,
        "ValidationError",
        "'verify'",
    );
    let unknown = arn.replace("clients", "others");
    refused(modify(verify(&unknown)).await, "TrustStoreNotFound", "others");
    modify(mode("passthrough")).await.unwrap();
    assert_eq!(told(), ClientCertificates::PassThrough);
    modify(mode("off")).await.unwrap();
    trust_stores::delete(lab.fixture.call(), gone).await.unwrap();
    let view = lab.state().view();
    assert_eq!(view.scan::<trust_stores::records::Revocation>(&scope()).count(), 0);
    // Not without TLS.
    let plain = CreateListenerInput {
        mutual_authentication: Some(mode("passthrough")),
        ..lab.listener_request(&balancer, 80, &group)
    };
    refused(listeners::create(lab.fixture.call(), plain).await, "ValidationError", "HTTP listeners");
}
