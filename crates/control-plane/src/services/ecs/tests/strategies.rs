//! Capacity provider strategies: which are taken, and how they share tasks.

use super::*;

fn item(provider: &str, base: Option<i32>, weight: Option<i32>) -> ecs::CapacityProviderStrategyItem {
    ecs::CapacityProviderStrategyItem { capacity_provider: text(provider), base, weight }
}

/// A platform whose `default` cluster has both of AWS's providers.
async fn with_providers() -> Fixture {
    let fixture = fixture().await;
    put(&fixture, vec![]).await.unwrap();
    fixture.register(fargate("app")).await.unwrap();
    fixture
}

async fn put(
    fixture: &Fixture,
    strategy: Vec<ecs::CapacityProviderStrategyItem>,
) -> Result<ecs::Cluster, ApiError> {
    let input = ecs::PutClusterCapacityProvidersRequest {
        cluster: text("default"),
        capacity_providers: Some(vec!["FARGATE".to_owned(), "FARGATE_SPOT".to_owned()]),
        default_capacity_provider_strategy: Some(strategy),
    };
    Ok(clusters::put_capacity_providers(fixture.call(), input).await?.cluster.unwrap())
}

/// How many of `count` tasks go to FARGATE and to FARGATE_SPOT.
async fn shared(
    fixture: &Fixture,
    strategy: Vec<ecs::CapacityProviderStrategyItem>,
    count: i32,
) -> Result<(usize, usize), ApiError> {
    let tasks = fixture
        .run(ecs::RunTaskRequest {
            launch_type: None,
            capacity_provider_strategy: Some(strategy),
            count: Some(count),
            ..run_request(fixture, "app")
        })
        .await?;
    let of =
        |name: &str| tasks.iter().filter(|task| task.capacity_provider_name.as_deref() == Some(name)).count();
    assert_eq!(tasks.len(), count as usize);
    Ok((of("FARGATE"), of("FARGATE_SPOT")))
}

#[tokio::test]
async fn the_base_is_filled_first_and_weights_share_the_rest() {
    let fixture = with_providers().await;
    let mixed = || vec![item("FARGATE", Some(2), Some(1)), item("FARGATE_SPOT", None, Some(3))];
    for (count, expected) in [(1, (1, 0)), (2, (2, 0)), (6, (3, 3)), (10, (4, 6))] {
        assert_eq!(shared(&fixture, mixed(), count).await.unwrap(), expected, "{count}");
    }
    let alone = vec![item("FARGATE_SPOT", None, None)];
    assert_eq!(shared(&fixture, alone, 2).await.unwrap(), (0, 2));
}

#[tokio::test]
async fn the_clusters_strategy_holds_when_a_request_has_none() {
    let fixture = with_providers().await;
    put(&fixture, vec![item("FARGATE_SPOT", None, Some(1))]).await.unwrap();
    assert_eq!(shared(&fixture, vec![], 3).await.unwrap(), (0, 3));
    // A launch type goes before it.
    let task = fixture.run(run_request(&fixture, "app")).await.unwrap().remove(0);
    assert_eq!(task.capacity_provider_name, None);
}

#[tokio::test]
async fn strategies_have_rules() {
    let fixture = with_providers().await;
    for (strategy, fragment) in [
        (vec![item("mine", None, Some(1))], "not associated with the cluster"),
        (vec![item("FARGATE", None, Some(1)), item("FARGATE", None, Some(1))], "duplicate"),
        (vec![item("FARGATE", Some(1), Some(1)), item("FARGATE_SPOT", Some(1), Some(1))], "with a base only"),
        (vec![item("FARGATE", None, None), item("FARGATE_SPOT", None, Some(0))], "weight greater than 0"),
        (vec![item("FARGATE", None, Some(1001))], "between 0 and 1000"),
        (vec![item("FARGATE", Some(-1), Some(1))], "between 0 and 100000"),
        (vec![item("FARGATE", None, Some(1)); 21], "20 capacity providers at most"),
    ] {
        refused(shared(&fixture, strategy.clone(), 1).await, INVALID, fragment);
        refused(put(&fixture, strategy).await, INVALID, fragment);
    }
    let both = ecs::RunTaskRequest {
        capacity_provider_strategy: Some(vec![item("FARGATE", None, Some(1))]),
        ..run_request(&fixture, "app")
    };
    refused(fixture.run(both).await, INVALID, "either a launch type or a capacity provider strategy");
    assert_eq!(fixture.left_behind().0, 0);
}

#[tokio::test]
async fn providers_that_nobody_has_are_not_found() {
    let fixture = fixture().await;
    let input = ecs::CreateClusterRequest {
        cluster_name: text("shop"),
        capacity_providers: Some(vec!["mine".to_owned()]),
        ..Default::default()
    };
    refused(clusters::create(fixture.call(), input).await, INVALID, "'mine' was not found");
    let input = ecs::DescribeCapacityProvidersRequest {
        capacity_providers: Some(vec!["FARGATE".to_owned(), "mine".to_owned()]),
        ..Default::default()
    };
    let answer = super::super::providers::describe(fixture.call(), input).await.unwrap();
    assert_eq!(answer.capacity_providers.unwrap()[0].name.as_deref(), Some("FARGATE"));
    assert_eq!(answer.failures.unwrap()[0].reason.as_deref(), Some("MISSING"));
}

#[tokio::test]
async fn a_provider_in_use_stays_with_the_cluster() {
    let fixture = with_providers().await;
    let put = |names: &[&str]| {
        let input = ecs::PutClusterCapacityProvidersRequest {
            cluster: text("default"),
            capacity_providers: Some(names.iter().map(|name| (*name).to_owned()).collect()),
            default_capacity_provider_strategy: Some(vec![]),
        };
        clusters::put_capacity_providers(fixture.call(), input)
    };
    let in_use = "The specified capacity provider is in use and cannot be removed.";
    let run = ecs::RunTaskRequest {
        launch_type: None,
        capacity_provider_strategy: Some(vec![item("FARGATE_SPOT", None, None)]),
        ..run_request(&fixture, "app")
    };
    let task = fixture.run(run).await.unwrap().remove(0);
    refused(put(&["FARGATE"]).await, "ResourceInUseException", in_use);
    put(&["FARGATE_SPOT"]).await.unwrap();
    fixture.report(&report(task.task_arn.as_deref().unwrap(), 9, TaskStatus::Stopped)).await;
    put(&["FARGATE", "FARGATE_SPOT"]).await.unwrap();
    let input = ecs::CreateServiceRequest {
        launch_type: None,
        capacity_provider_strategy: Some(vec![item("FARGATE_SPOT", None, Some(1))]),
        ..super::service::service(&fixture, "web", 0)
    };
    fixture.create_service(input).await.unwrap();
    refused(put(&["FARGATE"]).await, "ResourceInUseException", in_use);
    fixture.delete_service("web", true).await.unwrap();
    fixture.look("web").await;
    put(&[]).await.unwrap();
}
