//! Where load balancers stand.

use crate::{
    gateway::{ApiError, Call},
    services::{
        ec2::{groups, networks, records::Subnet, routing::Routing},
        ecs::names::invalid,
    },
};

/// A VPC and subnets of it.
#[derive(Debug)]
pub struct Place {
    pub vpc_id: String,
    pub subnets: Vec<String>,
    /// How many of the subnets have a route to an internet gateway.
    pub public: usize,
}

/// The subnets that are meant: those given, or all of the default VPC.
///
/// # Errors
/// `InvalidParameterException` for subnets that are not there, or of several VPCs.
pub async fn place(call: &Call, given: Option<&[String]>) -> Result<Place, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let view = call.services.state.view();
    let mut subnets: Vec<String> = given.unwrap_or_default().to_vec();
    if subnets.is_empty() {
        let vpc_id = groups::default_vpc(&view, scope)?;
        subnets = view.by_index::<Subnet>(scope, "vpc", &vpc_id).map(|(id, _)| id.to_owned()).collect();
    }
    let mut vpcs = Vec::new();
    for id in &subnets {
        let subnet = view.get::<Subnet>(scope, id);
        let subnet = subnet.ok_or_else(|| invalid(format!("The subnet ID '{id}' does not exist")))?;
        vpcs.push(subnet.vpc_id.clone());
    }
    vpcs.dedup();
    let Ok([vpc_id]) = <[String; 1]>::try_from(vpcs) else {
        return Err(invalid("All subnets must be in the same VPC."));
    };
    let routing = Routing::of(&view, scope, &vpc_id);
    let public = subnets.iter().filter(|id| routing.leads_outside(id)).count();
    Ok(Place { vpc_id, subnets, public })
}
