//! Importing, showing and deleting. The certificates beside this file were made for these tests and are known to everyone.

mod requested;

use aws_shapes_acm::{
    AddTagsToCertificateRequest, DeleteCertificateRequest, DescribeCertificateRequest, GetCertificateRequest,
    ImportCertificateRequest, ListCertificatesRequest, ListTagsForCertificateRequest,
    RemoveTagsFromCertificateRequest, Tag,
};

use super::{calls, records::Certificate, tags};
use crate::{
    gateway::ApiError,
    services::testing::{Fixture, refused, scope, text},
};

const LEAF: &str = include_str!("leaf.pem");
const LEAF_KEY: &str = include_str!("leaf.key");
const CA: &str = include_str!("ca.pem");
const OTHER_CA: &str = include_str!("other-ca.pem");
const RSA: &str = include_str!("rsa.pem");
const RSA_KEY: &str = include_str!("rsa.key");
const EXPIRED: &str = include_str!("expired.pem");

fn request(body: &str, key: &str, chain: Option<&str>) -> ImportCertificateRequest {
    ImportCertificateRequest {
        certificate: Some(body.as_bytes().to_vec()),
        private_key: Some(key.as_bytes().to_vec()),
        certificate_chain: chain.map(|chain| chain.as_bytes().to_vec()),
        ..ImportCertificateRequest::default()
    }
}

/// The ARN of a fresh certificate for `example.com`.
pub async fn imported(fixture: &Fixture) -> String {
    let made = calls::import(fixture.call(), request(LEAF, LEAF_KEY, Some(CA))).await;
    made.unwrap().certificate_arn.unwrap()
}

/// ARNs of the load balancers that use it.
pub async fn used_by(fixture: &Fixture, arn: &str) -> Vec<String> {
    let input = DescribeCertificateRequest { certificate_arn: text(arn) };
    calls::describe(fixture.call(), input).await.unwrap().certificate.unwrap().in_use_by.unwrap()
}

pub async fn delete(fixture: &Fixture, arn: &str) -> Result<(), ApiError> {
    let input = DeleteCertificateRequest { certificate_arn: text(arn) };
    calls::delete(fixture.call(), input).await.map(drop)
}

#[tokio::test]
async fn an_imported_certificate_is_described() {
    let fixture = Fixture::new().await;
    let arn = imported(&fixture).await;
    let input = DescribeCertificateRequest { certificate_arn: text(&arn) };
    let shown = calls::describe(fixture.call(), input).await.unwrap().certificate.unwrap();
    assert_eq!(shown.domain_name, text("example.com"));
    assert_eq!(
        shown.subject_alternative_names,
        Some(vec!["example.com".to_owned(), "*.example.com".to_owned()])
    );
    assert_eq!(shown.serial, text("12:34:ab:cd"));
    assert_eq!(shown.subject, text("CN=example.com"));
    assert_eq!(shown.issuer, text("Longshore Tests"));
    assert_eq!(shown.status.map(|one| one.as_str()), Some("ISSUED"));
    assert_eq!(shown.key_algorithm.map(|one| one.as_str()), Some("EC_prime256v1"));
    assert_eq!(shown.signature_algorithm, text("SHA256WITHECDSA"));
    let usages: Vec<_> = shown.key_usages.unwrap().into_iter().filter_map(|one| one.name).collect();
    assert_eq!(
        usages.iter().map(|one| one.as_str()).collect::<Vec<_>>(),
        ["DIGITAL_SIGNATURE", "KEY_ENCIPHERMENT"]
    );
    let extended: Vec<_> = shown.extended_key_usages.unwrap().into_iter().filter_map(|one| one.oid).collect();
    assert_eq!(extended, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
    // 2020 and 2120.
    assert_eq!(shown.not_before.unwrap().as_millis(), 1_577_836_800_000);
    assert_eq!(shown.not_after.unwrap().as_millis(), 4_733_510_400_000);
    let input = GetCertificateRequest { certificate_arn: text(&arn) };
    let got = calls::get_certificate(fixture.call(), input).await.unwrap();
    assert_eq!((got.certificate, got.certificate_chain), (text(LEAF), text(CA)));
}

#[tokio::test]
async fn what_does_not_belong_together_is_refused_without_showing_a_key() {
    let fixture = Fixture::new().await;
    let check = async |body: &str, key: &str, chain: Option<&str>, fragment: &str| {
        let answer = calls::import(fixture.call(), request(body, key, chain)).await;
        let error = answer.expect_err(fragment);
        assert_eq!(error.code, "ValidationException");
        assert!(error.message.contains(fragment), "{} / {fragment}", error.message);
        let secret = RSA_KEY.lines().nth(3).unwrap();
        assert!(!format!("{error:?}").contains(secret));
    };
    check(LEAF, RSA_KEY, None, "does not match").await;
    check(RSA, LEAF_KEY, None, "does not match").await;
    check("nothing", LEAF_KEY, None, "Could not parse the certificate").await;
    check(LEAF, "nothing", None, "Could not parse the private key").await;
    check(&format!("{LEAF}{CA}"), LEAF_KEY, None, "more than one certificate").await;
    check(LEAF, LEAF_KEY, Some(OTHER_CA), "does not lead").await;
    check(LEAF, LEAF_KEY, Some("nothing"), "chain").await;
    check(EXPIRED, LEAF_KEY, Some(CA), "expired").await;
    assert!(fixture.services.state.view().scan::<Certificate>(&scope()).next().is_none());
}

#[tokio::test]
async fn keys_are_sealed_where_they_are_kept() {
    let fixture = Fixture::new().await;
    let arn = imported(&fixture).await;
    let view = fixture.services.state.view();
    let (_, kept) = view.scan::<Certificate>(&scope()).next().unwrap();
    let stored = serde_json::to_string(&*kept).unwrap();
    let secret = LEAF_KEY.lines().nth(1).unwrap();
    assert!(!stored.contains(secret) && !format!("{kept:?}").contains(secret));
    let opened = super::for_listener(&fixture.services, &view, &scope(), &arn).unwrap();
    assert_eq!(opened.private_key_pem.expose(), LEAF_KEY);
    assert!(opened.chain_pem.starts_with(LEAF) && opened.chain_pem.ends_with(CA));
}

#[tokio::test]
async fn importing_again_keeps_the_arn_and_the_kind_of_key() {
    let fixture = Fixture::new().await;
    let arn = imported(&fixture).await;
    let mut again = request(LEAF, LEAF_KEY, None);
    again.certificate_arn = text(&arn);
    assert_eq!(calls::import(fixture.call(), again.clone()).await.unwrap().certificate_arn, text(&arn));
    let mut other = request(RSA, RSA_KEY, None);
    other.certificate_arn = text(&arn);
    refused(calls::import(fixture.call(), other).await, "ValidationException", "same kind and size");
    again.certificate_arn = text(&arn.replace("certificate/", "certificate/0"));
    refused(calls::import(fixture.call(), again).await, "ResourceNotFoundException", "Could not find");
}

#[tokio::test]
async fn lists_show_the_kinds_that_are_asked_for() {
    let fixture = Fixture::new().await;
    let curve = imported(&fixture).await;
    let rsa = calls::import(fixture.call(), request(RSA, RSA_KEY, None)).await.unwrap().certificate_arn;
    let list = async |types: Option<Vec<&str>>| {
        let key_types =
            types.map(|all| all.iter().filter_map(|one| aws_shapes_acm::KeyAlgorithm::parse(one)).collect());
        let includes = Some(aws_shapes_acm::Filters { key_types, ..Default::default() });
        let input = ListCertificatesRequest { includes, ..Default::default() };
        let all = calls::list(fixture.call(), input).await.unwrap().certificate_summary_list.unwrap();
        all.into_iter().map(|one| one.certificate_arn).collect::<Vec<_>>()
    };
    assert_eq!(list(None).await, [rsa]);
    assert_eq!(list(Some(vec!["EC_prime256v1"])).await, [text(&curve)]);
    assert_eq!(list(Some(vec!["EC_prime256v1", "RSA_2048"])).await.len(), 2);
    delete(&fixture, &curve).await.unwrap();
    refused(delete(&fixture, &curve).await, "ResourceNotFoundException", "Could not find");
    refused(
        delete(&fixture, "arn:aws:acm:us-east-1:000000000000:other/1").await,
        "InvalidArnException",
        "ARN",
    );
}

#[tokio::test]
async fn tags_come_and_go() {
    let fixture = Fixture::new().await;
    let certificate_arn = Some(imported(&fixture).await);
    let tag = |key: &str, value: Option<&str>| Tag { key: text(key), value: value.map(str::to_owned) };
    let input = AddTagsToCertificateRequest {
        certificate_arn: certificate_arn.clone(),
        tags: Some(vec![tag("a", Some("1")), tag("b", Some("2"))]),
    };
    tags::add(fixture.call(), input).await.unwrap();
    // Not with another value.
    let input = RemoveTagsFromCertificateRequest {
        certificate_arn: certificate_arn.clone(),
        tags: Some(vec![tag("a", None), tag("b", Some("3"))]),
    };
    tags::remove(fixture.call(), input).await.unwrap();
    let input = ListTagsForCertificateRequest { certificate_arn };
    let left = tags::list(fixture.call(), input).await.unwrap().tags.unwrap();
    assert_eq!(left, [tag("b", Some("2"))]);
}
