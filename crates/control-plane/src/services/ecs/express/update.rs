//! UpdateExpressGatewayService: what changes of the configuration changes the definition, the target group's check or the ECS service.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{UpdateExpressGatewayServiceRequest, UpdateExpressGatewayServiceResponse};

use super::{
    create::{balancer, network, note_revision},
    definition::{self, Asked},
    find, infrastructure, key_of,
    records::Express,
    show,
};
use crate::{
    convert::{AwsJson, time},
    gateway::{ApiError, Call},
    services::ecs::{
        ingress::to_the_end,
        services::{
            self,
            names::{not_implemented, service_not_active},
            records::{Service, ServiceStatus},
        },
    },
};

pub async fn update(
    call: Call,
    input: UpdateExpressGatewayServiceRequest,
) -> Result<UpdateExpressGatewayServiceResponse, ApiError> {
    to_the_end(change(call, input)).await
}

async fn change(
    call: Call,
    input: UpdateExpressGatewayServiceRequest,
) -> Result<UpdateExpressGatewayServiceResponse, ApiError> {
    let scope = call.scope();
    let key = key_of(scope, input.service_arn.as_deref())?;
    let (before, service) = call
        .services
        .state
        .read(|view| Ok::<_, ApiError>((find(view, scope, &key)?, view.get::<Service>(scope, &key))))?;
    let active = service.is_some_and(|service| service.status == ServiceStatus::Active);
    if !active || before.deleted || !before.complete {
        return Err(service_not_active());
    }
    let asked = Asked {
        container: input.primary_container,
        definition: input.task_definition_arn.filter(|given| !given.is_empty()),
        execution_role: input.execution_role_arn,
        task_role: input.task_role_arn,
        cpu: input.cpu,
        memory: input.memory,
        architecture: input.cpu_architecture,
        path: input.health_check_path,
        network: input.network_configuration,
        scaling: input.scaling_target,
    };
    let wanted = definition::wanted(before.wanted.0.clone(), asked)?;
    let subnets = wanted.network_configuration.as_ref().and_then(|network| network.subnets.as_deref());
    if infrastructure::place(&call, subnets).await?.subnets != before.made.subnets {
        return Err(not_implemented("a change of an express gateway service's subnets"));
    }
    let mut express =
        Express { wanted: AwsJson(wanted.clone()), updated_at: call.now(), ..(*before).clone() };
    let (definition, port) = if runs_the_same(&before.wanted.0, &wanted) {
        let port = wanted.primary_container.as_ref().and_then(|container| container.container_port);
        match (before.definition.clone(), port) {
            (Some(definition), Some(port)) => (definition, port),
            _ => definition::definition(&call, &express.cluster, &express.name, &wanted).await?,
        }
    } else {
        definition::definition(&call, &express.cluster, &express.name, &wanted).await?
    };
    let mut made = express.made.clone();
    infrastructure::make(&call, &express, port, &mut made).await?;
    if wanted.health_check_path != before.wanted.0.health_check_path {
        let path = wanted.health_check_path.as_deref().unwrap_or_default();
        infrastructure::check_at(&call, &express, &made, path).await?;
    }
    let input = ecs::UpdateServiceRequest {
        cluster: Some(express.cluster.clone()),
        service: Some(express.name.clone()),
        task_definition: Some(definition.clone()),
        desired_count: wanted.scaling_target.as_ref().and_then(|scaling| scaling.min_task_count),
        load_balancers: Some(vec![balancer(&express, &made, port)]),
        network_configuration: Some(network(&express, &made)),
        ..Default::default()
    };
    services::update::update(call.clone(), input).await?;
    (express.definition, express.made) = (Some(definition), made);
    let express = note_revision(&call, express).await?;
    let view = call.services.state.view();
    let target = show::configuration(&call, &view, &express, None, &express.wanted.0);
    Ok(UpdateExpressGatewayServiceResponse {
        service: Some(ecs::UpdatedExpressGatewayService {
            service_arn: Some(show::arn(scope, &express)),
            service_name: Some(express.name.clone()),
            cluster: Some(show::cluster_arn(scope, &express)),
            status: Some(show::status(&view, scope, &express)),
            target_configuration: Some(target),
            created_at: Some(time(express.created_at)),
            updated_at: Some(time(express.updated_at)),
        }),
    })
}

/// Whether the same task definition serves both.
fn runs_the_same(
    before: &ecs::ExpressGatewayServiceConfiguration,
    after: &ecs::ExpressGatewayServiceConfiguration,
) -> bool {
    let of = |one: &ecs::ExpressGatewayServiceConfiguration| ecs::ExpressGatewayServiceConfiguration {
        health_check_path: None,
        network_configuration: None,
        scaling_target: None,
        ..one.clone()
    };
    of(before) == of(after)
}
