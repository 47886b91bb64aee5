//! The operations on sessions, as far as they need no running task.

use aws_shapes_ssm::{
    DescribeSessionsRequest, GetConnectionStatusRequest, ResumeSessionRequest, SessionFilter,
    SessionFilterKey, SessionState, StartSessionRequest, TerminateSessionRequest,
};

use super::{
    super::{calls, records::SessionStatus},
    client::Node,
};
use crate::services::testing::{Fixture, refused, text};

async fn listed(node: &Node, state: SessionState, filters: &[(SessionFilterKey, &str)]) -> Vec<String> {
    let filter =
        |(key, value): &(SessionFilterKey, &str)| SessionFilter { key: Some(*key), value: text(value) };
    let input = DescribeSessionsRequest {
        state: Some(state),
        filters: Some(filters.iter().map(filter).collect()),
        ..Default::default()
    };
    let answer = calls::describe(node.fixture.call(), input).await.unwrap();
    answer.sessions.unwrap().into_iter().map(|session| session.session_id.unwrap()).collect()
}

#[tokio::test]
async fn sessions_are_listed_resumed_and_terminated() {
    let node = Node::new().await;
    let first = node.interactive().await;
    node.fixture.pass(1000);
    let second = node.open("SSM-SessionManagerRunShell", &[]).await;
    use SessionFilterKey::{Owner, SessionId, Status, Target};
    use SessionState::{Active, History};
    assert_eq!(listed(&node, Active, &[]).await, [second.id.clone(), first.id.clone()]);
    assert_eq!(listed(&node, Active, &[(SessionId, &first.id)]).await, std::slice::from_ref(&first.id));
    assert_eq!(listed(&node, Active, &[(Target, "ecs:web_t1_t1-1"), (Status, "Connecting")]).await.len(), 2);
    assert_eq!(listed(&node, Active, &[(Owner, "arn:aws:iam::000000000000:user/other")]).await, [""; 0]);
    assert_eq!(listed(&node, History, &[]).await, [""; 0]);

    let resume = || ResumeSessionRequest { session_id: text(&first.id) };
    let resumed = calls::resume(node.fixture.call(), resume()).await.unwrap();
    assert_eq!(resumed.stream_url.as_deref(), Some(first.stream_url.as_str()));
    assert!(resumed.token_value.is_some_and(|token| token != first.token && token.len() >= 64));

    let terminate = TerminateSessionRequest { session_id: text(&first.id) };
    let terminated = calls::terminate(node.fixture.call(), terminate).await.unwrap();
    assert_eq!(terminated.session_id, text(&first.id));
    node.recorded(&first.id, |record| record.status == SessionStatus::Terminated).await;
    assert_eq!(listed(&node, History, &[]).await, std::slice::from_ref(&first.id));
    assert_eq!(calls::resume(node.fixture.call(), resume()).await.unwrap().token_value, None);
    let unknown = TerminateSessionRequest { session_id: text("root-0") };
    refused(calls::terminate(node.fixture.call(), unknown).await, "DoesNotExistException", "root-0");

    // What an earlier process left open is over.
    calls::forget_earlier(node.services()).await.unwrap();
    assert_eq!(listed(&node, Active, &[]).await, [""; 0]);
}

#[tokio::test]
async fn what_is_no_running_container_is_not_connected() {
    let fixture = Fixture::new().await;
    for target in ["i-0123456789abcdef0", "ecs:web_t1_t1-1", "ecs:nonsense"] {
        let input = StartSessionRequest { target: text(target), ..Default::default() };
        refused(calls::start(fixture.call(), input).await, "TargetNotConnected", "is not connected");
        let input = GetConnectionStatusRequest { target: text(target) };
        let status = calls::connection_status(fixture.call(), input).await.unwrap().status.unwrap();
        assert_eq!(status.as_str(), "notconnected");
    }
}
