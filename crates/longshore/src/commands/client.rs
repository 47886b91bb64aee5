//! Commands as clients of a platform, which may be another machine's.

use std::{fs, path::Path};

use agent_protocol::ControlError;
use anyhow::{Context, anyhow};
use node_agent::remote::{Api, JsonService};
use request_auth::Credentials;

use crate::cli::{PlatformArgs, TaskArgs};

pub const ECS: JsonService = JsonService { name: "ecs", target: "AmazonEC2ContainerServiceV20141113" };

/// # Errors
/// When the authority's certificate cannot be read, or no endpoint is named.
pub fn open(platform: &PlatformArgs) -> anyhow::Result<Api> {
    let authority = authority(platform.ca.as_deref())?;
    let region = platform.region.to_string();
    Ok(Api::over(&platform.endpoint, region, credentials(), authority.as_deref())?)
}

/// The certificate of a platform's authority, in PEM, where a file is named.
pub fn authority(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
    file.map(read).transpose()
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
pub fn cluster(of: &TaskArgs) -> String {
    let in_arn = || of.task.split_once(":task/")?.1.split_once('/').map(|(cluster, _)| cluster.to_owned());
    of.cluster.clone().or_else(in_arn).unwrap_or_else(|| "default".to_owned())
}

/// A refusal in AWS's words and code.
pub fn said(error: ControlError) -> anyhow::Error {
    match error {
        ControlError::Refused { code, message } => anyhow!("{message} ({code})"),
        other => other.into(),
    }
}
