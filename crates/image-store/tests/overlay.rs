//! Layers as overlayfs shows them: whiteouts, many layers, directories that a layer only implies. Mounts as root.

mod support;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use image_store::{Image, PullOptions};
use support::{
    Registry,
    images::{TestImage, TestLayer, archive, reference},
    store,
};

/// A mounted image, unmounted when it goes.
struct Mounted {
    directory: tempfile::TempDir,
}

impl Mounted {
    fn new(image: &Image) -> Mounted {
        let directory = tempfile::Builder::new().prefix("lsh-overlay-").tempdir_in("/var/tmp").unwrap();
        for name in ["upper", "work", "merged"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let mounted = Mounted { directory };
        let [upper, work, merged] = ["upper", "work", "merged"].map(|n| mounted.directory.path().join(n));
        let rest = format!("upperdir={},workdir={}", upper.display(), work.display());
        let (lower, base) = image.overlay_lowers().mount_option(rest.len() + "lowerdir=,".len()).unwrap();
        let mut command = Command::new("mount");
        // The classic call: the newer one's parameters hold 256 bytes each.
        command.env("LIBMOUNT_FORCE_MOUNT2", "always");
        command.args(["-t", "overlay", "lsh-test", "-o"]);
        command.arg(format!("lowerdir={},{rest}", lower.to_str().unwrap())).arg(merged);
        command.current_dir(base.unwrap_or_else(|| PathBuf::from("/")));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        mounted
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("merged").join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn names(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(name)).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.directory.path().join("merged")).status();
    }
}

async fn pull(layers: Vec<TestLayer>) -> (tempfile::TempDir, Image) {
    let registry = Registry::start().await;
    TestImage::of(layers).push(&registry, "app", "v1");
    let (directory, store) = store().await;
    let image = store.pull(&reference(&registry, "app:v1"), PullOptions::default()).await.unwrap();
    (directory, image)
}

/// A directory entry with a mode and an owner.
fn with_directories(directories: &[(&str, u32, u64)], files: &[(&str, &[u8])]) -> TestLayer {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, mode, owner) in directories {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(*mode);
        header.set_uid(*owner);
        header.set_mtime(1_600_000_000);
        builder.append_data(&mut header, path, std::io::empty()).unwrap();
    }
    let mut bytes = builder.into_inner().unwrap();
    bytes.truncate(bytes.len() - 1024);
    bytes.extend(archive(files));
    TestLayer::gzip(bytes)
}

#[tokio::test]
async fn layers_stack_as_the_image_means() {
    let layer = |files: &[(&str, &[u8])]| TestLayer::gzip(archive(files));
    let (_directory, image) = pull(vec![
        layer(&[
            ("keep", b"1"),
            ("gone", b"1"),
            ("changed", b"1"),
            ("dir/a", b"1"),
            ("tree/a", b"1"),
            ("file", b"1"),
        ]),
        layer(&[
            ("changed", b"2"),
            (".wh.gone", b""),
            ("dir/.wh..wh..opq", b""),
            ("dir/b", b"2"),
            (".wh.tree", b""),
        ]),
        layer(&[("tree/b", b"3"), (".wh.file", b""), ("file/inner", b"3")]),
    ])
    .await;
    let mounted = Mounted::new(&image);
    assert_eq!(mounted.names(""), ["changed", "dir", "file", "keep", "tree"]);
    assert_eq!((mounted.text("keep"), mounted.text("changed")), ("1".to_owned(), "2".to_owned()));
    assert_eq!(mounted.names("dir"), ["b"]);
    assert_eq!(mounted.names("tree"), ["b"]);
    assert_eq!(mounted.names("file"), ["inner"]);
    fs::write(mounted.path("keep"), b"written").unwrap();
    assert_eq!(fs::read(image.layers[0].path.join("keep")).unwrap(), b"1");
}

#[tokio::test]
async fn a_hundred_and_twenty_seven_layers_can_be_mounted() {
    let layers = (0..127)
        .map(|n| TestLayer::gzip(archive(&[(&format!("file{n}"), b"x"), ("last", n.to_string().as_bytes())])))
        .collect();
    let (_directory, image) = pull(layers).await;
    assert_eq!(image.overlay_lowers().relative.len(), 127);
    let mounted = Mounted::new(&image);
    assert_eq!(mounted.text("last"), "126");
    assert_eq!(mounted.names("").len(), 128);
}

#[tokio::test]
async fn directories_that_are_only_implied_look_as_below() {
    let (_directory, image) = pull(vec![
        with_directories(
            &[
                ("tmp", 0o1777, 0),
                ("srv", 0o750, 7),
                ("srv/data", 0o700, 9),
                ("opt", 0o711, 0),
                ("old", 0o700, 0),
            ],
            &[],
        ),
        // `old` goes, and the layer above makes another that only has its name.
        with_directories(&[("opt", 0o755, 3)], &[(".wh.old", b"")]),
        TestLayer::gzip(archive(&[
            ("tmp/x", b"x"),
            ("srv/data/x", b"x"),
            ("opt/x", b"x"),
            ("old/x", b"x"),
            ("new/x", b"x"),
        ])),
    ])
    .await;
    let mounted = Mounted::new(&image);
    assert_eq!(mounted.mode("tmp"), 0o1777);
    assert_eq!(mounted.mode("srv"), 0o750);
    assert_eq!(mounted.mode("srv/data"), 0o700);
    assert_eq!(fs::metadata(mounted.path("srv/data")).unwrap().uid(), 9);
    assert_eq!(fs::metadata(mounted.path("srv/data")).unwrap().mtime(), 1_600_000_000);
    assert_eq!((mounted.mode("opt"), fs::metadata(mounted.path("opt")).unwrap().uid()), (0o755, 3));
    assert_eq!((mounted.mode("old"), mounted.mode("new")), (0o755, 0o755));
    for file in ["tmp/x", "srv/data/x", "opt/x", "old/x", "new/x"] {
        assert_eq!(mounted.text(file), "x");
    }
}

#[tokio::test]
async fn corrections_go_with_their_image() {
    let registry = Registry::start().await;
    TestImage::of(vec![
        with_directories(&[("tmp", 0o1777, 0)], &[]),
        TestLayer::gzip(archive(&[("tmp/x", b"x")])),
    ])
    .push(&registry, "app", "v1");
    let (_directory, store) = store().await;
    let name = reference(&registry, "app:v1");
    let image = store.pull(&name, PullOptions::default()).await.unwrap();
    assert_eq!(image.overlay_lowers().relative.len(), 3);
    assert_eq!(store.pull(&name, PullOptions::default()).await.unwrap(), image);
    store.remove(&name).await.unwrap();
    assert_eq!(support::names(&store, "layers"), [""; 0]);
    assert!(!Path::new(&image.overlay_lowers().absolute()[0]).exists());
}
