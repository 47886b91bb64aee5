//! What agents of container instances ask over the API: where to connect, and taking in what they report of tasks.
//!
//! Our own agent reports over its ACS connection, in more detail; these operations are how the published agent does. Both end in the same
//! merge.

pub mod discover;
pub mod submit;

use aws_shapes_ecs as ecs;

use crate::gateway::Operations;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(ecs::SERVICE)
        .on::<ecs::DiscoverPollEndpoint, _, _>(discover::discover)
        .on::<ecs::SubmitAttachmentStateChanges, _, _>(submit::attachments)
        .on::<ecs::SubmitContainerStateChange, _, _>(submit::container)
        .on::<ecs::SubmitTaskStateChange, _, _>(submit::task);
}
