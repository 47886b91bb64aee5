//! The agent against a pretended machine and control plane, on paused time.

pub(crate) mod control;
mod course;
pub(crate) mod fixtures;
mod given;
mod logs;
mod machine;
mod messages;
mod modes;
mod restarts;

use std::sync::Arc;

use agent_protocol::{AcsMessage, acs, spec::TaskSpec};
use task_lifecycle::TaskStatus;
use tokio::sync::mpsc;

use self::{
    control::{FakeControl, Link},
    fixtures::{container_spec, task_spec},
    machine::World,
};
use crate::{AgentConfig, AgentHandle, NodeAgent, ShutdownMode, clock::Clock};

/// One agent on its pretended machine. The machine and its disk outlive the agent.
pub(crate) struct Fixture {
    pub(crate) world: Arc<World>,
    pub(crate) control: Arc<FakeControl>,
    disk: tempfile::TempDir,
    clock: Clock,
    agent: Option<(AgentHandle, mpsc::Sender<AcsMessage>)>,
}

impl Fixture {
    pub(crate) async fn new() -> Fixture {
        let mut fixture = Fixture {
            world: Arc::default(),
            control: Arc::default(),
            disk: tempfile::tempdir().unwrap(),
            clock: Clock::Tokio(tokio::time::Instant::now()),
            agent: None,
        };
        fixture.start().await;
        fixture
    }

    async fn start(&mut self) {
        let path = self.disk.path();
        let mut config = AgentConfig::new(
            path.join("data"),
            path.join("run"),
            "/bin/false",
            Arc::new(fixtures::Backwards),
        );
        config.metadata_listen = None;
        config.cluster_arn = "arn:aws:ecs:us-east-1:000000000000:cluster/web".into();
        let (sender, messages) = mpsc::channel(16);
        let control = Arc::new(Link(Arc::clone(&self.control)));
        let machine = machine::machine(&self.world);
        let agent =
            NodeAgent::start_with_clock(machine, config, control, messages, self.clock).await.unwrap();
        self.agent = Some((agent, sender));
    }

    pub(crate) async fn end(&mut self, mode: ShutdownMode) {
        let (agent, _sender) = self.agent.take().unwrap();
        agent.shutdown(mode).await;
    }

    pub(crate) async fn restart(&mut self) {
        self.end(ShutdownMode::LeaveRunning).await;
        self.start().await;
    }

    pub(crate) async fn send(&self, message: AcsMessage) {
        self.agent.as_ref().unwrap().1.send(message).await.unwrap();
    }

    async fn run(&self, spec: TaskSpec, sequence: i64) {
        self.send(payload(acs::Task { longshore: Some(Box::new(spec)), ..task("RUNNING") }, sequence)).await;
    }

    async fn stop(&self, sequence: i64) {
        self.send(payload(task("STOPPED"), sequence)).await;
    }

    /// A task with one container, running.
    pub(crate) async fn running() -> Fixture {
        let fixture = Fixture::new().await;
        fixture.run(task_spec(vec![container_spec("app")]), 1).await;
        fixture.control.status(TaskStatus::Running).await;
        fixture
    }

    /// The journal of a stopped task is removed last of all.
    async fn until_gone(&self) {
        let dir = self.disk.path().join("data/tasks/t1");
        for _ in 0..10_000 {
            if !dir.exists() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{} is still there", dir.display());
    }
}

fn task(desired_status: &str) -> acs::Task {
    acs::Task {
        arn: Some("arn:aws:ecs:us-east-1:000000000000:task/web/t1".into()),
        task_cluster_arn: Some("arn:aws:ecs:us-east-1:000000000000:cluster/web".into()),
        desired_status: Some(desired_status.into()),
        ..acs::Task::default()
    }
}

fn payload(task: acs::Task, sequence: i64) -> AcsMessage {
    AcsMessage::Payload(acs::PayloadMessage {
        message_id: Some(format!("m{sequence}")),
        seq_num: Some(sequence),
        tasks: Some(vec![task]),
        ..acs::PayloadMessage::default()
    })
}
