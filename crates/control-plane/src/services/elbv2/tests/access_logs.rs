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
