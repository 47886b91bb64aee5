//! The condition keys that every request has. Source: "AWS global condition context keys" of the IAM user guide.

use aws_schema::{OperationTable, Value};
use policy::{Caller, Context};
use vocabulary::{Region, Timestamp};

use super::{holder::Holder, input};
use crate::{
    gateway::{Call, Origin},
    services::{iam::names, tagging::Tags},
};

/// What holds of everything that `holder` asks for in a region at a time; nothing yet of what it asks for.
pub fn of_holder(holder: &Holder, region: &Region, now: Timestamp, origin: &Origin) -> Context {
    let seconds = now.as_millis().div_euclid(1000);
    let mut context = Context::new()
        .with("aws:userid", holder.user_id.as_str())
        .with("aws:RequestedRegion", region.as_str())
        .with("aws:EpochTime", seconds.to_string())
        .with("aws:CurrentTime", seconds.to_string())
        .with("aws:SecureTransport", origin.secure.to_string())
        .with("aws:ViaAWSService", "false")
        .with("aws:PrincipalIsAWSService", "false");
    if let Some(account) = &holder.principal.account {
        context.set("aws:PrincipalAccount", account.as_str());
    }
    let (kind, arn) = match &holder.principal.caller {
        Caller::User { arn } => {
            context.set("aws:username", names::last_segment(arn));
            ("User", arn.clone())
        }
        // A session is known by its role's ARN.
        Caller::RoleSession { role_arn, .. } => ("AssumedRole", role_arn.clone()),
        Caller::Federated { arn } => ("FederatedUser", arn.clone()),
        Caller::Root => ("Account", holder.principal.name()),
        Caller::Service { name } => {
            context.set("aws:PrincipalIsAWSService", "true");
            context.set("aws:PrincipalServiceName", name.as_str());
            ("Anonymous", name.clone())
        }
        Caller::WebIdentity { .. } | Caller::Anonymous => ("Anonymous", holder.principal.name()),
    };
    context.set("aws:PrincipalType", kind);
    context.set("aws:PrincipalArn", arn);
    if let Some(address) = origin.address {
        context.set("aws:SourceIp", address.to_string());
    }
    if let Some(user_agent) = &origin.user_agent {
        context.set("aws:UserAgent", user_agent.as_str());
    }
    if let Some(source_identity) = &holder.source_identity {
        context.set("aws:SourceIdentity", source_identity.as_str());
    }
    if let Some(provider) = &holder.federated_provider {
        context.set("aws:FederatedProvider", provider.as_str());
    }
    // Of temporary credentials alone; there are no devices that could make it true.
    if let Some(issued_at) = holder.issued_at {
        context.set("aws:MultiFactorAuthPresent", "false");
        context.set("aws:TokenIssueTime", issued_at.as_millis().div_euclid(1000).to_string());
    }
    for (name, value) in &holder.tags {
        context.set(&format!("aws:PrincipalTag/{name}"), value.as_str());
    }
    context
}

/// What holds of everything that a call asks for.
pub fn of_call(call: &Call, holder: &Holder) -> Context {
    of_holder(holder, &call.scope().region, call.now(), &call.origin)
}

/// The same, with the tags that the operation's input gives.
pub fn of(call: &Call, holder: &Holder, operation: &OperationTable, given: &Value) -> Context {
    let mut context = of_call(call, holder);
    let tags = input::tags(operation.input, given);
    context.set_all("aws:TagKeys", tags.iter().map(|(key, _)| key.clone()));
    for (key, value) in tags {
        // A key that is taken away has no value.
        if let Some(value) = value {
            context.set(&format!("aws:RequestTag/{key}"), value);
        }
    }
    context
}

/// The tags of what is asked about: under the global key, and under that of its service where there is one.
pub fn set_resource_tags(context: &mut Context, service: &str, tags: &Tags) {
    for (name, value) in tags {
        context.set(&format!("aws:ResourceTag/{name}"), value.as_str());
        context.set(&format!("{service}:ResourceTag/{name}"), value.as_str());
    }
}
