//! Capacity providers of one's own: made, used by strategies, and not deleted while a cluster has them.

use super::{
    placing::{attribute, machine, on_ec2, sized},
    *,
};
use crate::services::ecs::providers::{self, INSTANCE_ATTRIBUTE};

pub fn group(name: &str) -> String {
    scope().arn("autoscaling", format_args!("autoScalingGroup:1:autoScalingGroupName/{name}")).to_string()
}

fn wanted(name: &str) -> ecs::CreateCapacityProviderRequest {
    ecs::CreateCapacityProviderRequest {
        name: text(name),
        auto_scaling_group_provider: Some(ecs::AutoScalingGroupProvider {
            auto_scaling_group_arn: Some(group(name)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn item(provider: &str, weight: i32) -> ecs::CapacityProviderStrategyItem {
    ecs::CapacityProviderStrategyItem { capacity_provider: text(provider), base: None, weight: Some(weight) }
}

impl Fixture {
    pub async fn provider(&self, name: &str) -> ecs::CapacityProvider {
        providers::create(self.call(), wanted(name)).await.unwrap().capacity_provider.unwrap()
    }

    pub async fn associate(&self, names: &[&str]) -> Result<ecs::Cluster, ApiError> {
        let input = ecs::PutClusterCapacityProvidersRequest {
            cluster: text("default"),
            capacity_providers: Some(names.iter().map(|name| (*name).to_owned()).collect()),
            default_capacity_provider_strategy: Some(vec![]),
        };
        Ok(clusters::put_capacity_providers(self.call(), input).await?.cluster.unwrap())
    }

    /// A machine that belongs to the provider; the instance's id.
    pub async fn machine_of(&self, provider: &str) -> String {
        let mut request = machine("us-east-1a");
        request.attributes.as_mut().unwrap().push(attribute(INSTANCE_ATTRIBUTE, Some(provider)));
        self.machine(request).await
    }
}

#[tokio::test]
async fn tasks_of_a_strategy_run_on_the_instances_of_its_providers() {
    let fixture = fixture().await;
    for name in ["small", "large"] {
        let made = fixture.provider(name).await;
        assert_eq!(made.r#type, Some(ecs::CapacityProviderType::Ec2Autoscaling));
    }
    fixture.associate(&["small", "large"]).await.unwrap();
    let _none = fixture.machine(machine("us-east-1a")).await;
    let (small, large) = (fixture.machine_of("small").await, fixture.machine_of("large").await);
    fixture.register(on_ec2("app", sized(64, 64))).await.unwrap();
    let input = ecs::RunTaskRequest {
        task_definition: text("app"),
        capacity_provider_strategy: Some(vec![item("small", 1), item("large", 3)]),
        count: Some(4),
        ..Default::default()
    };
    let (tasks, failures) = fixture.place(input).await;
    assert_eq!((tasks.len(), failures), (4, vec![]));
    for task in &tasks {
        let on = last(&task.container_instance_arn);
        let of = task.capacity_provider_name.as_deref().unwrap();
        assert_eq!(on, if of == "small" { small.clone() } else { large.clone() });
        assert_eq!(task.launch_type, Some(ecs::LaunchType::Ec2));
    }
    assert_eq!(
        tasks.iter().filter(|task| task.capacity_provider_name.as_deref() == Some("large")).count(),
        3
    );
    let shown = instance::describe(&fixture, &small).await;
    assert_eq!(shown.capacity_provider_name.as_deref(), Some("small"));
}

#[tokio::test]
async fn a_provider_without_instances_has_no_room() {
    let fixture = fixture().await;
    fixture.provider("empty").await;
    fixture.associate(&["empty"]).await.unwrap();
    let other = fixture.machine(machine("us-east-1a")).await;
    fixture.register(on_ec2("app", sized(64, 64))).await.unwrap();
    let input = ecs::RunTaskRequest {
        task_definition: text("app"),
        capacity_provider_strategy: Some(vec![item("empty", 1)]),
        ..Default::default()
    };
    let (tasks, failures) = fixture.place(input).await;
    assert_eq!((tasks.len(), failures.len(), &failures[0].0), (0, 1, &other));
}

#[tokio::test]
async fn providers_are_described_updated_tagged_and_deleted_when_no_cluster_has_them() {
    let fixture = fixture().await;
    let made = fixture.provider("mine").await;
    refused(providers::create(fixture.call(), wanted("mine")).await, INVALID, "already exists");
    let same_group = ecs::CreateCapacityProviderRequest { name: text("twin"), ..wanted("mine") };
    refused(providers::create(fixture.call(), same_group).await, INVALID, "already being used");
    let step = ecs::ManagedScaling { target_capacity: Some(80), ..Default::default() };
    let input = ecs::UpdateCapacityProviderRequest {
        name: text("mine"),
        auto_scaling_group_provider: Some(ecs::AutoScalingGroupProviderUpdate {
            managed_scaling: Some(step),
            ..Default::default()
        }),
        ..Default::default()
    };
    let updated = providers::update(fixture.call(), input).await.unwrap().capacity_provider.unwrap();
    let scaling = updated.auto_scaling_group_provider.unwrap().managed_scaling.unwrap();
    assert_eq!(
        (scaling.target_capacity, scaling.status),
        (Some(80), Some(ecs::ManagedScalingStatus::Disabled))
    );
    let input = ecs::DescribeCapacityProvidersRequest {
        capacity_providers: Some(vec![made.capacity_provider_arn.unwrap(), "gone".to_owned()]),
        ..Default::default()
    };
    let shown = providers::describe(fixture.call(), input).await.unwrap();
    assert_eq!(
        shown.capacity_providers.unwrap()[0].update_status,
        Some(ecs::CapacityProviderUpdateStatus::UpdateComplete)
    );
    assert_eq!(shown.failures.unwrap()[0].reason.as_deref(), Some("MISSING"));
    fixture.associate(&["mine"]).await.unwrap();
    let delete = || ecs::DeleteCapacityProviderRequest { capacity_provider: text("mine"), cluster: None };
    refused(providers::delete(fixture.call(), delete()).await, INVALID, "associated with cluster: default");
    fixture.associate(&[]).await.unwrap();
    let gone = providers::delete(fixture.call(), delete()).await.unwrap().capacity_provider.unwrap();
    assert_eq!(gone.status, Some(ecs::CapacityProviderStatus::Inactive));
    refused(providers::delete(fixture.call(), delete()).await, INVALID, "was not found");
    refused(fixture.associate(&["mine"]).await, INVALID, "'mine' was not found");
}

#[tokio::test]
async fn what_would_need_auto_scaling_groups_is_refused_by_name() {
    let fixture = fixture().await;
    let with = |change: &dyn Fn(&mut ecs::AutoScalingGroupProvider)| {
        let mut input = wanted("mine");
        change(input.auto_scaling_group_provider.as_mut().unwrap());
        input
    };
    let scaling = with(&|group| {
        let on =
            ecs::ManagedScaling { status: Some(ecs::ManagedScalingStatus::Enabled), ..Default::default() };
        group.managed_scaling = Some(on);
    });
    refused(providers::create(fixture.call(), scaling).await, "NotImplemented", "managed scaling");
    let draining = with(&|group| group.managed_draining = Some(ecs::ManagedDraining::Enabled));
    refused(providers::create(fixture.call(), draining).await, "NotImplemented", "managed draining");
    let managed = ecs::CreateCapacityProviderRequest { cluster: text("default"), ..wanted("mine") };
    refused(providers::create(fixture.call(), managed).await, "NotImplemented", "managed instances");
    for name in ["fargate-like", "aws", "ecs1", "a b"] {
        refused(providers::create(fixture.call(), wanted(name)).await, INVALID, "name is invalid");
    }
    fixture.provider("mine").await;
    fixture.associate(&["mine", "FARGATE"]).await.unwrap();
    let input = ecs::RunTaskRequest {
        capacity_provider_strategy: Some(vec![item("mine", 1), item("FARGATE", 1)]),
        launch_type: None,
        ..run_request(&fixture, "app")
    };
    fixture.register(fargate("app")).await.unwrap();
    refused(fixture.run(input).await, INVALID, "cannot contain a mix");
    let mut request = machine("us-east-1a");
    request.attributes.as_mut().unwrap().push(attribute(INSTANCE_ATTRIBUTE, Some("other")));
    refused(instances::register(fixture.call(), request).await, INVALID, "not associated with the cluster");
}
