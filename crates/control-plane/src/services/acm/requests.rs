//! Certificates that users request. They are issued at once, by the platform's own [`authority`](super::authority): whoever may request one here
//! could put any record into any zone that this platform answers for, so that validation would prove nothing. What AWS asks to be
//! put into the name service is shown all the same, for tools that wait for it.
//!
//! Refused is what would not be so: validation by mail or over HTTP, RSA keys (none are made here), keys that can be exported, authorities of
//! Private CA.

use std::time::Duration;

use aws_schema::Unit;
use aws_shapes_acm as acm;
use aws_shapes_acm::{
    KeyAlgorithm, RenewCertificateRequest, RequestCertificateRequest, RequestCertificateResponse, errors,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use state_store::Tx;
use vocabulary::{Ids, Scope, Timestamp};

use super::{
    authority::{self, Curve},
    calls::MOST_CERTIFICATES,
    errors::{invalid, not_found},
    get, id_of,
    records::{Certificate, Requested, arn},
    tags,
};
use crate::{
    gateway::{ApiError, Call},
    services::Services,
};

/// A token stands for its request for so long.
const TOKEN_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Names of one certificate, unless AWS was asked for more.
const MOST_NAMES: usize = 10;
/// So long before it ends, a certificate is renewed.
const RENEWED_BEFORE: Duration = Duration::from_secs(60 * 86_400);

fn refused(what: &str) -> ApiError {
    ApiError::new(&errors::INVALID_PARAMETER_EXCEPTION, format!("Longshore does not support {what}."))
}

fn curve(wanted: Option<KeyAlgorithm>) -> Result<Curve, ApiError> {
    match wanted.as_ref().map(|one| one.as_str()) {
        None | Some("EC_prime256v1") => Ok(Curve::P256),
        Some("EC_secp384r1") => Ok(Curve::P384),
        Some(other) => Err(refused(&format!(
            "keys of the kind {other} in requested certificates: use EC_prime256v1, which is the default here, or EC_secp384r1"
        ))),
    }
}

/// All names, the first of them first, each once.
fn names(domain: String, others: Option<Vec<String>>) -> Result<Vec<String>, ApiError> {
    let mut names: Vec<String> = Vec::new();
    for name in std::iter::once(domain).chain(others.unwrap_or_default()) {
        let name = name.to_ascii_lowercase();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > MOST_NAMES {
        return Err(ApiError::new(
            &errors::LIMIT_EXCEEDED_EXCEPTION,
            format!("Cannot request more than {MOST_NAMES} domain names in a certificate."),
        ));
    }
    Ok(names)
}

pub async fn request(
    call: Call,
    input: RequestCertificateRequest,
) -> Result<RequestCertificateResponse, ApiError> {
    let (services, scope) = (&call.services, call.scope());
    if input.validation_method.is_some_and(|method| method != acm::ValidationMethod::Dns) {
        return Err(refused(
            "validation of domains by mail or over HTTP: use DNS, which is answered at once",
        ));
    }
    if input.certificate_authority_arn.is_some() {
        return Err(refused("authorities of Private CA"));
    }
    if input.managed_by.is_some() {
        return Err(refused("certificates that another service manages"));
    }
    let options = input.options.unwrap_or_default();
    if options.export == Some(acm::CertificateExport::Enabled) {
        return Err(refused("certificates whose key can be exported"));
    }
    let curve = curve(input.key_algorithm)?;
    let names = names(input.domain_name.unwrap_or_default(), input.subject_alternative_names)?;
    for one in input.domain_validation_options.iter().flatten() {
        let named = one.domain_name.as_ref().is_some_and(|name| names.contains(&name.to_ascii_lowercase()));
        if !named {
            return Err(ApiError::new(
                &errors::INVALID_DOMAIN_VALIDATION_OPTIONS_EXCEPTION,
                "A domain validation option names a domain that the certificate is not for.",
            ));
        }
    }
    let tags = tags::given(input.tags)?;
    let token = input.idempotency_token;
    let issued = authority::ensure(services, call.now()).await?.issue(services, &names, curve, call.now())?;
    let id = services.ids().uuid();
    let sealed = services.certificate_keys.seal(arn(scope, &id), issued.key.as_bytes());
    let fresh = Certificate {
        id: id.clone(),
        body: issued.body,
        chain: Some(issued.chain),
        sealed_key: STANDARD.encode(sealed),
        facts: issued.facts,
        created_at: call.now(),
        imported_at: call.now(),
        tags,
        requested: Some(Requested { names, token, renewed_at: None }),
    };
    let id = services
        .state
        .transact(|tx| {
            if let Some(there) = same(tx, scope, &fresh, call.now()) {
                return Ok(there);
            }
            if tx.view().scan::<Certificate>(scope).count() >= MOST_CERTIFICATES {
                return Err(ApiError::new(
                    &errors::LIMIT_EXCEEDED_EXCEPTION,
                    format!("The maximum number of certificates {MOST_CERTIFICATES} has been reached."),
                ));
            }
            tx.put(scope, &id, fresh.clone());
            Ok(id.clone())
        })
        .await?;
    Ok(RequestCertificateResponse { certificate_arn: Some(arn(scope, &id)) })
}

/// The certificate that a request with this token got a while ago.
fn same(tx: &mut Tx, scope: &Scope, fresh: &Certificate, now: Timestamp) -> Option<String> {
    let wanted = fresh.requested.as_ref()?;
    wanted.token.as_ref()?;
    let all = tx.scan::<Certificate>(scope);
    let there = all.iter().find(|(_, one)| {
        let recent = now.since(one.created_at) < TOKEN_LIFETIME;
        recent
            && one
                .requested
                .as_ref()
                .is_some_and(|own| own.token == wanted.token && own.names == wanted.names)
    });
    there.map(|(id, _)| id.clone())
}

pub async fn renew(call: Call, input: RenewCertificateRequest) -> Result<Unit, ApiError> {
    let arn = input.certificate_arn.unwrap_or_default();
    renewed(&call.services, call.scope(), &arn, call.now()).await?;
    Ok(Unit)
}

/// Puts a fresh certificate with a fresh key under the ARN; listeners follow by themselves.
async fn renewed(services: &Services, scope: &Scope, arn: &str, now: Timestamp) -> Result<(), ApiError> {
    let id = id_of(scope, arn)?;
    let missing = || not_found(arn, scope.account.as_str());
    let there = services.state.read(|view| view.get::<Certificate>(scope, id)).ok_or_else(missing)?;
    let Some(requested) = &there.requested else {
        return Err(invalid("An imported certificate is renewed by importing another one."));
    };
    let curve = match there.facts.key_algorithm.as_deref() {
        Some("EC_secp384r1") => Curve::P384,
        _ => Curve::P256,
    };
    let issued = authority::ensure(services, now).await?.issue(services, &requested.names, curve, now)?;
    let sealed = STANDARD.encode(services.certificate_keys.seal(arn, issued.key.as_bytes()));
    services
        .state
        .transact(|tx| {
            let there = get(tx, scope, arn).ok_or_else(missing)?;
            let Some(requested) = there.requested.clone() else { return Err(missing()) };
            let put = Certificate {
                body: issued.body.clone(),
                chain: Some(issued.chain.clone()),
                sealed_key: sealed.clone(),
                facts: issued.facts.clone(),
                requested: Some(Requested { renewed_at: Some(now), ..requested }),
                ..(*there).clone()
            };
            tx.put(scope, id, put);
            Ok(())
        })
        .await
}

/// Renews what ends soon. Imported certificates are their owners' business.
///
/// # Errors
/// What the store says.
pub async fn renew_due(services: &Services, now: Timestamp) -> Result<(), ApiError> {
    let due: Vec<(Scope, String)> = services.state.read(|view| {
        let all = view.scan_all::<Certificate>().filter(|found| {
            found.value.requested.is_some() && found.value.facts.not_after < now + RENEWED_BEFORE
        });
        all.map(|found| (found.scope.clone(), found.value.arn(&found.scope))).collect()
    });
    for (scope, arn) in due {
        renewed(services, &scope, &arn, now).await?;
    }
    Ok(())
}

/// What is said of the validation of each name.
pub fn validations(requested: &Requested) -> Vec<acm::DomainValidation> {
    let one = |name: &String| {
        // A wildcard is validated by what it stands under.
        let domain = name.strip_prefix("*.").unwrap_or(name);
        let mark = |what: &str| {
            let digest = Sha256::digest(format!("{what} {domain}"));
            digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        acm::DomainValidation {
            domain_name: Some(name.clone()),
            validation_domain: Some(domain.to_owned()),
            validation_status: Some(acm::DomainStatus::Success),
            validation_method: Some(acm::ValidationMethod::Dns),
            resource_record: Some(acm::ResourceRecord {
                name: Some(format!("_{}.{domain}.", mark("name"))),
                r#type: Some(acm::RecordType::Cname),
                value: Some(format!("_{}.acm-validations.aws.", mark("value"))),
            }),
            ..acm::DomainValidation::default()
        }
    };
    requested.names.iter().map(one).collect()
}
