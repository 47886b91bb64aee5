//! What nodes say of tasks, and what comes of it.

use agent_protocol::state::{AttachmentStateChange, AttachmentStatus, StopCode};

use super::*;
use crate::services::ecs::records::Task;

async fn attachment(fixture: &Fixture, arn: &str, status: AttachmentStatus) {
    let change = AttachmentStateChange {
        cluster: String::new(),
        task: arn.to_owned(),
        attachment_arn: String::new(),
        status,
    };
    tasks::report::submit_attachment(&fixture.services, &change).await.unwrap();
}

fn interface_status(task: &ecs::Task) -> &str {
    task.attachments.as_ref().unwrap()[0].status.as_deref().unwrap()
}

#[tokio::test]
async fn a_task_goes_its_way_and_its_network_goes_with_it() {
    let fixture = fixture().await;
    let task = fixture.task().await;
    let arn = task.task_arn.clone().unwrap();
    assert_eq!(interface_status(&task), "PRECREATED");
    attachment(&fixture, &arn, AttachmentStatus::Attaching).await;
    assert_eq!(interface_status(&fixture.describe_task(&arn).await.unwrap()), "ATTACHING");

    let mut pending = report(&arn, 1, TaskStatus::Pending);
    pending.connectivity_at = Some(fixture.now());
    fixture.report(&pending).await;
    let shown = fixture.describe_task(&arn).await.unwrap();
    assert_eq!((shown.last_status.as_deref(), interface_status(&shown)), (Some("PENDING"), "ATTACHED"));
    assert_eq!(shown.connectivity, Some(ecs::Connectivity::Connected));

    let mut running = report(&arn, 2, TaskStatus::Running);
    running.started_at = Some(fixture.now());
    running.health_status = HealthStatus::Healthy;
    fixture.report(&running).await;
    let shown = fixture.describe_task(&arn).await.unwrap();
    assert_eq!(
        (shown.last_status.as_deref(), shown.health_status),
        (Some("RUNNING"), Some(ecs::HealthStatus::Healthy))
    );
    assert!(shown.started_at.is_some() && shown.connectivity_at.is_some());
    assert_eq!(shown.containers.as_ref().unwrap()[0].last_status.as_deref(), Some("RUNNING"));
    assert!(shown.version > task.version);

    let mut stopped = report(&arn, 3, TaskStatus::Stopped);
    stopped.stop_code = Some(StopCode::EssentialContainerExited);
    stopped.reason = text("Essential container in task exited");
    fixture.report(&stopped).await;
    let shown = fixture.describe_task(&arn).await.unwrap();
    assert_eq!(
        (shown.last_status.as_deref(), shown.desired_status.as_deref()),
        (Some("STOPPED"), Some("STOPPED"))
    );
    assert_eq!(shown.stop_code, Some(ecs::TaskStopCode::EssentialContainerExited));
    assert_eq!(shown.containers.as_ref().unwrap()[0].exit_code, Some(0));
    assert!(shown.stopped_at.is_some());
    assert_eq!(interface_status(&shown), "DELETED");
    assert_eq!(fixture.left_behind(), (1, 0, 0));
    attachment(&fixture, &arn, AttachmentStatus::Attached).await;
    assert_eq!(fixture.describe_task(&arn).await, Some(shown));
}

#[tokio::test]
async fn the_interface_goes_in_the_very_transaction_in_which_the_task_shows_stopped() {
    let fixture = fixture().await;
    let arn = fixture.task().await.task_arn.unwrap();
    let mut tasks = fixture.services.state.watch::<Task>();
    fixture.report(&report(&arn, 1, TaskStatus::Stopped)).await;
    // Whoever sees the task stopped sees its interface gone.
    loop {
        tokio::time::timeout(std::time::Duration::from_secs(10), tasks.next()).await.unwrap().unwrap();
        let view = fixture.services.state.view();
        let (_, task) = view.scan::<Task>(&scope()).next().unwrap();
        let interfaces = view.count_all::<ec2::records::NetworkInterface>();
        assert_eq!(task.state.last_status == TaskStatus::Stopped, interfaces == 0);
        if interfaces == 0 {
            break;
        }
    }
}

#[tokio::test]
async fn what_is_stale_or_about_nobody_changes_nothing() {
    let fixture = fixture().await;
    let arn = fixture.task().await.task_arn.unwrap();
    fixture.report(&report(&arn, 5, TaskStatus::Running)).await;
    let before = fixture.describe_task(&arn).await;
    let revision = fixture.services.state.revision();
    for stale in [
        report(&arn, 5, TaskStatus::Stopped),
        report(&arn, 4, TaskStatus::Stopped),
        report(&arn.replace(&last(&Some(arn.clone())), &"0".repeat(32)), 9, TaskStatus::Running),
        report("nonsense", 9, TaskStatus::Running),
        report(&scope().arn("ecs", "cluster/default").to_string(), 9, TaskStatus::Running),
    ] {
        fixture.report(&stale).await;
    }
    assert_eq!(fixture.describe_task(&arn).await, before);
    assert_eq!(fixture.services.state.revision(), revision, "nothing was written");
    // Newer, but the state only goes forward.
    fixture.report(&report(&arn, 6, TaskStatus::Pending)).await;
    assert_eq!(fixture.describe_task(&arn).await.unwrap().last_status.as_deref(), Some("RUNNING"));
    fixture.report(&report(&arn, 7, TaskStatus::Stopped)).await;
    fixture.report(&report(&arn, 8, TaskStatus::Running)).await;
    assert_eq!(fixture.describe_task(&arn).await.unwrap().last_status.as_deref(), Some("STOPPED"));
}

#[tokio::test]
async fn a_task_on_its_way_down_is_wanted_stopped() {
    let fixture = fixture().await;
    let arn = fixture.task().await.task_arn.unwrap();
    fixture.report(&report(&arn, 1, TaskStatus::Running)).await;
    assert_eq!(fixture.describe_task(&arn).await.unwrap().desired_status.as_deref(), Some("RUNNING"));
    fixture.report(&report(&arn, 2, TaskStatus::Stopping)).await;
    assert_eq!(fixture.describe_task(&arn).await.unwrap().desired_status.as_deref(), Some("STOPPED"));
    assert_eq!(fixture.left_behind(), (1, 1, 1), "the interface stays until the task has stopped");
}

#[tokio::test]
async fn a_task_that_cannot_be_run_ends_with_the_reason() {
    let fixture = fixture().await;
    let arn = fixture.task().await.task_arn.unwrap();
    let key = records::task_key("default", &last(&Some(arn.clone())));
    let fail = async |reason: &str| {
        tasks::report::fail(&fixture.services, &scope(), &key, reason).await.unwrap();
        fixture.describe_task(&arn).await.unwrap()
    };
    let shown = fail("no such thing").await;
    assert_eq!(shown.stop_code, Some(ecs::TaskStopCode::TaskFailedToStart));
    assert_eq!(shown.stopped_reason.as_deref(), Some("ResourceInitializationError: no such thing"));
    assert_eq!(
        (shown.last_status.as_deref(), shown.desired_status.as_deref()),
        (Some("STOPPED"), Some("STOPPED"))
    );
    assert_eq!(shown.containers.as_ref().unwrap()[0].last_status.as_deref(), Some("STOPPED"));
    assert_eq!(fixture.left_behind(), (1, 0, 0));
    assert_eq!(fail("again").await, shown);
}
