//! Container instances that are connected: what they are told and may say, and what the published agent submits.

use std::time::Duration;

use agent_protocol::{
    AcsMessage, AgentMessage, ControlError, LogDestination, RegistryLoginRequest, TelemetryAnswer,
    TelemetryMessage, acs,
    call::{Call as Said, Reply, Request},
    state::NetworkBinding,
    tcs,
};
use futures_util::{SinkExt, StreamExt};
use tokio::{io::DuplexStream, task::JoinHandle};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};
use vocabulary::{AccountId, Timestamp};

use super::{placing::machine, *};
use crate::{
    agents::{InstanceKey, session, telemetry},
    services::ecs::agents as handlers,
};

/// Longer than anything here takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
const ORIGIN: &str = "http://10.0.0.1:4567";

/// An agent's end of a connection.
struct Agent {
    socket: WebSocketStream<DuplexStream>,
    served: JoinHandle<()>,
    calls: u64,
}

impl Agent {
    async fn connect(fixture: &Fixture, key: &InstanceKey) -> Agent {
        let (here, there) = tokio::io::duplex(1 << 20);
        let socket = WebSocketStream::from_raw_socket(there, Role::Server, None).await;
        let (services, key, origin) = (fixture.services.clone(), key.clone(), ORIGIN.to_owned());
        let served = tokio::spawn(session::serve(services, key, socket, origin, None));
        Agent { socket: WebSocketStream::from_raw_socket(here, Role::Client, None).await, served, calls: 0 }
    }

    async fn say(&mut self, message: &AgentMessage) {
        let text = String::from_utf8(message.encode()).unwrap();
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// What is said next; `None` after the end.
    async fn hear(&mut self) -> Option<AcsMessage> {
        loop {
            match tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("something") {
                Some(Ok(Message::Text(text))) => return Some(AcsMessage::decode(text.as_bytes()).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    async fn payload(&mut self) -> acs::PayloadMessage {
        loop {
            match self.hear().await.expect("a payload") {
                AcsMessage::Payload(payload) => return payload,
                AcsMessage::TaskManifest(_) | AcsMessage::NetworkState(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn call(&mut self, request: Request) -> Reply {
        self.calls += 1;
        self.say(&AgentMessage::Call(Box::new(Said { number: self.calls, request }))).await;
        loop {
            if let AcsMessage::Outcome(outcome) = self.hear().await.expect("an answer") {
                assert_eq!(outcome.number, self.calls);
                return outcome.reply;
            }
        }
    }

    async fn end(mut self) {
        // The other side may have ended it already.
        let _ = self.socket.close(None).await;
        tokio::time::timeout(PATIENCE, self.served).await.expect("an end").unwrap();
    }
}

fn key(id: &str) -> InstanceKey {
    InstanceKey { scope: scope(), cluster: "default".to_owned(), id: id.to_owned() }
}

/// Two instances that are not connected yet, one after the other.
async fn two_instances(fixture: &Fixture) -> (InstanceKey, InstanceKey) {
    let mut keys = Vec::new();
    for _ in 0..2 {
        let answer = instances::register(fixture.call(), machine("us-east-1a")).await.unwrap();
        keys.push(key(&last(&answer.container_instance.unwrap().container_instance_arn)));
    }
    let second = keys.pop().unwrap();
    (keys.pop().unwrap(), second)
}

async fn is_connected(fixture: &Fixture, key: &InstanceKey) -> bool {
    super::instance::describe(fixture, &key.id).await.agent_connected.unwrap()
}

async fn until_connected(fixture: &Fixture, key: &InstanceKey, wanted: bool) {
    let reached = async {
        while is_connected(fixture, key).await != wanted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("that it is recorded");
}

async fn define(fixture: &Fixture) {
    let app = ecs::ContainerDefinition { memory: Some(64), ..container("app") };
    let definition = ecs::RegisterTaskDefinitionRequest {
        family: text("app"),
        container_definitions: Some(vec![app]),
        ..Default::default()
    };
    fixture.register(definition).await.unwrap();
}

/// A task placed on this instance.
async fn start(fixture: &Fixture, key: &InstanceKey) -> String {
    let input = ecs::StartTaskRequest {
        task_definition: text("app"),
        container_instances: Some(vec![key.id.clone()]),
        ..Default::default()
    };
    let answer = tasks::run::start(fixture.call(), input).await.unwrap();
    assert_eq!(answer.failures.unwrap(), []);
    answer.tasks.unwrap().remove(0).task_arn.unwrap()
}

fn refused_with(reply: Reply, wanted: &str) {
    let Reply::Failed(ControlError::Refused { code, .. }) = &reply else { panic!("{reply:?}") };
    assert_eq!(code, wanted);
}

#[tokio::test]
async fn an_instance_is_told_its_own_tasks_and_reports_them() {
    let fixture = fixture().await;
    define(&fixture).await;
    let (first, second) = two_instances(&fixture).await;
    let mut agent = Agent::connect(&fixture, &first).await;
    let other = Agent::connect(&fixture, &second).await;
    until_connected(&fixture, &first, true).await;
    until_connected(&fixture, &second, true).await;
    let foreign = start(&fixture, &second).await;
    let task = start(&fixture, &first).await;
    let payload = agent.payload().await;
    assert_eq!(payload.container_instance_arn, Some(first.arn()));
    let told = payload.tasks.unwrap();
    assert_eq!(told[0].arn.as_ref(), Some(&task), "the other instance's is not for this one");
    assert_eq!(told[0].longshore.as_ref().unwrap().network_mode, agent_protocol::spec::NetworkMode::Bridge);

    let mut change = report(&task, 1, TaskStatus::Running);
    let binding = NetworkBinding {
        bind_ip: "0.0.0.0".into(),
        container_port: 80,
        host_port: 32_768,
        count: 1,
        protocol: "tcp".into(),
    };
    let range = NetworkBinding { container_port: 90, host_port: 40_000, count: 3, ..binding.clone() };
    change.containers[0].network_bindings = vec![binding, range];
    assert_eq!(agent.call(Request::SubmitTaskState(change)).await, Reply::Done);
    let shown = fixture.describe_task(&task).await.unwrap();
    assert_eq!(shown.last_status.as_deref(), Some("RUNNING"));
    let shown = shown.containers.unwrap()[0].network_bindings.clone().unwrap();
    assert_eq!((shown[0].container_port, shown[0].host_port), (Some(80), Some(32_768)));
    let range = ecs::NetworkBinding {
        bind_ip: text("0.0.0.0"),
        container_port_range: text("90-92"),
        host_port_range: text("40000-40002"),
        protocol: Some(ecs::TransportProtocol::Tcp),
        ..Default::default()
    };
    assert_eq!(shown[1], range);
    // Nobody speaks for another's task, or for another account.
    refused_with(
        agent.call(Request::SubmitTaskState(report(&foreign, 1, TaskStatus::Stopped))).await,
        "AccessDeniedException",
    );
    let elsewhere: AccountId = "111111111111".parse().unwrap();
    let destination = LogDestination {
        task_arn: task.clone(),
        account: elsewhere.clone(),
        region: scope().region,
        group: "g".into(),
        stream: "s".into(),
        create_group: true,
    };
    refused_with(agent.call(Request::CreateLogStream(destination)).await, "AccessDeniedException");
    let login = RegistryLoginRequest {
        image: "localhost:4566/web:1".into(),
        task_arn: task.clone(),
        account: elsewhere,
        region: scope().region,
    };
    refused_with(agent.call(Request::RegistryLogin(login.clone())).await, "AccessDeniedException");
    let own = RegistryLoginRequest { account: AccountId::local(), ..login };
    let Reply::RegistryLogin(Some(login)) = agent.call(Request::RegistryLogin(own)).await else {
        panic!("a login")
    };
    assert_eq!(login.endpoint.as_deref(), Some(ORIGIN), "the way that the agent knows");

    // A stop is told, and the manifest of the next connection names what was reported.
    fixture.stop(&task, None).await.unwrap();
    let stop = agent.payload().await;
    assert_eq!(stop.tasks.unwrap()[0].desired_status.as_deref(), Some("STOPPED"));
    agent.end().await;
    until_connected(&fixture, &first, false).await;
    let mut again = Agent::connect(&fixture, &first).await;
    let Some(AcsMessage::TaskManifest(manifest)) = again.hear().await else { panic!("a manifest first") };
    let listed: Vec<_> = manifest.tasks.unwrap().into_iter().map(|task| task.task_arn.unwrap()).collect();
    assert_eq!(listed, std::slice::from_ref(&task));
    assert_eq!(again.payload().await.tasks.unwrap()[0].desired_status.as_deref(), Some("STOPPED"));
    again.end().await;
    other.end().await;
}

#[tokio::test]
async fn a_newer_connection_takes_the_olders_place() {
    let fixture = fixture().await;
    let (first, _) = two_instances(&fixture).await;
    let mut old = Agent::connect(&fixture, &first).await;
    assert!(matches!(old.hear().await, Some(AcsMessage::TaskManifest(_))));
    let new = Agent::connect(&fixture, &first).await;
    while old.hear().await.is_some() {}
    until_connected(&fixture, &first, true).await;
    old.end().await;
    assert!(is_connected(&fixture, &first).await, "the end of the older is no end of the newer");
    new.end().await;
    until_connected(&fixture, &first, false).await;
}

#[tokio::test]
async fn nonsense_ends_a_connection_and_strangers_have_none() {
    let fixture = fixture().await;
    let (first, _) = two_instances(&fixture).await;
    let mut agent = Agent::connect(&fixture, &first).await;
    // A later version's message does not.
    agent.socket.send(Message::text(r#"{"type":"TeaMessage","message":{}}"#)).await.unwrap();
    agent.socket.send(Message::text(r#"{"type":"AckRequest","message":{"messageId":7}}"#)).await.unwrap();
    while agent.hear().await.is_some() {}
    agent.end().await;
    let mut stranger = Agent::connect(&fixture, &key("nobody")).await;
    assert_eq!(stranger.hear().await, None);
    stranger.end().await;
}

#[tokio::test]
async fn only_tasks_that_shall_run_there_are_spared() {
    let fixture = fixture().await;
    define(&fixture).await;
    let (first, second) = two_instances(&fixture).await;
    let mut agent = Agent::connect(&fixture, &first).await;
    let other = Agent::connect(&fixture, &second).await;
    until_connected(&fixture, &first, true).await;
    until_connected(&fixture, &second, true).await;
    let (own, foreign) = (start(&fixture, &first).await, start(&fixture, &second).await);
    let unknown = format!("{}0", &own[..own.len() - 1]);
    let candidates = [&own, &foreign, &unknown]
        .map(|arn| acs::TaskIdentifier { task_arn: Some(arn.clone()), ..acs::TaskIdentifier::default() });
    let question = acs::TaskStopVerificationMessage {
        message_id: text("m"),
        stop_candidates: Some(candidates.to_vec()),
    };
    agent.say(&AgentMessage::TaskStopVerification(question)).await;
    let ack = loop {
        if let AcsMessage::TaskStopVerificationAck(ack) = agent.hear().await.expect("an answer") {
            break ack;
        }
    };
    let stop: Vec<_> = ack.stop_tasks.unwrap().into_iter().map(|task| task.task_arn.unwrap()).collect();
    assert_eq!(stop, [foreign, unknown]);
    agent.end().await;
    other.end().await;
}

#[tokio::test]
async fn telemetry_is_taken_in_from_whom_it_is_about() {
    let fixture = fixture().await;
    define(&fixture).await;
    let (first, second) = two_instances(&fixture).await;
    let agents = [Agent::connect(&fixture, &first).await, Agent::connect(&fixture, &second).await];
    until_connected(&fixture, &first, true).await;
    until_connected(&fixture, &second, true).await;
    let (own, foreign) = (start(&fixture, &first).await, start(&fixture, &second).await);
    let (here, there) = tokio::io::duplex(1 << 16);
    let socket = WebSocketStream::from_raw_socket(there, Role::Server, None).await;
    let served = tokio::spawn(telemetry::serve(fixture.services.clone(), first, socket));
    let mut socket = WebSocketStream::from_raw_socket(here, Role::Client, None).await;
    let metrics = [&own, &foreign].map(|arn| tcs::TaskMetric { task_arn: arn.clone(), ..Default::default() });
    let health = [&own, &foreign].map(|arn| tcs::TaskHealth {
        task_arn: arn.clone(),
        containers: vec![tcs::ContainerHealth {
            container_name: "app".into(),
            health_status: HealthStatus::Unhealthy,
            ..Default::default()
        }],
        ..Default::default()
    });
    for (message, expected) in [
        (
            TelemetryMessage::Metrics(tcs::PublishMetricsRequest {
                task_metrics: metrics.to_vec(),
                timestamp: Some(Timestamp::from_millis(5)),
                ..Default::default()
            }),
            TelemetryAnswer::AckMetrics(acs::ErrorMessage { message: text("OK") }),
        ),
        (
            TelemetryMessage::Health(tcs::PublishHealthRequest {
                tasks: health.to_vec(),
                ..Default::default()
            }),
            TelemetryAnswer::AckHealth(acs::ErrorMessage { message: text("OK") }),
        ),
    ] {
        socket.send(Message::text(String::from_utf8(message.encode()).unwrap())).await.unwrap();
        let answer = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(TelemetryAnswer::decode(answer.to_text().unwrap().as_bytes()).unwrap(), expected);
    }
    assert!(fixture.services.agents.metrics(&own).is_some());
    assert!(fixture.services.agents.metrics(&foreign).is_none());
    let health = async |arn: &str| fixture.describe_task(arn).await.unwrap().health_status.unwrap();
    assert_eq!(health(&own).await, ecs::HealthStatus::Unhealthy);
    assert_eq!(health(&foreign).await, ecs::HealthStatus::Unknown);
    drop(socket);
    tokio::time::timeout(PATIENCE, served).await.unwrap().unwrap();
    for agent in agents {
        agent.end().await;
    }
}

fn submission(task: &str, status: &str, container: &str) -> ecs::SubmitTaskStateChangeRequest {
    ecs::SubmitTaskStateChangeRequest {
        task: text(task),
        status: text(status),
        containers: Some(vec![ecs::ContainerStateChange {
            container_name: text("app"),
            status: text(container),
            exit_code: (container == "STOPPED").then_some(3),
            network_bindings: Some(vec![ecs::NetworkBinding {
                bind_ip: text("0.0.0.0"),
                container_port: Some(80),
                host_port: Some(32_770),
                ..Default::default()
            }]),
            ..Default::default()
        }]),
        ..Default::default()
    }
}

#[tokio::test]
async fn what_the_published_agent_submits_becomes_the_tasks_course() {
    let fixture = fixture().await;
    define(&fixture).await;
    let id = fixture.machine(machine("us-east-1a")).await;
    let task = start(&fixture, &key(&id)).await;
    let submit = async |input| handlers::submit::task(fixture.call(), input).await;
    let answer = submit(submission(&task, "RUNNING", "RUNNING")).await.unwrap();
    assert_eq!(answer.acknowledgment.as_deref(), Some("ACCEPT"));
    let shown = fixture.describe_task(&task).await.unwrap();
    assert_eq!(shown.last_status.as_deref(), Some("RUNNING"));
    assert!(shown.started_at.is_some());
    assert_eq!(shown.containers.unwrap()[0].network_bindings.as_ref().unwrap()[0].host_port, Some(32_770));
    // One container's word.
    let word = ecs::SubmitContainerStateChangeRequest {
        task: text(&task),
        container_name: text("app"),
        status: text("RUNNING"),
        network_bindings: Some(vec![ecs::NetworkBinding {
            container_port: Some(80),
            host_port: Some(32_771),
            ..Default::default()
        }]),
        ..Default::default()
    };
    handlers::submit::container(fixture.call(), word).await.unwrap();
    let shown = fixture.describe_task(&task).await.unwrap().containers.unwrap().remove(0);
    assert_eq!(shown.network_bindings.unwrap()[0].host_port, Some(32_771));
    submit(submission(&task, "STOPPED", "STOPPED")).await.unwrap();
    let shown = fixture.describe_task(&task).await.unwrap();
    assert_eq!(shown.last_status.as_deref(), Some("STOPPED"));
    assert_eq!(shown.stop_code, Some(ecs::TaskStopCode::EssentialContainerExited));
    assert_eq!(shown.containers.unwrap()[0].exit_code, Some(3));
    // What came late changes nothing.
    submit(submission(&task, "RUNNING", "RUNNING")).await.unwrap();
    assert_eq!(fixture.describe_task(&task).await.unwrap().last_status.as_deref(), Some("STOPPED"));
    refused(submit(submission(&task, "TEATIME", "RUNNING")).await, INVALID, "TEATIME");
    refused(submit(submission(&"0".repeat(32), "RUNNING", "RUNNING")).await, CLIENT, "not placed");
}

#[tokio::test]
async fn an_agent_connects_where_it_asks() {
    let fixture = fixture().await;
    let id = fixture.machine(machine("us-east-1a")).await;
    let ask = async |instance: &str| {
        let input =
            ecs::DiscoverPollEndpointRequest { container_instance: text(instance), ..Default::default() };
        handlers::discover::discover(fixture.call(), input).await
    };
    let found = ask(&key(&id).arn()).await.unwrap();
    assert_eq!(found.endpoint.as_deref(), Some("http://localhost:4566/"));
    assert_eq!(found.telemetry_endpoint, found.endpoint);
    refused(ask("nobody").await, INVALID, "not registered");
}
