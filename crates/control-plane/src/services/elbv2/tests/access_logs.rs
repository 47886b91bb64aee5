//! Access logs: the bucket has to take them, and what is delivered has AWS's name and form.

use std::io::Read;

use agent_protocol::LogKind;
use aws_shapes_elbv2::{
    LoadBalancerAttribute, ModifyLoadBalancerAttributesInput, ModifyLoadBalancerAttributesOutput,
};
use aws_shapes_s3 as s3;
use flate2::read::GzDecoder;
use vocabulary::Scope;

use super::Lab;
use crate::{
    gateway::ApiError,
    services::{
        elbv2::{access_logs, attribute_calls, balancers},
        s3 as objects,
        testing::{refused, scope, text},
    },
};

async fn switch_on(
    lab: &Lab,
    arn: Option<String>,
    prefix: &str,
) -> Result<ModifyLoadBalancerAttributesOutput, ApiError> {
    let one = |key: &str, value: &str| LoadBalancerAttribute { key: text(key), value: text(value) };
    let input = ModifyLoadBalancerAttributesInput {
        load_balancer_arn: arn,
        attributes: Some(vec![
            one("access_logs.s3.enabled", "true"),
            one("access_logs.s3.bucket", "logs"),
            one("access_logs.s3.prefix", prefix),
        ]),
    };
    attribute_calls::modify_load_balancer(lab.fixture.call(), input).await
}

async fn allow(lab: &Lab, principal: &str, resource: &str) {
    let policy = format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Principal": {principal}, "Action": "s3:PutObject", "Resource": "{resource}"}}]}}"#
    );
    let input =
        s3::PutBucketPolicyRequest { bucket: text("logs"), policy: Some(policy), ..Default::default() };
    objects::put_policy(lab.fixture.call(), input).await.unwrap();
}

fn keys(lab: &Lab, scope: &Scope) -> Vec<String> {
    let _ = scope;
    lab.fixture.services.state.read(|view| {
        let all = view.scan_all::<objects::records::Object>();
        all.map(|found| found.id).collect()
    })
}

#[tokio::test]
async fn the_bucket_has_to_take_them() {
    let lab = Lab::new().await;
    let arn = lab.balancer("web").await.load_balancer_arn;
    let denied = "Access Denied for bucket: logs. Please check S3bucket permission";
    refused(switch_on(&lab, arn.clone(), "").await, "InvalidConfigurationRequest", denied);
    let make = s3::CreateBucketRequest { bucket: text("logs"), ..Default::default() };
    objects::create_bucket(lab.fixture.call(), make).await.unwrap();
    refused(switch_on(&lab, arn.clone(), "").await, "InvalidConfigurationRequest", denied);
    let service = r#"{"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}"#;
    allow(&lab, service, "arn:aws:s3:::logs/other/*").await;
    refused(switch_on(&lab, arn.clone(), "").await, "InvalidConfigurationRequest", denied);
    refused(switch_on(&lab, arn.clone(), "/x/").await, "InvalidConfigurationRequest", "prefix");
    for principal in [service, r#"{"AWS": "arn:aws:iam::127311923021:root"}"#] {
        allow(&lab, principal, "arn:aws:s3:::logs/web/AWSLogs/000000000000/*").await;
        switch_on(&lab, arn.clone(), "web").await.unwrap();
    }
    assert_eq!(keys(&lab, &scope()), ["logs/web/AWSLogs/000000000000/ELBAccessLogTestFile"]);
}

#[tokio::test]
async fn lines_become_a_packed_file_with_the_name_that_tools_look_for() {
    let lab = Lab::new().await;
    let arn = lab.balancer("web").await.load_balancer_arn.unwrap();
    let make = s3::CreateBucketRequest { bucket: text("logs"), ..Default::default() };
    objects::create_bucket(lab.fixture.call(), make).await.unwrap();
    let service = r#"{"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}"#;
    allow(&lab, service, "arn:aws:s3:::logs/AWSLogs/000000000000/*").await;
    switch_on(&lab, Some(arn.clone()), "").await.unwrap();
    let services = &lab.fixture.services;
    let balancer = services.state.read(|view| balancers::see(view, &scope(), &arn)).unwrap();
    let lines = "http first\nhttp second\n".to_owned();
    access_logs::deliver(services, &scope(), &balancer, LogKind::Access, lines.clone(), lab.fixture.now())
        .await
        .unwrap();
    let files: Vec<String> = keys(&lab, &scope()).into_iter().filter(|key| key.ends_with(".gz")).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let id = arn.split_once(":loadbalancer/").unwrap().1.replace('/', ".");
    let start = format!(
        "logs/AWSLogs/000000000000/elasticloadbalancing/us-east-1/2024/10/04/000000000000_elasticloadbalancing_us-east-1_{id}_20241004T1200Z_"
    );
    assert!(file.starts_with(&start), "{file}");
    let key = file.strip_prefix("logs/").unwrap();
    let packed = objects::read_for_the_platform(services, "logs", key).await.unwrap();
    let mut unpacked = String::new();
    GzDecoder::new(packed.as_ref()).read_to_string(&mut unpacked).unwrap();
    assert_eq!(unpacked, lines);
    // Taken away: what comes late goes nowhere.
    allow(&lab, service, "arn:aws:s3:::logs/other/*").await;
    let late =
        access_logs::deliver(services, &scope(), &balancer, LogKind::Access, lines, lab.fixture.now()).await;
    refused(late, "AccessDenied", "");
}

#[tokio::test]
async fn connections_and_network_load_balancers_have_logs_of_their_own() {
    let lab = Lab::new().await;
    let make = s3::CreateBucketRequest { bucket: text("logs"), ..Default::default() };
    objects::create_bucket(lab.fixture.call(), make).await.unwrap();
    let set = async |arn: &str, log: &str| {
        let one = |part: &str, value: &str| LoadBalancerAttribute {
            key: Some(format!("{log}.s3.{part}")),
            value: text(value),
        };
        let input = ModifyLoadBalancerAttributesInput {
            load_balancer_arn: text(arn),
            attributes: Some(vec![one("enabled", "true"), one("bucket", "logs")]),
        };
        attribute_calls::modify_load_balancer(lab.fixture.call(), input).await
    };
    let web = lab.balancer("web").await.load_balancer_arn.unwrap();
    let net = lab.network_balancer("net").await.load_balancer_arn.unwrap();
    let everything = "arn:aws:s3:::logs/*";
    allow(&lab, r#"{"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}"#, everything).await;
    set(&web, "connection_logs").await.unwrap();
    // Another service delivers theirs, and they have no other log.
    refused(set(&net, "access_logs").await, "InvalidConfigurationRequest", "Access Denied for bucket");
    refused(set(&net, "connection_logs").await, "ValidationError", "not recognized");
    allow(&lab, r#"{"Service": "delivery.logs.amazonaws.com"}"#, everything).await;
    set(&net, "access_logs").await.unwrap();
    let tests = keys(&lab, &scope());
    assert_eq!(
        tests,
        [
            "logs/AWSLogs/000000000000/ELBAccessLogTestFile",
            "logs/AWSLogs/000000000000/ELBConnectionLogTestFile"
        ]
    );
    let services = &lab.fixture.services;
    let deliver = async |arn: &str, kind: LogKind| {
        let balancer = services.state.read(|view| balancers::see(view, &scope(), arn)).unwrap();
        access_logs::deliver(services, &scope(), &balancer, kind, "line\n".to_owned(), lab.fixture.now())
            .await
    };
    deliver(&net, LogKind::Access).await.unwrap();
    allow(&lab, r#"{"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}"#, everything).await;
    deliver(&web, LogKind::Connection).await.unwrap();
    // The log of its requests is off: what comes of it goes nowhere.
    deliver(&web, LogKind::Access).await.unwrap();
    let files: Vec<String> = keys(&lab, &scope()).into_iter().filter(|key| key.ends_with(".gz")).collect();
    let folder = "logs/AWSLogs/000000000000/elasticloadbalancing/us-east-1/2024/10/04/";
    let id = |arn: &str| arn.split_once(":loadbalancer/").unwrap().1.replace('/', ".");
    let [network, connections] = files.as_slice() else { panic!("{files:?}") };
    let start = format!("{folder}000000000000_elasticloadbalancing_us-east-1_{}_20241004T1200Z_", id(&net));
    let rest = network.strip_prefix(&start).unwrap_or_else(|| panic!("{network}"));
    assert!(!rest.trim_end_matches(".log.gz").contains('_'), "{rest}");
    let start =
        format!("{folder}conn_log.000000000000_elasticloadbalancing_us-east-1_{}_20241004T1200Z_", id(&web));
    assert!(connections.starts_with(&start), "{connections}");
}
