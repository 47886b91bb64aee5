//! Processes that somebody talks to: terminals, streams, signals, ends.

mod support;

use container_runtime::{
    AttachConfig, Attached, ContainerConfig, ExecConfig, RuntimeError, TaskHandle, WindowSize,
};
use support::{Machine, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

fn shell(script: &str, terminal: Option<WindowSize>) -> AttachConfig {
    let args = ["sh", "-c", script].map(str::to_owned).to_vec();
    AttachConfig { args, env: Vec::new(), user: None, cwd: None, terminal }
}

const SIZE: WindowSize = WindowSize { rows: 24, columns: 80 };

async fn start(machine: &Machine, task: &str, config: ContainerConfig) -> TaskHandle {
    let task = machine.launch(task).await;
    let name = config.name.clone();
    task.create(config).await.expect("create");
    task.start(&name).await.expect("start");
    task
}

/// All that comes, to the end of the stream or the terminal.
async fn read_all(stream: &mut pipe::Receiver) -> String {
    let mut bytes = Vec::new();
    // A terminal ends with an error.
    let _ = within(stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn read_until(stream: &mut pipe::Receiver, wanted: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.contains(wanted) {
        let count = within(stream.read(&mut buffer)).await.unwrap_or_else(|e| panic!("{e} after {text:?}"));
        assert_ne!(count, 0, "the end after {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    text
}

#[tokio::test]
async fn streams_are_kept_apart_and_the_exit_status_comes() {
    let machine = Machine::new();
    let mut config = machine.shell("app", "exec sleep 1000");
    config.env = vec!["GREETING=hello".to_owned()];
    let task = start(&machine, "streams", config).await;
    let script = "cat; echo $GREETING >&2; exit 7";
    let Attached { mut input, mut output, errors, mut control } =
        within(task.attach("app", shell(script, None))).await.expect("attach");
    // More than a pipe holds, both ways at once.
    let sent: String = (0..40_000).map(|n| format!("{n}\n")).collect();
    let copy = sent.clone();
    let writing = tokio::spawn(async move { input.write_all(copy.as_bytes()).await });
    assert_eq!(read_all(&mut output).await, sent);
    within(writing).await.expect("a task").expect("written");
    assert_eq!(read_all(&mut errors.expect("standard error")).await, "hello\n");
    let outcome = within(control.ended()).await.expect("an outcome");
    assert_eq!((outcome.exit_code, outcome.signal), (7, None));
}

#[tokio::test]
async fn a_terminal_has_a_size_and_passes_signals_on() {
    let machine = Machine::new();
    let task = start(&machine, "terminal", machine.shell("app", "exec sleep 1000")).await;
    let script = "tty; stty size; trap 'stty size' WINCH; trap 'echo broken; exit 3' INT; \
        echo ready; while :; do read -t 1 line && echo \"[$line]\"; done";
    let mut attached = within(task.attach("app", shell(script, Some(SIZE)))).await.expect("attach");
    assert!(attached.errors.is_none());
    let text = read_until(&mut attached.output, "ready").await;
    assert!(text.starts_with("/dev/pts/"), "{text:?}");
    assert!(text.contains("24 80"), "{text:?}");
    attached.control.resize(WindowSize { rows: 50, columns: 132 }).expect("resize");
    read_until(&mut attached.output, "50 132").await;
    attached.input.write_all(b"typed\r").await.expect("typed");
    read_until(&mut attached.output, "[typed]").await;
    // Ctrl-C, as a terminal sends it.
    attached.input.write_all(&[3]).await.expect("typed");
    read_until(&mut attached.output, "broken").await;
    assert_eq!(within(attached.control.ended()).await.expect("an outcome").exit_code, 3);
}

#[tokio::test]
async fn it_is_like_the_container_unless_told_otherwise() {
    let machine = Machine::new();
    let mut config = machine.shell("app", "exec sleep 1000");
    config.user = "web".to_owned();
    let task = start(&machine, "like", config).await;
    let script = "id -u; grep -E '^(CapEff|Seccomp|NoNewPrivs)' /proc/self/status; cat /proc/self/cgroup; \
        readlink /proc/self/ns/net /proc/self/ns/pid; ulimit -n";
    let exec = ExecConfig::new(["sh", "-c", "true"].map(str::to_owned).to_vec());
    within(task.exec("app", exec)).await.expect("exec");
    // The container's own process is asked by a second one: pid 1 of its namespace.
    let own = "grep -E '^(CapEff|Seccomp|NoNewPrivs)' /proc/1/status; cat /proc/1/cgroup";
    let mut first = within(task.attach("app", shell(script, None))).await.expect("attach");
    let text = read_all(&mut first.output).await;
    let mut second = within(task.attach("app", shell(own, None))).await.expect("attach");
    let of_container = read_all(&mut second.output).await;
    assert!(text.starts_with("33\n"), "{text}");
    assert!(!of_container.is_empty() && text.contains(&of_container), "{text}\n{of_container}");
    let as_root = AttachConfig { user: Some("root".to_owned()), ..shell("id -u", None) };
    let mut third = within(task.attach("app", as_root)).await.expect("attach");
    assert_eq!(read_all(&mut third.output).await, "0\n");
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let machine = Machine::new();
    let task = start(&machine, "missing", machine.shell("app", "exec sleep 1000")).await;
    for terminal in [None, Some(SIZE)] {
        let config = AttachConfig { args: vec!["nope".to_owned()], ..shell("", terminal) };
        let error = within(task.attach("app", config)).await.unwrap_err();
        let RuntimeError::NotExecuted(outcome) = error else { panic!("{error}") };
        let said = "exec: \"nope\": executable file not found in $PATH";
        assert_eq!((outcome.exit_code, outcome.output.as_str()), (127, said));
    }
    let error = within(task.attach("other", shell("true", None))).await.unwrap_err();
    assert_eq!(error.to_string(), "no container other");
    let user = AttachConfig { user: Some("nobody-here".to_owned()), ..shell("true", None) };
    let error = within(task.attach("app", user)).await.unwrap_err();
    assert!(error.to_string().contains("nobody-here"), "{error}");
}

/// How many processes of this name the container has, from its own point of view.
async fn count(task: &TaskHandle, name: &str) -> String {
    let exec = ExecConfig::new(["sh", "-c", &format!("pidof {name} | wc -w")].map(str::to_owned).to_vec());
    within(task.exec("app", exec)).await.expect("exec").output.trim().to_owned()
}

#[tokio::test]
async fn who_leaves_takes_everything_along() {
    let machine = Machine::new();
    // Its first process reaps what is left to it.
    let config = ContainerConfig { init: true, ..machine.shell("app", "exec sleep 1000") };
    let task = start(&machine, "leave", config).await;
    for terminal in [None, Some(SIZE)] {
        // One that ignores being hung up on, and a job in a process group of its own.
        let script = "set -m; trap '' HUP; (trap '' HUP; sleep 2000) & sleep 2000 & echo up; wait";
        let mut attached = within(task.attach("app", shell(script, terminal))).await.expect("attach");
        read_until(&mut attached.output, "up").await;
        assert_eq!(count(&task, "sleep").await, "3");
        drop(attached);
        let deadline = tokio::time::Instant::now() + support::PATIENCE;
        while count(&task, "sleep").await != "1" {
            assert!(tokio::time::Instant::now() < deadline, "what was attached is still there");
        }
    }
    // The container itself goes on.
    assert!(!task.status("app").expect("a status").is_exited());
}

#[tokio::test]
async fn signals_reach_the_group_and_the_container_takes_its_processes_along() {
    let machine = Machine::new();
    let task = start(&machine, "signals", machine.shell("app", "exec sleep 1000")).await;
    let script = "trap 'echo got; exit 4' TERM; echo up; while :; do sleep 0.1; done";
    let mut attached = within(task.attach("app", shell(script, None))).await.expect("attach");
    read_until(&mut attached.output, "up").await;
    within(attached.control.signal(libc_sigterm())).await.expect("signal");
    assert_eq!(read_all(&mut attached.output).await, "got\n");
    assert_eq!(within(attached.control.ended()).await.expect("an outcome").exit_code, 4);

    let mut attached = within(task.attach("app", shell("sleep 1000", Some(SIZE)))).await.expect("attach");
    within(task.kill_all("app")).await.expect("kill");
    let outcome = within(attached.control.ended()).await.expect("an outcome");
    assert_eq!(outcome.exit_code, 137);
    within(task.shutdown()).await.expect("shutdown");
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

fn libc_sigterm() -> i32 {
    nix::sys::signal::Signal::SIGTERM as i32
}

#[tokio::test]
async fn a_shim_outlives_its_agent_but_not_the_agents_conversations() {
    let machine = Machine::new();
    let task = start(&machine, "restart", machine.shell("app", "exec sleep 1000")).await;
    let mut attached = within(task.attach("app", shell("echo up; sleep 3000", None))).await.expect("attach");
    read_until(&mut attached.output, "up").await;
    let dir = task.dir().to_owned();
    // All that the agent holds goes, as when it dies.
    drop((task, attached));
    let adopted = within(machine.runtime.adopt(&dir)).await.expect("adopted");
    let container_runtime::Adopted::Running(task) = adopted else { panic!("it runs") };
    let deadline = tokio::time::Instant::now() + support::PATIENCE;
    while count(&task, "sleep").await != "1" {
        assert!(tokio::time::Instant::now() < deadline, "what was attached is still there");
    }
}
