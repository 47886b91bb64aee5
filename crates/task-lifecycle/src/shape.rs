//! The part of a task's specification that its course depends on.
//!
//! A [`TaskShape`] cannot be wrong: at least one container is essential, dependencies name containers of the task and
//! form no circle, and a HEALTHY condition names a container that has a check.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

/// A task. Containers are referred to by their index everywhere in this crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskShape {
    task_arn: String,
    cluster_arn: String,
    has_interface: bool,
    containers: Vec<ContainerShape>,
    /// For every container, those it depends on.
    dependencies: Vec<Vec<(usize, DependencyCondition)>>,
    /// For every container, those that depend on it: they have to end first.
    dependents: Vec<Vec<usize>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerShape {
    pub name: String,
    pub runtime_id: String,
    pub essential: bool,
    pub depends_on: Vec<Dependency>,
    /// How long others wait for this container to be COMPLETE, SUCCESS or HEALTHY, from its start on.
    pub start_timeout: Option<Duration>,
    /// Between the signal that asks it to end and SIGKILL.
    pub stop_timeout: Duration,
    pub health: Option<HealthSchedule>,
    pub restart: Option<RestartPolicy>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    pub container_name: String,
    pub condition: DependencyCondition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DependencyCondition {
    /// It has been started.
    Start,
    /// It has ended.
    Complete,
    /// It has ended with exit code 0.
    Success,
    /// Its health check passes.
    Healthy,
}

/// When to run a container's check and what its results mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthSchedule {
    pub interval: Duration,
    pub timeout: Duration,
    /// Failures in a row that make a container unhealthy; at least 1.
    pub retries: u32,
    /// From its start on, failures do not count until the first success.
    pub start_period: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartPolicy {
    /// A container that ends with one of these is not started again.
    #[serde(default)]
    pub ignored_exit_codes: Vec<i32>,
    /// A container that ran for less is not started again. 60 to 1800.
    pub restart_attempt_period_seconds: u32,
}

/// Why a task cannot be run at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidShape {
    #[error("a task needs at least one essential container")]
    NothingEssential,
    #[error("two containers are named `{0}`")]
    DuplicateName(String),
    #[error("container `{container}` depends on `{dependency}`, which is not in the task")]
    UnknownDependency { container: String, dependency: String },
    #[error("container `{container}` waits for `{dependency}` to be HEALTHY, which has no health check")]
    NoHealthCheck { container: String, dependency: String },
    #[error("the dependencies of container `{0}` form a circle")]
    Circle(String),
}

impl TaskShape {
    /// `has_interface`: the task has an interface of its own (`awsvpc`), so that PROVISIONING and DEPROVISIONING
    /// apply to it.
    pub fn new(
        task_arn: impl Into<String>,
        cluster_arn: impl Into<String>,
        has_interface: bool,
        containers: Vec<ContainerShape>,
    ) -> Result<TaskShape, InvalidShape> {
        if !containers.iter().any(|container| container.essential) {
            return Err(InvalidShape::NothingEssential);
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = containers.iter().find(|container| !names.insert(container.name.as_str())) {
            return Err(InvalidShape::DuplicateName(twice.name.clone()));
        }
        let mut dependencies = vec![Vec::new(); containers.len()];
        let mut dependents = vec![Vec::new(); containers.len()];
        for (index, container) in containers.iter().enumerate() {
            for dependency in &container.depends_on {
                let on = find(&containers, container, dependency)?;
                dependencies[index].push((on, dependency.condition));
                dependents[on].push(index);
            }
        }
        if let Some(index) = circle(&dependencies) {
            return Err(InvalidShape::Circle(containers[index].name.clone()));
        }
        Ok(TaskShape {
            task_arn: task_arn.into(),
            cluster_arn: cluster_arn.into(),
            has_interface,
            containers,
            dependencies,
            dependents,
        })
    }

    pub fn task_arn(&self) -> &str {
        &self.task_arn
    }

    pub fn cluster_arn(&self) -> &str {
        &self.cluster_arn
    }

    pub fn has_interface(&self) -> bool {
        self.has_interface
    }

    pub fn containers(&self) -> &[ContainerShape] {
        &self.containers
    }

    /// What `container` depends on.
    pub fn dependencies(&self, container: usize) -> &[(usize, DependencyCondition)] {
        &self.dependencies[container]
    }

    /// What depends on `container`.
    pub fn dependents(&self, container: usize) -> &[usize] {
        &self.dependents[container]
    }
}

fn find(
    containers: &[ContainerShape],
    container: &ContainerShape,
    dependency: &Dependency,
) -> Result<usize, InvalidShape> {
    let on =
        containers.iter().position(|other| other.name == dependency.container_name).ok_or_else(|| {
            InvalidShape::UnknownDependency {
                container: container.name.clone(),
                dependency: dependency.container_name.clone(),
            }
        })?;
    if dependency.condition == DependencyCondition::Healthy && containers[on].health.is_none() {
        return Err(InvalidShape::NoHealthCheck {
            container: container.name.clone(),
            dependency: dependency.container_name.clone(),
        });
    }
    Ok(on)
}

/// A container that can never be ordered after all its dependencies, if there is one.
fn circle(dependencies: &[Vec<(usize, DependencyCondition)>]) -> Option<usize> {
    let mut ordered = vec![false; dependencies.len()];
    loop {
        let next = (0..dependencies.len())
            .find(|&index| !ordered[index] && dependencies[index].iter().all(|&(on, _)| ordered[on]));
        match next {
            Some(index) => ordered[index] = true,
            None => return ordered.iter().position(|done| !done),
        }
    }
}
