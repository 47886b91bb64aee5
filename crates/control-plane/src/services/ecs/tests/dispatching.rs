//! What is sent to the node, and when: the network before what relies on it, nothing twice, everything after a restart.

use std::time::Duration;

use agent_protocol::{AcsMessage, acs::PayloadMessage};
use tokio::{sync::mpsc, task::JoinHandle};

use super::*;
use crate::agents::{Node as Whom, dispatch};

/// Longer than anything here takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    messages: mpsc::Receiver<AcsMessage>,
    sender: JoinHandle<Result<(), state_store::StateError>>,
}

impl Node {
    fn connect(fixture: &Fixture) -> Node {
        let (sender, messages) = mpsc::channel(16);
        Node { messages, sender: tokio::spawn(dispatch(fixture.services.clone(), Whom::Embedded, sender)) }
    }

    /// The next message that is not about load balancers, of which there are none here.
    async fn next(&mut self) -> AcsMessage {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.messages.recv());
            match next.await.expect("a message").expect("a sender") {
                AcsMessage::LoadBalancers(all) => assert_eq!(all.interfaces, []),
                other => return other,
            }
        }
    }

    /// The next payload, whatever is sent before it.
    async fn payload(&mut self) -> PayloadMessage {
        loop {
            if let AcsMessage::Payload(payload) = self.next().await {
                return payload;
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

fn arn(payload: &PayloadMessage) -> Option<String> {
    payload.tasks.as_ref().unwrap()[0].arn.clone()
}

fn desired(payload: &PayloadMessage) -> Option<&str> {
    payload.tasks.as_ref().unwrap()[0].desired_status.as_deref()
}

#[tokio::test]
async fn the_network_is_told_before_the_task() {
    let fixture = fixture().await;
    let task = fixture.task().await;
    let mut node = Node::connect(&fixture);
    let AcsMessage::NetworkState(network) = node.next().await else { panic!("the network comes first") };
    assert_eq!((network.vpcs.len(), network.security_groups.len()), (1, 1));
    let AcsMessage::Payload(payload) = node.next().await else { panic!("the task comes next") };
    assert_eq!((arn(&payload), payload.seq_num), (task.task_arn, Some(1)));
    let spec = payload.tasks.unwrap().remove(0).longshore.unwrap();
    let address = task.attachments.unwrap()[0].details.as_ref().unwrap()[4].value.clone().unwrap();
    assert_eq!(spec.network_interface.unwrap().private_address.to_string(), address);
}

#[tokio::test]
async fn only_a_new_number_is_sent_again() {
    let fixture = fixture().await;
    let mut node = Node::connect(&fixture);
    let first = fixture.task().await.task_arn.unwrap();
    assert_eq!(arn(&node.payload().await), Some(first.clone()));
    // A report changes the task, but there is nothing to tell its node.
    fixture.report(&report(&first, 1, TaskStatus::Running)).await;
    let second = fixture.run(run_request(&fixture, "app")).await.unwrap().remove(0).task_arn;
    assert_eq!(arn(&node.payload().await), second);
    fixture.stop(&first, None).await.unwrap();
    let payload = node.payload().await;
    assert_eq!((arn(&payload), payload.seq_num, desired(&payload)), (Some(first), Some(2), Some("STOPPED")));
}

#[tokio::test]
async fn after_a_restart_everything_that_lives_is_sent() {
    let fixture = fixture().await;
    let first = fixture.task().await.task_arn.unwrap();
    let second = fixture.run(run_request(&fixture, "app")).await.unwrap().remove(0).task_arn.unwrap();
    let third = fixture.run(run_request(&fixture, "app")).await.unwrap().remove(0).task_arn.unwrap();
    fixture.stop(&second, None).await.unwrap();
    fixture.report(&report(&third, 1, TaskStatus::Stopped)).await;
    for _ in 0..2 {
        let mut node = Node::connect(&fixture);
        assert!(matches!(node.next().await, AcsMessage::NetworkState(_)));
        let mut told = Vec::new();
        for _ in 0..2 {
            let payload = node.payload().await;
            told.push((arn(&payload).unwrap(), desired(&payload).map(str::to_owned)));
        }
        told.sort();
        let mut expected = vec![(first.clone(), text("RUNNING")), (second.clone(), text("STOPPED"))];
        expected.sort();
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn a_task_that_no_node_can_run_ends_with_the_reason() {
    let fixture = fixture().await;
    let mut definition = fargate("app");
    definition.enable_fault_injection = Some(true);
    fixture.register(definition).await.unwrap();
    let arn = fixture.run(run_request(&fixture, "app")).await.unwrap().remove(0).task_arn.unwrap();
    let mut changes = fixture.services.state.watch::<records::Task>();
    let _node = Node::connect(&fixture);
    let task = loop {
        let task = fixture.describe_task(&arn).await.unwrap();
        if task.last_status.as_deref() == Some("STOPPED") {
            break task;
        }
        tokio::time::timeout(PATIENCE, changes.next()).await.expect("the task changes").unwrap();
    };
    assert_eq!(task.stop_code, Some(ecs::TaskStopCode::TaskFailedToStart));
    let reason = "ResourceInitializationError: enableFaultInjection is not implemented";
    assert_eq!(task.stopped_reason.as_deref(), Some(reason));
    assert_eq!(fixture.left_behind(), (1, 0, 0));
}

#[tokio::test]
async fn sending_ends_with_its_receiver() {
    let fixture = fixture().await;
    let mut node = Node::connect(&fixture);
    node.messages.close();
    fixture.task().await;
    let ended = tokio::time::timeout(PATIENCE, &mut node.sender).await.expect("the sender ends");
    ended.unwrap().unwrap();
}

/// A running task whose role is `app`.
async fn with_role(fixture: &Fixture) -> String {
    let definition = ecs::RegisterTaskDefinitionRequest {
        task_role_arn: text("arn:aws:iam::000000000000:role/app"),
        ..fargate("roles")
    };
    fixture.register(definition).await.unwrap();
    let task = fixture.run(run_request(fixture, "roles")).await.unwrap().remove(0);
    task.task_arn.unwrap()
}

#[tokio::test]
async fn a_task_with_a_role_is_sent_with_its_credentials_and_loses_them_when_it_stops() {
    use crate::services::{ec2::records::global, iam::access_keys::AccessKey};
    let fixture = fixture().await;
    crate::services::iam::testing::role_session(&fixture, "app", &[]).await;
    let keys = || fixture.services.state.read(|view| view.scan::<AccessKey>(&global()).count());
    let before = keys();
    let mut node = Node::connect(&fixture);
    let arn = with_role(&fixture).await;
    let role = node.payload().await.tasks.unwrap().remove(0).longshore.unwrap().task_role.unwrap();
    assert_eq!(role.role_arn, "arn:aws:iam::000000000000:role/app");
    assert_eq!(keys(), before + 1);

    let early = vocabulary::Timestamp::from_millis(role.expiration.as_millis() - 2 * 3_600_000);
    tasks::roles::renew(&fixture.services, early).await.unwrap();
    assert_eq!(keys(), before + 1, "what holds for two more hours is left alone");
    let almost = vocabulary::Timestamp::from_millis(role.expiration.as_millis() - 1000);
    tasks::roles::renew(&fixture.services, almost).await.unwrap();
    let AcsMessage::IamRoleCredentials(renewed) = node.next().await else { panic!("new credentials come") };
    let held = renewed.role_credentials.unwrap();
    assert_eq!((renewed.task_arn, held.credentials_id), (Some(arn.clone()), Some(role.credentials_id)));
    assert_ne!(held.access_key_id, Some(role.access_key_id));
    assert_eq!(keys(), before + 2, "the old ones hold until they expire");
    let mut stopped = report(&arn, 1, TaskStatus::Stopped);
    stopped.reason = text("done");
    fixture.report(&stopped).await;
    assert_eq!(keys(), before, "none is left");
}

#[tokio::test]
async fn a_task_whose_role_cannot_be_assumed_ends() {
    let fixture = fixture().await;
    let _node = Node::connect(&fixture);
    let arn = with_role(&fixture).await;
    let mut changes = fixture.services.state.watch::<records::Task>();
    let reason = tokio::time::timeout(PATIENCE, async {
        loop {
            let task = fixture.describe_task(&arn).await.unwrap();
            if task.last_status.as_deref() == Some("STOPPED") {
                return task.stopped_reason.unwrap();
            }
            changes.next().await.unwrap();
        }
    });
    let reason = reason.await.expect("it ends");
    assert!(
        reason.contains("ECS was unable to assume the role 'arn:aws:iam::000000000000:role/app'"),
        "{reason}"
    );
}
