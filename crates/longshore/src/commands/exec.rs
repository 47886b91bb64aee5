//! `longshore exec`: a command in a container, or its ports, without the Session Manager plugin.
//!
//! It opens a session as the plugin would and speaks the same protocol ([`line`]); what it has beyond it is the exit status and the end of the
//! input. With `-t` the session is ECS's ExecuteCommand in a terminal, which is put into raw mode meanwhile ([`terminal`]); without, a
//! command of Session Manager's whose two outputs stay apart ([`talk`]). With `--forward` it is one session for each port ([`forward`]).

mod containers;
pub mod forward;
mod keys;
mod line;
mod talk;
mod terminal;

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use agent_protocol::ControlError;
use anyhow::{Context, anyhow, bail};
use control_plane::session_manager::words;
use futures_util::future::select_all;
use node_agent::remote::{Api, JsonService};
use serde_json::{Value, json};

use super::client::{self, ECS, said};
use crate::cli::ExecArgs;
use forward::Forward;
use keys::{Keys, SessionTarget};
use line::{Ended, Line};
use talk::Input;
use terminal::RawTerminal;

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
    let api = client::open(&args.platform)?;
    let cluster = client::cluster(&args.of);
    if !args.forward.is_empty() {
        return forward_all(&api, &args, &cluster).await.map(|()| 0);
    }
    let opened = match args.tty {
        true => in_terminal(&api, &args, &cluster).await,
        false => without_terminal(&api, &args, &cluster).await,
    };
    let opened = opened.map_err(said)?;
    let keys = Keys { api: &api, session: opened.text("sessionId")?, target: opened.target.clone() };
    let line = opened.line(&keys, talk::TYPES).await?;
    let input = match (args.tty, args.interactive) {
        (true, _) => Input::Terminal { _raw: RawTerminal::enter().context("setting the terminal up")? },
        (false, true) => Input::Stream,
        (false, false) => Input::None,
    };
    let ended = as_it_should(talk::talk(line, input).await?)?;
    // The lower eight bits, as of any process.
    ended
        .exit_code
        .map(|code| (code & 0xff) as u8)
        .ok_or_else(|| anyhow!("the session ended before the command"))
}

/// Forwards until the first of the sessions ends.
async fn forward_all(api: &Api, args: &ExecArgs, cluster: &str) -> anyhow::Result<()> {
    let all = args.forward.iter().map(|forward| Box::pin(forward_one(api, args, cluster, forward)));
    let (ended, _, _) = select_all(all).await;
    ended
}

async fn forward_one(api: &Api, args: &ExecArgs, cluster: &str, forward: &Forward) -> anyhow::Result<()> {
    let listener = forward.listen().await?;
    let here = listener.local_addr().context("the port that is listened on")?;
    let opened = to_port(api, args, cluster, forward).await.map_err(said)?;
    let keys = Keys { api, session: opened.text("sessionId")?, target: opened.target.clone() };
    let line = opened.line(&keys, forward::TYPES).await?;
    let begun = || {
        let host = forward.host.as_ref().map(|host| format!("{host}:")).unwrap_or_default();
        println!("Forwarding {here} to {host}{}", forward.remote);
    };
    as_it_should(forward::forward(line, listener, begun).await?).map(drop)
}

fn as_it_should(ended: Ended) -> anyhow::Result<Ended> {
    match &ended.reason {
        Some(reason) => bail!("{reason}"),
        None => Ok(ended),
    }
}

/// A session that was opened.
struct Opened<'a> {
    api: &'a Api,
    answer: Value,
    target: SessionTarget,
}

impl Opened<'_> {
    /// A member of the answer, which ECS writes with a small first letter and Session Manager with a large one.
    fn text(&self, name: &str) -> anyhow::Result<String> {
        let large = name[..1].to_uppercase() + &name[1..];
        let found = self.answer.get(name).or_else(|| self.answer.get(large)).and_then(Value::as_str);
        found.map(str::to_owned).ok_or_else(|| anyhow!("the answer has no {name}"))
    }

    async fn line<'k>(&self, keys: &'k Keys<'k>, types: &'static [&'static str]) -> anyhow::Result<Line<'k>> {
        let most_bytes = control_plane::session_manager::wire::MOST_BYTES;
        let url = self.text("streamUrl")?;
        let socket = self.api.open_socket_of("ssmmessages", &url, most_bytes).await.map_err(said)?;
        Line::open(socket, self.text("tokenValue")?, keys, types).await
    }
}

async fn in_terminal<'a>(api: &'a Api, args: &ExecArgs, cluster: &str) -> Result<Opened<'a>, ControlError> {
    let mut input = json!({
        "cluster": cluster,
        "task": args.of.task,
        "command": words::join(&args.command),
        "interactive": true,
    });
    if let Some(container) = &args.container {
        input["container"] = json!(container);
    }
    let mut answer = api.call_of(ECS, "ExecuteCommand", &input).await?;
    let (cluster, task, container) = (cluster.to_owned(), args.of.task.clone(), args.container.clone());
    let target = SessionTarget::Of { cluster, task, container };
    Ok(Opened { api, answer: answer["session"].take(), target })
}

async fn without_terminal<'a>(
    api: &'a Api,
    args: &ExecArgs,
    cluster: &str,
) -> Result<Opened<'a>, ControlError> {
    let parameters = json!({"command": [words::join(&args.command)], "separateOutputStream": ["true"]});
    start(api, args, cluster, "AWS-StartNonInteractiveCommand", parameters).await
}

async fn to_port<'a>(
    api: &'a Api,
    args: &ExecArgs,
    cluster: &str,
    forward: &Forward,
) -> Result<Opened<'a>, ControlError> {
    let mut parameters = json!({"portNumber": [forward.remote.to_string()]});
    let document = match &forward.host {
        None => "AWS-StartPortForwardingSession",
        Some(host) => {
            parameters["host"] = json!([host]);
            "AWS-StartPortForwardingSessionToRemoteHost"
        }
    };
    start(api, args, cluster, document, parameters).await
}

/// Opens a session of Session Manager's.
async fn start<'a>(
    api: &'a Api,
    args: &ExecArgs,
    cluster: &str,
    document: &str,
    parameters: Value,
) -> Result<Opened<'a>, ControlError> {
    let target = containers::target(api, cluster, &args.of.task, args.container.as_deref()).await?.text();
    let input = json!({"Target": target, "DocumentName": document, "Parameters": parameters});
    let answer = match api.call_of(SSM, "StartSession", &input).await {
        Err(ControlError::Refused { code, message }) if code == "TargetNotConnected" => {
            let message = format!(
                "{message} Its container runs, the task has --enable-execute-command, and its role allows ssmmessages?"
            );
            return Err(ControlError::Refused { code, message });
        }
        other => other?,
    };
    Ok(Opened { api, answer, target: SessionTarget::Known(target) })
}
