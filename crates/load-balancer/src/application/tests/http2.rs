//! HTTP/2 and gRPC on either side, over TLS.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::SendRequest,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use routing::config::{Certificate, SecretText};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::*;
use crate::network::tests::{CERTIFICATE, KEY};

type Body = UnsyncBoxBody<Bytes, Infallible>;

fn text(pem: &[u8]) -> String {
    String::from_utf8(pem.to_vec()).expect("text")
}

impl Bench {
    pub(super) fn encrypt(&mut self) {
        self.listener().protocol = ListenerProtocol::Https;
        self.listener().certificates = vec![Certificate {
            arn: "arn:certificate".into(),
            chain_pem: text(CERTIFICATE),
            private_key_pem: SecretText::new(text(KEY)),
        }];
    }

    pub(super) async fn encrypted(&self, protocol: &[u8]) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut config = rustls::ClientConfig::clone(&crate::tls::to_targets());
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = soon(TcpStream::connect(self.address)).await.expect("connected");
        let name = ServerName::try_from("web.example").expect("a name");
        let stream = soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        stream
    }

    async fn http2(&self) -> SendRequest<Body> {
        let stream = self.encrypted(b"h2").await;
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = soon(handshake).await.expect("HTTP/2");
        tokio::spawn(connection);
        sender
    }
}

fn whole(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).boxed_unsync()
}

fn request(method: &str, path: &str, body: Body) -> Request<Body> {
    let uri = format!("https://web.example{path}");
    Request::builder().method(method).uri(uri).header("x-own", "1").body(body).expect("a request")
}

async fn read(response: Response<Incoming>) -> (StatusCode, HeaderMap, Bytes, Option<HeaderMap>) {
    let (head, body) = response.into_parts();
    let body = soon(body.collect()).await.expect("whole");
    let trailers = body.trailers().cloned();
    (head.status, head.headers, body.to_bytes(), trailers)
}

/// A target of HTTP/2 that answers with what it was asked, its trailers after it.
async fn http2_target() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service_fn(echo)),
            );
        }
    });
    address
}

async fn echo(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let said = format!(
        "{} {} {} {}",
        head.method,
        head.uri,
        head.headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok()).unwrap_or("-"),
        String::from_utf8_lossy(&body)
    );
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Ok(Frame::data(Bytes::from(said))), Ok(Frame::trailers(trailers))];
    let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
    Ok(Response::builder().header("content-type", "application/grpc").body(body).expect("a response"))
}

#[tokio::test]
async fn clients_of_http2_reach_targets_of_http1() {
    let (mut bench, origin) = (Bench::new(), Origin::new().await);
    bench.encrypt();
    bench.add(origin.address);
    bench.apply().await;
    let mut client = bench.http2().await;
    let serving = tokio::spawn(async move {
        let mut target = origin.accept().await;
        let head = target.head().await;
        assert!(head.starts_with("POST /a?b HTTP/1.1\r\n"), "{head}");
        assert_eq!(header(&head, "host"), Some("web.example:7000"));
        assert_eq!(header(&head, "cookie"), Some("a=1; b=2"));
        assert_eq!(header(&head, "x-forwarded-proto"), Some("https"));
        assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(target.exactly(5).await, b"hello");
        target.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok").await;
        // The same connection again.
        target.head().await;
        target.send("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n").await;
    });
    let mut post = request("POST", "/a?b", whole("hello"));
    post.headers_mut().append("cookie", HeaderValue::from_static("a=1"));
    post.headers_mut().append("cookie", HeaderValue::from_static("b=2"));
    let (status, headers, body, _) = read(soon(client.send_request(post)).await.expect("answered")).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"ok"[..]));
    assert!(headers.contains_key("date") && !headers.contains_key("connection"));
    let again = soon(client.send_request(request("GET", "/", whole("")))).await.expect("answered");
    let (status, _, body, _) = read(again).await;
    assert_eq!((status, &body[..]), (StatusCode::NOT_FOUND, &b"no"[..]));
    soon(serving).await.expect("served");
}

#[tokio::test]
async fn grpc_passes_with_its_trailers() {
    let mut bench = Bench::new();
    bench.encrypt();
    bench.add(http2_target().await);
    bench.group().version = ProtocolVersion::Grpc;
    bench.apply().await;
    let mut client = bench.http2().await;
    let calls: Vec<_> = (0..20)
        .map(|at| {
            let call = request("POST", &format!("/svc/Method{at}"), whole(format!("message {at}")));
            client.send_request(call)
        })
        .collect();
    for (at, call) in calls.into_iter().enumerate() {
        let (status, _, body, trailers) = read(soon(call).await.expect("answered")).await;
        let expected = format!("POST http://web.example:7000/svc/Method{at} https message {at}");
        assert_eq!((status, String::from_utf8_lossy(&body).into_owned()), (StatusCode::OK, expected));
        assert_eq!(trailers.expect("there").get("grpc-status"), Some(&HeaderValue::from_static("0")));
    }
    assert_eq!(bench.count(Counter::GrpcRequests), 20);
}

#[tokio::test]
async fn clients_of_http1_reach_targets_of_http2() {
    let mut bench = Bench::new();
    bench.add(http2_target().await);
    bench.group().version = ProtocolVersion::Http2;
    bench.apply().await;
    let mut client = bench.connect().await;
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!(client.answer().await.text(), "POST http://a:7000/x http abc");
    // In pieces, and with another framing.
    client.send("POST /y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    client.send("2\r\nde\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "POST http://a:7000/y http abcde");
    client.send(GET).await;
    assert_eq!(client.answer().await.text(), "GET http://web.example:7000/ http ");
    let nobody = Origin::new().await.address;
    bench.group().targets = vec![target(nobody)];
    bench.apply().await;
    client.send(GET).await;
    assert_eq!(client.answer().await.status, 502);
}

#[tokio::test]
async fn errors_and_fixed_answers_speak_http2_too() {
    let mut bench = Bench::new();
    bench.encrypt();
    bench.apply().await;
    let mut client = bench.http2().await;
    let answer = soon(client.send_request(request("GET", "/", whole("")))).await.expect("answered");
    let (status, headers, body, _) = read(answer).await;
    assert_eq!(
        (status, headers.get("server")),
        (StatusCode::SERVICE_UNAVAILABLE, Some(&HeaderValue::from_static("awselb/2.0")))
    );
    assert!(body.starts_with(b"<html>"));
    let nobody = Origin::new().await.address;
    bench.add(nobody);
    bench.apply().await;
    let answer = soon(client.send_request(request("GET", "/", whole("")))).await.expect("answered");
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    // The listener goes: the client is told to go elsewhere.
    bench.balancer().listeners.clear();
    bench.apply().await;
    soon(async {
        while !client.is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn encrypted_clients_of_http1_are_served_by_the_same_rules() {
    let mut bench = Bench::new();
    bench.encrypt();
    bench.balancer().attributes.tls_headers = true;
    let origin = Origin::new().await;
    bench.add(origin.address);
    bench.apply().await;
    let mut stream = bench.encrypted(b"http/1.1").await;
    soon(stream.write_all(GET.as_bytes())).await.expect("sent");
    let mut target = origin.accept().await;
    let head = target.head().await;
    assert_eq!(header(&head, "X-Forwarded-Proto"), Some("https"));
    assert_eq!(header(&head, "X-Amzn-Tls-Version"), Some("TLSv1.3"));
    assert!(header(&head, "X-Amzn-Tls-Cipher-Suite").is_some_and(|cipher| cipher.starts_with("TLS_")));
    let body = vec![b'x'; 300_000];
    target
        .send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len()))
        .await;
    target.send(&body).await;
    let mut answer = vec![0; 300_000];
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.expect("read"));
    }
    soon(stream.read_exact(&mut answer)).await.expect("whole");
    assert!(answer == body);
    // Who speaks no TLS is counted and gets nothing that could be taken for an answer.
    let mut plain = bench.connect().await;
    plain.send(GET).await;
    assert!(!plain.rest().await.starts_with(b"HTTP"));
    bench.counted(Counter::ClientTlsErrors, 1).await;
}
