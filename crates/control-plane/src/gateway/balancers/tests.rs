use std::convert::Infallible;

use hyper::service::service_fn;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// Longer than anything here takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(20);

/// A front door that leads to `door` whatever is asked for; its address.
async fn front_door(door: Door) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, client)) = listener.accept().await {
            let service = service_fn(move |request| async move {
                Ok::<_, Infallible>(pass(request, "web.elb.localhost", door, client).await)
            });
            let serving =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(serving.with_upgrades());
        }
    });
    address
}

/// A balancer that answers one connection with these bytes after the head of a request, and then sends back what comes; and the head.
async fn balancer(answer: &'static [u8]) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let head = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer).await.unwrap();
        let (mut from, mut to) = stream.into_split();
        // Until the other side ends it.
        tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
        String::from_utf8(head).unwrap()
    });
    (address, head)
}

async fn said(stream: &mut TcpStream, until: &str) -> String {
    let mut said = String::new();
    let reading = async {
        while !said.ends_with(until) {
            said.push(char::from(stream.read_u8().await.unwrap()));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("in time");
    said
}

#[tokio::test]
async fn an_answer_is_passed_on_with_the_clients_address() {
    let (address, head) = balancer(b"HTTP/1.1 418 Teapot\r\nx-own: 1\r\ncontent-length: 3\r\n\r\ntea").await;
    let mut client = TcpStream::connect(front_door(Door::Listener(address)).await).await.unwrap();
    let request =
        "GET /pot?a=b HTTP/1.1\r\nhost: web.elb.localhost:4566\r\nx-forwarded-for: 192.0.2.1\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let answer = said(&mut client, "tea").await;
    assert!(answer.starts_with("HTTP/1.1 418 ") && answer.contains("x-own: 1\r\n"), "{answer}");
    let head = head.await.unwrap();
    assert!(head.starts_with("GET /pot?a=b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("host: web.elb.localhost:4566\r\n"), "{head}");
    assert!(head.contains("x-forwarded-for: 192.0.2.1, 127.0.0.1\r\n"), "{head}");
}

#[tokio::test]
async fn a_websocket_goes_through() {
    let (address, head) =
        balancer(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            .await;
    let mut client = TcpStream::connect(front_door(Door::Listener(address)).await).await.unwrap();
    let request =
        "GET /chat HTTP/1.1\r\nhost: web.elb.localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let answer = said(&mut client, "\r\n\r\n").await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101 ") && answer.contains("upgrade: websocket\r\n"), "{answer}");
    assert!(head.await.unwrap().to_ascii_lowercase().contains("upgrade: websocket\r\n"));
    for word in ["one", "two"] {
        client.write_all(word.as_bytes()).await.unwrap();
        assert_eq!(said(&mut client, word).await, word);
    }
}

#[tokio::test]
async fn what_leads_nowhere_is_said() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (door, status, text) in [
        (Door::Unknown, "404", "There is no load balancer named web.elb.localhost.\n"),
        (Door::NoListener, "503", "use its own address.\n"),
        (Door::Listener(gone), "503", "may not let this machine in.\n"),
    ] {
        let mut client = TcpStream::connect(front_door(door).await).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: web.elb.localhost\r\n\r\n").await.unwrap();
        let answer = said(&mut client, text).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

fn asked(uri: &str, host: Option<&str>) -> Option<String> {
    let mut request = Request::get(uri);
    if let Some(host) = host {
        request = request.header(header::HOST, host);
    }
    name_of(&request.body(()).unwrap())
}

#[test]
fn names_of_balancers_are_recognised_in_every_writing() {
    let name = Some("web-0123.us-east-1.elb.localhost".to_owned());
    assert_eq!(asked("/", Some("web-0123.us-east-1.elb.localhost:4566")), name);
    assert_eq!(asked("/", Some("WEB-0123.us-east-1.ELB.localhost")), name);
    assert_eq!(asked("/", Some("web-0123.us-east-1.elb.localhost.:80")), name);
    assert_eq!(asked("http://web-0123.us-east-1.elb.localhost:4566/a", None), name);
    assert_eq!(asked("/", Some("localhost:4566")), None);
    assert_eq!(asked("/", Some("elb.localhost.example:4566")), None);
    assert_eq!(asked("/", None), None);
}

#[test]
fn headers_of_one_connection_go_no_further() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "keep-alive, x-hop"),
        ("keep-alive", "timeout=5"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("x-kept", "2"),
    ] {
        headers.append(name, value.parse().unwrap());
    }
    keep_end_to_end(&mut headers, None);
    assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    headers.insert("connection", "Upgrade".parse().unwrap());
    headers.insert("upgrade", "websocket".parse().unwrap());
    let upgrade = upgrade_of(&headers);
    keep_end_to_end(&mut headers, upgrade.as_ref());
    assert_eq!(
        (&headers["connection"], &headers["upgrade"]),
        (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap())
    );
}
