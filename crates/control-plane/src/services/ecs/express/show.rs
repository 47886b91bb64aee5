//! Express services as the API shows them.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{DescribeExpressGatewayServiceRequest, DescribeExpressGatewayServiceResponse, errors};
use state_store::View;
use vocabulary::Scope;

use super::{key_of, records::Express};
use crate::{
    convert::time,
    gateway::{ApiError, Call},
    services::ecs::{
        ingress,
        services::records::{Revision, Service, ServiceStatus, revision_key},
        tags,
    },
};

pub async fn describe(
    call: Call,
    input: DescribeExpressGatewayServiceRequest,
) -> Result<DescribeExpressGatewayServiceResponse, ApiError> {
    let key = key_of(call.scope(), input.service_arn.as_deref())?;
    let view = call.services.state.view();
    let found = view.get::<Express>(call.scope(), &key).ok_or_else(|| {
        ApiError::new(
            &errors::RESOURCE_NOT_FOUND_EXCEPTION,
            "The specified express gateway service was not found.",
        )
    })?;
    let with_tags =
        input.include.iter().flatten().any(|field| *field == ecs::ExpressGatewayServiceInclude::Tags);
    Ok(DescribeExpressGatewayServiceResponse { service: Some(shape(&view, &call, &found, with_tags)) })
}

pub fn arn(scope: &Scope, express: &Express) -> String {
    scope.arn("ecs", format_args!("service/{}", express.key())).to_string()
}

pub fn cluster_arn(scope: &Scope, express: &Express) -> String {
    scope.arn("ecs", format_args!("cluster/{}", express.cluster)).to_string()
}

/// That of its ECS service.
pub fn status(view: &View, scope: &Scope, express: &Express) -> ecs::ExpressGatewayServiceStatus {
    let service = view.get::<Service>(scope, &express.key());
    let code = match service.map(|service| service.status) {
        Some(ServiceStatus::Active) => ecs::ExpressGatewayServiceStatusCode::Active,
        Some(ServiceStatus::Draining) => ecs::ExpressGatewayServiceStatusCode::Draining,
        Some(ServiceStatus::Inactive) | None => ecs::ExpressGatewayServiceStatusCode::Inactive,
    };
    let reason = (!express.complete && !express.deleted)
        .then(|| "Not all of it could be made. Create it again to go on.".to_owned());
    ecs::ExpressGatewayServiceStatus { status_code: Some(code), status_reason: reason }
}

/// A configuration with where it is reached; `revision`: the service revision that it is of, by its digits.
pub fn configuration(
    call: &Call,
    view: &View,
    express: &Express,
    revision: Option<&str>,
    given: &ecs::ExpressGatewayServiceConfiguration,
) -> ecs::ExpressGatewayServiceConfiguration {
    let scope = call.scope();
    let path = ecs::IngressPathSummary {
        access_type: Some(match express.made.public {
            true => ecs::AccessType::Public,
            false => ecs::AccessType::Private,
        }),
        endpoint: Some(ingress::url(&call.services.settings, &express.host(scope))),
    };
    let found = revision
        .and_then(|id| view.get::<Revision>(scope, &revision_key(&express.cluster, &express.name, id)));
    ecs::ExpressGatewayServiceConfiguration {
        service_revision_arn: found.as_ref().map(|revision| revision.arn(scope)),
        created_at: found.map(|revision| time(revision.created_at)),
        network_configuration: Some(ecs::ExpressGatewayServiceNetworkConfiguration {
            subnets: Some(express.made.subnets.clone()),
            security_groups: given
                .network_configuration
                .as_ref()
                .and_then(|given| given.security_groups.clone()),
        }),
        ingress_paths: Some(vec![path]),
        ..given.clone()
    }
}

pub fn shape(view: &View, call: &Call, express: &Express, with_tags: bool) -> ecs::ECSExpressGatewayService {
    let scope = call.scope();
    let service = view.get::<Service>(scope, &express.key());
    let deployments = service.iter().flat_map(|service| &service.state.deployments);
    let active = deployments.filter_map(|deployment| {
        let given = express.configurations.get(&deployment.revision)?;
        Some(configuration(call, view, express, Some(&deployment.revision), &given.0))
    });
    let deployment = service.as_ref().and_then(|service| service.deployment.as_ref());
    ecs::ECSExpressGatewayService {
        service_arn: Some(arn(scope, express)),
        service_name: Some(express.name.clone()),
        cluster: Some(cluster_arn(scope, express)),
        status: Some(status(view, scope, express)),
        infrastructure_role_arn: Some(express.infrastructure_role_arn.clone()),
        current_deployment: deployment.map(|id| {
            scope.arn("ecs", format_args!("service-deployment/{}/{id}", express.key())).to_string()
        }),
        active_configurations: Some(active.collect()),
        tags: Some(if with_tags { tags::shape(&express.tags) } else { Vec::new() }),
        created_at: Some(time(express.created_at)),
        updated_at: Some(time(express.updated_at)),
    }
}
