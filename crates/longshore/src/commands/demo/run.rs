//! The demo's course: platform up, image in, task running, page fetched, logs read; then everything away.

use std::{
    ffi::OsString,
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use super::{BUSYBOX, steps::Steps};
use crate::{
    cli::{DemoArgs, EnvArgs},
    commands::env::variables,
};

const DOCKERFILE: &str = include_str!("../../../demo/Dockerfile");
const START: &str = include_str!("../../../demo/start");
const PAGE: &str = include_str!("../../../demo/index.html");
const TASK_DEFINITION: &str = include_str!("../../../demo/task-definition.json");
/// The role that the task definition names.
const EXECUTION_ROLE: &str = "ecsTaskExecutionRole";
const TRUSTS_TASKS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
/// What has to be on the page that comes back.
const PROOF: &str = "It runs.";

/// What the platform prints when it can do all that the demo asks for.
const READY: &str = "Ready to run tasks";
/// The platform has to be ready within this time, and to end within the other.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the page may take after the task says RUNNING: the server in it has to open its port.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
const LOG_TIMEOUT: Duration = Duration::from_secs(10);

pub async fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let workshop = Workshop::new()?;
    let (mut platform, ready) = Platform::start(args)?;
    // Whatever comes of it from here on, the platform is told to stop and waited for: killed, it would leave what it has made.
    let outcome = tokio::select! {
        outcome = show(args, &workshop.0, ready, &mut interrupt) => outcome,
        _ = terminate.recv() => Err(anyhow::anyhow!("told to stop")),
        status = platform.0.wait() => Err(anyhow::anyhow!("the platform ended by itself: {}", status?)),
    };
    let stopped = platform.stop().await;
    let shown = outcome?;
    stopped?;
    if shown == Shown::Everything {
        println!("\nDone: everything worked, and nothing is left behind.");
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Everything,
    Interrupted,
}

async fn show(
    args: &DemoArgs,
    directory: &Path,
    ready: oneshot::Receiver<()>,
    interrupt: &mut Signal,
) -> anyhow::Result<Shown> {
    let all = async {
        let ready = timeout(START_TIMEOUT, ready).await.context("the platform was not ready in time")?;
        ready.map_err(|_| anyhow::anyhow!("the platform did not start"))?;
        let listen = args.listen;
        let option = if listen.port() == 4566 { String::new() } else { format!(" --listen {listen}") };
        println!("$ eval \"$(longshore env{option})\"");
        walk(args, directory).await
    };
    tokio::select! {
        outcome = all => outcome?,
        _ = interrupt.recv() => return Ok(Shown::Interrupted),
    }
    if !args.once {
        println!(
            "\nThe platform keeps running; try it from another terminal: eval \"$(longshore env)\". Ctrl-C ends it."
        );
        interrupt.recv().await;
    }
    Ok(Shown::Everything)
}

async fn walk(args: &DemoArgs, directory: &Path) -> anyhow::Result<()> {
    let mut steps = Steps::new(directory, environment(args, directory));
    let registry = format!("localhost:{}", args.listen.port());
    let endpoint = format!("http://{}", args.listen);
    // For CLIs that do not read AWS_ENDPOINT_URL yet, Debian's among them; `longshore env` gives a shell the same.
    let aws = |words: &[&'static str]| -> Vec<String> {
        ["aws", "--endpoint-url", &endpoint]
            .into_iter()
            .chain(words.iter().copied())
            .map(str::to_owned)
            .collect()
    };
    let image = format!("{registry}/demo:v1");

    steps.title("Build a web application into an image");
    steps.run(&["buildah", "build", "--quiet", "--tag", &image, "."]).await?;

    steps.title("Push it to the built-in registry");
    call(
        &steps,
        &aws(&[
            "ecr",
            "create-repository",
            "--repository-name",
            "demo",
            "--query",
            "repository.repositoryUri",
            "--output",
            "text",
        ]),
    )
    .await?;
    let password = call(&steps, &aws(&["ecr", "get-login-password"])).await?;
    steps
        .run_with_input(
            &["buildah", "login", "--tls-verify=false", "--username", "AWS", "--password-stdin", &registry],
            Some(&password),
        )
        .await?;
    steps.run(&["buildah", "push", "--quiet", "--tls-verify=false", &image]).await?;

    steps.title("Open port 8443 in a security group");
    let group = call(
        &steps,
        &aws(&[
            "ec2",
            "create-security-group",
            "--group-name",
            "demo",
            "--description",
            "demo",
            "--query",
            "GroupId",
            "--output",
            "text",
        ]),
    )
    .await?;
    let mut rule = aws(&[
        "ec2",
        "authorize-security-group-ingress",
        "--protocol",
        "tcp",
        "--port",
        "8443",
        "--cidr",
        "0.0.0.0/0",
        "--query",
        "Return",
        "--group-id",
    ]);
    rule.push(group.clone());
    call(&steps, &rule).await?;
    let subnets = call(
        &steps,
        &aws(&["ec2", "describe-subnets", "--query", "join(',', Subnets[].SubnetId)", "--output", "text"]),
    )
    .await?;

    steps.title("Let tasks pull images and write logs");
    call(
        &steps,
        &aws(&[
            "iam",
            "create-role",
            "--role-name",
            EXECUTION_ROLE,
            "--assume-role-policy-document",
            TRUSTS_TASKS,
            "--query",
            "Role.Arn",
            "--output",
            "text",
        ]),
    )
    .await?;
    call(
        &steps,
        &aws(&[
            "iam",
            "attach-role-policy",
            "--role-name",
            EXECUTION_ROLE,
            "--policy-arn",
            "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy",
        ]),
    )
    .await?;

    steps.title("Run the image on FARGATE");
    call(&steps, &aws(&["logs", "create-log-group", "--log-group-name", "/ecs/demo"])).await?;
    fs::write(directory.join("task-definition.json"), TASK_DEFINITION.replace("IMAGE", &image))?;
    call(
        &steps,
        &aws(&[
            "ecs",
            "register-task-definition",
            "--cli-input-json",
            "file://task-definition.json",
            "--query",
            "taskDefinition.taskDefinitionArn",
            "--output",
            "text",
        ]),
    )
    .await?;
    call(
        &steps,
        &aws(&[
            "ecs",
            "create-cluster",
            "--cluster-name",
            "demo",
            "--query",
            "cluster.status",
            "--output",
            "text",
        ]),
    )
    .await?;
    let mut run_task = aws(&[
        "ecs",
        "run-task",
        "--cluster",
        "demo",
        "--task-definition",
        "demo",
        "--launch-type",
        "FARGATE",
        "--query",
        "tasks[0].taskArn",
        "--output",
        "text",
        "--network-configuration",
    ]);
    run_task.push(format!(
        "awsvpcConfiguration={{subnets=[{subnets}],securityGroups=[{group}],assignPublicIp=ENABLED}}"
    ));
    let task = call(&steps, &run_task).await?;
    let mut wait = aws(&["ecs", "wait", "tasks-running", "--cluster", "demo", "--tasks"]);
    wait.push(task.clone());
    call(&steps, &wait).await?;

    steps.title("Find its public address and fetch its page");
    let mut describe = aws(&[
        "ecs",
        "describe-tasks",
        "--cluster",
        "demo",
        "--query",
        "tasks[0].attachments[0].details[?name=='networkInterfaceId'].value | [0]",
        "--output",
        "text",
        "--tasks",
    ]);
    describe.push(task.clone());
    let interface = call(&steps, &describe).await?;
    let mut describe = aws(&[
        "ec2",
        "describe-network-interfaces",
        "--query",
        "NetworkInterfaces[0].Association.PublicIp",
        "--output",
        "text",
        "--network-interface-ids",
    ]);
    describe.push(interface);
    let address = call(&steps, &describe).await?;
    let page = fetch(&steps, &format!("http://{address}:8443/")).await?;
    steps.note(&page);
    if !page.contains(PROOF) {
        bail!("the page is not the one that was built into the image");
    }

    steps.title("Read its log");
    let log = logs(&steps, &endpoint).await?;
    steps.note(&log);

    if args.once {
        steps.title("Stop it");
        let mut stop = aws(&[
            "ecs",
            "stop-task",
            "--cluster",
            "demo",
            "--query",
            "task.desiredStatus",
            "--output",
            "text",
            "--task",
        ]);
        stop.push(task.clone());
        call(&steps, &stop).await?;
        let mut wait = aws(&["ecs", "wait", "tasks-stopped", "--cluster", "demo", "--tasks"]);
        wait.push(task);
        call(&steps, &wait).await?;
    }
    Ok(())
}

async fn call(steps: &Steps, words: &[String]) -> anyhow::Result<String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let printed = steps.run(&words).await?;
    // A password is for the next command, not for the screen.
    if !printed.is_empty() && !words.contains(&"get-login-password") {
        steps.note(&printed);
    }
    Ok(printed)
}

async fn fetch(steps: &Steps, url: &str) -> anyhow::Result<String> {
    let seconds = PAGE_TIMEOUT.as_secs().to_string();
    steps
        .run(&[
            "curl",
            "--silent",
            "--show-error",
            "--retry-connrefused",
            "--retry",
            "20",
            "--retry-delay",
            "1",
            "--max-time",
            &seconds,
            url,
        ])
        .await
}

/// The log, once the request for the page shows in it. AWS CLI 2 follows it live, version 1 can only list it.
async fn logs(steps: &Steps, endpoint: &str) -> anyhow::Result<String> {
    let deadline = Instant::now() + LOG_TIMEOUT;
    let tails = steps.run(&["aws", "--version"]).await?.starts_with("aws-cli/2");
    let words: &[&str] = if tails {
        &["aws", "--endpoint-url", endpoint, "logs", "tail", "/ecs/demo", "--format", "short"]
    } else {
        &[
            "aws",
            "--endpoint-url",
            endpoint,
            "logs",
            "filter-log-events",
            "--log-group-name",
            "/ecs/demo",
            "--query",
            "events[].message",
            "--output",
            "text",
        ]
    };
    loop {
        let text = steps.run(words).await?;
        if text.contains("serving on port") {
            return Ok(text);
        }
        if Instant::now() > deadline {
            bail!("the container's output did not reach its log group");
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Variables for the clients: ours, and buildah's own storage inside the demo's directory.
fn environment(args: &DemoArgs, directory: &Path) -> Vec<(&'static str, OsString)> {
    let own = EnvArgs {
        listen: Some(args.listen),
        account: vocabulary::AccountId::local(),
        region: "us-east-1".parse().expect("a valid region name"),
    };
    let mut all: Vec<(&'static str, OsString)> =
        variables(&own).into_iter().map(|(name, value)| (name, value.into())).collect();
    all.push(("CONTAINERS_STORAGE_CONF", directory.join("storage.conf").into()));
    all.push(("REGISTRY_AUTH_FILE", directory.join("auth.json").into()));
    all
}

/// A directory with the image's ingredients; gone with the demo.
struct Workshop(PathBuf);

impl Workshop {
    fn new() -> anyhow::Result<Workshop> {
        let directory = PathBuf::from(format!("/var/tmp/longshore-demo-{}", std::process::id()));
        fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
        let workshop = Workshop(directory);
        let directory = &workshop.0;
        for (name, text) in [("Dockerfile", DOCKERFILE), ("start", START), ("index.html", PAGE)] {
            fs::write(directory.join(name), text)?;
        }
        fs::copy(BUSYBOX, directory.join("busybox")).context("copying busybox")?;
        let storage = directory.display();
        fs::write(
            directory.join("storage.conf"),
            format!(
                "[storage]\ndriver = \"vfs\"\ngraphroot = \"{storage}/graph\"\nrunroot = \"{storage}/run\"\n"
            ),
        )?;
        fs::write(directory.join(".dockerignore"), "graph\nrun\n*.json\n*.conf\n")?;
        Ok(workshop)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("longshore: {} could not be removed: {error}", self.0.display());
        }
    }
}

/// The demo's own platform, an ephemeral one.
struct Platform(Child);

impl Platform {
    /// Starts it and shows what it prints; the receiver is told when it can run tasks.
    fn start(args: &DemoArgs) -> anyhow::Result<(Platform, oneshot::Receiver<()>)> {
        println!("$ longshore up --ephemeral --listen {}", args.listen);
        let exe = std::env::current_exe().context("finding this program's own file")?;
        let mut command = Command::new(exe);
        command.args(["up", "--ephemeral", "--listen", &args.listen.to_string()]);
        // Its own group: a Ctrl-C is for the demo, which then ends the platform in good order.
        command.process_group(0).stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(Stdio::piped());
        let mut platform = Platform(command.spawn().context("starting the platform")?);
        let printed = platform.0.stdout.take().context("reading what the platform prints")?;
        let mut lines = BufReader::new(printed).lines();
        let (sender, ready) = oneshot::channel();
        let mut sender = Some(sender);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                println!("{line}");
                if line.starts_with(READY)
                    && let Some(sender) = sender.take()
                {
                    // Nobody waits any more: the demo has been told to stop.
                    let _ = sender.send(());
                }
            }
        });
        Ok((platform, ready))
    }

    async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(pid) =
            self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        else {
            return Ok(());
        };
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status =
            timeout(STOP_TIMEOUT, self.0.wait()).await.context("the platform did not stop in time")??;
        // One that has not yet begun to listen to the signal has not made anything either.
        if !status.success() && status.signal() != Some(rustix::process::Signal::TERM.as_raw()) {
            bail!("the platform did not stop cleanly: {status}");
        }
        Ok(())
    }
}
