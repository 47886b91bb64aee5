//! Listeners that look at clients' certificates, over real connections.

use routing::config::{ClientCertificates, TrustStore};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::TlsConnector;

use super::*;
use crate::tls::clients::tests::{Authority, Client as Shown, trusting};

type Encrypted = tokio_rustls::client::TlsStream<TcpStream>;

/// A connection with this certificate, or what became of it.
async fn greeted(bench: &Bench, shown: Option<&Shown>) -> std::io::Result<Encrypted> {
    let mut config = rustls::ClientConfig::clone(&crate::tls::to_targets());
    if let Some(shown) = shown {
        config.client_auth_cert_resolver = Arc::new(Showing::new(shown));
    }
    let stream = soon(TcpStream::connect(bench.address)).await.expect("connected");
    let name = ServerName::try_from("web.example").expect("a name");
    soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

/// Shows the one certificate whatever is asked for.
#[derive(Debug)]
struct Showing(Arc<rustls::sign::CertifiedKey>);

impl Showing {
    fn new(shown: &Shown) -> Showing {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(shown.key.serialize_der()));
        let chain: Vec<CertificateDer<'static>> = vec![shown.certificate.clone()];
        let provider = rustls::crypto::ring::default_provider();
        let key = rustls::sign::CertifiedKey::from_der(chain, key, &provider).expect("a key");
        Showing(Arc::new(key))
    }
}

impl rustls::client::ResolvesClientCert for Showing {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The head that the target gets of a request; `None` when the client is sent away.
async fn head_at_target(bench: &Bench, origin: &Origin, shown: Option<&Shown>) -> Option<String> {
    let mut client = greeted(bench, shown).await.ok()?;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Amzn-Mtls-Clientcert-Subject: CN=admin\r\nX-Amzn-Mtls-Clientcert: me\r\n\r\n";
    soon(client.write_all(request.as_bytes())).await.ok()?;
    let mut first = [0; 1];
    // TLS 1.3 tells a client that it is not let in only after its handshake.
    tokio::select! {
        mut target = origin.accept() => {
            let head = target.head().await;
            target.send(OK).await;
            soon(client.read_exact(&mut first)).await.expect("answered");
            Some(head)
        }
        _ = soon(client.read_exact(&mut first)) => None,
    }
}

async fn bench(wanted: ClientCertificates) -> (Bench, Origin) {
    let (mut bench, origin) = (Bench::new(), Origin::new().await);
    bench.encrypt();
    bench.listener().client_certificates = wanted;
    bench.add(origin.address);
    bench.apply().await;
    (bench, origin)
}

#[tokio::test]
async fn who_cannot_be_verified_is_not_let_in() {
    let (own, other) = (Authority::new("own"), Authority::new("other"));
    let verify = ClientCertificates::Verify(trusting(&[&own]));
    let (mut bench, origin) = bench(verify).await;
    for policy in ["ELBSecurityPolicy-TLS13-1-3-2021-06", "ELBSecurityPolicy-2016-08"] {
        bench.listener().ssl_policy = Some(policy.to_owned());
        bench.apply().await;
        let known = own.client(0xabcd, 2119);
        let head = head_at_target(&bench, &origin, Some(&known)).await.expect("let in");
        assert_eq!(header(&head, "X-Amzn-Mtls-Clientcert-Serial-Number"), Some("ABCD"), "{head}");
        assert_eq!(header(&head, "X-Amzn-Mtls-Clientcert-Issuer"), Some("CN=own"));
        assert!(!head.contains("CN=admin") && !head.contains("Clientcert: me"), "{head}");
        for stranger in [None, Some(other.client(1, 2119)), Some(own.client(2, 2021))] {
            let told = head_at_target(&bench, &origin, stranger.as_ref()).await;
            assert_eq!(told, None, "{policy}");
        }
    }
    bench.counted(Counter::ClientTlsErrors, 6).await;
    assert_eq!(bench.count(Counter::Requests), 2);
}

#[tokio::test]
async fn a_changed_store_counts_at_once() {
    let own = Authority::new("own");
    let (mut bench, origin) = bench(ClientCertificates::Verify(trusting(&[&own]))).await;
    let client = own.client(7, 2119);
    assert!(head_at_target(&bench, &origin, Some(&client)).await.is_some());
    bench.listener().client_certificates = ClientCertificates::Verify(TrustStore {
        revocations_pem: vec![own.revoking(7)],
        ..trusting(&[&own])
    });
    bench.apply().await;
    assert_eq!(head_at_target(&bench, &origin, Some(&client)).await, None);
    // A store that vouches for nobody closes the listener rather than letting everybody in.
    bench.listener().client_certificates = ClientCertificates::Verify(TrustStore::default());
    bench.configuration.generation += 1;
    bench.plane.apply(bench.configuration.clone());
    let mut reports = bench.plane.reports();
    soon(reports.wait_for(|reports| reports.listening.is_empty())).await.expect("it runs");
    assert!(TcpStream::connect(bench.address).await.is_err());
}

#[tokio::test]
async fn passing_on_lets_everybody_in_and_says_who_they_claim_to_be() {
    let (bench, origin) = bench(ClientCertificates::PassThrough).await;
    let head = head_at_target(&bench, &origin, None).await.expect("let in");
    assert!(!head.to_lowercase().contains("mtls"), "{head}");
    let stranger = Authority::new("nobody knows").client(1, 2021);
    let head = head_at_target(&bench, &origin, Some(&stranger)).await.expect("let in");
    let chain = header(&head, "X-Amzn-Mtls-Clientcert").expect("the chain");
    assert!(chain.starts_with("-----BEGIN%20CERTIFICATE-----%0A"), "{chain}");
    assert_eq!(header(&head, "X-Amzn-Mtls-Clientcert-Subject"), None);
}

#[tokio::test]
async fn without_it_the_headers_are_the_clients_own() {
    let (bench, origin) = bench(ClientCertificates::Off).await;
    let head = head_at_target(&bench, &origin, None).await.expect("let in");
    assert_eq!(header(&head, "X-Amzn-Mtls-Clientcert-Subject"), Some("CN=admin"));
}

#[tokio::test]
async fn connections_are_logged_with_what_was_made_of_their_certificates() {
    let own = Authority::new("own");
    let (mut bench, origin) = bench(ClientCertificates::Verify(TrustStore {
        revocations_pem: vec![own.revoking(3)],
        ..trusting(&[&own])
    }))
    .await;
    let place =
        routing::config::AccessLogs { bucket: "b".into(), prefix: String::new(), interval_minutes: 5 };
    bench.balancer().attributes.connection_logs = Some(place);
    bench.apply().await;
    let other = Authority::new("other");
    for (shown, expected) in [
        (Some(own.client(1, 2119)), "Success"),
        (Some(own.client(2, 2021)), "Failed:ClientCertExpired"),
        (Some(own.client(3, 2119)), "Failed:ClientCertCrlHit"),
        (Some(other.client(4, 2119)), "Failed:ClientCertUntrusted"),
        (None, "Failed:UnmappedConnectionError"),
    ] {
        head_at_target(&bench, &origin, shown.as_ref()).await;
        let line = soon(async {
            loop {
                if let Some(line) = bench.lines.1.lock().expect("not poisoned").pop() {
                    return line;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[3], "7000", "{line}");
        assert_eq!(words[words.len() - 2], expected, "{line}");
        assert!(words[words.len() - 1].starts_with("TID_"), "{line}");
        if expected == "Success" {
            assert!(line.contains(" TLSv1.3 TLS_AES_256_GCM_SHA384 "), "{line}");
            let subject = r#""C=DE,O=\C3\9Cnits \+ more,CN=client\, one" NotBefore=2020-01-01T00:00:00Z;NotAfter=2119-01-01T00:00:00Z 01 "#;
            assert!(line.contains(subject), "{line}");
        }
    }
}
