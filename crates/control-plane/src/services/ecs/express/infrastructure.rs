//! What an express service stands on: security groups, the shared load balancer with its listener, a target group, a rule by host.
//!
//! Each step makes one thing under a name that follows from the service, and takes what it finds under that name.

use aws_shapes_ec2 as ec2;
use aws_shapes_elbv2 as elbv2;
use sha2::{Digest, Sha256};
use state_store::View;
use vocabulary::Scope;

use super::records::{Express, Made};
use crate::{
    gateway::{ApiError, Call},
    services::{
        ec2::{
            groups::{self, rules as group_rules},
            networks,
            records::{SecurityGroup, Subnet},
            routing::Routing,
        },
        ecs::{names::invalid, services::names::not_implemented},
        elbv2::{
            balancers, groups as target_groups, listeners,
            records::{Listener, LoadBalancer, load_balancer_arn},
            rules,
        },
    },
};

/// The listener of shared load balancers.
const PORT: i32 = 80;
/// Attempts to find a free priority while others take them.
const ATTEMPTS: usize = 20;
/// Rules of a shared load balancer, by AWS's quota for express services.
pub const MOST_SHARING: usize = 25;

/// Which subnets are used, and whether they are public: those given, or all of the default VPC.
///
/// # Errors
/// `InvalidParameterException` for subnets that are not there, of several VPCs, or some of them public and some not.
pub async fn place(call: &Call, given: Option<&[String]>) -> Result<Made, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let view = call.services.state.view();
    let mut subnets: Vec<String> = given.unwrap_or_default().to_vec();
    if subnets.is_empty() {
        let vpc_id = groups::default_vpc(&view, scope)?;
        subnets = view.by_index::<Subnet>(scope, "vpc", &vpc_id).map(|(id, _)| id.to_owned()).collect();
    }
    subnets.sort();
    subnets.dedup();
    let mut vpcs = Vec::new();
    for id in &subnets {
        let subnet = view.get::<Subnet>(scope, id);
        let subnet = subnet.ok_or_else(|| invalid(format!("The subnet ID '{id}' does not exist")))?;
        vpcs.push(subnet.vpc_id.clone());
    }
    vpcs.dedup();
    let [vpc_id] = vpcs.as_slice() else {
        return Err(invalid("All subnets must be in the same VPC."));
    };
    let routing = Routing::of(&view, scope, vpc_id);
    let public = subnets.iter().filter(|id| routing.leads_outside(id)).count();
    if public != 0 && public != subnets.len() {
        return Err(invalid("The subnets must be all public or all private."));
    }
    Ok(Made { subnets, vpc_id: vpc_id.clone(), public: public > 0, ..Made::default() })
}

/// What a shared load balancer is named by: 8 hex digits.
fn shared_suffix(made: &Made) -> String {
    let text = format!("{} {} {}", made.vpc_id, made.public, made.subnets.join(" "));
    hex::encode(Sha256::digest(text))[..8].to_owned()
}

/// Makes what is not there yet. `made` says how far it has come, also when it fails.
///
/// # Errors
/// Those of the operations that make the parts.
pub async fn make(call: &Call, express: &Express, port: i32, made: &mut Made) -> Result<(), ApiError> {
    let shared = shared_suffix(made);
    if made.balancer_group.is_none() {
        let name = format!("ecs-express-gateway-lb-{shared}");
        let group = security_group(call, &made.vpc_id, &name).await?;
        admit(call, &group, PORT, None).await?;
        made.balancer_group = Some(group);
    }
    let balancer_group = made.balancer_group.clone().unwrap_or_default();
    if made.load_balancer.is_none() {
        made.load_balancer = Some(load_balancer(call, made, &balancer_group, &shared).await?);
    }
    let balancer = made.load_balancer.clone().unwrap_or_default();
    if made.listener.is_none() {
        made.listener = Some(listener(call, &balancer).await?);
    }
    if made.task_group.is_none() {
        let name = format!("ecs-express-{}-{}", express.name, express.suffix);
        made.task_group = Some(security_group(call, &made.vpc_id, &name).await?);
    }
    admit(call, made.task_group.as_deref().unwrap_or_default(), port, Some(&balancer_group)).await?;
    if made.target_group.is_none() {
        made.target_group = Some(target_group(call, express, made, port).await?);
    }
    if made.rule.is_none() {
        made.rule = Some(rule(call, express, made).await?);
    }
    Ok(())
}

fn is(error: &ApiError, code: &str) -> bool {
    error.code.starts_with(code)
}

async fn security_group(call: &Call, vpc_id: &str, name: &str) -> Result<String, ApiError> {
    let name: String = name.chars().take(255).collect();
    let input = ec2::CreateSecurityGroupRequest {
        group_name: Some(name.clone()),
        description: Some("Made for Amazon ECS express gateway services".to_owned()),
        vpc_id: Some(vpc_id.to_owned()),
        ..Default::default()
    };
    match groups::create(call.clone(), input).await {
        Ok(made) => Ok(made.group_id.unwrap_or_default()),
        Err(error) if is(&error, "InvalidGroup.Duplicate") => {
            let view = call.services.state.view();
            let mut there = view.by_index::<SecurityGroup>(call.scope(), "vpc", vpc_id);
            there.find(|(_, group)| group.name == name).map(|(id, _)| id.to_owned()).ok_or(error)
        }
        Err(error) => Err(error),
    }
}

/// Lets connections to the port in, from a group or from everywhere.
async fn admit(call: &Call, group: &str, port: i32, from: Option<&str>) -> Result<(), ApiError> {
    let permission = ec2::IpPermission {
        ip_protocol: Some("tcp".to_owned()),
        from_port: Some(port),
        to_port: Some(port),
        ip_ranges: from
            .is_none()
            .then(|| vec![ec2::IpRange { cidr_ip: Some("0.0.0.0/0".to_owned()), ..Default::default() }]),
        user_id_group_pairs: from
            .map(|from| vec![ec2::UserIdGroupPair { group_id: Some(from.to_owned()), ..Default::default() }]),
        ..Default::default()
    };
    let input = ec2::AuthorizeSecurityGroupIngressRequest {
        group_id: Some(group.to_owned()),
        ip_permissions: Some(vec![permission]),
        ..Default::default()
    };
    match group_rules::authorize_ingress(call.clone(), input).await {
        Ok(_) => Ok(()),
        Err(error) if is(&error, "InvalidPermission.Duplicate") => Ok(()),
        Err(error) => Err(error),
    }
}

async fn load_balancer(call: &Call, made: &Made, group: &str, shared: &str) -> Result<String, ApiError> {
    let name = format!("ecs-express-gateway-{shared}");
    let input = elbv2::CreateLoadBalancerInput {
        name: Some(name),
        subnets: Some(made.subnets.clone()),
        security_groups: Some(vec![group.to_owned()]),
        scheme: Some(match made.public {
            true => elbv2::LoadBalancerSchemeEnum::InternetFacing,
            false => elbv2::LoadBalancerSchemeEnum::Internal,
        }),
        ..Default::default()
    };
    let made = balancers::create(call.clone(), input).await?.load_balancers.unwrap_or_default();
    let arn = made.into_iter().next().and_then(|balancer| balancer.load_balancer_arn);
    arn.ok_or_else(|| ApiError::internal("a load balancer was made without an ARN"))
}

async fn listener(call: &Call, balancer: &str) -> Result<String, ApiError> {
    let not_found = elbv2::FixedResponseActionConfig {
        status_code: Some("404".to_owned()),
        content_type: Some("text/plain".to_owned()),
        message_body: Some("There is no service of this name.".to_owned()),
    };
    let input = elbv2::CreateListenerInput {
        load_balancer_arn: Some(balancer.to_owned()),
        protocol: Some(elbv2::ProtocolEnum::Http),
        port: Some(PORT),
        default_actions: Some(vec![elbv2::Action {
            r#type: Some(elbv2::ActionTypeEnum::FixedResponse),
            fixed_response_config: Some(not_found),
            ..Default::default()
        }]),
        ..Default::default()
    };
    match listeners::create(call.clone(), input).await {
        Ok(made) => {
            let arn = made.listeners.unwrap_or_default().into_iter().next().and_then(|one| one.listener_arn);
            arn.ok_or_else(|| ApiError::internal("a listener was made without an ARN"))
        }
        Err(error) if is(&error, "DuplicateListener") => {
            let view = call.services.state.view();
            let found = listener_of(&view, call.scope(), balancer);
            found.ok_or(error)
        }
        Err(error) => Err(error),
    }
}

fn listener_of(view: &View, scope: &Scope, balancer: &str) -> Option<String> {
    let all = view.scan::<Listener>(scope).map(|(_, listener)| listener);
    let mut own = all.filter(|listener| load_balancer_arn(scope, &listener.load_balancer) == balancer);
    own.find(|listener| i32::from(listener.port) == PORT).map(|listener| listener.arn(scope))
}

async fn target_group(call: &Call, express: &Express, made: &Made, port: i32) -> Result<String, ApiError> {
    let input = elbv2::CreateTargetGroupInput {
        name: Some(format!("ecs-express-{}", express.suffix)),
        target_type: Some(elbv2::TargetTypeEnum::Ip),
        protocol: Some(elbv2::ProtocolEnum::Http),
        port: Some(port),
        vpc_id: Some(made.vpc_id.clone()),
        health_check_path: express.wanted.0.health_check_path.clone(),
        ..Default::default()
    };
    let made = target_groups::create(call.clone(), input).await?.target_groups.unwrap_or_default();
    let arn = made.into_iter().next().and_then(|group| group.target_group_arn);
    arn.ok_or_else(|| ApiError::internal("a target group was made without an ARN"))
}

/// A rule that gives the endpoint's requests to the target group, at the least free priority.
async fn rule(call: &Call, express: &Express, made: &Made) -> Result<String, ApiError> {
    let (listener, group) = (made.listener.clone().unwrap_or_default(), made.target_group.clone());
    for _ in 0..ATTEMPTS {
        let there = call.services.state.read(|view| listeners::see(view, call.scope(), &listener))?;
        if there.rules.len() >= MOST_SHARING {
            return Err(not_implemented("more than 25 express gateway services with the same subnets"));
        }
        let free =
            (1..=u32::try_from(MOST_SHARING).unwrap_or(u32::MAX)).find(|it| !there.rules.contains_key(it));
        let input = elbv2::CreateRuleInput {
            listener_arn: Some(listener.clone()),
            priority: free.and_then(|priority| i32::try_from(priority).ok()),
            conditions: Some(vec![elbv2::RuleCondition {
                field: Some("host-header".to_owned()),
                values: Some(vec![express.host(call.scope())]),
                ..Default::default()
            }]),
            actions: Some(vec![elbv2::Action {
                r#type: Some(elbv2::ActionTypeEnum::Forward),
                target_group_arn: group.clone(),
                ..Default::default()
            }]),
            ..Default::default()
        };
        match rules::create(call.clone(), input).await {
            Ok(made) => {
                let arn = made.rules.unwrap_or_default().into_iter().next().and_then(|rule| rule.rule_arn);
                return arn.ok_or_else(|| ApiError::internal("a rule was made without an ARN"));
            }
            Err(error) if is(&error, "PriorityInUse") => {}
            Err(error) => return Err(error),
        }
    }
    Err(ApiError::internal("others took every priority that was free"))
}

/// Removes what was made for it, in the order that allows it, and the shared parts when nobody shares them any more. What is still in use
/// stays, and in `made`.
pub async fn remove(call: &Call, made: &mut Made, shared: bool) -> Result<(), ApiError> {
    let gone = [
        "RuleNotFound",
        "TargetGroupNotFound",
        "LoadBalancerNotFound",
        "ListenerNotFound",
        "InvalidGroup.NotFound",
    ];
    let over = |done: Result<(), ApiError>| match done {
        Err(error) if !gone.iter().any(|code| is(&error, code)) => Err(error),
        _ => Ok(()),
    };
    if let Some(arn) = &made.rule {
        let input = elbv2::DeleteRuleInput { rule_arn: Some(arn.clone()) };
        over(rules::delete(call.clone(), input).await.map(drop))?;
        made.rule = None;
    }
    if let Some(arn) = &made.target_group {
        let input = elbv2::DeleteTargetGroupInput { target_group_arn: Some(arn.clone()) };
        over(target_groups::delete(call.clone(), input).await.map(drop))?;
        made.target_group = None;
    }
    if let Some(id) = &made.task_group {
        over(delete_group(call, id).await)?;
        made.task_group = None;
    }
    if shared {
        return Ok(());
    }
    if let Some(arn) = &made.load_balancer {
        let input = elbv2::DeleteLoadBalancerInput { load_balancer_arn: Some(arn.clone()) };
        over(balancers::delete(call.clone(), input).await.map(drop))?;
        (made.load_balancer, made.listener) = (None, None);
    }
    if let Some(id) = &made.balancer_group {
        over(delete_group(call, id).await)?;
        made.balancer_group = None;
    }
    Ok(())
}

async fn delete_group(call: &Call, id: &str) -> Result<(), ApiError> {
    let input = ec2::DeleteSecurityGroupRequest { group_id: Some(id.to_owned()), ..Default::default() };
    groups::delete(call.clone(), input).await.map(drop)
}

/// The load balancer of an express service, for those who look it up by the endpoint's name.
pub fn balancer_of(view: &View, scope: &Scope, express: &Express) -> Option<std::sync::Arc<LoadBalancer>> {
    let arn = express.made.load_balancer.as_ref()?;
    let mut all = view.scan::<LoadBalancer>(scope).map(|(_, balancer)| balancer);
    all.find(|balancer| balancer.arn(scope) == *arn)
}
