//! Giving values out, and showing what is known of secrets.

use std::collections::BTreeMap;

use aws_shapes_secretsmanager as secrets;
use aws_shapes_secretsmanager::{
    APIErrorType, BatchGetSecretValueRequest, BatchGetSecretValueResponse, DescribeSecretRequest,
    DescribeSecretResponse, GetSecretValueRequest, GetSecretValueResponse, ListSecretVersionIdsRequest,
    ListSecretVersionIdsResponse, RotationRulesType, SecretValueEntry, SecretVersionsListEntry, Tag, errors,
};

use super::{
    errors::invalid_parameter,
    filters, names,
    records::{Secret, Version},
    replication,
    values::{self, Asker, Given, Plain, Which},
};
use crate::{
    authorization::{Wish, authorize_with_resource_policy},
    convert::time,
    gateway::{ApiError, Call},
};

fn parts(plain: Plain) -> (Option<String>, Option<Vec<u8>>) {
    match plain {
        Plain::Text(text) => (Some(text), None),
        Plain::Binary(bytes) => (None, Some(bytes)),
    }
}

fn stages(version: &Version) -> Vec<String> {
    version.stages.iter().cloned().collect()
}

pub async fn get(call: Call, input: GetSecretValueRequest) -> Result<GetSecretValueResponse, ApiError> {
    let which = Which { version_id: input.version_id.as_deref(), stage: input.version_stage.as_deref() };
    let asker = Asker::of(&call);
    let id = input.secret_id.unwrap_or_default();
    let given = values::give(&call.services, call.scope(), &id, &which, &asker)?;
    let (secret_string, secret_binary) = parts(given.plain);
    Ok(GetSecretValueResponse {
        arn: Some(given.found.arn()),
        created_date: Some(time(given.version.created_at)),
        name: Some(given.found.secret.name.clone()),
        secret_binary,
        secret_string,
        version_id: Some(given.version_id),
        version_stages: Some(stages(&given.version)),
    })
}

/// Secrets of one answer, where a request does not say.
const BATCH: usize = 20;

pub async fn batch_get(
    call: Call,
    input: BatchGetSecretValueRequest,
) -> Result<BatchGetSecretValueResponse, ApiError> {
    let asker = Asker::of(&call);
    let given_filters = input.filters.unwrap_or_default();
    let (ids, next_token) = match (input.secret_id_list, given_filters.is_empty()) {
        (Some(ids), true) if !ids.is_empty() => {
            if input.max_results.is_some() {
                return Err(invalid_parameter("MaxResults can only be given with Filters."));
            }
            (ids, None)
        }
        (None, false) => {
            let size = input.max_results.and_then(|size| usize::try_from(size).ok()).unwrap_or(BATCH);
            let matched = filters::matching(&call, &given_filters, false)?;
            let page = filters::page(&call, "values", matched, input.next_token.as_deref(), size)?;
            (page.items.iter().map(|secret| secret.arn(call.scope())).collect(), page.next_token)
        }
        _ => {
            let message = "Either 'SecretIdList' or 'Filters' must be provided, but not both.";
            return Err(invalid_parameter(message));
        }
    };
    let (mut secret_values, mut failed) = (Vec::new(), Vec::new());
    for id in ids {
        match one(&call, &id, &asker) {
            Ok(given) => {
                let (secret_string, secret_binary) = parts(given.plain);
                secret_values.push(SecretValueEntry {
                    arn: Some(given.found.arn()),
                    created_date: Some(time(given.version.created_at)),
                    name: Some(given.found.secret.name.clone()),
                    secret_binary,
                    secret_string,
                    version_id: Some(given.version_id),
                    version_stages: Some(stages(&given.version)),
                });
            }
            Err(error) => failed.push(APIErrorType {
                error_code: Some(error.code.to_string()),
                message: Some(error.message),
                secret_id: Some(id),
            }),
        }
    }
    Ok(BatchGetSecretValueResponse { errors: Some(failed), next_token, secret_values: Some(secret_values) })
}

/// One of a batch: the caller needs the right to each.
fn one(call: &Call, id: &str, asker: &Asker) -> Result<Given, ApiError> {
    let resource = match id.starts_with("arn:") {
        true => id.to_owned(),
        false => call.scope().arn("secretsmanager", format_args!("secret:{id}")).to_string(),
    };
    let wish = Wish::new("secretsmanager:GetSecretValue", &resource);
    authorize_with_resource_policy(&call.services, &asker.holder, &asker.context, secrets::SERVICE, &wish)?;
    values::give(&call.services, call.scope(), id, &Which::default(), asker)
}

/// Version ids with their stages; those without any are not shown.
pub fn stages_by_version(secret: &Secret) -> Option<BTreeMap<String, Vec<String>>> {
    let used = secret.versions.iter().filter(|(_, version)| !version.stages.is_empty());
    let shown: BTreeMap<String, Vec<String>> =
        used.map(|(id, version)| (id.clone(), stages(version))).collect();
    (!shown.is_empty()).then_some(shown)
}

pub fn rules(secret: &Secret) -> Option<RotationRulesType> {
    secret.rotation.as_ref().map(|rotation| RotationRulesType {
        automatically_after_days: rotation.rules.after_days,
        duration: rotation.rules.window.clone(),
        schedule_expression: rotation.rules.schedule.clone(),
    })
}

pub fn tags(secret: &Secret) -> Option<Vec<Tag>> {
    let tag = |(key, value): (&String, &String)| Tag { key: Some(key.clone()), value: Some(value.clone()) };
    (!secret.tags.is_empty()).then(|| secret.tags.iter().map(tag).collect())
}

/// The region of the secret that has replicas, or is one.
pub fn primary_region(call: &Call, secret: &Secret) -> Option<String> {
    match &secret.replica_of {
        Some(region) => Some(region.clone()),
        None => (!secret.replicas.is_empty()).then(|| call.scope().region.to_string()),
    }
}

pub async fn describe(call: Call, input: DescribeSecretRequest) -> Result<DescribeSecretResponse, ApiError> {
    let view = call.services.state.view();
    let found = names::see(&view, call.scope(), &input.secret_id.unwrap_or_default())?;
    let secret = &found.secret;
    let rotation = secret.rotation.as_ref();
    Ok(DescribeSecretResponse {
        arn: Some(found.arn()),
        created_date: Some(time(secret.created_at)),
        deleted_date: secret.deletion.map(|deletion| time(deletion.at)),
        description: secret.description.clone(),
        kms_key_id: secret.kms_key.clone(),
        last_accessed_date: secret.accessed_on.map(time),
        last_changed_date: Some(time(secret.changed_at)),
        last_rotated_date: secret.rotated_at.map(time),
        name: Some(secret.name.clone()),
        next_rotation_date: rotation.and_then(|rotation| rotation.next).map(time),
        primary_region: primary_region(&call, secret),
        replication_status: replication::shown(secret),
        rotation_enabled: rotation.map(|rotation| rotation.enabled),
        rotation_lambda_arn: rotation.map(|rotation| rotation.hook.clone()),
        rotation_rules: rules(secret),
        tags: tags(secret),
        version_ids_to_stages: stages_by_version(secret),
        ..DescribeSecretResponse::default()
    })
}

pub async fn list_versions(
    call: Call,
    input: ListSecretVersionIdsRequest,
) -> Result<ListSecretVersionIdsResponse, ApiError> {
    let view = call.services.state.view();
    let found = names::see(&view, call.scope(), &input.secret_id.unwrap_or_default())?;
    let all = input.include_deprecated == Some(true);
    let versions = found.secret.versions.iter();
    let versions = versions.filter(|(_, version)| all || !version.stages.is_empty());
    let size = input.max_results.and_then(|size| usize::try_from(size).ok()).unwrap_or(100);
    let list = format!("secretsmanager/{}/versions {} {all}", found.scope, found.arn());
    let tokens = &call.services.page_tokens;
    let page = tokens.page(&list, versions, |(id, _)| (*id).clone(), input.next_token.as_deref(), size);
    let page =
        page.map_err(|_| ApiError::new(&errors::INVALID_NEXT_TOKEN_EXCEPTION, "Invalid NextToken."))?;
    let shown = page.items.into_iter().map(|(id, version)| SecretVersionsListEntry {
        created_date: Some(time(version.created_at)),
        kms_key_ids: version
            .key_arn
            .as_ref()
            .map(|_| vec![found.secret.kms_key.clone().unwrap_or_else(|| "DefaultEncryptionKey".to_owned())]),
        last_accessed_date: version.accessed_on.map(time),
        version_id: Some(id.clone()),
        version_stages: (!version.stages.is_empty()).then(|| stages(version)),
    });
    Ok(ListSecretVersionIdsResponse {
        arn: Some(found.arn()),
        name: Some(found.secret.name.clone()),
        versions: Some(shown.collect()),
        next_token: page.next_token,
    })
}
