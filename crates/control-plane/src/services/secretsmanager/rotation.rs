//! Rotation: a schedule, and a task that gives the secret its next value.
//!
//! On AWS a Lambda function rotates a secret. There is none here: `RotationLambdaARN` takes the ARN of an ECS task definition. When the time
//! has come the secret gets a version under the stage `AWSPENDING`, without a value, and a task of that definition is started in the
//! cluster `default`, on FARGATE in the default VPC, with `SECRET_ID` and `CLIENT_REQUEST_TOKEN` in the environment of its containers. With the
//! rights of its task role it does what a rotation function does: puts the value of the pending version, changes what the secret opens,
//! and moves `AWSCURRENT` to the version, which ends the rotation. A task that ends without that is followed by another.

use std::{sync::Arc, time::Duration};

use aws_shapes_ecs as ecs;
use aws_shapes_secretsmanager::{
    CancelRotateSecretRequest, CancelRotateSecretResponse, RotateSecretRequest, RotateSecretResponse,
    RotationRulesType,
};
use vocabulary::{Ids, Scope, Timestamp};

use super::{
    errors::{invalid_parameter, invalid_request},
    names::{self, Found},
    records::{CURRENT, PENDING, Pending, Rotation, Rules, Secret, Version},
    schedule::Schedule,
    writes::writable,
};
use crate::{
    authorization::{Wish, authorize_with_resource_policy, of_call},
    gateway::{ApiError, Call, Context, Principal},
    services::{
        Services,
        ec2::{networks, records::Subnet},
        ecs::{
            names::DefinitionName,
            records::{Cluster, Task},
            tasks::run,
        },
    },
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Between a task that did not finish a rotation and the next one.
const RETRY: Duration = Duration::from_secs(10 * 60);
/// Where rotations run.
const CLUSTER: &str = "default";

impl Rules {
    /// The next rotation after `now`; none where nothing is said.
    fn next(&self, now: Timestamp) -> Option<Timestamp> {
        if let Some(days) = self.after_days {
            return u32::try_from(days).ok().map(|days| now + DAY * days);
        }
        // It was read when it was written.
        Schedule::parse(self.schedule.as_deref()?).ok()?.next(now)
    }
}

fn rules(given: Option<RotationRulesType>) -> Result<Option<Rules>, ApiError> {
    let Some(given) = given else { return Ok(None) };
    let rules = Rules {
        after_days: given.automatically_after_days,
        schedule: given.schedule_expression,
        window: given.duration,
    };
    match (&rules.after_days, &rules.schedule) {
        (Some(_), Some(_)) => {
            Err(invalid_parameter("You can't specify both AutomaticallyAfterDays and ScheduleExpression."))
        }
        (None, None) => Err(invalid_parameter("Give AutomaticallyAfterDays or ScheduleExpression.")),
        (None, Some(expression)) => match Schedule::parse(expression) {
            Ok(_) => Ok(Some(rules)),
            Err(reason) => {
                Err(invalid_parameter(format!("The schedule {expression} cannot be used: {reason}.")))
            }
        },
        (Some(_), None) => Ok(Some(rules)),
    }
}

/// Refuses what cannot rotate a secret, and a caller who may not run it.
fn check_hook(call: &Call, hook: &str) -> Result<(), ApiError> {
    if hook.starts_with("arn:aws:lambda:") {
        return Err(invalid_parameter(
            "Lambda functions are not available here. RotationLambdaARN takes the ARN of an ECS task definition, whose task rotates the secret.",
        ));
    }
    let prefix = call.scope().arn("ecs", "task-definition/").to_string();
    if !hook.starts_with(&prefix) {
        return Err(invalid_parameter(
            "RotationLambdaARN must be the ARN of an ECS task definition of this account and Region.",
        ));
    }
    let view = call.services.state.view();
    let name = DefinitionName::parse(call.scope(), hook)?;
    if name.find(&view, call.scope()).is_none() {
        return Err(invalid_request(format!("The task definition {hook} does not exist.")));
    }
    if view.get::<Cluster>(call.scope(), CLUSTER).is_none() {
        return Err(invalid_request(
            "Rotations run in the cluster named default, which does not exist in this Region.",
        ));
    }
    let (holder, mut context) = of_call(call);
    context.set("ecs:cluster", call.scope().arn("ecs", format_args!("cluster/{CLUSTER}")).to_string());
    let wish = Wish::new("ecs:RunTask", hook);
    authorize_with_resource_policy(&call.services, &holder, &context, ecs::SERVICE, &wish)
}

pub async fn rotate(call: Call, input: RotateSecretRequest) -> Result<RotateSecretResponse, ApiError> {
    if input.external_secret_rotation_metadata.is_some() || input.external_secret_rotation_role_arn.is_some()
    {
        return Err(invalid_parameter("Managed external secrets are not supported."));
    }
    let rules = rules(input.rotation_rules)?;
    let id = input.secret_id.unwrap_or_default();
    let hook = match input.rotation_lambda_arn.filter(|hook| !hook.is_empty()) {
        Some(hook) => Some(hook),
        None => {
            let found = call.services.state.read(|view| names::see(view, call.scope(), &id))?;
            found.secret.rotation.as_ref().map(|rotation| rotation.hook.clone())
        }
    };
    let hook = hook
        .ok_or_else(|| invalid_request("No Lambda rotation function ARN is associated with this secret."))?;
    check_hook(&call, &hook)?;
    let at_once = input.rotate_immediately != Some(false);
    let version_id = input.client_request_token.unwrap_or_else(|| call.services.ids().uuid());
    let now = call.now();
    let found = call
        .services
        .state
        .transact(|tx| {
            let found = names::get(tx, call.scope(), &id)?;
            writable(&found)?;
            let mut secret = Secret::clone(&found.secret);
            let earlier = secret.rotation.take();
            let under_way = earlier.as_ref().and_then(|earlier| earlier.pending.clone());
            if at_once && under_way.as_ref().is_some_and(|pending| pending.version_id != version_id) {
                return Err(invalid_request(
                    "A previous rotation isn't complete. That rotation will be reattempted.",
                ));
            }
            let kept = earlier.map(|earlier| earlier.rules).unwrap_or_default();
            let rules = rules.clone().unwrap_or(kept);
            let next = rules.next(now);
            let rotation = Rotation { enabled: true, hook: hook.clone(), rules, next, pending: under_way };
            secret.rotation = Some(rotation);
            if at_once {
                begin(&mut secret, &version_id, now);
            }
            tx.put(&found.scope, &secret.name.clone(), secret.clone());
            Ok(Found { secret: Arc::new(secret), ..found })
        })
        .await?;
    if at_once {
        run_task(&call.services, &found, now).await;
    }
    Ok(RotateSecretResponse {
        arn: Some(found.arn()),
        name: Some(found.secret.name.clone()),
        version_id: at_once.then_some(version_id),
    })
}

/// Makes room for the next value.
fn begin(secret: &mut Secret, version_id: &str, now: Timestamp) {
    secret.versions.entry(version_id.to_owned()).or_insert_with(|| Version {
        created_at: now,
        stages: Default::default(),
        key_arn: None,
        accessed_on: None,
    });
    secret.attach(PENDING, version_id);
    if let Some(rotation) = &mut secret.rotation {
        rotation.pending = Some(Pending { version_id: version_id.to_owned(), begun_at: now, task_arn: None });
    }
}

/// Ends the rotation that has made its version the current one.
pub fn note_end(secret: &mut Secret, now: Timestamp) {
    let current = secret.at(CURRENT).map(|(id, _)| id.clone());
    let Some(rotation) = &mut secret.rotation else { return };
    if rotation.pending.as_ref().is_some_and(|pending| Some(&pending.version_id) == current.as_ref()) {
        rotation.pending = None;
        rotation.next = rotation.rules.next(now).filter(|_| rotation.enabled);
        secret.rotated_at = Some(now);
    }
}

/// Starts the task of a rotation that has begun. When it cannot be started, the log says why, and it is tried again later.
async fn run_task(services: &Arc<Services>, found: &Found, now: Timestamp) {
    let started = match try_run_task(services, found, now).await {
        Ok(started) => started,
        Err(error) => {
            tracing::warn!(secret = found.arn(), %error, "the task that rotates a secret could not be started");
            return;
        }
    };
    let noted = services
        .state
        .transact(|tx| {
            let Some(secret) = tx.get::<Secret>(&found.scope, &found.secret.name) else { return Ok(()) };
            let mut secret = Secret::clone(&secret);
            if let Some(pending) = secret.rotation.as_mut().and_then(|rotation| rotation.pending.as_mut()) {
                pending.task_arn = Some(started.clone());
                pending.begun_at = now;
            }
            tx.put(&found.scope, &secret.name.clone(), secret);
            Ok::<_, ApiError>(())
        })
        .await;
    if let Err(error) = noted {
        tracing::warn!(secret = found.arn(), %error, "the task that rotates a secret was not noted");
    }
}

/// The ARN of the task.
async fn try_run_task(services: &Arc<Services>, found: &Found, now: Timestamp) -> Result<String, ApiError> {
    let Found { scope, secret } = found;
    let rotation = secret.rotation.as_ref().ok_or_else(|| ApiError::internal("no rotation"))?;
    let pending = rotation.pending.as_ref().ok_or_else(|| ApiError::internal("no rotation under way"))?;
    networks::ensure_default(services, scope).await?;
    let view = services.state.view();
    let definition = DefinitionName::parse(scope, &rotation.hook)?.find(&view, scope);
    let definition = definition
        .ok_or_else(|| invalid_request(format!("The task definition {} is gone.", rotation.hook)))?;
    let variable =
        |name: &str, value: String| ecs::KeyValuePair { name: Some(name.to_owned()), value: Some(value) };
    let containers = definition.definition.0.container_definitions.iter().flatten();
    let overrides = containers.map(|container| ecs::ContainerOverride {
        name: container.name.clone(),
        environment: Some(vec![
            variable("SECRET_ID", found.arn()),
            variable("CLIENT_REQUEST_TOKEN", pending.version_id.clone()),
        ]),
        ..Default::default()
    });
    let subnets = view.scan::<Subnet>(scope).filter(|(_, subnet)| subnet.default_for_zone);
    let network = ecs::AwsVpcConfiguration {
        subnets: Some(subnets.map(|(id, _)| id.to_owned()).collect()),
        assign_public_ip: Some(ecs::AssignPublicIp::Enabled),
        ..Default::default()
    };
    let input = ecs::RunTaskRequest {
        cluster: Some(CLUSTER.to_owned()),
        task_definition: Some(rotation.hook.clone()),
        launch_type: Some(ecs::LaunchType::Fargate),
        network_configuration: Some(ecs::NetworkConfiguration { awsvpc_configuration: Some(network) }),
        overrides: Some(ecs::TaskOverride {
            container_overrides: Some(overrides.collect()),
            ..Default::default()
        }),
        started_by: Some("secretsmanager".to_owned()),
        ..Default::default()
    };
    // Whoever asked for the rotation was allowed to run the definition; what is run has the rights of its own role alone.
    let context = Context {
        scope: scope.clone(),
        principal: Principal::root(&scope.account, ""),
        request_id: services.ids().uuid(),
        now,
        host: services.settings.public_name.clone(),
        origin: Default::default(),
    };
    let call = Call { services: Arc::clone(services), context: Arc::new(context) };
    let answer = run::run(call, input).await?;
    let started = answer.tasks.unwrap_or_default().into_iter().find_map(|task| task.task_arn);
    started.ok_or_else(|| {
        let reason = answer.failures.unwrap_or_default().into_iter().find_map(|failure| failure.reason);
        invalid_request(format!("No task was started: {}", reason.unwrap_or_default()))
    })
}

pub async fn cancel(
    call: Call,
    input: CancelRotateSecretRequest,
) -> Result<CancelRotateSecretResponse, ApiError> {
    let id = input.secret_id.unwrap_or_default();
    let (found, version_id) = call
        .services
        .state
        .transact(|tx| {
            let found = names::get(tx, call.scope(), &id)?;
            writable(&found)?;
            let mut secret = Secret::clone(&found.secret);
            let Some(rotation) = &mut secret.rotation else {
                return Err(invalid_request(
                    "You tried to enable rotation on a secret that doesn't already have a Lambda function ARN configured and you didn't include such an ARN as a parameter in this call.",
                ));
            };
            rotation.enabled = false;
            rotation.next = None;
            let pending = rotation.pending.take().map(|pending| pending.version_id);
            tx.put(&found.scope, &secret.name.clone(), secret);
            Ok((found, pending))
        })
        .await?;
    Ok(CancelRotateSecretResponse {
        arn: Some(found.arn()),
        name: Some(found.secret.name.clone()),
        version_id,
    })
}

/// What is to be done about a secret now.
enum Due {
    Begin,
    RunAgain,
}

fn due(secret: &Secret, now: Timestamp, runs: impl Fn(&str) -> bool) -> Option<Due> {
    let rotation = secret.rotation.as_ref().filter(|rotation| rotation.enabled)?;
    if secret.deletion.is_some() {
        return None;
    }
    match &rotation.pending {
        None => rotation.next.filter(|next| *next <= now).map(|_| Due::Begin),
        Some(pending) => {
            let runs = pending.task_arn.as_deref().is_some_and(runs);
            (!runs && now.since(pending.begun_at) >= RETRY).then_some(Due::RunAgain)
        }
    }
}

/// Begins the rotations whose time has come, and runs again what has ended without an outcome.
///
/// # Errors
/// Those of the store.
pub async fn run_due(services: &Arc<Services>, now: Timestamp) -> Result<(), ApiError> {
    let secrets: Vec<(Scope, String, Due)> = services.state.read(|view| {
        let all = view.scan_all::<Secret>();
        all.filter_map(|found| {
            let runs = |arn: &str| {
                let key = arn.rsplit_once("task/").map_or(arn, |(_, key)| key);
                let task = view.get::<Task>(&found.scope, key);
                task.is_some_and(|task| task.state.last_status != agent_protocol::state::TaskStatus::Stopped)
            };
            due(&found.value, now, runs).map(|due| (found.scope.clone(), found.id.clone(), due))
        })
        .collect()
    });
    for (scope, name, due) in secrets {
        let version_id = services.ids().uuid();
        let found = services
            .state
            .transact(|tx| {
                let Some(secret) = tx.get::<Secret>(&scope, &name) else { return Ok(None) };
                let mut secret = Secret::clone(&secret);
                match due {
                    Due::Begin => begin(&mut secret, &version_id, now),
                    Due::RunAgain => {
                        let rotation = secret.rotation.as_mut();
                        if let Some(pending) = rotation.and_then(|rotation| rotation.pending.as_mut()) {
                            pending.begun_at = now;
                            pending.task_arn = None;
                        }
                    }
                }
                tx.put(&scope, &name, secret.clone());
                Ok::<_, ApiError>(Some(Found { scope: scope.clone(), secret: Arc::new(secret) }))
            })
            .await?;
        if let Some(found) = found
            .filter(|found| found.secret.rotation.as_ref().is_some_and(|rotation| rotation.pending.is_some()))
        {
            run_task(services, &found, now).await;
        }
    }
    Ok(())
}
