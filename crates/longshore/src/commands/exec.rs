//! `longshore exec`: a command in a container, without the Session Manager plugin.
//!
//! It opens a session as the plugin would and speaks the same protocol ([`talk`]); what it has beyond it is the exit status and the end of the
//! input. With `-t` the session is ECS's ExecuteCommand in a terminal, which is put into raw mode meanwhile ([`terminal`]); without, a
//! command of Session Manager's whose two outputs stay apart.

mod talk;
mod terminal;

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use agent_protocol::ControlError;
use anyhow::{Context, anyhow, bail};
use control_plane::session_manager::{Target, words};
use node_agent::remote::{Api, JsonService};
use request_auth::Credentials;
use serde_json::{Value, json};

use crate::cli::ExecArgs;
use talk::{Conversation, Input};
use terminal::RawTerminal;

const ECS: JsonService = JsonService { name: "ecs", target: "AmazonEC2ContainerServiceV20141113" };
const SSM: JsonService = JsonService { name: "ssm", target: "AmazonSSM" };
/// What a shell says when a command could not be run at all.
const CANNOT_RUN: u8 = 125;

pub fn run(args: ExecArgs) -> anyhow::Result<ExitCode> {
    if args.tty && !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        bail!("-t needs a terminal: leave it out where input or output is a file or a pipe");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(execute(args));
    // A read of standard input may wait for ever.
    runtime.shutdown_timeout(Duration::ZERO);
    match code {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(error) => {
            eprintln!("longshore: {error:#}");
            Ok(ExitCode::from(CANNOT_RUN))
        }
    }
}

async fn execute(args: ExecArgs) -> anyhow::Result<u8> {
    let authority = match &args.ca {
        Some(path) => {
            Some(std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?)
        }
        None => None,
    };
    let api = Api::over(&args.endpoint, args.region.to_string(), credentials(), authority.as_deref())?;
    let cluster = cluster(&args);
    let session = match args.tty {
        true => in_terminal(&api, &args, &cluster).await,
        false => without_terminal(&api, &args, &cluster).await,
    };
    let session = session.map_err(said)?;
    let text = |name: &str| {
        session.get(name).and_then(Value::as_str).ok_or_else(|| anyhow!("the answer has no {name}"))
    };
    let any_case = |one: &str, other: &str| text(one).or_else(|_| text(other)).map(str::to_owned);
    let (url, token) = (any_case("streamUrl", "StreamUrl")?, any_case("tokenValue", "TokenValue")?);
    let socket = api
        .open_socket_of("ssmmessages", &url, control_plane::session_manager::wire::MOST_BYTES)
        .await
        .map_err(said)?;
    let input = match (args.tty, args.interactive) {
        (true, _) => Input::Terminal { _raw: RawTerminal::enter().context("setting the terminal up")? },
        (false, true) => Input::Stream,
        (false, false) => Input::None,
    };
    let ended = Conversation::new(socket, &token).run(input).await?;
    if let Some(reason) = ended.reason {
        bail!("{reason}");
    }
    // The lower eight bits, as of any process.
    ended
        .exit_code
        .map(|code| (code & 0xff) as u8)
        .ok_or_else(|| anyhow!("the session ended before the command"))
}

/// The environment's; at an open door any do.
fn credentials() -> Credentials {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    Credentials {
        access_key: variable("AWS_ACCESS_KEY_ID").unwrap_or_else(|| "000000000000".to_owned()),
        secret: variable("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|| "longshore".to_owned()),
        session_token: variable("AWS_SESSION_TOKEN"),
    }
}

/// The cluster that is named, the one in the task's ARN, or the default one.
fn cluster(args: &ExecArgs) -> String {
    let in_arn = || args.task.split_once(":task/")?.1.split_once('/').map(|(cluster, _)| cluster.to_owned());
    args.cluster.clone().or_else(in_arn).unwrap_or_else(|| "default".to_owned())
}

async fn in_terminal(api: &Api, args: &ExecArgs, cluster: &str) -> Result<Value, ControlError> {
    let mut input = json!({
        "cluster": cluster,
        "task": args.task,
        "command": words::join(&args.command),
        "interactive": true,
    });
    if let Some(container) = &args.container {
        input["container"] = json!(container);
    }
    let mut answer = api.call_of(ECS, "ExecuteCommand", &input).await?;
    Ok(answer["session"].take())
}

async fn without_terminal(api: &Api, args: &ExecArgs, cluster: &str) -> Result<Value, ControlError> {
    let refused =
        |message: String| ControlError::Refused { code: "InvalidParameterException".to_owned(), message };
    let input = json!({"cluster": cluster, "tasks": [args.task]});
    let described = api.call_of(ECS, "DescribeTasks", &input).await?;
    let task =
        described["tasks"].get(0).ok_or_else(|| refused("The referenced task was not found.".to_owned()))?;
    let containers = task["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let container = match (&args.container, containers) {
        (Some(name), all) => all.iter().find(|container| container["name"] == *name),
        (None, [only]) => Some(only),
        (None, _) => {
            return Err(refused("The task has several containers: name one with --container.".to_owned()));
        }
    };
    let container = container.ok_or_else(|| refused("The container is not in the task.".to_owned()))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let target = Target {
        cluster: text(&task["clusterArn"]).rsplit('/').next().unwrap_or_default().to_owned(),
        task_id: text(&task["taskArn"]).rsplit('/').next().unwrap_or_default().to_owned(),
        runtime_id: text(&container["runtimeId"]),
    };
    let input = json!({
        "Target": target.text(),
        "DocumentName": "AWS-StartNonInteractiveCommand",
        "Parameters": {"command": [words::join(&args.command)], "separateOutputStream": ["true"]},
    });
    match api.call_of(SSM, "StartSession", &input).await {
        Err(ControlError::Refused { code, message }) if code == "TargetNotConnected" => {
            Err(refused(format!(
                "{message} Its container runs, the task has --enable-execute-command, and its role allows ssmmessages?"
            )))
        }
        other => other,
    }
}

fn said(error: ControlError) -> anyhow::Error {
    match error {
        ControlError::Refused { code, message } => anyhow!("{message} ({code})"),
        other => other.into(),
    }
}
