//! Which container instance a task goes to.

use agent_protocol::spec::LaunchType;
use aws_shapes_ecs::Failure;
use state_store::{Tx, View};
use vocabulary::{Ids, Scope, Timestamp};

use super::{
    names::invalid,
    records::ContainerInstance,
    tasks::launch::{Launch, Launched},
};
use crate::{gateway::ApiError, services::Services};

/// Places `count` tasks on container instances.
///
/// # Errors
/// `InvalidParameterException` when the cluster has no container instance.
#[expect(clippy::too_many_arguments, reason = "the transaction's surroundings are passed through")]
pub fn place(
    tx: &mut Tx,
    _services: &Services,
    launch: &Launch<'_>,
    _launch_type: LaunchType,
    count: usize,
    launched: &mut Launched,
    _now: Timestamp,
    _ids: &mut impl Ids,
) -> Result<(), ApiError> {
    for _ in 0..count {
        launched.failures.push(no_instance(tx.view(), launch.scope, &launch.cluster.name)?);
    }
    Ok(())
}

/// Why no container instance takes the task.
fn no_instance(view: &View, scope: &Scope, cluster: &str) -> Result<Failure, ApiError> {
    match view.scan_prefix::<ContainerInstance>(scope, &format!("{cluster}/")).next() {
        None => Err(invalid("No Container Instances were found in your cluster.")),
        Some((key, _)) => Ok(Failure {
            arn: Some(scope.arn("ecs", format_args!("container-instance/{key}")).to_string()),
            reason: Some("AGENT".to_owned()),
            detail: None,
        }),
    }
}
