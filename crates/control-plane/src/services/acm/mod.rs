//! Certificate Manager: certificates for the listeners of load balancers, which users import or request.
//!
//! Requested ones are issued by an authority of the platform's own. Private keys are kept sealed, and leave this module only
//! towards the data plane.

mod authority;
mod calls;
pub(in crate::services) mod der;
mod errors;
mod material;
pub mod records;
mod requests;
mod tags;
pub mod users;
mod x509;

#[cfg(test)]
pub mod tests;

use std::sync::Arc;

use aws_shapes_acm as acm;
use base64::{Engine, engine::general_purpose::STANDARD};
use routing::config::{self, SecretText};
use state_store::{Tx, View};
use vocabulary::{Arn, Scope};

use super::Services;
use crate::gateway::{ApiError, Operations};
use authority::Authority;
pub use calls::delete;
use errors::{invalid_arn, not_found};
use records::Certificate;

pub use requests::renew_due;
pub use requests::request;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(acm::SERVICE)
        .on::<acm::ImportCertificate, _, _>(calls::import)
        .on::<acm::DescribeCertificate, _, _>(calls::describe)
        .on::<acm::GetCertificate, _, _>(calls::get_certificate)
        .on::<acm::ListCertificates, _, _>(calls::list)
        .on::<acm::DeleteCertificate, _, _>(calls::delete)
        .on::<acm::AddTagsToCertificate, _, _>(tags::add)
        .on::<acm::RemoveTagsFromCertificate, _, _>(tags::remove)
        .on::<acm::ListTagsForCertificate, _, _>(tags::list)
        .on::<acm::TagResource, _, _>(tags::tag)
        .on::<acm::UntagResource, _, _>(tags::untag)
        .on::<acm::ListTagsForResource, _, _>(tags::list_of_resource)
        .on::<acm::RequestCertificate, _, _>(requests::request)
        .on::<acm::RenewCertificate, _, _>(requests::renew);
}

/// Declares the service's records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables.with::<Certificate>().with::<Authority>()
}

/// The UUID in the ARN of a certificate of this account and region.
///
/// # Errors
/// `InvalidArnException` for what is no ARN of a certificate; `ResourceNotFoundException` for one of elsewhere.
fn id_of<'a>(scope: &Scope, arn: &'a str) -> Result<&'a str, ApiError> {
    let parsed: Arn = arn.parse().map_err(|_| invalid_arn(arn))?;
    let id = arn.rsplit_once(":certificate/").map(|(_, id)| id).filter(|_| parsed.service() == "acm");
    let id = id.ok_or_else(|| invalid_arn(arn))?;
    if parsed.account() != scope.account.as_str() || parsed.region() != scope.region.as_str() {
        return Err(not_found(arn, scope.account.as_str()));
    }
    Ok(id)
}

/// The certificate with this ARN, in a transaction.
pub fn get(tx: &mut Tx, scope: &Scope, arn: &str) -> Option<Arc<Certificate>> {
    tx.get::<Certificate>(scope, id_of(scope, arn).ok()?)
}

fn see(view: &View, scope: &Scope, arn: &str) -> Result<Arc<Certificate>, ApiError> {
    let found = view.get::<Certificate>(scope, id_of(scope, arn)?);
    found.ok_or_else(|| not_found(arn, scope.account.as_str()))
}

/// The certificate as a listener shows it, with its key. None when it is gone, or its key cannot be opened: then the
/// installation's secret is not the one it was sealed with, which the log is told.
pub fn for_listener(
    services: &Services,
    view: &View,
    scope: &Scope,
    arn: &str,
) -> Option<config::Certificate> {
    let found = view.get::<Certificate>(scope, id_of(scope, arn).ok()?)?;
    let sealed = STANDARD.decode(&found.sealed_key).ok()?;
    let opened = services.certificate_keys.open(arn, &sealed).and_then(|key| String::from_utf8(key).ok());
    let Some(key) = opened else {
        tracing::error!(
            arn,
            "the private key of a certificate cannot be opened with this installation's secret"
        );
        return None;
    };
    let mut chain_pem = found.body.clone();
    if let Some(chain) = &found.chain {
        if !chain_pem.ends_with('\n') {
            chain_pem.push('\n');
        }
        chain_pem.push_str(chain);
    }
    Some(config::Certificate { arn: arn.to_owned(), chain_pem, private_key_pem: SecretText::new(key) })
}
