//! Which clusters' services may use a gateway.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    AssociateGatewayWithClusterRequest, AssociateGatewayWithClusterResponse,
    DisassociateGatewayFromClusterRequest, DisassociateGatewayFromClusterResponse,
    ListGatewayClusterAssociationsRequest, ListGatewayClusterAssociationsResponse, errors,
};
use vocabulary::Scope;

use super::{
    changes, find_in, name_of,
    records::{Association, AssociationStatus, Route, arn, association_key},
};
use crate::{
    gateway::{ApiError, Call},
    services::ecs::names::{self, cluster_name, invalid},
};

/// Gateways of a cluster. Source: the API reference.
const MOST_OF_CLUSTER: usize = 5;

fn cluster_arn(scope: &Scope, name: &str) -> String {
    scope.arn("ecs", format_args!("cluster/{name}")).to_string()
}

pub async fn associate(
    call: Call,
    input: AssociateGatewayWithClusterRequest,
) -> Result<AssociateGatewayWithClusterResponse, ApiError> {
    let scope = call.scope();
    let gateway = name_of(scope, input.gateway.as_deref())?;
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    call.services
        .state
        .transact(|tx| {
            find_in(tx, scope, &gateway)?;
            names::active_cluster_in(tx, scope, &cluster)?;
            let key = association_key(&gateway, &cluster);
            match tx.get::<Association>(scope, &key) {
                Some(there) if there.status == AssociationStatus::Active => return Ok(()),
                Some(_) => {
                    return Err(invalid(format!(
                        "The gateway {gateway} is being disassociated from the cluster {cluster}."
                    )));
                }
                None => {}
            }
            let all = tx.scan::<Association>(scope);
            if all.iter().filter(|(_, one)| one.cluster == cluster).count() >= MOST_OF_CLUSTER {
                return Err(invalid(format!(
                    "A cluster can be associated with {MOST_OF_CLUSTER} gateways at most."
                )));
            }
            let made = Association {
                gateway: gateway.clone(),
                cluster: cluster.clone(),
                status: AssociationStatus::Active,
            };
            tx.put(scope, &key, made);
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(AssociateGatewayWithClusterResponse {
        gateway_arn: Some(arn(scope, &gateway)),
        cluster_arn: Some(cluster_arn(scope, &cluster)),
        status: Some(ecs::GatewayClusterAssociationStatus::Active),
    })
}

pub async fn disassociate(
    call: Call,
    input: DisassociateGatewayFromClusterRequest,
) -> Result<DisassociateGatewayFromClusterResponse, ApiError> {
    let scope = call.scope();
    let gateway = name_of(scope, input.gateway.as_deref())?;
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    // Routes whose tasks have gone by now keep nothing.
    if let Err(error) = changes::settle(&call, &gateway).await {
        tracing::debug!(gateway, %error, "routes that nobody needs are removed later");
    }
    call.services
        .state
        .transact(|tx| {
            find_in(tx, scope, &gateway)?;
            names::active_cluster_in(tx, scope, &cluster)?;
            let key = association_key(&gateway, &cluster);
            let there = tx.get::<Association>(scope, &key).ok_or_else(|| {
                ApiError::new(
                    &errors::RESOURCE_NOT_FOUND_EXCEPTION,
                    format!("The gateway {gateway} is not associated with the cluster {cluster}."),
                )
            })?;
            let routes = tx.scan_prefix::<Route>(scope, &format!("{gateway}/"));
            if routes.iter().any(|(_, route)| route.cluster == cluster) {
                let leaving = Association { status: AssociationStatus::Disassociating, ..(*there).clone() };
                tx.put(scope, &key, leaving);
            } else {
                tx.delete::<Association>(scope, &key);
            }
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(DisassociateGatewayFromClusterResponse {
        gateway_arn: Some(arn(scope, &gateway)),
        cluster_arn: Some(cluster_arn(scope, &cluster)),
        status: Some(ecs::GatewayClusterAssociationStatus::Disassociating),
    })
}

pub async fn list(
    call: Call,
    input: ListGatewayClusterAssociationsRequest,
) -> Result<ListGatewayClusterAssociationsResponse, ApiError> {
    let scope = call.scope();
    let gateway = input.gateway.as_deref().map(|given| name_of(scope, Some(given))).transpose()?;
    let cluster = input.cluster.as_deref().map(|given| cluster_name(scope, Some(given))).transpose()?;
    let statuses = input.status.unwrap_or_default();
    let chosen = |one: &Association| {
        gateway.as_ref().is_none_or(|name| *name == one.gateway)
            && cluster.as_ref().is_none_or(|name| *name == one.cluster)
            && (statuses.is_empty() || statuses.contains(&one.status.shape()))
    };
    let view = call.services.state.view();
    let all: Vec<_> = view.scan::<Association>(scope).map(|(_, one)| one).filter(|one| chosen(one)).collect();
    let page = super::super::page(
        &call,
        "gateway associations",
        all,
        |one| association_key(&one.gateway, &one.cluster),
        input.next_token,
        input.max_results,
    )?;
    let summary = |one: &Association| ecs::GatewayClusterAssociationSummary {
        gateway_arn: Some(arn(scope, &one.gateway)),
        cluster_arn: Some(cluster_arn(scope, &one.cluster)),
        status: Some(one.status.shape()),
    };
    Ok(ListGatewayClusterAssociationsResponse {
        gateway_cluster_associations: Some(page.items.iter().map(|one| summary(one)).collect()),
        next_token: page.next_token,
    })
}
