//! From launch to nothing left: exit codes, signals, output, further processes, adoption.

mod support;

use container_runtime::{Adopted, ContainerState, Event, ExecConfig, FailureKind, LogPosition, LogStream};
use support::{Machine, drain, text, within};

#[tokio::test]
async fn a_container_runs_and_its_end_and_output_are_known() {
    let machine = Machine::new();
    let task = machine.launch("one").await;
    let mut events = task.events();
    let config = machine.shell("app", "echo hello; echo oops >&2; exit 7");
    let created = within(task.create(config)).await.expect("create");
    assert_eq!(created.state, ContainerState::Created);
    let started = within(task.start("app")).await.expect("start");
    assert_eq!(started.state, ContainerState::Running);
    let status = within(task.wait("app")).await.expect("end");
    let exit = status.exit.expect("an exit");
    assert_eq!((exit.code, exit.signal, exit.oom), (7, None, false));

    let records = within(drain(&mut task.tail("app", LogPosition::default()))).await;
    let line = |stream| {
        records.iter().find(|r| r.stream == stream).map(|r| String::from_utf8_lossy(&r.line).into_owned())
    };
    assert_eq!(line(LogStream::Stdout).as_deref(), Some("hello"));
    assert_eq!(line(LogStream::Stderr).as_deref(), Some("oops"));

    assert!(matches!(within(events.next()).await, Some(Event::Started { name, .. }) if name == "app"));
    assert!(matches!(within(events.next()).await, Some(Event::Exited { name, .. }) if name == "app"));

    within(task.remove("app")).await.expect("remove");
    assert!(task.status("app").is_none());
    within(task.shutdown()).await.expect("shutdown");
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn signals_end_containers_with_128_and_the_number() {
    let machine = Machine::new();
    let task = machine.launch("signals").await;
    // The first process of a namespace ignores what it has no handler for, hence the trap.
    let mut config = machine.shell("term", "trap 'exit 143' TERM; echo ready; while :; do sleep 0.05; done");
    config.open_stdin = true;
    within(task.create(config)).await.expect("create");
    let mut tail = task.tail("term", LogPosition::default());
    within(task.start("term")).await.expect("start");
    assert_eq!(within(tail.next()).await.expect("output").expect("a line").line, b"ready");
    within(task.signal("term", libc::SIGTERM)).await.expect("signal");
    assert_eq!(within(task.wait("term")).await.and_then(|s| s.exit).map(|e| e.code), Some(143));

    within(task.create(machine.shell("kill", "sleep 1000"))).await.expect("create");
    within(task.start("kill")).await.expect("start");
    within(task.kill_all("kill")).await.expect("kill");
    let exit = within(task.wait("kill")).await.and_then(|s| s.exit).expect("an exit");
    assert_eq!((exit.code, exit.signal, exit.oom), (137, Some(9), false));
    within(task.shutdown()).await.expect("shutdown");
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_start_says_why_in_known_words() {
    let machine = Machine::new();
    let task = machine.launch("errors").await;
    let cases: [(&str, &[&str], &str); 4] = [
        ("missing", &["nope"], "exec: \"nope\": executable file not found in $PATH"),
        ("path", &["/bin/nope"], "exec: \"/bin/nope\": stat /bin/nope: no such file or directory"),
        ("directory", &["/etc"], "exec: \"/etc\": is a directory"),
        ("permission", &["/etc/passwd"], "exec: \"/etc/passwd\": permission denied"),
    ];
    for (name, args, message) in cases {
        let mut config = machine.shell(name, "");
        config.args = args.iter().map(|s| (*s).to_owned()).collect();
        within(task.create(config)).await.expect("create");
        let error = within(task.start(name)).await.expect_err("must not start");
        assert_eq!((error.kind(), error.to_string().as_str()), (Some(FailureKind::CannotStart), message));
        let status = task.status(name).expect("a status");
        assert_eq!(
            (status.state, status.exit, status.error.as_deref()),
            (ContainerState::Exited, None, Some(message))
        );
    }
    let mut config = machine.shell("user", "true");
    config.user = "ghost".to_owned();
    let error = within(task.create(config)).await.expect_err("must not be created");
    assert!(
        error.to_string().contains("unable to find user ghost: no matching entries in passwd file"),
        "{error}"
    );
    assert!(task.status("user").is_none());
    let error = within(task.start("never")).await.expect_err("unknown");
    assert_eq!(error.kind(), Some(FailureKind::NotFound));
}

#[tokio::test]
async fn further_processes_run_beside_and_time_out() {
    let machine = Machine::new();
    let task = machine.launch("exec").await;
    let mut config = machine.shell("app", "sleep 1000; true");
    config.env = vec!["GREETING=hello".to_owned()];
    within(task.create(config)).await.expect("create");
    within(task.start("app")).await.expect("start");
    let exec = |args: &[&str]| ExecConfig::new(args.iter().map(|s| (*s).to_owned()).collect());

    let outcome = within(task.exec("app", exec(&["sh", "-c", "echo $GREETING; cat /proc/1/comm; exit 3"])))
        .await
        .expect("exec");
    assert_eq!((outcome.exit_code, outcome.timed_out), (3, false));
    assert_eq!(outcome.output, "hello\nsh\n");

    let outcome = within(task.exec("app", exec(&["nope"]))).await.expect("exec");
    assert_eq!(
        (outcome.exit_code, outcome.output.as_str()),
        (127, "exec: \"nope\": executable file not found in $PATH")
    );

    let mut slow = exec(&["sh", "-c", "echo before; sleep 1000; echo after"]);
    slow.timeout_ms = Some(300);
    let outcome = within(task.exec("app", slow)).await.expect("exec");
    assert!(outcome.timed_out);
    assert_eq!((outcome.exit_code, outcome.output.as_str()), (137, "before\n"));
    let outcome = within(task.exec("app", exec(&["sh", "-c", "pidof sleep | wc -w"]))).await.expect("exec");
    assert_eq!(outcome.output, "1\n", "only the container's own is left");

    let mut long = exec(&["sh", "-c", "yes | head -c 1000000"]);
    long.output_limit_bytes = 1000;
    let outcome = within(task.exec("app", long)).await.expect("exec");
    assert_eq!((outcome.exit_code, outcome.output.len(), outcome.truncated), (0, 1000, true));
    within(task.shutdown()).await.expect("shutdown");
}

#[tokio::test]
async fn an_agent_that_comes_back_learns_everything() {
    let machine = Machine::new();
    let task = machine.launch("adopt").await;
    let script = |end: &str| format!("i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done; {end}");
    for (name, end) in [("short", "exit 5"), ("long", "sleep 1000")] {
        within(task.create(machine.shell(name, &script(end)))).await.expect("create");
        within(task.start(name)).await.expect("start");
    }
    // The first agent reads a few lines and goes without a word.
    let mut tail = task.tail("long", LogPosition::default());
    let mut seen = Vec::new();
    for _ in 0..50 {
        seen.push(within(tail.next()).await.expect("output").expect("a line"));
    }
    let position = seen.last().expect("lines").next;
    let dir = task.dir().to_owned();
    drop(tail);
    drop(task);

    let Adopted::Running(task) = within(machine.runtime.adopt(&dir)).await.expect("adopt") else {
        panic!("it runs")
    };
    let status = within(task.wait("short")).await.expect("known");
    assert_eq!(status.exit.map(|e| e.code), Some(5));
    let mut tail = task.tail("long", position);
    while seen.len() < 200 {
        seen.push(within(tail.next()).await.expect("output").expect("a line"));
    }
    let expected: String = (0..200).map(|i| format!("line {i}\n")).collect();
    assert_eq!(text(&seen), expected);
    within(task.shutdown()).await.expect("shutdown");

    let Adopted::Dead(dead) = within(machine.runtime.adopt(&dir)).await.expect("adopt") else {
        panic!("it is gone")
    };
    assert_eq!(dead.statuses["long"].exit.as_ref().map(|e| e.code), Some(137));
    assert_eq!(text(&within(drain(&mut dead.tail("short", LogPosition::default()))).await), expected);
}
