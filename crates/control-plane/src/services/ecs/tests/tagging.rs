//! Tags on every kind of resource that has them.

use super::{super::tags, *};

async fn add(fixture: &Fixture, arn: &str, given: Vec<ecs::Tag>) -> Result<(), ApiError> {
    let input = ecs::TagResourceRequest { resource_arn: text(arn), tags: Some(given) };
    tags::tag(fixture.call(), input).await.map(drop)
}

async fn list(fixture: &Fixture, arn: &str) -> Result<Vec<ecs::Tag>, ApiError> {
    let input = ecs::ListTagsForResourceRequest { resource_arn: text(arn) };
    Ok(tags::list(fixture.call(), input).await?.tags.unwrap())
}

async fn remove(fixture: &Fixture, arn: &str, keys: &[&str]) -> Result<(), ApiError> {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    let input = ecs::UntagResourceRequest { resource_arn: text(arn), tag_keys: Some(keys) };
    tags::untag(fixture.call(), input).await.map(drop)
}

/// One resource of every kind.
async fn resources(fixture: &Fixture) -> Vec<String> {
    let task = fixture.task().await;
    vec![
        task.cluster_arn.unwrap(),
        task.task_arn.unwrap(),
        task.task_definition_arn.unwrap(),
        super::instance::register(fixture).await.container_instance_arn.unwrap(),
    ]
}

#[tokio::test]
async fn every_kind_of_resource_takes_and_loses_tags() {
    let fixture = fixture().await;
    for arn in resources(&fixture).await {
        add(&fixture, &arn, vec![tag("a", "1"), tag("b", "2")]).await.unwrap();
        add(&fixture, &arn, vec![tag("b", "3")]).await.unwrap();
        assert_eq!(list(&fixture, &arn).await.unwrap(), [tag("a", "1"), tag("b", "3")], "{arn}");
        remove(&fixture, &arn, &["a", "never there"]).await.unwrap();
        assert_eq!(list(&fixture, &arn).await.unwrap(), [tag("b", "3")], "{arn}");
    }
}

#[tokio::test]
async fn tags_have_limits() {
    let fixture = fixture().await;
    let arn = scope().arn("ecs", "cluster/default").to_string();
    let many = |from: usize, to: usize| (from..to).map(|number| tag(&format!("k{number}"), "")).collect();
    for (given, fragment) in [
        (vec![tag("aws:mine", "1")], "reserved"),
        (vec![tag("AWS:mine", "1")], "reserved"),
        (vec![tag("", "1")], "between 1 and 128"),
        (vec![tag(&"k".repeat(129), "1")], "between 1 and 128"),
        (vec![tag("k", &"v".repeat(257))], "at most 256"),
        (vec![tag("k!", "1")], "only"),
        (vec![tag("k", "1"), tag("k", "2")], "Duplicate"),
        (many(0, 51), "limit of 50"),
    ] {
        refused(add(&fixture, &arn, given).await, INVALID, fragment);
    }
    add(&fixture, &arn, many(0, 50)).await.unwrap();
    refused(add(&fixture, &arn, many(50, 51)).await, INVALID, "limit of 50");
    assert_eq!(list(&fixture, &arn).await.unwrap().len(), 50);
    refused(remove(&fixture, &arn, &["aws:ecs:clusterName"]).await, INVALID, "reserved");
}

#[tokio::test]
async fn what_is_not_there_has_no_tags() {
    let fixture = fixture().await;
    let own = |resource: &str| scope().arn("ecs", resource).to_string();
    for resource in
        ["cluster/nobody", "task/default/nobody", "task-definition/app:1", "container-instance/default/x"]
    {
        refused(list(&fixture, &own(resource)).await, INVALID, "not found");
        refused(add(&fixture, &own(resource), vec![tag("a", "1")]).await, INVALID, "not found");
    }
    for (arn, fragment) in [
        (own("task-definition/app"), "must name a revision"),
        (own("thing/x"), "does not support tags"),
        ("nonsense".to_owned(), "not valid"),
        (own("cluster/default").replace("us-east-1", "eu-west-1"), "Your region is us-east-1"),
    ] {
        refused(list(&fixture, &arn).await, INVALID, fragment);
    }
}
