//! Where the things that tasks are given are kept: one function for each service, in a role's name.

use std::sync::Arc;

use vocabulary::{Arn, Scope};

use crate::{
    authorization::Holder,
    gateway::ApiError,
    services::{
        Services, s3,
        secretsmanager::{self, Which},
        ssm::parameters,
    },
};

/// The value of a secret of Secrets Manager, by its ARN or its name.
///
/// # Errors
/// Those of GetSecretValue, and those of the key it is encrypted with.
pub fn secret(
    services: &Arc<Services>,
    scope: &Scope,
    holder: &Arc<Holder>,
    id: &str,
    which: Which<'_>,
) -> Result<String, ApiError> {
    secretsmanager::value(services, scope, holder, id, None, which)
}

/// The value of a parameter, by its name or its ARN. An ARN may be one of another region; a name is one of the task's own.
///
/// # Errors
/// Those of GetParameters, and `ParameterNotFound`.
pub fn parameter(
    services: &Services,
    scope: &Scope,
    holder: &Holder,
    name: &str,
) -> Result<String, ApiError> {
    let arn: Option<Arn> = name.parse().ok();
    let region = arn.and_then(|arn| arn.region().parse().ok());
    let scope = Scope::new(scope.account.clone(), region.unwrap_or_else(|| scope.region.clone()));
    parameters::value(services, &scope, holder, name)
}

/// The bytes of an object.
///
/// # Errors
/// Those of GetObject.
pub async fn object(
    services: &Services,
    scope: &Scope,
    holder: &Holder,
    bucket: &str,
    key: &str,
) -> Result<Vec<u8>, ApiError> {
    s3::object(services, scope, holder, bucket, key).await.map(Into::into)
}
