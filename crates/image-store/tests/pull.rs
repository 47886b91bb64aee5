//! Pulling from a registry: documents, content, policies.

mod support;

use std::{fs, sync::Arc};

use image_store::{
    Digest, Endpoint, Image, ImageStore, Platform, PullError, PullOptions, PullPolicy, Reference, StoreError,
};
use support::{
    FaultKind, Registry, eventually,
    images::{
        DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_LAYER, TestImage, TestLayer, archive, descriptor, gzip,
        reference,
    },
    names, store,
};
use tokio::sync::Semaphore;

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

fn one_layer(content: &str) -> TestImage {
    TestImage::of(vec![TestLayer::with_file("f", content.as_bytes())])
}

fn for_platform(platform: &str, (digest, media_type, size): (Digest, &str, usize)) -> String {
    let parsed: Platform = platform.parse().unwrap();
    let variant = parsed.variant.map(|v| format!(",\"variant\":\"{v}\"")).unwrap_or_default();
    format!(
        "{},\"platform\":{{\"os\":\"{}\",\"architecture\":\"{}\"{variant}}}}}",
        descriptor(media_type, &digest, size).trim_end_matches('}'),
        parsed.os,
        parsed.architecture
    )
}

fn index(registry: &Registry, tag: &str, media_type: &str, members: &[String]) -> Digest {
    let json =
        format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[{}]}}"#, members.join(","));
    registry.put_manifest("app", tag, media_type, &json)
}

#[tokio::test]
async fn an_index_gives_the_platforms_image() {
    let registry = Registry::start().await;
    let image = |content: &str, architecture: &str| TestImage {
        architecture: architecture.to_owned(),
        docker: content.len().is_multiple_of(2),
        ..one_layer(content)
    };
    let members = [
        ("linux/arm/v6", image("arm 6", "arm")),
        ("linux/amd64/v3", image("amd64 3", "amd64")),
        ("linux/amd64", image("amd64", "amd64")),
        ("windows/amd64", image("windows", "amd64")),
        ("linux/arm64/v8", image("arm64", "arm64")),
        ("linux/arm/v7", image("arm 7", "arm")),
        ("unknown/unknown", image("attestation", "unknown")),
    ]
    .map(|(platform, image)| for_platform(platform, image.push(&registry, "app", platform)));
    let oci = index(&registry, "oci", OCI_INDEX, &members);
    index(&registry, "docker", DOCKER_LIST, &members);
    let (_directory, store) = store().await;
    for (platform, content) in [
        ("linux/amd64", "amd64"),
        ("linux/amd64/v3", "amd64 3"),
        ("linux/arm64", "arm64"),
        ("linux/arm", "arm 7"),
        ("linux/arm/v6", "arm 6"),
    ] {
        for tag in ["oci", "docker"] {
            let options = PullOptions { platform: platform.parse().unwrap(), ..PullOptions::default() };
            let pulled = store.pull(&reference(&registry, &format!("app:{tag}")), options).await.unwrap();
            assert_eq!(fs::read_to_string(pulled.layers[0].path.join("f")).unwrap(), content, "{platform}");
            assert_ne!(pulled.resolved_digest, pulled.manifest_digest);
            assert!(tag != "oci" || pulled.resolved_digest == oci);
        }
    }
    let options = PullOptions { platform: "linux/riscv64".parse().unwrap(), ..PullOptions::default() };
    let error = store.pull(&reference(&registry, "app:oci"), options).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "image Manifest does not contain descriptor matching platform 'linux/riscv64'"
    );
}

#[tokio::test]
async fn an_image_for_another_platform_is_refused() {
    let registry = Registry::start().await;
    TestImage { architecture: "s390x".to_owned(), ..one_layer("x") }.push(&registry, "app", "v1");
    let (_directory, store) = store().await;
    let error = pull(&store, &registry, "app:v1").await.unwrap_err();
    assert!(matches!(error, PullError::Platform { .. }), "{error}");
}

#[tokio::test]
async fn a_digest_decides_over_a_tag() {
    let registry = Registry::start().await;
    let (old, _, _) = one_layer("old").push(&registry, "app", "v1");
    one_layer("new").push(&registry, "app", "v1");
    let (_directory, store) = store().await;
    let pulled = pull(&store, &registry, &format!("app:v1@{old}")).await.unwrap();
    assert_eq!(pulled.manifest_digest, old);
    // A registry that answers with something else is caught.
    registry.put_manifest("app", &old.to_string(), DOCKER_MANIFEST, "{}");
    let error = pull(&store, &registry, &format!("app@{old}")).await.unwrap_err();
    assert!(error.to_string().contains(&format!("expected {old}")), "{error}");
}

#[tokio::test]
async fn layers_are_shared_between_images() {
    let registry = Registry::start().await;
    let base = TestLayer::with_file("base", b"base");
    let of = |top: &str| TestImage::of(vec![base.clone(), TestLayer::with_file(top, top.as_bytes())]);
    of("one").push(&registry, "app", "one");
    of("two").push(&registry, "app", "two");
    let (_directory, store) = store().await;
    let one = pull(&store, &registry, "app:one").await.unwrap();
    let two = pull(&store, &registry, "app:two").await.unwrap();
    assert_eq!(one.layers[0], two.layers[0]);
    assert_eq!(registry.count(Digest::of(&base.blob).as_str()), 1);
    assert_eq!(names(&store, "layers").len(), 3);
}

#[tokio::test]
async fn concurrent_pulls_share_one_download() {
    let registry = Registry::start().await;
    let image = one_layer(&"content ".repeat(10_000));
    image.push(&registry, "app", "v1");
    let blob = Digest::of(&image.layers[0].blob);
    let gate = Arc::new(Semaphore::new(0));
    registry.fault(blob.hex(), 1, FaultKind::HoldHalfway(gate.clone()));
    let (_directory, store) = store().await;
    let first = tokio::spawn({
        let (store, registry) = (store.clone(), registry.clone());
        async move { pull(&store, &registry, "app:v1").await }
    });
    eventually("the first download", || registry.count(blob.hex()) == 1).await;
    let others: Vec<_> = (0..8)
        .map(|_| {
            let (store, registry) = (store.clone(), registry.clone());
            tokio::spawn(async move { pull(&store, &registry, "app:v1").await })
        })
        .collect();
    eventually("everyone's manifest", || registry.count("/manifests/v1") == 9).await;
    gate.add_permits(1);
    let expected = first.await.unwrap().unwrap();
    for other in others {
        assert_eq!(other.await.unwrap().unwrap(), expected);
    }
    assert_eq!(registry.count(blob.hex()), 1);
    assert_eq!(names(&store, "tmp"), [""; 0]);
}

#[tokio::test]
async fn a_pull_that_is_dropped_leaves_nothing_unless_somebody_waits() {
    let registry = Registry::start().await;
    let image = one_layer(&"content ".repeat(10_000));
    image.push(&registry, "app", "v1");
    let blob = Digest::of(&image.layers[0].blob);
    let gate = Arc::new(Semaphore::new(0));
    registry.fault(blob.hex(), 2, FaultKind::HoldHalfway(gate.clone()));
    let (_directory, store) = store().await;
    let start = || {
        let (store, registry) = (store.clone(), registry.clone());
        tokio::spawn(async move { pull(&store, &registry, "app:v1").await })
    };

    let alone = start();
    eventually("the download", || registry.count(blob.hex()) == 1 && !names(&store, "tmp").is_empty()).await;
    alone.abort();
    eventually("nothing left", || names(&store, "tmp").is_empty()).await;
    assert_eq!(names(&store, "layers"), [""; 0]);

    let leader = start();
    eventually("the second download", || registry.count(blob.hex()) == 2).await;
    let follower = start();
    eventually("the follower's manifest", || registry.count("/manifests/v1") == 3).await;
    // The follower has its manifest; let it get to its seat, which shows nowhere, before the leader goes.
    tokio::task::yield_now().await;
    leader.abort();
    let _ = leader.await;
    gate.add_permits(2);
    follower.await.unwrap().unwrap();
}

#[tokio::test]
async fn policies_decide_when_the_registry_is_asked() {
    let registry = Registry::start().await;
    let (digest, _, _) = one_layer("x").push(&registry, "app", "v1");
    let (_directory, store) = store().await;
    let with = |policy| PullOptions { policy, ..PullOptions::default() };
    let name = reference(&registry, "app:v1");

    let error = store.pull(&name, with(PullPolicy::Never)).await.unwrap_err();
    assert!(matches!(error, PullError::NotPresent { .. }));
    store.pull(&name, with(PullPolicy::IfNotPresent)).await.unwrap();
    let asked = registry.count("");
    for policy in [PullPolicy::IfNotPresent, PullPolicy::Never] {
        assert_eq!(store.pull(&name, with(policy)).await.unwrap().manifest_digest, digest);
    }
    assert_eq!(registry.count(""), asked);

    // The tag moves: only asking shows it.
    let (moved, _, _) = one_layer("y").push(&registry, "app", "v1");
    assert_eq!(store.pull(&name, with(PullPolicy::IfNotPresent)).await.unwrap().manifest_digest, digest);
    assert_eq!(store.pull(&name, with(PullPolicy::Always)).await.unwrap().manifest_digest, moved);
    assert_eq!(store.pull(&name, with(PullPolicy::Never)).await.unwrap().manifest_digest, moved);

    registry.fault("/manifests/", 100, FaultKind::Status(503, ""));
    store.pull(&name, with(PullPolicy::AlwaysOrPresent)).await.unwrap();
    store.pull(&name, with(PullPolicy::Always)).await.unwrap_err();
}

#[tokio::test]
async fn a_refusal_is_not_covered_by_a_present_image() {
    let registry = Registry::start().await;
    one_layer("x").push(&registry, "app", "v1");
    let (_directory, store) = store().await;
    pull(&store, &registry, "app:v1").await.unwrap();
    registry.fault("/manifests/", 1, FaultKind::Status(403, ""));
    let options = PullOptions { policy: PullPolicy::AlwaysOrPresent, ..PullOptions::default() };
    store.pull(&reference(&registry, "app:v1"), options).await.unwrap_err();
}

#[tokio::test]
async fn registries_can_be_elsewhere() {
    let registry = Registry::start().await;
    one_layer("x").push(&registry, "team/app", "v1");
    let (_directory, store) = store().await;
    let name = Reference::parse("123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:v1").unwrap();
    let endpoint = Endpoint::parse(&format!("http://{}", registry.host())).unwrap();
    let rewrite: image_store::RewriteFn =
        Arc::new(move |host: &str| host.ends_with(".amazonaws.com").then(|| endpoint.clone()));
    let pulled =
        store.pull(&name, PullOptions { rewrite: Some(rewrite), ..PullOptions::default() }).await.unwrap();
    assert_eq!(pulled.reference.to_string(), "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:v1");
}

#[tokio::test]
async fn repeated_and_empty_layers_are_stacked_sensibly() {
    let registry = Registry::start().await;
    let empty = TestLayer::gzip(archive(&[]));
    let (a, b) = (TestLayer::with_file("a", b"a"), TestLayer::with_file("b", b"b"));
    TestImage::of(vec![a.clone(), empty.clone(), b, a]).push(&registry, "app", "v1");
    TestImage::of(vec![empty]).push(&registry, "app", "empty");
    TestImage::of(vec![]).push(&registry, "app", "none");
    let (_directory, store) = store().await;
    let pulled = pull(&store, &registry, "app:v1").await.unwrap();
    assert_eq!(pulled.layers.len(), 4);
    let lowers = pulled.overlay_lowers();
    let stacked: Vec<_> = lowers.absolute().iter().map(|p| p.canonicalize().unwrap()).collect();
    assert_eq!(stacked, [pulled.layers[3].path.clone(), pulled.layers[2].path.clone()]);
    for tag in ["empty", "none"] {
        let lowers = pull(&store, &registry, &format!("app:{tag}")).await.unwrap().overlay_lowers();
        assert_eq!(lowers.relative.len(), 1);
        assert_eq!(fs::read_dir(&lowers.absolute()[0]).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn layers_that_are_not_what_they_say_are_refused() {
    let registry = Registry::start().await;
    let (_directory, store) = store().await;
    let good = TestLayer::with_file("f", b"f");

    // Content whose digest is right, of an archive that is not the configuration's.
    let lying = TestLayer { blob: gzip(&archive(&[("other", b"x")])), ..good.clone() };
    TestImage::of(vec![lying]).push(&registry, "app", "lying");
    let error = pull(&store, &registry, "app:lying").await.unwrap_err();
    assert!(error.to_string().contains("wrong diff id calculated on extraction"), "{error}");

    let garbage = TestLayer { blob: b"this is no archive".to_vec(), ..good.clone() };
    TestImage::of(vec![garbage]).push(&registry, "app", "garbage");
    let error = pull(&store, &registry, "app:garbage").await.unwrap_err();
    assert!(error.to_string().starts_with("failed to extract layer sha256:"), "{error}");

    // A longer blob than its descriptor says.
    let config = registry.put_blob(TestImage::of(vec![good.clone()]).config_json());
    let layer = registry.put_blob(good.blob.clone());
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
        descriptor("application/vnd.oci.image.config.v1+json", &config, 10),
        descriptor(OCI_LAYER, &layer, good.blob.len() - 1)
    );
    registry.put_manifest("app", "long", support::images::OCI_MANIFEST, &manifest);
    let error = pull(&store, &registry, "app:long").await.unwrap_err();
    assert!(error.to_string().contains("more than the"), "{error}");

    let count = format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[]}}"#,
        descriptor("application/vnd.oci.image.config.v1+json", &config, 10)
    );
    registry.put_manifest("app", "count", support::images::OCI_MANIFEST, &count);
    let error = pull(&store, &registry, "app:count").await.unwrap_err();
    assert!(error.to_string().contains("mismatched image rootfs and manifest layers"), "{error}");

    assert_eq!(names(&store, "layers"), [""; 0]);
    assert_eq!(names(&store, "tmp"), [""; 0]);
    assert_eq!(store.list(), []);
}

#[tokio::test]
async fn a_damaged_manifest_is_refused() {
    let registry = Registry::start().await;
    let (_directory, store) = store().await;
    for (name, json) in [
        ("json", "{"),
        ("schema1", r#"{"schemaVersion":1,"name":"x","fsLayers":[]}"#),
        ("both", r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#),
        ("neither", r#"{"schemaVersion":2}"#),
        ("empty", r#"{"schemaVersion":2,"manifests":[]}"#),
        ("digest", r#"{"schemaVersion":2,"layers":[],"config":{"digest":"sha256:xyz","size":1}}"#),
    ] {
        registry.put_manifest("app", name, "application/json", json);
        pull(&store, &registry, &format!("app:{name}")).await.unwrap_err();
    }
}

#[tokio::test]
async fn what_is_over_a_limit_is_refused() {
    let registry = Registry::start().await;
    TestImage::of(vec![TestLayer::with_file("a", &[1; 5000]), TestLayer::with_file("b", &[2; 5000])])
        .push(&registry, "app", "v1");
    let limited = |change: fn(&mut image_store::Limits)| {
        let registry = registry.clone();
        async move {
            let directory = tempfile::Builder::new().prefix("lsh-images-").tempdir_in("/var/tmp").unwrap();
            let mut options = support::options();
            change(&mut options.limits);
            let store = ImageStore::open(directory.path(), options).await.unwrap();
            let error = pull(&store, &registry, "app:v1").await.unwrap_err();
            assert_eq!(names(&store, "tmp"), [""; 0]);
            assert_eq!(names(&store, "layers"), [""; 0]);
            error.to_string()
        }
    };
    assert!(limited(|l| l.max_image_bytes = 9000).await.contains("uncompressed size of its layers"));
    assert!(limited(|l| l.max_layers = 1).await.contains("the number of its layers is over the limit of 1"));
    let full = limited(|l| l.keep_free_bytes = u64::MAX).await;
    assert!(full.contains("no space left on device"), "{full}");
}

#[tokio::test]
async fn one_store_has_one_process() {
    let (directory, store) = store().await;
    let second = ImageStore::open(directory.path().join("images"), support::options()).await;
    assert!(matches!(second, Err(StoreError::Locked { .. })));
    drop(store);
    ImageStore::open(directory.path().join("images"), support::options()).await.unwrap();
}
