//! Revisions: numbers, statuses, lists, and how they go.

use std::collections::BTreeSet;

use super::*;
use crate::services::ecs::records::TaskDefinition;
use ecs::{SortOrder, TaskDefinitionStatus};

async fn describe(fixture: &Fixture, name: &str) -> Result<ecs::TaskDefinition, ApiError> {
    let input = ecs::DescribeTaskDefinitionRequest { task_definition: text(name), include: None };
    Ok(definitions::describe(fixture.call(), input).await?.task_definition.unwrap())
}

async fn deregister(fixture: &Fixture, name: &str) -> Result<ecs::TaskDefinition, ApiError> {
    let input = ecs::DeregisterTaskDefinitionRequest { task_definition: text(name) };
    Ok(definitions::deregister(fixture.call(), input).await?.task_definition.unwrap())
}

async fn delete(fixture: &Fixture, names: &[&str]) -> (Vec<ecs::TaskDefinition>, Vec<ecs::Failure>) {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let input = ecs::DeleteTaskDefinitionsRequest { task_definitions: Some(names) };
    let answer = definitions::delete(fixture.call(), input).await.unwrap();
    (answer.task_definitions.unwrap(), answer.failures.unwrap())
}

async fn list(fixture: &Fixture, input: ecs::ListTaskDefinitionsRequest) -> Vec<String> {
    let answer = definitions::list(fixture.call(), input).await.unwrap();
    answer.task_definition_arns.unwrap().iter().map(|arn| last(&Some(arn.clone()))).collect()
}

#[tokio::test]
async fn a_number_is_never_given_out_twice() {
    let fixture = fixture().await;
    for revision in 1..=2 {
        assert_eq!(fixture.register(fargate("app")).await.unwrap().revision, Some(revision));
    }
    deregister(&fixture, "app:2").await.unwrap();
    assert_eq!(fixture.register(fargate("app")).await.unwrap().revision, Some(3));
    for name in ["app:1", "app:3"] {
        deregister(&fixture, name).await.unwrap();
    }
    let (deleted, failures) = delete(&fixture, &["app:1", "app:2", "app:3"]).await;
    assert_eq!((deleted.len(), failures), (3, vec![]));
    definitions::purge(&fixture.services).await.unwrap();
    assert_eq!(fixture.services.state.view().count_all::<TaskDefinition>(), 0);
    assert_eq!(fixture.register(fargate("app")).await.unwrap().revision, Some(4));
}

#[tokio::test]
async fn a_family_stands_for_its_latest_active_revision() {
    let fixture = fixture().await;
    for _ in 0..3 {
        fixture.register(fargate("app")).await.unwrap();
    }
    fixture.register(fargate("app-other")).await.unwrap();
    assert_eq!(describe(&fixture, "app").await.unwrap().revision, Some(3));
    deregister(&fixture, "app:3").await.unwrap();
    assert_eq!(describe(&fixture, "app").await.unwrap().revision, Some(2));
    let arn = describe(&fixture, "app:1").await.unwrap().task_definition_arn.unwrap();
    assert_eq!(describe(&fixture, &arn).await.unwrap().revision, Some(1));
    let inactive = describe(&fixture, "app:3").await.unwrap();
    assert_eq!(inactive.status, Some(TaskDefinitionStatus::Inactive));
    for missing in ["app:9", "nobody", "nobody:1"] {
        refused(describe(&fixture, missing).await, CLIENT, "Unable to describe task definition.");
    }
    for name in ["app:1", "app:2"] {
        deregister(&fixture, name).await.unwrap();
    }
    refused(describe(&fixture, "app").await, CLIENT, "Unable to describe task definition.");
}

#[tokio::test]
async fn a_deregistered_revision_starts_nothing_and_stays_as_it_is() {
    let fixture = fixture().await;
    fixture.register(fargate("app")).await.unwrap();
    let first = deregister(&fixture, "app:1").await.unwrap();
    assert_eq!(first.status, Some(TaskDefinitionStatus::Inactive));
    fixture.pass(1000);
    let again = deregister(&fixture, "app:1").await.unwrap();
    assert_eq!(again.deregistered_at, first.deregistered_at);
    refused(fixture.run(run_request(&fixture, "app:1")).await, CLIENT, "TaskDefinition is inactive");
    refused(fixture.run(run_request(&fixture, "app")).await, CLIENT, "TaskDefinition not found.");
    refused(deregister(&fixture, "app").await, CLIENT, "Revision is missing.");
    refused(deregister(&fixture, "app:7").await, CLIENT, "Unable to describe task definition.");
    refused(deregister(&fixture, "app:x").await, INVALID, "Invalid revision number. Number: x");
    refused(deregister(&fixture, "app:0").await, INVALID, "Invalid revision number. Number: 0");
}

#[tokio::test]
async fn a_deleted_revision_stays_as_long_as_a_task_refers_to_it() {
    let fixture = fixture().await;
    let task = fixture.task().await;
    fixture.register(fargate("app")).await.unwrap();
    let (deleted, failures) = delete(&fixture, &["app:1", "app:9", "app", "a b:1"]).await;
    let reasons: Vec<&str> = failures.iter().map(|failure| failure.reason.as_deref().unwrap()).collect();
    assert_eq!(deleted, vec![]);
    for (reason, fragment) in
        reasons.iter().zip(["still in ACTIVE status", "does not exist", "is invalid", "is invalid"])
    {
        assert!(reason.contains(fragment), "{reason}");
    }
    deregister(&fixture, "app:1").await.unwrap();
    let (deleted, failures) = delete(&fixture, &["app:1"]).await;
    assert_eq!((deleted[0].status, failures), (Some(TaskDefinitionStatus::DeleteInProgress), vec![]));
    refused(fixture.run(run_request(&fixture, "app:1")).await, CLIENT, "TaskDefinition is inactive");

    definitions::purge(&fixture.services).await.unwrap();
    let kept = describe(&fixture, "app:1").await.unwrap();
    assert_eq!(kept.status, Some(TaskDefinitionStatus::DeleteInProgress));
    let arn = task.task_arn.unwrap();
    fixture.report(&report(&arn, 1, TaskStatus::Stopped)).await;
    definitions::purge(&fixture.services).await.unwrap();
    describe(&fixture, "app:1").await.expect("the stopped task still shows it");
    let key = format!("default/{}", last(&Some(arn)));
    let forget = |tx: &mut state_store::Tx| {
        tx.delete::<records::Task>(&scope(), &key);
        Ok::<_, ApiError>(())
    };
    fixture.services.state.transact(forget).await.unwrap();
    definitions::purge(&fixture.services).await.unwrap();
    refused(describe(&fixture, "app:1").await, CLIENT, "Unable to describe task definition.");
    assert_eq!(describe(&fixture, "app:2").await.unwrap().status, Some(TaskDefinitionStatus::Active));
}

#[tokio::test]
async fn lists_sort_by_family_then_number_and_come_in_pages() {
    let fixture = fixture().await;
    for family in ["b", "a-b", "a", "a", "a_b"] {
        fixture.register(fargate(family)).await.unwrap();
    }
    let all = ecs::ListTaskDefinitionsRequest::default;
    let sorted = ["a:1", "a:2", "a-b:1", "a_b:1", "b:1"];
    assert_eq!(list(&fixture, all()).await, sorted);
    let descending = ecs::ListTaskDefinitionsRequest { sort: Some(SortOrder::Desc), ..all() };
    let reversed: Vec<&str> = sorted.iter().rev().copied().collect();
    assert_eq!(list(&fixture, descending.clone()).await, reversed);
    let of_one = ecs::ListTaskDefinitionsRequest { family_prefix: text("a"), ..all() };
    assert_eq!(list(&fixture, of_one).await, ["a:1", "a:2"]);

    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let input =
            ecs::ListTaskDefinitionsRequest { max_results: Some(2), next_token: token, ..descending.clone() };
        let answer = definitions::list(fixture.call(), input).await.unwrap();
        let arns = answer.task_definition_arns.unwrap();
        assert!(arns.len() <= 2);
        seen.extend(arns.into_iter().map(|arn| last(&Some(arn))));
        token = answer.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, reversed);

    deregister(&fixture, "a:1").await.unwrap();
    let inactive = |status| ecs::ListTaskDefinitionsRequest { status: Some(status), ..all() };
    assert_eq!(list(&fixture, inactive(TaskDefinitionStatus::Inactive)).await, ["a:1"]);
    assert_eq!(list(&fixture, inactive(TaskDefinitionStatus::Active)).await, &sorted[1..]);
}

#[tokio::test]
async fn pages_have_a_size_and_a_token_of_their_own() {
    let fixture = fixture().await;
    for _ in 0..2 {
        fixture.register(fargate("app")).await.unwrap();
    }
    let first = ecs::ListTaskDefinitionsRequest { max_results: Some(1), ..Default::default() };
    let token = definitions::list(fixture.call(), first).await.unwrap().next_token.unwrap();
    let request = |token: &str, size| ecs::ListTaskDefinitionsRequest {
        next_token: text(token),
        max_results: size,
        ..Default::default()
    };
    for forged in ["x", "", &token[1..], &format!("{token}AAAA")] {
        refused(definitions::list(fixture.call(), request(forged, None)).await, INVALID, "Invalid token.");
    }
    let other = ecs::ListTaskDefinitionsRequest { family_prefix: text("app"), ..request(&token, None) };
    refused(definitions::list(fixture.call(), other).await, INVALID, "Invalid token.");
    for size in [0, -1, 101] {
        let answer = definitions::list(fixture.call(), request(&token, Some(size))).await;
        refused(answer, INVALID, "maxResults must be between 1 and 100");
    }
}

#[tokio::test]
async fn families_are_listed_by_what_is_left_of_them() {
    let fixture = fixture().await;
    for family in ["web", "web", "worker", "batch"] {
        fixture.register(fargate(family)).await.unwrap();
    }
    deregister(&fixture, "web:1").await.unwrap();
    deregister(&fixture, "worker:1").await.unwrap();
    let families = async |prefix: &str, status| {
        let input = ecs::ListTaskDefinitionFamiliesRequest {
            family_prefix: text(prefix),
            status: Some(status),
            ..Default::default()
        };
        let answer = definitions::list_families(fixture.call(), input).await.unwrap();
        answer.families.unwrap().into_iter().collect::<BTreeSet<_>>()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    use ecs::TaskDefinitionFamilyStatus::{Active, All, Inactive};
    assert_eq!(families("", Active).await, set(&["batch", "web"]));
    assert_eq!(families("", Inactive).await, set(&["worker"]));
    assert_eq!(families("", All).await, set(&["batch", "web", "worker"]));
    assert_eq!(families("w", All).await, set(&["web", "worker"]));
}

#[tokio::test]
async fn arns_of_others_are_refused() {
    let fixture = fixture().await;
    let of = |region: &str, account: &str| format!("arn:aws:ecs:{region}:{account}:task-definition/app:1");
    let account = scope().account.to_string();
    for (arn, fragment) in [
        (of("eu-west-1", &account), "Your region is us-east-1"),
        (of("us-east-1", "999999999999"), "Your accountId is"),
        (format!("arn:aws:sqs:us-east-1:{account}:queue"), "Unexpected service sqs"),
        (
            format!("arn:aws:ecs:us-east-1:{account}:cluster/app"),
            "Expected a resource of type task-definition",
        ),
        ("arn:aws:ecs".to_owned(), "Invalid identifier"),
    ] {
        refused(describe(&fixture, &arn).await, INVALID, fragment);
    }
}
