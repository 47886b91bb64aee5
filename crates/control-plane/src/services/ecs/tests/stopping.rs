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

#[tokio::test]
async fn an_interrupted_spot_task_is_warned_at_once_and_replaced_by_its_service() {
    let fixture = fixture().await;
    let input = ecs::PutClusterCapacityProvidersRequest {
        cluster: text("default"),
        capacity_providers: Some(vec!["FARGATE".to_owned(), "FARGATE_SPOT".to_owned()]),
        default_capacity_provider_strategy: Some(vec![]),
    };
    clusters::put_capacity_providers(fixture.call(), input).await.unwrap();
    fixture.register(balanced::with_port("app")).await.unwrap();
    let group = fixture.group("blue").await;
    fixture.listener(&group).await;
    let spot = ecs::CapacityProviderStrategyItem {
        capacity_provider: text("FARGATE_SPOT"),
        base: None,
        weight: Some(1),
    };
    let input = ecs::CreateServiceRequest {
        launch_type: None,
        capacity_provider_strategy: Some(vec![spot]),
        load_balancers: Some(vec![balanced::behind(&group)]),
        ..service::service(&fixture, "web", 1)
    };
    fixture.create_service(input).await.unwrap();
    fixture.served(scheduling::is_stable).await;
    let before = fixture.tasks_of("web").remove(0);
    let arn = before.arn(&scope());
    let stopped = fixture.stop(&arn, Some(tasks::stop::INTERRUPTION)).await.unwrap();
    assert_eq!(
        (stopped.stop_code, stopped.stopped_reason.as_deref()),
        (Some(ecs::TaskStopCode::SpotInterruption), Some("Your Spot Task was interrupted."))
    );
    // Its target gets nothing new, and its node does not wait for requests to end.
    let after =
        fixture.services.state.read(|view| view.get::<records::Task>(&scope(), &before.key()).unwrap());
    assert_eq!((after.payload_sequence, fixture.registered()), (before.payload_sequence + 1, 0));
    fixture.served(scheduling::is_stable).await;
    let running: Vec<_> = fixture
        .tasks_of("web")
        .into_iter()
        .filter(|task| task.state.last_status == TaskStatus::Running)
        .collect();
    assert_eq!(running.len(), 1);
    assert_ne!(running[0].id, before.id);
    // One that is not on FARGATE_SPOT is stopped by its user, whatever the reason is.
    let other = fixture.task().await.task_arn.unwrap();
    let stopped = fixture.stop(&other, Some(tasks::stop::INTERRUPTION)).await.unwrap();
    assert_eq!(stopped.stop_code, Some(ecs::TaskStopCode::UserInitiated));
}
