//! `longshore interrupt`: a task on FARGATE_SPOT loses its capacity.
//!
//! AWS has no operation for it. Here StopTask is one when it gives AWS's own reason, which this command does after it has looked whether the
//! task is on FARGATE_SPOT: any other would just be stopped.

use std::process::ExitCode;

use anyhow::{anyhow, bail};
use control_plane::INTERRUPTION;
use serde_json::json;

use super::client::{self, ECS};
use crate::cli::InterruptArgs;

pub fn run(args: &InterruptArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(interrupt(args))
}

async fn interrupt(args: &InterruptArgs) -> anyhow::Result<ExitCode> {
    let api = client::open(&args.platform)?;
    let (task, cluster) = (&args.of.task, client::cluster(&args.of));
    let input = json!({"cluster": cluster, "tasks": [task]});
    let described = api.call_of(ECS, "DescribeTasks", &input).await.map_err(client::said)?;
    let described = described["tasks"].get(0).ok_or_else(|| anyhow!("there is no task {task}"))?;
    match described["capacityProviderName"].as_str() {
        Some("FARGATE_SPOT") => {}
        Some(other) => bail!("the task runs on {other}: only tasks on FARGATE_SPOT are interrupted"),
        None => bail!("the task runs on no capacity provider: only tasks on FARGATE_SPOT are interrupted"),
    }
    let input = json!({"cluster": cluster, "task": task, "reason": INTERRUPTION});
    let stopped = api.call_of(ECS, "StopTask", &input).await.map_err(client::said)?;
    let task = &stopped["task"];
    if task["stopCode"].as_str() != Some("SpotInterruption") {
        bail!("the task was stopped before: {}", task["stoppedReason"].as_str().unwrap_or_default());
    }
    println!("{} is interrupted.", task["taskArn"].as_str().unwrap_or_default());
    Ok(ExitCode::SUCCESS)
}
