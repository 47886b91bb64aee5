//! Pulling from a registry: documents, content, policies.

mod support;

use std::fs;

use image_store::{Image, ImageStore, PullError, PullOptions, StoreOptions};
use support::{
    Registry,
    images::{TestImage, TestLayer, reference},
};
use tempfile::TempDir;

async fn store() -> (TempDir, ImageStore) {
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let store = ImageStore::open(directory.path().join("images"), StoreOptions::default()).await.unwrap();
    (directory, store)
}

async fn pull(store: &ImageStore, registry: &Registry, rest: &str) -> Result<Image, PullError> {
    store.pull(&reference(registry, rest), PullOptions::default()).await
}

#[tokio::test]
async fn an_image_is_pulled_unpacked_and_described() {
    let registry = Registry::start().await;
    let mut image = TestImage::of(vec![
        TestLayer::with_file("etc/base", b"base"),
        TestLayer::with_file("app/run", b"run me"),
    ]);
    image.run = r#"{"Entrypoint":["/app/run"],"Cmd":["--fast"],"Env":["PATH=/bin","A=b"],"WorkingDir":"/app",
        "User":"10:20","ExposedPorts":{"8080/tcp":{}},"Volumes":{"/data":{}},"StopSignal":"SIGINT",
        "Labels":{"a":"b"},"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000,"Retries":2}}"#
        .to_owned();
    let (digest, _, _) = image.push(&registry, "app", "v1");
    let (_directory, store) = store().await;

    let pulled = pull(&store, &registry, "app:v1").await.unwrap();

    assert_eq!(pulled.manifest_digest, digest);
    assert_eq!(pulled.config.entrypoint, ["/app/run"]);
    assert_eq!(pulled.config.cmd, ["--fast"]);
    assert_eq!(pulled.config.env, ["PATH=/bin", "A=b"]);
    assert_eq!(pulled.config.working_dir, "/app");
    assert_eq!(pulled.config.user, "10:20");
    assert_eq!(pulled.config.exposed_ports, ["8080/tcp"]);
    assert_eq!(pulled.config.volumes, ["/data"]);
    assert_eq!(pulled.config.stop_signal.as_deref(), Some("SIGINT"));
    assert_eq!(pulled.config.healthcheck.unwrap().retries, Some(2));
    let diff_ids: Vec<_> = pulled.layers.iter().map(|l| l.diff_id.clone()).collect();
    assert_eq!(diff_ids, [image.layers[0].diff_id(), image.layers[1].diff_id()]);
    assert_eq!(fs::read(pulled.layers[0].path.join("etc/base")).unwrap(), b"base");
    assert_eq!(fs::read(pulled.layers[1].path.join("app/run")).unwrap(), b"run me");
}
