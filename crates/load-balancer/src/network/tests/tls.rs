use rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

#[tokio::test]
async fn the_listener_ends_tls() {
    let mut bench = Bench::new(ListenerProtocol::Tls);
    let target = echo().await;
    bench.add(target);
    assert!(bench.apply().await.is_empty());
    let name = ServerName::try_from("web.example").expect("a name");
    let connecting = TlsConnector::from(Arc::new(by_any_name())).connect(name, bench.connect().await);
    let mut client = soon(connecting).await.expect("TLS");
    let sent = vec![7; 1 << 20];
    let mut answer = vec![0; sent.len()];
    let (mut from, mut to) = tokio::io::split(&mut client);
    soon(async {
        let (sending, receiving) = tokio::join!(
            async {
                to.write_all(&sent).await?;
                to.flush().await
            },
            from.read_exact(&mut answer)
        );
        sending.expect("sent");
        receiving.expect("echoed");
    })
    .await;
    assert!(answer == sent);
    // Both ends say goodbye in TLS's words: nothing was cut off.
    soon(client.shutdown()).await.expect("finished");
    assert_eq!(soon(client.read(&mut [0])).await.expect("the end"), 0);
    bench.has_flows(target, 0).await;
    // What is no TLS goes no further.
    let mut plain = bench.connect().await;
    soon(plain.write_all(b"GET / HTTP/1.0\r\n\r\n")).await.expect("sent");
    let mut told = Vec::new();
    // An alert, or a reset.
    let _ = soon(plain.read_to_end(&mut told)).await;
    assert_eq!(bench.flows(target), 0);
}

#[tokio::test]
async fn the_protocol_agreed_with_the_client_is_offered_to_the_target() {
    let mut bench = Bench::new(ListenerProtocol::Tls);
    let (listener, target) = bound().await;
    let mut spoken = server_tls();
    spoken.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(spoken));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream = acceptor.accept(stream).await.expect("TLS");
        let agreed = stream.get_ref().1.alpn_protocol().expect("a protocol").to_vec();
        stream.write_all(&agreed).await.expect("said");
        stream.shutdown().await.expect("finished");
    });
    bench.add(target);
    bench.group().protocol = Protocol::Tls;
    let mut own = server_tls();
    own.alpn_protocols = vec![b"http/1.1".to_vec()];
    let own = Arc::new(own);
    bench.plane.apply(&bench.configuration, &bench.health, &|_| Ok(Arc::clone(&own))).await;
    let mut asking = by_any_name();
    asking.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("web.example").expect("a name");
    let connecting = TlsConnector::from(Arc::new(asking)).connect(name, bench.connect().await);
    let mut client = soon(connecting).await.expect("TLS");
    let mut agreed = String::new();
    soon(client.read_to_string(&mut agreed)).await.expect("the protocol");
    assert_eq!(agreed, "http/1.1");
}

#[tokio::test]
async fn a_listener_without_a_usable_certificate_stays_closed() {
    let mut bench = Bench::new(ListenerProtocol::Tls);
    let closed =
        bench.plane.apply(&bench.configuration, &bench.health, &|_| Err("no certificate".to_owned())).await;
    assert_eq!(closed[0].reason, "no certificate");
    assert!(TcpStream::connect(bench.address).await.is_err());
    assert!(bench.apply().await.is_empty());
    bench.connect().await;
}

/// Takes the certificate whatever the name.
fn by_any_name() -> ClientConfig {
    ClientConfig::clone(&crate::tls::to_targets())
}
