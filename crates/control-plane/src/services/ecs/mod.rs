//! Elastic Container Service.

mod agents;
mod attributes;
pub mod clusters;
pub mod daemons;
pub mod definitions;
pub mod express;
pub mod gateways;
pub mod ingress;
mod instances;
pub mod names;
pub mod placing;
pub mod providers;
pub mod records;
pub mod services;
mod settings;
mod tags;
pub mod tasks;
#[cfg(test)]
mod tests;

use aws_shapes_ecs as ecs;

use super::paging::Page;
use crate::gateway::{ApiError, Call, Operations};
use names::invalid;
use tasks::{describe, exec, protection, run, stop};

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(ecs::SERVICE)
        .on::<ecs::CreateCluster, _, _>(clusters::create)
        .on::<ecs::DeleteCluster, _, _>(clusters::delete)
        .on::<ecs::DescribeClusters, _, _>(clusters::describe)
        .on::<ecs::CreateCapacityProvider, _, _>(providers::create)
        .on::<ecs::DeleteCapacityProvider, _, _>(providers::delete)
        .on::<ecs::DescribeCapacityProviders, _, _>(providers::describe)
        .on::<ecs::UpdateCapacityProvider, _, _>(providers::update)
        .on::<ecs::ListClusters, _, _>(clusters::list)
        .on::<ecs::PutClusterCapacityProviders, _, _>(clusters::put_capacity_providers)
        .on::<ecs::UpdateCluster, _, _>(clusters::update)
        .on::<ecs::UpdateClusterSettings, _, _>(clusters::update_settings)
        .on::<ecs::DeleteTaskDefinitions, _, _>(definitions::delete)
        .on::<ecs::DeregisterTaskDefinition, _, _>(definitions::deregister)
        .on::<ecs::DescribeTaskDefinition, _, _>(definitions::describe)
        .on::<ecs::ListTaskDefinitionFamilies, _, _>(definitions::list_families)
        .on::<ecs::ListTaskDefinitions, _, _>(definitions::list)
        .on::<ecs::RegisterTaskDefinition, _, _>(definitions::register)
        .on::<ecs::DescribeTasks, _, _>(describe::describe)
        .on::<ecs::ListTasks, _, _>(describe::list)
        .on::<ecs::RunTask, _, _>(run::run)
        .on::<ecs::StartTask, _, _>(run::start)
        .on::<ecs::StopTask, _, _>(stop::stop)
        .on::<ecs::ExecuteCommand, _, _>(exec::execute)
        .on::<ecs::GetTaskProtection, _, _>(protection::get)
        .on::<ecs::UpdateTaskProtection, _, _>(protection::update)
        .on::<ecs::ListTagsForResource, _, _>(tags::list)
        .on::<ecs::TagResource, _, _>(tags::tag)
        .on::<ecs::UntagResource, _, _>(tags::untag)
        .on::<ecs::DeleteAccountSetting, _, _>(settings::delete_account_setting)
        .on::<ecs::ListAccountSettings, _, _>(settings::list_account_settings)
        .on::<ecs::PutAccountSetting, _, _>(settings::put_account_setting)
        .on::<ecs::PutAccountSettingDefault, _, _>(settings::put_account_setting_default)
        .on::<ecs::DeleteAttributes, _, _>(attributes::delete)
        .on::<ecs::ListAttributes, _, _>(attributes::list)
        .on::<ecs::PutAttributes, _, _>(attributes::put)
        .on::<ecs::DeregisterContainerInstance, _, _>(instances::deregister)
        .on::<ecs::DescribeContainerInstances, _, _>(instances::describe)
        .on::<ecs::ListContainerInstances, _, _>(instances::list)
        .on::<ecs::RegisterContainerInstance, _, _>(instances::register)
        .on::<ecs::UpdateContainerAgent, _, _>(instances::update_agent)
        .on::<ecs::UpdateContainerInstancesState, _, _>(instances::update_state);
    agents::register(operations);
    daemons::register(operations);
    express::register(operations);
    gateways::register(operations);
    services::register(operations);
}

/// The failure of a Describe call about something that is not there.
fn missing(arn: String) -> ecs::Failure {
    ecs::Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}

/// Cuts a list to the page that a request asks for; 100 unless it says less.
fn page<T>(
    call: &Call,
    list: &str,
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> String,
    token: Option<String>,
    size: Option<i32>,
) -> Result<Page<T>, ApiError> {
    let size = match size {
        None => 100,
        Some(size @ 1..=100) => size.unsigned_abs() as usize,
        Some(_) => return Err(invalid("maxResults must be between 1 and 100.")),
    };
    call.services
        .page_tokens
        .page(list, items, key, token.as_deref(), size)
        .map_err(|_| invalid("Invalid token."))
}

/// Declares the service's records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    daemons::tables(express::tables(gateways::tables(services::tables(tables))))
        .with::<records::Cluster>()
        .with::<records::Family>()
        .with::<records::TaskDefinition>()
        .with::<records::Task>()
        .with::<records::ClientToken>()
        .with::<tasks::roles::TaskRole>()
        .with::<records::AccountSetting>()
        .with::<records::Attribute>()
        .with::<records::ContainerInstance>()
        .with::<records::InstanceLoad>()
        .with::<providers::CapacityProvider>()
}
