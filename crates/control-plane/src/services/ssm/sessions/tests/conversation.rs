//! Whole sessions: handshake, bytes both ways, ends of every kind, connections that break.

use agent_protocol::stream::{TerminalSize, What};
use tokio::time::Duration;

use super::{
    super::{
        board::IDLE_TIMEOUT,
        plan::{self, BucketLog, LogTo, Plan},
        records::SessionStatus,
        run::Patience,
        wire::{Kind, Message, Payload, flag},
        work::CLOSE_INPUT,
    },
    client::Node,
};
use crate::services::{
    logs::LogSink,
    s3,
    testing::{Fixture, scope},
};

const PLUGIN: &str = "1.2.707.0";

#[tokio::test]
async fn a_terminal_from_the_handshake_to_its_end() {
    let mut node = Node::new().await;
    let opened = node.interactive().await;
    assert!(opened.stream_url.starts_with("ws://localhost:4566/v1/data-channel/"), "{}", opened.stream_url);
    assert!(opened.stream_url.ends_with("?role=publish_subscribe"));
    let mut client = node.connect(&opened).await;
    let request = client.shake_hands(PLUGIN).await;
    let action = &request["RequestedClientActions"][0];
    assert_eq!(action["ActionType"], "SessionType");
    assert_eq!(action["ActionParameters"]["SessionType"], "InteractiveCommands");
    node.recorded(&opened.id, |record| record.status == SessionStatus::Connected).await;
    let begun = node.begun().await;
    assert_eq!(
        (begun.task_arn.as_str(), begun.container.as_str()),
        ("arn:aws:ecs:us-east-1:000000000000:task/web/t1", "app")
    );
    let What::Process(process) = begun.what else { panic!("a process") };
    assert_eq!((process.args.as_slice(), process.user.as_deref()), (&["sh".to_owned()][..], Some("0")));
    assert!(process.environment.contains(&"TERM=xterm-256color".to_owned()));
    assert_eq!(process.terminal, Some(TerminalSize { rows: 24, columns: 80 }));
    client.send(Payload::Size, br#"{"cols":132,"rows":50}"#).await;
    assert_eq!(node.resized().await, TerminalSize { rows: 50, columns: 132 });
    client.type_in("hello").await;
    assert_eq!(client.data().await, (Payload::Output, b"hello".to_vec()));
    client.type_in("quit").await;
    let closed = client.closed().await;
    assert_eq!((closed.output.as_str(), closed.exit_code), ("", Some(7)));
    assert_eq!((closed.session_id, closed.message_type.as_str()), (opened.id.clone(), "channel_closed"));
    let record = node.recorded(&opened.id, |record| record.status.is_over()).await;
    assert_eq!((record.status, record.details), (SessionStatus::Terminated, None));
    assert!(record.ended_at.is_some());
    assert!(node.services().sessions.admit(&opened.id, &opened.token).is_none());
}

#[tokio::test]
async fn a_command_without_a_terminal_has_two_outputs_and_a_status() {
    let mut node = Node::new().await;
    let parameters = [("command", "cat"), ("separateOutputStream", "true")];
    let opened = node.open("AWS-StartNonInteractiveCommand", &parameters).await;
    let mut client = node.connect(&opened).await;
    client.shake_hands("longshore-0.1.0").await;
    let What::Process(process) = node.begun().await.what else { panic!("a process") };
    assert_eq!(process.terminal, None);
    client.type_in("text").await;
    assert_eq!(client.data().await, (Payload::Output, b"text".to_vec()));
    client.type_in("error").await;
    assert_eq!(client.data().await, (Payload::StdErr, b"error".to_vec()));
    client.send(Payload::Flag, &CLOSE_INPUT.to_be_bytes()).await;
    assert_eq!(client.data().await, (Payload::ExitCode, b"0".to_vec()));
    assert_eq!(client.closed().await.exit_code, Some(0));
}

#[tokio::test]
async fn the_plugin_gives_a_command_no_input_and_one_output() {
    let node = Node::new().await;
    let opened = node.open("AWS-StartNonInteractiveCommand", &[("command", "cat")]).await;
    let mut client = node.connect(&opened).await;
    let request = client.shake_hands(PLUGIN).await;
    let parameters = &request["RequestedClientActions"][0]["ActionParameters"];
    assert_eq!(parameters["SessionType"], "NonInteractiveCommands");
    assert_eq!(client.closed().await.exit_code, Some(0));
    assert_eq!(client.received, [], "no status among the output");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told_in_the_terminal() {
    let node = Node::new().await;
    let opened = node.interactive().await;
    let mut client = node.connect(&opened).await;
    client.shake_hands(PLUGIN).await;
    client.type_in("missing").await;
    assert_eq!(client.data().await, (Payload::Output, b"exec: not found\r\n".to_vec()));
    assert_eq!(client.closed().await.exit_code, Some(127));
}

#[tokio::test]
async fn a_broken_connection_is_taken_up_again() {
    let mut node = Node::new().await;
    let opened = node.interactive().await;
    let mut client = node.connect(&opened).await;
    client.shake_hands(PLUGIN).await;
    node.begun().await;
    client.type_in("one").await;
    // It is lost: the client hears nothing of the answer.
    let broken = std::mem::replace(&mut client.wire, super::super::board::line().1);
    drop(broken);
    node.recorded(&opened.id, |record| record.status == SessionStatus::Disconnected).await;
    let mut ids = node.services().ids();
    let token = node.services().sessions.renew(&scope(), &opened.id, &mut ids).expect("it is open");
    assert!(node.services().sessions.admit(&opened.id, &opened.token).is_none(), "the old token is void");
    let again = super::super::calls::Opened { token, ..opened };
    client.wire = node.line(&again).await;
    assert_eq!(client.data().await, (Payload::Output, b"one".to_vec()));
    client.type_in("two").await;
    assert_eq!(client.data().await, (Payload::Output, b"two".to_vec()));
    node.recorded(&again.id, |record| record.status == SessionStatus::Connected).await;
}

/// What the shell's document says, and little patience.
fn shell() -> Plan {
    plan::of_document(None, &Default::default(), &Default::default(), IDLE_TIMEOUT).unwrap()
}

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn who_stays_away_loses_the_session() {
    let mut node = Node::new().await;
    let patience = Patience { absence: SHORT, ..Patience::default() };
    let opened = node.open_with(shell(), patience).await;
    let mut client = node.connect(&opened).await;
    client.shake_hands(PLUGIN).await;
    node.begun().await;
    drop(client);
    assert_eq!(node.ended().await, format!("{}/1", opened.id));
    node.recorded(&opened.id, |record| record.status == SessionStatus::Terminated).await;
    // Also one to which nobody ever came.
    let never = Plan { document: "never".to_owned(), ..shell() };
    let never = node.open_with(never, patience).await;
    node.recorded(&never.id, |record| record.status == SessionStatus::Terminated).await;
}

#[tokio::test]
async fn silence_ends_a_session() {
    let mut node = Node::new().await;
    let opened = node.open_plan(Plan { idle_timeout: SHORT, ..shell() }).await;
    let mut client = node.connect(&opened).await;
    client.shake_hands(PLUGIN).await;
    node.begun().await;
    assert_eq!(client.closed().await.output, "The session has timed out due to inactivity.");
    node.ended().await;
}

#[tokio::test]
async fn a_session_lasts_as_long_as_it_may() {
    let node = Node::new().await;
    let opened = node.open_plan(Plan { longest: Some(SHORT), ..shell() }).await;
    let mut client = node.connect(&opened).await;
    client.shake_hands(PLUGIN).await;
    assert_eq!(client.closed().await.output, "The session has reached its maximum duration.");
}

#[tokio::test]
async fn sessions_are_terminated_and_end_with_their_node() {
    let mut node = Node::new().await;
    let opened = node.interactive().await;
    let mut client = node.connect(&opened).await;
    client.shake_hands(PLUGIN).await;
    node.begun().await;
    assert!(node.services().sessions.end(&scope(), &opened.id));
    assert_eq!(client.closed().await.output, "");
    node.ended().await;
    node.recorded(&opened.id, |record| record.status == SessionStatus::Terminated).await;

    let flagged = node.interactive().await;
    let mut client = node.connect(&flagged).await;
    client.shake_hands(PLUGIN).await;
    client.send(Payload::Flag, &flag::TERMINATE_SESSION.to_be_bytes()).await;
    assert_eq!(client.closed().await.output, "");
    node.recorded(&flagged.id, |record| record.status == SessionStatus::Terminated).await;

    let orphaned = node.interactive().await;
    let mut client = node.connect(&orphaned).await;
    client.shake_hands(PLUGIN).await;
    node.begun().await;
    client.type_in("here").await;
    client.data().await;
    node.leave();
    assert_eq!(client.closed().await.output, "The connection to the container was lost.");
    node.recorded(&orphaned.id, |record| record.status == SessionStatus::Failed).await;
}

#[tokio::test]
async fn a_client_that_does_not_shake_hands_is_let_go() {
    let node = Node::new().await;
    let patience = Patience { handshake: SHORT, ..Patience::default() };
    let opened = node.open_with(Plan { document: "deaf".to_owned(), ..shell() }, patience).await;
    let mut client = node.connect(&opened).await;
    assert_eq!(client.closed().await.output, "the client did not answer the handshake");

    let opened = node.open("SSM-SessionManagerRunShell", &[]).await;
    let mut client = node.connect(&opened).await;
    client.data().await;
    let response = br#"{"ClientVersion":"1.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":2,"Error":"no such type"}]}"#;
    client.send(Payload::HandshakeResponse, response).await;
    let closed = client.closed().await;
    assert_eq!(closed.output, "the client does not support SessionType: no such type");
}

#[tokio::test]
async fn hostile_frames_change_nothing() {
    let node = Node::new().await;
    let opened = node.interactive().await;
    let mut client = node.connect(&opened).await;
    client.shake_hands(PLUGIN).await;
    let good = Message {
        kind: Kind::Input,
        created: 1,
        sequence: 1 << 40,
        flags: 0,
        id: [6; 16],
        payload_kind: Payload::Output,
        payload: b"from the future".to_vec(),
    };
    let mut frames = vec![Vec::new(), vec![0; 3], vec![0xff; 5000], b"{}".to_vec(), good.encode()];
    frames.push(Message { kind: Kind::Output, sequence: 1, ..good.clone() }.encode());
    frames.push(Message { kind: Kind::Acknowledge, payload: b"nonsense".to_vec(), ..good.clone() }.encode());
    frames.push(Message { kind: Kind::ChannelClosed, ..good.clone() }.encode());
    frames.push(Message { payload_kind: Payload::Size, sequence: i64::MIN, ..good }.encode());
    for frame in frames {
        client.wire.incoming.send(frame).await.unwrap();
    }
    client.send(Payload::Size, b"nonsense").await;
    client.send(Payload::Flag, b"x").await;
    client.send(Payload::Parameter, b"x").await;
    client.type_in("hello").await;
    assert_eq!(client.data().await, (Payload::Output, b"hello".to_vec()));
}

#[tokio::test]
async fn a_paused_client_is_not_sent_to() {
    let mut node = Node::new().await;
    let opened = node.interactive().await;
    let mut client = node.connect(&opened).await;
    client.shake_hands(PLUGIN).await;
    node.begun().await;
    let control = |kind| Message {
        kind,
        created: 1,
        sequence: 0,
        flags: 0,
        id: [7; 16],
        payload_kind: Payload::None,
        payload: Vec::new(),
    };
    client.wire.incoming.send(control(Kind::Pause).encode()).await.unwrap();
    client.type_in("later").await;
    // Behind it, and carried out all the same.
    client.send(Payload::Size, br#"{"cols":80,"rows":25}"#).await;
    node.resized().await;
    while let Ok(bytes) = client.wire.out.try_recv() {
        assert_ne!(Message::decode(&bytes).unwrap().kind, Kind::Output);
    }
    client.wire.incoming.send(control(Kind::Start).encode()).await.unwrap();
    assert_eq!(client.data().await, (Payload::Output, b"later".to_vec()));
}

#[tokio::test]
async fn a_client_that_acknowledges_nothing_holds_up_the_container_and_nobody_else() {
    let mut node = Node::new().await;
    let opened = node.interactive().await;
    let mut client = node.connect(&opened).await;
    client.shake_hands(PLUGIN).await;
    node.begun().await;
    let mut sent = 0;
    for _ in 0..2000 {
        let bytes = client.channel.send(Payload::Output, vec![b'x'; 1024], [8; 16], 1, Duration::ZERO);
        // The way in fills up: nobody reads it any more.
        match tokio::time::timeout(Duration::from_secs(1), client.wire.incoming.send(bytes)).await {
            Ok(sending) => sending.unwrap(),
            Err(_) => break,
        }
        sent += 1;
        while let Ok(bytes) = client.wire.out.try_recv() {
            let message = Message::decode(&bytes).unwrap();
            if message.kind == Kind::Output {
                client.channel.receive(message);
            }
        }
    }
    let kept = std::iter::from_fn(|| client.channel.next_in_order()).count();
    assert!(kept < 2000, "{kept} of {sent}");
    // Another session goes on.
    let other = node.open("SSM-SessionManagerRunShell", &[]).await;
    let mut second = node.connect(&other).await;
    second.shake_hands(PLUGIN).await;
    second.type_in("hello").await;
    assert_eq!(second.data().await, (Payload::Output, b"hello".to_vec()));
}

#[tokio::test]
async fn what_is_shown_is_logged() {
    let node = Node::new().await;
    let sink = LogSink::new(node.services().logs.clone());
    sink.prepare(&scope(), "/sessions", "other", true, "incarnation", node.services().now()).await.unwrap();
    bucket(&node.fixture, "kept").await;
    let to = BucketLog { name: "kept".into(), prefix: Some("exec/".into()), encrypted: true };
    let log = LogTo::of(Some("/sessions".into()), Some(to));
    let opened = node.open_plan(Plan { log, ..shell() }).await;
    let mut client = node.connect(&opened).await;
    client.shake_hands(PLUGIN).await;
    client.type_in("first\r\nsec").await;
    client.data().await;
    client.type_in("ond\r\n\r\nthird").await;
    client.data().await;
    client.type_in("quit").await;
    client.closed().await;
    let record = node.recorded(&opened.id, |record| record.status.is_over()).await;
    assert_eq!(record.log_group.as_deref(), Some("/sessions"));
    assert_eq!(logged(&node.fixture, "/sessions", &opened.id).await, ["first", "second", "third"]);
    let key = format!("exec/{}.log", opened.id);
    assert_eq!(record.log_object, Some(format!("kept/{key}")));
    let kept = s3::read_for_the_platform(node.services(), "kept", &key).await.unwrap();
    assert_eq!(kept, "first\r\nsecond\r\n\r\nthird");
}

async fn bucket(fixture: &Fixture, name: &str) {
    let input = aws_shapes_s3::CreateBucketRequest { bucket: Some(name.to_owned()), ..Default::default() };
    s3::create_bucket(fixture.call(), input).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_kept_is_told_before() {
    let node = Node::new().await;
    let keep = |bucket: &str| {
        let to = BucketLog { name: bucket.to_owned(), prefix: None, encrypted: false };
        Plan { log: LogTo::of(None, Some(to)), ..shell() }
    };
    let refusal = node.try_open(keep("nowhere")).await.unwrap_err();
    assert!(refusal.message.contains("the bucket nowhere"), "{}", refusal.message);
    bucket(&node.fixture, "kept").await;
    let opened = node.open_plan(keep("kept")).await;
    // One that nobody came to leaves an empty object.
    node.services().sessions.end(&scope(), &opened.id);
    let record = node.recorded(&opened.id, |record| record.status.is_over()).await;
    let key = record.log_object.unwrap().replace("kept/", "");
    assert_eq!(s3::read_for_the_platform(node.services(), "kept", &key).await.unwrap(), "");
}

async fn logged(fixture: &Fixture, group: &str, stream: &str) -> Vec<String> {
    use aws_shapes_logs as logs;
    let mut operations = crate::gateway::Operations::default();
    crate::services::logs::register(&mut operations);
    let operation = logs::SERVICE.operation("GetLogEvents").unwrap();
    let input = logs::GetLogEventsRequest {
        log_group_name: Some(group.to_owned()),
        log_stream_name: Some(stream.to_owned()),
        start_from_head: Some(true),
        ..Default::default()
    };
    use aws_schema::Shape;
    let answer =
        operations.answer(logs::SERVICE, operation, fixture.call(), input.into_value()).await.unwrap();
    let crate::gateway::Answer::Value(value) = answer else { panic!("a value") };
    let response = logs::GetLogEventsResponse::from_value(value).unwrap();
    response.events.unwrap().into_iter().map(|event| event.message.unwrap()).collect()
}
