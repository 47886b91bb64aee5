//! Configurations change while requests are under way.

use super::*;

#[tokio::test]
async fn a_target_leaves_when_what_it_has_is_done() {
    let (mut bench, old) = (Bench::new(), Origin::new().await);
    bench.add(old.address);
    bench.apply().await;
    let mut waiting = bench.connect().await;
    waiting.send(GET).await;
    let mut busy = old.accept().await;
    busy.head().await;
    let mut idle = bench.connect().await;
    idle.send(GET).await;
    let mut kept = old.accept().await;
    kept.head().await;
    kept.send(OK).await;
    assert_eq!(idle.answer().await.text(), "ok");
    // From now on it gets nothing.
    bench.group().targets[0].draining = true;
    bench.add(Origin::new().await.serve("new"));
    bench.apply().await;
    for _ in 0..10 {
        idle.send(GET).await;
        assert_eq!(idle.answer().await.text(), "new");
        assert_eq!(bench.ask(GET).await.text(), "new");
    }
    assert!(!bench.plane.reports().borrow().targets[0].drained);
    // The connection that waited for more is given up, the busy one is not.
    assert_eq!(kept.rest().await, b"");
    busy.send(OK).await;
    assert_eq!(waiting.answer().await.text(), "ok");
    waiting.send(GET).await;
    assert_eq!(waiting.answer().await.text(), "new");
    let mut reports = bench.plane.reports();
    soon(reports.wait_for(|reports| reports.targets[0].drained)).await.expect("it runs");
}

#[tokio::test]
async fn what_lasts_longer_than_draining_is_cut_off() {
    let (mut bench, old) = (Bench::new(), Origin::new().await);
    bench.add(old.address);
    bench.group().attributes.deregistration_delay_seconds = 0;
    bench.apply().await;
    let mut waiting = bench.connect().await;
    waiting.send(GET).await;
    let mut busy = old.accept().await;
    busy.head().await;
    bench.group().targets[0].draining = true;
    bench.apply().await;
    assert_eq!(waiting.answer().await.status, 502);
    assert_eq!(busy.rest().await, b"");
    let mut reports = bench.plane.reports();
    soon(reports.wait_for(|reports| reports.targets[0].drained)).await.expect("it runs");
}

#[tokio::test]
async fn no_request_fails_while_targets_and_rules_change() {
    let mut bench = Bench::new();
    bench.add(Origin::new().await.serve("0"));
    bench.apply().await;
    let address = bench.address;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let stream = soon(TcpStream::connect(address)).await.expect("connected");
                let mut client = Client { stream, input: Vec::new() };
                let mut asked = 0_u32;
                while !*stopped.borrow() {
                    client.send(GET).await;
                    assert_eq!(client.answer().await.status, 200);
                    asked += 1;
                }
                asked
            })
        })
        .collect();
    for round in 1..20 {
        bench.add(Origin::new().await.serve("n"));
        bench.group().targets[0].draining = true;
        bench.listener().attributes.response_headers =
            vec![routing::config::ResponseHeader { name: "X-Round".into(), value: round.to_string() }];
        bench.apply().await;
        let mut reports = bench.plane.reports();
        soon(reports.wait_for(|reports| reports.targets[0].drained)).await.expect("it runs");
        bench.group().targets.remove(0);
        bench.apply().await;
    }
    stop.send(true).expect("they listen");
    for client in clients {
        assert!(soon(client).await.expect("no request failed") > 0);
    }
    assert_eq!(bench.count(Counter::Elb5xx), 0);
}

#[tokio::test]
async fn a_listener_that_goes_lets_quiet_clients_go() {
    let mut bench = Bench::new();
    bench.add(Origin::new().await.serve("a"));
    bench.apply().await;
    let mut client = bench.connect().await;
    client.send(GET).await;
    client.answer().await;
    let listener = bench.balancer().listeners.remove(0);
    bench.apply().await;
    assert_eq!(client.rest().await, b"");
    assert!(TcpStream::connect(bench.address).await.is_err());
    bench.balancer().listeners.push(listener);
    bench.apply().await;
    let mut reports = bench.plane.reports();
    soon(reports.wait_for(|reports| !reports.listening.is_empty())).await.expect("it runs");
    assert_eq!(bench.ask(GET).await.text(), "a");
}

#[tokio::test]
async fn zones_are_kept_apart_where_that_is_wanted() {
    let mut bench = Bench::new();
    for (name, zone) in [("here", "us-east-1a"), ("there", "us-east-1b")] {
        bench.add(Origin::new().await.serve(name));
        bench.group().targets.last_mut().expect("added").zone = Some(zone.into());
    }
    bench.group().attributes.cross_zone = Some(false);
    bench.apply().await;
    for _ in 0..6 {
        assert_eq!(bench.ask(GET).await.text(), "here");
    }
    bench.group().attributes.cross_zone = None;
    bench.apply().await;
    let (first, second) = (bench.ask(GET).await, bench.ask(GET).await);
    assert_ne!(first.text(), second.text());
}
