//! Certificates of listeners. They come from ACM.

use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::{
    AddListenerCertificatesInput, AddListenerCertificatesOutput, DescribeListenerCertificatesInput,
    DescribeListenerCertificatesOutput, RemoveListenerCertificatesInput, RemoveListenerCertificatesOutput,
    errors,
};
use state_store::Tx;
use vocabulary::Scope;

use super::{
    errors::{not_permitted, validation},
    listeners, page,
    records::Listener,
};
use crate::{
    gateway::{ApiError, Call},
    services::acm,
};

/// Certificates of a load balancer beside the default ones.
pub const MOST_CERTIFICATES: usize = 25;

/// Whether a listener may have this certificate.
///
/// # Errors
/// `CertificateNotFound`, `ValidationError`.
pub fn check(tx: &mut Tx, scope: &Scope, arn: &str) -> Result<(), ApiError> {
    if !arn.starts_with("arn:") {
        return Err(validation(format!("Certificate ARN '{arn}' is not valid")));
    }
    match acm::get(tx, scope, arn) {
        Some(_) => Ok(()),
        None => Err(ApiError::new(
            &errors::CERTIFICATE_NOT_FOUND_EXCEPTION,
            format!("Certificate '{arn}' not found"),
        )),
    }
}

fn only(listener: &Listener) -> Result<(), ApiError> {
    if listener.protocol.is_secure() {
        return Ok(());
    }
    Err(validation(format!("A certificate cannot be specified for {} listeners", listener.protocol.as_str())))
}

fn shape(arn: &str, default: bool) -> elbv2::Certificate {
    elbv2::Certificate { certificate_arn: Some(arn.to_owned()), is_default: Some(default) }
}

pub async fn add(
    call: Call,
    input: AddListenerCertificatesInput,
) -> Result<AddListenerCertificatesOutput, ApiError> {
    let scope = call.scope();
    let arn = input.listener_arn.unwrap_or_default();
    let given: Vec<String> =
        input.certificates.unwrap_or_default().into_iter().filter_map(|one| one.certificate_arn).collect();
    if given.is_empty() {
        return Err(validation("A certificate must be specified"));
    }
    call.services
        .state
        .transact(|tx| {
            let mut listener = (*listeners::get(tx, scope, &arn)?).clone();
            only(&listener)?;
            for certificate in &given {
                check(tx, scope, certificate)?;
                let there = listener.certificate.as_ref() == Some(certificate)
                    || listener.further_certificates.contains(certificate);
                if !there {
                    listener.further_certificates.push(certificate.clone());
                }
            }
            let others = tx.scan_prefix::<Listener>(scope, &format!("{}/", listener.load_balancer));
            let others = others.iter().filter(|(_, other)| other.id != listener.id);
            let elsewhere: usize = others.map(|(_, other)| other.further_certificates.len()).sum();
            if elsewhere + listener.further_certificates.len() > MOST_CERTIFICATES {
                return Err(ApiError::new(
                    &errors::TOO_MANY_CERTIFICATES_EXCEPTION,
                    format!("The maximum number of certificates '{MOST_CERTIFICATES}' of the load balancer has been reached"),
                ));
            }
            tx.put(scope, &listener.key(), listener);
            Ok(())
        })
        .await?;
    let shown = given.iter().map(|certificate| shape(certificate, false));
    Ok(AddListenerCertificatesOutput { certificates: Some(shown.collect()) })
}

pub async fn remove(
    call: Call,
    input: RemoveListenerCertificatesInput,
) -> Result<RemoveListenerCertificatesOutput, ApiError> {
    let scope = call.scope();
    let arn = input.listener_arn.unwrap_or_default();
    let given: Vec<String> =
        input.certificates.unwrap_or_default().into_iter().filter_map(|one| one.certificate_arn).collect();
    call.services
        .state
        .transact(|tx| {
            let mut listener = (*listeners::get(tx, scope, &arn)?).clone();
            if listener.certificate.as_ref().is_some_and(|default| given.contains(default)) {
                return Err(not_permitted("The default certificate of a listener cannot be removed"));
            }
            listener.further_certificates.retain(|certificate| !given.contains(certificate));
            tx.put(scope, &listener.key(), listener);
            Ok(())
        })
        .await?;
    Ok(RemoveListenerCertificatesOutput {})
}

pub async fn describe(
    call: Call,
    input: DescribeListenerCertificatesInput,
) -> Result<DescribeListenerCertificatesOutput, ApiError> {
    let arn = input.listener_arn.unwrap_or_default();
    let listener = call.services.state.read(|view| listeners::see(view, call.scope(), &arn))?;
    let default = listener.certificate.iter().map(|arn| (0, arn, true));
    let further = listener.further_certificates.iter().enumerate();
    let all = default.chain(further.map(|(number, arn)| (number + 1, arn, false)));
    let list = format!("certificates {}", listener.key());
    let page = page(&call, &list, all, |(number, ..)| format!("{number:04}"), input.marker, input.page_size)?;
    Ok(DescribeListenerCertificatesOutput {
        certificates: Some(page.items.iter().map(|(_, arn, default)| shape(arn, *default)).collect()),
        next_marker: page.next_token,
    })
}
