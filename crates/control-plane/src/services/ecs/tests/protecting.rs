//! Scale-in protection: only tasks of services have it, and it ends.

use super::{super::tasks::protection, *};

async fn update(
    fixture: &Fixture,
    tasks: &[&str],
    enabled: bool,
    minutes: Option<i32>,
) -> Result<ecs::UpdateTaskProtectionResponse, ApiError> {
    let input = ecs::UpdateTaskProtectionRequest {
        cluster: text("default"),
        tasks: Some(tasks.iter().map(|task| (*task).to_owned()).collect()),
        protection_enabled: Some(enabled),
        expires_in_minutes: minutes,
    };
    protection::update(fixture.call(), input).await
}

async fn is_protected(fixture: &Fixture, task: &str) -> bool {
    let input =
        ecs::GetTaskProtectionRequest { cluster: text("default"), tasks: Some(vec![task.to_owned()]) };
    let answer = protection::get(fixture.call(), input).await.unwrap();
    answer.protected_tasks.unwrap()[0].protection_enabled.unwrap()
}

/// A task as a service has it; RunTask refuses such a group.
async fn service_task(fixture: &Fixture) -> String {
    let arn = fixture.task().await.task_arn.unwrap();
    let key = records::task_key("default", &last(&Some(arn.clone())));
    let adopt = |tx: &mut state_store::Tx| {
        let mut task = (*tx.get::<records::Task>(&scope(), &key).unwrap()).clone();
        task.group = "service:web".to_owned();
        tx.put(&scope(), &key, task);
        Ok::<_, ApiError>(())
    };
    fixture.services.state.transact(adopt).await.unwrap();
    arn
}

#[tokio::test]
async fn protection_lasts_two_hours_unless_said_otherwise() {
    let fixture = fixture().await;
    let arn = service_task(&fixture).await;
    assert!(!is_protected(&fixture, &arn).await);
    let answer = update(&fixture, &[&arn], true, None).await.unwrap();
    let shown = answer.protected_tasks.unwrap().remove(0);
    assert_eq!((shown.protection_enabled, answer.failures), (Some(true), Some(vec![])));
    assert!(shown.expiration_date.is_some());
    fixture.pass(2 * 3_600_000 - 1);
    assert!(is_protected(&fixture, &arn).await);
    fixture.pass(1);
    assert!(!is_protected(&fixture, &arn).await);
    update(&fixture, &[&arn], true, Some(1)).await.unwrap();
    assert!(is_protected(&fixture, &arn).await);
    update(&fixture, &[&arn], false, None).await.unwrap();
    assert!(!is_protected(&fixture, &arn).await);
}

#[tokio::test]
async fn what_cannot_be_protected_is_a_failure() {
    let fixture = fixture().await;
    let standalone = fixture.task().await.task_arn.unwrap();
    let unknown = "0".repeat(32);
    let stopped = service_task(&fixture).await;
    fixture.report(&report(&stopped, 1, TaskStatus::Stopped)).await;
    let answer = update(&fixture, &[&standalone, &unknown, &stopped], true, None).await.unwrap();
    let reasons: Vec<_> =
        answer.failures.unwrap().into_iter().map(|failure| failure.reason.unwrap()).collect();
    assert_eq!(reasons, ["TASK_NOT_VALID", "MISSING", "TASK_NOT_VALID"]);
    assert_eq!(answer.protected_tasks, Some(vec![]));
}

#[tokio::test]
async fn requests_stay_in_their_bounds() {
    let fixture = fixture().await;
    let arn = service_task(&fixture).await;
    for minutes in [0, -1, 2881] {
        refused(update(&fixture, &[&arn], true, Some(minutes)).await, INVALID, "between 1 and 2880");
    }
    refused(update(&fixture, &[], true, None).await, INVALID, "Tasks cannot be empty.");
    refused(update(&fixture, &[&*arn; 11], true, None).await, INVALID, "At most 10 tasks");
}
