//! CreateDaemon, and what it has in common with UpdateDaemon.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{CreateDaemonRequest, CreateDaemonResponse, DaemonStatus};
use sha2::{Digest, Sha256};
use state_store::Tx;
use vocabulary::{Ids, Scope, Timestamp};

use super::{
    definitions::{self, family},
    key_of,
    records::{Daemon, service_name},
};
use crate::{
    convert::{AwsJson, time},
    gateway::{ApiError, Call},
    services::ecs::{
        names::{self, cluster_name, invalid, is_valid, own_resource},
        providers::{INSTANCE_ATTRIBUTE, is_own},
        records::{Cluster, TaskDefinition, definition_id},
        services::{
            alarms, deploy,
            names::not_implemented,
            records::{Revision, Service, ServiceEvents, ServiceStatus, revision_key},
        },
        tags,
    },
};

/// Source: the developer guide, creating and managing daemons.
const DRAIN_PERCENT: f64 = 25.0;
const LONGEST_BAKE_MINUTES: i32 = 1440;

/// What both operations say of a daemon.
#[derive(Debug, Clone)]
pub struct Asked {
    pub definition: String,
    /// Names.
    pub providers: Vec<String>,
    pub configuration: Option<ecs::DaemonDeploymentConfiguration>,
    pub critical: Option<bool>,
    pub execute: Option<bool>,
    pub managed_tags: Option<bool>,
    pub propagate: Option<ecs::DaemonPropagateTags>,
}

impl Asked {
    /// # Errors
    /// The first rule that is broken; 501 for what depends on instances that AWS manages.
    pub fn check(&self) -> Result<(), ApiError> {
        if self.critical == Some(true) {
            return Err(not_implemented("critical daemons (they depend on managed instances)"));
        }
        if self.definition.is_empty() {
            return Err(invalid("daemonTaskDefinitionArn cannot be empty."));
        }
        if self.providers.is_empty() {
            return Err(invalid("capacityProviderArns cannot be empty."));
        }
        if let Some(other) = self.providers.iter().find(|name| !is_own(name)) {
            return Err(invalid(format!("Daemons are not supported for the capacity provider {other}.")));
        }
        let Some(given) = &self.configuration else { return Ok(()) };
        if given.drain_percent == Some(0.0) {
            return Err(invalid("drainPercent must be greater than 0: nothing could ever be replaced."));
        }
        if !(0..=LONGEST_BAKE_MINUTES).contains(&given.bake_time_in_minutes.unwrap_or(0)) {
            return Err(invalid(format!("Bake times must be between 0 and {LONGEST_BAKE_MINUTES} minutes.")));
        }
        Ok(())
    }

    /// The names of the providers in ARNs.
    ///
    /// # Errors
    /// `InvalidParameterException` for what is no ARN of one's own.
    pub fn providers(scope: &Scope, given: Option<Vec<String>>) -> Result<Vec<String>, ApiError> {
        let name = |text: String| Ok(own_resource(scope, &text, "capacity-provider")?.unwrap_or(text));
        let mut names =
            given.unwrap_or_default().into_iter().map(name).collect::<Result<Vec<_>, ApiError>>()?;
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// The settings of the service that runs it.
fn settings(asked: &Asked, configuration: &ecs::DaemonDeploymentConfiguration) -> ecs::Service {
    let drained = configuration.drain_percent.unwrap_or(DRAIN_PERCENT).clamp(0.0, 100.0);
    #[expect(clippy::cast_possible_truncation, reason = "between 0 and 100")]
    let stay = (100.0 - drained).round() as i32;
    let alarms = configuration.alarms.as_ref().map(|given| ecs::DeploymentAlarms {
        alarm_names: given.alarm_names.clone(),
        enable: given.enable,
        rollback: given.enable,
    });
    let expression = format!("attribute:{INSTANCE_ATTRIBUTE} in [{}]", asked.providers.join(", "));
    ecs::Service {
        scheduling_strategy: Some(ecs::SchedulingStrategy::Daemon),
        deployment_controller: Some(ecs::DeploymentController {
            r#type: Some(ecs::DeploymentControllerType::Ecs),
        }),
        deployment_configuration: Some(ecs::DeploymentConfiguration {
            minimum_healthy_percent: Some(stay),
            maximum_percent: Some(100),
            strategy: Some(ecs::DeploymentStrategy::Rolling),
            bake_time_in_minutes: Some(configuration.bake_time_in_minutes.unwrap_or(0)),
            deployment_circuit_breaker: Some(ecs::DeploymentCircuitBreaker {
                enable: Some(true),
                rollback: Some(true),
                ..Default::default()
            }),
            alarms,
            ..Default::default()
        }),
        placement_constraints: Some(vec![ecs::PlacementConstraint {
            r#type: Some(ecs::PlacementConstraintType::MemberOf),
            expression: Some(expression),
        }]),
        enable_ecs_managed_tags: asked.managed_tags,
        enable_execute_command: asked.execute,
        propagate_tags: Some(match asked.propagate {
            Some(ecs::DaemonPropagateTags::Daemon) => ecs::PropagateTags::Service,
            _ => ecs::PropagateTags::None,
        }),
        ..Default::default()
    }
}

/// Writes a new state of a daemon and of its service, and begins a deployment if its tasks are to be made of something else.
///
/// # Errors
/// The first rule that is broken.
pub fn apply(
    tx: &mut Tx,
    scope: &Scope,
    cluster: &Cluster,
    (daemon, service): (&mut Daemon, &mut Service),
    asked: &Asked,
    now: Timestamp,
    ids: &mut impl Ids,
) -> Result<(), ApiError> {
    if let Some(unknown) = asked.providers.iter().find(|name| !cluster.capacity_providers.contains(name)) {
        return Err(invalid(format!(
            "The capacity provider {unknown} is not associated with the cluster. Associate the capacity provider with the cluster and try again."
        )));
    }
    let definition = definitions::find(tx.view(), scope, &asked.definition)?;
    if definition.delete_requested_at.is_some() {
        return Err(invalid("The daemon task definition is being deleted."));
    }
    let run = definition_id(&family(&definition.family), definition.revision);
    let run = tx.get::<TaskDefinition>(scope, &run);
    let run = run.ok_or_else(|| invalid("The daemon task definition does not exist."))?;
    let mut configuration = asked.configuration.clone().unwrap_or_else(|| daemon.configuration.0.clone());
    configuration.drain_percent.get_or_insert(DRAIN_PERCENT);
    service.settings = AwsJson(settings(asked, &configuration));
    alarms::check(tx.view(), scope, service.settings.0.deployment_configuration.as_ref())?;
    daemon.capacity_providers.clone_from(&asked.providers);
    daemon.configuration = AwsJson(configuration);
    daemon.updated_at = now;
    let revision = ecs::DaemonRevision {
        daemon_task_definition_arn: Some(definition.arn(scope)),
        enable_ecs_managed_tags: Some(asked.managed_tags == Some(true)),
        enable_execute_command: Some(asked.execute == Some(true)),
        propagate_tags: Some(asked.propagate.unwrap_or(ecs::DaemonPropagateTags::None)),
        critical: Some(false),
        ..Default::default()
    };
    let current = service.state.primary().and_then(|primary| daemon.revisions.get(&primary.revision));
    if current.is_none_or(|current| current.0 != revision) {
        let details = ecs::ServiceRevision {
            launch_type: Some(ecs::LaunchType::Ec2),
            load_balancers: Some(Vec::new()),
            service_registries: Some(Vec::new()),
            ..Default::default()
        };
        deploy::deploy(tx, scope, service, (details, Vec::new()), &run, now, ids);
        let key = |id: &String| revision_key(&service.cluster, &service.name, id);
        daemon.revisions.retain(|id, _| tx.peek::<Revision>(scope, &key(id)).is_some());
        if let Some(primary) = service.state.primary() {
            daemon.revisions.insert(primary.revision.clone(), AwsJson(revision));
        }
    }
    tx.put(scope, &service.key(), service.clone());
    tx.put(scope, &daemon.key(), daemon.clone());
    Ok(())
}

/// The ARN of the deployment under way, or of the last one.
pub fn deployment_arn(scope: &Scope, daemon: &Daemon, service: &Service) -> Option<String> {
    service.deployment.as_ref().map(|id| daemon.arn_of(scope, "daemon-deployment", Some(id)))
}

pub async fn create(call: Call, input: CreateDaemonRequest) -> Result<CreateDaemonResponse, ApiError> {
    let scope = call.scope().clone();
    let cluster_name = cluster_name(&scope, input.cluster_arn.as_deref())?;
    let name = input.daemon_name.clone().unwrap_or_default();
    if !is_valid(&name) {
        return Err(invalid("Daemon name must be 1 to 255 letters, numbers, hyphens and underscores."));
    }
    let token = input.client_token.clone().filter(|token| !token.is_empty());
    let plain = CreateDaemonRequest { client_token: None, ..input.clone() };
    let made_by = token.map(|token| (hex::encode(Sha256::digest(AwsJson(plain).json())), token));
    let tags = tags::checked(input.tags)?;
    let asked = Asked {
        definition: input.daemon_task_definition_arn.unwrap_or_default(),
        providers: Asked::providers(&scope, input.capacity_provider_arns)?,
        configuration: input.deployment_configuration,
        critical: input.critical,
        execute: input.enable_execute_command,
        managed_tags: input.enable_ecs_managed_tags,
        propagate: input.propagate_tags,
    };
    asked.check()?;
    let (daemon, service) = call
        .services
        .state
        .transact(|tx| {
            let cluster = names::active_cluster_in(tx, &scope, &cluster_name)?;
            let mut daemon = Daemon {
                name: name.clone(),
                cluster: cluster_name.clone(),
                capacity_providers: Vec::new(),
                configuration: AwsJson::default(),
                revisions: Default::default(),
                tags: tags.clone(),
                made_by: made_by.clone(),
                created_at: call.now(),
                updated_at: call.now(),
                deleted: false,
            };
            let there = tx.get::<Service>(&scope, &daemon.service_key());
            if let Some(earlier) = tx.get::<Daemon>(&scope, &daemon.key()) {
                return match there {
                    Some(service) if made_by.is_some() && earlier.made_by == made_by && !earlier.deleted => {
                        Ok::<_, ApiError>(((*earlier).clone(), (*service).clone()))
                    }
                    _ if earlier.deleted => Err(invalid("The daemon is still being deleted.")),
                    _ => Err(invalid("A daemon of this name exists already.")),
                };
            }
            let mut service = Service {
                name: service_name(&name),
                cluster: cluster_name.clone(),
                status: ServiceStatus::Active,
                desired_count: 0,
                created_at: call.now(),
                created_by: call.principal.arn.clone(),
                settings: AwsJson::default(),
                tags: tags.clone(),
                state: deployment::State::default(),
                deployment: None,
                primary_task_set: None,
                made_by: None,
                deleted_at: None,
            };
            let parts = (&mut daemon, &mut service);
            apply(tx, &scope, &cluster, parts, &asked, call.now(), &mut call.services.ids())?;
            tx.put(&scope, &service.key(), ServiceEvents::default());
            Ok((daemon, service))
        })
        .await?;
    Ok(CreateDaemonResponse {
        daemon_arn: Some(daemon.arn(&scope)),
        deployment_arn: deployment_arn(&scope, &daemon, &service),
        status: Some(DaemonStatus::Active),
        created_at: Some(time(daemon.created_at)),
    })
}

/// The key of a daemon in its ARN.
pub fn daemon_key(scope: &Scope, arn: Option<&str>) -> Result<String, ApiError> {
    key_of(scope, arn, "daemon", 2)
}
