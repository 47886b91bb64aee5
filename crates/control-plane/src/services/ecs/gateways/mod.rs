//! Gateways: load balancers that services share, each service under a host name of its own.
//!
//! A gateway says how requests come in; it is associated with clusters, and services there that have a gateway connector get a *route* on each
//! gateway that fits: its VPC is theirs, its access type is one of those that the connector takes, and it is in all their zones. A route is a target
//! group (two, when the service's deployments shift traffic), a rule by host, a rule for test traffic, and an entry in a security group of the
//! service's tasks. The load balancers come with the first route, another one whenever [`MOST_ROUTES`] are on the last, and go with the last.
//!
//! Routes are made before CreateService or UpdateService commits ([`connect`]), and what failed is that request's answer: on AWS it is found in the
//! route's status later. The service's revision knows its routes ([`Connection`]), which is all that deployments need. A route that no
//! revision in use knows any more is removed ([`changes`]), in the gateway's infrastructure role like everything else here.
//!
//! Other than on AWS: certificates come from the platform's own authority, one for all names of a load balancer; names end in
//! `.ecs.localhost`; addresses are IPv4; there are no web ACLs. Deleted gateways and associations are gone rather than DELETED and INACTIVE.

mod associations;
mod calls;
mod changes;
mod choose;
pub mod connect;
pub mod records;
mod routes;

use std::sync::Arc;

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::errors;
use state_store::{Tx, View};
use vocabulary::Scope;

use super::{
    ingress::parts,
    names::{invalid, own_resource},
};
use crate::{
    gateway::{ApiError, Call, Operations},
    services::elbv2::records::LoadBalancer,
};
pub use changes::sweep;
pub use records::Connection;
use records::{Association, Gateway, Route};

/// Routes of a load balancer.
const MOST_ROUTES: usize = 25;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(ecs::SERVICE)
        .on::<ecs::CreateGateway, _, _>(calls::create)
        .on::<ecs::UpdateGateway, _, _>(calls::update)
        .on::<ecs::DeleteGateway, _, _>(calls::delete)
        .on::<ecs::DescribeGateway, _, _>(calls::describe)
        .on::<ecs::ListGateways, _, _>(calls::list)
        .on::<ecs::AssociateGatewayWithCluster, _, _>(associations::associate)
        .on::<ecs::DisassociateGatewayFromCluster, _, _>(associations::disassociate)
        .on::<ecs::ListGatewayClusterAssociations, _, _>(associations::list)
        .on::<ecs::DescribeGatewayRoute, _, _>(routes::describe)
        .on::<ecs::ListGatewayRoutes, _, _>(routes::list)
        .on::<ecs::DescribeGatewayResources, _, _>(routes::resources);
}

/// Declares the records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables.with::<Gateway>().with::<Association>().with::<Route>()
}

/// What gateways have and this platform has not.
fn unsupported(what: &str) -> ApiError {
    ApiError::new(&errors::UNSUPPORTED_FEATURE_EXCEPTION, format!("Longshore does not support {what}."))
}

fn not_found() -> ApiError {
    ApiError::new(&errors::GATEWAY_NOT_FOUND_EXCEPTION, "The specified gateway was not found.")
}

/// A gateway's name, given as name or ARN.
fn name_of(scope: &Scope, given: Option<&str>) -> Result<String, ApiError> {
    let given = given.unwrap_or_default();
    if given.is_empty() {
        return Err(invalid("gateway must be specified."));
    }
    Ok(own_resource(scope, given, "gateway")?.unwrap_or_else(|| given.to_owned()))
}

fn find(view: &View, scope: &Scope, name: &str) -> Result<Arc<Gateway>, ApiError> {
    view.get::<Gateway>(scope, name).filter(|found| !found.deleted).ok_or_else(not_found)
}

fn find_in(tx: &mut Tx, scope: &Scope, name: &str) -> Result<Arc<Gateway>, ApiError> {
    tx.get::<Gateway>(scope, name).filter(|found| !found.deleted).ok_or_else(not_found)
}

/// Passes on what came of a service's request. When it failed, the routes that were made for it go again.
///
/// # Errors
/// That of the request.
pub async fn settled<T>(
    call: &Call,
    cluster: &str,
    service: &str,
    connecting: bool,
    outcome: Result<T, ApiError>,
) -> Result<T, ApiError> {
    if connecting
        && outcome.is_err()
        && let Err(error) = changes::release(call, cluster, service).await
    {
        tracing::warn!(cluster, service, %error, "routes that nobody needs are removed later");
    }
    outcome
}

/// The names of routes, each with the load balancer that it leads to. For name servers and the front door.
pub fn endpoints(view: &View) -> impl Iterator<Item = (String, Scope, Arc<LoadBalancer>)> {
    let routes: Vec<_> = view.scan_all::<Route>().collect();
    routes.into_iter().filter_map(move |found| {
        let gateway = view.get::<Gateway>(&found.scope, &found.value.gateway)?;
        let on = gateway.balancers.iter().find(|balancer| balancer.suffix == found.value.balancer)?;
        let balancer = parts::balancer_of(view, &found.scope, on.load_balancer.as_deref()?)?;
        Some((found.value.host(&found.scope), found.scope, balancer))
    })
}
