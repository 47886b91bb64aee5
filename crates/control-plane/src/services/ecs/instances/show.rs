//! Container instances as the API shows them, counts, custom attributes and what is left included.

use aws_shapes_ecs as ecs;
use placement::Usage;
use state_store::View;
use vocabulary::Scope;

use crate::{
    convert::time,
    services::{
        Services,
        ecs::{
            placing,
            providers::INSTANCE_ATTRIBUTE,
            records::{Attribute, ContainerInstance, InstanceStatus},
            tags,
        },
    },
};

/// Which of its parts are shown beside the usual ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown {
    pub tags: bool,
    pub health: bool,
}

/// Shows registered instances of a cluster, in the order given.
pub fn show(
    services: &Services,
    scope: &Scope,
    records: &[impl std::ops::Deref<Target = ContainerInstance>],
    shown: Shown,
) -> Vec<ecs::ContainerInstance> {
    let Some(first) = records.first() else { return Vec::new() };
    let ids: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
    let usage = placing::usage(services, scope, &first.cluster, &ids);
    let view = services.state.view();
    records.iter().map(|record| shape(&view, scope, record, usage.get(&record.id), shown)).collect()
}

fn shape(
    view: &View,
    scope: &Scope,
    record: &ContainerInstance,
    usage: Option<&Usage>,
    shown: Shown,
) -> ecs::ContainerInstance {
    let mut attributes = record.description.0.attributes.clone().unwrap_or_default();
    for (_, custom) in view.scan_prefix::<Attribute>(scope, &format!("{}/{}/", record.cluster, record.id)) {
        attributes.retain(|attribute| attribute.name.as_ref() != Some(&custom.name));
        attributes.push(ecs::Attribute {
            name: Some(custom.name.clone()),
            value: custom.value.clone(),
            ..ecs::Attribute::default()
        });
    }
    let registered = record.description.0.registered_resources.as_deref().unwrap_or_default();
    let count = |of: fn(&Usage) -> u32| usage.map(of).and_then(|count| i32::try_from(count).ok()).or(Some(0));
    ecs::ContainerInstance {
        container_instance_arn: Some(
            scope.arn("ecs", format_args!("container-instance/{}/{}", record.cluster, record.id)).to_string(),
        ),
        ec2_instance_id: record.ec2_instance_id.clone(),
        capacity_provider_name: attributes
            .iter()
            .find(|attribute| attribute.name.as_deref() == Some(INSTANCE_ATTRIBUTE))
            .and_then(|attribute| attribute.value.clone()),
        status: Some(
            match record.status {
                InstanceStatus::Active => "ACTIVE",
                InstanceStatus::Draining => "DRAINING",
            }
            .to_owned(),
        ),
        version: Some(record.version),
        agent_connected: Some(record.agent_connected),
        running_tasks_count: count(|usage| usage.running),
        pending_tasks_count: count(|usage| usage.pending),
        remaining_resources: Some(match usage {
            Some(usage) => placing::remaining(registered, usage),
            None => registered.to_vec(),
        }),
        attributes: Some(attributes),
        attachments: Some(Vec::new()),
        registered_at: Some(time(record.registered_at)),
        tags: Some(if shown.tags { tags::shape(&record.tags) } else { Vec::new() }),
        health_status: shown.health.then(|| ecs::ContainerInstanceHealthStatus {
            // Nobody checks the container runtime of an instance: it is part of the agent.
            overall_status: ecs::InstanceHealthCheckState::parse("INSUFFICIENT_DATA"),
            details: Some(Vec::new()),
        }),
        ..record.description.0.clone()
    }
}
