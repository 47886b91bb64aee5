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

#[derive(Default)]
struct Lines(std::sync::Mutex<Vec<String>>);

impl crate::AccessLog for Lines {
    fn record(&self, load_balancer_arn: &str, line: String) {
        assert_eq!(load_balancer_arn, "balancer");
        self.0.lock().expect("not poisoned").push(line);
    }

    fn record_connection(&self, _: &str, _: String) {
        panic!("only application load balancers have connection logs");
    }
}

impl Lines {
    async fn next(&self) -> String {
        soon(async {
            loop {
                if let Some(line) = self.0.lock().expect("not poisoned").pop() {
                    return line;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

#[tokio::test]
async fn connections_of_tls_listeners_are_logged_where_that_is_wanted() {
    let mut bench = Bench::new(ListenerProtocol::Tls);
    let lines = Arc::new(Lines::default());
    bench.plane = NetworkPlane::new(Arc::new(HostSockets), crate::tls::to_targets())
        .logging(Some(Arc::clone(&lines) as _));
    bench.listener().certificates = vec![routing::config::Certificate {
        arn: "arn:certificate".into(),
        chain_pem: String::from_utf8(CERTIFICATE.to_vec()).expect("text"),
        private_key_pem: routing::config::SecretText::new(String::from_utf8(KEY.to_vec()).expect("text")),
    }];
    bench.listener().arn = "arn:listener/net/web/1/2".into();
    let place =
        routing::config::AccessLogs { bucket: "b".into(), prefix: String::new(), interval_minutes: 5 };
    bench.configuration.load_balancers[0].attributes.access_logs = Some(place);
    let target = echo().await;
    bench.add(target);
    assert!(bench.apply().await.is_empty());
    let name = ServerName::try_from("web.example").expect("a name");
    let connecting = TlsConnector::from(Arc::new(by_any_name())).connect(name, bench.connect().await);
    let mut client = soon(connecting).await.expect("TLS");
    soon(client.write_all(b"hello")).await.expect("sent");
    let mut answer = [0; 5];
    soon(client.read_exact(&mut answer)).await.expect("echoed");
    soon(client.shutdown()).await.expect("finished");
    assert_eq!(soon(client.read(&mut [0])).await.expect("the end"), 0);
    let line = lines.next().await;
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words.len(), 22, "{line}");
    assert_eq!((words[0], words[1], words[3], words[4]), ("tls", "2.0", "web", "2"), "{line}");
    assert_eq!(words[6], bench.address.to_string());
    assert_eq!((words[9], words[10], words[11]), ("5", "5", "-"), "{line}");
    assert_eq!(words[12..16], ["arn:certificate", "-", "TLS_AES_256_GCM_SHA384", "tlsv13"], "{line}");
    assert_eq!((words[16], words[17]), ("x25519", "web.example"), "{line}");
    // What is no TLS is a connection all the same.
    let mut plain = bench.connect().await;
    soon(plain.write_all(b"GET / HTTP/1.0\r\n\r\n")).await.expect("sent");
    let line = lines.next().await;
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[8..16], ["-", "0", "0", "-", "-", "-", "-", "-"], "{line}");
}

#[tokio::test]
async fn classic_load_balancers_log_connections_of_any_kind() {
    let mut bench = Bench::new(ListenerProtocol::Tcp);
    let lines = Arc::new(Lines::default());
    bench.plane = NetworkPlane::new(Arc::new(HostSockets), crate::tls::to_targets())
        .logging(Some(Arc::clone(&lines) as _));
    let place =
        routing::config::AccessLogs { bucket: "b".into(), prefix: String::new(), interval_minutes: 60 };
    let balancer = &mut bench.configuration.load_balancers[0];
    balancer.kind = LoadBalancerKind::Classic;
    balancer.attributes.access_logs = Some(place);
    let target = named("hello").await;
    bench.add(target);
    bench.apply().await;
    let mut client = bench.connect().await;
    soon(client.write_all(b"abc")).await.expect("sent");
    soon(client.shutdown()).await.expect("finished");
    let mut answer = String::new();
    soon(client.read_to_string(&mut answer)).await.expect("answered");
    assert_eq!(answer, "hello");
    let line = lines.next().await;
    let words: Vec<&str> = line.split(' ').collect();
    let from = client.local_addr().expect("bound").to_string();
    assert_eq!(words[1..4], ["web", &from, &target.to_string()], "{line}");
    assert!(words[4..7].iter().all(|time| time.parse::<f64>().is_ok_and(|time| time >= 0.0)), "{line}");
    assert!(line.ends_with(" - - 3 5 \"- - - \" \"-\" - -"), "{line}");
    // What went through one that is cut off is known all the same.
    let target = echo().await;
    bench.group().targets.clear();
    bench.add(target);
    bench.group().attributes.terminate_when_draining_ends = true;
    bench.apply().await;
    let mut client = bench.connect().await;
    soon(client.write_all(b"cut off")).await.expect("sent");
    soon(client.read_exact(&mut [0; 7])).await.expect("echoed");
    bench.group().targets.clear();
    bench.apply().await;
    assert!(soon(client.read(&mut [0])).await.is_err());
    let line = lines.next().await;
    assert!(line.ends_with(" - - 7 7 \"- - - \" \"-\" - -"), "{line}");
    // Nobody to connect to.
    bench.apply().await;
    let mut client = bench.connect().await;
    assert!(soon(client.read(&mut [0])).await.is_err());
    let line = lines.next().await;
    assert!(line.ends_with(" - -1 -1 -1 - - 0 0 \"- - - \" \"-\" - -"), "{line}");
}

/// Takes the certificate whatever the name.
fn by_any_name() -> ClientConfig {
    ClientConfig::clone(&crate::tls::to_targets())
}
