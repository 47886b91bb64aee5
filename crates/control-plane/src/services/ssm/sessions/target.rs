//! What a session is opened to: a container of a task, `ecs:CLUSTER_TASKID_RUNTIMEID`.

use agent_protocol::state::ContainerStatus;
use state_store::View;
use vocabulary::Scope;

use crate::{
    agents::{InstanceKey, streams::NodeKey},
    services::ecs::records::{DesiredStatus, Task, task_key},
};

/// A container, by its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub cluster: String,
    pub task_id: String,
    pub runtime_id: String,
}

/// A container that a session can be opened to.
#[derive(Debug, Clone)]
pub struct Reached {
    pub task_arn: String,
    pub task_key: String,
    pub container: String,
    pub node: NodeKey,
}

/// Why there can be no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// No such task or container.
    Unknown,
    /// The task was run without `enableExecuteCommand`.
    NotEnabled,
    NotRunning,
}

impl Target {
    /// A cluster's name may contain underscores, the other two do not.
    pub fn parse(text: &str) -> Option<Target> {
        let rest = text.strip_prefix("ecs:")?;
        let (rest, runtime_id) = rest.rsplit_once('_')?;
        let (cluster, task_id) = rest.rsplit_once('_')?;
        let whole = !cluster.is_empty() && !task_id.is_empty() && !runtime_id.is_empty();
        whole.then(|| Target {
            cluster: cluster.to_owned(),
            task_id: task_id.to_owned(),
            runtime_id: runtime_id.to_owned(),
        })
    }

    pub fn text(&self) -> String {
        format!("ecs:{}_{}_{}", self.cluster, self.task_id, self.runtime_id)
    }

    /// Finds the container, if it can be talked to.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn reach(&self, view: &View, scope: &Scope) -> Result<Reached, Unreachable> {
        let key = task_key(&self.cluster, &self.task_id);
        let task = view.get::<Task>(scope, &key).ok_or(Unreachable::Unknown)?;
        let own = task.containers.iter().zip(&task.state.containers);
        let (container, state) = own
            .into_iter()
            .find(|(container, _)| container.runtime_id == self.runtime_id)
            .ok_or(Unreachable::Unknown)?;
        if !task.enable_execute_command {
            return Err(Unreachable::NotEnabled);
        }
        if task.desired_status == DesiredStatus::Stopped || state.last_status != ContainerStatus::Running {
            return Err(Unreachable::NotRunning);
        }
        let instance =
            |id: &String| InstanceKey { scope: scope.clone(), cluster: task.cluster.clone(), id: id.clone() };
        Ok(Reached {
            task_arn: task.arn(scope),
            task_key: key,
            container: container.name.clone(),
            node: task.container_instance.as_ref().map(instance),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_target_has_three_parts() {
        let target = Target::parse("ecs:my_own_cluster_0123abcd_0123abcd-0000000001").unwrap();
        assert_eq!(target.cluster, "my_own_cluster");
        assert_eq!(
            (target.task_id.as_str(), target.runtime_id.as_str()),
            ("0123abcd", "0123abcd-0000000001")
        );
        assert_eq!(target.text(), "ecs:my_own_cluster_0123abcd_0123abcd-0000000001");
        for wrong in ["i-0123", "ecs:", "ecs:a_b", "ecs:__", "ecs:a__c", "mi-1_2_3"] {
            assert_eq!(Target::parse(wrong), None, "{wrong}");
        }
    }
}
