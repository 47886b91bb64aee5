//! Security groups of ECS's own, and who is let in by them.

use aws_shapes_ec2 as ec2;
use state_store::View;
use vocabulary::Scope;

use super::{
    Acting, is_managed,
    parts::{gone, is},
};
use crate::{
    gateway::ApiError,
    services::ec2::{
        groups::{self, rules as group_rules},
        records::{RulePeer, SecurityGroup},
    },
};

impl Acting {
    fn ec2_tags(&self, kind: &str) -> Option<Vec<ec2::TagSpecification>> {
        let tag = |(key, value): (&String, &String)| ec2::Tag {
            key: Some(key.clone()),
            value: Some(value.clone()),
        };
        let tags = self.tags.iter().map(tag).collect();
        Some(vec![ec2::TagSpecification { resource_type: Some(kind.to_owned()), tags: Some(tags) }])
    }

    /// A security group of that name, cut where names end: what tells it apart comes before. One that somebody else has made is in the way.
    pub async fn security_group(&self, vpc_id: &str, name: &str, about: &str) -> Result<String, ApiError> {
        let name: String = name.chars().take(255).collect();
        let find = |view: &View| managed_group(view, self.scope(), vpc_id, &name);
        if let Some(there) = self.call.services.state.read(find) {
            return Ok(there);
        }
        let of_ec2 = |resource: &str| self.scope().arn("ec2", resource).to_string();
        let made = of_ec2("security-group/*");
        self.may("ec2:CreateSecurityGroup", &of_ec2(&format!("vpc/{vpc_id}")))?;
        self.may_make("ec2:CreateSecurityGroup", &made, &made)?;
        let input = ec2::CreateSecurityGroupRequest {
            group_name: Some(name.clone()),
            description: Some(about.to_owned()),
            vpc_id: Some(vpc_id.to_owned()),
            tag_specifications: self.ec2_tags("security-group"),
            ..Default::default()
        };
        match self.act::<ec2::CreateSecurityGroup, _>(ec2::SERVICE, groups::create, input).await {
            Ok(made) => Ok(made.group_id.unwrap_or_default()),
            Err(error) if is(&error, "InvalidGroup.Duplicate") => {
                self.call.services.state.read(find).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Lets connections to the port in, from a group or from everywhere.
    pub async fn admit(&self, group: &str, port: i32, from: Option<&str>) -> Result<(), ApiError> {
        let view = self.call.services.state.view();
        if rule_ids(&view, self.scope(), group, port, from).next().is_some() {
            return Ok(());
        }
        drop(view);
        let rules = self.scope().arn("ec2", "security-group-rule/*").to_string();
        let action = "ec2:AuthorizeSecurityGroupIngress";
        self.may_make(action, &groups::arn(self.scope(), group), &rules)?;
        let everywhere = ec2::IpRange { cidr_ip: Some("0.0.0.0/0".to_owned()), ..Default::default() };
        let pair =
            |from: &str| ec2::UserIdGroupPair { group_id: Some(from.to_owned()), ..Default::default() };
        let permission = ec2::IpPermission {
            ip_protocol: Some("tcp".to_owned()),
            from_port: Some(port),
            to_port: Some(port),
            ip_ranges: from.is_none().then(|| vec![everywhere]),
            user_id_group_pairs: from.map(|from| vec![pair(from)]),
            ..Default::default()
        };
        let input = ec2::AuthorizeSecurityGroupIngressRequest {
            group_id: Some(group.to_owned()),
            ip_permissions: Some(vec![permission]),
            tag_specifications: self.ec2_tags("security-group-rule"),
            ..Default::default()
        };
        let handler = group_rules::authorize_ingress;
        match self.act::<ec2::AuthorizeSecurityGroupIngress, _>(ec2::SERVICE, handler, input).await {
            Ok(_) => Ok(()),
            Err(error) if is(&error, "InvalidPermission.Duplicate") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes the permission back.
    pub async fn forbid(&self, group: &str, port: i32, from: Option<&str>) -> Result<(), ApiError> {
        let view = self.call.services.state.view();
        let there: Vec<String> = rule_ids(&view, self.scope(), group, port, from).collect();
        drop(view);
        if there.is_empty() {
            return Ok(());
        }
        self.may("ec2:RevokeSecurityGroupIngress", &groups::arn(self.scope(), group))?;
        let input = ec2::RevokeSecurityGroupIngressRequest {
            group_id: Some(group.to_owned()),
            security_group_rule_ids: Some(there),
            ..Default::default()
        };
        let handler = group_rules::revoke_ingress;
        gone(self.act::<ec2::RevokeSecurityGroupIngress, _>(ec2::SERVICE, handler, input).await.map(drop))
    }

    pub async fn delete_security_group(&self, id: &str) -> Result<(), ApiError> {
        self.may("ec2:DeleteSecurityGroup", &groups::arn(self.scope(), id))?;
        let input = ec2::DeleteSecurityGroupRequest { group_id: Some(id.to_owned()), ..Default::default() };
        gone(self.act::<ec2::DeleteSecurityGroup, _>(ec2::SERVICE, groups::delete, input).await.map(drop))
    }
}

/// ECS's own security group of that name.
pub fn managed_group(view: &View, scope: &Scope, vpc_id: &str, name: &str) -> Option<String> {
    let mut there = view.by_index::<SecurityGroup>(scope, "vpc", vpc_id);
    let found = there.find(|(_, group)| group.name == name && is_managed(&group.tags));
    found.map(|(id, _)| id.to_owned())
}

/// The rules of a security group that let a port in from a group, or from everywhere.
pub fn rule_ids(
    view: &View,
    scope: &Scope,
    group: &str,
    port: i32,
    from: Option<&str>,
) -> impl Iterator<Item = String> {
    let rules = view.get::<SecurityGroup>(scope, group).map(|found| found.rules.clone()).unwrap_or_default();
    let from = from.map(str::to_owned);
    let own = rules.into_iter().filter(move |rule| {
        let peer = match (&rule.peer, &from) {
            (RulePeer::Group(id), Some(from)) => id == from,
            (RulePeer::Cidr(range), None) => range.to_string() == "0.0.0.0/0",
            _ => false,
        };
        !rule.egress
            && rule.protocol == "tcp"
            && peer
            && rule.from_port == Some(port)
            && rule.to_port == Some(port)
    });
    own.map(|rule| rule.id)
}
