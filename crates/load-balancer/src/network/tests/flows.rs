use std::collections::BTreeSet;

use super::*;

#[tokio::test]
async fn each_side_ends_by_itself() {
    let mut bench = Bench::new(ListenerProtocol::Tcp);
    // Answers after the client has finished.
    let (listener, target) = bound().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.expect("all of it");
        stream.write_all(&said.len().to_le_bytes()).await.expect("answered");
        stream.write_all(&said).await.expect("answered");
    });
    bench.add(target);
    assert!(bench.apply().await.is_empty());
    let mut client = bench.connect().await;
    // More than buffers on the way hold.
    let sent: Vec<u8> = (0..8 << 20).map(|number: usize| (number % 251) as u8).collect();
    let mut answer = Vec::new();
    soon(async {
        client.write_all(&sent).await.expect("sent");
        client.shutdown().await.expect("finished");
        client.read_to_end(&mut answer).await.expect("the answer");
    })
    .await;
    assert_eq!(answer[..8], sent.len().to_le_bytes());
    assert!(answer[8..] == sent);
    bench.has_flows(target, 0).await;
}

#[tokio::test]
async fn what_breaks_on_one_side_breaks_on_the_other() {
    let mut bench = Bench::new(ListenerProtocol::Tcp);
    let (listener, target) = bound().await;
    bench.add(target);
    bench.apply().await;
    let mut client = bench.connect().await;
    let (mut stream, _) = soon(listener.accept()).await.expect("a connection");
    stream.write_all(b"half an ans").await.expect("said");
    let mut start = [0; 11];
    soon(client.read_exact(&mut start)).await.expect("the start");
    stream.set_zero_linger().expect("set");
    drop(stream);
    let end = soon(client.read(&mut start)).await;
    assert_eq!(end.expect_err("broken").kind(), std::io::ErrorKind::ConnectionReset);
    // And the other way.
    let client = bench.connect().await;
    let (mut stream, _) = soon(listener.accept()).await.expect("a connection");
    client.set_zero_linger().expect("set");
    drop(client);
    let end = soon(stream.read(&mut start)).await;
    assert_eq!(end.expect_err("broken").kind(), std::io::ErrorKind::ConnectionReset);
    bench.has_flows(target, 0).await;
}

#[tokio::test]
async fn a_target_that_refuses_is_passed_over_and_nobody_is_a_reset() {
    let mut bench = Bench::new(ListenerProtocol::Tcp);
    bench.apply().await;
    let mut client = bench.connect().await;
    let refused = soon(client.read(&mut [0])).await;
    assert_eq!(refused.expect_err("no target").kind(), std::io::ErrorKind::ConnectionReset);
    let (gone, refusing) = bound().await;
    drop(gone);
    let there = named("there").await;
    bench.add(refusing);
    bench.add(there);
    bench.apply().await;
    for _ in 0..20 {
        assert_eq!(bench.ask().await, "there");
    }
}

#[tokio::test]
async fn a_new_configuration_touches_no_flow() {
    let mut bench = Bench::new(ListenerProtocol::Tcp);
    let (first, second) = (echo().await, named("second").await);
    bench.add(first);
    bench.apply().await;
    let mut client = bench.connect().await;
    soon(client.write_all(b"a")).await.expect("sent");
    soon(client.read_exact(&mut [0])).await.expect("echoed");
    // The first drains, and is let go.
    bench.group().targets[0].draining = true;
    bench.add(second);
    bench.apply().await;
    assert_eq!(bench.flows(first), 1);
    assert_eq!(bench.ask().await, "second");
    bench.group().targets.remove(0);
    bench.apply().await;
    soon(client.write_all(b"b")).await.expect("sent");
    soon(client.read_exact(&mut [0])).await.expect("echoed");
    // Also not when the listener ends.
    bench.configuration.load_balancers[0].listeners.clear();
    bench.apply().await;
    soon(client.write_all(b"c")).await.expect("sent");
    soon(client.read_exact(&mut [0])).await.expect("echoed");
    soon(async { while TcpStream::connect(bench.address).await.is_ok() {} }).await;
}

#[tokio::test]
async fn flows_are_cut_where_the_group_says_so() {
    let mut bench = Bench::new(ListenerProtocol::Tcp);
    let target = echo().await;
    bench.add(target);
    bench.group().attributes.terminate_when_draining_ends = true;
    bench.apply().await;
    let mut first = bench.connect().await;
    bench.has_flows(target, 1).await;
    bench.set(target, HealthState::Unhealthy);
    bench.apply().await;
    assert!(soon(first.read(&mut [0])).await.is_err(), "unhealthy: broken off");
    bench.has_flows(target, 0).await;
    bench.set(target, HealthState::Healthy);
    bench.apply().await;
    let mut second = bench.connect().await;
    bench.has_flows(target, 1).await;
    bench.group().targets[0].draining = true;
    bench.apply().await;
    assert_eq!(bench.flows(target), 1);
    bench.group().targets.clear();
    bench.apply().await;
    assert!(soon(second.read(&mut [0])).await.is_err(), "let go: broken off");
}

#[tokio::test]
async fn a_quiet_connection_ends() {
    let mut bench = Bench::new(ListenerProtocol::Tcp);
    let target = echo().await;
    bench.add(target);
    bench.listener().attributes.tcp_idle_timeout_seconds = 1;
    bench.apply().await;
    let mut client = bench.connect().await;
    assert!(soon(client.read(&mut [0])).await.is_err(), "broken off");
}

#[tokio::test]
async fn the_header_says_who_the_client_is() {
    let mut bench = Bench::new(ListenerProtocol::Tcp);
    let (listener, target) = bound().await;
    bench.add(target);
    bench.group().attributes.proxy_protocol = true;
    bench.apply().await;
    let client = bench.connect().await;
    let std::net::SocketAddr::V4(from) = client.local_addr().expect("bound") else { unreachable!("IPv4") };
    let (mut stream, _) = soon(listener.accept()).await.expect("a connection");
    let mut header = [0; 28];
    soon(stream.read_exact(&mut header)).await.expect("a header");
    assert_eq!(header.to_vec(), crate::network::proxy_protocol::version_2(from, bench.address));
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_and_tried_again() {
    let mut bench = Bench::new(ListenerProtocol::Tcp);
    let target = named("there").await;
    bench.add(target);
    let taken = TcpListener::bind(bench.address).await.expect("free so far");
    let closed = bench.apply().await;
    assert_eq!(
        (closed[0].load_balancer_arn.as_str(), closed[0].listener_arn.as_str()),
        ("balancer", "listener")
    );
    assert!(closed[0].reason.contains("in use"), "{closed:?}");
    drop(taken);
    assert!(bench.apply().await.is_empty());
    assert_eq!(bench.ask().await, "there");
}

#[tokio::test]
async fn datagrams_find_their_target_and_their_way_back() {
    let mut bench = Bench::new(ListenerProtocol::TcpUdp);
    let mut targets = BTreeSet::new();
    for _ in 0..3 {
        let socket = UdpSocket::bind((own_address(), 0)).await.expect("a port");
        let std::net::SocketAddr::V4(address) = socket.local_addr().expect("bound") else {
            unreachable!("IPv4")
        };
        tokio::spawn(async move {
            let mut datagram = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
                let answer = format!("{address} {length}");
                socket.send_to(answer.as_bytes(), from).await.expect("answered");
            }
        });
        bench.add(address);
        targets.insert(address);
    }
    assert!(bench.apply().await.is_empty());
    let mut seen = BTreeSet::new();
    let mut clients = Vec::new();
    for number in 0..24_usize {
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        client.connect(bench.address).await.expect("connected");
        let mut answers = BTreeSet::new();
        for _ in 0..3 {
            let mut answer = [0; 64];
            client.send(&vec![0; number]).await.expect("sent");
            let length = soon(client.recv(&mut answer)).await.expect("an answer");
            answers.insert(String::from_utf8_lossy(&answer[..length]).into_owned());
        }
        // One flow, one target.
        let answer = answers.pop_first().expect("an answer");
        assert!(answers.is_empty() && answer.ends_with(&format!(" {number}")), "{answer}");
        seen.insert(answer.split_once(' ').expect("a space").0.to_owned());
        clients.push(client);
    }
    assert!(seen.len() > 1, "all flows went to {seen:?}");
    assert_eq!(targets.iter().map(|target| bench.flows(*target)).sum::<usize>(), 24);
    // Unhealthy targets lose their flows; the next datagram begins a new one elsewhere.
    let mut left = targets.clone();
    let stays = left.pop_first().expect("a target");
    left.iter().for_each(|target| bench.set(*target, HealthState::Unhealthy));
    bench.apply().await;
    for target in &left {
        bench.has_flows(*target, 0).await;
    }
    let mut answer = [0; 64];
    clients[0].send(b"?").await.expect("sent");
    let length = soon(clients[0].recv(&mut answer)).await.expect("an answer");
    assert_eq!(answer[..length], *format!("{stays} 1").as_bytes());
}
