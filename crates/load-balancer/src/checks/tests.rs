use std::{convert::Infallible, net::SocketAddr};

use hyper::service::service_fn;
use hyper_util::server::conn::auto;
use routing::config::{CodeRange, Matcher};
use tokio::net::TcpListener;

use super::*;
use crate::{
    HostSockets,
    network::tests::{own_address, soon},
    tls,
};

/// Answers every request with this code; a gRPC call with it as the status.
async fn target(code: u16) -> SocketAddrV4 {
    let listener = TcpListener::bind((own_address(), 0)).await.expect("a port");
    let SocketAddr::V4(address) = listener.local_addr().expect("bound") else { unreachable!("IPv4") };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |request: Request<Incoming>| async move {
                let grpc =
                    request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc");
                let asked = request.headers()["user-agent"] == USER_AGENT && request.uri().path() == "/check";
                let answer = match (asked, grpc) {
                    (false, _) => Response::builder().status(400),
                    (true, true) => Response::builder().header("grpc-status", code),
                    (true, false) => Response::builder().status(code),
                };
                Ok::<_, Infallible>(answer.body(Empty::<Bytes>::new()).expect("an answer"))
            });
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                // The client ends it when it has its answer.
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

fn question(target: SocketAddrV4, protocol: Protocol, matcher: Matcher) -> Question {
    let check = HealthCheck {
        protocol,
        port: CheckPort::Traffic,
        path: "/check".into(),
        interval_seconds: 300,
        timeout_seconds: 10,
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        matcher,
    };
    Question { check, version: ProtocolVersion::Http1, target, interface: "eni-1".into(), registration: 0 }
}

fn codes(first: u16, last: u16) -> Vec<CodeRange> {
    vec![CodeRange { first, last }]
}

/// The first answer to a question.
async fn first(question: Question) -> CheckResult {
    let (answers, mut answered) = mpsc::channel(1);
    let checker = Checker { sockets: Arc::new(HostSockets), tls: tls::to_targets(), answers };
    let asking = tokio::spawn(checker.run(("group".into(), "target".into(), 1), 7, question));
    let answer = soon(answered.recv()).await.expect("an answer");
    assert_eq!(answer.asked, 7);
    asking.abort();
    answer.result
}

#[tokio::test]
async fn codes_are_matched_in_every_version() {
    let target = target(204).await;
    for version in [ProtocolVersion::Http1, ProtocolVersion::Http2] {
        let good = question(target, Protocol::Http, Matcher::Http(codes(200, 299)));
        assert_eq!(first(Question { version, ..good }).await, CheckResult::Good, "{version:?}");
        let other = question(target, Protocol::Http, Matcher::Http(codes(200, 200)));
        let mismatch = CheckResult::Mismatch { code: 204 };
        assert_eq!(first(Question { version, ..other }).await, mismatch, "{version:?}");
    }
}

#[tokio::test]
async fn the_status_of_grpc_counts() {
    let target = target(12).await;
    let version = ProtocolVersion::Grpc;
    let good = question(target, Protocol::Http, Matcher::Grpc(codes(12, 12)));
    assert_eq!(first(Question { version, ..good }).await, CheckResult::Good);
    let other = question(target, Protocol::Http, Matcher::Grpc(codes(0, 0)));
    assert_eq!(first(Question { version, ..other }).await, CheckResult::Mismatch { code: 12 });
}

#[tokio::test]
async fn a_connection_is_enough_where_nothing_else_is_asked() {
    let listener = TcpListener::bind((own_address(), 0)).await.expect("a port");
    let SocketAddr::V4(silent) = listener.local_addr().expect("bound") else { unreachable!("IPv4") };
    assert_eq!(first(question(silent, Protocol::Tcp, Matcher::Connection)).await, CheckResult::Good);
    // It says nothing more.
    let mut unanswered = question(silent, Protocol::Http, Matcher::Http(codes(200, 200)));
    unanswered.check.timeout_seconds = 1;
    assert_eq!(first(unanswered).await, CheckResult::TimedOut);
    drop(listener);
    assert_eq!(first(question(silent, Protocol::Tcp, Matcher::Connection)).await, CheckResult::Failed);
    // Another port than that of the traffic.
    let mut elsewhere = question(silent, Protocol::Http, Matcher::Http(codes(200, 200)));
    let target = target(200).await;
    elsewhere.target = SocketAddrV4::new(*target.ip(), silent.port());
    elsewhere.check.port = CheckPort::Fixed(target.port());
    assert_eq!(first(elsewhere).await, CheckResult::Good);
}
