//! Requesting: issued at once by the platform's authority, and renewed in place.

use std::time::Duration;

use aws_shapes_acm::{
    CertificateOptions, DescribeCertificateRequest, GetCertificateRequest, ImportCertificateRequest,
    KeyAlgorithm, ListCertificatesRequest, ListTagsForResourceRequest, RenewCertificateRequest,
    RequestCertificateRequest, Tag, TagResourceRequest, UntagResourceRequest, ValidationMethod,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};

use super::{LEAF, LEAF_KEY};
use crate::{
    gateway::ApiError,
    services::{
        acm::{calls, for_listener, material, renew_due, requests, tags},
        testing::{Fixture, HOUR, refused, scope, text},
    },
};

fn wanted(domain: &str) -> RequestCertificateRequest {
    RequestCertificateRequest { domain_name: text(domain), ..Default::default() }
}

async fn request(fixture: &Fixture, input: RequestCertificateRequest) -> Result<String, ApiError> {
    Ok(requests::request(fixture.call(), input).await?.certificate_arn.unwrap())
}

async fn described(fixture: &Fixture, arn: &str) -> aws_shapes_acm::CertificateDetail {
    let input = DescribeCertificateRequest { certificate_arn: text(arn) };
    calls::describe(fixture.call(), input).await.unwrap().certificate.unwrap()
}

async fn pair(fixture: &Fixture, arn: &str) -> (String, String) {
    let input = GetCertificateRequest { certificate_arn: text(arn) };
    let got = calls::get_certificate(fixture.call(), input).await.unwrap();
    (got.certificate.unwrap(), got.certificate_chain.unwrap())
}

/// Whether a client that trusts `authority` takes the certificate for `name`.
fn trusted(certificate: &str, authority: &str, name: &str, seconds: i64) -> bool {
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (own, authority) = (der(certificate), der(authority));
    let own = webpki::EndEntityCert::try_from(&own).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds.unsigned_abs()));
    let anchors = [webpki::anchor_from_trusted_cert(&authority).unwrap()];
    let usage = webpki::KeyUsage::server_auth();
    let path = own.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &[], now, usage, None, None);
    path.is_ok()
        && own.verify_is_valid_for_subject_name(&ServerName::try_from(name.to_owned()).unwrap()).is_ok()
}

#[tokio::test]
async fn a_requested_certificate_is_issued_and_can_be_trusted() {
    let fixture = Fixture::new().await;
    let input = RequestCertificateRequest {
        subject_alternative_names: Some(vec!["*.Web.example".into(), "web.example".into()]),
        validation_method: Some(ValidationMethod::Dns),
        tags: Some(vec![Tag { key: text("a"), value: text("1") }]),
        ..wanted("web.example")
    };
    let arn = request(&fixture, input).await.unwrap();
    let shown = described(&fixture, &arn).await;
    assert_eq!(shown.domain_name, text("web.example"));
    assert_eq!(
        shown.subject_alternative_names,
        Some(vec!["web.example".to_owned(), "*.web.example".to_owned()])
    );
    assert_eq!(shown.status.map(|one| one.as_str()), Some("ISSUED"));
    assert_eq!(shown.r#type.map(|one| one.as_str()), Some("AMAZON_ISSUED"));
    assert_eq!(shown.key_algorithm.map(|one| one.as_str()), Some("EC_prime256v1"));
    assert_eq!((shown.issuer, shown.imported_at), (text("Longshore"), None));
    assert_eq!(shown.renewal_eligibility.map(|one| one.as_str()), Some("ELIGIBLE"));
    let validations = shown.domain_validation_options.unwrap();
    assert_eq!(validations.len(), 2);
    // Both stand under the same domain, so that one record would do.
    assert_eq!(validations[0].resource_record, validations[1].resource_record);
    let (certificate, authority) = pair(&fixture, &arn).await;
    let now = fixture.now().as_millis() / 1000;
    for (name, seconds, expected) in [
        ("web.example", now, true),
        ("a.web.example", now, true),
        ("other.example", now, false),
        ("web.example", now + 396 * 86_400, false),
    ] {
        assert_eq!(trusted(&certificate, &authority, name, seconds), expected, "{name} {seconds}");
    }
    // The next one is of the same authority, also for another name and another kind of key.
    let input = RequestCertificateRequest {
        key_algorithm: KeyAlgorithm::parse("EC_secp384r1"),
        ..wanted("two.example")
    };
    let other = request(&fixture, input).await.unwrap();
    let (certificate, same) = pair(&fixture, &other).await;
    assert_eq!(same, authority);
    assert!(trusted(&certificate, &authority, "two.example", now));
    assert_eq!(described(&fixture, &other).await.key_algorithm.map(|one| one.as_str()), Some("EC_secp384r1"));
    let listed = calls::list(fixture.call(), ListCertificatesRequest::default()).await.unwrap();
    assert_eq!(listed.certificate_summary_list.unwrap().len(), 2);
}

#[tokio::test]
async fn listeners_get_the_key_that_belongs_to_it() {
    let fixture = Fixture::new().await;
    let arn = request(&fixture, wanted("web.example")).await.unwrap();
    let services = &fixture.services;
    let shown = || for_listener(services, &services.state.view(), &scope(), &arn).unwrap();
    let before = shown();
    let (certificate, authority) = pair(&fixture, &arn).await;
    let key = before.private_key_pem.expose().as_bytes().to_vec();
    assert!(material::check(certificate.as_bytes(), Some(authority.as_bytes()), &key, fixture.now()).is_ok());
    // Neither key lies there as it is.
    let secret = before.private_key_pem.expose().lines().nth(1).unwrap().to_owned();
    let view = services.state.view();
    let (_, kept) = view.scan::<super::Certificate>(&scope()).next().unwrap();
    assert!(!serde_json::to_string(&*kept).unwrap().contains(&secret));
    let input = RenewCertificateRequest { certificate_arn: text(&arn) };
    requests::renew(fixture.call(), input).await.unwrap();
    let after = shown();
    assert_ne!(after.private_key_pem.expose(), before.private_key_pem.expose());
    let (certificate, _) = pair(&fixture, &arn).await;
    let key = after.private_key_pem.expose().as_bytes().to_vec();
    assert!(material::check(certificate.as_bytes(), Some(authority.as_bytes()), &key, fixture.now()).is_ok());
}

#[tokio::test]
async fn what_ends_soon_is_renewed_and_imports_are_not() {
    const DAY: i64 = 24 * HOUR;
    let fixture = Fixture::new().await;
    let arn = request(&fixture, wanted("web.example")).await.unwrap();
    let imported = super::imported(&fixture).await;
    let before = described(&fixture, &arn).await;
    fixture.pass(300 * DAY);
    renew_due(&fixture.services, fixture.now()).await.unwrap();
    assert_eq!(described(&fixture, &arn).await.serial, before.serial);
    fixture.pass(36 * DAY);
    renew_due(&fixture.services, fixture.now()).await.unwrap();
    let after = described(&fixture, &arn).await;
    assert_ne!(after.serial, before.serial);
    assert!(after.not_after.unwrap().as_millis() > before.not_after.unwrap().as_millis());
    let summary = after.renewal_summary.unwrap();
    assert_eq!(summary.renewal_status.map(|one| one.as_str()), Some("SUCCESS"));
    let (certificate, _) = pair(&fixture, &imported).await;
    assert_eq!(certificate, LEAF);
    let input = RenewCertificateRequest { certificate_arn: text(&imported) };
    refused(requests::renew(fixture.call(), input).await, "ValidationException", "import");
    let over = ImportCertificateRequest {
        certificate_arn: text(&arn),
        certificate: Some(LEAF.as_bytes().to_vec()),
        private_key: Some(LEAF_KEY.as_bytes().to_vec()),
        ..Default::default()
    };
    refused(calls::import(fixture.call(), over).await, "ValidationException", "requested");
}

#[tokio::test]
async fn what_is_not_done_here_is_refused() {
    let fixture = Fixture::new().await;
    let check = async |change: &dyn Fn(&mut RequestCertificateRequest), code: &str, fragment: &str| {
        let mut input = wanted("web.example");
        change(&mut input);
        refused(request(&fixture, input).await, code, fragment);
    };
    let parameter = "InvalidParameterException";
    check(&|one| one.validation_method = Some(ValidationMethod::Email), parameter, "mail").await;
    check(&|one| one.key_algorithm = Some(KeyAlgorithm::Rsa2048), parameter, "RSA_2048").await;
    check(&|one| one.certificate_authority_arn = text("arn:aws:acm-pca:a:b:c"), parameter, "Private").await;
    let exported =
        CertificateOptions { export: Some(aws_shapes_acm::CertificateExport::Enabled), ..Default::default() };
    check(&|one| one.options = Some(exported.clone()), parameter, "exported").await;
    let many: Vec<String> = (0..10).map(|number| format!("n{number}.example")).collect();
    check(&|one| one.subject_alternative_names = Some(many.clone()), "LimitExceededException", "10").await;
    let validation = aws_shapes_acm::DomainValidationOption {
        domain_name: text("other.example"),
        validation_domain: text("example"),
    };
    check(
        &|one| one.domain_validation_options = Some(vec![validation.clone()]),
        "InvalidDomainValidationOptionsException",
        "not for",
    )
    .await;
}

#[tokio::test]
async fn a_token_stands_for_its_request_for_an_hour() {
    let fixture = Fixture::new().await;
    let with = |domain: &str| RequestCertificateRequest { idempotency_token: text("one"), ..wanted(domain) };
    let first = request(&fixture, with("web.example")).await.unwrap();
    assert_eq!(request(&fixture, with("web.example")).await.unwrap(), first);
    assert_ne!(request(&fixture, with("other.example")).await.unwrap(), first);
    assert_ne!(request(&fixture, wanted("web.example")).await.unwrap(), first);
    fixture.pass(HOUR);
    assert_ne!(request(&fixture, with("web.example")).await.unwrap(), first);
}

#[tokio::test]
async fn tags_under_their_newer_names() {
    let fixture = Fixture::new().await;
    let resource_arn = Some(request(&fixture, wanted("web.example")).await.unwrap());
    let tag = |key: &str, value: &str| Tag { key: text(key), value: text(value) };
    let input = TagResourceRequest {
        resource_arn: resource_arn.clone(),
        tags: Some(vec![tag("a", "1"), tag("b", "2")]),
    };
    tags::tag(fixture.call(), input).await.unwrap();
    let input =
        UntagResourceRequest { resource_arn: resource_arn.clone(), tag_keys: Some(vec!["a".to_owned()]) };
    tags::untag(fixture.call(), input).await.unwrap();
    let input = ListTagsForResourceRequest { resource_arn };
    let left = tags::list_of_resource(fixture.call(), input).await.unwrap().tags.unwrap();
    assert_eq!(left, [tag("b", "2")]);
}
