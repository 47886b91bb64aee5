//! Specifications and images for tests.

use agent_protocol::spec::*;
use vocabulary::{AccountId, Seal, Timestamp};

use crate::ports::LocalImage;

pub(crate) fn container_spec(name: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.into(),
        image: format!("{name}:1"),
        runtime_id: format!("id-{name}"),
        essential: true,
        command: Some(vec!["serve".into()]),
        ..ContainerSpec::default()
    }
}

pub(crate) fn task_spec(containers: Vec<ContainerSpec>) -> TaskSpec {
    TaskSpec {
        task_arn: "arn:aws:ecs:us-east-1:000000000000:task/web/t1".into(),
        task_id: "t1".into(),
        cluster_arn: "arn:aws:ecs:us-east-1:000000000000:cluster/web".into(),
        cluster_name: "web".into(),
        account: AccountId::local(),
        region: "us-east-1".parse().unwrap(),
        availability_zone: "us-east-1a".into(),
        family: "hello".into(),
        revision: 3,
        service_name: None,
        launch_type: LaunchType::Fargate,
        cpu_units: Some(256),
        memory_mib: Some(512),
        network_mode: NetworkMode::Awsvpc,
        pid_mode: PidMode::Private,
        ipc_mode: IpcMode::Private,
        network_interface: Some(NetworkInterface {
            interface_id: "eni-1".into(),
            attachment_arn: "arn:attachment".into(),
            vpc_id: "vpc-1".into(),
            subnet_id: "subnet-1".into(),
            mac_address: "02:00:00:00:00:01".parse().unwrap(),
            private_address: [172, 31, 0, 10].into(),
            subnet_cidr: "172.31.0.0/20".parse().unwrap(),
            router_address: [172, 31, 0, 1].into(),
            dns_servers: vec![[172, 31, 0, 2].into()],
            dns_search_domains: vec!["us-east-1.compute.internal".into()],
            private_dns_name: "ip-172-31-0-10.us-east-1.compute.internal".into(),
            public_address: None,
            security_group_ids: vec!["sg-1".into()],
        }),
        task_role: Some(role("cred-1")),
        execution_role: Some(role("exec-1")),
        awaits_secrets: false,
        ephemeral_storage_gib: Some(20),
        volumes: vec![],
        containers,
        created_at: Timestamp::from_millis(1_700_000_000_000),
    }
}

pub(crate) fn role(id: &str) -> RoleCredentials {
    RoleCredentials {
        credentials_id: id.into(),
        role_arn: "arn:aws:iam::000000000000:role/r".into(),
        access_key_id: "ASIAEXAMPLE".into(),
        secret_access_key: "secret".into(),
        session_token: "token".into(),
        expiration: Timestamp::from_millis(1_700_000_003_000),
    }
}

pub(crate) fn local_image() -> LocalImage {
    let config = image_store::ImageConfig { cmd: vec!["run".into()], ..Default::default() };
    LocalImage {
        manifest_digest: "sha256:m".into(),
        config_digest: "sha256:c".into(),
        config,
        lower_dirs: vec!["/layers/1".into()],
    }
}

/// No cipher, but bound to its place and not to be read by the eye.
#[derive(Debug)]
pub(crate) struct Backwards;

impl Seal for Backwards {
    fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        [context.as_bytes(), &[0], plain].concat().into_iter().rev().collect()
    }

    fn open(&self, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let whole: Vec<u8> = sealed.iter().rev().copied().collect();
        whole.strip_prefix([context.as_bytes(), &[0]].concat().as_slice()).map(<[u8]>::to_vec)
    }
}
