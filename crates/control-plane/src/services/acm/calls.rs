//! The API: importing, showing, deleting.

use aws_schema::Unit;
use aws_shapes_acm as acm;
use aws_shapes_acm::{
    CertificateDetail, CertificateStatus, CertificateSummary, DeleteCertificateRequest,
    DescribeCertificateRequest, DescribeCertificateResponse, Filters, GetCertificateRequest,
    GetCertificateResponse, ImportCertificateRequest, ImportCertificateResponse, KeyAlgorithm,
    ListCertificatesRequest, ListCertificatesResponse, errors,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use state_store::View;
use vocabulary::{Ids, Scope, Timestamp};

use super::{
    errors::{invalid, not_found},
    get, id_of, material,
    records::{Certificate, Requested, arn},
    requests, see, tags, users,
};
use crate::{
    convert::time,
    gateway::{ApiError, Call},
    services::tagging::Tags,
};

/// Certificates in a region.
pub const MOST_CERTIFICATES: usize = 2500;

pub async fn import(
    call: Call,
    input: ImportCertificateRequest,
) -> Result<ImportCertificateResponse, ApiError> {
    let scope = call.scope();
    let again = input.certificate_arn;
    if again.is_some() && input.tags.is_some() {
        return Err(invalid("You cannot apply tags when reimporting a certificate."));
    }
    let body = input.certificate.unwrap_or_default();
    let key = input.private_key.unwrap_or_default();
    let checked = material::check(&body, input.certificate_chain.as_deref(), &key, call.now())?;
    let tags = tags::given(input.tags)?;
    let id = match &again {
        None => call.services.ids().uuid(),
        Some(arn) => id_of(scope, arn)?.to_owned(),
    };
    let sealed = call.services.certificate_keys.seal(arn(scope, &id), checked.key.as_bytes());
    let fresh = Certificate {
        id: id.clone(),
        body: checked.body,
        chain: checked.chain,
        sealed_key: STANDARD.encode(sealed),
        facts: checked.facts,
        created_at: call.now(),
        imported_at: call.now(),
        tags,
        requested: None,
    };
    call.services
        .state
        .transact(|tx| {
            let mut put = fresh.clone();
            match &again {
                Some(arn) => {
                    let there = get(tx, scope, arn).ok_or_else(|| not_found(arn, scope.account.as_str()))?;
                    if there.facts.key_algorithm != put.facts.key_algorithm {
                        return Err(invalid(
                            "The key of a certificate that is imported again must be of the same kind and size.",
                        ));
                    }
                    if there.requested.is_some() {
                        return Err(invalid("A certificate that was requested cannot be imported over."));
                    }
                    put.created_at = there.created_at;
                    put.tags = there.tags.clone();
                }
                None if tx.view().scan::<Certificate>(scope).count() >= MOST_CERTIFICATES => {
                    return Err(ApiError::new(
                        &errors::LIMIT_EXCEEDED_EXCEPTION,
                        format!("The maximum number of imported certificates {MOST_CERTIFICATES} has been reached."),
                    ));
                }
                None => {}
            }
            tx.put(scope, &id, put);
            Ok(())
        })
        .await?;
    Ok(ImportCertificateResponse { certificate_arn: Some(arn(scope, &id)) })
}

pub async fn describe(
    call: Call,
    input: DescribeCertificateRequest,
) -> Result<DescribeCertificateResponse, ApiError> {
    let view = call.services.state.view();
    let found = see(&view, call.scope(), &input.certificate_arn.unwrap_or_default())?;
    Ok(DescribeCertificateResponse { certificate: Some(detail(&view, call.scope(), &found, call.now())) })
}

pub async fn get_certificate(
    call: Call,
    input: GetCertificateRequest,
) -> Result<GetCertificateResponse, ApiError> {
    let view = call.services.state.view();
    let found = see(&view, call.scope(), &input.certificate_arn.unwrap_or_default())?;
    Ok(GetCertificateResponse {
        certificate: Some(found.body.clone()),
        certificate_chain: found.chain.clone(),
    })
}

pub async fn delete(call: Call, input: DeleteCertificateRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    let arn = input.certificate_arn.unwrap_or_default();
    let id = id_of(scope, &arn)?;
    call.services
        .state
        .transact(|tx| {
            if tx.get::<Certificate>(scope, id).is_none() {
                return Err(not_found(&arn, scope.account.as_str()));
            }
            if !users::guarded(tx, scope, &arn).is_empty() {
                return Err(ApiError::new(
                    &errors::RESOURCE_IN_USE_EXCEPTION,
                    format!("Certificate {arn} in account {} is in use.", scope.account),
                ));
            }
            tx.delete::<Certificate>(scope, id);
            Ok(())
        })
        .await?;
    Ok(Unit)
}

pub async fn list(call: Call, input: ListCertificatesRequest) -> Result<ListCertificatesResponse, ApiError> {
    let scope = call.scope();
    let newest_first = match (input.sort_by, input.sort_order) {
        (Some(_), Some(order)) => Some(order == acm::SortOrder::Descending),
        (None, None) => None,
        _ => {
            return Err(ApiError::new(
                &errors::INVALID_ARGS_EXCEPTION,
                "SortBy and SortOrder must be specified together.",
            ));
        }
    };
    let origins = input.certificate_key_pair_origins.unwrap_or_default();
    let statuses = input.certificate_statuses.unwrap_or_default();
    let filters = input.includes.unwrap_or_default();
    let view = call.services.state.view();
    let chosen = |one: &Certificate| {
        (statuses.is_empty() || statuses.contains(&status(one, call.now())))
            && (origins.is_empty() || origins.contains(&origin(one)))
            && passes(&filters, one)
    };
    let mut all: Vec<_> =
        view.scan::<Certificate>(scope).map(|(_, one)| one).filter(|one| chosen(one)).collect();
    // A key in the list's order, so that a page goes on where the last one ended.
    let key = |one: &Certificate| match newest_first {
        None => one.id.clone(),
        Some(false) => format!("{:020}/{}", one.created_at.as_millis(), one.id),
        Some(true) => format!("{:020}/{}", i64::MAX - one.created_at.as_millis(), one.id),
    };
    all.sort_by_key(|one| key(one));
    let size = usize::try_from(input.max_items.unwrap_or(1000)).unwrap_or(1).clamp(1, 1000);
    let name = format!("acm/{scope}/certificates {newest_first:?}");
    let page = call.services.page_tokens.page(&name, all, |one| key(one), input.next_token.as_deref(), size);
    let page = page.map_err(|_| invalid("The token is not valid."))?;
    let shown = page.items.iter().map(|one| summary(&view, scope, one, call.now()));
    Ok(ListCertificatesResponse {
        certificate_summary_list: Some(shown.collect()),
        next_token: page.next_token,
    })
}

/// Unless asked for others, RSA keys of 2048 bits are shown alone: so says the API, because that is what requests get there. What they get here
/// is shown too.
fn passes(filters: &Filters, one: &Certificate) -> bool {
    let algorithm = one.facts.key_algorithm.as_deref().and_then(KeyAlgorithm::parse);
    let by_key = match &filters.key_types {
        Some(types) if !types.is_empty() => algorithm.is_some_and(|algorithm| types.contains(&algorithm)),
        _ => algorithm == Some(KeyAlgorithm::Rsa2048) || one.requested.is_some(),
    };
    let by_usage = filters.key_usage.as_ref().is_none_or(|wanted| {
        wanted.iter().all(|usage| one.facts.key_usages.iter().any(|own| own == usage.as_str()))
    });
    let by_extended = filters.extended_key_usage.as_ref().is_none_or(|wanted| {
        wanted.iter().all(|usage| one.facts.extended_key_usages.iter().any(|(own, _)| own == usage.as_str()))
    });
    let exportable = filters.export_option == Some(acm::CertificateExport::Enabled);
    by_key && by_usage && by_extended && !exportable && filters.managed_by.is_none()
}

fn status(one: &Certificate, now: Timestamp) -> CertificateStatus {
    if one.facts.not_after <= now { CertificateStatus::Expired } else { CertificateStatus::Issued }
}

fn origin(one: &Certificate) -> acm::CertificateKeyPairOrigin {
    match one.requested {
        Some(_) => acm::CertificateKeyPairOrigin::AwsManaged,
        None => acm::CertificateKeyPairOrigin::CustomerProvided,
    }
}

fn kind(one: &Certificate) -> acm::CertificateType {
    match one.requested {
        Some(_) => acm::CertificateType::AmazonIssued,
        None => acm::CertificateType::Imported,
    }
}

/// The organization that issued it, or else the authority's own name.
fn issuer(one: &Certificate) -> Option<String> {
    let part =
        |name: &str| one.facts.issuer.iter().find(|(part, _)| part == name).map(|(_, value)| value.clone());
    part("O").or_else(|| part("CN"))
}

fn eligibility(one: &Certificate) -> acm::RenewalEligibility {
    match one.requested {
        Some(_) => acm::RenewalEligibility::Eligible,
        None => acm::RenewalEligibility::Ineligible,
    }
}

/// What is said of the last renewal, once there was one.
fn renewal(requested: &Requested) -> Option<acm::RenewalSummary> {
    requested.renewed_at.map(|at| acm::RenewalSummary {
        renewal_status: Some(acm::RenewalStatus::Success),
        domain_validation_options: Some(requests::validations(requested)),
        updated_at: Some(time(at)),
        ..acm::RenewalSummary::default()
    })
}

fn detail(view: &View, scope: &Scope, one: &Certificate, now: Timestamp) -> CertificateDetail {
    let facts = &one.facts;
    let subject: Vec<String> = facts.subject.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let usages = facts.key_usages.iter().map(|usage| acm::KeyUsage { name: acm::KeyUsageName::parse(usage) });
    let extended = facts.extended_key_usages.iter().map(|(name, oid)| acm::ExtendedKeyUsage {
        name: acm::ExtendedKeyUsageName::parse(name),
        oid: Some(oid.clone()),
    });
    CertificateDetail {
        certificate_arn: Some(one.arn(scope)),
        domain_name: facts.domain_name().map(str::to_owned),
        subject_alternative_names: Some(facts.names.clone()).filter(|names| !names.is_empty()),
        serial: Some(facts.serial.clone()),
        subject: Some(subject.join(",")),
        issuer: issuer(one),
        created_at: Some(time(one.created_at)),
        imported_at: one.requested.is_none().then(|| time(one.imported_at)),
        issued_at: one.requested.as_ref().map(|_| time(one.created_at)),
        domain_validation_options: one.requested.as_ref().map(requests::validations),
        renewal_summary: one.requested.as_ref().and_then(renewal),
        status: Some(status(one, now)),
        not_before: Some(time(facts.not_before)),
        not_after: Some(time(facts.not_after)),
        key_algorithm: facts.key_algorithm.as_deref().and_then(KeyAlgorithm::parse),
        signature_algorithm: Some(facts.signature_algorithm.clone()),
        in_use_by: Some(users::of(view, scope, &one.arn(scope))),
        r#type: Some(kind(one)),
        key_usages: Some(usages.collect()),
        extended_key_usages: Some(extended.collect()),
        renewal_eligibility: Some(eligibility(one)),
        certificate_key_pair_origin: Some(origin(one)),
        options: Some(acm::CertificateOptions {
            certificate_transparency_logging_preference: Some(
                acm::CertificateTransparencyLoggingPreference::Disabled,
            ),
            ..acm::CertificateOptions::default()
        }),
        ..CertificateDetail::default()
    }
}

fn summary(view: &View, scope: &Scope, one: &Certificate, now: Timestamp) -> CertificateSummary {
    let facts = &one.facts;
    let usages = facts.key_usages.iter().filter_map(|usage| acm::KeyUsageName::parse(usage));
    let extended =
        facts.extended_key_usages.iter().filter_map(|(name, _)| acm::ExtendedKeyUsageName::parse(name));
    CertificateSummary {
        certificate_arn: Some(one.arn(scope)),
        domain_name: facts.domain_name().map(str::to_owned),
        // A summary shows a hundred.
        subject_alternative_name_summaries: Some(facts.names.iter().take(100).cloned().collect())
            .filter(|names: &Vec<String>| !names.is_empty()),
        has_additional_subject_alternative_names: Some(facts.names.len() > 100),
        status: Some(status(one, now)),
        r#type: Some(kind(one)),
        key_algorithm: facts.key_algorithm.as_deref().and_then(KeyAlgorithm::parse),
        key_usages: Some(usages.collect()),
        extended_key_usages: Some(extended.collect()),
        in_use: Some(!users::of(view, scope, &one.arn(scope)).is_empty()),
        renewal_eligibility: Some(eligibility(one)),
        certificate_key_pair_origin: Some(origin(one)),
        not_before: Some(time(facts.not_before)),
        not_after: Some(time(facts.not_after)),
        created_at: Some(time(one.created_at)),
        imported_at: one.requested.is_none().then(|| time(one.imported_at)),
        issued_at: one.requested.as_ref().map(|_| time(one.created_at)),
        ..CertificateSummary::default()
    }
}

/// With these tags.
pub fn retagged(one: &Certificate, tags: Tags) -> Certificate {
    Certificate { tags, ..one.clone() }
}
