use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use agent_protocol::{
    AgentMessage, Answer, ControlError, ControlPlane, InstanceRole, LogBatch, LogDestination, RegistryLogin,
    RegistryLoginRequest, Sensitive,
    state::{AttachmentStateChange, TaskStateChange},
    tcs::PublishMetricsRequest,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use vocabulary::Timestamp;

use super::{ImdsConfig, InstanceIdentity, role::Role, server::Service, tokens::Tokens};

const NOW: i64 = 1_800_000_000_000;

/// A control plane that gives what it is told to, and remembers what it was asked.
#[derive(Default)]
struct Above {
    gives: Mutex<Option<Result<Option<InstanceRole>, ControlError>>>,
    asked: Mutex<Vec<Option<String>>>,
}

fn nothing<'a, T: Send + 'static>() -> Answer<'a, T> {
    Box::pin(std::future::ready(Err(ControlError::Unavailable("not asked here".to_owned()))))
}

impl ControlPlane for Above {
    fn submit_task_state(&self, _: TaskStateChange) -> Answer<'_, ()> {
        nothing()
    }
    fn submit_attachment_state(&self, _: AttachmentStateChange) -> Answer<'_, ()> {
        nothing()
    }
    fn send(&self, _: AgentMessage) -> Answer<'_, ()> {
        nothing()
    }
    fn create_log_stream(&self, _: LogDestination) -> Answer<'_, ()> {
        nothing()
    }
    fn put_logs(&self, _: LogBatch) -> Answer<'_, ()> {
        nothing()
    }
    fn registry_login(&self, _: RegistryLoginRequest) -> Answer<'_, Option<RegistryLogin>> {
        nothing()
    }
    fn publish_metrics(&self, _: PublishMetricsRequest) -> Answer<'_, ()> {
        nothing()
    }
    fn instance_role(&self, keep: Option<String>) -> Answer<'_, Option<InstanceRole>> {
        self.asked.lock().unwrap().push(keep);
        let given = self.gives.lock().unwrap().clone().expect("something to give");
        Box::pin(std::future::ready(given))
    }
}

fn role(key: &str, expires_in_seconds: i64) -> InstanceRole {
    InstanceRole {
        profile_arn: "arn:aws:iam::000000000000:instance-profile/node".to_owned(),
        profile_id: "AIPA1".to_owned(),
        role_name: "node".to_owned(),
        access_key_id: key.to_owned(),
        secret_access_key: Sensitive::new("secret".to_owned()),
        session_token: Sensitive::new("token".to_owned()),
        issued_at: Timestamp::from_millis(NOW),
        expires_at: Timestamp::from_millis(NOW + expires_in_seconds * 1000),
    }
}

fn service(above: Option<Arc<Above>>, hop_limit: u8) -> Service {
    let from = above.map(|above| above as Arc<dyn ControlPlane>);
    let own: SocketAddr = "169.254.171.4:80".parse().unwrap();
    let identity = InstanceIdentity {
        instance_id: "i-0123".to_owned(),
        account: "000000000000".to_owned(),
        region: "eu-west-1".to_owned(),
        availability_zone: "eu-west-1b".to_owned(),
        private_address: Some([10, 0, 0, 7].into()),
    };
    Service {
        role: Role::new(from.clone()),
        tokens: Tokens::default(),
        own,
        config: ImdsConfig { listen: own, identity, role: from, hop_limit },
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect()
}

const MACHINE: &str = "169.254.171.4:40000";
const CONTAINER: &str = "172.30.0.5:40000";

async fn put(service: &Service, from: &str, given: &[(&'static str, &str)]) -> (StatusCode, String) {
    let now = Timestamp::from_millis(NOW);
    let (status, body, _) =
        service.answer(&Method::PUT, "/latest/api/token", &headers(given), from.parse().unwrap(), now).await;
    (status, body)
}

async fn token(service: &Service) -> String {
    let (status, token) = put(service, MACHINE, &[("x-aws-ec2-metadata-token-ttl-seconds", "60")]).await;
    assert_eq!(status, StatusCode::OK);
    token
}

async fn get(service: &Service, token: &str, path: &str, now: i64) -> (StatusCode, String) {
    let given = headers(&[("x-aws-ec2-metadata-token", token)]);
    let now = Timestamp::from_millis(now);
    let (status, body, _) = service.answer(&Method::GET, path, &given, MACHINE.parse().unwrap(), now).await;
    (status, body)
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_without_a_token() {
    let service = service(None, 2);
    let path = "/latest/meta-data/instance-id";
    assert_eq!(get(&service, "", path, NOW).await.0, StatusCode::UNAUTHORIZED);
    let token = token(&service).await;
    assert_eq!(get(&service, &token, path, NOW).await, (StatusCode::OK, "i-0123".to_owned()));
    assert_eq!(get(&service, &format!("{token}x"), path, NOW).await.0, StatusCode::UNAUTHORIZED);
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    assert_eq!(get(&service, &token, path, NOW).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn tokens_go_to_whom_they_may() {
    const SECONDS: &str = "x-aws-ec2-metadata-token-ttl-seconds";
    for (hop_limit, from, given, expected) in [
        (1, MACHINE, vec![(SECONDS, "21600")], StatusCode::OK),
        (1, CONTAINER, vec![(SECONDS, "60")], StatusCode::FORBIDDEN),
        (2, CONTAINER, vec![(SECONDS, "60")], StatusCode::OK),
        (2, MACHINE, vec![(SECONDS, "60"), ("x-forwarded-for", "10.0.0.9")], StatusCode::FORBIDDEN),
        (2, MACHINE, vec![(SECONDS, "21601")], StatusCode::BAD_REQUEST),
        (2, MACHINE, vec![(SECONDS, "0")], StatusCode::BAD_REQUEST),
        (2, MACHINE, vec![], StatusCode::BAD_REQUEST),
    ] {
        let (status, _) = put(&service(None, hop_limit), from, &given).await;
        assert_eq!(status, expected, "{hop_limit} {from} {given:?}");
    }
}

#[tokio::test]
async fn the_machine_tells_what_it_is() {
    let above = Arc::new(Above::default());
    *above.gives.lock().unwrap() = Some(Ok(None));
    let service = service(Some(above), 2);
    let token = token(&service).await;
    for (path, expected) in [
        ("/latest/", "dynamic\nmeta-data"),
        (
            "/latest/meta-data/",
            "hostname\ninstance-id\ninstance-life-cycle\nlocal-hostname\nlocal-ipv4\nplacement/\nservices/",
        ),
        ("/latest/meta-data/placement/availability-zone", "eu-west-1b"),
        ("/latest/meta-data/placement/region", "eu-west-1"),
        ("/latest/meta-data/local-ipv4", "10.0.0.7"),
        ("/latest/meta-data/hostname", "ip-10-0-0-7.eu-west-1.compute.internal"),
        ("/latest/meta-data/services/domain", "amazonaws.com"),
    ] {
        assert_eq!(get(&service, &token, path, NOW).await, (StatusCode::OK, expected.to_owned()), "{path}");
    }
    let (_, document) = get(&service, &token, "/latest/dynamic/instance-identity/document", NOW).await;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!((&document["instanceId"], &document["region"]), (&"i-0123".into(), &"eu-west-1".into()));
    for path in
        ["/latest/meta-data/iam/info", "/latest/meta-data/nothing", "/latest/user-data", "/other", "/latestx"]
    {
        assert_eq!(get(&service, &token, path, NOW).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    let given = headers(&[("x-aws-ec2-metadata-token", &token)]);
    let now = Timestamp::from_millis(NOW);
    let posted =
        service.answer(&Method::POST, "/latest/meta-data/", &given, MACHINE.parse().unwrap(), now).await;
    assert_eq!(posted.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn credentials_are_those_of_the_role_and_renewed_before_they_end() {
    const HOUR: i64 = 3600;
    let above = Arc::new(Above::default());
    let gives = |outcome| *above.gives.lock().unwrap() = Some(outcome);
    gives(Ok(Some(role("ASIA1", 6 * HOUR))));
    let service = service(Some(Arc::clone(&above)), 2);
    let token = token(&service).await;
    let list = "/latest/meta-data/iam/security-credentials/";
    assert_eq!(get(&service, &token, list, NOW).await.1, "node");
    let key = async |at: i64| {
        let (status, body) = get(&service, &token, &format!("{list}node"), NOW + at * 1000).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        (status, body["AccessKeyId"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(key(1).await, (StatusCode::OK, "ASIA1".to_owned()));
    assert_eq!(get(&service, &token, &format!("{list}other"), NOW).await.0, StatusCode::NOT_FOUND);
    let (_, info) = get(&service, &token, "/latest/meta-data/iam/info", NOW).await;
    assert!(info.contains("arn:aws:iam::000000000000:instance-profile/node"), "{info}");
    assert_eq!(*above.asked.lock().unwrap(), [None], "asked once for all of these");
    // Those that last are kept; those that end are not.
    key(2 * HOUR).await;
    assert_eq!(above.asked.lock().unwrap().last().unwrap().as_deref(), Some("ASIA1"));
    gives(Ok(Some(role("ASIA2", 12 * HOUR))));
    assert_eq!(key(6 * HOUR - 600).await.1, "ASIA2");
    assert_eq!(*above.asked.lock().unwrap().last().unwrap(), None);
    // A control plane that is away takes nothing away, until the credentials have ended.
    gives(Err(ControlError::Unavailable("away".to_owned())));
    assert_eq!(key(11 * HOUR).await, (StatusCode::OK, "ASIA2".to_owned()));
    assert_eq!(key(12 * HOUR).await.0, StatusCode::SERVICE_UNAVAILABLE);
    // One that says no does.
    gives(Err(ControlError::Refused { code: "AccessDenied".to_owned(), message: "no".to_owned() }));
    assert_eq!(key(13 * HOUR).await.0, StatusCode::NOT_FOUND);
}
