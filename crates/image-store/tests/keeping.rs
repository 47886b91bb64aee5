//! What stays in the store and what goes: restarts, pins, garbage collection.

mod support;

use std::{fs, sync::Arc, time::Duration};

use image_store::{
    GcPolicy, Image, ImageStore, Platform, PullOptions, PullPolicy, Reference, StoreError, StoreOptions,
};
use support::{
    FaultKind, Registry, eventually,
    images::{TestImage, TestLayer, reference},
    names, store,
};
use tokio::sync::Semaphore;

async fn push_and_pull(store: &ImageStore, registry: &Registry, tag: &str, layers: &[&TestLayer]) -> Image {
    TestImage::of(layers.iter().map(|l| (*l).clone()).collect()).push(registry, "app", tag);
    store.pull(&reference(registry, &format!("app:{tag}")), PullOptions::default()).await.unwrap()
}

fn layer(content: &str) -> TestLayer {
    TestLayer::with_file(content, content.repeat(100).as_bytes())
}

/// Removes whatever nobody holds, at once.
fn everything() -> GcPolicy {
    GcPolicy {
        max_unused: Some(Duration::ZERO),
        max_bytes: Some(0),
        min_free_bytes: None,
        min_unused: Duration::ZERO,
    }
}

async fn reopen(store: ImageStore) -> ImageStore {
    let directory = store.directory().to_owned();
    drop(store);
    ImageStore::open(&directory, support::options()).await.unwrap()
}

#[tokio::test]
async fn fresh_layers_reach_the_disk_in_the_background() {
    let registry = Registry::start().await;
    let directory = tempfile::Builder::new().prefix("lsh-images-").tempdir_in("/var/tmp").unwrap();
    let options = StoreOptions { durable: true, ..support::options() };
    let store = ImageStore::open(directory.path(), options).await.unwrap();
    let pulled = push_and_pull(&store, &registry, "v1", &[&layer("a")]).await;
    store.quiesce().await;
    let record = fs::read_to_string(pulled.layers[0].path.with_file_name("layer.json")).unwrap();
    assert!(record.contains("\"unsynced_since_boot\":null"), "{record}");
    drop(store);
    ImageStore::open(directory.path(), support::options()).await.unwrap();
}

#[tokio::test]
async fn images_survive_a_restart() {
    let registry = Registry::start().await;
    let (_directory, store) = store().await;
    let pulled = push_and_pull(&store, &registry, "v1", &[&layer("a"), &layer("b")]).await;
    store.pin("task/1", &pulled.manifest_digest).await.unwrap();
    let listed = store.list();

    let store = reopen(store).await;

    let name = reference(&registry, "app:v1");
    assert_eq!(store.inspect(&name, &Platform::host()), Some(pulled.clone()));
    assert_eq!(store.pins(), [("task/1".to_owned(), vec![pulled.manifest_digest.clone()])]);
    assert_eq!(store.list().len(), listed.len());
    assert_eq!(store.list()[0].references, [name.to_string()]);
    assert_eq!(store.list()[0].pinned_by, ["task/1"]);
    let options = PullOptions { policy: PullPolicy::Never, ..PullOptions::default() };
    assert_eq!(store.pull(&name, options).await.unwrap(), pulled);
}

#[tokio::test]
async fn what_a_crash_leaves_is_swept() {
    let registry = Registry::start().await;
    let (_directory, store) = store().await;
    let kept = push_and_pull(&store, &registry, "kept", &[&layer("kept")]).await;
    let lost = push_and_pull(&store, &registry, "lost", &[&layer("lost"), &layer("kept")]).await;
    let unfinished = push_and_pull(&store, &registry, "unfinished", &[&layer("unfinished")]).await;
    let damaged = push_and_pull(&store, &registry, "damaged", &[&layer("damaged")]).await;
    store.sync().await.unwrap();
    let root = store.directory().to_owned();

    // A directory in the making; a layer of which the machine's crash may have kept half; one without its record;
    // an image record cut short.
    fs::create_dir_all(root.join("tmp/99-0/root/deep/er")).unwrap();
    fs::write(root.join("tmp/99-0/root/deep/file"), b"x").unwrap();
    let record = lost.layers[0].path.with_file_name("layer.json");
    let text = fs::read_to_string(&record).unwrap();
    let text = text.replace("\"unsynced_since_boot\":null", "\"unsynced_since_boot\":\"an-earlier-boot\"");
    assert!(text.contains("an-earlier-boot"), "{text}");
    fs::write(&record, text).unwrap();
    fs::remove_file(unfinished.layers[0].path.with_file_name("layer.json")).unwrap();
    let image = root.join("images").join(format!("{}.json", damaged.manifest_digest.hex()));
    fs::write(&image, &fs::read(&image).unwrap()[..100]).unwrap();
    fs::remove_file(root.join(&kept.overlay_lowers().relative[0])).unwrap();

    let store = reopen(store).await;

    assert_eq!(names(&store, "tmp"), [""; 0]);
    let references: Vec<_> = store.list().into_iter().flat_map(|i| i.references).collect();
    assert_eq!(references, [reference(&registry, "app:kept").to_string()]);
    assert!(kept.overlay_lowers().absolute()[0].join("kept").exists());
    // The layer of the damaged record is whole and unneeded: the next collection's.
    assert_eq!(store.collect_garbage(&GcPolicy::default()).await.unwrap().removed_layers, 1);
    assert_eq!(names(&store, "layers").len(), 1);
    assert_eq!(names(&store, "references").len(), 1);
    assert_eq!(names(&store, "l").len(), 2);

    // And everything can be had again.
    for tag in ["lost", "unfinished", "damaged"] {
        let name = reference(&registry, &format!("app:{tag}"));
        store.pull(&name, PullOptions::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_store_of_another_layout_is_left_alone() {
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::write(directory.path().join("version"), "99\n").unwrap();
    let error = ImageStore::open(directory.path(), support::options()).await.err().unwrap();
    assert!(matches!(error, StoreError::Layout { .. }), "{error}");
}

#[tokio::test]
async fn pinned_images_and_shared_layers_stay() {
    let registry = Registry::start().await;
    let (_directory, store) = store().await;
    let base = layer("base");
    let one = push_and_pull(&store, &registry, "one", &[&base, &layer("one")]).await;
    let two = push_and_pull(&store, &registry, "two", &[&base, &layer("two")]).await;
    store.pin("task/1", &one.manifest_digest).await.unwrap();

    let report = store.collect_garbage(&everything()).await.unwrap();

    assert_eq!(report.removed_images, std::slice::from_ref(&two.manifest_digest));
    assert_eq!((report.removed_layers, report.pinned_images), (1, 1));
    assert!(report.freed_bytes > 0);
    assert!(one.layers.iter().all(|l| l.path.exists()));
    assert!(!two.layers[1].path.exists());
    assert_eq!(names(&store, "l").len(), 3);
    assert_eq!(names(&store, "tmp"), [""; 0]);
    assert!(matches!(store.pin("task/2", &two.manifest_digest).await, Err(StoreError::UnknownImage { .. })));

    store.unpin("task/1").await.unwrap();
    store.unpin("task/1").await.unwrap();
    store.collect_garbage(&everything()).await.unwrap();
    assert_eq!(store.list(), []);
    assert_eq!(names(&store, "layers"), [""; 0]);
    assert_eq!(names(&store, "references"), [""; 0]);
    assert_eq!(names(&store, "pins"), [""; 0]);
    assert_eq!(names(&store, "l"), ["empty"]);
}

#[tokio::test]
async fn a_pull_can_pin_at_once() {
    let registry = Registry::start().await;
    let (_directory, store) = store().await;
    TestImage::of(vec![layer("a")]).push(&registry, "app", "v1");
    for policy in [PullPolicy::Always, PullPolicy::IfNotPresent] {
        let holder = format!("{policy:?}");
        let options = PullOptions { policy, pin_for: Some(holder.clone()), ..PullOptions::default() };
        store.pull(&reference(&registry, "app:v1"), options).await.unwrap();
        assert!(store.list()[0].pinned_by.contains(&holder));
    }
    assert_eq!(store.collect_garbage(&everything()).await.unwrap().removed_images, []);
}

#[tokio::test]
async fn the_least_recently_used_go_first_and_only_as_many_as_needed() {
    let registry = Registry::start().await;
    let (_directory, store) = store().await;
    let mut sizes = Vec::new();
    for tag in ["a", "b", "c"] {
        sizes.push(push_and_pull(&store, &registry, tag, &[&layer(tag)]).await.size_bytes);
    }
    // Using `a` again makes `b` the oldest.
    store.pull(&reference(&registry, "app:a"), PullOptions::default()).await.unwrap();
    let policy =
        GcPolicy { max_unused: None, max_bytes: Some(sizes.iter().sum::<u64>() - 1), ..everything() };
    store.collect_garbage(&policy).await.unwrap();
    let left: Vec<_> = store.list().into_iter().flat_map(|i| i.references).collect();
    let expected = ["app:a", "app:c"].map(|name| reference(&registry, name).to_string());
    assert_eq!(left, expected);

    let recent = GcPolicy { min_unused: Duration::from_secs(3600), ..everything() };
    assert_eq!(store.collect_garbage(&recent).await.unwrap().removed_images, []);
    let full = GcPolicy { max_unused: None, max_bytes: None, min_free_bytes: Some(u64::MAX), ..everything() };
    assert_eq!(store.collect_garbage(&full).await.unwrap().removed_images.len(), 2);
}

#[tokio::test]
async fn garbage_collection_leaves_a_running_pull_its_layers() {
    let registry = Registry::start().await;
    let (_directory, store) = store().await;
    let (present, slow) = (layer("present"), layer("slow"));
    push_and_pull(&store, &registry, "old", &[&present]).await;
    let image = TestImage::of(vec![present, slow.clone()]);
    image.push(&registry, "app", "new");
    let gate = Arc::new(Semaphore::new(0));
    let blob = image_store::Digest::of(&slow.blob);
    registry.fault(blob.hex(), 1, FaultKind::HoldHalfway(gate.clone()));
    let pulling = tokio::spawn({
        let (store, name) = (store.clone(), reference(&registry, "app:new"));
        async move { store.pull(&name, PullOptions::default()).await }
    });
    eventually("the slow layer", || registry.count(blob.hex()) == 1).await;

    let report = store.collect_garbage(&everything()).await.unwrap();
    let old = reference(&registry, "app:old");
    assert_eq!(report.removed_images, []);
    assert!(matches!(store.remove(&old).await, Err(StoreError::InUse { .. })));

    gate.add_permits(1);
    let pulled = pulling.await.unwrap().unwrap();
    assert!(pulled.layers.iter().all(|l| l.path.exists()));
    store.remove(&old).await.unwrap();
    assert!(pulled.layers.iter().all(|l| l.path.exists()));
}

#[tokio::test]
async fn removing_a_name_keeps_an_image_with_another() {
    let registry = Registry::start().await;
    let (_directory, store) = store().await;
    let a = layer("a");
    let pulled = push_and_pull(&store, &registry, "one", &[&a]).await;
    push_and_pull(&store, &registry, "two", &[&a]).await;
    store.pin("task", &pulled.manifest_digest).await.unwrap();
    store.remove(&reference(&registry, "app:one")).await.unwrap();
    assert!(pulled.layers[0].path.exists());
    let last = reference(&registry, "app:two");
    assert!(matches!(store.remove(&last).await, Err(StoreError::InUse { user, .. }) if user == "task"));
    store.unpin("task").await.unwrap();
    let report = store.remove(&last).await.unwrap();
    assert_eq!(report.removed_images, [pulled.manifest_digest]);
    assert!(!pulled.layers[0].path.exists());
    assert!(matches!(store.remove(&last).await, Err(StoreError::UnknownImage { .. })));
}

/// Set for the process that is to be killed: the store's directory and the image.
const CHILD: &str = "LONGSHORE_TEST_PULL";

/// Does nothing on its own; the test below runs it in a process of its own.
#[tokio::test]
async fn pull_in_a_child() {
    let Ok(arguments) = std::env::var(CHILD) else { return };
    let (directory, name) = arguments.split_once(' ').unwrap();
    let store = ImageStore::open(directory, support::options()).await.unwrap();
    store.pull(&Reference::parse(name).unwrap(), PullOptions::default()).await.unwrap();
}

#[tokio::test]
async fn a_process_killed_in_the_middle_leaves_nothing_half_done() {
    let registry = Registry::start().await;
    let directory = tempfile::Builder::new().prefix("lsh-images-").tempdir_in("/var/tmp").unwrap();
    let content: Vec<u8> =
        (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let slow = TestLayer::with_file("slow", &content);
    let quick = layer("quick");
    TestImage::of(vec![quick.clone(), slow.clone()]).push(&registry, "app", "v1");
    let blob = image_store::Digest::of(&slow.blob);
    registry.fault(blob.hex(), 1, FaultKind::HoldHalfway(Arc::new(Semaphore::new(0))));
    let name = reference(&registry, "app:v1");
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "pull_in_a_child"])
        .env(CHILD, format!("{} {name}", directory.path().display()))
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (quick_path, tmp) =
        (directory.path().join("layers").join(quick.diff_id().hex()), directory.path().join("tmp"));
    let is_under_way = || {
        let unpacking = fs::read_dir(&tmp).into_iter().flatten().flatten();
        quick_path.exists() && unpacking.filter(|e| e.path().join("root/slow").exists()).count() == 1
    };
    eventually("one layer done, one half done", is_under_way).await;
    child.kill().await.unwrap();

    let store = ImageStore::open(directory.path(), support::options()).await.unwrap();
    assert_eq!(names(&store, "tmp"), [""; 0]);
    assert_eq!(names(&store, "layers"), [quick.diff_id().hex()]);
    assert_eq!(store.list(), []);
    let pulled = store.pull(&name, PullOptions::default()).await.unwrap();
    assert_eq!(fs::read(pulled.layers[1].path.join("slow")).unwrap(), content);
    assert_eq!(registry.count(image_store::Digest::of(&quick.blob).hex()), 1);
}

/// A file system of two megabytes, unmounted when it goes.
struct Small(tempfile::TempDir);

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_said_so_and_left_clean() {
    let registry = Registry::start().await;
    let noise: Vec<u8> =
        (0..1_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    TestImage::of(vec![TestLayer::with_file("zeros", &vec![0; 8 << 20])]).push(&registry, "app", "late");
    TestImage::of(vec![TestLayer::with_file("noise", &noise)]).push(&registry, "app", "early");
    let small = Small(tempfile::Builder::new().prefix("lsh-images-").tempdir_in("/var/tmp").unwrap());
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "lsh-test"])
        .arg(small.0.path())
        .status()
        .unwrap();
    assert!(mounted.success());
    let mut options = support::options();
    options.limits.keep_free_bytes = 0;
    let store = ImageStore::open(small.0.path().join("images"), options).await.unwrap();
    for tag in ["early", "late"] {
        let name = reference(&registry, &format!("app:{tag}"));
        let error = store.pull(&name, PullOptions::default()).await.unwrap_err().to_string();
        assert!(error.contains("no space left on device"), "{error}");
        assert_eq!(names(&store, "tmp"), [""; 0]);
        assert_eq!(names(&store, "layers"), [""; 0]);
    }
    TestImage::of(vec![layer("small")]).push(&registry, "app", "small");
    store.pull(&reference(&registry, "app:small"), PullOptions::default()).await.unwrap();
    drop(store);
}
