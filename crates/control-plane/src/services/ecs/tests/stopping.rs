//! StopTask: said once, it stays said.

use super::*;

#[tokio::test]
async fn the_first_reason_stands() {
    let fixture = fixture().await;
    let arn = fixture.task().await.task_arn.unwrap();
    let stopped = fixture.stop(&arn, Some("enough")).await.unwrap();
    assert_eq!(
        (stopped.desired_status.as_deref(), stopped.last_status.as_deref()),
        (Some("STOPPED"), Some("PROVISIONING"))
    );
    assert_eq!(stopped.stop_code, Some(ecs::TaskStopCode::UserInitiated));
    assert_eq!(stopped.stopped_reason.as_deref(), Some("enough"));
    assert!(stopped.stopping_at.is_some());
    fixture.pass(1000);
    assert_eq!(fixture.stop(&arn, Some("later")).await.unwrap(), stopped);
    // The node's own reason does not go over it.
    let mut word = report(&arn, 1, TaskStatus::Stopped);
    word.stop_code = Some(agent_protocol::state::StopCode::EssentialContainerExited);
    word.reason = text("Essential container in task exited");
    fixture.report(&word).await;
    let shown = fixture.describe_task(&arn).await.unwrap();
    assert_eq!(
        (shown.stop_code, shown.stopped_reason.as_deref()),
        (Some(ecs::TaskStopCode::UserInitiated), Some("enough"))
    );
    assert_eq!(fixture.stop(&arn, Some("again")).await.unwrap().stopped_reason.as_deref(), Some("enough"));
}

#[tokio::test]
async fn a_task_that_ended_by_itself_keeps_its_own_reason() {
    let fixture = fixture().await;
    let arn = fixture.task().await.task_arn.unwrap();
    let mut word = report(&arn, 1, TaskStatus::Stopped);
    word.stop_code = Some(agent_protocol::state::StopCode::EssentialContainerExited);
    word.reason = text("Essential container in task exited");
    fixture.report(&word).await;
    let answer = fixture.stop(&arn, Some("too late")).await.unwrap();
    assert_eq!(answer.stop_code, Some(ecs::TaskStopCode::EssentialContainerExited));
    assert_eq!(answer.stopped_reason.as_deref(), Some("Essential container in task exited"));
}

#[tokio::test]
async fn tasks_are_named_by_id_or_arn_and_have_to_be_there() {
    let fixture = fixture().await;
    let arn = fixture.task().await.task_arn.unwrap();
    let answer = fixture.stop(&last(&Some(arn.clone())), None).await.unwrap();
    assert_eq!(
        (answer.task_arn, answer.stopped_reason.as_deref()),
        (Some(arn.clone()), Some("Task stopped by user"))
    );
    for (given, fragment) in [
        ("0".repeat(32), "The referenced task was not found."),
        ("short".to_owned(), "taskId length should be one of [32,36]"),
        (String::new(), "taskId length should be one of [32,36]"),
        (arn.replace("/default/", "/other/"), "Identifier is for other. Your cluster is default"),
    ] {
        refused(fixture.stop(&given, None).await, INVALID, fragment);
    }
    refused(fixture.stop(&arn, Some(&"r".repeat(1025))).await, INVALID, "1024 characters");
}
