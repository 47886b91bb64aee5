//! What a container may and may not do, what it sees, and what it may use.

mod support;

use container_runtime::{
    ContainerConfig, Device, EtcFiles, ExecConfig, Mount, MountKind, Network, Rlimit, Seccomp, TaskHandle,
};
use std::path::PathBuf;
use support::{Machine, until, within};

/// The lines that a script writes in a container changed by `change`.
async fn output(
    machine: &Machine,
    task: &TaskHandle,
    script: &str,
    change: impl FnOnce(&mut ContainerConfig),
) -> String {
    let mut config = machine.shell("app", script);
    change(&mut config);
    let (_, text) = machine.run(task, config).await;
    within(task.remove("app")).await.expect("remove");
    text
}

#[tokio::test]
async fn the_seccomp_filter_is_on_for_every_process() {
    let machine = Machine::new();
    let task = machine.launch("seccomp").await;
    let status = "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status";
    let filtered = "NoNewPrivs:\t1\nSeccomp:\t2\n";
    assert_eq!(output(&machine, &task, status, |_| {}).await, filtered);
    assert_eq!(output(&machine, &task, status, |c| c.user = "web".to_owned()).await, filtered);
    let without_nnp = output(&machine, &task, status, |c| {
        c.user = "web".to_owned();
        c.no_new_privileges = false;
    });
    assert_eq!(without_nnp.await, "NoNewPrivs:\t0\nSeccomp:\t2\n");
    assert_eq!(
        output(&machine, &task, status, |c| c.seccomp = Seccomp::Unconfined).await,
        "NoNewPrivs:\t1\nSeccomp:\t0\n"
    );
    assert_eq!(
        output(&machine, &task, status, |c| c.privileged = true).await,
        "NoNewPrivs:\t0\nSeccomp:\t0\n"
    );
    let refused = output(&machine, &task, "unshare -U true 2>&1; mount -t tmpfs x /tmp 2>&1", |_| {}).await;
    assert_eq!(
        refused.matches("Operation not permitted").count() + refused.matches("permission denied").count(),
        2,
        "{refused}"
    );

    within(task.create(machine.shell("long", "sleep 1000"))).await.expect("create");
    within(task.start("long")).await.expect("start");
    let exec = ExecConfig::new(["sh", "-c", status].map(str::to_owned).to_vec());
    assert_eq!(within(task.exec("long", exec)).await.expect("exec").output, filtered);
}

#[tokio::test]
async fn capabilities_are_docker_s_unless_told_otherwise() {
    let machine = Machine::new();
    let task = machine.launch("capabilities").await;
    let show = "grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb):' /proc/self/status | tr -d '\\t\\n'";
    let expected = |inh: &str, prm: &str, bnd: &str| {
        format!("CapInh:{inh}CapPrm:{prm}CapEff:{prm}CapBnd:{bnd}CapAmb:{inh}\n")
    };
    let (zero, default) = ("0000000000000000", "00000000a80425fb");
    assert_eq!(output(&machine, &task, show, |_| {}).await, expected(zero, default, default));
    let as_user = output(&machine, &task, show, |c| c.user = "33".to_owned()).await;
    assert_eq!(as_user, expected(zero, zero, default));
    let changed = output(&machine, &task, show, |c| {
        c.cap_drop = vec!["ALL".to_owned()];
        c.cap_add = vec!["NET_ADMIN".to_owned(), "cap_kill".to_owned()];
    });
    let two = "0000000000001020";
    assert_eq!(changed.await, expected(zero, two, two));

    within(task.create(machine.shell("long", "sleep 1000"))).await.expect("create");
    within(task.start("long")).await.expect("start");
    let exec = ExecConfig::new(["sh", "-c", show].map(str::to_owned).to_vec());
    assert_eq!(
        within(task.exec("long", exec)).await.expect("exec").output,
        expected(zero, default, default).trim_end()
    );
}

#[tokio::test]
async fn a_program_starts_with_default_signals_and_a_clean_environment() {
    let machine = Machine::new();
    let task = machine.launch("clean").await;
    let script = "grep -E '^Sig(Blk|Ign):' /proc/self/status; ls /proc/self/fd | wc -l; cat /proc/self/oom_score_adj; env | sort";
    let text = output(&machine, &task, script, |c| {
        c.env = vec!["B=2".to_owned(), "A=1".to_owned(), "B=3".to_owned()];
    })
    .await;
    let none = "0000000000000000";
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    // Four descriptors: the standard ones and the directory that ls itself reads.
    let expected =
        format!("SigBlk:\t{none}\nSigIgn:\t{none}\n4\n0\nA=1\nB=3\nHOME=/root\n{path}\nPWD=/\nSHLVL=1\n");
    assert_eq!(text, expected);
}

#[tokio::test]
async fn users_come_from_the_image() {
    let machine = Machine::new();
    let task = machine.launch("users").await;
    let show = "id -u; id -g; id -G; echo $HOME; pwd";
    let run = |user: &str, cwd: &str| {
        let (user, cwd) = (user.to_owned(), PathBuf::from(cwd));
        output(&machine, &task, show, |c| (c.user, c.cwd) = (user, cwd))
    };
    assert_eq!(run("", "/").await, "0\n0\n0\n/root\n/\n");
    assert_eq!(run("web", "/made/here").await, "33\n34\n34 50\n/data\n/made/here\n");
    assert_eq!(run("33:50", "").await, "33\n50\n50\n/data\n/\n");
    assert_eq!(run("4242", "/").await, "4242\n0\n0\n/\n/\n");
}

#[tokio::test]
async fn the_root_and_system_paths_are_as_asked() {
    let machine = Machine::new();
    let task = machine.launch("root").await;
    let write = "echo x > /new && echo written; echo x > /proc/sys/kernel/hostname || echo refused; head -c 1 /proc/kcore | wc -c";
    assert_eq!(output(&machine, &task, write, |_| {}).await.lines().collect::<Vec<_>>()[0], "written");
    assert!(!machine.image.join("new").exists(), "the image is never written to");
    let text = output(&machine, &task, write, |c| c.readonly_rootfs = true).await;
    assert!(
        text.contains("Read-only file system") && text.contains("refused\n") && text.contains("\n0\n"),
        "{text}"
    );
    let limits =
        "for f in cgroup/memory/memory.limit_in_bytes cgroup/memory.max; do cat /sys/fs/$f 2>/dev/null; done;
        for d in /sys/fs/cgroup /sys/fs/cgroup/memory; do test -e $d && (echo x > $d/x) 2>&1; done; true";
    let text = output(&machine, &task, limits, |c| c.resources.memory_limit_bytes = Some(32 << 20)).await;
    assert!(text.starts_with("33554432\n"), "its own limit is what it sees: {text}");
    let device = "head -c 1 /dev/zero | wc -c; mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk 2>&1";
    let text = output(&machine, &task, device, |_| {}).await;
    assert!(text.starts_with("1\n") && text.contains("Operation not permitted"), "{text}");
    let device = Device {
        host_path: "/dev/loop-control".into(),
        container_path: "/dev/lc".into(),
        permissions: "rw".into(),
    };
    if device.host_path.exists() {
        let text = output(&machine, &task, "test -c /dev/lc && : < /dev/lc && echo open", |c| {
            c.devices = vec![device];
        })
        .await;
        assert_eq!(text, "open\n");
    }
}

#[tokio::test]
async fn mounts_and_generated_files() {
    let machine = Machine::new();
    let task = machine.launch("mounts").await;
    let host = machine.root.path().join("host");
    let volume = machine.root.path().join("volume");
    for dir in [&host, &volume] {
        std::fs::create_dir_all(dir).expect("directory");
    }
    std::fs::write(host.join("file"), "from the machine\n").expect("file");
    let mount = |destination: &str, kind, readonly| Mount {
        destination: destination.into(),
        kind,
        readonly,
        options: Vec::new(),
    };
    let script = "cat /host/file; (echo x > /host/x) 2>/dev/null || echo read-only; cat /data/seed; echo kept > /data/new;
        stat -c %a /scratch; df -k /scratch | tail -1 | awk '{print $2}'; cat /etc/hosts /etc/hostname; hostname; df -k /dev/shm | tail -1 | awk '{print $2}'";
    let text = output(&machine, &task, script, |c| {
        c.mounts = vec![
            mount("/host", MountKind::Bind { source: host.clone() }, true),
            mount("/data", MountKind::Volume { source: volume.clone() }, false),
            Mount {
                options: vec!["mode=1750".to_owned()],
                ..mount("/scratch", MountKind::Tmpfs { size_bytes: Some(1 << 20) }, false)
            },
        ];
        c.etc = EtcFiles {
            hosts: Some("127.0.0.1 localhost\n".into()),
            resolv_conf: None,
            hostname: Some("web-1\n".into()),
        };
        c.hostname = Some("web-1".to_owned());
        c.shm_size_bytes = Some(2 << 20);
    });
    let expected =
        "from the machine\nread-only\nfrom the image\n1750\n1024\n127.0.0.1 localhost\nweb-1\nweb-1\n2048\n";
    assert_eq!(text.await, expected);
    assert_eq!(std::fs::read_to_string(volume.join("new")).expect("kept"), "kept\n");
    assert!(!host.join("x").exists());
}

#[tokio::test]
async fn limits_are_set_and_enforced() {
    let machine = Machine::new();
    let mut sandbox = machine.sandbox("limits");
    sandbox.limits.cpu_millicores = Some(250);
    sandbox.limits.memory_bytes = Some(256 << 20);
    let task = machine.runtime.launch(sandbox).await.expect("launch");
    let stats = task.task_stats().expect("stats").expect("a cgroup");
    assert_eq!(stats.memory.limit_bytes, Some(256 << 20));
    let quota =
        PathBuf::from("/sys/fs/cgroup/cpu").join(&machine.cgroup_root[1..]).join("limits/cpu.cfs_quota_us");
    if quota.exists() {
        assert_eq!(std::fs::read_to_string(quota).expect("quota").trim(), "25000");
    }

    let mut config = machine.shell("app", "sleep 1000");
    config.resources.pids_limit = 20;
    config.resources.memory_limit_bytes = Some(64 << 20);
    config.resources.cpu_shares = Some(512);
    config.rlimits = vec![
        Rlimit { name: "nofile".into(), soft: 128, hard: 256 },
        Rlimit { name: "core".into(), soft: 0, hard: 0 },
    ];
    within(task.create(config)).await.expect("create");
    within(task.start("app")).await.expect("start");
    let stats = task.stats("app").expect("stats").expect("a cgroup");
    assert_eq!((stats.memory.limit_bytes, stats.pids.limit), (Some(64 << 20), Some(20)));
    assert!(
        stats.cpu.usage_ns > 0 && stats.cpu.machine_ns > stats.cpu.usage_ns && stats.memory.usage_bytes > 0
    );
    let exec = |script: &str| ExecConfig::new(["sh", "-c", script].map(str::to_owned).to_vec());
    let fork =
        within(task.exec("app", exec("for i in $(seq 40); do sleep 1000 & done 2>&1"))).await.expect("exec");
    assert!(fork.output.contains("fork"), "{fork:?}");
    within(task.kill_all("app")).await.expect("kill");
    within(task.wait("app")).await.expect("end");

    let text = output_of(&machine, &task, "ulimit -Sn; ulimit -Hn; ulimit -c", |c| {
        c.rlimits = vec![
            Rlimit { name: "nofile".into(), soft: 128, hard: 256 },
            Rlimit { name: "RLIMIT_CORE".into(), soft: 0, hard: 0 },
        ];
    });
    assert_eq!(text.await, "128\n256\n0\n");
}

async fn output_of(
    machine: &Machine,
    task: &TaskHandle,
    script: &str,
    change: impl FnOnce(&mut ContainerConfig),
) -> String {
    let mut config = machine.shell("other", script);
    change(&mut config);
    machine.run(task, config).await.1
}

#[tokio::test]
async fn running_out_of_memory_is_told_apart_from_being_killed() {
    let machine = Machine::new();
    let mut sandbox = machine.sandbox("memory");
    sandbox.limits.memory_bytes = Some(64 << 20);
    let task = machine.runtime.launch(sandbox).await.expect("launch");
    // The container's own limit, by the program itself.
    let mut config = machine.shell("own", "");
    config.args = ["tail", "-c", "200000000", "/dev/zero"].map(str::to_owned).to_vec();
    config.resources.memory_limit_bytes = Some(16 << 20);
    let (status, _) = machine.run(&task, config).await;
    let exit = status.exit.expect("an exit");
    assert_eq!((exit.code, exit.oom), (137, true));
    // The task's limit, by a child of a shell.
    let (status, _) =
        machine.run(&task, machine.shell("shared", "tail -c 200000000 /dev/zero; exit $?")).await;
    let exit = status.exit.expect("an exit");
    assert_eq!((exit.code, exit.signal, exit.oom), (137, None, true));
    assert!(status.oom_kills > 0);
    // The least that ECS allows is enough to get going.
    let mut config = machine.shell("least", "echo alive");
    config.resources.memory_limit_bytes = Some(6 << 20);
    let (status, text) = machine.run(&task, config).await;
    assert_eq!((status.exit.map(|e| e.code), text.as_str()), (Some(0), "alive\n"));
}

#[tokio::test]
async fn limits_beyond_this_machine_are_lowered_and_reported() {
    let machine = Machine::new();
    let task = machine.launch("clamp").await;
    let mut config = machine.shell("app", "ulimit -Hn");
    config.rlimits = vec![Rlimit { name: "nofile".into(), soft: -1, hard: -1 }];
    let (status, text) = machine.run(&task, config).await;
    let hard: u64 = text.trim().parse().expect("a number: unlimited files cannot be had");
    assert!(
        status.warnings.iter().any(|w| w.contains(&format!("ulimit nofile lowered from -1 to {hard}"))),
        "{status:?}"
    );
    let mut config = machine.shell("bad", "true");
    config.rlimits = vec![Rlimit { name: "nofiles".into(), soft: 1, hard: 1 }];
    assert!(within(task.create(config)).await.expect_err("unknown").to_string().contains("unknown ulimit"));
}

#[tokio::test]
async fn containers_share_what_the_task_says() {
    let machine = Machine::new();
    let mut sandbox = machine.sandbox("shared");
    (sandbox.share_pid, sandbox.share_ipc, sandbox.network) = (true, true, Network::Loopback);
    let task = machine.runtime.launch(sandbox).await.expect("launch");
    within(task.create(machine.shell("one", "echo ready | nc -l -p 8080; sleep 1000")))
        .await
        .expect("create");
    within(task.start("one")).await.expect("start");
    let script = "ps | grep -c '[s]leep 1000'; until echo | nc 127.0.0.1 8080; do sleep 0.05; done; ip -o link | wc -l; readlink /proc/self/ns/ipc";
    let (_, text) = machine.run(&task, machine.shell("two", script)).await;
    assert!(text.contains("\nready\n1\nipc:"), "{text}");
    let exec = ExecConfig::new(["readlink", "/proc/self/ns/ipc"].map(str::to_owned).to_vec());
    let ipc = within(task.exec("one", exec)).await.expect("exec").output;
    assert!(text.ends_with(&ipc), "{text} {ipc}");
    let pid = task.status("one").and_then(|s| s.pid).expect("a pid");
    within(task.kill_all("one")).await.expect("kill");
    within(task.wait("one")).await.expect("end");
    until("the process is gone", || !PathBuf::from(format!("/proc/{pid}")).exists()).await;
    within(task.shutdown()).await.expect("shutdown");
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_network_namespace_may_come_after_the_launch() {
    let machine = Machine::new();
    let path = machine.root.path().join("netns");
    let mut sandbox = machine.sandbox("network");
    sandbox.network = Network::Namespace(path.clone());
    let task = machine.runtime.launch(sandbox).await.expect("launch");
    let error = within(task.create(machine.shell("early", "true"))).await.expect_err("there is none yet");
    assert!(error.to_string().contains("No such file or directory"), "{error}");
    // Mounted after the shim has separated its mounts from the machine's.
    let script = "touch $1 && unshare --net=$1 ip link set lo up && readlink $1 || nsenter --net=$1 readlink /proc/self/ns/net";
    let made =
        std::process::Command::new("sh").args(["-c", script, "sh"]).arg(&path).output().expect("unshare");
    assert!(made.status.success(), "{made:?}");
    let inside = std::process::Command::new("nsenter")
        .arg(format!("--net={}", path.display()))
        .args(["readlink", "/proc/self/ns/net"])
        .output()
        .expect("nsenter");
    let run =
        machine.run(&task, machine.shell("app", "readlink /proc/self/ns/net; ip -o link | wc -l")).await;
    let unmounted = nix::mount::umount2(&path, nix::mount::MntFlags::MNT_DETACH);
    assert_eq!(run.1, format!("{}1\n", String::from_utf8_lossy(&inside.stdout)));
    unmounted.expect("a mounted namespace");
    let own = std::fs::read_link("/proc/self/ns/net").expect("own");
    assert!(!run.1.contains(own.to_str().expect("plain")));
}

#[tokio::test]
async fn a_terminal_is_one_stream() {
    let machine = Machine::new();
    let task = machine.launch("terminal").await;
    let script = "tty; test -t 0 && test -t 1 && test -t 2 && echo all; echo $TERM >&2; exit 4";
    let mut config = machine.shell("app", script);
    (config.tty, config.user) = (true, "web".to_owned());
    let (status, text) = machine.run(&task, config).await;
    assert_eq!(status.exit.map(|e| e.code), Some(4));
    assert_eq!(text.replace('\r', ""), "/dev/pts/0\nall\nxterm\n");
}

#[tokio::test]
async fn an_init_process_passes_signals_on_and_reaps() {
    let machine = Machine::new();
    let task = machine.launch("init").await;
    // Without a handler in it the program would ignore SIGTERM as the first process of its namespace; as a child it does not.
    let mut config = machine.shell("app", "");
    config.args = ["sleep", "1000"].map(str::to_owned).to_vec();
    (config.init, config.user) = (true, "web".to_owned());
    within(task.create(config)).await.expect("create");
    within(task.start("app")).await.expect("start");
    let exec = |script: &str| ExecConfig {
        user: Some("0".to_owned()),
        ..ExecConfig::new(["sh", "-c", script].map(str::to_owned).to_vec())
    };
    // An orphan that ends must not stay as a zombie.
    let orphan = "(sleep 0.01 &); for i in $(seq 200); do grep -l '^State:.*Z' /proc/[0-9]*/status || exit 0; sleep 0.02; done; exit 1";
    let outcome = within(task.exec("app", exec(orphan))).await.expect("exec");
    assert_eq!(outcome.exit_code, 0, "{outcome:?}");
    let outcome = within(task.exec("app", exec("grep -E '^(Uid|Seccomp|CapBnd):' /proc/1/status")))
        .await
        .expect("exec");
    assert_eq!(outcome.output, "Uid:\t33\t33\t33\t33\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\n");
    within(task.signal("app", libc::SIGTERM)).await.expect("signal");
    let status = within(task.wait("app")).await.expect("end");
    assert_eq!(status.exit.map(|e| e.code), Some(143));

    let mut config = machine.shell("missing", "");
    (config.init, config.args) = (true, vec!["nope".to_owned()]);
    within(task.create(config)).await.expect("create");
    let error = within(task.start("missing")).await.expect_err("not there");
    assert_eq!(error.to_string(), "exec: \"nope\": executable file not found in $PATH");
}

#[tokio::test]
async fn standard_streams_can_be_opened_again_by_their_user() {
    let machine = Machine::new();
    let task = machine.launch("streams").await;
    let text = output(&machine, &task, "echo out > /dev/stdout; echo err > /proc/self/fd/2", |c| {
        c.user = "web".to_owned();
    });
    assert_eq!(text.await, "out\nerr\n");
}

#[tokio::test]
async fn the_shim_s_own_binary_cannot_be_written_through_proc() {
    let machine = Machine::new();
    let task = machine.launch("exe").await;
    let shim = machine.shims()[0];
    let status = nix::sys::statvfs::statvfs(format!("/proc/{shim}/exe").as_str()).expect("its binary");
    assert!(status.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY));
    let mut config = machine.shell("app", "sleep 1000");
    (config.init, config.cap_add) = (true, vec!["SYS_PTRACE".to_owned()]);
    within(task.create(config)).await.expect("create");
    within(task.start("app")).await.expect("start");
    let exec = ExecConfig::new(["sh", "-c", "(: >> /proc/1/exe) 2>&1"].map(str::to_owned).to_vec());
    let outcome = within(task.exec("app", exec)).await.expect("exec");
    assert_ne!(outcome.exit_code, 0, "{outcome:?}");
}

#[tokio::test]
async fn a_privileged_container_has_the_machine_s_devices() {
    let machine = Machine::new();
    let task = machine.launch("privileged").await;
    let text =
        output(&machine, &task, "ls /dev | sort; grep CapEff /proc/self/status", |c| c.privileged = true)
            .await;
    for device in ["null", "kmsg", "loop-control"] {
        let there = PathBuf::from("/dev").join(device).exists();
        assert_eq!(text.lines().any(|line| line == device), there, "{device} in {text}");
    }
    let own = std::fs::read_to_string("/proc/self/status").expect("status");
    let own =
        own.lines().find(|l| l.starts_with("CapPrm")).and_then(|l| l.split('\t').nth(1)).expect("a mask");
    assert!(text.ends_with(&format!("CapEff:\t{own}\n")), "{text}");
}
