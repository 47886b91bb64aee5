//! Log groups: made, listed, kept for so long, deleted.

use std::sync::Arc;

use aws_schema::Unit;
use aws_shapes_logs::{
    CreateLogGroupRequest, DeleteLogGroupRequest, DeleteRetentionPolicyRequest, DescribeLogGroupsRequest,
    DescribeLogGroupsResponse, ListLogGroupsRequest, ListLogGroupsResponse, LogGroup, LogGroupClass,
    LogGroupSummary, PutLogGroupDeletionProtectionRequest, PutRetentionPolicyRequest, errors,
};
use state_store::{StateError, Tx};
use telemetry_store::StreamSelection;
use vocabulary::Scope;

use super::{
    Logs,
    names::{bad_token, either, group_name, invalid, no_group, required, validation},
    records::{Group, Stream, stream_id},
    store_error, tags,
};
use crate::gateway::{ApiError, Call};

/// Retentions that AWS offers, in days.
const RETENTIONS: [i32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];
/// Groups on a page.
const PAGE: i32 = 50;
/// Stream records deleted in one transaction: etcd allows 128 operations.
const DELETED_AT_ONCE: usize = 100;

pub async fn create(call: Call, input: CreateLogGroupRequest) -> Result<Unit, ApiError> {
    let name = required(input.log_group_name);
    if name.to_ascii_lowercase().starts_with("aws/") {
        return Err(invalid("Log groups starting with AWS/ are reserved for AWS."));
    }
    if input.kms_key_id.is_some() {
        // Storing a key's name and not using it would promise encryption that is not there.
        return Err(ApiError::undeclared(
            "NotImplemented",
            501,
            "Longshore does not encrypt log groups with KMS keys yet.",
        ));
    }
    let group = Arc::new(Group {
        incarnation: call.request_id.clone(),
        created: call.now(),
        class: input.log_group_class.unwrap_or(LogGroupClass::Standard).to_string(),
        retention_days: None,
        deletion_protection: input.deletion_protection_enabled.unwrap_or(false),
        tags: tags::checked(input.tags.unwrap_or_default(), &errors::INVALID_PARAMETER_EXCEPTION)?,
        name,
    });
    let scope = call.scope();
    call.services
        .logs
        .state
        .transact(|tx| {
            tx.create::<Group>(scope, &group.name, group.clone()).map_err(|_| {
                ApiError::new(
                    &errors::RESOURCE_ALREADY_EXISTS_EXCEPTION,
                    "The specified log group already exists",
                )
            })
        })
        .await?;
    Ok(Unit)
}

pub async fn delete(call: Call, input: DeleteLogGroupRequest) -> Result<Unit, ApiError> {
    let (scope, name) = (call.scope(), required(input.log_group_name));
    let logs = &call.services.logs;
    let deleted: Arc<Group> = logs
        .state
        .transact(|tx| {
            let group = tx.get::<Group>(scope, &name).ok_or_else(no_group)?;
            if group.deletion_protection {
                return Err(validation(
                    "The log group is protected against deletion. Disable its deletion protection first.",
                ));
            }
            tx.delete::<Group>(scope, &name);
            Ok(group)
        })
        .await?;
    // From here on nobody sees the group. What is left over after a crash, the next sweep finds.
    forget(logs, scope, &deleted).await
}

/// Removes what a deleted group leaves behind.
async fn forget(logs: &Logs, scope: &Scope, deleted: &Group) -> Result<Unit, ApiError> {
    remove_streams(logs, scope, &deleted.name, &deleted.incarnation).await?;
    logs.telemetry.delete_group(deleted.events(scope)).await.map_err(store_error)?;
    Ok(Unit)
}

/// Deletes the stream records of one incarnation, a bounded number at a time.
pub(super) async fn remove_streams(
    logs: &Logs,
    scope: &Scope,
    group: &str,
    incarnation: &str,
) -> Result<(), ApiError> {
    loop {
        let ids: Vec<String> = logs.state.read(|view| {
            view.scan_prefix::<Stream>(scope, &stream_id(group, ""))
                .filter(|(_, stream)| stream.incarnation == incarnation)
                .map(|(id, _)| id.to_owned())
                .take(DELETED_AT_ONCE)
                .collect()
        });
        if ids.is_empty() {
            return Ok(());
        }
        logs.state
            .transact(|tx| {
                for id in &ids {
                    if tx.get::<Stream>(scope, id).is_some_and(|stream| stream.incarnation == incarnation) {
                        tx.delete::<Stream>(scope, id);
                    }
                }
                Ok::<_, ApiError>(())
            })
            .await?;
    }
}

pub async fn describe(
    call: Call,
    input: DescribeLogGroupsRequest,
) -> Result<DescribeLogGroupsResponse, ApiError> {
    let (prefix, pattern) = (input.log_group_name_prefix, input.log_group_name_pattern);
    if prefix.is_some() && pattern.is_some() {
        return Err(invalid(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ));
    }
    let (scope, logs) = (call.scope(), &call.services.logs);
    let named: Option<Vec<String>> = input
        .log_group_identifiers
        .map(|identifiers| identifiers.iter().map(|identifier| group_name(scope, identifier)).collect())
        .transpose()?;
    let by_pattern = pattern.is_some();
    let class = input.log_group_class.map(|class| class.to_string());
    let wanted = |group: &Group| {
        pattern.as_ref().is_none_or(|pattern| group.name.contains(pattern.as_str()))
            && named.as_ref().is_none_or(|named| named.contains(&group.name))
            && class.as_ref().is_none_or(|class| *class == group.class)
    };
    let groups = logs.state.read(|view| {
        let found = view.scan_prefix::<Group>(scope, prefix.as_deref().unwrap_or_default());
        let found = found.map(|(_, group)| group).filter(|group| wanted(group));
        logs.tokens.page(
            "logs groups",
            found,
            |group| group.name.clone(),
            input.next_token.as_deref(),
            size(input.limit, PAGE),
        )
    });
    let page = groups.map_err(|_| bad_token())?;
    let mut shown = Vec::with_capacity(page.items.len());
    for group in page.items {
        let mut shape = shape(scope, &group);
        if !by_pattern {
            shape.stored_bytes = Some(stored_bytes(logs, scope, &group).await?);
            shape.deletion_protection_enabled = Some(group.deletion_protection);
        }
        shown.push(shape);
    }
    Ok(DescribeLogGroupsResponse { log_groups: Some(shown), next_token: page.next_token })
}

/// Bytes of the messages in a group.
async fn stored_bytes(logs: &Logs, scope: &Scope, group: &Group) -> Result<i64, ApiError> {
    let summaries =
        logs.telemetry.summaries(group.events(scope), StreamSelection::All).await.map_err(store_error)?;
    let bytes: u64 = summaries.values().map(|summary| summary.message_bytes).sum();
    Ok(i64::try_from(bytes).unwrap_or(i64::MAX))
}

fn shape(scope: &Scope, group: &Group) -> LogGroup {
    let arn = group.arn(scope);
    LogGroup {
        arn: Some(format!("{arn}:*")),
        log_group_arn: Some(arn),
        creation_time: Some(group.created.as_millis()),
        log_group_class: LogGroupClass::parse(&group.class),
        log_group_name: Some(group.name.clone()),
        metric_filter_count: Some(0),
        retention_in_days: group.retention_days.and_then(|days| i32::try_from(days).ok()),
        ..LogGroup::default()
    }
}

pub async fn list(call: Call, input: ListLogGroupsRequest) -> Result<ListLogGroupsResponse, ApiError> {
    let (scope, logs) = (call.scope(), &call.services.logs);
    let class = input.log_group_class.map(|class| class.to_string());
    // `a|^b`: names that contain `a` or begin with `b`.
    let pattern = input.log_group_name_pattern.unwrap_or_default();
    let matches = |name: &str| {
        pattern.is_empty()
            || pattern.split('|').any(|part| match part.strip_prefix('^') {
                Some(prefix) => name.starts_with(prefix),
                None => name.contains(part),
            })
    };
    let page = logs.state.read(|view| {
        let found = view
            .scan::<Group>(scope)
            .map(|(_, group)| group)
            .filter(|group| matches(&group.name) && class.as_ref().is_none_or(|class| *class == group.class));
        let token = input.next_token.as_deref();
        logs.tokens.page(
            "logs groups list",
            found,
            |group| group.name.clone(),
            token,
            size(input.limit, PAGE),
        )
    });
    let page = page.map_err(|_| bad_token())?;
    let summary = |group: Arc<Group>| LogGroupSummary {
        log_group_arn: Some(group.arn(scope)),
        log_group_class: LogGroupClass::parse(&group.class),
        log_group_name: Some(group.name.clone()),
    };
    Ok(ListLogGroupsResponse {
        log_groups: Some(page.items.into_iter().map(summary).collect()),
        next_token: page.next_token,
    })
}

pub async fn put_retention(call: Call, input: PutRetentionPolicyRequest) -> Result<Unit, ApiError> {
    let days = input.retention_in_days.unwrap_or_default();
    if !RETENTIONS.contains(&days) {
        return Err(invalid(format!(
            "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: \
             Member must satisfy enum value set: {RETENTIONS:?}"
        )));
    }
    let days = u32::try_from(days).ok();
    edit(&call, &required(input.log_group_name), |group| group.retention_days = days).await
}

pub async fn delete_retention(call: Call, input: DeleteRetentionPolicyRequest) -> Result<Unit, ApiError> {
    edit(&call, &required(input.log_group_name), |group| group.retention_days = None).await
}

pub async fn put_deletion_protection(
    call: Call,
    input: PutLogGroupDeletionProtectionRequest,
) -> Result<Unit, ApiError> {
    let name = either(call.scope(), None, input.log_group_identifier)?;
    let protect = input.deletion_protection_enabled.unwrap_or(false);
    edit(&call, &name, |group| group.deletion_protection = protect).await
}

/// Changes a group's record.
async fn edit(call: &Call, name: &str, change: impl Fn(&mut Group)) -> Result<Unit, ApiError> {
    let scope = call.scope();
    call.services
        .logs
        .state
        .transact(|tx: &mut Tx| {
            let mut group = (*tx.get::<Group>(scope, name).ok_or_else(no_group)?).clone();
            change(&mut group);
            tx.put::<Group>(scope, name, group);
            Ok::<_, ApiError>(Unit)
        })
        .await
}

/// A page's size.
pub(super) fn size(limit: Option<i32>, default: i32) -> usize {
    usize::try_from(limit.unwrap_or(default)).unwrap_or(1).max(1)
}

/// Makes the group if it is not there; used when an agent may do so.
pub(super) async fn ensure(logs: &Logs, scope: &Scope, group: Arc<Group>) -> Result<Arc<Group>, StateError> {
    logs.state
        .transact(|tx| match tx.get::<Group>(scope, &group.name) {
            Some(existing) => Ok::<_, StateError>(existing),
            None => {
                tx.put::<Group>(scope, &group.name, group.clone());
                Ok(group.clone())
            }
        })
        .await
}
