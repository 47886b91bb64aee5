//! The service through its handlers: what clients ask, in the order in which they ask it.

mod account_settings;
mod agents;
mod alarmed;
mod attributes;
mod balanced;
mod classic;
mod cluster;
mod container_rules;
mod controllers;
mod counted;
mod daemons;
mod definition_rules;
mod definition_versions;
mod dispatching;
mod exec;
mod express;
mod gateways;
mod given;
mod instance;
mod placing;
mod protecting;
mod providers;
mod reporting;
mod running;
mod scenarios;
mod scheduling;
mod service;
mod specification;
mod stopping;
mod strategies;
mod tagging;

use agent_protocol::state::{
    ContainerStateChange, ContainerStatus, HealthStatus, TaskStateChange, TaskStatus,
};
use aws_shapes_ecs as ecs;

use super::{clusters, definitions, instances, names, records, tasks};
use crate::{
    gateway::ApiError,
    services::{
        ec2::{self, networks},
        testing::{Fixture, refused, scope, text},
    },
};

const INVALID: &str = "InvalidParameterException";
const CLIENT: &str = "ClientException";

/// A platform with the `default` cluster and the default network.
async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    networks::ensure_default(&fixture.services, &scope()).await.unwrap();
    fixture.cluster("default").await;
    fixture
}

/// The smallest container that is accepted on FARGATE.
fn container(name: &str) -> ecs::ContainerDefinition {
    ecs::ContainerDefinition { name: text(name), image: text("busybox"), ..Default::default() }
}

/// The smallest definition that is accepted on FARGATE.
fn fargate(family: &str) -> ecs::RegisterTaskDefinitionRequest {
    ecs::RegisterTaskDefinitionRequest {
        family: text(family),
        requires_compatibilities: Some(vec![ecs::Compatibility::Fargate]),
        network_mode: Some(ecs::NetworkMode::Awsvpc),
        cpu: text("256"),
        memory: text("512"),
        container_definitions: Some(vec![container("app")]),
        ..Default::default()
    }
}

/// A request to run a task on FARGATE in a subnet of the default network.
fn run_request(fixture: &Fixture, definition: &str) -> ecs::RunTaskRequest {
    ecs::RunTaskRequest {
        task_definition: text(definition),
        launch_type: Some(ecs::LaunchType::Fargate),
        network_configuration: Some(network(&[&fixture.subnet()])),
        ..Default::default()
    }
}

fn network(subnets: &[&str]) -> ecs::NetworkConfiguration {
    ecs::NetworkConfiguration {
        awsvpc_configuration: Some(ecs::AwsVpcConfiguration {
            subnets: Some(subnets.iter().map(|id| (*id).to_owned()).collect()),
            ..Default::default()
        }),
    }
}

fn tag(key: &str, value: &str) -> ecs::Tag {
    ecs::Tag { key: text(key), value: text(value) }
}

fn pair(name: &str, value: &str) -> ecs::KeyValuePair {
    ecs::KeyValuePair { name: text(name), value: text(value) }
}

/// What a node says of a task with the one container `app`.
fn report(arn: &str, sequence: u64, status: TaskStatus) -> TaskStateChange {
    let stopped = status == TaskStatus::Stopped;
    TaskStateChange {
        cluster: scope().arn("ecs", "cluster/default").to_string(),
        task: arn.to_owned(),
        sequence,
        status,
        reason: None,
        stop_code: None,
        connectivity_at: None,
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: None,
        stopping_at: None,
        execution_stopped_at: None,
        health_status: HealthStatus::Unknown,
        containers: vec![ContainerStateChange {
            container_name: "app".to_owned(),
            runtime_id: None,
            status: match status {
                TaskStatus::Running => ContainerStatus::Running,
                TaskStatus::Stopped => ContainerStatus::Stopped,
                _ => ContainerStatus::Pending,
            },
            exit_code: stopped.then_some(0),
            reason: None,
            image_digest: None,
            health_status: HealthStatus::Unknown,
            network_bindings: Vec::new(),
            restart_count: 0,
        }],
    }
}

/// The last part of an ARN.
fn last(arn: &Option<String>) -> String {
    arn.as_deref().and_then(|arn| arn.rsplit('/').next()).unwrap_or_default().to_owned()
}

impl Fixture {
    async fn cluster(&self, name: &str) -> ecs::Cluster {
        let input = ecs::CreateClusterRequest { cluster_name: text(name), ..Default::default() };
        clusters::create(self.call(), input).await.unwrap().cluster.unwrap()
    }

    async fn register(
        &self,
        input: ecs::RegisterTaskDefinitionRequest,
    ) -> Result<ecs::TaskDefinition, ApiError> {
        Ok(definitions::register(self.call(), input).await?.task_definition.unwrap())
    }

    /// A subnet of the default network.
    fn subnet(&self) -> String {
        self.services.state.read(|view| {
            view.scan::<ec2::records::Subnet>(&scope()).next().map(|(id, _)| id.to_owned()).unwrap()
        })
    }

    async fn run(&self, input: ecs::RunTaskRequest) -> Result<Vec<ecs::Task>, ApiError> {
        let answer = tasks::run::run(self.call(), input).await?;
        assert_eq!(answer.failures, Some(vec![]));
        Ok(answer.tasks.unwrap())
    }

    /// Registers the smallest definition as `app` and runs one task of it.
    async fn task(&self) -> ecs::Task {
        self.register(fargate("app")).await.unwrap();
        self.run(run_request(self, "app")).await.unwrap().remove(0)
    }

    async fn describe_task(&self, arn: &str) -> Option<ecs::Task> {
        let input = ecs::DescribeTasksRequest { tasks: Some(vec![arn.to_owned()]), ..Default::default() };
        tasks::describe::describe(self.call(), input).await.unwrap().tasks.unwrap().pop()
    }

    async fn report(&self, change: &TaskStateChange) {
        tasks::report::submit_task(&self.services, change, self.now()).await.unwrap();
    }

    async fn stop(&self, arn: &str, reason: Option<&str>) -> Result<ecs::Task, ApiError> {
        let input =
            ecs::StopTaskRequest { task: text(arn), reason: reason.map(str::to_owned), ..Default::default() };
        Ok(tasks::stop::stop(self.call(), input).await?.task.unwrap())
    }

    /// How many tasks, interfaces and claimed addresses there are.
    fn left_behind(&self) -> (usize, usize, usize) {
        self.services.state.read(|view| {
            (
                view.count_all::<records::Task>(),
                view.count_all::<ec2::records::NetworkInterface>(),
                view.count_all::<ec2::records::AddressClaim>(),
            )
        })
    }
}
