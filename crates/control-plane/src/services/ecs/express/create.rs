//! CreateExpressGatewayService.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{CreateExpressGatewayServiceRequest, CreateExpressGatewayServiceResponse};
use vocabulary::Ids;

use super::{
    definition::{self, Asked, MAIN},
    delete::sweep_one,
    infrastructure,
    records::{Express, Made},
    show,
};
use crate::{
    convert::AwsJson,
    gateway::{ApiError, Call},
    services::ecs::{
        clusters,
        ingress::to_the_end,
        names::{self, cluster_name, invalid, is_valid},
        services::{
            self,
            records::{Service, ServiceStatus, service_key},
        },
        tags,
    },
};

pub async fn create(
    call: Call,
    input: CreateExpressGatewayServiceRequest,
) -> Result<CreateExpressGatewayServiceResponse, ApiError> {
    to_the_end(make(call, input)).await
}

async fn make(
    call: Call,
    input: CreateExpressGatewayServiceRequest,
) -> Result<CreateExpressGatewayServiceResponse, ApiError> {
    let scope = call.scope().clone();
    let cluster = cluster_name(&scope, input.cluster.as_deref())?;
    let name = match input.service_name.filter(|name| !name.is_empty()) {
        Some(name) => name,
        None => format!("express-{}", call.services.ids().hex(12)),
    };
    if !is_valid(&name) {
        return Err(invalid("Service name must be 1 to 255 letters, numbers, hyphens and underscores."));
    }
    let role = input.infrastructure_role_arn.unwrap_or_default();
    if role.is_empty() {
        return Err(invalid("infrastructureRoleArn must be specified."));
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
    let wanted = definition::wanted(ecs::ExpressGatewayServiceConfiguration::default(), asked)?;
    let tags = tags::checked(input.tags)?;
    if cluster == "default" {
        let input = ecs::CreateClusterRequest { cluster_name: Some(cluster.clone()), ..Default::default() };
        clusters::create(call.clone(), input).await?;
    }
    let key = service_key(&cluster, &name);
    if let Some(left) = call.services.state.read(|view| view.get::<Express>(&scope, &key)) {
        sweep_one(&call, &left).await?;
    }
    let subnets = wanted.network_configuration.as_ref().and_then(|network| network.subnets.as_deref());
    let place = infrastructure::place(&call, subnets).await?;
    let begun = call
        .services
        .state
        .transact(|tx| {
            names::active_cluster_in(tx, &scope, &cluster)?;
            let service = tx.get::<Service>(&scope, &key);
            if service.is_some_and(|service| service.status == ServiceStatus::Draining) {
                return Err(invalid("Unable to Start a service that is still Draining."));
            }
            let earlier = tx.get::<Express>(&scope, &key);
            let there = tx.get::<Service>(&scope, &key).is_some_and(|it| it.status == ServiceStatus::Active);
            if there || earlier.as_ref().is_some_and(|earlier| earlier.complete || earlier.deleted) {
                return Err(invalid("Creation of service was not idempotent."));
            }
            // One that was begun for the same place goes on where it was.
            let (suffix, made) = match earlier {
                Some(earlier) if earlier.made.subnets == place.subnets => {
                    (earlier.suffix.clone(), earlier.made.clone())
                }
                Some(_) => {
                    return Err(invalid(
                        "The service was begun with other subnets. Delete it before it is created anew.",
                    ));
                }
                None => (call.services.ids().hex(8), place.clone()),
            };
            let express = Express {
                name: name.clone(),
                cluster: cluster.clone(),
                suffix,
                infrastructure_role_arn: role.clone(),
                wanted: AwsJson(wanted.clone()),
                definition: None,
                made,
                configurations: Default::default(),
                tags: tags.clone(),
                created_at: call.now(),
                updated_at: call.now(),
                attempt: call.services.ids().hex(16),
                complete: false,
                deleted: false,
                refusal: None,
            };
            tx.put(&scope, &key, express.clone());
            Ok::<_, ApiError>(express)
        })
        .await?;
    let mut made = begun.made.clone();
    match finish(&call, &begun, &mut made).await {
        Ok(complete) => {
            let view = call.services.state.view();
            let shown = show::shape(&view, &call, &complete, true);
            Ok(CreateExpressGatewayServiceResponse { service: Some(shown) })
        }
        Err(error) => {
            // What was made goes again; what cannot go now goes with the next attempt or the deletion.
            if let Some(failed) = give_up(&call, &begun, &made).await?
                && let Err(left) = sweep_one(&call, &failed).await
            {
                tracing::warn!(service = failed.name, error = %left, "parts of an express service that could not be made are left for now");
            }
            Err(error)
        }
    }
}

/// Writes down that an attempt has failed, unless another one has taken over, or finished: then all of it is theirs.
async fn give_up(call: &Call, begun: &Express, made: &Made) -> Result<Option<Express>, ApiError> {
    let key = begun.key();
    let given_up = call.services.state.transact(|tx| {
        // An ECS service is that of another attempt: this one has none.
        let service = tx.get::<Service>(call.scope(), &key);
        if service.is_some_and(|service| service.status != ServiceStatus::Inactive) {
            return Ok(None);
        }
        let there = tx.get::<Express>(call.scope(), &key);
        let before = match there.as_deref() {
            Some(there) if there.complete || there.attempt != begun.attempt => return Ok(None),
            Some(there) => there,
            None => begun,
        };
        let made = before.made.clone().and(made);
        let failed = Express { made, deleted: true, ..before.clone() };
        tx.put(call.scope(), &key, failed.clone());
        Ok::<_, ApiError>(Some(failed))
    });
    given_up.await
}

/// Writes down what was made of a service that is being made or changed.
///
/// # Errors
/// `InvalidParameterException` when the service has been deleted meanwhile. What was made goes with it then, if it is not gone already.
pub async fn keep_made(call: &Call, express: &Express, made: &Made) -> Result<(), ApiError> {
    let kept = call.services.state.transact(|tx| {
        let there = tx.get::<Express>(call.scope(), &express.key());
        let Some(there) = there.filter(|there| there.suffix == express.suffix) else { return Ok(false) };
        let made = there.made.clone().and(made);
        if made != there.made {
            tx.put(call.scope(), &express.key(), Express { made, ..(*there).clone() });
        }
        Ok::<_, ApiError>(!there.deleted)
    });
    match kept.await? {
        true => Ok(()),
        false => Err(invalid("The service was deleted while it was being made.")),
    }
}

async fn finish(call: &Call, begun: &Express, made: &mut Made) -> Result<Express, ApiError> {
    let wanted = &begun.wanted.0;
    let (definition, port) = definition::definition(call, &begun.cluster, &begun.name, wanted).await?;
    infrastructure::make(call, begun, port, made).await?;
    let scaling = wanted.scaling_target.as_ref();
    let input = ecs::CreateServiceRequest {
        cluster: Some(begun.cluster.clone()),
        service_name: Some(begun.name.clone()),
        task_definition: Some(definition.clone()),
        desired_count: scaling.and_then(|scaling| scaling.min_task_count),
        launch_type: Some(ecs::LaunchType::Fargate),
        load_balancers: Some(vec![balancer(begun, made, port)]),
        network_configuration: Some(network(begun, made)),
        deployment_configuration: Some(ecs::DeploymentConfiguration {
            strategy: Some(ecs::DeploymentStrategy::Canary),
            deployment_circuit_breaker: Some(ecs::DeploymentCircuitBreaker {
                enable: Some(true),
                rollback: Some(true),
                ..Default::default()
            }),
            ..Default::default()
        }),
        tags: Some(tags::shape(&begun.tags)),
        ..Default::default()
    };
    services::create::create(call.clone(), input).await?;
    let complete =
        Express { made: made.clone(), definition: Some(definition), complete: true, ..begun.clone() };
    note_revision(call, complete).await
}

/// Writes the service down with the configuration of its newest revision, and without those that no deployment has any more. One that was
/// deleted meanwhile stays so, and goes by itself.
pub async fn note_revision(call: &Call, express: Express) -> Result<Express, ApiError> {
    let key = express.key();
    call.services
        .state
        .transact(|tx| {
            let mut express = express.clone();
            express.deleted = tx.get::<Express>(call.scope(), &key).is_none_or(|there| there.deleted);
            if let Some(service) = tx.get::<Service>(call.scope(), &key) {
                let current: Vec<&String> =
                    service.state.deployments.iter().map(|deployment| &deployment.revision).collect();
                express.configurations.retain(|revision, _| current.contains(&revision));
                if let Some(primary) = service.state.primary() {
                    express.configurations.insert(primary.revision.clone(), express.wanted.clone());
                }
            }
            tx.put(call.scope(), &key, express.clone());
            Ok::<_, ApiError>(express)
        })
        .await
}

/// Where the ECS service's tasks are registered.
pub fn balancer(express: &Express, made: &Made, port: i32) -> ecs::LoadBalancer {
    ecs::LoadBalancer {
        target_group_arn: made.target_group.clone(),
        container_name: Some(MAIN.to_owned()),
        container_port: Some(port),
        advanced_configuration: Some(ecs::AdvancedConfiguration {
            alternate_target_group_arn: made.alternate.clone(),
            production_listener_rule: made.rule.clone(),
            role_arn: Some(express.infrastructure_role_arn.clone()),
            test_listener_rule: None,
        }),
        ..Default::default()
    }
}

/// Its own security group admits the load balancer; those that were given come beside it.
pub fn network(express: &Express, made: &Made) -> ecs::NetworkConfiguration {
    let given = express.wanted.0.network_configuration.as_ref();
    let given = given.and_then(|network| network.security_groups.clone()).unwrap_or_default();
    ecs::NetworkConfiguration {
        awsvpc_configuration: Some(ecs::AwsVpcConfiguration {
            subnets: Some(made.subnets.clone()),
            security_groups: Some(made.task_group.iter().cloned().chain(given).collect()),
            assign_public_ip: Some(match made.public {
                true => ecs::AssignPublicIp::Enabled,
                false => ecs::AssignPublicIp::Disabled,
            }),
        }),
    }
}
