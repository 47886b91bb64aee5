//! The container that a session is for, by the name that Session Manager has for it.

use agent_protocol::ControlError;
use control_plane::session_manager::Target;
use node_agent::remote::Api;
use serde_json::{Value, json};

use crate::commands::client::ECS;

/// A container of a task: the one that is named, or the only one.
///
/// # Errors
/// When there is none, and those of DescribeTasks.
pub async fn target(
    api: &Api,
    cluster: &str,
    task: &str,
    container: Option<&str>,
) -> Result<Target, ControlError> {
    let refused = |message: &str| ControlError::Refused {
        code: "InvalidParameterException".to_owned(),
        message: message.to_owned(),
    };
    let input = json!({"cluster": cluster, "tasks": [task]});
    let described = api.call_of(ECS, "DescribeTasks", &input).await?;
    let task = described["tasks"].get(0).ok_or_else(|| refused("The referenced task was not found."))?;
    let all = task["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let container = match (container, all) {
        (Some(name), all) => all.iter().find(|container| container["name"] == name),
        (None, [only]) => Some(only),
        (None, _) => {
            return Err(refused("The task has several containers: name one with --container."));
        }
    };
    let container = container.ok_or_else(|| refused("The container is not in the task."))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(Target {
        cluster: text(&task["clusterArn"]).rsplit('/').next().unwrap_or_default().to_owned(),
        task_id: text(&task["taskArn"]).rsplit('/').next().unwrap_or_default().to_owned(),
        runtime_id: text(&container["runtimeId"]),
    })
}
