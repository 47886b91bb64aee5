//! DiscoverPollEndpoint: an agent connects where it asks.

use aws_shapes_ecs::{DiscoverPollEndpointRequest, DiscoverPollEndpointResponse};

use crate::{
    gateway::{ApiError, Call},
    services::ecs::{
        names::{self, cluster_name, invalid},
        records::ContainerInstance,
    },
};

pub async fn discover(
    call: Call,
    input: DiscoverPollEndpointRequest,
) -> Result<DiscoverPollEndpointResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    if let Some(given) = input.container_instance.as_deref() {
        let id = names::instance_id(scope, &cluster, given)?;
        let known = call
            .services
            .state
            .read(|view| view.get::<ContainerInstance>(scope, &format!("{cluster}/{id}")).is_some());
        if !known {
            return Err(invalid("The specified container instance is not registered."));
        }
    }
    // Agents append `ws` to both.
    let scheme = if call.origin.secure { "https" } else { "http" };
    let endpoint = Some(format!("{scheme}://{}/", call.host));
    Ok(DiscoverPollEndpointResponse {
        telemetry_endpoint: endpoint.clone(),
        endpoint,
        service_connect_endpoint: None,
    })
}
