use serde_json::json;
use vocabulary::{AccountId, Timestamp};

use crate::{
    AcsMessage, AgentMessage, DecodeError, Sensitive, TelemetryAnswer, TelemetryMessage, acs, call,
    envelope::MAX_MESSAGE_BYTES, spec, state,
};

fn task_spec() -> spec::TaskSpec {
    spec::TaskSpec {
        task_arn: "arn:aws:ecs:us-east-1:000000000000:task/web/0123".into(),
        task_id: "0123".into(),
        cluster_arn: "arn:aws:ecs:us-east-1:000000000000:cluster/web".into(),
        cluster_name: "web".into(),
        account: AccountId::local(),
        region: "us-east-1".parse().unwrap(),
        availability_zone: "us-east-1a".into(),
        family: "hello".into(),
        revision: 3,
        service_name: None,
        launch_type: spec::LaunchType::Fargate,
        cpu_units: Some(256),
        memory_mib: Some(512),
        network_mode: spec::NetworkMode::Awsvpc,
        pid_mode: spec::PidMode::Private,
        ipc_mode: spec::IpcMode::Private,
        network_interface: None,
        task_role: Some(spec::RoleCredentials {
            credentials_id: "c-1".into(),
            role_arn: "arn:aws:iam::000000000000:role/task".into(),
            access_key_id: "ASIAEXAMPLE".into(),
            secret_access_key: "the-secret-key".into(),
            session_token: "the-session-token".into(),
            expiration: Timestamp::from_millis(1),
        }),
        execution_role: None,
        awaits_secrets: false,
        ephemeral_storage_gib: Some(20),
        volumes: vec![spec::Volume { name: "data".into(), source: spec::VolumeSource::Task }],
        containers: vec![spec::ContainerSpec {
            name: "app".into(),
            image: "hello:1".into(),
            runtime_id: "0123-1".into(),
            essential: true,
            secrets: vec![spec::EnvironmentVariable { name: "PASSWORD".into(), value: "hunter2".into() }],
            log: spec::LogConfiguration::Awslogs(spec::Awslogs {
                group: "/ecs/hello".into(),
                region: None,
                stream_prefix: Some("web".into()),
                create_group: true,
                datetime_format: None,
                multiline_pattern: None,
                mode: spec::LogMode::NonBlocking { max_buffer_bytes: 1 << 20 },
            }),
            ..Default::default()
        }],
        created_at: Timestamp::from_millis(1_700_000_000_000),
    }
}

#[test]
fn a_payload_has_the_published_agents_frame() {
    let message = AcsMessage::Payload(acs::PayloadMessage {
        message_id: Some("m-1".into()),
        seq_num: Some(7),
        tasks: Some(vec![acs::Task {
            arn: Some("arn:aws:ecs:us-east-1:000000000000:task/web/0123".into()),
            desired_status: Some("RUNNING".into()),
            cpu: Some(0.25),
            containers: Some(vec![acs::Container {
                entry_point: Some(vec!["sh".into()]),
                ..Default::default()
            }]),
            ..Default::default()
        }]),
        ..Default::default()
    });
    let value: serde_json::Value = serde_json::from_slice(&message.encode()).unwrap();
    assert_eq!(
        value,
        json!({"type": "PayloadMessage", "message": {"messageId": "m-1", "seqNum": 7, "tasks": [
            {"arn": "arn:aws:ecs:us-east-1:000000000000:task/web/0123", "desiredStatus": "RUNNING", "cpu": 0.25,
             "containers": [{"entryPoint": ["sh"]}]}]}})
    );
    assert_eq!(AcsMessage::decode(&message.encode()).unwrap(), message);
}

#[test]
fn the_specification_survives_the_wire() {
    let message = AcsMessage::Payload(acs::PayloadMessage {
        tasks: Some(vec![acs::Task { longshore: Some(Box::new(task_spec())), ..Default::default() }]),
        ..Default::default()
    });
    assert_eq!(AcsMessage::decode(&message.encode()).unwrap(), message);
}

#[test]
fn members_of_later_versions_are_ignored() {
    let frame = br#"{"type":"HeartbeatMessage","message":{"healthy":true,"messageId":"h","mood":"fine"}}"#;
    assert_eq!(
        AcsMessage::decode(frame).unwrap(),
        AcsMessage::Heartbeat(acs::HeartbeatMessage { healthy: Some(true), message_id: Some("h".into()) })
    );
}

#[test]
fn what_cannot_be_read_says_why() {
    assert!(matches!(
        AcsMessage::decode(br#"{"type":"TeaMessage","message":{}}"#),
        Err(DecodeError::UnknownType(name)) if name == "TeaMessage"
    ));
    assert!(matches!(
        AgentMessage::decode(br#"{"type":"PayloadMessage","message":{}}"#),
        Err(DecodeError::UnknownType(_))
    ));
    for frame in [&b"{"[..], b"[]", b"{}", br#"{"type":"AckRequest","message":{"messageId":7}}"#] {
        assert!(matches!(AgentMessage::decode(frame), Err(DecodeError::Malformed(_))), "{frame:?}");
    }
    let large = vec![b' '; MAX_MESSAGE_BYTES + 1];
    assert!(matches!(AcsMessage::decode(&large), Err(DecodeError::TooLarge(_))));
}

#[test]
fn every_kind_of_message_round_trips() {
    let down = [
        AcsMessage::TaskManifest(Default::default()),
        AcsMessage::TaskStopVerificationAck(Default::default()),
        AcsMessage::IamRoleCredentials(Default::default()),
        AcsMessage::AttachTaskNetworkInterfaces(Default::default()),
        AcsMessage::AttachInstanceNetworkInterfaces(Default::default()),
        AcsMessage::ConfirmAttachment(Default::default()),
        AcsMessage::PerformUpdate(Default::default()),
        AcsMessage::StageUpdate(Default::default()),
        AcsMessage::Error(Default::default()),
        AcsMessage::Close(Default::default()),
        AcsMessage::NetworkState(spec::NetworkState {
            generation: 2,
            vpcs: vec![spec::Vpc {
                vpc_id: "vpc-1".into(),
                cidr: "172.31.0.0/16".parse().unwrap(),
                subnets: vec!["172.31.0.0/20".parse().unwrap()],
            }],
            security_groups: vec![spec::SecurityGroup {
                group_id: "sg-1".into(),
                ingress: vec![spec::SecurityRule {
                    protocol: spec::RuleProtocol::Tcp { from_port: 80, to_port: 81 },
                    peer: spec::RulePeer::Cidr("0.0.0.0/0".parse().unwrap()),
                }],
                egress: vec![],
                member_addresses: vec![[172, 31, 0, 5].into()],
            }],
        }),
        AcsMessage::Outcome(call::Outcome {
            number: 7,
            reply: call::Reply::Failed(crate::ControlError::Refused {
                code: "X".into(),
                message: "y".into(),
            }),
        }),
    ];
    for message in down {
        assert_eq!(AcsMessage::decode(&message.encode()).unwrap(), message);
    }
    let up = [
        AgentMessage::Ack(Default::default()),
        AgentMessage::Nack(Default::default()),
        AgentMessage::HeartbeatAck(Default::default()),
        AgentMessage::TaskStopVerification(Default::default()),
        AgentMessage::IamRoleCredentialsAck(Default::default()),
        AgentMessage::Call(Box::new(call::Call {
            number: 7,
            request: call::Request::PutLogs(crate::LogBatch {
                destination: crate::LogDestination {
                    task_arn: "arn:aws:ecs:us-east-1:000000000000:task/c/t".to_owned(),
                    account: AccountId::local(),
                    region: "us-east-1".parse().unwrap(),
                    group: "g".into(),
                    stream: "s".into(),
                    create_group: false,
                },
                events: vec![crate::LogEvent {
                    timestamp: Timestamp::from_millis(5),
                    message: "hello".into(),
                }],
            }),
        })),
    ];
    for message in up {
        assert_eq!(AgentMessage::decode(&message.encode()).unwrap(), message);
    }
}

#[test]
fn telemetry_has_the_published_agents_frames() {
    let frame = br#"{"type":"PublishHealthRequest","message":{"metadata":{"cluster":"c","containerInstance":"i","messageId":"m","fin":true},"tasks":[{"taskArn":"t","containers":[{"containerName":"app","healthStatus":"UNHEALTHY"}]}]}}"#;
    let TelemetryMessage::Health(health) = TelemetryMessage::decode(frame).unwrap() else { panic!("health") };
    assert_eq!(health.tasks[0].containers[0].health_status, state::HealthStatus::Unhealthy);
    assert_eq!(
        TelemetryAnswer::AckHealth(acs::ErrorMessage { message: Some("OK".into()) }).encode(),
        br#"{"type":"AckPublishHealth","message":{"message":"OK"}}"#
    );
    let unknown = br#"{"type":"PublishInstanceStatusRequest","message":{}}"#;
    assert!(matches!(TelemetryMessage::decode(unknown), Err(DecodeError::UnknownType(_))));
}

#[test]
fn debug_shows_no_secret() {
    let text = format!("{:?}", task_spec());
    for secret in ["the-secret-key", "the-session-token", "hunter2"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert_eq!(format!("{:?}", Sensitive::new("x")), "<redacted>");
}

#[test]
fn statuses_are_ordered_as_a_task_lives() {
    use state::TaskStatus::*;
    let order = [Provisioning, Pending, Activating, Running, Deactivating, Stopping, Deprovisioning, Stopped];
    assert!(order.is_sorted_by(|left, right| left < right));
    assert_eq!(serde_json::to_value(Deprovisioning).unwrap(), json!("DEPROVISIONING"));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(frame in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        // What comes out does not matter, only that something does.
        let _ = (AcsMessage::decode(&frame), AgentMessage::decode(&frame));
    }

    #[test]
    fn no_damage_to_a_frame_makes_decoding_panic(at in 0..2000usize, byte in proptest::prelude::any::<u8>()) {
        let task = acs::Task { longshore: Some(Box::new(task_spec())), ..Default::default() };
        let payload = acs::PayloadMessage { tasks: Some(vec![task]), ..Default::default() };
        let mut frame = AcsMessage::Payload(payload).encode();
        let at = at % frame.len();
        frame[at] = byte;
        let _ = AcsMessage::decode(&frame);
        frame.truncate(at);
        proptest::prop_assert!(AcsMessage::decode(&frame).is_err(), "a truncated frame is none");
    }
}
