//! The agent dies and comes back; the sandboxes do not notice.

use std::{io::Write, time::Duration};

use agent_protocol::state::AttachmentStatus;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_running_task_is_found_again_and_stops_in_order() {
    let mut fixture = Fixture::running().await;
    fixture.restart().await;
    assert!(fixture.world.swept.lock().unwrap().last().unwrap().contains("t1"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(fixture.world.sandbox().state().created["app"], 1);
    assert_eq!(fixture.control.record().last_status, TaskStatus::Running);
    fixture.stop(2).await;
    let stopped = fixture.control.status(TaskStatus::Stopped).await;
    assert_eq!(stopped.containers[0].exit_code, Some(143));
    fixture.until_gone().await;
    assert!(fixture.world.attached.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_exit_while_the_agent_was_away_is_told() {
    let mut fixture = Fixture::running().await;
    fixture.end(ShutdownMode::LeaveRunning).await;
    fixture.world.sandbox().exits("app", 7, false);
    fixture.start().await;
    let stopped = fixture.control.status(TaskStatus::Stopped).await;
    assert_eq!(stopped.containers[0].exit_code, Some(7));
    assert_eq!(stopped.reason.as_deref(), Some("Essential container in task exited"));
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_died_ends_its_task_whether_or_not_the_agent_was_there() {
    for away in [false, true] {
        let mut fixture = Fixture::running().await;
        if away {
            fixture.end(ShutdownMode::LeaveRunning).await;
        }
        fixture.world.sandbox().dies();
        if away {
            fixture.start().await;
        }
        let stopped = fixture.control.status(TaskStatus::Stopped).await;
        assert_eq!(stopped.containers[0].exit_code, None);
        assert!(stopped.containers[0].reason.is_some());
        fixture.until_gone().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_was_cut_off_is_made_good() {
    // The agent ends at every moment of a start that paused time can tell apart.
    for waits in 0..40 {
        let mut fixture = Fixture::new().await;
        fixture.run(task_spec(vec![container_spec("app")]), 1).await;
        for _ in 0..waits {
            tokio::task::yield_now().await;
        }
        fixture.restart().await;
        // The control plane says it again when it hears nothing.
        fixture.run(task_spec(vec![container_spec("app")]), 1).await;
        fixture.control.status(TaskStatus::Running).await;
        let state = fixture.world.sandbox();
        assert!(state.state().statuses["app"].state == container_runtime::ContainerState::Running);
        fixture.stop(2).await;
        fixture.control.status(TaskStatus::Stopped).await;
        fixture.until_gone().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_was_cut_off_is_made_good() {
    for waits in 0..40 {
        let mut fixture = Fixture::running().await;
        fixture.stop(2).await;
        for _ in 0..waits {
            tokio::task::yield_now().await;
        }
        fixture.restart().await;
        fixture.stop(2).await;
        fixture.control.status(TaskStatus::Stopped).await;
        fixture.until_gone().await;
        assert!(fixture.world.attached.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_has_removed_what_it_said_had_ended() {
    let mut fixture = Fixture::running().await;
    fixture.stop(2).await;
    fixture.control.status(TaskStatus::Stopped).await;
    fixture.end(ShutdownMode::LeaveRunning).await;
    assert!(fixture.world.attached.lock().unwrap().is_empty());
    assert!(!fixture.disk.path().join("data/tasks/t1").exists());
}

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_is_said_again_by_the_next_agent() {
    let mut fixture = Fixture::running().await;
    fixture.control.set_away(true);
    fixture.stop(2).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    fixture.restart().await;
    fixture.control.set_away(false);
    fixture.control.status(TaskStatus::Stopped).await;
    assert_eq!(fixture.control.record().last_status, TaskStatus::Stopped);
    fixture.until_gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_actor_panics_is_taken_up_again() {
    let fixture = Fixture::running().await;
    fixture.world.sandbox().state().panics = 1;
    // The first is one too many for the actor, the second finds it gone and has it brought back.
    fixture.stop(2).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    fixture.stop(3).await;
    let stopped = fixture.control.status(TaskStatus::Stopped).await;
    assert_eq!(stopped.containers[0].exit_code, Some(137), "the signal was lost with the actor");
    fixture.until_gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_actor_panics_for_good_is_kept_and_swept_when_stopped() {
    let fixture = Fixture::running().await;
    fixture.world.sandbox().state().panics = u32::MAX;
    fixture.stop(2).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    // Neither begun again nor unknown.
    fixture.run(task_spec(vec![container_spec("app")]), 3).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(fixture.world.sandbox().state().created["app"], 1);
    assert_eq!(fixture.control.record().last_status, TaskStatus::Running);
    assert!(fixture.disk.path().join("data/tasks/t1").exists());
    fixture.stop(4).await;
    let stopped = fixture.control.status(TaskStatus::Stopped).await;
    assert!(stopped.reason.unwrap().starts_with("The agent failed to watch over the task"));
    fixture.until_gone().await;
    assert!(fixture.world.sandbox().state().over);
    assert!(fixture.world.attached.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_go_is_tried_until_it_does_and_not_said_before() {
    let fixture = Fixture::running().await;
    // More than any bounded number of tries.
    fixture.world.sandbox().state().unremovable = 40;
    *fixture.world.undetachable.lock().unwrap() = 40;
    fixture.stop(2).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(!fixture.world.sandbox().state().over);
    assert_eq!(
        *fixture.world.undetachable.lock().unwrap(),
        40,
        "the network is the sandbox's until it is gone"
    );
    let detached = |said: &control::Said| {
        said.attachments.iter().any(|change| change.status == AttachmentStatus::Detached)
    };
    // Nearly three minutes each.
    tokio::time::sleep(Duration::from_secs(80)).await;
    assert!(fixture.world.sandbox().state().over);
    assert!(!detached(&fixture.control.said.lock().unwrap()));
    fixture.control.until("the detachment", |said| detached(said).then_some(())).await;
    fixture.until_gone().await;
    assert!(fixture.world.attached.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_everything_does_not_wait_for_what_does_not_go() {
    let mut fixture = Fixture::running().await;
    *fixture.world.undetachable.lock().unwrap() = u32::MAX;
    fixture.end(ShutdownMode::RemoveEverything { grace: Duration::from_secs(1) }).await;
    assert!(*fixture.world.network_removed.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_torn_journal_is_as_good_as_none() {
    let mut fixture = Fixture::new().await;
    let dir = fixture.disk.path().join("data/tasks/torn");
    std::fs::create_dir_all(&dir).unwrap();
    let journal = fixture.disk.path().join("data/journal");
    std::fs::OpenOptions::new()
        .append(true)
        .open(journal)
        .and_then(|mut file| file.write_all(b"{\"spec\":[\"torn\",{\"taskArn\": "))
        .unwrap();
    fixture.restart().await;
    assert!(!dir.exists());
}

#[tokio::test(start_paused = true)]
async fn what_a_task_was_given_lies_in_no_file_and_is_known_after_a_restart() {
    let mut fixture = Fixture::new().await;
    let given = |name: &str| agent_protocol::spec::EnvironmentVariable {
        name: name.into(),
        value: "given in confidence".into(),
    };
    let mut app = container_spec("app");
    app.secrets = vec![given("PASSWORD")];
    app.environment = vec![given("TOKEN")];
    fixture.run(task_spec(vec![app]), 1).await;
    fixture.control.status(TaskStatus::Running).await;
    let journal = fixture.disk.path().join("data/journal");
    let written = || String::from_utf8(std::fs::read(&journal).unwrap()).unwrap();
    assert!(written().contains("\"sealed\":[\"t1\""), "the task is in the journal");
    assert!(!written().contains("given in confidence"));
    fixture.restart().await;
    assert!(!written().contains("given in confidence"));
    fixture.stop(2).await;
    fixture.control.status(TaskStatus::Stopped).await;
    fixture.until_gone().await;
}
