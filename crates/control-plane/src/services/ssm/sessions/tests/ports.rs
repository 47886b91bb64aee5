//! Forwarded ports: one connection at a time for older clients, many over one for newer ones.

use agent_protocol::stream::What;

use super::{
    super::{
        smux::{Frame, Frames},
        wire::{Payload, flag},
    },
    client::{Client, Node},
};

const MULTIPLEXING: &str = "1.2.707.0";
const SINGLE: &str = "1.1.61.0";

async fn forward(node: &Node, port: &str) -> Client {
    let opened = node.open("AWS-StartPortForwardingSession", &[("portNumber", port)]).await;
    node.connect(&opened).await
}

/// The next frame of the session's multiplexer.
async fn frame(client: &mut Client, frames: &mut Frames) -> Frame {
    loop {
        if let Some(frame) = frames.take().unwrap() {
            return frame;
        }
        let (kind, payload) = client.data().await;
        assert_eq!(kind, Payload::Output);
        frames.push(&payload);
    }
}

async fn send(client: &mut Client, frame: Frame) {
    client.send(Payload::Output, &frame.encode()).await;
}

#[tokio::test]
async fn many_connections_share_a_session() {
    let mut node = Node::new().await;
    let mut client = forward(&node, "8080").await;
    let request = client.shake_hands(MULTIPLEXING).await;
    let properties = &request["RequestedClientActions"][0]["ActionParameters"]["Properties"];
    assert_eq!(properties["portNumber"], "8080");
    let mut frames = Frames::default();
    for stream in [3, 5] {
        send(&mut client, Frame::Open(stream)).await;
        let What::Connection(to) = node.begun().await.what else { panic!("a connection") };
        assert_eq!((to.host, to.port), (None, 8080));
    }
    send(&mut client, Frame::Data(5, b"five".to_vec())).await;
    assert_eq!(frame(&mut client, &mut frames).await, Frame::Data(5, b"FIVE".to_vec()));
    send(&mut client, Frame::Data(3, b"three".to_vec())).await;
    assert_eq!(frame(&mut client, &mut frames).await, Frame::Data(3, b"THREE".to_vec()));
    // Several frames in one message, and one that is cut in two.
    let mut bytes = Frame::Nothing.encode();
    bytes.extend(Frame::Data(3, b"a".to_vec()).encode());
    bytes.extend(Frame::Data(9, b"nobody's".to_vec()).encode());
    let last = Frame::Data(3, vec![b'b'; 3000]).encode();
    bytes.extend(&last[..10]);
    client.send(Payload::Output, &bytes).await;
    for piece in last[10..].chunks(1024) {
        client.send(Payload::Output, piece).await;
    }
    let mut back = Vec::new();
    while back.len() < 3001 {
        let Frame::Data(3, data) = frame(&mut client, &mut frames).await else { panic!("data of stream 3") };
        back.extend(data);
    }
    assert_eq!((back[0], &back[1..]), (b'A', &[b'B'; 3000][..]));
    send(&mut client, Frame::Close(3)).await;
    assert_eq!(frame(&mut client, &mut frames).await, Frame::Close(3));
    send(&mut client, Frame::Data(5, b"on".to_vec())).await;
    assert_eq!(frame(&mut client, &mut frames).await, Frame::Data(5, b"ON".to_vec()));
}

#[tokio::test]
async fn a_port_without_a_listener_is_told_and_others_go_on() {
    let node = Node::new().await;
    let mut client = forward(&node, "9").await;
    client.shake_hands(MULTIPLEXING).await;
    let mut frames = Frames::default();
    for stream in [1, 3] {
        send(&mut client, Frame::Open(stream)).await;
        let (kind, payload) = client.data().await;
        assert_eq!((kind, payload), (Payload::Flag, flag::CONNECT_TO_PORT_ERROR.to_be_bytes().to_vec()));
        assert_eq!(frame(&mut client, &mut frames).await, Frame::Close(stream));
    }
}

#[tokio::test]
async fn another_multiplexer_is_not_understood() {
    let node = Node::new().await;
    let mut client = forward(&node, "8080").await;
    client.shake_hands(MULTIPLEXING).await;
    client.send(Payload::Output, &[2, 0, 0, 0, 1, 0, 0, 0]).await;
    let closed = client.closed().await;
    assert!(closed.output.contains("version 2"), "{}", closed.output);
}

#[tokio::test]
async fn an_older_client_has_one_connection_after_another() {
    let mut node = Node::new().await;
    let mut client = forward(&node, "8080").await;
    client.shake_hands(SINGLE).await;
    // At once: what listens there may speak first.
    node.begun().await;
    client.type_in("one").await;
    assert_eq!(client.data().await, (Payload::Output, b"ONE".to_vec()));
    client.send(Payload::Flag, &flag::DISCONNECT_TO_PORT.to_be_bytes()).await;
    node.ended().await;
    client.type_in("two").await;
    node.begun().await;
    assert_eq!(client.data().await, (Payload::Output, b"TWO".to_vec()));

    let mut client = forward(&node, "9").await;
    client.shake_hands(SINGLE).await;
    assert_eq!(client.closed().await.output, "Unable to connect to specified port: refused");
}
