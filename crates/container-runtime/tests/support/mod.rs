//! A runtime in temporary directories with a busybox image, and everything it made gone at the end, also when a test fails.
#![allow(dead_code)]

use container_runtime::{
    ContainerConfig, ContainerStatus, LogPosition, LogRecord, LogTail, Runtime, RuntimeConfig, TaskHandle,
    TaskSandbox,
};
use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longer than anything here takes on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Machine {
    pub runtime: Runtime,
    pub root: tempfile::TempDir,
    pub image: PathBuf,
    pub cgroup_root: String,
}

impl Machine {
    pub fn new() -> Machine {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let root =
            tempfile::Builder::new().prefix("lsh-rt-").tempdir_in("/var/tmp").expect("a temporary directory");
        let image = root.path().join("image");
        make_image(&image);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let cgroup_root = format!("/longshore-test-{}-{number}", std::process::id());
        let runtime = Runtime::new(RuntimeConfig {
            exe: PathBuf::from(env!("CARGO_BIN_EXE_container-runtime-shim")),
            shim_args: vec!["shim".to_owned()],
            run_dir: root.path().join("run"),
            cgroup_root: cgroup_root.clone(),
        })
        .expect("a runtime");
        Machine { runtime, root, image, cgroup_root }
    }

    pub fn sandbox(&self, id: &str) -> TaskSandbox {
        TaskSandbox::new(id, self.root.path().join("tasks").join(id))
    }

    pub async fn launch(&self, id: &str) -> TaskHandle {
        self.runtime.launch(self.sandbox(id)).await.expect("launch")
    }

    /// A container that runs a shell script.
    pub fn shell(&self, name: &str, script: &str) -> ContainerConfig {
        let args = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        ContainerConfig::new(name, vec![self.image.clone()], args)
    }

    /// Creates, starts, waits and reads everything.
    pub async fn run(&self, task: &TaskHandle, config: ContainerConfig) -> (ContainerStatus, String) {
        let name = config.name.clone();
        task.create(config).await.expect("create");
        let mut tail = task.tail(&name, LogPosition::default());
        task.start(&name).await.expect("start");
        let status = within(task.wait(&name)).await.expect("an end");
        let text = text(&within(drain(&mut tail)).await);
        (status, text)
    }

    /// Whether anything of a task is left on the machine.
    pub fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten() {
            let root = hierarchy.path().join(self.cgroup_root.trim_start_matches('/'));
            for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
                if entry.path().is_dir() && entry.file_name() != "shims" {
                    found.push(entry.path().display().to_string());
                }
            }
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let own = self.root.path().to_str().expect("a plain path");
        found.extend(mounts.lines().filter(|line| line.contains(own)).map(str::to_owned));
        for entry in std::fs::read_dir(self.root.path().join("run")).expect("run directory").flatten() {
            // Made once for all containers, and there for the next ones.
            if entry.file_name() == ".mount-points" {
                continue;
            }
            found.push(entry.path().display().to_string());
        }
        found
    }

    /// The processes whose command line or environment names this machine's cgroup root: its shims.
    pub fn shims(&self) -> Vec<i32> {
        processes_with(&self.cgroup_root)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The shims' own sweep, from another thread: this one may be within a tokio runtime.
        let runtime = self.runtime.clone();
        let swept = std::thread::spawn(move || {
            let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
            tokio.block_on(runtime.sweep(&BTreeSet::new()))
        });
        let _ = swept.join();
        for pid in self.shims() {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let root = hierarchy.path().join(self.cgroup_root.trim_start_matches('/'));
            // A shim that was just killed leaves its cgroup in a moment.
            for _ in 0..100 {
                let _ = std::fs::remove_dir(root.join("shims"));
                if std::fs::remove_dir(&root).is_ok() || !root.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

fn processes_with(word: &str) -> Vec<i32> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.split('\0').any(|part| part == word) && line.contains("container-runtime-shim") {
            pids.push(pid);
        }
    }
    pids
}

/// The least root file system: busybox and a few accounts.
pub fn make_image(image: &Path) {
    for dir in ["bin", "etc", "tmp", "proc", "sys", "dev", "root", "data"] {
        std::fs::create_dir_all(image.join(dir)).expect("image directory");
    }
    std::fs::copy("/bin/busybox", image.join("bin/busybox"))
        .expect("busybox (Debian package busybox-static)");
    let list = std::process::Command::new("/bin/busybox").arg("--list").output().expect("busybox --list");
    for applet in String::from_utf8_lossy(&list.stdout).lines().filter(|applet| *applet != "busybox") {
        std::os::unix::fs::symlink("busybox", image.join("bin").join(applet)).expect("applet");
    }
    std::fs::write(image.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/data:/bin/sh\n")
        .expect("passwd");
    std::fs::write(image.join("etc/group"), "root:x:0:\nwww:x:34:\nlogs:x:50:web\n").expect("group");
    std::fs::write(image.join("data/seed"), "from the image\n").expect("seed");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(image.join("tmp"), std::fs::Permissions::from_mode(0o1777)).expect("tmp");
}

/// The result, or a failed test when it takes too long.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("done in time")
}

/// Everything up to the end of the output.
pub async fn drain(tail: &mut LogTail) -> Vec<LogRecord> {
    let mut records = Vec::new();
    while let Some(record) = tail.next().await.expect("output") {
        records.push(record);
    }
    records
}

/// The lines of both streams, one after the other as they came.
pub fn text(records: &[LogRecord]) -> String {
    let mut text = String::new();
    for record in records {
        text.push_str(&String::from_utf8_lossy(&record.line));
        if !record.partial {
            text.push('\n');
        }
    }
    text
}

/// Waits for a condition outside of anything that can be awaited.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
