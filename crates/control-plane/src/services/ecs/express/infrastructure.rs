//! What an express service stands on: security groups, the shared load balancer with its listener, two target groups, a rule by host.
//!
//! All of it is made in the service's infrastructure role, from the parts of [`super::super::ingress`]. The second target group is there for
//! deployments, which shift traffic.

use aws_shapes_elbv2 as elbv2;
use sha2::{Digest, Sha256};

use super::{
    create::keep_made,
    records::{DOMAIN, Express, Made},
    show,
};
use crate::{
    gateway::{ApiError, Call},
    services::{
        ecs::{
            ingress::{
                self, Acting, Place,
                groups::managed_group,
                parts::{PORT, RuleWanted, managed_balancer},
            },
            names::invalid,
            services::names::not_implemented,
        },
        elbv2::listeners,
    },
};

/// Rules of a shared load balancer, by AWS's quota for express services.
pub const MOST_SHARING: usize = 25;

/// Which subnets are used, and whether they are public: those given, or all of the default VPC.
///
/// # Errors
/// `InvalidParameterException` for subnets that are not there, of several VPCs, or some of them public and some not.
pub async fn place(call: &Call, given: Option<&[String]>) -> Result<Made, ApiError> {
    let Place { vpc_id, mut subnets, public } = ingress::place(call, given).await?;
    if public != 0 && public != subnets.len() {
        return Err(invalid("The subnets must be all public or all private."));
    }
    subnets.sort();
    subnets.dedup();
    Ok(Made { subnets, vpc_id, public: public > 0, ..Made::default() })
}

/// What a shared load balancer is named by: 8 hex digits.
fn shared_suffix(made: &Made) -> String {
    let text = format!("{} {} {}", made.vpc_id, made.public, made.subnets.join(" "));
    hex::encode(Sha256::digest(text))[..8].to_owned()
}

fn shared_balancer(suffix: &str) -> String {
    format!("ecs-express-gateway-{suffix}")
}

fn shared_group(suffix: &str) -> String {
    format!("ecs-express-gateway-lb-{suffix}")
}

/// The role that everything is made in. What is made has the service's tags.
fn acting(call: &Call, express: &Express) -> Result<Acting, ApiError> {
    let arn = show::arn(call.scope(), express);
    Acting::begin(call, &express.infrastructure_role_arn, &arn, &express.tags)
}

/// Makes what is not there yet. `made` says how far it has come, also when it fails.
///
/// # Errors
/// Those of the operations that make the parts, and of the role that they are made in.
pub async fn make(call: &Call, express: &Express, port: i32, made: &mut Made) -> Result<(), ApiError> {
    const ABOUT: &str = "Made for Amazon ECS express gateway services";
    let acting = acting(call, express)?;
    let (shared, vpc_id) = (shared_suffix(made), made.vpc_id.clone());
    if made.balancer_group.is_none() {
        let name = shared_group(&shared);
        let group = acting.security_group(&made.vpc_id, &name, ABOUT).await?;
        made.balancer_group = Some(group);
        keep_made(call, express, made).await?;
    }
    let balancer_group = made.balancer_group.clone().unwrap_or_default();
    acting.admit(&balancer_group, PORT, None).await?;
    if made.load_balancer.is_none() {
        let name = shared_balancer(&shared);
        let groups = vec![balancer_group.clone()];
        made.load_balancer = Some(acting.load_balancer(&name, &made.subnets, groups, made.public).await?);
        keep_made(call, express, made).await?;
    }
    let balancer = made.load_balancer.clone().unwrap_or_default();
    if made.listener.is_none() {
        made.listener = Some(acting.listener(&balancer, &format!("{}{DOMAIN}", call.scope().region)).await?);
        keep_made(call, express, made).await?;
    }
    if made.task_group.is_none() {
        let name = format!("ecs-express-{}-{}", express.suffix, express.name);
        made.task_group = Some(acting.security_group(&made.vpc_id, &name, ABOUT).await?);
        keep_made(call, express, made).await?;
    }
    acting.admit(made.task_group.as_deref().unwrap_or_default(), port, Some(&balancer_group)).await?;
    let group = |number: u8| elbv2::CreateTargetGroupInput {
        name: Some(format!("ecs-express-{}-{number}", express.suffix)),
        port: Some(port),
        vpc_id: Some(vpc_id.clone()),
        health_check_path: express.wanted.0.health_check_path.clone(),
        ..Default::default()
    };
    if made.target_group.is_none() {
        made.target_group = Some(acting.target_group(group(1)).await?);
        keep_made(call, express, made).await?;
    }
    if made.alternate.is_none() {
        made.alternate = Some(acting.target_group(group(2)).await?);
        keep_made(call, express, made).await?;
    }
    if made.rule.is_none() {
        made.rule = Some(rule(&acting, express, made).await?);
        keep_made(call, express, made).await?;
    }
    Ok(())
}

/// Gives both target groups another path to be checked at.
pub async fn check_at(call: &Call, express: &Express, made: &Made, path: &str) -> Result<(), ApiError> {
    let acting = acting(call, express)?;
    for group in made.target_group.iter().chain(&made.alternate) {
        let input = elbv2::ModifyTargetGroupInput {
            target_group_arn: Some(group.clone()),
            health_check_path: Some(path.to_owned()),
            ..Default::default()
        };
        acting.change_group(input).await?;
    }
    Ok(())
}

/// A rule that gives the endpoint's requests to the target groups.
async fn rule(acting: &Acting, express: &Express, made: &Made) -> Result<String, ApiError> {
    let call = &acting.call;
    let listener = made.listener.clone().unwrap_or_default();
    let there = call.services.state.read(|view| listeners::see(view, call.scope(), &listener))?;
    if there.rules.len() >= MOST_SHARING {
        return Err(not_implemented("more than 25 express gateway services with the same subnets"));
    }
    let groups: Vec<String> = made.target_group.iter().chain(&made.alternate).cloned().collect();
    let host = express.host(call.scope());
    let wanted = RuleWanted { host: &host, header: None, groups: &groups, priorities: 1..=1000 };
    acting.rule(&listener, wanted).await
}

/// Removes what was made for it, in the order that allows it, and the shared parts when nobody shares them any more. What is still in use
/// stays, and in `made`.
pub async fn remove(call: &Call, express: &Express, made: &mut Made, shared: bool) -> Result<(), ApiError> {
    if !shared {
        // Others may have left them to this one before it came to know them.
        let (suffix, view) = (shared_suffix(made), call.services.state.view());
        if made.load_balancer.is_none() {
            let there = managed_balancer(&view, call.scope(), &shared_balancer(&suffix));
            made.load_balancer = there.map(|there| there.arn(call.scope()));
        }
        if made.balancer_group.is_none() {
            made.balancer_group = managed_group(&view, call.scope(), &made.vpc_id, &shared_group(&suffix));
        }
    }
    let nothing = Made {
        subnets: made.subnets.clone(),
        vpc_id: made.vpc_id.clone(),
        public: made.public,
        ..Made::default()
    };
    if *made == nothing {
        return Ok(());
    }
    let acting = acting(call, express)?.after(express.refusal.clone());
    if let Some(arn) = &made.rule {
        acting.delete_rule(arn).await?;
        made.rule = None;
    }
    for group in [&mut made.target_group, &mut made.alternate] {
        if let Some(arn) = group.as_deref() {
            acting.delete_target_group(arn).await?;
            *group = None;
        }
    }
    if let Some(id) = &made.task_group {
        acting.delete_security_group(id).await?;
        made.task_group = None;
    }
    if shared {
        return Ok(());
    }
    if let Some(arn) = &made.load_balancer {
        acting.delete_load_balancer(arn).await?;
        (made.load_balancer, made.listener) = (None, None);
    }
    if let Some(id) = &made.balancer_group {
        acting.delete_security_group(id).await?;
        made.balancer_group = None;
    }
    Ok(())
}
