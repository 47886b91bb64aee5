//! What is left when the agent or a shim is killed at once, and many containers together.

mod support;

use container_runtime::{
    Adopted, ContainerState, Event, LogPosition, OutputLimits, Runtime, RuntimeConfig, TaskSandbox,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use support::{Machine, drain, text, until, within};

fn kill_now(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("kill");
}

/// Not a test: the agent that the next test kills, in a process of its own.
#[tokio::test]
#[ignore = "run by another test"]
async fn agent_process() {
    let Some(root) = std::env::var_os("LSH_TEST_ROOT").map(PathBuf::from) else { return };
    let runtime = Runtime::new(RuntimeConfig {
        exe: PathBuf::from(env!("CARGO_BIN_EXE_container-runtime-shim")),
        shim_args: vec!["shim".to_owned()],
        run_dir: root.join("run"),
        cgroup_root: std::env::var("LSH_TEST_CGROUP").expect("a cgroup root"),
    })
    .expect("a runtime");
    let task = runtime.launch(TaskSandbox::new("orphan", root.join("tasks/orphan"))).await.expect("launch");
    let script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exit 9";
    let args = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let config = container_runtime::ContainerConfig::new("app", vec![root.join("image")], args);
    task.create(config).await.expect("create");
    task.start("app").await.expect("start");
    let mut tail = task.tail("app", LogPosition::default());
    for _ in 0..10 {
        tail.next().await.expect("output");
    }
    println!("\nREADY");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_agent_loses_nothing() {
    let machine = Machine::new();
    let mut agent = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "agent_process", "--ignored", "--nocapture", "--test-threads=1"])
        .env("LSH_TEST_ROOT", machine.root.path())
        .env("LSH_TEST_CGROUP", &machine.cgroup_root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("an agent");
    let lines = std::io::BufReader::new(agent.stdout.take().expect("its output")).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "READY"), "the agent came up");
    agent.kill().expect("kill -9");
    agent.wait().expect("its end");

    let dir = machine.root.path().join("tasks/orphan");
    let Adopted::Running(task) = within(machine.runtime.adopt(&dir)).await.expect("adopt") else {
        panic!("its shim lives")
    };
    let status = within(task.wait("app")).await.expect("an end");
    assert_eq!(status.exit.map(|e| e.code), Some(9));
    let expected: String = (0..3000).map(|i| format!("line {i}\n")).collect();
    assert_eq!(text(&within(drain(&mut task.tail("app", LogPosition::default()))).await), expected);
    within(task.shutdown()).await.expect("shutdown");
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_killed_shim_takes_its_containers_with_it_and_is_reported() {
    let machine = Machine::new();
    let task = machine.launch("dead").await;
    let dir = task.dir().to_owned();
    let mut events = task.events();
    for (name, script) in
        [("done", "echo bye; exit 3"), ("runs", "echo hello; sleep 1000"), ("waits", "true")]
    {
        within(task.create(machine.shell(name, script))).await.expect("create");
    }
    within(task.start("done")).await.expect("start");
    within(task.wait("done")).await.expect("end");
    let mut tail = task.tail("runs", LogPosition::default());
    let runs = within(task.start("runs")).await.expect("start").pid.expect("a pid");
    assert_eq!(within(tail.next()).await.expect("output").expect("a line").line, b"hello");
    let waits = task.status("waits").and_then(|s| s.pid).expect("a pid");
    for shim in machine.shims() {
        kill_now(shim);
    }
    // The agent that holds the task learns of it by itself.
    let mut died = false;
    while let Some(event) = within(events.next()).await {
        if let Event::ShimDied { reason } = event {
            assert!(reason.contains("died"), "{reason}");
            died = true;
        }
    }
    assert!(died);
    assert!(within(tail.next()).await.expect("output").is_none(), "the tail ends");
    let error = within(task.start("waits")).await.expect_err("nobody is there");
    assert!(error.to_string().contains("is gone"), "{error}");

    // So does another that comes later.
    let Adopted::Dead(dead) = within(machine.runtime.adopt(&dir)).await.expect("adopt") else {
        panic!("it is dead")
    };
    assert_eq!(dead.statuses["done"].exit.as_ref().map(|e| e.code), Some(3));
    for name in ["runs", "waits"] {
        let status = &dead.statuses[name];
        assert_eq!(
            (status.state, status.exit.is_none(), status.error.is_some()),
            (ContainerState::Exited, true, true),
            "{name}"
        );
    }
    assert_eq!(text(&within(drain(&mut dead.tail("runs", LogPosition::default()))).await), "hello\n");
    for pid in [runs, waits] {
        until("its containers are gone", || !PathBuf::from(format!("/proc/{pid}")).exists()).await;
    }
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn what_nobody_knows_is_swept_away() {
    let machine = Machine::new();
    let mut pids = Vec::new();
    for id in ["known", "unknown", "killed"] {
        let task = machine.launch(id).await;
        within(task.create(machine.shell("app", "sleep 1000"))).await.expect("create");
        pids.push(within(task.start("app")).await.expect("start").pid.expect("a pid"));
        if id == "killed" {
            let before: BTreeSet<i32> = machine.shims().into_iter().collect();
            // The newest shim is this task's.
            kill_now(*before.last().expect("a shim"));
        }
    }
    let known = BTreeSet::from(["known".to_owned()]);
    let report = within(machine.runtime.sweep(&known)).await.expect("sweep");
    let gone: BTreeSet<_> = report.shut_down.union(&report.buried).cloned().collect();
    assert_eq!(gone, BTreeSet::from(["killed".to_owned(), "unknown".to_owned()]));
    until("two are gone", || {
        pids.iter().filter(|pid| PathBuf::from(format!("/proc/{pid}")).exists()).count() == 1
    })
    .await;
    let dir = machine.root.path().join("tasks/known");
    let Adopted::Running(task) = within(machine.runtime.adopt(&dir)).await.expect("adopt") else {
        panic!("it is known")
    };
    within(task.shutdown()).await.expect("shutdown");
    assert_eq!(machine.leftovers(), Vec::<String>::new());
    assert_eq!(within(machine.runtime.sweep(&BTreeSet::new())).await.expect("sweep"), Default::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_containers_eight_at_a_time() {
    let machine = Arc::new(Machine::new());
    machine.runtime.prepare(4);
    let gate = Arc::new(tokio::sync::Semaphore::new(8));
    let mut tasks = Vec::new();
    for number in 0..50 {
        let (machine, gate) = (Arc::clone(&machine), Arc::clone(&gate));
        tasks.push(tokio::spawn(async move {
            let _permit = gate.acquire().await.expect("open");
            let task = machine.launch(&format!("many-{number}")).await;
            let script = format!("echo {number}; exit {}", number % 7);
            let (status, text) = machine.run(&task, machine.shell("app", &script)).await;
            assert_eq!((status.exit.map(|e| e.code), text), (Some(number % 7), format!("{number}\n")));
            within(task.shutdown()).await.expect("shutdown");
        }));
    }
    for task in tasks {
        task.await.expect("a container");
    }
    assert_eq!(machine.leftovers(), Vec::<String>::new());
    within(machine.runtime.dispose()).await.expect("dispose");
    until("the waiting shims are gone", || machine.shims().is_empty()).await;
    within(machine.runtime.dispose()).await.expect("dispose");
    let root = machine.cgroup_root.trim_start_matches('/');
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten() {
        assert!(!hierarchy.path().join(root).exists(), "{}", hierarchy.path().display());
    }
    assert!(!machine.root.path().join("run").exists());
}

#[tokio::test]
async fn output_waits_on_disk_and_holds_the_container_up_when_it_is_full() {
    let machine = Machine::new();
    let task = machine.launch("full").await;
    let mut config = machine.shell("app", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done");
    config.output = OutputLimits { segment_bytes: 16 << 10, total_bytes: 64 << 10 };
    within(task.create(config)).await.expect("create");
    let mut tail = task.tail("app", LogPosition::default());
    within(task.start("app")).await.expect("start");
    let output = machine.root.path().join("tasks/full/containers/app/output");
    let size = || -> u64 {
        let entries = std::fs::read_dir(&output).into_iter().flatten().flatten();
        entries.filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum()
    };
    until("it is full", || size() >= 64 << 10).await;
    let mut seen = String::new();
    let mut largest = 0;
    loop {
        let batch = within(tail.next_batch(100)).await.expect("output");
        let Some(last) = batch.last() else { break };
        seen.push_str(&text(&batch));
        largest = largest.max(size());
        tail.acknowledge(last.next);
    }
    let expected: String = (0..20000).map(|i| format!("line {i}\n")).collect();
    assert!(seen == expected, "every line once and in order");
    // A write more than the bound may be under way, of a pipe's capacity with its records' headers.
    assert!(largest < 512 << 10, "{largest} bytes at most");
    assert_eq!(within(task.wait("app")).await.and_then(|s| s.exit).map(|e| e.code), Some(0));
    within(task.shutdown()).await.expect("shutdown");
}

/// The shim dies at forty different moments between its assignment and its container's run: whatever there was is found and removed.
#[tokio::test]
async fn a_shim_killed_at_any_moment_leaves_nothing() {
    let machine = Machine::new();
    for moment in 0..40u32 {
        let id = format!("moment-{moment}");
        let task = machine.launch(&id).await;
        let dir = task.dir().to_owned();
        let shims = machine.shims();
        let work = async {
            let _ = task.create(machine.shell("app", "echo hello; sleep 1000")).await;
            let _ = task.start("app").await;
            std::future::pending::<()>().await;
        };
        // Not a wait for something to be done: the moment of the blow.
        let blow = tokio::time::sleep(std::time::Duration::from_micros(u64::from(moment) * 700));
        tokio::select! { () = work => {}, () = blow => {} }
        shims.into_iter().for_each(kill_now);
        drop(task);
        let found = loop {
            match within(machine.runtime.adopt(&dir)).await {
                // The first handle buries at the same time.
                Err(e) if e.to_string().contains("lock") => tokio::task::yield_now().await,
                found => break found.expect("adopt"),
            }
        };
        let Adopted::Dead(dead) = found else { panic!("it is dead") };
        assert!(dead.statuses.values().all(|status| status.is_exited()), "{:?}", dead.statuses);
        until("nothing is left", || machine.leftovers().is_empty() && machine.shims().is_empty()).await;
    }
}
