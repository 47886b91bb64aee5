//! Streams of the pretended machine, and connections to real sockets.

use agent_protocol::{
    AcsMessage, AgentMessage, acs,
    stream::{
        Begin, Destination, Down, Piece, Process, ProcessEnd, StreamDown, StreamUp, TerminalSize, Up, WINDOW,
        What,
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::tests::Fixture;

const TASK: &str = "arn:aws:ecs:us-east-1:000000000000:task/web/t1";

async fn say(fixture: &Fixture, say: Down) {
    fixture.send(AcsMessage::Stream(StreamDown { stream: "s".into(), say })).await;
}

fn process(args: &[&str]) -> What {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let terminal = Some(TerminalSize { rows: 24, columns: 80 });
    What::Process(Process { args, environment: vec!["A=1".into()], user: None, terminal })
}

async fn begin(fixture: &Fixture, task: &str, container: &str, what: What) {
    let begin = Begin { task_arn: task.into(), container: container.into(), what };
    say(fixture, Down::Begin(Box::new(begin))).await;
}

/// Waits for the number-th word about the stream.
async fn heard(fixture: &Fixture, number: usize) -> Up {
    fixture
        .control
        .until("a word about the stream", |said| {
            let words = said.messages.iter().filter_map(|message| match message {
                AgentMessage::Stream(StreamUp { say, .. }) => Some(say.clone()),
                _ => None,
            });
            words.into_iter().nth(number)
        })
        .await
}

fn words(fixture: &Fixture) -> usize {
    let said = fixture.control.said.lock().unwrap();
    said.messages.iter().filter(|message| matches!(message, AgentMessage::Stream(_))).count()
}

#[tokio::test(start_paused = true)]
async fn bytes_go_both_ways_and_the_end_is_told() {
    let fixture = Fixture::running().await;
    begin(&fixture, TASK, "app", process(&["sh"])).await;
    assert_eq!(heard(&fixture, 0).await, Up::Began);
    say(&fixture, Down::Resize(TerminalSize { rows: 50, columns: 132 })).await;
    say(&fixture, Down::Signal(15)).await;
    say(&fixture, Down::Data(Piece(b"hello".to_vec()))).await;
    let mut rest = vec![heard(&fixture, 1).await, heard(&fixture, 2).await];
    rest.sort_by_key(|up| matches!(up, Up::Taken(_)));
    assert_eq!(rest, [Up::Output(Piece(b"hello".to_vec())), Up::Taken(1)]);
    say(&fixture, Down::CloseInput).await;
    let end = ProcessEnd { exit_code: 5, reason: None };
    assert_eq!(heard(&fixture, 3).await, Up::Ended(Some(end)));
    let sandbox = fixture.world.sandbox();
    let state = sandbox.state();
    let attached = &state.attached[0];
    assert_eq!(
        (attached.config.env.as_slice(), attached.signals.as_slice()),
        (&["A=1".to_owned()][..], &[15][..])
    );
    assert_eq!(attached.sizes.iter().map(|size| (size.rows, size.columns)).collect::<Vec<_>>(), [(50, 132)]);
    assert!(attached.over);
}

#[tokio::test(start_paused = true)]
async fn no_more_is_sent_than_is_taken() {
    let fixture = Fixture::running().await;
    begin(&fixture, TASK, "app", process(&["sh"])).await;
    assert_eq!(heard(&fixture, 0).await, Up::Began);
    // Each piece is read alone: the pipes between hold less than two of them.
    for piece in 0..2 * WINDOW {
        say(&fixture, Down::Data(Piece(vec![b'x'; 1 << 10]))).await;
        if piece + 1 < WINDOW {
            heard(&fixture, 2 * piece + 2).await;
        }
    }
    let outputs = |fixture: &Fixture| {
        let said = fixture.control.said.lock().unwrap();
        let output = |message: &&AgentMessage| {
            matches!(message, AgentMessage::Stream(StreamUp { say: Up::Output(_), .. }))
        };
        said.messages.iter().filter(output).count()
    };
    // Time stands unless everybody waits.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(outputs(&fixture), WINDOW);
    say(&fixture, Down::Taken(3)).await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(outputs(&fixture), WINDOW + 3);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_begin_is_refused() {
    let fixture = Fixture::running().await;
    begin(&fixture, "arn:aws:ecs:us-east-1:000000000000:task/web/t2", "app", process(&["sh"])).await;
    assert_eq!(heard(&fixture, 0).await, Up::Refused("the container is not running".into()));
    begin(&fixture, TASK, "other", process(&["sh"])).await;
    assert_eq!(heard(&fixture, 1).await, Up::Refused("the container is not running".into()));
    begin(&fixture, TASK, "app", process(&["nope"])).await;
    assert_eq!(heard(&fixture, 2).await, Up::Refused("exec: not found".into()));
}

#[tokio::test(start_paused = true)]
async fn who_sends_more_than_the_window_is_cut_off() {
    let fixture = Fixture::running().await;
    begin(&fixture, TASK, "app", process(&["sh"])).await;
    assert_eq!(heard(&fixture, 0).await, Up::Began);
    for _ in 0..4 * WINDOW {
        say(&fixture, Down::Data(Piece(vec![b'x'; 1 << 10]))).await;
    }
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(fixture.world.sandbox().state().attached[0].over);
}

#[tokio::test(start_paused = true)]
async fn streams_end_with_the_connection() {
    let fixture = Fixture::running().await;
    begin(&fixture, TASK, "app", process(&["sh"])).await;
    assert_eq!(heard(&fixture, 0).await, Up::Began);
    fixture.send(AcsMessage::Close(acs::CloseMessage { message: None })).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(fixture.world.sandbox().state().attached[0].over);
    assert_eq!(words(&fixture), 1);
    // And when they are told to.
    begin(&fixture, TASK, "app", process(&["sh"])).await;
    assert_eq!(heard(&fixture, 1).await, Up::Began);
    say(&fixture, Down::End).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(fixture.world.sandbox().state().attached[1].over);
}

#[tokio::test]
async fn a_port_is_reached() {
    let fixture = Fixture::running().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    begin(&fixture, TASK, "app", What::Connection(Destination { host: None, port })).await;
    let (mut socket, _) = listener.accept().await.unwrap();
    assert_eq!(heard(&fixture, 0).await, Up::Began);
    say(&fixture, Down::Data(Piece(b"ping".to_vec()))).await;
    let mut buffer = [0; 4];
    socket.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"ping");
    assert_eq!(heard(&fixture, 1).await, Up::Taken(1));
    socket.write_all(b"pong").await.unwrap();
    assert_eq!(heard(&fixture, 2).await, Up::Output(Piece(b"pong".to_vec())));
    say(&fixture, Down::CloseInput).await;
    assert_eq!(socket.read(&mut buffer).await.unwrap(), 0);
    drop(socket);
    assert_eq!(heard(&fixture, 3).await, Up::OutputClosed);
    assert_eq!(heard(&fixture, 4).await, Up::Ended(None));

    drop(listener);
    let to = Destination { host: Some("127.0.0.1".into()), port };
    begin(&fixture, TASK, "app", What::Connection(to)).await;
    let Up::Refused(reason) = heard(&fixture, 5).await else { panic!("nobody listens any more") };
    assert!(reason.contains("refused"), "{reason}");
}
