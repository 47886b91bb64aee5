//! Which container instances have an open connection, and what their agents measured last.
//!
//! One connection per instance: a newer one ends the older, which is most often one whose end nobody noticed. That an instance is
//! connected is written into its record too, where placement reads it; the record always follows what is known here at
//! the moment of its transaction, so that an old connection's end cannot undo a new one's beginning.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use agent_protocol::tcs::TaskMetric;
use tokio::sync::oneshot;
use vocabulary::{Arn, Scope};

use super::streams::Streams;
use crate::{
    gateway::ApiError,
    services::{Services, ecs::records::ContainerInstance},
};

/// Tasks whose last metrics are kept: far more than a machine runs. Those of tasks that ended go first come, first gone.
const MOST_METRICS: usize = 10_000;

/// A container instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceKey {
    pub scope: Scope,
    pub cluster: String,
    pub id: String,
}

impl InstanceKey {
    /// Of an ARN, `arn:aws:ecs:REGION:ACCOUNT:container-instance/CLUSTER/ID`.
    pub fn of_arn(arn: &str) -> Option<InstanceKey> {
        let arn: Arn = arn.parse().ok()?;
        let scope = Scope::new(arn.account().parse().ok()?, arn.region().parse().ok()?);
        let (cluster, id) = arn.resource_of_kind("container-instance")?.split_once('/')?;
        Some(InstanceKey { scope, cluster: cluster.to_owned(), id: id.to_owned() })
    }

    /// The record's id.
    pub fn record(&self) -> String {
        format!("{}/{}", self.cluster, self.id)
    }

    pub fn arn(&self) -> String {
        self.scope.arn("ecs", format_args!("container-instance/{}", self.record())).to_string()
    }

    pub fn cluster_arn(&self) -> String {
        self.scope.arn("ecs", format_args!("cluster/{}", self.cluster)).to_string()
    }
}

/// All connections of this process.
#[derive(Debug, Clone, Default)]
pub struct Agents {
    known: Arc<Mutex<Known>>,
    /// Processes and connections on the nodes that are talked to.
    pub streams: Streams,
}

#[derive(Debug, Default)]
struct Known {
    /// The connection's number, and what ends it by being dropped.
    connections: HashMap<InstanceKey, (u64, oneshot::Sender<()>)>,
    last_number: u64,
    /// By the task's ARN.
    metrics: BTreeMap<String, TaskMetric>,
}

/// A connection's place; leaving it frees it.
#[derive(Debug)]
pub struct Place {
    key: InstanceKey,
    number: u64,
    agents: Agents,
}

impl Agents {
    /// Takes the instance's place. The receiver resolves when another connection has taken it, or when all are to end.
    pub fn enter(&self, key: &InstanceKey) -> (Place, oneshot::Receiver<()>) {
        let (end, ended) = oneshot::channel();
        let mut known = self.lock();
        known.last_number += 1;
        let number = known.last_number;
        known.connections.insert(key.clone(), (number, end));
        (Place { key: key.clone(), number, agents: self.clone() }, ended)
    }

    pub fn is_connected(&self, key: &InstanceKey) -> bool {
        self.lock().connections.contains_key(key)
    }

    /// Ends every connection.
    pub fn close(&self) {
        self.lock().connections.clear();
    }

    /// Keeps what was measured last of each task.
    pub fn note_metrics(&self, metrics: impl IntoIterator<Item = TaskMetric>) {
        let mut known = self.lock();
        for metric in metrics {
            known.metrics.insert(metric.task_arn.clone(), metric);
        }
        while known.metrics.len() > MOST_METRICS {
            known.metrics.pop_first();
        }
    }

    /// What was measured last of a task, if it was.
    pub fn metrics(&self, task_arn: &str) -> Option<TaskMetric> {
        self.lock().metrics.get(task_arn).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut known = self.agents.lock();
        if known.connections.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            known.connections.remove(&self.key);
        }
    }
}

/// Writes into the instance's record whether its agent is connected now. False when the instance is not registered.
///
/// # Errors
/// Those of the store.
pub async fn record(services: &Services, key: &InstanceKey) -> Result<bool, ApiError> {
    services
        .state
        .transact(|tx| {
            let Some(found) = tx.get::<ContainerInstance>(&key.scope, &key.record()) else {
                return Ok(false);
            };
            let connected = services.agents.is_connected(key);
            if found.agent_connected != connected {
                let mut record = (*found).clone();
                record.agent_connected = connected;
                record.version += 1;
                tx.put(&key.scope, &key.record(), record);
            }
            Ok(true)
        })
        .await
}

/// Nobody is connected yet: what an earlier process left in the records no longer holds.
///
/// # Errors
/// Those of the store.
pub async fn forget_earlier(services: &Services) -> Result<(), ApiError> {
    let stale: Vec<InstanceKey> = services.state.read(|view| {
        let all = view.scan_all::<ContainerInstance>().filter(|found| found.value.agent_connected);
        all.map(|found| InstanceKey {
            scope: found.scope,
            cluster: found.value.cluster.clone(),
            id: found.value.id.clone(),
        })
        .collect()
    });
    for key in stale {
        record(services, &key).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_connection_ends_the_older_and_outlives_its_end() {
        let agents = Agents::default();
        let key =
            InstanceKey::of_arn("arn:aws:ecs:eu-west-1:000000000000:container-instance/web/0123").unwrap();
        assert_eq!(key.arn(), "arn:aws:ecs:eu-west-1:000000000000:container-instance/web/0123");
        assert!(!agents.is_connected(&key));
        let (first, mut first_ended) = agents.enter(&key);
        assert!(first_ended.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        let (second, mut second_ended) = agents.enter(&key);
        assert!(first_ended.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
        drop(first);
        assert!(agents.is_connected(&key));
        assert!(second_ended.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        drop(second);
        assert!(!agents.is_connected(&key));
        assert_eq!(InstanceKey::of_arn("arn:aws:ecs:eu-west-1:000000000000:cluster/web"), None);
    }

    #[test]
    fn metrics_are_bounded() {
        let agents = Agents::default();
        let of =
            |number: usize| TaskMetric { task_arn: format!("task/{number:06}"), ..TaskMetric::default() };
        agents.note_metrics((0..MOST_METRICS + 5).map(of));
        assert_eq!(agents.metrics("task/000004"), None);
        assert_eq!(agents.metrics("task/000005"), Some(of(5)));
    }
}
