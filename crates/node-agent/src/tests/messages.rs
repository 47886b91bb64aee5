//! What the control plane says.

use std::time::Duration;

use agent_protocol::{AgentMessage, spec::NetworkState};
use task_lifecycle::{StopCode, TaskStateChange};

use super::*;
use crate::endpoint::{Directory, TaskView};

#[tokio::test(start_paused = true)]
async fn an_older_or_repeated_payload_has_no_effect() {
    let fixture = Fixture::new().await;
    fixture.run(task_spec(vec![container_spec("app")]), 5).await;
    fixture.control.status(TaskStatus::Running).await;
    fixture.stop(4).await;
    fixture.run(task_spec(vec![container_spec("app")]), 5).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(fixture.control.record().last_status, TaskStatus::Running);
    assert_eq!(fixture.world.sandbox().state().created["app"], 1);
    fixture.stop(6).await;
    fixture.control.status(TaskStatus::Stopped).await;
    let acks = |said: &control::Said| {
        let ids = said.messages.iter().filter_map(|message| match message {
            AgentMessage::Ack(ack) => ack.message_id.clone(),
            _ => None,
        });
        ids.collect::<Vec<_>>()
    };
    let acks = fixture.control.until("acks", |said| Some(acks(said)).filter(|acks| acks.len() == 4)).await;
    assert_eq!(acks, ["m5", "m4", "m5", "m6"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_cannot_be_run_at_all_is_refused() {
    let refused = async |spec: TaskSpec, because: &str| {
        let fixture = Fixture::new().await;
        fixture.run(spec, 1).await;
        let reason = fixture.control.until("a refusal", |said| match said.messages.first()? {
            AgentMessage::Nack(nack) => nack.reason.clone(),
            _ => None,
        });
        let reason = reason.await;
        assert!(reason.contains(because), "{reason}");
        let stopped = fixture.control.status(TaskStatus::Stopped).await;
        assert_eq!(stopped.stop_code, Some(StopCode::TaskFailedToStart));
        assert!(stopped.reason.unwrap().starts_with("ResourceInitializationError: "));
        let tasks = std::fs::read_dir(fixture.disk.path().join("data/tasks")).unwrap();
        assert_eq!(tasks.count(), 0, "nothing of it is kept");
    };
    let mut spec = task_spec(vec![container_spec("app")]);
    spec.containers[0].essential = false;
    refused(spec, "essential").await;
    refused(task_spec(vec![container_spec("../app")]), "container \"../app\" is not a name").await;
    let mut spec = task_spec(vec![container_spec("app")]);
    spec.containers[0].runtime_id = "/etc".into();
    refused(spec, "runtime id \"/etc\" is not a name").await;
    let spec = TaskSpec { task_id: "..".into(), ..task_spec(vec![container_spec("app")]) };
    refused(spec, "task id \"..\" is not a name").await;
}

#[tokio::test(start_paused = true)]
async fn a_volume_with_a_path_for_a_name_fails_its_task() {
    let fixture = Fixture::new().await;
    let mut spec = task_spec(vec![container_spec("app")]);
    let source = agent_protocol::spec::VolumeSource::Task;
    spec.volumes = vec![agent_protocol::spec::Volume { name: "/etc".into(), source }];
    fixture.run(spec, 1).await;
    let stopped = fixture.control.status(TaskStatus::Stopped).await;
    assert_eq!(stopped.reason.as_deref(), Some("ResourceInitializationError: invalid volume name \"/etc\""));
    assert_eq!(stopped.stop_code, Some(StopCode::TaskFailedToStart));
}

#[tokio::test(start_paused = true)]
async fn unused_images_are_looked_for_now_and_then() {
    let fixture = Fixture::running().await;
    tokio::time::sleep(Duration::from_secs(3 * 30 * 60 + 1)).await;
    assert_eq!(*fixture.world.collections.lock().unwrap(), 3);
    // One that does not end keeps neither messages nor the next time waiting, and has no second beside it.
    *fixture.world.slow_garbage.lock().unwrap() = true;
    tokio::time::sleep(Duration::from_secs(3 * 30 * 60)).await;
    assert_eq!(*fixture.world.collections.lock().unwrap(), 4);
    fixture.stop(2).await;
    fixture.control.status(TaskStatus::Stopped).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_task_that_is_not_here_the_last_word_is_said() {
    let fixture = Fixture::new().await;
    fixture.stop(9).await;
    let change = fixture.control.status(TaskStatus::Stopped).await;
    assert_eq!(change.sequence, TaskStateChange::LAST_WORD);
    assert_eq!(fixture.control.record().last_status, TaskStatus::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_has_ended_is_not_run_again() {
    let fixture = Fixture::running().await;
    fixture.stop(2).await;
    fixture.control.status(TaskStatus::Stopped).await;
    fixture.until_gone().await;
    fixture.run(task_spec(vec![container_spec("app")]), 1).await;
    let last_word =
        |said: &control::Said| (said.changes.last()?.sequence == TaskStateChange::LAST_WORD).then_some(());
    fixture.control.until("the last word", last_word).await;
    assert_eq!(fixture.world.sandbox().state().created["app"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_manifest_is_compared_and_strangers_are_asked_about() {
    let fixture = Fixture::running().await;
    let stranger = acs::TaskIdentifier { task_arn: Some("arn:other".into()), ..Default::default() };
    let manifest = acs::TaskManifestMessage {
        message_id: Some("m".into()),
        tasks: Some(vec![stranger]),
        ..Default::default()
    };
    fixture.send(AcsMessage::TaskManifest(manifest)).await;
    let candidates = fixture.control.until("a question", |said| {
        said.messages.iter().find_map(|message| match message {
            AgentMessage::TaskStopVerification(question) => question.stop_candidates.clone(),
            _ => None,
        })
    });
    let candidates = candidates.await;
    assert_eq!(candidates[0].task_arn, task("").arn);
    let unknown = fixture.control.until("the last word", |said| {
        said.changes.iter().find(|change| change.task == "arn:other").cloned()
    });
    assert_eq!(unknown.await.status, TaskStatus::Stopped);
    let ack = acs::TaskStopVerificationAck { stop_tasks: Some(candidates), ..Default::default() };
    fixture.send(AcsMessage::TaskStopVerificationAck(ack)).await;
    let wanted = |said: &control::Said| {
        said.changes
            .iter()
            .any(|change| change.status == TaskStatus::Stopped && change.task != "arn:other")
            .then_some(())
    };
    fixture.control.until("the stop", wanted).await;
}

#[tokio::test(start_paused = true)]
async fn the_network_is_applied_in_order_and_never_an_older_one() {
    let mut fixture = Fixture::new().await;
    for generation in [3, 2, 4] {
        fixture.send(AcsMessage::NetworkState(NetworkState { generation, ..NetworkState::default() })).await;
    }
    fixture.run(task_spec(vec![container_spec("app")]), 1).await;
    fixture.control.status(TaskStatus::Running).await;
    let applied = |fixture: &Fixture| {
        let states = fixture.world.network_states.lock().unwrap();
        states.iter().map(|state| state.generation).collect::<Vec<_>>()
    };
    assert_eq!(applied(&fixture), [3, 4]);
    fixture.restart().await;
    assert_eq!(applied(&fixture), [3, 4, 4], "a restarted agent knows it");
}

/// What a line of the journal has sealed: the fixture's seal turns it around.
fn unsealed(line: &str) -> Option<String> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let sealed = line.as_object()?.values().find_map(|value| value.get(1)?.as_str())?;
    let plain = STANDARD.decode(sealed).ok()?.into_iter().rev().collect();
    String::from_utf8(plain).ok()
}

#[tokio::test(start_paused = true)]
async fn fresh_credentials_are_acknowledged_and_survive_a_restart() {
    let mut fixture = Fixture::running().await;
    let credentials = acs::IamRoleCredentials {
        credentials_id: Some("cred-2".into()),
        access_key_id: Some("ASIANEW".into()),
        secret_access_key: Some("new".into()),
        session_token: Some("new".into()),
        expiration: Some("2026-11-21T08:00:00Z".into()),
        ..Default::default()
    };
    fixture
        .send(AcsMessage::IamRoleCredentials(acs::IamRoleCredentialsMessage {
            task_arn: task("").arn,
            role_type: Some("TaskApplication".into()),
            role_credentials: Some(credentials),
            message_id: Some("c".into()),
            ..Default::default()
        }))
        .await;
    let acked = fixture.control.until("an ack", |said| {
        said.messages.iter().find_map(|message| match message {
            AgentMessage::IamRoleCredentialsAck(ack) => ack.credentials_id.clone(),
            _ => None,
        })
    });
    assert_eq!(acked.await, "cred-2");
    tokio::time::sleep(Duration::from_millis(1)).await;
    fixture.restart().await;
    let path = fixture.disk.path().join("data/journal");
    let journal = std::fs::read_to_string(path).unwrap();
    assert!(!journal.contains("ASIANEW"), "not as it is");
    let kept = journal.lines().filter_map(unsealed).any(|spec| spec.contains("ASIANEW"));
    assert!(kept, "{journal}");
}

#[tokio::test(start_paused = true)]
async fn ending_with_everything_kills_what_does_not_end_soon() {
    let mut fixture = Fixture::running().await;
    fixture.world.sandbox().state().stubborn.insert("app".into());
    let before = tokio::time::Instant::now();
    fixture.end(ShutdownMode::RemoveEverything { grace: Duration::from_secs(2) }).await;
    assert_eq!(before.elapsed().as_secs(), 2);
    assert!(fixture.world.sandbox().state().over);
    assert_eq!(fixture.world.swept.lock().unwrap().last().unwrap().len(), 0);
    assert!(*fixture.world.network_removed.lock().unwrap());
    assert_eq!(std::fs::read_dir(fixture.disk.path().join("data/tasks")).unwrap().count(), 0);
}

#[test]
fn an_address_that_went_to_another_task_stays_with_it() {
    let view = || {
        let spec = task_spec(vec![container_spec("app")]);
        let facts = task_lifecycle::TaskFacts::new(&crate::task::shape::shape(&spec).unwrap());
        Arc::new(TaskView::new(Arc::new(spec), facts))
    };
    let (directory, old, new) = (Directory::default(), view(), view());
    directory.insert(&old);
    directory.insert(&new);
    directory.remove(&old);
    let found = directory.candidates(std::net::IpAddr::from([172, 31, 0, 10]));
    assert!(Arc::ptr_eq(&found[0], &new));
    directory.remove(&new);
    assert!(directory.candidates(std::net::IpAddr::from([172, 31, 0, 10])).is_empty());
}
