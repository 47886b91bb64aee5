//! Express gateway services: an image, and everything else is made: cluster, definition, security groups, a load balancer that services with
//! the same subnets share, target group, rule, and an ECS service behind them.
//!
//! The express service is a record of what was asked and of what was made for it; running it is the ECS service's matter, which is a
//! service like any other. Each step of making is written down once it is done and is found again when it is repeated, so that asking for
//! the same service again goes on where a crash or an error has left it, and deleting removes what there is.
//!
//! Other than on AWS: endpoints lie under `REGION.ecs.localhost`, with a certificate of the platform's own authority; the number of
//! tasks is the smallest that is asked for, since nothing scales it. Settings that would say otherwise are refused.

mod create;
mod definition;
mod delete;
mod infrastructure;
mod records;
mod show;
mod update;

use std::sync::Arc;

use aws_shapes_ecs as ecs;
use state_store::View;
use vocabulary::Scope;

use super::{ingress::parts, names::invalid, services::names::service_not_found};
use crate::{
    gateway::{ApiError, Operations},
    services::elbv2::records::LoadBalancer,
};
pub use delete::sweep;
pub use records::{DOMAIN, Express};

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(ecs::SERVICE)
        .on::<ecs::CreateExpressGatewayService, _, _>(create::create)
        .on::<ecs::UpdateExpressGatewayService, _, _>(update::update)
        .on::<ecs::DeleteExpressGatewayService, _, _>(delete::delete)
        .on::<ecs::DescribeExpressGatewayService, _, _>(show::describe);
}

/// Declares the records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables.with::<Express>()
}

/// The names of endpoints, each with the load balancer that it leads to.
pub fn endpoints(view: &View) -> impl Iterator<Item = (String, Scope, Arc<LoadBalancer>)> {
    let all: Vec<_> = view.scan_all::<Express>().collect();
    all.into_iter().filter_map(move |found| {
        let balancer = parts::balancer_of(view, &found.scope, found.value.made.load_balancer.as_deref()?)?;
        Some((found.value.host(&found.scope), found.scope, balancer))
    })
}

/// The key `CLUSTER/NAME` in a service's ARN.
fn key_of(scope: &Scope, arn: Option<&str>) -> Result<String, ApiError> {
    let arn = arn.unwrap_or_default();
    let key = super::names::own_resource(scope, arn, "service")?;
    key.filter(|key| key.split('/').count() == 2)
        .ok_or_else(|| invalid(format!("Invalid identifier: {arn} is not the ARN of a service.")))
}

fn find(view: &View, scope: &Scope, key: &str) -> Result<std::sync::Arc<Express>, ApiError> {
    view.get::<Express>(scope, key).ok_or_else(service_not_found)
}
