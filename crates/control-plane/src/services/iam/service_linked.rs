//! Roles that belong to a service: made with its fixed trust and permissions, changed by nobody, deleted when the service has
//! nothing left that needs them.

use std::{collections::BTreeMap, time::Duration};

use aws_shapes_iam as iam;
use aws_shapes_iam::{
    CreateServiceLinkedRoleRequest, CreateServiceLinkedRoleResponse, DeleteServiceLinkedRoleRequest,
    DeleteServiceLinkedRoleResponse, DeletionTaskStatusType, GetServiceLinkedRoleDeletionStatusRequest,
    GetServiceLinkedRoleDeletionStatusResponse,
};
use state_store::View;
use vocabulary::{AccountId, Ids, Scope, Timestamp};

use super::{
    access_keys, errors, names,
    records::{self, Deletion, Entity, Permissions, Role},
    roles,
};
use crate::{
    gateway::{ApiError, Call},
    services::{Services, ecs::records::Cluster},
};

/// How long a deletion can be asked about.
const DELETION_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Records removed in one transaction.
const BATCH: usize = 50;

struct Linked {
    service: &'static str,
    role: &'static str,
    /// A managed policy of AWS's, by name.
    policy: &'static str,
    /// Whether several roles may be made, told apart by a suffix.
    suffixes: bool,
}

/// The services whose roles can be made, as far as their policies are at hand.
const SERVICES: [Linked; 8] = [
    linked("autoscaling.amazonaws.com", "AutoScaling", "AutoScalingServiceRolePolicy", true),
    linked("ecs.amazonaws.com", "ECS", "AmazonECSServiceRolePolicy", false),
    linked(
        "ecs.application-autoscaling.amazonaws.com",
        "ApplicationAutoScaling_ECSService",
        "AWSApplicationAutoscalingECSServicePolicy",
        false,
    ),
    linked("ecs-compute.amazonaws.com", "ECSCompute", "AmazonECSComputeServiceRolePolicy", false),
    linked("eks.amazonaws.com", "AmazonEKS", "AmazonEKSServiceRolePolicy", false),
    linked(
        "elasticloadbalancing.amazonaws.com",
        "ElasticLoadBalancing",
        "AWSElasticLoadBalancingServiceRolePolicy",
        false,
    ),
    linked(
        "pullthroughcache.ecr.amazonaws.com",
        "ECRPullThroughCache",
        "AWSECRPullThroughCache_ServiceRolePolicy",
        false,
    ),
    linked("replication.ecr.amazonaws.com", "ECRReplication", "ECRReplicationServiceRolePolicy", false),
];

const fn linked(service: &'static str, role: &'static str, policy: &'static str, suffixes: bool) -> Linked {
    Linked { service, role, policy, suffixes }
}

pub async fn create(
    call: Call,
    input: CreateServiceLinkedRoleRequest,
) -> Result<CreateServiceLinkedRoleResponse, ApiError> {
    let service = input.aws_service_name.unwrap_or_default();
    let Some(linked) = SERVICES.iter().find(|linked| linked.service == service) else {
        return Err(errors::invalid_input(format!(
            "Service-linked roles of {service} are not supported by Longshore."
        )));
    };
    if input.custom_suffix.is_some() && !linked.suffixes {
        return Err(errors::invalid_input(format!("Custom suffix is not allowed for {service}")));
    }
    let scope = names::of(&call);
    let suffix = input.custom_suffix.map(|suffix| format!("_{suffix}")).unwrap_or_default();
    let policy = format!("arn:aws:iam::aws:policy/aws-service-role/{}", linked.policy);
    let role = Role {
        name: format!("AWSServiceRoleFor{}{suffix}", linked.role),
        path: format!("/aws-service-role/{service}/"),
        id: names::unique_id(&mut call.services.ids(), "AROA"),
        created_at: call.now(),
        description: input.description,
        trust: format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Action":["sts:AssumeRole"],"Effect":"Allow","Principal":{{"Service":["{service}"]}}}}]}}"#
        ),
        max_session_seconds: 3600,
        boundary: None,
        tags: BTreeMap::new(),
        permissions: Permissions { attached: [policy].into(), ..Permissions::default() },
        linked_service: Some(service),
    };
    call.services
        .state
        .transact(|tx| {
            if tx.get::<Role>(&scope, &names::key(&role.name)).is_some() {
                return Err(errors::invalid_input(format!(
                    "Service role name {} has been taken in this account, please try a different suffix.",
                    role.name
                )));
            }
            roles::insert(tx, &scope, &role)
        })
        .await?;
    Ok(CreateServiceLinkedRoleResponse { role: Some(roles::created(&scope.account, &role)) })
}

/// What of a service still needs its role, by region.
fn in_use(view: &View, account: &AccountId, service: &str) -> BTreeMap<String, Vec<String>> {
    let mut resources: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if service == "ecs.amazonaws.com" {
        let clusters = view.scan_all::<Cluster>();
        for found in clusters.filter(|found| found.scope.account == *account && found.value.active) {
            let region = found.scope.region.as_str().to_owned();
            resources.entry(region).or_default().push(found.value.arn(&found.scope));
        }
    }
    resources
}

pub async fn delete(
    call: Call,
    input: DeleteServiceLinkedRoleRequest,
) -> Result<DeleteServiceLinkedRoleResponse, ApiError> {
    let (scope, name) = (names::of(&call), input.role_name.unwrap_or_default());
    let uuid = call.services.ids().uuid();
    let (task, ended) = call
        .services
        .state
        .transact(|tx| {
            let role = records::get::<Role>(tx, &scope, &name)?;
            let Some(service) = &role.linked_service else { return Err(Role::missing(&name)) };
            let task = format!("aws-service-role/{service}/{name}/{uuid}");
            let in_use = in_use(tx.view(), &scope.account, service);
            let ended = in_use.is_empty().then(|| role.id.clone());
            if ended.is_some() {
                roles::remove(tx, &scope, &role);
            }
            tx.put(&scope, &task, Deletion { in_use, at: call.now() });
            Ok((task, ended))
        })
        .await?;
    if let Some(role) = ended {
        access_keys::end_sessions(&call.services, &role).await?;
    }
    Ok(DeleteServiceLinkedRoleResponse { deletion_task_id: Some(format!("task/{task}")) })
}

pub async fn status(
    call: Call,
    input: GetServiceLinkedRoleDeletionStatusRequest,
) -> Result<GetServiceLinkedRoleDeletionStatusResponse, ApiError> {
    let (scope, id) = (names::of(&call), input.deletion_task_id.unwrap_or_default());
    let task = id.strip_prefix("task/").unwrap_or(&id);
    let deletion = call.services.state.read(|view| view.get::<Deletion>(&scope, task));
    let deletion =
        deletion.ok_or_else(|| errors::no_such_entity(format!("Deletion task {id} cannot be found.")))?;
    if deletion.in_use.is_empty() {
        return Ok(GetServiceLinkedRoleDeletionStatusResponse {
            status: Some(DeletionTaskStatusType::Succeeded),
            reason: None,
        });
    }
    let usage = |(region, resources): (&String, &Vec<String>)| iam::RoleUsageType {
        region: Some(region.clone()),
        resources: Some(resources.clone()),
    };
    Ok(GetServiceLinkedRoleDeletionStatusResponse {
        status: Some(DeletionTaskStatusType::Failed),
        reason: Some(iam::DeletionTaskFailureReasonType {
            reason: Some("The service-linked role is still in use by resources of its service.".to_owned()),
            role_usage_list: Some(deletion.in_use.iter().map(usage).collect()),
        }),
    })
}

/// Removes what is known of deletions that were asked for more than a day ago.
pub async fn forget(services: &Services, now: Timestamp) -> Result<(), ApiError> {
    let old: Vec<(Scope, String)> = services.state.read(|view| {
        let old = view.scan_all::<Deletion>().filter(|found| now.since(found.value.at) > DELETION_KEPT);
        old.map(|found| (found.scope, found.id)).take(BATCH).collect()
    });
    services
        .state
        .transact(|tx| {
            for (scope, id) in &old {
                tx.delete::<Deletion>(scope, id);
            }
            Ok(())
        })
        .await
}
