//! Labels: names for versions. A label is on one version of a parameter at a time.

use aws_shapes_ssm::{
    LabelParameterVersionRequest, LabelParameterVersionResult, UnlabelParameterVersionRequest,
    UnlabelParameterVersionResult, errors,
};
use state_store::Tx;

use super::{
    errors::{no_version, not_found},
    names::Reference,
    records::{Parameter, Version, version_id, versions_of},
};
use crate::gateway::{ApiError, Call};

/// On one version.
const MOST: usize = 10;

/// The parameter's name, and the number of the version that is meant.
fn meant(tx: &mut Tx, call: &Call, asked: &str, version: Option<i64>) -> Result<(String, Version), ApiError> {
    let reference = Reference::parse(call.scope(), asked)?;
    let name = reference.name(tx.view(), call.scope());
    let parameter = tx.get::<Parameter>(call.scope(), &name).ok_or_else(|| not_found(asked))?;
    let number = version.unwrap_or(parameter.version);
    let found = tx.get::<Version>(call.scope(), &version_id(&name, number));
    let found = found.ok_or_else(|| no_version(&number.to_string(), &name))?;
    Ok((name, (*found).clone()))
}

fn is_valid(label: &str) -> bool {
    let lower = label.to_ascii_lowercase();
    !lower.starts_with("aws")
        && !lower.starts_with("ssm")
        && !label.starts_with(|first: char| first.is_ascii_digit())
        && label.chars().all(|one| one.is_ascii_alphanumeric() || "_.-".contains(one))
}

pub async fn label(
    call: Call,
    input: LabelParameterVersionRequest,
) -> Result<LabelParameterVersionResult, ApiError> {
    let asked = input.name.unwrap_or_default();
    let (valid, invalid): (Vec<String>, Vec<String>) =
        input.labels.unwrap_or_default().into_iter().partition(|label| is_valid(label));
    let scope = call.scope();
    call.services
        .state
        .transact(|tx| {
            let (name, mut version) = meant(tx, &call, &asked, input.parameter_version)?;
            version.labels.extend(valid.iter().cloned());
            if version.labels.len() > MOST {
                return Err(ApiError::new(
                    &errors::PARAMETER_VERSION_LABEL_LIMIT_EXCEEDED,
                    "A parameter version can have maximum 10 labels.Move one or more labels to another version and try again.",
                ));
            }
            let view = tx.view().clone();
            let others = view
                .scan_prefix::<Version>(scope, &versions_of(&name))
                .filter(|(_, other)| other.version != version.version)
                .filter(|(_, other)| valid.iter().any(|label| other.labels.contains(label)));
            for (id, _) in others {
                let Some(other) = tx.get::<Version>(scope, id) else { continue };
                let mut other = (*other).clone();
                other.labels.retain(|label| !valid.contains(label));
                tx.put(scope, id, other);
            }
            let number = version.version;
            tx.put(scope, &version_id(&name, number), version);
            Ok(LabelParameterVersionResult {
                invalid_labels: Some(invalid.clone()),
                parameter_version: Some(number),
            })
        })
        .await
}

pub async fn unlabel(
    call: Call,
    input: UnlabelParameterVersionRequest,
) -> Result<UnlabelParameterVersionResult, ApiError> {
    let asked = input.name.unwrap_or_default();
    let labels = input.labels.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let (name, mut version) = meant(tx, &call, &asked, input.parameter_version)?;
            let (removed, invalid): (Vec<String>, Vec<String>) =
                labels.iter().cloned().partition(|label| version.labels.remove(label));
            if !removed.is_empty() {
                tx.put(call.scope(), &version_id(&name, version.version), version);
            }
            Ok::<_, ApiError>(UnlabelParameterVersionResult {
                removed_labels: Some(removed),
                invalid_labels: Some(invalid),
            })
        })
        .await
}
