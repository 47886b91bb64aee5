//! The steps: each makes, changes or removes one thing, after the role was asked.

use std::{ops::RangeInclusive, time::Duration};

use aws_shapes_acm as acm;
use aws_shapes_elbv2 as elbv2;
use state_store::{Tx, View};
use vocabulary::{Scope, Timestamp};

use super::{Acting, is_managed};
use crate::{
    gateway::{ApiError, Call},
    services::{
        acm::{self as certificates, records::Certificate},
        ecs::express::DOMAIN,
        elbv2::{
            attribute_calls, balancers, groups as target_groups, listeners,
            records::{Condition, Listener, LoadBalancer, Patterns, Rule, TargetGroup, load_balancer_arn},
            rules, targets,
        },
    },
};

/// The listener that services are behind.
pub const PORT: i32 = 443;
/// How long a certificate may be without a listener because that is still being made.
const MAKING: Duration = Duration::from_secs(10 * 60);
/// Attempts to find a free priority while others take them.
const ATTEMPTS: usize = 20;

/// Whether the error has this code.
pub fn is(error: &ApiError, code: &str) -> bool {
    error.code.starts_with(code)
}

/// What is gone already needs no removal.
pub(super) fn gone(done: Result<(), ApiError>) -> Result<(), ApiError> {
    let codes = [
        "RuleNotFound",
        "TargetGroupNotFound",
        "LoadBalancerNotFound",
        "ListenerNotFound",
        "InvalidGroup.NotFound",
    ];
    let further = ["InvalidSecurityGroupRuleId.NotFound", "ResourceNotFoundException"];
    match done {
        Err(error) if !codes.iter().chain(&further).any(|code| is(&error, code)) => Err(error),
        _ => Ok(()),
    }
}

impl Acting {
    pub(super) fn scope(&self) -> &Scope {
        self.call.scope()
    }

    fn balancing(&self, resource: &str) -> String {
        self.scope().arn("elasticloadbalancing", resource).to_string()
    }

    fn elb_tags(&self) -> Option<Vec<elbv2::Tag>> {
        let tag = |(key, value): (&String, &String)| elbv2::Tag {
            key: Some(key.clone()),
            value: Some(value.clone()),
        };
        Some(self.tags.iter().map(tag).collect())
    }

    /// An application load balancer of that name.
    pub async fn load_balancer(
        &self,
        name: &str,
        subnets: &[String],
        security_groups: Vec<String>,
        public: bool,
    ) -> Result<String, ApiError> {
        let find = |view: &View| {
            let mut there = view.by_index::<LoadBalancer>(self.scope(), "name", name);
            there.next().map(|(_, balancer)| balancer.arn(self.scope()))
        };
        if let Some(there) = self.call.services.state.read(find) {
            return Ok(there);
        }
        let made = self.balancing(&format!("loadbalancer/app/{name}/*"));
        self.may_make("elasticloadbalancing:CreateLoadBalancer", &made, &made)?;
        let input = elbv2::CreateLoadBalancerInput {
            name: Some(name.to_owned()),
            subnets: Some(subnets.to_vec()),
            security_groups: Some(security_groups),
            scheme: Some(match public {
                true => elbv2::LoadBalancerSchemeEnum::InternetFacing,
                false => elbv2::LoadBalancerSchemeEnum::Internal,
            }),
            tags: self.elb_tags(),
            ..Default::default()
        };
        let made = self.act::<elbv2::CreateLoadBalancer, _>(elbv2::SERVICE, balancers::create, input).await?;
        let made = made.load_balancers.unwrap_or_default();
        let arn = made.into_iter().next().and_then(|balancer| balancer.load_balancer_arn);
        arn.ok_or_else(|| ApiError::internal("a load balancer was made without an ARN"))
    }

    /// Attributes of a load balancer, as key and value.
    pub async fn set_attributes(
        &self,
        balancer: &str,
        attributes: &[(&str, String)],
    ) -> Result<(), ApiError> {
        self.may("elasticloadbalancing:ModifyLoadBalancerAttributes", balancer)?;
        let given = attributes.iter().map(|(key, value)| elbv2::LoadBalancerAttribute {
            key: Some((*key).to_owned()),
            value: Some(value.clone()),
        });
        let input = elbv2::ModifyLoadBalancerAttributesInput {
            load_balancer_arn: Some(balancer.to_owned()),
            attributes: Some(given.collect()),
        };
        let handler = attribute_calls::modify_load_balancer;
        self.act::<elbv2::ModifyLoadBalancerAttributes, _>(elbv2::SERVICE, handler, input).await.map(drop)
    }

    pub async fn set_security_groups(&self, balancer: &str, groups: Vec<String>) -> Result<(), ApiError> {
        self.may("elasticloadbalancing:SetSecurityGroups", balancer)?;
        let input = elbv2::SetSecurityGroupsInput {
            load_balancer_arn: Some(balancer.to_owned()),
            security_groups: Some(groups),
            ..Default::default()
        };
        let handler = balancers::set_security_groups;
        self.act::<elbv2::SetSecurityGroups, _>(elbv2::SERVICE, handler, input).await.map(drop)
    }

    /// The listener on [`PORT`], with a certificate for every name under `domain`.
    pub async fn listener(&self, balancer: &str, domain: &str) -> Result<String, ApiError> {
        let find = |view: &View| listener_of(view, self.scope(), balancer);
        if let Some(there) = self.call.services.state.read(find) {
            return Ok(there.arn(self.scope()));
        }
        let place = balancer.replacen(":loadbalancer/", ":listener/", 1);
        self.may_make("elasticloadbalancing:CreateListener", balancer, &format!("{place}/*"))?;
        let certificate = self.certificate(domain).await?;
        let not_found = elbv2::FixedResponseActionConfig {
            status_code: Some("404".to_owned()),
            content_type: Some("text/plain".to_owned()),
            message_body: Some("There is no service of this name.".to_owned()),
        };
        let input = elbv2::CreateListenerInput {
            load_balancer_arn: Some(balancer.to_owned()),
            protocol: Some(elbv2::ProtocolEnum::Https),
            port: Some(PORT),
            certificates: Some(vec![elbv2::Certificate {
                certificate_arn: Some(certificate.clone()),
                ..Default::default()
            }]),
            default_actions: Some(vec![elbv2::Action {
                r#type: Some(elbv2::ActionTypeEnum::FixedResponse),
                fixed_response_config: Some(not_found),
                ..Default::default()
            }]),
            tags: self.elb_tags(),
            ..Default::default()
        };
        match self.act::<elbv2::CreateListener, _>(elbv2::SERVICE, listeners::create, input).await {
            Ok(made) => {
                let made = made.listeners.unwrap_or_default().into_iter().next();
                let arn = made.and_then(|made| made.listener_arn);
                arn.ok_or_else(|| ApiError::internal("a listener was made without an ARN"))
            }
            Err(error) => {
                // Somebody else was quicker, or nobody will use it.
                self.delete_certificate(&certificate).await?;
                let there =
                    is(&error, "DuplicateListener").then(|| self.call.services.state.read(find)).flatten();
                there.map(|there| there.arn(self.scope())).ok_or(error)
            }
        }
    }

    async fn certificate(&self, domain: &str) -> Result<String, ApiError> {
        let any = self.scope().arn("acm", "certificate/*").to_string();
        self.may_make("acm:RequestCertificate", &any, &any)?;
        let tag = |(key, value): (&String, &String)| acm::Tag {
            key: Some(key.clone()),
            value: Some(value.clone()),
        };
        let input = acm::RequestCertificateRequest {
            domain_name: Some(format!("*.{domain}")),
            tags: Some(self.tags.iter().map(tag).collect()),
            ..Default::default()
        };
        let made = self.act::<acm::RequestCertificate, _>(acm::SERVICE, certificates::request, input).await?;
        made.certificate_arn.ok_or_else(|| ApiError::internal("a certificate was made without an ARN"))
    }

    async fn delete_certificate(&self, arn: &str) -> Result<(), ApiError> {
        self.may("acm:DeleteCertificate", arn)?;
        let input = acm::DeleteCertificateRequest { certificate_arn: Some(arn.to_owned()) };
        gone(self.act::<acm::DeleteCertificate, _>(acm::SERVICE, certificates::delete, input).await.map(drop))
    }

    /// Removes a load balancer, its listener, and the listener's certificate if ECS requested it.
    pub async fn delete_load_balancer(&self, balancer: &str) -> Result<(), ApiError> {
        let view = self.call.services.state.view();
        let certificate = listener_of(&view, self.scope(), balancer)
            .and_then(|listener| listener.certificate.clone())
            .filter(|arn| is_requested(&view, self.scope(), arn));
        let protected = balancers::see(&view, self.scope(), balancer)
            .is_ok_and(|found| found.attributes.get(PROTECTION).is_some_and(|value| value == "true"));
        drop(view);
        if protected {
            self.set_attributes(balancer, &[(PROTECTION, "false".to_owned())]).await?;
        }
        self.may("elasticloadbalancing:DeleteLoadBalancer", balancer)?;
        let input = elbv2::DeleteLoadBalancerInput { load_balancer_arn: Some(balancer.to_owned()) };
        gone(
            self.act::<elbv2::DeleteLoadBalancer, _>(elbv2::SERVICE, balancers::delete, input)
                .await
                .map(drop),
        )?;
        if let Some(arn) = certificate {
            self.delete_certificate(&arn).await?;
        }
        // What a listener had before somebody gave it another one, or was made for one that never came to be. It may be another gateway's, whose
        // role may delete it and this one may not: then it stays for that.
        let leftovers = self.call.services.state.read(|view| leftovers(view, self.scope(), self.call.now()));
        for arn in leftovers {
            if let Err(error) = self.delete_certificate(&arn).await {
                tracing::info!(certificate = arn, %error, "a certificate that nobody uses is left");
            }
        }
        Ok(())
    }

    /// A target group for addresses; `wanted` says its name and the rest.
    pub async fn target_group(&self, wanted: elbv2::CreateTargetGroupInput) -> Result<String, ApiError> {
        let name = wanted.name.clone().unwrap_or_default();
        let find = |view: &View| {
            let mut there = view.by_index::<TargetGroup>(self.scope(), "name", &name);
            there.next().map(|(_, group)| group.arn(self.scope()))
        };
        if let Some(there) = self.call.services.state.read(find) {
            return Ok(there);
        }
        let made = self.balancing(&format!("targetgroup/{name}/*"));
        self.may_make("elasticloadbalancing:CreateTargetGroup", &made, &made)?;
        let input = elbv2::CreateTargetGroupInput {
            target_type: Some(elbv2::TargetTypeEnum::Ip),
            protocol: Some(elbv2::ProtocolEnum::Http),
            tags: self.elb_tags(),
            ..wanted
        };
        let made =
            self.act::<elbv2::CreateTargetGroup, _>(elbv2::SERVICE, target_groups::create, input).await?;
        let made = made.target_groups.unwrap_or_default();
        let arn = made.into_iter().next().and_then(|group| group.target_group_arn);
        arn.ok_or_else(|| ApiError::internal("a target group was made without an ARN"))
    }

    /// An attribute of a target group. ECS does this itself: AWS's policies for the role say nothing of it.
    pub async fn set_group_attribute(&self, group: &str, key: &str, value: String) -> Result<(), ApiError> {
        let attribute = elbv2::TargetGroupAttribute { key: Some(key.to_owned()), value: Some(value) };
        let input = elbv2::ModifyTargetGroupAttributesInput {
            target_group_arn: Some(group.to_owned()),
            attributes: Some(vec![attribute]),
        };
        let handler = attribute_calls::modify_target_group;
        self.act::<elbv2::ModifyTargetGroupAttributes, _>(elbv2::SERVICE, handler, input).await.map(drop)
    }

    /// Changes the health check of a target group. ECS does this itself: AWS's policies for the role say nothing of it.
    pub async fn change_group(&self, input: elbv2::ModifyTargetGroupInput) -> Result<(), ApiError> {
        self.act::<elbv2::ModifyTargetGroup, _>(elbv2::SERVICE, target_groups::modify, input).await.map(drop)
    }

    pub async fn delete_target_group(&self, arn: &str) -> Result<(), ApiError> {
        self.may("elasticloadbalancing:DeleteTargetGroup", arn)?;
        let input = elbv2::DeleteTargetGroupInput { target_group_arn: Some(arn.to_owned()) };
        gone(
            self.act::<elbv2::DeleteTargetGroup, _>(elbv2::SERVICE, target_groups::delete, input)
                .await
                .map(drop),
        )
    }

    /// A rule that gives a host's requests to target groups, at the least free priority. The first group gets all of them. A rule of ECS's own
    /// with the same conditions is taken as it is, with those of the groups that it lacks.
    pub async fn rule(&self, listener: &str, wanted: RuleWanted<'_>) -> Result<String, ApiError> {
        let place = listener.replacen(":listener/", ":listener-rule/", 1);
        self.may_make("elasticloadbalancing:CreateRule", listener, &format!("{place}/*"))?;
        for _ in 0..ATTEMPTS {
            let there = self.call.services.state.read(|view| listeners::see(view, self.scope(), listener))?;
            let same = |rule: &&Rule| is_managed(&rule.tags) && rule.conditions == wanted.recorded();
            if let Some(rule) = there.rules.values().find(same) {
                let arn = there.rule_arn(self.scope(), &rule.id);
                for group in wanted.groups {
                    self.forward_to_as_well(&arn, group).await?;
                }
                return Ok(arn);
            }
            let Some(free) = wanted.priorities.clone().find(|it| !there.rules.contains_key(it)) else {
                return Err(ApiError::internal("a load balancer has no room for another rule"));
            };
            let input = elbv2::CreateRuleInput {
                listener_arn: Some(listener.to_owned()),
                priority: i32::try_from(free).ok(),
                conditions: Some(wanted.conditions()),
                actions: Some(vec![forward(wanted.groups)]),
                tags: self.elb_tags(),
                ..Default::default()
            };
            match self.act::<elbv2::CreateRule, _>(elbv2::SERVICE, rules::create, input).await {
                Ok(made) => {
                    let arn =
                        made.rules.unwrap_or_default().into_iter().next().and_then(|rule| rule.rule_arn);
                    return arn.ok_or_else(|| ApiError::internal("a rule was made without an ARN"));
                }
                Err(error) if is(&error, "PriorityInUse") => {}
                Err(error) => return Err(error),
            }
        }
        Err(ApiError::internal("others took every priority that was free"))
    }

    /// Gives a rule other conditions.
    pub async fn change_rule(&self, rule: &str, wanted: &RuleWanted<'_>) -> Result<(), ApiError> {
        self.may("elasticloadbalancing:ModifyRule", rule)?;
        let input = elbv2::ModifyRuleInput {
            rule_arn: Some(rule.to_owned()),
            conditions: Some(wanted.conditions()),
            ..Default::default()
        };
        self.act::<elbv2::ModifyRule, _>(elbv2::SERVICE, rules::modify, input).await.map(drop)
    }

    /// Puts another target group beside those that a rule forwards to. It gets nothing yet.
    pub async fn forward_to_as_well(&self, rule: &str, group: &str) -> Result<(), ApiError> {
        self.may("elasticloadbalancing:ModifyRule", rule)?;
        let is_there = |view: &View| {
            let there = targets::weights(view, self.scope(), rule).unwrap_or_default();
            there.iter().any(|(arn, _)| arn == group)
        };
        if self.call.services.state.read(is_there) {
            return Ok(());
        }
        let add = |tx: &mut Tx, scope: &Scope| {
            let mut there = targets::weights(tx.view(), scope, rule).unwrap_or_default();
            if there.iter().all(|(arn, _)| arn != group) {
                there.push((group.to_owned(), 0));
                targets::set_weights(tx, scope, rule, &there)?;
            }
            Ok(())
        };
        self.reweigh(rule, add).await
    }

    /// Gives what a rule forwards the shares of another rule of the same target groups.
    pub async fn share_as(&self, rule: &str, other: &str) -> Result<(), ApiError> {
        let view = self.call.services.state.view();
        let shares = |rule: &str| targets::weights(&view, self.scope(), rule);
        if shares(rule) == shares(other) {
            return Ok(());
        }
        drop(view);
        self.may("elasticloadbalancing:ModifyRule", rule)?;
        let copy = |tx: &mut Tx, scope: &Scope| match targets::weights(tx.view(), scope, other) {
            Some(weights) => targets::set_weights(tx, scope, rule, &weights),
            None => Ok(()),
        };
        self.reweigh(rule, copy).await
    }

    /// Changes what a rule forwards beside what others change of it.
    async fn reweigh(
        &self,
        rule: &str,
        change: impl Fn(&mut Tx, &Scope) -> Result<(), ApiError> + Sync,
    ) -> Result<(), ApiError> {
        let input = elbv2::ModifyRuleInput { rule_arn: Some(rule.to_owned()), ..Default::default() };
        let change = &change;
        let handler = |call: Call, _| async move {
            call.services.state.transact(|tx| change(tx, call.scope())).await?;
            Ok(elbv2::ModifyRuleOutput::default())
        };
        self.act::<elbv2::ModifyRule, _>(elbv2::SERVICE, handler, input).await.map(drop)
    }

    pub async fn delete_rule(&self, arn: &str) -> Result<(), ApiError> {
        self.may("elasticloadbalancing:DeleteRule", arn)?;
        let input = elbv2::DeleteRuleInput { rule_arn: Some(arn.to_owned()) };
        gone(self.act::<elbv2::DeleteRule, _>(elbv2::SERVICE, rules::delete, input).await.map(drop))
    }
}

/// The attribute of load balancers that keeps them from being deleted.
pub const PROTECTION: &str = "deletion_protection.enabled";

/// What a rule is to be.
#[derive(Debug, Clone)]
pub struct RuleWanted<'a> {
    pub host: &'a str,
    /// A header's name and values.
    pub header: Option<(&'a str, &'a [String])>,
    pub groups: &'a [String],
    pub priorities: RangeInclusive<u32>,
}

impl RuleWanted<'_> {
    /// The conditions as a rule has them.
    fn recorded(&self) -> Vec<Condition> {
        let host = Condition::Host(Patterns::Wildcard(vec![self.host.to_owned()]));
        let header = self.header.map(|(name, values)| Condition::Header {
            name: name.to_owned(),
            patterns: Patterns::Wildcard(values.to_vec()),
        });
        std::iter::once(host).chain(header).collect()
    }

    fn conditions(&self) -> Vec<elbv2::RuleCondition> {
        let host = elbv2::RuleCondition {
            field: Some("host-header".to_owned()),
            values: Some(vec![self.host.to_owned()]),
            ..Default::default()
        };
        let header = self.header.map(|(name, values)| elbv2::RuleCondition {
            field: Some("http-header".to_owned()),
            http_header_config: Some(elbv2::HttpHeaderConditionConfig {
                http_header_name: Some(name.to_owned()),
                values: Some(values.to_vec()),
                ..Default::default()
            }),
            ..Default::default()
        });
        std::iter::once(host).chain(header).collect()
    }
}

fn forward(groups: &[String]) -> elbv2::Action {
    let weighted = groups.iter().enumerate().map(|(index, arn)| elbv2::TargetGroupTuple {
        target_group_arn: Some(arn.clone()),
        weight: Some(if index == 0 { 100 } else { 0 }),
    });
    elbv2::Action {
        r#type: Some(elbv2::ActionTypeEnum::Forward),
        forward_config: Some(elbv2::ForwardActionConfig {
            target_groups: Some(weighted.collect()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The certificates that ECS requested and that nobody uses. Those of the last minutes may be for a listener that is being made.
fn leftovers(view: &View, scope: &Scope, now: Timestamp) -> Vec<String> {
    let name = format!("*.{}{DOMAIN}", scope.region);
    let own = view.scan::<Certificate>(scope).map(|(_, found)| found).filter(|found| {
        is_managed(&found.tags)
            && found.requested.as_ref().is_some_and(|requested| requested.names.contains(&name))
            && found.created_at + MAKING <= now
    });
    let arns = own.map(|found| found.arn(scope));
    arns.filter(|arn| certificates::users::of(view, scope, arn).is_empty()).collect()
}

/// Whether ECS requested the certificate, rather than a user.
fn is_requested(view: &View, scope: &Scope, arn: &str) -> bool {
    let id = arn.rsplit_once(":certificate/").map_or(arn, |(_, id)| id);
    view.get::<Certificate>(scope, id).is_some_and(|found| is_managed(&found.tags))
}

/// ECS's own load balancer of that name.
pub fn managed_balancer(view: &View, scope: &Scope, name: &str) -> Option<std::sync::Arc<LoadBalancer>> {
    let mut there = view.by_index::<LoadBalancer>(scope, "name", name).map(|(_, balancer)| balancer);
    there.find(|balancer| is_managed(&balancer.tags))
}

/// The listener on [`PORT`] of a load balancer.
pub fn listener_of(view: &View, scope: &Scope, balancer: &str) -> Option<std::sync::Arc<Listener>> {
    let all = view.scan::<Listener>(scope).map(|(_, listener)| listener);
    let mut own = all.filter(|listener| load_balancer_arn(scope, &listener.load_balancer) == balancer);
    own.find(|listener| i32::from(listener.port) == PORT)
}

/// The load balancer with that ARN.
pub fn balancer_of(view: &View, scope: &Scope, arn: &str) -> Option<std::sync::Arc<LoadBalancer>> {
    balancers::see(view, scope, arn).ok()
}
