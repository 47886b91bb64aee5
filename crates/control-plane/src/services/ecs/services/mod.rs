//! Services: what clients ask of them. What becomes of it is [`crate::reconcilers`]' work.

pub mod alarms;
pub mod asked;
pub mod balancers;
pub mod check;
pub mod controller;
pub mod core;
pub mod create;
pub mod delete;
pub mod deploy;
pub mod deployments;
pub mod describe;
pub mod events;
pub mod names;
pub mod records;
pub mod registrars;
pub mod show;
pub mod task_sets;
pub mod traffic;
pub mod update;
pub mod weights;

use aws_shapes_ecs as ecs;

use crate::gateway::Operations;
pub use show::launch_type_name as launch_type;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(ecs::SERVICE)
        .on::<ecs::CreateService, _, _>(create::create)
        .on::<ecs::UpdateService, _, _>(update::update)
        .on::<ecs::DeleteService, _, _>(delete::delete)
        .on::<ecs::DescribeServices, _, _>(describe::describe)
        .on::<ecs::ListServices, _, _>(describe::list)
        .on::<ecs::ListServicesByNamespace, _, _>(describe::list_by_namespace)
        .on::<ecs::DescribeServiceRevisions, _, _>(deployments::describe_revisions)
        .on::<ecs::DescribeServiceDeployments, _, _>(deployments::describe)
        .on::<ecs::ListServiceDeployments, _, _>(deployments::list)
        .on::<ecs::StopServiceDeployment, _, _>(deployments::stop)
        .on::<ecs::ContinueServiceDeployment, _, _>(deployments::carry_on)
        .on::<ecs::CreateTaskSet, _, _>(task_sets::create)
        .on::<ecs::UpdateTaskSet, _, _>(task_sets::update)
        .on::<ecs::DeleteTaskSet, _, _>(task_sets::delete)
        .on::<ecs::DescribeTaskSets, _, _>(task_sets::describe)
        .on::<ecs::UpdateServicePrimaryTaskSet, _, _>(task_sets::make_primary);
}

/// Declares the records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables
        .with::<records::Service>()
        .with::<records::Revision>()
        .with::<records::ServiceDeployment>()
        .with::<records::TaskSet>()
        .with::<records::ServiceEvents>()
}
