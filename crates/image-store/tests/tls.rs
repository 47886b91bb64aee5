//! A registry over TLS: trusted through the machine's certificates, refused without.

mod support;

use std::{path::Path, process::Command, sync::Arc};

use image_store::{Endpoint, PullOptions, Reference};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use support::{
    Registry,
    images::{TestImage, TestLayer},
    store,
};

const CHILD: &str = "LONGSHORE_TEST_TLS";

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An authority in `ca.pem`, and a server's configuration that it signed for 127.0.0.1.
fn certificates(directory: &Path) -> rustls::ServerConfig {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    std::fs::write(directory.join("ext"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        .unwrap();
    openssl(directory, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=lsh-test-ca"));
    openssl(directory, &format!("req {key} -keyout key.pem -out csr.pem -subj /CN=lsh-test-registry"));
    openssl(
        directory,
        "x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile ext",
    );
    let chain =
        CertificateDer::pem_file_iter(directory.join("cert.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

/// Does nothing on its own: which certificates are trusted is decided once per process, by its environment.
#[tokio::test]
async fn pull_in_a_child() {
    let Ok(address) = std::env::var(CHILD) else { return };
    let endpoint = Endpoint::parse(&address).unwrap();
    let (_directory, store) = store().await;
    let options = PullOptions {
        rewrite: Some(Arc::new(move |_: &str| Some(endpoint.clone()))),
        ..PullOptions::default()
    };
    match store.pull(&Reference::parse("registry.test/app:v1").unwrap(), options).await {
        Ok(image) => println!("pulled {}", image.manifest_digest),
        Err(error) => println!("refused {error}"),
    }
}

#[tokio::test]
async fn the_machines_certificates_decide() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start_with(Some(Arc::new(certificates(directory.path())))).await;
    let (digest, _, _) = TestImage::of(vec![TestLayer::with_file("f", b"f")]).push(&registry, "app", "v1");
    let run = async |trusted: &str| {
        let output = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "pull_in_a_child", "--nocapture"])
            .env(CHILD, format!("https://{}", registry.host()))
            .env("SSL_CERT_FILE", directory.path().join(trusted))
            .env_remove("SSL_CERT_DIR")
            .output()
            .await
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let trusted = run("ca.pem").await;
    assert!(trusted.contains(&format!("pulled {digest}")), "{trusted}");

    // Another authority of the same name.
    let other = directory.path().join("other");
    std::fs::create_dir(&other).unwrap();
    certificates(&other);
    let refused = run("other/ca.pem").await;
    assert!(refused.contains("refused pull image manifest has been retried"), "{refused}");
    assert!(refused.contains("certificate"), "{refused}");
}
