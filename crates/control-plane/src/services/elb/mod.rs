//! Elastic Load Balancing, the classic kind.
//!
//! A load balancer is one record with all that is its own. The data plane is told of it in the words of the newer kind: see [`configuration`].

pub mod access_logs;
mod attributes;
pub mod balancers;
mod checks;
pub mod configuration;
mod describe;
mod errors;
pub mod instances;
mod listeners;
mod policies;
mod policy_calls;
pub mod records;
mod tags;

#[cfg(test)]
mod tests;

use aws_shapes_elb as elb;

use super::paging::Page;
use crate::gateway::{ApiError, Call, Operations};

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(elb::SERVICE)
        .on::<elb::CreateLoadBalancer, _, _>(balancers::create)
        .on::<elb::DescribeLoadBalancers, _, _>(describe::load_balancers)
        .on::<elb::DeleteLoadBalancer, _, _>(balancers::delete)
        .on::<elb::AttachLoadBalancerToSubnets, _, _>(balancers::attach_to_subnets)
        .on::<elb::DetachLoadBalancerFromSubnets, _, _>(balancers::detach_from_subnets)
        .on::<elb::EnableAvailabilityZonesForLoadBalancer, _, _>(balancers::enable_zones)
        .on::<elb::DisableAvailabilityZonesForLoadBalancer, _, _>(balancers::disable_zones)
        .on::<elb::ApplySecurityGroupsToLoadBalancer, _, _>(balancers::apply_security_groups)
        .on::<elb::ConfigureHealthCheck, _, _>(checks::configure)
        .on::<elb::CreateLoadBalancerListeners, _, _>(listeners::create)
        .on::<elb::DeleteLoadBalancerListeners, _, _>(listeners::delete)
        .on::<elb::SetLoadBalancerListenerSSLCertificate, _, _>(listeners::set_certificate)
        .on::<elb::SetLoadBalancerPoliciesOfListener, _, _>(listeners::set_policies)
        .on::<elb::RegisterInstancesWithLoadBalancer, _, _>(instances::register_call)
        .on::<elb::DeregisterInstancesFromLoadBalancer, _, _>(instances::deregister_call)
        .on::<elb::DescribeInstanceHealth, _, _>(instances::describe_health)
        .on::<elb::CreateAppCookieStickinessPolicy, _, _>(policy_calls::create_app_cookie)
        .on::<elb::CreateLBCookieStickinessPolicy, _, _>(policy_calls::create_lb_cookie)
        .on::<elb::CreateLoadBalancerPolicy, _, _>(policy_calls::create)
        .on::<elb::DeleteLoadBalancerPolicy, _, _>(policy_calls::delete)
        .on::<elb::DescribeLoadBalancerPolicies, _, _>(policy_calls::describe)
        .on::<elb::DescribeLoadBalancerPolicyTypes, _, _>(policy_calls::describe_types)
        .on::<elb::SetLoadBalancerPoliciesForBackendServer, _, _>(policy_calls::set_for_backend)
        .on::<elb::DescribeLoadBalancerAttributes, _, _>(attributes::describe)
        .on::<elb::ModifyLoadBalancerAttributes, _, _>(attributes::modify)
        .on::<elb::AddTags, _, _>(tags::add)
        .on::<elb::RemoveTags, _, _>(tags::remove)
        .on::<elb::DescribeTags, _, _>(tags::describe)
        .on::<elb::DescribeAccountLimits, _, _>(describe::limits);
}

/// Declares the service's records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables.with::<records::LoadBalancer>()
}

/// Cuts a list to the page that a request asks for; 400 unless it says less.
///
/// # Errors
/// `ValidationError` for a marker of another list.
fn page<T>(
    call: &Call,
    list: &str,
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> String,
    marker: Option<String>,
    size: Option<i32>,
) -> Result<Page<T>, ApiError> {
    let size = usize::try_from(size.unwrap_or(400)).unwrap_or(1).clamp(1, 400);
    let list = format!("elb/{}/{list}", call.scope());
    let page = call.services.page_tokens.page(&list, items, key, marker.as_deref(), size);
    page.map_err(|_| errors::validation("The marker is not valid"))
}
