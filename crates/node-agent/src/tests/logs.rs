//! Output on its way.

use std::time::Duration;

use agent_protocol::spec::LogMode;

use super::{course::awslogs, *};

async fn chatty(mode: LogMode) -> Fixture {
    let fixture = Fixture::new().await;
    let mut spec = task_spec(vec![container_spec("app")]);
    spec.containers[0].log = awslogs(mode);
    fixture.run(spec, 1).await;
    fixture.control.status(TaskStatus::Running).await;
    fixture
}

#[tokio::test(start_paused = true)]
async fn the_first_line_goes_out_at_once_and_later_ones_together() {
    let fixture = chatty(LogMode::Blocking).await;
    let sandbox = fixture.world.sandbox();
    let before = tokio::time::Instant::now();
    sandbox.prints("app", "one");
    fixture.control.line("one").await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    for line in ["two", "three"] {
        sandbox.prints("app", line);
    }
    fixture.control.line("three").await;
    assert!(before.elapsed() <= Duration::from_millis(201), "{:?}", before.elapsed());
    let said = fixture.control.said.lock().unwrap();
    assert_eq!(said.batches.len(), 2);
    let destination = &said.batches[0].destination;
    assert_eq!((destination.group.as_str(), destination.stream.as_str()), ("/ecs/hello", "web/app/t1"));
    assert_eq!(said.streams, std::slice::from_ref(destination));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_repeated_over_restarts_of_the_agent() {
    let mut fixture = chatty(LogMode::Blocking).await;
    let sandbox = fixture.world.sandbox();
    let mut expected = Vec::new();
    for round in 0..5 {
        let line = format!("line {round}");
        sandbox.prints("app", &line);
        fixture.control.line(&line).await;
        expected.push(line);
        // Let the position be remembered: it is only after the call was answered.
        fixture.control.until("acknowledged", |_| Some(())).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        fixture.end(ShutdownMode::LeaveRunning).await;
        let meanwhile = format!("meanwhile {round}");
        sandbox.prints("app", &meanwhile);
        fixture.start().await;
        fixture.control.line(&meanwhile).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        expected.push(meanwhile);
    }
    assert_eq!(fixture.control.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn output_waits_while_the_control_plane_is_away() {
    let fixture = chatty(LogMode::Blocking).await;
    let sandbox = fixture.world.sandbox();
    fixture.control.set_away(true);
    let lines: Vec<String> = (0..50).map(|number| format!("{number} {}", "x".repeat(100_000))).collect();
    for line in &lines {
        sandbox.prints("app", line);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(sandbox.state().outputs["app"].acknowledged, Default::default());
    // The task may even end meanwhile.
    sandbox.exits("app", 0, false);
    tokio::time::sleep(Duration::from_secs(60)).await;
    fixture.control.set_away(false);
    fixture.control.status(TaskStatus::Stopped).await;
    assert_eq!(fixture.control.lines(), lines);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_does_not_wait_loses_what_is_beyond_its_buffer() {
    let fixture = chatty(LogMode::NonBlocking { max_buffer_bytes: 1000 }).await;
    let sandbox = fixture.world.sandbox();
    fixture.control.set_away(true);
    for number in 0..50 {
        sandbox.prints("app", &format!("{number:02} {}", "x".repeat(100)));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    fixture.control.set_away(false);
    sandbox.exits("app", 0, false);
    fixture.control.status(TaskStatus::Stopped).await;
    let lines = fixture.control.lines();
    assert!(lines.len() < 20 && lines[0].starts_with("00"), "{}", lines.len());
}

#[tokio::test(start_paused = true)]
async fn output_that_goes_nowhere_does_not_pile_up() {
    let fixture = Fixture::new().await;
    let mut spec = task_spec(vec![container_spec("app")]);
    spec.containers[0].log = agent_protocol::spec::LogConfiguration::None;
    fixture.run(spec, 1).await;
    fixture.control.status(TaskStatus::Running).await;
    let sandbox = fixture.world.sandbox();
    sandbox.prints("app", "unheard");
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(sandbox.state().outputs["app"].acknowledged.offset, 1);
    assert!(fixture.control.lines().is_empty());
}
