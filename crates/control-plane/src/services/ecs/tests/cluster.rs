//! Clusters: their life, their counts, what is shown when, and the one called `default`.

use super::*;
use ecs::ClusterField;

async fn describe(
    fixture: &Fixture,
    names: &[&str],
    include: &[ClusterField],
) -> ecs::DescribeClustersResponse {
    let input = ecs::DescribeClustersRequest {
        clusters: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        include: Some(include.to_vec()),
    };
    clusters::describe(fixture.call(), input).await.unwrap()
}

async fn one(fixture: &Fixture, name: &str, include: &[ClusterField]) -> ecs::Cluster {
    describe(fixture, &[name], include).await.clusters.unwrap().remove(0)
}

async fn delete(fixture: &Fixture, name: &str) -> Result<ecs::Cluster, ApiError> {
    let input = ecs::DeleteClusterRequest { cluster: text(name) };
    Ok(clusters::delete(fixture.call(), input).await?.cluster.unwrap())
}

#[tokio::test]
async fn creating_what_is_there_answers_what_is_there() {
    let fixture = fixture().await;
    let create = |tags: Vec<ecs::Tag>| ecs::CreateClusterRequest {
        cluster_name: text("shop"),
        tags: Some(tags),
        ..Default::default()
    };
    let first = clusters::create(fixture.call(), create(vec![tag("a", "1")])).await.unwrap();
    let again = clusters::create(fixture.call(), create(vec![tag("a", "2")])).await.unwrap();
    assert_eq!(first, again);
    let first = first.cluster.unwrap();
    assert_eq!(first.cluster_arn.unwrap(), scope().arn("ecs", "cluster/shop").to_string());
    assert_eq!(first.status.as_deref(), Some("ACTIVE"));
    assert_eq!(first.tags, Some(vec![tag("a", "1")]));
    let nameless = clusters::create(fixture.call(), ecs::CreateClusterRequest::default()).await.unwrap();
    assert_eq!(nameless.cluster.unwrap().cluster_name.as_deref(), Some("default"));
    for bad in ["", "a b", "a/b", &"c".repeat(256)] {
        let input = ecs::CreateClusterRequest { cluster_name: text(bad), ..Default::default() };
        refused(clusters::create(fixture.call(), input).await, INVALID, "invalid characters");
    }
}

#[tokio::test]
async fn a_deleted_cluster_is_inactive_until_it_is_made_anew() {
    let fixture = fixture().await;
    fixture.cluster("shop").await;
    assert_eq!(delete(&fixture, "shop").await.unwrap().status.as_deref(), Some("INACTIVE"));
    assert_eq!(one(&fixture, "shop", &[]).await.status.as_deref(), Some("INACTIVE"));
    let listed = clusters::list(fixture.call(), ecs::ListClustersRequest::default()).await.unwrap();
    assert_eq!(listed.cluster_arns, Some(vec![scope().arn("ecs", "cluster/default").to_string()]));
    refused(delete(&fixture, "shop").await, "ClusterNotFoundException", "Cluster not found.");
    fixture.register(fargate("app")).await.unwrap();
    let there = ecs::RunTaskRequest { cluster: text("shop"), ..run_request(&fixture, "app") };
    refused(fixture.run(there.clone()).await, "ClusterNotFoundException", "Cluster not found.");
    fixture.cluster("shop").await;
    assert_eq!(one(&fixture, "shop", &[]).await.status.as_deref(), Some("ACTIVE"));
    fixture.run(there).await.unwrap();
}

#[tokio::test]
async fn a_cluster_that_is_not_named_is_default_and_may_be_missing() {
    let fixture = Fixture::new().await;
    networks::ensure_default(&fixture.services, &scope()).await.unwrap();
    fixture.register(fargate("app")).await.unwrap();
    let missing = "ClusterNotFoundException";
    refused(fixture.run(run_request(&fixture, "app")).await, missing, "Cluster not found.");
    refused(tasks::describe::list(fixture.call(), Default::default()).await, missing, "Cluster not found.");
    refused(
        tasks::describe::describe(fixture.call(), Default::default()).await,
        missing,
        "Cluster not found.",
    );
    refused(fixture.stop("nobody", None).await, missing, "Cluster not found.");
    let nothing = ecs::DescribeContainerInstancesRequest::default();
    refused(instances::describe(fixture.call(), nothing).await, missing, "Cluster not found.");
    let answer = clusters::describe(fixture.call(), ecs::DescribeClustersRequest::default()).await.unwrap();
    assert_eq!(answer.failures.unwrap()[0].reason.as_deref(), Some("MISSING"));
    fixture.cluster("default").await;
    let task = fixture.run(run_request(&fixture, "app")).await.unwrap().remove(0);
    assert_eq!(task.cluster_arn, Some(scope().arn("ecs", "cluster/default").to_string()));
}

#[tokio::test]
async fn what_is_unknown_is_a_failure_and_what_is_foreign_an_error() {
    let fixture = fixture().await;
    let arn = scope().arn("ecs", "cluster/default").to_string();
    let answer = describe(&fixture, &["nobody", &arn], &[]).await;
    assert_eq!(answer.clusters.unwrap().len(), 1);
    assert_eq!(
        answer.failures,
        Some(vec![ecs::Failure {
            arn: Some(scope().arn("ecs", "cluster/nobody").to_string()),
            reason: text("MISSING"),
            detail: None,
        }])
    );
    for (foreign, fragment) in [
        (arn.replace("us-east-1", "eu-west-1"), "Your region is us-east-1"),
        (arn.replace(scope().account.as_str(), "999999999999"), "Your accountId is"),
        (arn.replace(":cluster/", ":task/"), "Expected a resource of type cluster"),
    ] {
        let input = ecs::DescribeClustersRequest { clusters: Some(vec![foreign]), include: None };
        refused(clusters::describe(fixture.call(), input).await, INVALID, fragment);
    }
    let many = vec!["default".to_owned(); 101];
    let input = ecs::DescribeClustersRequest { clusters: Some(many), include: None };
    refused(clusters::describe(fixture.call(), input).await, INVALID, "100 clusters");
}

#[tokio::test]
async fn a_cluster_with_tasks_or_instances_stays() {
    let fixture = fixture().await;
    let arn = fixture.task().await.task_arn.unwrap();
    let refusal = "ClusterContainsTasksException";
    refused(delete(&fixture, "default").await, refusal, "cannot be deleted while Tasks are active.");
    fixture.report(&report(&arn, 1, TaskStatus::Stopped)).await;
    let instance = super::instance::register(&fixture).await.container_instance_arn;
    let refusal = "ClusterContainsContainerInstancesException";
    refused(delete(&fixture, "default").await, refusal, "active or draining.");
    super::instance::deregister(&fixture, &instance.unwrap(), false).await.unwrap();
    delete(&fixture, "default").await.unwrap();
}

#[tokio::test]
async fn tasks_are_counted_by_where_they_are() {
    let fixture = fixture().await;
    let first = fixture.task().await.task_arn.unwrap();
    let second = fixture.run(run_request(&fixture, "app")).await.unwrap().remove(0).task_arn.unwrap();
    fixture.report(&report(&first, 1, TaskStatus::Running)).await;
    let counts = |cluster: &ecs::Cluster| (cluster.running_tasks_count, cluster.pending_tasks_count);
    let shown = one(&fixture, "default", &[ClusterField::Statistics]).await;
    assert_eq!(counts(&shown), (Some(1), Some(1)));
    let statistics = shown.statistics.unwrap();
    for (name, value) in [
        ("runningFargateTasksCount", "1"),
        ("pendingFargateTasksCount", "1"),
        ("runningEC2TasksCount", "0"),
        ("activeFargateServiceCount", "0"),
    ] {
        assert!(statistics.contains(&pair(name, value)), "{name} {statistics:?}");
    }
    fixture.stop(&second, None).await.unwrap();
    assert_eq!(counts(&one(&fixture, "default", &[]).await), (Some(1), Some(0)));
    fixture.report(&report(&first, 2, TaskStatus::Stopped)).await;
    assert_eq!(counts(&one(&fixture, "default", &[]).await), (Some(0), Some(0)));
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_shown() {
    let fixture = fixture().await;
    let configuration = ecs::ClusterConfiguration {
        execute_command_configuration: Some(Default::default()),
        ..Default::default()
    };
    let input = ecs::CreateClusterRequest {
        cluster_name: text("shop"),
        tags: Some(vec![tag("a", "1")]),
        configuration: Some(configuration.clone()),
        ..Default::default()
    };
    clusters::create(fixture.call(), input).await.unwrap();
    let bare = one(&fixture, "shop", &[]).await;
    assert_eq!((bare.tags, bare.settings, bare.configuration), (Some(vec![]), Some(vec![]), None));
    assert_eq!(bare.statistics, Some(vec![]));
    let all = [ClusterField::Tags, ClusterField::Settings, ClusterField::Configurations];
    let full = one(&fixture, "shop", &all).await;
    assert_eq!((full.tags, full.configuration), (Some(vec![tag("a", "1")]), Some(configuration)));
    assert_eq!(full.settings.unwrap().len(), 1);
}

#[tokio::test]
async fn new_clusters_take_the_accounts_setting() {
    let fixture = fixture().await;
    let insights = async |name: &str| {
        let settings = one(&fixture, name, &[ClusterField::Settings]).await.settings.unwrap();
        settings[0].value.clone().unwrap()
    };
    assert_eq!(insights("default").await, "disabled");
    let setting = ecs::PutAccountSettingDefaultRequest {
        name: Some(ecs::SettingName::ContainerInsights),
        value: text("enhanced"),
    };
    super::super::settings::put_account_setting_default(fixture.call(), setting).await.unwrap();
    fixture.cluster("later").await;
    assert_eq!(insights("later").await, "enhanced");
    assert_eq!(insights("default").await, "disabled");
    let update = |value: &str| ecs::UpdateClusterSettingsRequest {
        cluster: text("later"),
        settings: Some(vec![ecs::ClusterSetting {
            name: Some(ecs::ClusterSettingName::ContainerInsights),
            value: text(value),
        }]),
    };
    clusters::update_settings(fixture.call(), update("enabled")).await.unwrap();
    assert_eq!(insights("later").await, "enabled");
    let answer = clusters::update_settings(fixture.call(), update("maybe")).await;
    refused(answer, INVALID, "Invalid cluster setting value: maybe");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let fixture = fixture().await;
    for name in ["a", "b"] {
        fixture.cluster(name).await;
    }
    let (mut seen, mut token) = (Vec::new(), None);
    for _ in 0..3 {
        let input = ecs::ListClustersRequest { max_results: Some(1), next_token: token };
        let answer = clusters::list(fixture.call(), input).await.unwrap();
        seen.extend(answer.cluster_arns.unwrap().into_iter().map(|arn| last(&Some(arn))));
        token = answer.next_token;
    }
    assert_eq!((seen, token), (vec!["a".to_owned(), "b".to_owned(), "default".to_owned()], None));
    let input = ecs::ListClustersRequest { max_results: None, next_token: text("forged") };
    refused(clusters::list(fixture.call(), input).await, INVALID, "Invalid token.");
}
