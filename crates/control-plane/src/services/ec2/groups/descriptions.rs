//! Descriptions of rules, changed apart from the rules.

use aws_shapes_ec2::{
    IpPermission, SecurityGroupRuleDescription, UpdateSecurityGroupRuleDescriptionsEgressRequest,
    UpdateSecurityGroupRuleDescriptionsEgressResult, UpdateSecurityGroupRuleDescriptionsIngressRequest,
    UpdateSecurityGroupRuleDescriptionsIngressResult,
};

use super::{
    named,
    rules::parse::{check_description, take_apart},
};
use crate::{
    gateway::{ApiError, Call},
    services::ec2::errors::{error, missing},
};

/// The rules are named by their ids, or by saying again what they let through.
struct Update {
    egress: bool,
    group_id: Option<String>,
    group_name: Option<String>,
    permissions: Vec<IpPermission>,
    descriptions: Vec<SecurityGroupRuleDescription>,
}

async fn update(call: &Call, update: Update) -> Result<(), ApiError> {
    let scope = call.scope();
    if update.permissions.is_empty() && update.descriptions.is_empty() {
        return Err(missing("ipPermissions"));
    }
    call.services
        .state
        .transact(|tx| {
            let found = named(tx, scope, update.group_id.as_deref(), update.group_name.as_deref())?;
            let mut group = (*found).clone();
            for asked in take_apart(tx, scope, &update.permissions)? {
                let mut own = group.rules.iter_mut().filter(|rule| rule.egress == update.egress);
                let rule = own.find(|rule| asked.equals(rule)).ok_or_else(|| {
                    error(
                        "InvalidPermission.NotFound",
                        "The specified rule does not exist in this security group.",
                    )
                })?;
                rule.description = asked.description;
            }
            for given in &update.descriptions {
                let id = given.security_group_rule_id.as_deref().unwrap_or_default();
                check_description(given.description.as_deref())?;
                let mut own = group.rules.iter_mut().filter(|rule| rule.egress == update.egress);
                let rule = own.find(|rule| rule.id == id).ok_or_else(|| {
                    error(
                        "InvalidSecurityGroupRuleId.NotFound",
                        format!("The security group rule ID '{id}' does not exist"),
                    )
                })?;
                rule.description.clone_from(&given.description);
            }
            tx.put(scope, &group.id.clone(), group);
            Ok(())
        })
        .await
}

pub async fn update_ingress(
    call: Call,
    input: UpdateSecurityGroupRuleDescriptionsIngressRequest,
) -> Result<UpdateSecurityGroupRuleDescriptionsIngressResult, ApiError> {
    let asked = Update {
        egress: false,
        group_id: input.group_id,
        group_name: input.group_name,
        permissions: input.ip_permissions.unwrap_or_default(),
        descriptions: input.security_group_rule_descriptions.unwrap_or_default(),
    };
    update(&call, asked).await?;
    Ok(UpdateSecurityGroupRuleDescriptionsIngressResult { r#return: Some(true) })
}

pub async fn update_egress(
    call: Call,
    input: UpdateSecurityGroupRuleDescriptionsEgressRequest,
) -> Result<UpdateSecurityGroupRuleDescriptionsEgressResult, ApiError> {
    let asked = Update {
        egress: true,
        group_id: input.group_id,
        group_name: input.group_name,
        permissions: input.ip_permissions.unwrap_or_default(),
        descriptions: input.security_group_rule_descriptions.unwrap_or_default(),
    };
    update(&call, asked).await?;
    Ok(UpdateSecurityGroupRuleDescriptionsEgressResult { r#return: Some(true) })
}
