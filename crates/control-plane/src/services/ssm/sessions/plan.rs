//! What a session does, from its document and the parameters that were given.
//!
//! The documents are those that AWS owns. `SSM-SessionManagerRunShell` is also where an account keeps its preferences: see [`super::preferences`].

use std::{collections::BTreeMap, time::Duration};

use aws_shapes_ssm::errors;
use serde_json::{Value, json};

use super::{preferences::Preferences, words};
use crate::gateway::ApiError;

/// Opened when no document is named.
pub const RUN_SHELL: &str = "SSM-SessionManagerRunShell";
/// Behind ECS's ExecuteCommand; nobody names it.
pub const ECS_COMMAND: &str = "AmazonECS-ExecuteInteractiveCommand";
const INTERACTIVE: &str = "AWS-StartInteractiveCommand";
const NON_INTERACTIVE: &str = "AWS-StartNonInteractiveCommand";
const PORT: &str = "AWS-StartPortForwardingSession";
const PORT_TO_HOST: &str = "AWS-StartPortForwardingSessionToRemoteHost";

/// As the SSM agent gives it to terminals.
const TERMINAL_ENVIRONMENT: [&str; 2] = ["TERM=xterm-256color", "LANG=C.UTF-8"];

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub document: String,
    pub work: Work,
    pub idle_timeout: Duration,
    pub longest: Option<Duration>,
    pub log: Option<LogTo>,
    /// The key of KMS's that its bytes are encrypted under, as its client names it.
    pub key: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// A command in a terminal.
    Terminal { args: Vec<String>, environment: Vec<String>, kind: &'static str },
    /// A command without one. `separate`: its outputs and its exit status come apart.
    Command { args: Vec<String>, separate: bool },
    /// Connections to a port. The client is told the properties as they were given.
    Port { host: Option<String>, port: u16, properties: Value },
}

/// Where a session's output is kept: in one of the two, or in both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogTo {
    /// A log group of the session's account and region.
    pub group: Option<String>,
    pub bucket: Option<BucketLog>,
}

impl LogTo {
    /// None where nothing is kept.
    pub fn of(group: Option<String>, bucket: Option<BucketLog>) -> Option<LogTo> {
        (group.is_some() || bucket.is_some()).then_some(LogTo { group, bucket })
    }
}

/// A bucket, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketLog {
    pub name: String,
    pub prefix: Option<String>,
    /// Whether it has to be an encrypted one.
    pub encrypted: bool,
}

impl BucketLog {
    /// As the SSM agent names it.
    pub fn key(&self, session: &str) -> String {
        match self.prefix.as_deref().map(|prefix| prefix.trim_end_matches('/')) {
            None | Some("") => format!("{session}.log"),
            Some(prefix) => format!("{prefix}/{session}.log"),
        }
    }
}

impl Work {
    /// The name of the session's type in the handshake.
    pub fn session_type(&self) -> &'static str {
        match self {
            Work::Terminal { kind, .. } => kind,
            Work::Command { .. } => "NonInteractiveCommands",
            Work::Port { .. } => "Port",
        }
    }

    pub fn properties(&self) -> Value {
        match self {
            Work::Terminal { .. } | Work::Command { .. } => Value::Null,
            Work::Port { properties, .. } => properties.clone(),
        }
    }

    /// The command of ECS's ExecuteCommand.
    ///
    /// # Errors
    /// When it is none.
    pub fn of_command(line: &str) -> Result<Work, String> {
        terminal(line, "InteractiveCommands")
    }
}

fn terminal(line: &str, kind: &'static str) -> Result<Work, String> {
    let environment = TERMINAL_ENVIRONMENT.map(str::to_owned).to_vec();
    Ok(Work::Terminal { args: command(line)?, environment, kind })
}

fn command(line: &str) -> Result<Vec<String>, String> {
    let args = words::split(line).map_err(|error| error.to_string())?;
    match args.is_empty() {
        true => Err("the command is empty".to_owned()),
        false => Ok(args),
    }
}

fn invalid(message: String) -> ApiError {
    ApiError::undeclared("InvalidParameters", 400, message)
}

/// The parameters of a document: one text each.
struct Given<'a> {
    document: &'a str,
    all: &'a BTreeMap<String, Vec<String>>,
}

impl Given<'_> {
    fn check(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.all.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => {
                let message =
                    format!("Parameter \"{unknown}\" is not defined in document {}.", self.document);
                Err(invalid(message))
            }
            None => Ok(()),
        }
    }

    fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.all.get(name).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([one]) => Ok(Some(one)),
            Some(_) => Err(invalid(format!("Parameter \"{name}\" takes one value."))),
        }
    }

    fn required(&self, name: &str) -> Result<&str, ApiError> {
        let missing = || invalid(format!("Parameter \"{name}\" requires a value."));
        self.text(name)?.filter(|text| !text.is_empty()).ok_or_else(missing)
    }

    fn port(&self, name: &str, default: &str) -> Result<u16, ApiError> {
        let text = self.text(name)?.unwrap_or(default);
        let lowest = u16::from(name == "portNumber");
        text.parse()
            .ok()
            .filter(|port| *port >= lowest)
            .ok_or_else(|| invalid(format!("Parameter \"{name}\" has value \"{text}\", which is no port.")))
    }
}

/// What StartSession asks for. `idle_timeout`: where the preferences do not say.
///
/// # Errors
/// `InvalidDocument` for one that is not there, `InvalidParameters` for what does not fit it.
pub fn of_document(
    name: Option<&str>,
    parameters: &BTreeMap<String, Vec<String>>,
    preferences: &Preferences,
    idle_timeout: Duration,
) -> Result<Plan, ApiError> {
    let document = name.unwrap_or(RUN_SHELL).rsplit('/').next().unwrap_or_default();
    let given = Given { document, all: parameters };
    let work = match document {
        RUN_SHELL => {
            given.check(&[])?;
            terminal(preferences.shell(), "Standard_Stream").map_err(invalid)?
        }
        INTERACTIVE => {
            given.check(&["command"])?;
            terminal(given.required("command")?, "InteractiveCommands").map_err(invalid)?
        }
        NON_INTERACTIVE => {
            given.check(&["command", "separateOutputStream"])?;
            let separate = match given.text("separateOutputStream")?.unwrap_or("false") {
                "true" | "True" => true,
                "false" | "False" => false,
                other => {
                    let message = format!("Parameter \"separateOutputStream\" has value \"{other}\".");
                    return Err(invalid(message));
                }
            };
            Work::Command { args: command(given.required("command")?).map_err(invalid)?, separate }
        }
        PORT | PORT_TO_HOST => port(&given)?,
        other => {
            let message = format!("Document with name {other} does not exist.");
            return Err(ApiError::new(&errors::INVALID_DOCUMENT, message));
        }
    };
    // What passes through a port is not logged, as on AWS.
    let log = preferences.log.clone().filter(|_| !matches!(work, Work::Port { .. }));
    Ok(Plan {
        document: document.to_owned(),
        work,
        idle_timeout: preferences.idle_timeout.unwrap_or(idle_timeout),
        longest: preferences.longest,
        log,
        key: preferences.key.clone(),
    })
}

fn port(given: &Given<'_>) -> Result<Work, ApiError> {
    let mut known = vec!["portNumber", "localPortNumber"];
    let host = match given.document == PORT_TO_HOST {
        true => {
            known.push("host");
            Some(given.required("host")?.to_owned())
        }
        false => None,
    };
    given.check(&known)?;
    let (port, local) = (given.port("portNumber", "80")?, given.port("localPortNumber", "0")?);
    let mut properties = json!({
        "portNumber": port.to_string(),
        "localPortNumber": local.to_string(),
        "type": "LocalPortForwarding",
    });
    if let Some(host) = &host {
        properties["host"] = json!(host);
    }
    Ok(Work::Port { host, port, properties })
}
