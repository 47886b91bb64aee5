//! Elastic Load Balancing v2: application and network load balancers.
//!
//! What is kept here is what users ask for; connections are taken by the nodes' data plane, which is told by [`configuration`]
//! and says back what [`targets`] takes in. What no data plane does is refused: gateway load balancers, IPv6, authentication, reserved capacity.

pub mod access_logs;
mod actions;
pub mod arns;
pub mod attribute_calls;
mod attributes;
pub mod balancers;
mod capacity;
mod certificates;
mod checks;
mod conditions;
pub mod configuration;
mod errors;
mod forwarding;
pub mod groups;
pub mod health;
pub mod instances;
mod limits;
pub mod listeners;
mod mutual_tls;
pub mod names;
pub mod nodes;
pub mod policies;
pub mod records;
mod reports;
pub mod rules;
mod tags;
mod target_calls;
pub mod targets;
pub mod trust_stores;
pub mod upkeep;

#[cfg(test)]
mod tests;

use aws_shapes_elbv2 as elbv2;

use super::paging::Page;
use crate::gateway::{ApiError, Call, Operations};

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(elbv2::SERVICE)
        .on::<elbv2::CreateLoadBalancer, _, _>(balancers::create)
        .on::<elbv2::DescribeLoadBalancers, _, _>(balancers::describe)
        .on::<elbv2::DeleteLoadBalancer, _, _>(balancers::delete)
        .on::<elbv2::SetSubnets, _, _>(balancers::set_subnets)
        .on::<elbv2::SetSecurityGroups, _, _>(balancers::set_security_groups)
        .on::<elbv2::SetIpAddressType, _, _>(balancers::set_ip_address_type)
        .on::<elbv2::DescribeLoadBalancerAttributes, _, _>(attribute_calls::describe_load_balancer)
        .on::<elbv2::ModifyLoadBalancerAttributes, _, _>(attribute_calls::modify_load_balancer)
        .on::<elbv2::CreateListener, _, _>(listeners::create)
        .on::<elbv2::DescribeListeners, _, _>(listeners::describe)
        .on::<elbv2::ModifyListener, _, _>(listeners::modify)
        .on::<elbv2::DeleteListener, _, _>(listeners::delete)
        .on::<elbv2::DescribeListenerAttributes, _, _>(attribute_calls::describe_listener)
        .on::<elbv2::ModifyListenerAttributes, _, _>(attribute_calls::modify_listener)
        .on::<elbv2::AddListenerCertificates, _, _>(certificates::add)
        .on::<elbv2::RemoveListenerCertificates, _, _>(certificates::remove)
        .on::<elbv2::DescribeListenerCertificates, _, _>(certificates::describe)
        .on::<elbv2::CreateRule, _, _>(rules::create)
        .on::<elbv2::DescribeRules, _, _>(rules::describe)
        .on::<elbv2::ModifyRule, _, _>(rules::modify)
        .on::<elbv2::DeleteRule, _, _>(rules::delete)
        .on::<elbv2::SetRulePriorities, _, _>(rules::set_priorities)
        .on::<elbv2::CreateTargetGroup, _, _>(groups::create)
        .on::<elbv2::DescribeTargetGroups, _, _>(groups::describe)
        .on::<elbv2::ModifyTargetGroup, _, _>(groups::modify)
        .on::<elbv2::DeleteTargetGroup, _, _>(groups::delete)
        .on::<elbv2::DescribeTargetGroupAttributes, _, _>(attribute_calls::describe_target_group)
        .on::<elbv2::ModifyTargetGroupAttributes, _, _>(attribute_calls::modify_target_group)
        .on::<elbv2::RegisterTargets, _, _>(target_calls::register)
        .on::<elbv2::DeregisterTargets, _, _>(target_calls::deregister)
        .on::<elbv2::DescribeTargetHealth, _, _>(target_calls::health)
        .on::<elbv2::AddTags, _, _>(tags::add)
        .on::<elbv2::RemoveTags, _, _>(tags::remove)
        .on::<elbv2::DescribeTags, _, _>(tags::describe)
        .on::<elbv2::DescribeAccountLimits, _, _>(limits::describe)
        .on::<elbv2::DescribeSSLPolicies, _, _>(policies::describe)
        .on::<elbv2::CreateTrustStore, _, _>(trust_stores::create)
        .on::<elbv2::DescribeTrustStores, _, _>(trust_stores::describe)
        .on::<elbv2::ModifyTrustStore, _, _>(trust_stores::modify)
        .on::<elbv2::DeleteTrustStore, _, _>(trust_stores::delete)
        .on::<elbv2::DescribeTrustStoreAssociations, _, _>(trust_stores::associations)
        .on::<elbv2::DeleteSharedTrustStoreAssociation, _, _>(trust_stores::delete_shared_association)
        .on::<elbv2::GetResourcePolicy, _, _>(trust_stores::resource_policy)
        .on::<elbv2::AddTrustStoreRevocations, _, _>(trust_stores::add_revocations)
        .on::<elbv2::DescribeTrustStoreRevocations, _, _>(trust_stores::describe_revocations)
        .on::<elbv2::RemoveTrustStoreRevocations, _, _>(trust_stores::remove_revocations)
        .on::<elbv2::GetTrustStoreCaCertificatesBundle, _, _>(trust_stores::bundle)
        .on::<elbv2::GetTrustStoreRevocationContent, _, _>(trust_stores::revocation_content)
        .on::<elbv2::DescribeCapacityReservation, _, _>(capacity::describe)
        .on::<elbv2::ModifyCapacityReservation, _, _>(capacity::modify)
        .on::<elbv2::ModifyIpPools, _, _>(capacity::modify_ip_pools);
}

/// Declares the service's records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables
        .with::<records::LoadBalancer>()
        .with::<records::Listener>()
        .with::<records::TargetGroup>()
        .with::<records::Target>()
        .with::<trust_stores::records::TrustStore>()
        .with::<trust_stores::records::Revocation>()
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
    let list = format!("elbv2/{}/{list}", call.scope());
    let page = call.services.page_tokens.page(&list, items, key, marker.as_deref(), size);
    page.map_err(|_| errors::validation("The marker is not valid"))
}
