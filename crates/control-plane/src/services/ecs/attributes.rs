//! Custom attributes of container instances: put, list, delete.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    DeleteAttributesRequest, DeleteAttributesResponse, ListAttributesRequest, ListAttributesResponse,
    PutAttributesRequest, PutAttributesResponse, TargetType, errors,
};
use vocabulary::Scope;

use super::{
    names::{self, cluster_name, invalid},
    records::{Attribute, ContainerInstance},
};
use crate::gateway::{ApiError, Call};

/// An instance has ten custom attributes at most.
const MOST_ATTRIBUTES: usize = 10;

fn key(attribute: &Attribute) -> String {
    format!("{}/{}/{}", attribute.cluster, attribute.target, attribute.name)
}

/// The attributes of a request, each with the instance that it belongs to.
fn parse(
    scope: &Scope,
    cluster: &str,
    given: Option<Vec<ecs::Attribute>>,
) -> Result<Vec<Attribute>, ApiError> {
    let given = given.unwrap_or_default();
    if given.is_empty() || given.len() > MOST_ATTRIBUTES {
        return Err(invalid(format!("Specify between 1 and {MOST_ATTRIBUTES} attributes.")));
    }
    given
        .into_iter()
        .map(|attribute| {
            if attribute.target_type.is_some_and(|kind| kind != TargetType::ContainerInstance) {
                return Err(invalid("The target type is not supported."));
            }
            let name = attribute.name.unwrap_or_default();
            let allowed = |text: &str, more: &str| {
                text.len() <= 128 && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
            };
            if name.is_empty() || !allowed(&name, "-_./\\") {
                return Err(invalid("The attribute name is not valid."));
            }
            if attribute
                .value
                .as_deref()
                .is_some_and(|value| value.trim() != value || !allowed(value, "-_.@:/\\ "))
            {
                return Err(invalid("The attribute value is not valid."));
            }
            let target =
                attribute.target_id.ok_or_else(|| invalid("The target of an attribute is required."))?;
            Ok(Attribute {
                cluster: cluster.to_owned(),
                target: names::instance_id(scope, cluster, &target)?,
                name,
                value: attribute.value,
            })
        })
        .collect()
}

fn target_not_found() -> ApiError {
    ApiError::new(&errors::TARGET_NOT_FOUND_EXCEPTION, "The specified target was not found.")
}

fn shape(scope: &Scope, attribute: &Attribute) -> ecs::Attribute {
    ecs::Attribute {
        name: Some(attribute.name.clone()),
        value: attribute.value.clone(),
        target_type: Some(TargetType::ContainerInstance),
        target_id: Some(
            scope
                .arn("ecs", format_args!("container-instance/{}/{}", attribute.cluster, attribute.target))
                .to_string(),
        ),
    }
}

pub async fn put(call: Call, input: PutAttributesRequest) -> Result<PutAttributesResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let attributes = parse(scope, &cluster, input.attributes)?;
    call.services
        .state
        .transact(|tx| {
            names::active_cluster_in(tx, scope, &cluster)?;
            for attribute in &attributes {
                let instance = format!("{cluster}/{}", attribute.target);
                tx.get::<ContainerInstance>(scope, &instance).ok_or_else(target_not_found)?;
                tx.put(scope, &key(attribute), attribute.clone());
                if tx.scan_prefix::<Attribute>(scope, &format!("{instance}/")).len() > MOST_ATTRIBUTES {
                    return Err(ApiError::new(
                        &errors::ATTRIBUTE_LIMIT_EXCEEDED_EXCEPTION,
                        format!("A container instance can have {MOST_ATTRIBUTES} custom attributes at most."),
                    ));
                }
            }
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(PutAttributesResponse {
        attributes: Some(attributes.iter().map(|attribute| shape(scope, attribute)).collect()),
    })
}

pub async fn delete(
    call: Call,
    input: DeleteAttributesRequest,
) -> Result<DeleteAttributesResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let attributes = parse(scope, &cluster, input.attributes)?;
    call.services
        .state
        .transact(|tx| {
            names::active_cluster_in(tx, scope, &cluster)?;
            for attribute in &attributes {
                tx.get::<ContainerInstance>(scope, &format!("{cluster}/{}", attribute.target))
                    .ok_or_else(target_not_found)?;
                tx.delete::<Attribute>(scope, &key(attribute));
            }
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(DeleteAttributesResponse {
        attributes: Some(attributes.iter().map(|attribute| shape(scope, attribute)).collect()),
    })
}

pub async fn list(call: Call, input: ListAttributesRequest) -> Result<ListAttributesResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    if input.attribute_value.is_some() && input.attribute_name.is_none() {
        return Err(invalid("An attribute value can be searched for together with an attribute name only."));
    }
    let found: Vec<Attribute> = call.services.state.read(|view| {
        names::active_cluster(view, scope, &cluster)?;
        Ok::<_, ApiError>(
            view.scan_prefix::<Attribute>(scope, &format!("{cluster}/"))
                .map(|(_, attribute)| (*attribute).clone())
                .filter(|attribute| input.attribute_name.as_ref().is_none_or(|name| *name == attribute.name))
                .filter(|attribute| {
                    input.attribute_value.is_none() || attribute.value == input.attribute_value
                })
                .collect(),
        )
    })?;
    let page = super::page(
        &call,
        &format!("attributes/{scope}/{cluster}"),
        found,
        key,
        input.next_token,
        input.max_results,
    )?;
    Ok(ListAttributesResponse {
        attributes: Some(page.items.iter().map(|attribute| shape(scope, attribute)).collect()),
        next_token: page.next_token,
    })
}
