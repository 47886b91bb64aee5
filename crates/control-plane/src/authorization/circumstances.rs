//! The condition keys that every request has. Source: "AWS global condition context keys" of the IAM user guide.

use aws_schema::{OperationTable, Value};
use policy::{Caller, Context};

use super::{Origin, holder::Holder, input};
use crate::{gateway::Call, services::iam::names};

pub fn of(
    call: &Call,
    origin: Origin<'_>,
    holder: &Holder,
    operation: &OperationTable,
    given: &Value,
) -> Context {
    let now = call.now();
    let seconds = now.as_millis().div_euclid(1000);
    let mut context = Context::new()
        .with("aws:PrincipalAccount", call.principal.account.as_str())
        .with("aws:userid", call.principal.user_id.as_str())
        .with("aws:RequestedRegion", call.scope().region.as_str())
        .with("aws:EpochTime", seconds.to_string())
        .with("aws:CurrentTime", seconds.to_string())
        .with("aws:SecureTransport", "false")
        .with("aws:ViaAWSService", "false")
        .with("aws:PrincipalIsAWSService", "false");
    let (kind, arn) = match &holder.principal.caller {
        Caller::User { arn } => {
            context.set("aws:username", names::last_segment(arn));
            ("User", arn.clone())
        }
        // A session is known by its role's ARN.
        Caller::RoleSession { role_arn, .. } => ("AssumedRole", role_arn.clone()),
        Caller::Federated { arn } => ("FederatedUser", arn.clone()),
        Caller::Root => ("Account", holder.principal.name()),
        Caller::Service { .. } | Caller::WebIdentity { .. } | Caller::Anonymous => {
            ("Anonymous", holder.principal.name())
        }
    };
    context.set("aws:PrincipalType", kind);
    context.set("aws:PrincipalArn", arn);
    if let Some(address) = origin.address {
        context.set("aws:SourceIp", address.to_string());
    }
    if let Some(user_agent) = origin.user_agent {
        context.set("aws:UserAgent", user_agent);
    }
    if let Some(source_identity) = &holder.source_identity {
        context.set("aws:SourceIdentity", source_identity.as_str());
    }
    for (name, value) in &holder.tags {
        context.set(&format!("aws:PrincipalTag/{name}"), value.as_str());
    }
    let tags = input::tags(operation.input, given);
    context.set_all("aws:TagKeys", tags.iter().map(|(key, _)| key.clone()));
    for (key, value) in tags {
        context.set(&format!("aws:RequestTag/{key}"), value.unwrap_or_default());
    }
    context
}
