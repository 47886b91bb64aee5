//! How long a container takes from nothing to its first line of output and to its end, phase by phase, beside `crun run` in the same run.
//!
//! ```text
//! cargo run --release -p container-runtime --example start_latency -- [ROUNDS]
//! ```
//! As root, with busybox-static and crun installed. crun sees a hierarchy of cgroup v2 without controllers as the one to use, so it is run in
//! a mount namespace where that is hidden.

use container_runtime::{ContainerConfig, LogPosition, Network, Runtime, RuntimeConfig, TaskSandbox};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

type Anything = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Anything> {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|a| a == "crun") {
        return crun(Path::new(&args[2]), args[3].parse()?);
    }
    let rounds: usize = args.get(1).map_or(Ok(100), |n| n.parse())?;
    let root = tempfile::Builder::new().prefix("lsh-bench-").tempdir_in("/var/tmp")?;
    let image = root.path().join("image");
    for dir in ["bin", "proc", "sys", "dev", "etc", "tmp"] {
        std::fs::create_dir_all(image.join(dir))?;
    }
    std::fs::copy("/bin/busybox", image.join("bin/busybox"))?;
    std::os::unix::fs::symlink("busybox", image.join("bin/echo"))?;
    let exe = match std::env::var_os("SHIM_EXE") {
        Some(exe) => PathBuf::from(exe),
        None => std::env::current_exe()?.with_file_name("../container-runtime-shim").canonicalize()?,
    };
    let runtime = Runtime::new(RuntimeConfig {
        exe,
        shim_args: vec!["shim".to_owned()],
        run_dir: PathBuf::from(format!("/dev/shm/lsh-bench-{}", std::process::id())),
        cgroup_root: format!("/longshore-bench-{}", std::process::id()),
    })?;
    for (title, prepared) in [("shim started on demand", false), ("shim waiting", true)] {
        runtime.prepare(if prepared { 4 } else { 0 });
        let mut phases = Phases::default();
        for round in 0..rounds {
            one(&runtime, root.path(), &image, &format!("t{prepared}{round}"), &mut phases).await?;
        }
        phases.print(title);
    }
    runtime.prepare(0);
    println!("crun run, the same image as a plain directory, no network:");
    peer(root.path(), &image, rounds)?;
    runtime.sweep(&Default::default()).await?;
    runtime.dispose().await?;
    Ok(())
}

#[derive(Default)]
struct Phases {
    times: BTreeMap<&'static str, Vec<Duration>>,
}

impl Phases {
    fn note(&mut self, phase: &'static str, since: Instant) {
        self.times.entry(phase).or_default().push(since.elapsed());
    }

    fn print(&mut self, title: &str) {
        println!("{title}:");
        for (phase, times) in &mut self.times {
            print_quantiles(phase, times);
        }
    }
}

fn print_quantiles(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let ms = |q: usize| times[(times.len() - 1) * q / 100].as_secs_f64() * 1e3;
    println!("  {what:34} p50 {:7.2} ms   p95 {:7.2} ms   max {:7.2} ms", ms(50), ms(95), ms(100));
}

async fn one(
    runtime: &Runtime,
    root: &Path,
    image: &Path,
    id: &str,
    phases: &mut Phases,
) -> Result<(), Anything> {
    let mut sandbox = TaskSandbox::new(id, root.join("tasks").join(id));
    sandbox.network = Network::Loopback;
    // As the agent does on receiving a task, while it makes the network.
    runtime.nudge();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let begin = Instant::now();
    let task = runtime.launch(sandbox).await?;
    phases.note("1 launch", begin);
    let at = Instant::now();
    let args = ["/bin/echo", "hello"].map(str::to_owned).to_vec();
    let mut config = ContainerConfig::new("app", vec![image.to_owned()], args);
    config.hostname = Some("bench".to_owned());
    task.create(config).await?;
    phases.note("2 create", at);
    let at = Instant::now();
    let mut tail = task.tail("app", LogPosition::default());
    task.start("app").await?;
    phases.note("3 start", at);
    let at = Instant::now();
    let line = tail.next().await?;
    assert_eq!(line.map(|l| l.line), Some(b"hello".to_vec()));
    phases.note("4 first line after start", at);
    phases.note("A launch to first line", begin);
    task.wait("app").await.ok_or("no end")?;
    phases.note("B launch to exit known", begin);
    let at = Instant::now();
    task.shutdown().await?;
    phases.note("5 shutdown", at);
    Ok(())
}

fn peer(root: &Path, image: &Path, rounds: usize) -> Result<(), Anything> {
    let bundle = root.join("bundle");
    std::fs::create_dir_all(&bundle)?;
    let status = Command::new("crun").arg("spec").current_dir(&bundle).status()?;
    assert!(status.success());
    let mut spec: serde_json::Value = serde_json::from_slice(&std::fs::read(bundle.join("config.json"))?)?;
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = serde_json::json!(["/bin/echo", "hello"]);
    // More than this machine's root may raise.
    spec["process"]["rlimits"] = serde_json::json!([]);
    spec["root"]["path"] = image.to_str().into();
    std::fs::write(bundle.join("config.json"), serde_json::to_vec(&spec)?)?;
    let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$0\" crun \"$1\" \"$2\"";
    let status = Command::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-c", script])
        .arg(std::env::current_exe()?)
        .arg(&bundle)
        .arg(rounds.to_string())
        .status()?;
    assert!(status.success());
    Ok(())
}

fn crun(bundle: &Path, rounds: usize) -> Result<(), Anything> {
    let mut times = Vec::new();
    for round in 0..rounds {
        std::thread::sleep(Duration::from_millis(20));
        let begin = Instant::now();
        let name = format!("lsh-bench-{}-{round}", std::process::id());
        let output = Command::new("crun")
            .args(["run", "--bundle"])
            .arg(PathBuf::from(bundle))
            .arg(&name)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        times.push(begin.elapsed());
        assert_eq!(output.stdout, b"hello\n");
    }
    print_quantiles("start to exit", &mut times);
    Ok(())
}
