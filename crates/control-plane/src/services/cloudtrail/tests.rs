//! What is recorded, what is hidden, what is found again, and what happens when the disk takes nothing.

use aws_schema::Operation;
use aws_shapes_cloudtrail::{LookupAttribute, LookupAttributeKey, LookupEventsRequest};
use aws_shapes_ecs as ecs;
use aws_shapes_iam as iam;
use aws_shapes_sts as sts;
use serde_json::{Value, json};
use vocabulary::Timestamp;

use super::*;
use crate::{
    gateway::{Answer, ApiError, OverTls, Principal},
    services::{
        iam::testing::{role_session, user},
        testing::{Fixture, NOW, text},
    },
};

fn parts() -> http::request::Parts {
    let address: std::net::SocketAddr = "192.0.2.7:50000".parse().unwrap();
    let request = http::Request::builder().header("user-agent", "aws-cli/2.31").header("host", "door:4566");
    let mut request = request.body(()).unwrap();
    request.extensions_mut().insert(address);
    request.extensions_mut().insert(OverTls);
    request.into_parts().0
}

/// Records one call as the gateway does.
async fn record<O: Operation>(
    fixture: &Fixture,
    service: &'static aws_schema::ServiceTable,
    who: &Principal,
    input: O::Input,
    result: Result<O::Output, ApiError>,
) {
    use aws_schema::Shape;
    let services = &fixture.services;
    let mut recording = Recording::begin(services, (service, O::TABLE), &parts(), fixture.now(), "request");
    recording.caller(who, &"us-east-1".parse().unwrap());
    recording.asked(&input.into_value());
    recording.take_place(services).await.unwrap();
    recording.end(services, &result.map(|output| Answer::Value(output.into_value())));
}

async fn look_up(fixture: &Fixture, key: LookupAttributeKey, value: &str) -> Vec<Value> {
    let attribute = LookupAttribute { attribute_key: Some(key), attribute_value: text(value) };
    let input = LookupEventsRequest { lookup_attributes: Some(vec![attribute]), ..Default::default() };
    let found = lookup::events(fixture.call(), input).await.unwrap().events.unwrap();
    found
        .iter()
        .map(|event| serde_json::from_str(event.cloud_trail_event.as_ref().unwrap()).unwrap())
        .collect()
}

#[tokio::test]
async fn a_call_becomes_an_event_of_the_published_shape() {
    let fixture = Fixture::new().await;
    let ann = user(&fixture, "ann", &[]).await;
    let input = ecs::CreateClusterRequest { cluster_name: text("web"), ..Default::default() };
    let output = ecs::CreateClusterResponse {
        cluster: Some(ecs::Cluster { cluster_name: text("web"), ..Default::default() }),
    };
    record::<ecs::CreateCluster>(&fixture, ecs::SERVICE, &ann, input, Ok(output)).await;
    let found = look_up(&fixture, LookupAttributeKey::EventName, "CreateCluster").await;
    let [event] = found.as_slice() else { panic!("{found:?}") };
    let expected = json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": ann.user_id,
            "arn": "arn:aws:iam::000000000000:user/ann",
            "accountId": "000000000000",
            "accessKeyId": ann.access_key,
            "userName": "ann",
        },
        "eventTime": "2024-10-04T12:00:00Z",
        "eventSource": "ecs.amazonaws.com",
        "eventName": "CreateCluster",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "192.0.2.7",
        "userAgent": "aws-cli/2.31",
        "requestParameters": {"clusterName": "web"},
        "responseElements": {"cluster": {"clusterName": "web"}},
        "requestID": "request",
        "eventID": event["eventID"],
        "readOnly": false,
        "eventType": "AwsApiCall",
        "apiVersion": "2014-11-13",
        "managementEvent": true,
        "recipientAccountId": "000000000000",
        "eventCategory": "Management",
        "tlsDetails": {"clientProvidedHostHeader": "door:4566"},
    });
    assert_eq!(*event, expected);
}

#[tokio::test]
async fn every_kind_of_caller_is_told_apart() {
    let fixture = Fixture::new().await;
    let session = role_session(&fixture, "app", &[]).await;
    let root = fixture.call().principal.clone();
    for who in [&session, &root] {
        record::<sts::GetCallerIdentity>(
            &fixture,
            sts::SERVICE,
            who,
            Default::default(),
            Ok(Default::default()),
        )
        .await;
    }
    let services = &fixture.services;
    let stranger = Recording::begin(
        services,
        (sts::SERVICE, sts::GetCallerIdentity::TABLE),
        &parts(),
        fixture.now(),
        "r",
    );
    stranger.end(services, &Err(ApiError::undeclared("MissingAuthenticationToken", 403, "Missing")));
    let found = look_up(&fixture, LookupAttributeKey::EventName, "GetCallerIdentity").await;
    let of = |kind: &str| {
        found
            .iter()
            .find(|event| event["userIdentity"]["type"] == kind)
            .unwrap_or_else(|| panic!("{kind}: {found:?}"))
    };
    let role = &of("AssumedRole")["userIdentity"];
    assert_eq!(role["sessionContext"]["sessionIssuer"]["arn"], "arn:aws:iam::000000000000:role/app");
    assert_eq!(role["sessionContext"]["sessionIssuer"]["userName"], "app");
    assert_eq!(of("Root")["userIdentity"]["principalId"], "000000000000");
    assert_eq!(of("Unknown")["errorCode"], "MissingAuthenticationToken");
    assert!(found.iter().all(|event| event["readOnly"] == true && event["responseElements"].is_null()));
}

#[tokio::test]
async fn secrets_do_not_get_into_the_trail() {
    let fixture = Fixture::new().await;
    let root = fixture.call().principal.clone();
    let key = iam::CreateAccessKeyResponse {
        access_key: Some(iam::AccessKey {
            access_key_id: text("AKIAEXAMPLE"),
            secret_access_key: text("TOPSECRET-1"),
            ..Default::default()
        }),
    };
    record::<iam::CreateAccessKey>(&fixture, iam::SERVICE, &root, Default::default(), Ok(key)).await;
    let login = iam::CreateLoginProfileRequest {
        user_name: text("ann"),
        password: text("TOPSECRET-2"),
        ..Default::default()
    };
    record::<iam::CreateLoginProfile>(&fixture, iam::SERVICE, &root, login, Ok(Default::default())).await;
    let variable = ecs::KeyValuePair { name: text("PASSWORD"), value: text("TOPSECRET-3") };
    let definition = ecs::RegisterTaskDefinitionRequest {
        family: text("web"),
        container_definitions: Some(vec![ecs::ContainerDefinition {
            name: text("app"),
            environment: Some(vec![variable.clone()]),
            ..Default::default()
        }]),
        ..Default::default()
    };
    record::<ecs::RegisterTaskDefinition>(&fixture, ecs::SERVICE, &root, definition, Ok(Default::default()))
        .await;
    let run = ecs::RunTaskRequest {
        overrides: Some(ecs::TaskOverride {
            container_overrides: Some(vec![ecs::ContainerOverride {
                environment: Some(vec![variable]),
                ..Default::default()
            }]),
            ..Default::default()
        }),
        task_definition: text("web"),
        ..Default::default()
    };
    record::<ecs::RunTask>(&fixture, ecs::SERVICE, &root, run, Ok(Default::default())).await;
    let parameter = aws_shapes_ssm::PutParameterRequest {
        name: text("/a"),
        value: text("TOPSECRET-4"),
        ..Default::default()
    };
    record::<aws_shapes_ssm::PutParameter>(
        &fixture,
        aws_shapes_ssm::SERVICE,
        &root,
        parameter,
        Ok(Default::default()),
    )
    .await;
    let secret = aws_shapes_secretsmanager::CreateSecretRequest {
        name: text("db"),
        secret_string: text("TOPSECRET-5"),
        secret_binary: Some(b"TOPSECRET-6".to_vec()),
        ..Default::default()
    };
    record::<aws_shapes_secretsmanager::CreateSecret>(
        &fixture,
        aws_shapes_secretsmanager::SERVICE,
        &root,
        secret,
        Ok(Default::default()),
    )
    .await;
    let assumed = sts::AssumeRoleResponse {
        credentials: Some(sts::Credentials {
            access_key_id: text("ASIAEXAMPLE"),
            secret_access_key: text("TOPSECRET-7"),
            session_token: text("TOPSECRET-8"),
            ..Default::default()
        }),
        ..Default::default()
    };
    record::<sts::AssumeRole>(&fixture, sts::SERVICE, &root, Default::default(), Ok(assumed)).await;
    let found = lookup::events(fixture.call(), Default::default()).await.unwrap().events.unwrap();
    assert_eq!(found.len(), 7);
    for event in &found {
        let text = event.cloud_trail_event.as_ref().unwrap();
        assert!(!text.contains("TOPSECRET"), "{text}");
    }
    let one = |name: &str| {
        let event = found.iter().find(|event| event.event_name.as_deref() == Some(name)).unwrap();
        serde_json::from_str::<Value>(event.cloud_trail_event.as_ref().unwrap()).unwrap()
    };
    // What is hidden is still seen to have been there.
    assert_eq!(one("CreateLoginProfile")["requestParameters"]["password"], redact::HIDDEN);
    assert_eq!(one("CreateAccessKey")["responseElements"]["accessKey"]["accessKeyId"], "AKIAEXAMPLE");
    let environment =
        &one("RegisterTaskDefinition")["requestParameters"]["containerDefinitions"][0]["environment"];
    // The model marks the whole of it.
    assert_eq!(*environment, redact::HIDDEN);
}

#[tokio::test]
async fn events_are_found_by_attribute_time_and_page() {
    let fixture = Fixture::new().await;
    let ann = user(&fixture, "ann", &[]).await;
    for index in 0..5 {
        fixture.pass(1000);
        let name = format!("c{index}");
        let input = ecs::CreateClusterRequest { cluster_name: text(&name), ..Default::default() };
        record::<ecs::CreateCluster>(&fixture, ecs::SERVICE, &ann, input, Ok(Default::default())).await;
        let input = ecs::DescribeClustersRequest { clusters: Some(vec![name]), ..Default::default() };
        record::<ecs::DescribeClusters>(&fixture, ecs::SERVICE, &ann, input, Ok(Default::default())).await;
    }
    let ask = |input: LookupEventsRequest| {
        let call = fixture.call();
        async move {
            let answer = lookup::events(call, input).await.unwrap();
            let names = answer.events.unwrap().into_iter().map(|event| {
                let names =
                    event.resources.unwrap().into_iter().filter_map(|resource| resource.resource_name);
                format!("{} {}", event.event_name.unwrap(), names.collect::<Vec<_>>().join(","))
            });
            (names.collect::<Vec<_>>(), answer.next_token)
        }
    };
    let with = |key, value: &str| {
        let attribute = LookupAttribute { attribute_key: Some(key), attribute_value: text(value) };
        LookupEventsRequest { lookup_attributes: Some(vec![attribute]), ..Default::default() }
    };
    // Newest first.
    let (names, _) = ask(with(LookupAttributeKey::ReadOnly, "false")).await;
    assert_eq!(
        names,
        ["CreateCluster c4", "CreateCluster c3", "CreateCluster c2", "CreateCluster c1", "CreateCluster c0"]
    );
    let (names, _) = ask(with(LookupAttributeKey::ResourceName, "c3")).await;
    assert_eq!(names, ["CreateCluster c3"]);
    assert_eq!(ask(with(LookupAttributeKey::Username, "ann")).await.0.len(), 10);
    assert_eq!(ask(with(LookupAttributeKey::Username, "bob")).await.0.len(), 0);
    assert_eq!(ask(with(LookupAttributeKey::EventSource, "ecs.amazonaws.com")).await.0.len(), 10);
    assert_eq!(ask(with(LookupAttributeKey::AccessKeyId, &ann.access_key)).await.0.len(), 10);
    let at = |seconds: i64| Some(aws_schema::Timestamp::from_millis(NOW + seconds * 1000));
    let window = LookupEventsRequest {
        start_time: at(2),
        end_time: at(3),
        ..with(LookupAttributeKey::EventName, "CreateCluster")
    };
    assert_eq!(ask(window).await.0, ["CreateCluster c2", "CreateCluster c1"]);
    let mut seen = Vec::new();
    let mut token = None;
    for _ in 0..10 {
        let page = LookupEventsRequest {
            max_results: Some(2),
            next_token: token.take(),
            ..with(LookupAttributeKey::EventName, "CreateCluster")
        };
        let (names, next) = ask(page).await;
        assert!(names.len() <= 2);
        seen.extend(names);
        token = next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(
        seen,
        ["CreateCluster c4", "CreateCluster c3", "CreateCluster c2", "CreateCluster c1", "CreateCluster c0"]
    );
    let wrong = |input| lookup::events(fixture.call(), input);
    let error = wrong(LookupEventsRequest { start_time: at(3), end_time: at(2), ..Default::default() })
        .await
        .unwrap_err();
    assert_eq!(error.code, "InvalidTimeRangeException");
    let error =
        wrong(LookupEventsRequest { next_token: text("made up"), ..Default::default() }).await.unwrap_err();
    assert_eq!(error.code, "InvalidNextTokenException");
}

#[tokio::test]
async fn accounts_do_not_see_each_others_events() {
    let fixture = Fixture::new().await;
    let other = Principal::root(&"111111111111".parse().unwrap(), "111111111111");
    record::<sts::GetCallerIdentity>(
        &fixture,
        sts::SERVICE,
        &other,
        Default::default(),
        Ok(Default::default()),
    )
    .await;
    assert_eq!(
        look_up(&fixture, LookupAttributeKey::EventName, "GetCallerIdentity").await,
        Vec::<Value>::new()
    );
}

#[tokio::test]
async fn events_go_after_ninety_days() {
    let fixture = Fixture::new().await;
    let root = fixture.call().principal.clone();
    record::<sts::GetCallerIdentity>(
        &fixture,
        sts::SERVICE,
        &root,
        Default::default(),
        Ok(Default::default()),
    )
    .await;
    fixture.services.trail.settle().await;
    let days = |days: i64| Timestamp::from_millis(NOW + days * 86_400_000);
    fixture.services.trail.forget(days(89)).await.unwrap();
    assert_eq!(look_up(&fixture, LookupAttributeKey::EventName, "GetCallerIdentity").await.len(), 1);
    fixture.services.trail.forget(days(92)).await.unwrap();
    assert_eq!(look_up(&fixture, LookupAttributeKey::EventName, "GetCallerIdentity").await.len(), 0);
}

/// A store that is closed takes nothing, as a disk that is full: what changes something is refused, what reads is answered and counted.
#[tokio::test]
async fn what_cannot_be_recorded_changes_nothing() {
    let fixture = Fixture::new().await;
    let services = &fixture.services;
    services.trail.store().close().await.unwrap();
    let root = fixture.call().principal.clone();
    let begin = |operation| {
        let mut recording =
            Recording::begin(services, (ecs::SERVICE, operation), &parts(), fixture.now(), "r");
        recording.caller(&root, &"us-east-1".parse().unwrap());
        recording
    };
    // The writer notices with the first event; from then on there is no queue.
    let mut refused = None;
    for _ in 0..10_000 {
        let mut recording = begin(ecs::CreateCluster::TABLE);
        if let Err(error) = recording.take_place(services).await {
            refused = Some(error);
            break;
        }
        recording.end(services, &Ok(Answer::Value(aws_schema::Value::Structure(Vec::new()))));
        tokio::task::yield_now().await;
    }
    let refused = refused.expect("a refusal");
    assert_eq!((refused.code.as_ref(), refused.status), ("ServiceUnavailable", 503));
    let mut reading = begin(ecs::DescribeClusters::TABLE);
    reading.take_place(services).await.unwrap();
    let before = services.trail.lost();
    reading.end(services, &Ok(Answer::Value(aws_schema::Value::Structure(Vec::new()))));
    assert_eq!(services.trail.lost(), before + 1);
}

#[test]
fn names_tell_what_reads() {
    for (service, operation, reads) in [
        (ecs::SERVICE, "DescribeTasks", true),
        (ecs::SERVICE, "RunTask", false),
        (ecs::SERVICE, "ListTasks", true),
        (sts::SERVICE, "AssumeRole", true),
        (iam::SERVICE, "SimulatePrincipalPolicy", true),
        (iam::SERVICE, "PutRolePolicy", false),
        (aws_shapes_kms::SERVICE, "Decrypt", true),
        (aws_shapes_kms::SERVICE, "ScheduleKeyDeletion", false),
        (aws_shapes_ecr::SERVICE, "BatchGetImage", true),
        (aws_shapes_ecr::SERVICE, "BatchDeleteImage", false),
        (aws_shapes_ecr::SERVICE, "PutImage", false),
    ] {
        assert_eq!(recording::reads(service, operation), reads, "{operation}");
    }
}
