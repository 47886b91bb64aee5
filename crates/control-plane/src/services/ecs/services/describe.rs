//! DescribeServices, ListServices, ListServicesByNamespace.

use std::sync::Arc;

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    DescribeServicesRequest, DescribeServicesResponse, ListServicesByNamespaceRequest,
    ListServicesByNamespaceResponse, ListServicesRequest, ListServicesResponse, errors,
};

use super::{
    names as own,
    records::{Service, ServiceStatus, service_key},
    show,
};
use crate::{
    gateway::{ApiError, Call},
    services::ecs::{
        express::Express,
        missing,
        names::{self, cluster_name, invalid},
        page,
    },
};

pub async fn describe(
    call: Call,
    input: DescribeServicesRequest,
) -> Result<DescribeServicesResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let given = input.services.unwrap_or_default();
    if given.is_empty() {
        return Err(invalid("Services cannot be empty."));
    }
    if given.len() > 10 {
        return Err(invalid("services can have at most 10 items."));
    }
    let with_tags = input.include.iter().flatten().any(|field| *field == ecs::ServiceField::Tags);
    let names = given
        .iter()
        .map(|text| own::service_name(scope, &cluster, text))
        .collect::<Result<Vec<_>, ApiError>>()?;
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    call.services.state.read(|view| {
        names::active_cluster(view, scope, &cluster)?;
        for name in names {
            match view.get::<Service>(scope, &service_key(&cluster, &name)) {
                Some(found) => services.push(show::service(view, scope, &found, with_tags)),
                None => failures
                    .push(missing(scope.arn("ecs", format_args!("service/{cluster}/{name}")).to_string())),
            }
        }
        Ok::<_, ApiError>(())
    })?;
    Ok(DescribeServicesResponse { services: Some(services), failures: Some(failures) })
}

pub async fn list(call: Call, input: ListServicesRequest) -> Result<ListServicesResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let managed = input.resource_management_type == Some(ecs::ResourceManagementType::Ecs);
    let found: Vec<Arc<Service>> = call.services.state.read(|view| {
        names::active_cluster(view, scope, &cluster)?;
        let all = view.scan_prefix::<Service>(scope, &format!("{cluster}/")).map(|(_, service)| service);
        let launch_type = |service: &Service| {
            input.launch_type.is_none()
                || show::service(view, scope, service, false).launch_type == input.launch_type
        };
        let scheduling = |service: &Service| {
            input.scheduling_strategy.is_none()
                || service.settings.0.scheduling_strategy == input.scheduling_strategy
        };
        Ok::<_, ApiError>(
            all.filter(|service| service.status != ServiceStatus::Inactive && !service.runs_daemon())
                .filter(|service| {
                    let express = view.get::<Express>(scope, &service.key()).is_some();
                    input.resource_management_type.is_none() || express == managed
                })
                .filter(|service| launch_type(service) && scheduling(service))
                .collect(),
        )
    })?;
    let list = format!("services/{scope}/{cluster}");
    let page =
        page(&call, &list, found, |service| service.name.clone(), input.next_token, input.max_results)?;
    Ok(ListServicesResponse {
        service_arns: Some(page.items.iter().map(|service| service.arn(scope)).collect()),
        next_token: page.next_token,
    })
}

/// No service is in a namespace, since there are none: whoever asks for one is told so.
pub async fn list_by_namespace(
    _call: Call,
    input: ListServicesByNamespaceRequest,
) -> Result<ListServicesByNamespaceResponse, ApiError> {
    let namespace = input.namespace.unwrap_or_default();
    if namespace.is_empty() {
        return Err(invalid("The namespace cannot be empty."));
    }
    Err(ApiError::new(
        &errors::NAMESPACE_NOT_FOUND_EXCEPTION,
        format!("The specified namespace {namespace} was not found."),
    ))
}
