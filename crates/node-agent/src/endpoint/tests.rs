use std::{net::SocketAddr, sync::Arc};

use http::StatusCode;
use serde_json::{Value, json};
use task_lifecycle::{Event, TaskFacts, observe, plan};
use vocabulary::Timestamp;

use super::{Directory, Server, TaskView, server::answer};
use crate::{
    task::shape::shape as shape_of,
    tests::fixtures::{container_spec, local_image, role, task_spec},
};

/// A directory with a task at 172.31.0.10 whose network is attached and image pulled, and another at 172.31.0.11.
fn directory() -> Directory {
    let directory = Directory::default();
    let spec = task_spec(vec![container_spec("app")]);
    let shape = shape_of(&spec).unwrap();
    let mut facts = TaskFacts::new(&shape);
    let at = |seconds: i64| Timestamp::from_millis(1_700_000_000_000 + seconds * 1000);
    for (seconds, event) in [
        (0, Event::NetworkAttached { bindings: vec![] }),
        (1, Event::ImageReady { container: 0, digest: Some("sha256:m".into()) }),
        (1, Event::LogReady { container: 0 }),
        (2, Event::SandboxReady),
        (3, Event::Started { container: 0, run: 0 }),
    ] {
        let (plan, _) = plan(&shape, &facts, at(seconds));
        facts.apply(&plan, at(seconds));
        observe(&shape, &mut facts, event, at(seconds));
    }
    let (plan, _) = plan(&shape, &facts, at(3));
    facts.apply(&plan, at(3));
    let view = Arc::new(TaskView::new(Arc::new(spec), facts));
    view.set_image(0, local_image());
    directory.insert(&view);

    let mut other = task_spec(vec![container_spec("other")]);
    other.network_interface.as_mut().unwrap().private_address = [172, 31, 0, 11].into();
    other.task_role = Some(role("cred-other"));
    let facts = TaskFacts::new(&shape_of(&other).unwrap());
    directory.insert(&Arc::new(TaskView::new(Arc::new(other), facts)));
    directory
}

fn ask(path: &str, last_octet: u8) -> (StatusCode, Value) {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    answer(path, query, &directory(), SocketAddr::from(([172, 31, 0, last_octet], 40000)))
}

#[test]
fn a_container_learns_about_itself() {
    let (status, document) = ask("/v4/id-app", 10);
    assert_eq!(status, StatusCode::OK);
    assert_eq!(document["DockerId"], "id-app");
    assert_eq!(document["KnownStatus"], "RUNNING");
    assert_eq!(document["ImageID"], "sha256:c");
    assert_eq!(document["StartedAt"], "2023-11-14T22:13:23Z");
    assert_eq!(document["Labels"]["com.amazonaws.ecs.task-definition-version"], "3");
    assert_eq!(
        document["Networks"][0],
        json!({
            "NetworkMode": "awsvpc", "IPv4Addresses": ["172.31.0.10"], "AttachmentIndex": 0,
            "MACAddress": "02:00:00:00:00:01", "IPv4SubnetCIDRBlock": "172.31.0.0/20",
            "DomainNameServers": ["172.31.0.2"], "DomainNameSearchList": ["us-east-1.compute.internal"],
            "PrivateDNSName": "ip-172-31-0-10.us-east-1.compute.internal",
            "SubnetGatewayIpv4Address": "172.31.0.1/20",
        })
    );
}

#[test]
fn a_container_learns_about_its_task() {
    let (status, document) = ask("/v4/id-app/task", 10);
    assert_eq!(status, StatusCode::OK);
    assert_eq!(document["TaskARN"], "arn:aws:ecs:us-east-1:000000000000:task/web/t1");
    assert_eq!(document["Limits"], json!({"CPU": 0.25, "Memory": 512}));
    assert_eq!((&document["KnownStatus"], &document["LaunchType"]), (&json!("RUNNING"), &json!("FARGATE")));
    assert_eq!(document["PullStoppedAt"], "2023-11-14T22:13:21Z");
    assert_eq!(document["Containers"].as_array().unwrap().len(), 1);
    let (_, older) = ask("/v3/id-app/task", 10);
    assert_eq!(older.get("LaunchType"), None);
    assert_eq!(document["EphemeralStorageMetrics"], json!({"Utilized": 0, "Reserved": 20 << 10}));
    assert_eq!(ask("/v4/id-app/taskWithTags", 10).1["TaskARN"], document["TaskARN"]);
    assert_eq!(ask("/v4/id-app/stats", 10), (StatusCode::OK, Value::Null));
    assert_eq!(ask("/v4/id-app/task/stats", 10), (StatusCode::OK, json!({"id-app": null})));
}

#[test]
fn credentials_are_a_tasks_own() {
    let (status, document) = ask("/v2/credentials/cred-1", 10);
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        document,
        json!({
            "RoleArn": "arn:aws:iam::000000000000:role/r", "AccessKeyId": "ASIAEXAMPLE",
            "SecretAccessKey": "secret", "Token": "token", "Expiration": "2023-11-14T22:13:23Z",
        })
    );
    assert_eq!(ask("/v2/credentials?id=cred-1", 10).0, StatusCode::OK);
    for (path, from) in [
        ("/v2/credentials/cred-1", 11),
        ("/v2/credentials/cred-1", 12),
        ("/v2/credentials/cred-other", 10),
        ("/v2/credentials/exec-1", 10),
        ("/v2/credentials/", 10),
        ("/v2/credentials", 10),
    ] {
        assert_eq!(ask(path, from).0, StatusCode::BAD_REQUEST, "{path} from {from}");
    }
}

#[test]
fn nobody_learns_about_others() {
    for path in ["/v4/id-app", "/v4/id-app/task", "/v4/id-app/task/stats", "/v3/id-app"] {
        assert_eq!(ask(path, 11).0, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(ask(path, 99).0, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/", "/v4", "/v4/id-app/nonsense", "/v5/id-app"] {
        assert_eq!(ask(path, 10).0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn it_speaks_http() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let control = Arc::new(crate::tests::control::Link(Arc::default()));
    let server =
        Server::start(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::new(directory()), control).await.unwrap();
    let ask = async |request: &str| {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = ask("GET /v4/id-app HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    // 127.0.0.1 is no task's address.
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("content-type: application/json"), "{answer}");
    let answer = ask("POST /v4/id-app HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}
