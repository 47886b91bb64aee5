//! How tasks run.

use std::time::Duration;

use agent_protocol::{
    spec::{Awslogs, HealthCheck, LogConfiguration, LogMode, RestartPolicy},
    state::{AttachmentStatus, HealthStatus, StopCode},
};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_task_runs_and_stops_and_leaves_nothing() {
    let fixture = Fixture::running().await;
    let sandbox = fixture.world.sandbox();
    assert!(
        matches!(&sandbox.spec.network, container_runtime::Network::Namespace(path) if path.ends_with("eni-1"))
    );
    let config = sandbox.state().configs["app"].clone();
    assert_eq!(config.args, ["serve"]);
    assert!(config.env.contains(&"ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/id-app".to_owned()));

    fixture.stop(2).await;
    let stopped = fixture.control.status(TaskStatus::Stopped).await;
    assert_eq!((stopped.stop_code, stopped.reason), (None, None));
    assert_eq!(stopped.containers[0].exit_code, Some(143));
    assert_eq!(stopped.containers[0].image_digest.as_deref(), Some("sha256:m"));
    assert_eq!(sandbox.state().signals, [("app".to_owned(), 15)]);
    fixture.until_gone().await;
    assert!(sandbox.state().over);
    assert!(fixture.world.attached.lock().unwrap().is_empty());
    assert_eq!(*fixture.world.released.lock().unwrap(), ["t1"]);
    let said = fixture.control.said.lock().unwrap();
    let attachments: Vec<_> = said.attachments.iter().map(|change| change.status).collect();
    use AttachmentStatus::*;
    assert_eq!(attachments, [Attaching, Attached, Detached]);
    assert!(said.changes.is_sorted_by_key(|change| (change.sequence, change.status)));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_essential_container_ends_the_task() {
    let fixture = Fixture::new().await;
    let helper = agent_protocol::spec::ContainerSpec { essential: false, ..container_spec("helper") };
    fixture.run(task_spec(vec![container_spec("app"), helper]), 1).await;
    fixture.control.status(TaskStatus::Running).await;
    fixture.world.sandbox().exits("app", 3, false);
    let stopped = fixture.control.status(TaskStatus::Stopped).await;
    assert_eq!(stopped.stop_code, Some(StopCode::EssentialContainerExited));
    let codes: Vec<_> = stopped.containers.iter().map(|container| container.exit_code).collect();
    assert_eq!(codes, [Some(3), Some(143)]);
}

#[tokio::test(start_paused = true)]
async fn running_out_of_memory_is_told_as_it_is_known() {
    let fixture = Fixture::running().await;
    fixture.world.sandbox().exits("app", 137, true);
    let stopped = fixture.control.status(TaskStatus::Stopped).await;
    let text = Some("OutOfMemoryError: Container killed due to memory usage");
    assert_eq!(stopped.reason.as_deref(), text);
    assert_eq!(stopped.containers[0].reason.as_deref(), text);
}

#[tokio::test(start_paused = true)]
async fn a_stubborn_container_is_killed_after_its_stop_timeout() {
    let fixture = Fixture::running().await;
    fixture.world.sandbox().state().stubborn.insert("app".into());
    let before = tokio::time::Instant::now();
    fixture.stop(2).await;
    let stopped = fixture.control.status(TaskStatus::Stopped).await;
    assert_eq!(stopped.containers[0].exit_code, Some(137));
    assert_eq!(before.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_before_the_start_is_told_in_the_words_people_search_for() {
    let stopped = async |arrange: fn(&Fixture)| {
        let fixture = Fixture::new().await;
        arrange(&fixture);
        let mut spec = task_spec(vec![container_spec("app")]);
        spec.containers[0].log = awslogs(LogMode::Blocking);
        fixture.run(spec, 1).await;
        let stopped = fixture.control.status(TaskStatus::Stopped).await;
        fixture.until_gone().await;
        assert!(fixture.world.attached.lock().unwrap().is_empty());
        assert_eq!(stopped.stop_code, Some(StopCode::TaskFailedToStart));
        stopped.reason.unwrap()
    };
    let pull = stopped(|fixture| {
        let reason = "pull image manifest has been retried 1 time(s): failed to resolve ref app:1: not found";
        fixture.world.bad_images.lock().unwrap().insert("app:1".into(), reason.into());
    });
    assert_eq!(
        pull.await,
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref app:1: not found"
    );
    let group = stopped(|fixture| fixture.control.said.lock().unwrap().no_group = true);
    assert_eq!(
        group.await,
        "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: \
         failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist. : exit status 1"
    );
    let network = stopped(|fixture| *fixture.world.bad_network.lock().unwrap() = Some("no address".into()));
    assert_eq!(
        network.await,
        "ResourceInitializationError: failed to configure network interface eni-1: no address"
    );
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_not_there_is_told() {
    let fixture = Fixture::new().await;
    fixture.world.slow_images.lock().unwrap().insert("helper:1".into());
    fixture.run(task_spec(vec![container_spec("app"), container_spec("helper")]), 1).await;
    fixture.control.status(TaskStatus::Pending).await;
    // Both containers need the image of the second; meanwhile the sandbox learns that the first cannot start.
    fixture.stop(2).await;
    let stopped = fixture.control.status(TaskStatus::Stopped).await;
    assert_eq!(stopped.containers[1].exit_code, None, "nobody waits for an image once the task is to stop");

    let fixture = Fixture::new().await;
    let mut spec = task_spec(vec![container_spec("app"), container_spec("helper")]);
    spec.containers[1].depends_on = vec![task_lifecycle::Dependency {
        container_name: "app".into(),
        condition: task_lifecycle::DependencyCondition::Start,
    }];
    fixture.world.slow_images.lock().unwrap().insert("helper:1".into());
    fixture.run(spec, 1).await;
    fixture
        .control
        .until("app runs", |said| {
            let last = said.changes.last()?;
            (last.containers[0].status == task_lifecycle::ContainerStatus::Running).then_some(())
        })
        .await;
    fixture.world.sandbox().exits("app", 127, false);
    let stopped = fixture.control.status(TaskStatus::Stopped).await;
    assert_eq!(stopped.stop_code, Some(StopCode::EssentialContainerExited));
    assert_eq!(stopped.started_at, None);
}

#[tokio::test(start_paused = true)]
async fn a_container_is_as_healthy_as_its_check() {
    let fixture = Fixture::new().await;
    let mut spec = task_spec(vec![container_spec("app")]);
    spec.containers[0].health_check = Some(HealthCheck {
        command: vec!["/check".into()],
        interval_seconds: 10,
        timeout_seconds: 5,
        retries: 2,
        start_period_seconds: 0,
    });
    fixture.run(spec, 1).await;
    fixture.control.status(TaskStatus::Running).await;
    let health = async |wanted| {
        let found = |said: &control::Said| {
            said.changes.last().filter(|change| change.health_status == wanted).map(|_| ())
        };
        fixture.control.until("health", found).await;
    };
    let before = tokio::time::Instant::now();
    health(HealthStatus::Healthy).await;
    assert_eq!(before.elapsed().as_secs(), 10);
    fixture.world.sandbox().state().check = 1;
    health(HealthStatus::Unhealthy).await;
    assert_eq!(before.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_restart_policy_runs_a_container_again_under_a_new_name() {
    let fixture = Fixture::new().await;
    let mut spec = task_spec(vec![container_spec("app")]);
    spec.containers[0].restart_policy =
        Some(RestartPolicy { ignored_exit_codes: vec![], restart_attempt_period_seconds: 60 });
    spec.containers[0].log = awslogs(LogMode::Blocking);
    fixture.run(spec, 1).await;
    fixture.control.status(TaskStatus::Running).await;
    let sandbox = fixture.world.sandbox();
    tokio::time::sleep(Duration::from_secs(61)).await;
    sandbox.prints("app", "last words");
    sandbox.exits("app", 1, false);
    let restarted = fixture
        .control
        .until("a restart", |said| {
            said.changes.last().filter(|change| change.containers[0].restart_count == 1).cloned()
        })
        .await;
    assert_eq!(restarted.status, TaskStatus::Running);
    sandbox.prints("app.1", "again");
    fixture.control.line("again").await;
    assert_eq!(fixture.control.lines(), ["last words", "again"]);
    assert_eq!(sandbox.state().removed, ["app"], "the first run goes when its output is shipped");
    fixture.stop(2).await;
    fixture.control.status(TaskStatus::Stopped).await;
}

pub(super) fn awslogs(mode: LogMode) -> LogConfiguration {
    LogConfiguration::Awslogs(Awslogs {
        group: "/ecs/hello".into(),
        region: None,
        stream_prefix: Some("web".into()),
        create_group: false,
        datetime_format: None,
        multiline_pattern: None,
        mode,
    })
}
