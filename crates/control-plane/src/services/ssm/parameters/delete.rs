//! DeleteParameter, DeleteParameters, and the end of what has expired.

use aws_shapes_ssm::{
    DeleteParameterRequest, DeleteParameterResult, DeleteParametersRequest, DeleteParametersResult,
};
use state_store::Tx;
use vocabulary::{Scope, Timestamp};

use super::{
    errors::not_found,
    names::Reference,
    policies,
    records::{Parameter, Version, arn, version_id, versions_of},
};
use crate::{
    gateway::{ApiError, Call},
    services::Services,
};

/// Deletes a parameter with all its versions. Whether it was there.
fn remove(tx: &mut Tx, scope: &Scope, name: &str) -> bool {
    if tx.delete::<Parameter>(scope, name).is_none() {
        return false;
    }
    // At most a hundred: a transaction has room for them.
    let view = tx.view().clone();
    for (id, _) in view.scan_prefix::<Version>(scope, &versions_of(name)) {
        tx.delete::<Version>(scope, id);
    }
    true
}

async fn delete_one(call: &Call, asked: &str) -> Result<(), ApiError> {
    let scope = call.scope();
    let reference = Reference::parse(scope, asked)?;
    call.services
        .state
        .transact(|tx| {
            let name = reference.name(tx.view(), scope);
            if remove(tx, scope, &name) { Ok(()) } else { Err(not_found(asked)) }
        })
        .await
}

pub async fn delete(call: Call, input: DeleteParameterRequest) -> Result<DeleteParameterResult, ApiError> {
    delete_one(&call, &input.name.unwrap_or_default()).await?;
    Ok(DeleteParameterResult {})
}

pub async fn delete_several(
    call: Call,
    input: DeleteParametersRequest,
) -> Result<DeleteParametersResult, ApiError> {
    let (mut deleted, mut missing) = (Vec::new(), Vec::new());
    for name in input.names.unwrap_or_default() {
        match delete_one(&call, &name).await {
            Ok(()) => deleted.push(name),
            Err(error) if error.code == "ParameterNotFound" => missing.push(name),
            Err(error) => return Err(error),
        }
    }
    Ok(DeleteParametersResult { deleted_parameters: Some(deleted), invalid_parameters: Some(missing) })
}

/// Carries out the policies that are due: deletes what has expired, and tells the log of the rest.
///
/// # Errors
/// Those of the store.
pub async fn carry_out_policies(services: &Services, now: Timestamp) -> Result<(), ApiError> {
    let concerned: Vec<(Scope, String)> = services.state.read(|view| {
        let all = view.scan_all::<Parameter>().filter(|found| {
            let id = version_id(&found.value.name, found.value.version);
            view.get::<Version>(&found.scope, &id).is_some_and(|version| acts(&version, now))
        });
        all.map(|found| (found.scope, found.id)).collect()
    });
    for (scope, name) in concerned {
        services.state.transact(|tx| carry_out(tx, &scope, &name, now)).await?;
    }
    Ok(())
}

fn acts(version: &Version, now: Timestamp) -> bool {
    policies::expires_at(&version.policies).is_some_and(|at| at <= now)
        || !policies::due(&version.policies, version.modified_at, now).is_empty()
}

fn carry_out(tx: &mut Tx, scope: &Scope, name: &str, now: Timestamp) -> Result<(), ApiError> {
    let Some(parameter) = tx.get::<Parameter>(scope, name) else { return Ok(()) };
    let id = version_id(name, parameter.version);
    let Some(version) = tx.get::<Version>(scope, &id) else { return Ok(()) };
    let named = arn(scope, name);
    if policies::expires_at(&version.policies).is_some_and(|at| at <= now) {
        tracing::info!(parameter = named, "a parameter has expired and is deleted");
        remove(tx, scope, name);
        return Ok(());
    }
    let mut version = (*version).clone();
    for place in policies::due(&version.policies, version.modified_at, now) {
        let policy = &mut version.policies[place];
        tracing::warn!(parameter = named, policy = policy.text, "a policy of a parameter is due");
        policy.finished = true;
    }
    tx.put(scope, &id, version);
    Ok(())
}
