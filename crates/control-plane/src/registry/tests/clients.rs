//! Real clients over real HTTP: skopeo pushes, copies and pulls.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use vocabulary::Timestamp;

use super::{Fixture, NAME, OTHER, fixture};
use crate::registry::Registry;

/// Serves the registry on a loopback port until the runtime goes.
async fn serve(registry: Registry) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its number");
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let registry = registry.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let registry = registry.clone();
                    let now = Timestamp::from(std::time::SystemTime::now());
                    async move { Ok::<_, Infallible>(registry.handle(request, now).await) }
                });
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(connection), service).await;
            });
        }
    });
    address
}

/// Writes an image layout of one layer of `size` bytes, which no compression shortens.
fn layout(folder: &Path, size: usize) {
    let blob = |bytes: &[u8]| {
        let digest = blob_store::Digest::sha256(bytes);
        let path = folder.join("blobs/sha256");
        std::fs::create_dir_all(&path).expect("a folder");
        std::fs::write(path.join(digest.hex()), bytes).expect("a blob");
        digest
    };
    let mut seed = 1_u64;
    let layer = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    });
    let layer = layer.take(size).collect::<Vec<_>>();
    let layer_digest = blob(&layer);
    let config = json!({ "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [layer_digest] } });
    let config = config.to_string();
    let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob(config.as_bytes()), "size": config.len() },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": size }] });
    let manifest = manifest.to_string();
    let index = json!({ "schemaVersion": 2, "manifests": [{ "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": blob(manifest.as_bytes()), "size": manifest.len(),
        "annotations": { "org.opencontainers.image.ref.name": "v1" } }] });
    std::fs::write(folder.join("index.json"), index.to_string()).expect("an index");
    std::fs::write(folder.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").expect("a layout");
}

async fn skopeo(arguments: &[&str]) -> String {
    let arguments = arguments.iter().map(ToString::to_string).collect::<Vec<_>>();
    let run =
        move || Command::new("skopeo").arg("--insecure-policy").args(arguments).output().expect("skopeo(1)");
    let output = tokio::task::spawn_blocking(run).await.expect("it ran");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skopeo_pushes_copies_lists_and_pulls() {
    let f: Fixture = fixture().await;
    let address = serve(f.registry.clone()).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    layout(&from, 3_000_000);
    let from = format!("oci:{}:v1", from.display());
    let credentials = format!("AWS:{}", f.token);
    let image = |name: &str, tag: &str| format!("docker://{address}/{name}:{tag}");

    skopeo(&["copy", "--dest-tls-verify=false", "--dest-creds", &credentials, &from, &image(NAME, "v1")])
        .await;
    // The second repository gets the layer by mounting it.
    skopeo(&[
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--src-creds",
        &credentials,
        "--dest-creds",
        &credentials,
        &image(NAME, "v1"),
        &image(OTHER, "copied"),
    ])
    .await;
    let listed = skopeo(&[
        "list-tags",
        "--tls-verify=false",
        "--creds",
        &credentials,
        &format!("docker://{address}/{OTHER}"),
    ])
    .await;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["Tags"], json!(["copied"]));

    let target = format!("dir:{}", to.display());
    skopeo(&[
        "copy",
        "--src-tls-verify=false",
        "--src-creds",
        &credentials,
        &image(OTHER, "copied"),
        &target,
    ])
    .await;
    let layer = std::fs::read_dir(&to)
        .expect("pulled")
        .map(|entry| entry.expect("a file").metadata().expect("its size").len());
    // skopeo compresses on the way, which does not shorten this layer.
    assert!(layer.max().is_some_and(|largest| largest >= 3_000_000));
}
