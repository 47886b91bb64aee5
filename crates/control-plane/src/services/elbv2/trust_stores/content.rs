//! Bundles and revocation lists in and out: read from S3 with what the caller may, and given back at an address that whoever has it may
//! fetch for ten minutes, as on AWS.

use std::time::Duration;

use aws_shapes_elbv2::{
    GetTrustStoreCaCertificatesBundleInput, GetTrustStoreCaCertificatesBundleOutput,
    GetTrustStoreRevocationContentInput, GetTrustStoreRevocationContentOutput,
};
use bytes::Bytes;
use vocabulary::Timestamp;

use super::{
    records::{Revocation, TrustStore, revocation_key},
    revocations::no_such,
    see,
};
use crate::{
    gateway::{ApiError, Call},
    services::{Services, elbv2::errors::validation, s3},
};

/// Where what is kept can be fetched. No bucket has such a name.
pub const PATH: &str = "/_trust-store/";
const LINK_LIFETIME: Duration = Duration::from_secs(600);

/// An object of S3.
pub(super) struct Place {
    pub bucket: Option<String>,
    pub key: Option<String>,
    pub version: Option<String>,
}

/// What is in it, if the caller may read it.
///
/// # Errors
/// Those of GetObject.
pub(super) async fn read(call: &Call, place: &Place) -> Result<Bytes, ApiError> {
    let (Some(bucket), Some(key)) = (&place.bucket, &place.key) else {
        return Err(validation("An S3 bucket and a key must be specified"));
    };
    // Objects here have no versions; S3 itself calls theirs so.
    if place.version.as_ref().is_some_and(|version| version != "null") {
        return Err(ApiError::undeclared("NoSuchVersion", 404, "The specified version does not exist."));
    }
    let holder = call.services.holders.find(&call.services.state.view(), call);
    s3::object(&call.services, call.scope(), &holder, bucket, key).await
}

fn link(call: &Call, path: &str) -> String {
    let query = call.services.registry.key.sign_link(call.scope(), path, call.now() + LINK_LIFETIME);
    format!("{}{path}?{query}", call.services.settings.url())
}

pub async fn bundle(
    call: Call,
    input: GetTrustStoreCaCertificatesBundleInput,
) -> Result<GetTrustStoreCaCertificatesBundleOutput, ApiError> {
    let arn = input.trust_store_arn.unwrap_or_default();
    let store = call.services.state.read(|view| see(view, call.scope(), &arn))?;
    let location = link(&call, &format!("{PATH}{}", store.key()));
    Ok(GetTrustStoreCaCertificatesBundleOutput { location: Some(location) })
}

pub async fn revocation_content(
    call: Call,
    input: GetTrustStoreRevocationContentInput,
) -> Result<GetTrustStoreRevocationContentOutput, ApiError> {
    let arn = input.trust_store_arn.unwrap_or_default();
    let number = input.revocation_id.unwrap_or_default();
    let view = call.services.state.view();
    let store = see(&view, call.scope(), &arn)?;
    let key = revocation_key(&store.key(), number);
    view.get::<Revocation>(call.scope(), &key).ok_or_else(|| no_such(&store, number))?;
    Ok(GetTrustStoreRevocationContentOutput { location: Some(link(&call, &format!("{PATH}{key}"))) })
}

/// What lies at a path that [`bundle`] or [`revocation_content`] gave out; none for one that nobody gave out or whose time is over, and for
/// what is gone.
pub fn fetch(services: &Services, path: &str, query: Option<&str>, now: Timestamp) -> Option<String> {
    let scope = services.registry.key.check_link(path, query, now)?;
    let key = path.strip_prefix(PATH)?;
    services.state.read(|view| match key.split('/').count() {
        2 => view.get::<TrustStore>(&scope, key).map(|store| store.authorities_pem.clone()),
        _ => view.get::<Revocation>(&scope, key).map(|list| list.pem.clone()),
    })
}
