//! What tasks are given in confidence.

use agent_protocol::{
    ContainerSecrets, TaskSecrets,
    spec::{EnvironmentVariable, LogConfiguration, LogMode, RegistryCredentials},
    state::StopCode,
};

use super::*;

fn waiting() -> TaskSpec {
    TaskSpec { awaits_secrets: true, ..task_spec(vec![container_spec("app")]) }
}

fn password() -> ContainerSecrets {
    ContainerSecrets {
        container_name: "app".into(),
        environment_files: vec!["MODE=fast\n".into()],
        secrets: vec![EnvironmentVariable { name: "PASSWORD".into(), value: "in confidence".into() }],
        ..ContainerSecrets::default()
    }
}

#[tokio::test(start_paused = true)]
async fn secrets_are_asked_for_once_and_lie_in_no_file() {
    let mut fixture = Fixture::new().await;
    fixture.control.said.lock().unwrap().secrets = Some(TaskSecrets { containers: vec![password()] });
    *fixture.world.stop_signal.lock().unwrap() = Some("SIGQUIT".to_owned());
    fixture.run(waiting(), 1).await;
    fixture.control.status(TaskStatus::Running).await;
    let env = fixture.world.sandbox().state().configs["app"].env.clone();
    for expected in ["PASSWORD=in confidence", "MODE=fast"] {
        assert!(env.iter().any(|variable| variable == expected), "{expected} in {env:?}");
    }
    assert_eq!(fixture.control.said.lock().unwrap().asked_for_secrets, 1);
    // What a restarted agent knows it has from its journal, which has no secrets.
    fixture.restart().await;
    let journal = std::fs::read(fixture.disk.path().join("data/journal")).unwrap();
    assert!(!String::from_utf8_lossy(&journal).contains("in confidence"));
    fixture.stop(2).await;
    fixture.control.status(TaskStatus::Stopped).await;
    // The restarted agent has no need of them: what the image names for its end is in the journal.
    assert_eq!(fixture.world.sandbox().state().signals, [("app".to_owned(), 3)]);
    assert_eq!(fixture.control.said.lock().unwrap().asked_for_secrets, 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_may_not_have_its_secrets_does_not_begin() {
    let fixture = Fixture::new().await;
    fixture.run(waiting(), 1).await;
    let stopped = fixture.control.status(TaskStatus::Stopped).await;
    assert_eq!(stopped.stop_code, Some(StopCode::TaskFailedToStart));
    let reason = "ResourceInitializationError: unable to pull secrets or registry auth: no";
    assert_eq!(stopped.reason.as_deref(), Some(reason));
    fixture.until_gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_is_away_is_waited_for() {
    let fixture = Fixture::new().await;
    fixture.control.said.lock().unwrap().secrets = Some(TaskSecrets { containers: vec![password()] });
    fixture.control.set_away(true);
    fixture.run(waiting(), 1).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    fixture.control.set_away(false);
    fixture.control.status(TaskStatus::Running).await;
}

#[tokio::test(start_paused = true)]
async fn credentials_of_a_private_registry_take_the_place_of_a_login() {
    let fixture = Fixture::new().await;
    let credentials = RegistryCredentials { username: "ann".into(), password: "in confidence".into() };
    let given = ContainerSecrets { registry_credentials: Some(credentials), ..password() };
    fixture.control.said.lock().unwrap().secrets = Some(TaskSecrets { containers: vec![given] });
    fixture.run(waiting(), 1).await;
    fixture.control.status(TaskStatus::Running).await;
    assert!(fixture.control.said.lock().unwrap().logins.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_log_group_may_be_a_secret() {
    let fixture = Fixture::new().await;
    let log = course::awslogs(LogMode::Blocking);
    let LogConfiguration::Awslogs(options) = log.clone() else { panic!("a log group") };
    let given = ContainerSecrets { log: Some(log), ..password() };
    fixture.control.said.lock().unwrap().secrets = Some(TaskSecrets { containers: vec![given] });
    let mut spec = waiting();
    spec.containers[0].log_awaits_secrets = true;
    let mut nameless = options.clone();
    nameless.group.clear();
    spec.containers[0].log = LogConfiguration::Awslogs(nameless);
    fixture.run(spec, 1).await;
    fixture.control.status(TaskStatus::Running).await;
    assert_eq!(fixture.control.said.lock().unwrap().streams[0].group, options.group);
    fixture.world.sandbox().prints("app", "hello");
    fixture.control.line("hello").await;
    assert_eq!(fixture.control.said.lock().unwrap().batches[0].destination.group, options.group);
}
