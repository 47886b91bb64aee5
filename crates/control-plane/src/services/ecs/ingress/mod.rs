//! What ECS makes in somebody's account to let requests in: load balancers, listeners with certificates, target groups, rules, security
//! groups. Express gateway services and gateways are made of these parts.
//!
//! ECS makes them in the infrastructure role that it was given ([`Acting`]): the role has to trust ECS, and each step has to be allowed to it as it
//! would have to be on AWS. Everything carries the tag [`MANAGED`], which AWS's managed policies for such roles ask for.
//!
//! Each step makes one thing under a name that follows from what it is for, and takes what it finds under that name, so that whoever repeats it
//! after a crash goes on where it was. Not here: what is made for whom, and when it goes.

pub mod groups;
pub mod parts;
mod place;

use std::sync::Arc;

use aws_schema::{Operation, ServiceTable, Shape};
use aws_shapes_acm as acm;
use aws_shapes_ec2 as ec2;
use aws_shapes_ecs as ecs;
use aws_shapes_elbv2 as elbv2;
use policy::Context as Circumstances;

use state_store::View;
use vocabulary::Scope;

use super::{express, gateways, names::client};
use crate::{
    authorization::{Holder, Wish, authorize_with_resource_policy},
    gateway::{ApiError, Call, Principal},
    services::{Settings, cloudtrail::Recording, elbv2::records::LoadBalancer, tagging::Tags},
};

pub use place::{Place, place};

/// The tag of everything that ECS makes; its value is `true`.
pub const MANAGED: &str = "AmazonECSManaged";

/// Whether ECS made what has these tags.
pub fn is_managed(tags: &Tags) -> bool {
    tags.get(MANAGED).is_some_and(|value| value == "true")
}

/// Does the work to its end, also when who asked for it waits no longer: what is made has to be written down.
///
/// # Errors
/// Those of the work.
pub fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> impl Future<Output = Result<T, ApiError>> + Send {
    // What waits is small: the work itself is elsewhere.
    let running = tokio::spawn(work);
    async move { running.await.unwrap_or_else(|error| Err(ApiError::internal(error))) }
}

/// Who has to be trusted by the role.
const SERVICE: &str = "ecs.amazonaws.com";

/// The names of services, each with the load balancer that it leads to. For name servers and the front door.
pub fn endpoints(view: &View) -> impl Iterator<Item = (String, Scope, Arc<LoadBalancer>)> {
    express::endpoints(view).chain(gateways::endpoints(view))
}

/// Where a service of that name is reached: at the open front door, which passes it on to the load balancer; else at the load balancer itself.
pub fn url(settings: &Settings, host: &str) -> String {
    match settings.public_name.rsplit_once(':') {
        Some((_, port)) if !settings.secure => format!("https://{host}:{port}"),
        _ => format!("https://{host}"),
    }
}

/// ECS in an infrastructure role.
#[derive(Debug)]
pub struct Acting {
    pub call: Call,
    holder: Arc<Holder>,
    /// Of whatever is made.
    pub tags: Tags,
    /// The refusal that an earlier attempt ended with.
    known_refusal: Option<String>,
}

impl Acting {
    /// Takes the role on for the resource with this ARN. `tags`: of what is made, beside [`MANAGED`].
    ///
    /// # Errors
    /// `ClientException` when the role is not there or does not trust ECS.
    pub fn begin(call: &Call, role_arn: &str, source_arn: &str, tags: &Tags) -> Result<Acting, ApiError> {
        let view = call.services.state.view();
        let holder = call.services.holders.of_role(&view, role_arn, SERVICE, source_arn, call.now());
        let holder = holder.map_err(|_| {
            client(format!(
                "ECS was unable to assume the infrastructure role '{role_arn}'. Please verify that the role exists and that it trusts {SERVICE}."
            ))
        })?;
        let mut tags = tags.clone();
        tags.insert(MANAGED.to_owned(), "true".to_owned());
        Ok(Acting { call: call.clone(), holder, tags, known_refusal: None })
    }

    /// For what is tried again and again: an attempt that ends with this very refusal is not another event of the audit trail.
    pub fn after(self, refusal: Option<String>) -> Acting {
        Acting { known_refusal: refusal, ..self }
    }

    /// Whether the role may do it to what is there.
    ///
    /// # Errors
    /// `AccessDeniedException`.
    pub fn may(&self, action: &str, resource: &str) -> Result<(), ApiError> {
        self.ask(&self.circumstances(), action, resource, action)
    }

    /// Whether the role may make something with its tags. `within`: what it is made in, or its own ARN, ending in `*`; `made`: its own ARN.
    ///
    /// # Errors
    /// `AccessDeniedException`.
    pub fn may_make(&self, action: &str, within: &str, made: &str) -> Result<(), ApiError> {
        let mut context = self.circumstances();
        context.set_all("aws:TagKeys", self.tags.keys().cloned());
        for (key, value) in &self.tags {
            context.set(&format!("aws:RequestTag/{key}"), value.as_str());
            // What is being made has the tags that it is made with.
            if within.ends_with('*') {
                context.set(&format!("aws:ResourceTag/{key}"), value.as_str());
            }
        }
        self.ask(&context, action, within, action)?;
        let (service, operation) = action.split_once(':').unwrap_or_default();
        let tagging = match service {
            "acm" => return Ok(()),
            "ec2" => "ec2:CreateTags",
            _ => "elasticloadbalancing:AddTags",
        };
        context.set(&format!("{service}:CreateAction"), operation);
        self.ask(&context, tagging, made, action)
    }

    /// Carries out what the role is allowed to, and leaves it in the audit trail, where calls of ECS in somebody's role belong.
    ///
    /// # Errors
    /// Those of the operation, and `ServiceUnavailable` when it cannot be recorded.
    pub async fn act<O, F>(
        &self,
        service: &'static ServiceTable,
        handler: impl FnOnce(Call, O::Input) -> F,
        input: O::Input,
    ) -> Result<O::Output, ApiError>
    where
        O: Operation,
        O::Input: Clone,
        O::Output: Clone,
        F: Future<Output = Result<O::Output, ApiError>>,
    {
        let services = &self.call.services;
        let mut recording = Recording::of_service(&self.call, (service, O::TABLE), self.principal(), SERVICE);
        recording.asked(&input.clone().into_value());
        recording.take_place(services).await?;
        let done = handler(self.call.clone(), input).await;
        let shown = done.as_ref().map(|output| output.clone().into_value());
        recording.end_with(services, shown.as_ref().map(Some).map_err(|error| *error));
        done
    }

    /// The role's session, as the trail names it.
    fn principal(&self) -> Principal {
        let arn = match &self.holder.principal.caller {
            policy::Caller::RoleSession { arn, .. } => arn.clone(),
            _ => String::new(),
        };
        Principal {
            account: self.call.scope().account.clone(),
            arn,
            user_id: self.holder.user_id.clone(),
            access_key: String::new(),
        }
    }

    fn circumstances(&self) -> Circumstances {
        self.holder.context(&self.call.scope().region, self.call.now())
    }

    /// `call`: the action of the call that it is asked for, which is in the trail when it is refused.
    fn ask(&self, context: &Circumstances, action: &str, resource: &str, call: &str) -> Result<(), ApiError> {
        let wish = Wish::new(action, resource);
        let services = &self.call.services;
        let answer = authorize_with_resource_policy(services, &self.holder, context, ecs::SERVICE, &wish);
        if let Err(refused) = &answer
            && self.known_refusal.as_ref() != Some(&refused.message)
        {
            let (prefix, name) = call.split_once(':').unwrap_or_default();
            let table = [elbv2::SERVICE, ec2::SERVICE, acm::SERVICE]
                .into_iter()
                .find(|table| table.signing_name == prefix);
            let operation = table.and_then(|table| Some((table, table.operation(name)?)));
            if let Some(operation) = operation {
                let recording = Recording::of_service(&self.call, operation, self.principal(), SERVICE);
                recording.end_with(services, Err(refused));
            }
        }
        answer
    }
}
