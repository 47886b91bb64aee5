//! Task sets: what services with an EXTERNAL deployment controller are made of. Whoever deploys them makes, scales and deletes the
//! sets and says which is primary; the scheduler keeps each at its share of the service's desired count.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    CreateTaskSetRequest, CreateTaskSetResponse, DeleteTaskSetRequest, DeleteTaskSetResponse,
    DeploymentControllerType, DescribeTaskSetsRequest, DescribeTaskSetsResponse,
    UpdateServicePrimaryTaskSetRequest, UpdateServicePrimaryTaskSetResponse, UpdateTaskSetRequest,
    UpdateTaskSetResponse, errors,
};
use deployment::{Stability, StartBackOff};
use state_store::Tx;
use vocabulary::{Ids, Scope, Timestamp};

use super::{
    asked::{Asked, Refusable, Wanted},
    check, deploy, names as own,
    records::{Revision, Service, ServiceStatus, TaskSet, revision_key},
    show,
};
use crate::{
    gateway::{ApiError, Call},
    services::{
        ecs::{
            missing,
            names::{self, cluster_name, invalid, own_resource},
            records::{Cluster, TaskDefinition},
            tags,
        },
        tagging::Tags,
    },
};

/// Task sets of a service. Source: the guide's quotas.
const MOST_TASK_SETS: usize = 5;

fn task_set_not_found() -> ApiError {
    ApiError::new(&errors::TASK_SET_NOT_FOUND_EXCEPTION, "The specified task set was not found.")
}

/// The digits of a task set, given as `ecs-svc/DIGITS` or ARN.
fn task_set_id(scope: &Scope, service: &Service, given: &str) -> Result<String, ApiError> {
    let name = match own_resource(scope, given, "task-set")? {
        None => given.to_owned(),
        Some(resource) => resource
            .strip_prefix(&format!("{}/", service.key()))
            .map(str::to_owned)
            .ok_or_else(|| invalid("The task set does not belong to the service."))?,
    };
    Ok(name.strip_prefix("ecs-svc/").unwrap_or(&name).to_owned())
}

fn scale(given: Option<&ecs::Scale>) -> Result<f64, ApiError> {
    let percent = given.and_then(|given| given.value).unwrap_or(100.0);
    if (0.0..=100.0).contains(&percent) {
        Ok(percent)
    } else {
        Err(invalid("The scale of a task set must be between 0.0 and 100.0 percent."))
    }
}

/// The first set of a service that CodeDeploy deploys.
pub fn first(
    tx: &mut Tx,
    scope: &Scope,
    service: &mut Service,
    details: ecs::ServiceRevision,
    definition: &TaskDefinition,
    now: Timestamp,
    ids: &mut impl Ids,
) {
    let revision = deploy::revise(tx, scope, service, (details, Vec::new(), definition), None, now, ids);
    let record = TaskSet {
        id: revision.id,
        cluster: service.cluster.clone(),
        service: service.name.clone(),
        external_id: None,
        started_by: Some("CODE_DEPLOY".to_owned()),
        created_at: now,
        tags: Tags::new(),
    };
    service.primary_task_set = Some(record.id.clone());
    add(service, &record, 100.0, now);
    tx.put(scope, &record.key(), record);
}

fn add(service: &mut Service, record: &TaskSet, scale_percent: f64, now: Timestamp) {
    service.state.task_sets.push(deployment::TaskSet {
        id: record.name(),
        scale_percent,
        draining: false,
        computed_desired_count: 0,
        stability: Stability::Stabilizing,
        stability_at: now,
        updated_at: now,
        start_back_off: StartBackOff::default(),
    });
}

/// The cluster and the service that a request names, with its task sets to change.
fn service(
    tx: &mut Tx,
    scope: &Scope,
    cluster: Option<&str>,
    given: Option<&str>,
) -> Result<(std::sync::Arc<Cluster>, Service), ApiError> {
    let name = cluster_name(scope, cluster)?;
    let cluster = names::active_cluster_in(tx, scope, &name)?;
    let given = own::service_name(scope, &name, given.unwrap_or_default())?;
    let found = own::active_in(tx, scope, &name, &given)?;
    if found.controller() != DeploymentControllerType::External {
        return Err(ApiError::new(
            &errors::UNSUPPORTED_FEATURE_EXCEPTION,
            "Task sets can be changed for services with an EXTERNAL deployment controller only.",
        ));
    }
    Ok((cluster, (*found).clone()))
}

pub async fn create(call: Call, input: CreateTaskSetRequest) -> Result<CreateTaskSetResponse, ApiError> {
    let scope = call.scope().clone();
    let tags = tags::checked(input.tags.clone())?;
    let scale = scale(input.scale.as_ref())?;
    Refusable { registries: input.service_registries.as_deref(), ..Refusable::default() }.check()?;
    let (service, record) = call
        .services
        .state
        .transact(|tx| {
            let (cluster, mut service) =
                service(tx, &scope, input.cluster.as_deref(), input.service.as_deref())?;
            if let Some(there) = repeated(tx, &scope, &service, input.client_token.as_deref()) {
                return Ok((service, there));
            }
            if service.state.task_sets.len() >= MOST_TASK_SETS {
                return Err(ApiError::new(
                    &errors::LIMIT_EXCEEDED_EXCEPTION,
                    "The limit for the number of task sets for this service was exceeded.",
                ));
            }
            let wanted = Wanted {
                settings: service.settings.0.clone(),
                revision: ecs::ServiceRevision::default(),
                definition: None,
                connections: Vec::new(),
            }
            .overlaid(Asked {
                definition: input.task_definition.clone(),
                launch_type: input.launch_type,
                strategy: input.capacity_provider_strategy.clone(),
                platform_version: input.platform_version.clone(),
                network: input.network_configuration.clone(),
                load_balancers: input.load_balancers.clone(),
                ..Asked::default()
            })
            .with_defaults();
            check::settings(&wanted, &cluster)?;
            let definition = deploy::definition(tx, &scope, &wanted, &cluster, true)?;
            let (now, mut ids) = (call.now(), call.services.ids());
            let token = input.client_token.clone();
            let revision = deploy::revise(
                tx,
                &scope,
                &service,
                (wanted.revision, Vec::new(), &definition),
                token,
                now,
                &mut ids,
            );
            let record = TaskSet {
                id: revision.id,
                cluster: service.cluster.clone(),
                service: service.name.clone(),
                external_id: input.external_id.clone(),
                started_by: None,
                created_at: now,
                tags: tags.clone(),
            };
            add(&mut service, &record, scale, now);
            tx.put(&scope, &record.key(), record.clone());
            tx.put(&scope, &service.key(), service.clone());
            Ok::<_, ApiError>((service, record))
        })
        .await?;
    Ok(CreateTaskSetResponse { task_set: shown(&call, &service, &record, true) })
}

/// The set that an earlier call with the same token made; its revision keeps the token.
fn repeated(tx: &mut Tx, scope: &Scope, service: &Service, token: Option<&str>) -> Option<TaskSet> {
    let token = token.filter(|token| !token.is_empty())?;
    let sets: Vec<TaskSet> = tx
        .view()
        .scan_prefix::<TaskSet>(scope, &format!("{}/", service.key()))
        .map(|(_, set)| (*set).clone())
        .collect();
    sets.into_iter().find(|set| {
        tx.view()
            .get::<Revision>(scope, &set.key())
            .is_some_and(|made| made.made_for.as_deref() == Some(token))
    })
}

fn shown(call: &Call, service: &Service, record: &TaskSet, with_tags: bool) -> Option<ecs::TaskSet> {
    call.services.state.read(|view| {
        let counts = show::Counts::new(view, call.scope(), service);
        show::task_set(view, call.scope(), service, record, &counts, with_tags)
    })
}

/// Changes the set that a request names.
async fn change(
    call: &Call,
    cluster: Option<&str>,
    given_service: Option<&str>,
    given_set: Option<&str>,
    change: impl Fn(&mut Service, &str) -> Result<(), ApiError>,
) -> Result<Option<ecs::TaskSet>, ApiError> {
    let scope = call.scope();
    let (service, record) = call
        .services
        .state
        .transact(|tx| {
            let (_, mut service) = service(tx, scope, cluster, given_service)?;
            let id = task_set_id(scope, &service, given_set.unwrap_or_default())?;
            let key = revision_key(&service.cluster, &service.name, &id);
            let record = tx.get::<TaskSet>(scope, &key).ok_or_else(task_set_not_found)?;
            change(&mut service, &id)?;
            tx.put(scope, &service.key(), service.clone());
            Ok::<_, ApiError>((service, (*record).clone()))
        })
        .await?;
    Ok(shown(call, &service, &record, false))
}

/// What the scheduler has of the set with these digits.
fn set_of<'a>(service: &'a mut Service, id: &str) -> Result<&'a mut deployment::TaskSet, ApiError> {
    let name = format!("ecs-svc/{id}");
    service.state.task_sets.iter_mut().find(|set| set.id == name).ok_or_else(task_set_not_found)
}

pub async fn update(call: Call, input: UpdateTaskSetRequest) -> Result<UpdateTaskSetResponse, ApiError> {
    let scale = scale(input.scale.as_ref())?;
    let (cluster, service, set) =
        (input.cluster.as_deref(), input.service.as_deref(), input.task_set.as_deref());
    let task_set = change(&call, cluster, service, set, |service, id| {
        let set = set_of(service, id)?;
        if set.draining {
            return Err(invalid("The task set is being deleted."));
        }
        set.scale_percent = scale;
        set.updated_at = call.now();
        Ok(())
    })
    .await?;
    Ok(UpdateTaskSetResponse { task_set })
}

pub async fn delete(call: Call, input: DeleteTaskSetRequest) -> Result<DeleteTaskSetResponse, ApiError> {
    let force = input.force == Some(true);
    let (cluster, service, set) =
        (input.cluster.as_deref(), input.service.as_deref(), input.task_set.as_deref());
    let task_set = change(&call, cluster, service, set, |service, id| {
        let set = set_of(service, id)?;
        if set.scale_percent > 0.0 && !force {
            return Err(invalid(
                "The task set cannot be deleted while it is scaled above 0. Scale it down or use force.",
            ));
        }
        set.draining = true;
        set.updated_at = call.now();
        if service.primary_task_set.as_deref() == Some(id) {
            service.primary_task_set = None;
        }
        Ok(())
    })
    .await?;
    Ok(DeleteTaskSetResponse { task_set })
}

pub async fn make_primary(
    call: Call,
    input: UpdateServicePrimaryTaskSetRequest,
) -> Result<UpdateServicePrimaryTaskSetResponse, ApiError> {
    let (cluster, service, set) =
        (input.cluster.as_deref(), input.service.as_deref(), input.primary_task_set.as_deref());
    let task_set = change(&call, cluster, service, set, |service, id| {
        if set_of(service, id)?.draining {
            return Err(invalid("The task set is being deleted."));
        }
        service.primary_task_set = Some(id.to_owned());
        Ok(())
    })
    .await?;
    Ok(UpdateServicePrimaryTaskSetResponse { task_set })
}

pub async fn describe(
    call: Call,
    input: DescribeTaskSetsRequest,
) -> Result<DescribeTaskSetsResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let name = own::service_name(scope, &cluster, input.service.as_deref().unwrap_or_default())?;
    let with_tags = input.include.iter().flatten().any(|field| *field == ecs::TaskSetField::Tags);
    let view = call.services.state.view();
    names::active_cluster(&view, scope, &cluster)?;
    let service = own::find(&view, scope, &cluster, &name)?;
    if service.status == ServiceStatus::Inactive {
        return Err(own::service_not_active());
    }
    let counts = show::Counts::new(&view, scope, &service);
    let given = input.task_sets.filter(|given| !given.is_empty());
    let ids = match given {
        Some(given) => {
            given.iter().map(|text| task_set_id(scope, &service, text)).collect::<Result<Vec<_>, _>>()?
        }
        None => {
            let all = view.scan_prefix::<TaskSet>(scope, &format!("{}/", service.key()));
            all.map(|(_, set)| set.id.clone()).collect()
        }
    };
    let (mut sets, mut failures) = (Vec::new(), Vec::new());
    for id in ids {
        let key = revision_key(&service.cluster, &service.name, &id);
        let record = view.get::<TaskSet>(scope, &key);
        let set = record.and_then(|set| show::task_set(&view, scope, &service, &set, &counts, with_tags));
        match set {
            Some(set) => sets.push(set),
            None => failures.push(missing(
                scope.arn("ecs", format_args!("task-set/{}/ecs-svc/{id}", service.key())).to_string(),
            )),
        }
    }
    Ok(DescribeTaskSetsResponse { task_sets: Some(sets), failures: Some(failures) })
}
