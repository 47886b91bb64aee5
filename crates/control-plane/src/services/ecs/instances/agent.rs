//! UpdateContainerAgent: agents are not updated from here.
//!
//! The agent is part of the program, and is updated with it. AWS answers for an agent that is the newest there is, or that it
//! knows no way to update; so does this, after the same checks.

use aws_shapes_ecs::{UpdateContainerAgentRequest, UpdateContainerAgentResponse, errors};

use super::key;
use crate::{
    gateway::{ApiError, Call},
    services::ecs::{
        names::{self, cluster_name, invalid},
        records::ContainerInstance,
    },
};

pub async fn update_agent(
    call: Call,
    input: UpdateContainerAgentRequest,
) -> Result<UpdateContainerAgentResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let id = names::instance_id(scope, &cluster, input.container_instance.as_deref().unwrap_or_default())?;
    let record = call.services.state.read(|view| {
        names::active_cluster(view, scope, &cluster)?;
        view.get::<ContainerInstance>(scope, &key(&cluster, &id))
            .ok_or_else(|| invalid("The specified container instance is not registered."))
    })?;
    let version = record.description.0.version_info.as_ref().and_then(|info| info.agent_version.as_deref());
    Err(match version {
        None | Some("") => ApiError::new(
            &errors::MISSING_VERSION_EXCEPTION,
            "Amazon ECS is unable to determine the current version of the container agent on your container instance.",
        ),
        Some(_) => ApiError::new(
            &errors::NO_UPDATE_AVAILABLE_EXCEPTION,
            "There is no update available for your container agent.",
        ),
    })
}
