//! The classic API without a socket between.

use std::time::Duration;

use aws_shapes_elb as elb;
use aws_shapes_elb::{
    ConfigureHealthCheckInput, ConnectionDraining, CreateAccessPointInput,
    CreateAppCookieStickinessPolicyInput, CreateLBCookieStickinessPolicyInput,
    CreateLoadBalancerListenerInput, DeleteAccessPointInput, DeleteLoadBalancerPolicyInput,
    DeregisterEndPointsInput, DescribeAccessPointsInput, DescribeEndPointStateInput,
    DetachLoadBalancerFromSubnetsInput, Instance, Listener, LoadBalancerAttributes,
    ModifyLoadBalancerAttributesInput, RegisterEndPointsInput, SetLoadBalancerPoliciesOfListenerInput,
};
use aws_shapes_s3 as s3;
use routing::config;

use super::{access_logs, attributes, balancers, checks, describe, instances, listeners, policy_calls};
use crate::{
    gateway::ApiError,
    services::{
        ec2::records::NetworkInterface,
        elbv2::{configuration::configuration, instances::registered, upkeep},
        s3 as objects,
        testing::{Fixture, refused, scope, text},
    },
};

fn listener(protocol: &str, port: i32, instance_port: i32) -> Listener {
    Listener {
        protocol: text(protocol),
        load_balancer_port: Some(port),
        instance_port: Some(instance_port),
        ..Listener::default()
    }
}

fn request() -> CreateAccessPointInput {
    CreateAccessPointInput {
        load_balancer_name: text("web"),
        listeners: Some(vec![listener("http", 80, 8080)]),
        availability_zones: Some(vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()]),
        ..CreateAccessPointInput::default()
    }
}

/// A platform with the load balancer `web` and the instance `i-1`.
async fn lab() -> Fixture {
    let fixture = Fixture::new().await;
    balancers::create(fixture.call(), request()).await.unwrap();
    registered(&fixture, "i-1").await;
    fixture
}

async fn shown(fixture: &Fixture) -> elb::LoadBalancerDescription {
    let input = DescribeAccessPointsInput::default();
    let all = describe::load_balancers(fixture.call(), input).await.unwrap();
    all.load_balancer_descriptions.unwrap().remove(0)
}

fn named(id: &str) -> Option<Vec<Instance>> {
    Some(vec![Instance { instance_id: text(id) }])
}

async fn register(fixture: &Fixture, id: &str) -> Result<(), ApiError> {
    let input = RegisterEndPointsInput { load_balancer_name: text("web"), instances: named(id) };
    instances::register_call(fixture.call(), input).await.map(drop)
}

async fn states(fixture: &Fixture) -> Vec<(String, String)> {
    let input = DescribeEndPointStateInput { load_balancer_name: text("web"), instances: None };
    let all = instances::describe_health(fixture.call(), input).await.unwrap().instance_states.unwrap();
    all.into_iter().map(|one| (one.state.unwrap(), one.description.unwrap())).collect()
}

#[tokio::test]
async fn a_load_balancer_is_made_described_and_deleted() {
    let fixture = lab().await;
    let one = shown(&fixture).await;
    assert!(one.dns_name.unwrap().starts_with("web-"));
    assert_eq!(one.scheme, text("internet-facing"));
    assert_eq!(one.availability_zones, Some(vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()]));
    assert_eq!(one.health_check.unwrap().target, text("TCP:8080"));
    let own = one.listener_descriptions.unwrap().remove(0).listener.unwrap();
    assert_eq!((own.protocol, own.instance_protocol), (text("HTTP"), text("HTTP")));
    // The same again is the same; anything else is refused.
    balancers::create(fixture.call(), request()).await.unwrap();
    let other = CreateAccessPointInput { listeners: Some(vec![listener("TCP", 80, 8080)]), ..request() };
    refused(balancers::create(fixture.call(), other).await, "DuplicateLoadBalancerName", "web");
    let interfaces = || fixture.services.state.view().scan::<NetworkInterface>(&scope()).count();
    assert_eq!(interfaces(), 2);
    let detach = DetachLoadBalancerFromSubnetsInput {
        load_balancer_name: text("web"),
        subnets: one.subnets.clone().map(|all| all[..1].to_vec()),
    };
    balancers::detach_from_subnets(fixture.call(), detach).await.unwrap();
    assert_eq!(interfaces(), 1);
    let detach = DetachLoadBalancerFromSubnetsInput { load_balancer_name: text("web"), subnets: one.subnets };
    let answer = balancers::detach_from_subnets(fixture.call(), detach).await;
    assert_eq!(answer.as_ref().err().map(|error| error.status), Some(409));
    refused(answer, "InvalidConfigurationRequest", "all of its subnets");
    let delete = DeleteAccessPointInput { load_balancer_name: text("web") };
    balancers::delete(fixture.call(), delete).await.unwrap();
    assert_eq!(interfaces(), 0);
    let unknown =
        DescribeAccessPointsInput { load_balancer_names: Some(vec!["web".into()]), ..Default::default() };
    refused(describe::load_balancers(fixture.call(), unknown).await, "LoadBalancerNotFound", "web");
}

#[tokio::test]
async fn bad_listeners_are_refused() {
    let fixture = lab().await;
    let check = async |one: Listener, code: &str, fragment: &str| {
        let input =
            CreateLoadBalancerListenerInput { load_balancer_name: text("web"), listeners: Some(vec![one]) };
        refused(listeners::create(fixture.call(), input).await, code, fragment);
    };
    check(listener("HTTP", 80, 9090), "DuplicateListener", "80").await;
    check(listener("UDP", 81, 9090), "UnsupportedProtocol", "'UDP'").await;
    check(listener("HTTPS", 81, 9090), "CertificateNotFound", "certificate").await;
    check(listener("HTTP", 0, 9090), "ValidationError", "between 1 and 65535").await;
    let mut mixed = listener("HTTP", 81, 9090);
    mixed.instance_protocol = text("TCP");
    check(mixed, "InvalidConfigurationRequest", "same layer").await;
    let mut unknown = listener("HTTPS", 81, 9090);
    unknown.ssl_certificate_id = text("arn:aws:acm:us-east-1:000000000000:certificate/1");
    check(unknown, "CertificateNotFound", "not found").await;
}

#[tokio::test]
async fn instances_drain_as_long_as_was_asked_for() {
    let fixture = lab().await;
    refused(register(&fixture, "i-2").await, "InvalidInstance", "i-2");
    register(&fixture, "i-1").await.unwrap();
    assert_eq!(states(&fixture).await[0].0, "OutOfService");
    let draining = Some(ConnectionDraining { enabled: Some(true), timeout: Some(60) });
    let input = ModifyLoadBalancerAttributesInput {
        load_balancer_name: text("web"),
        load_balancer_attributes: Some(LoadBalancerAttributes {
            connection_draining: draining,
            ..Default::default()
        }),
    };
    attributes::modify(fixture.call(), input).await.unwrap();
    let input = DeregisterEndPointsInput { load_balancer_name: text("web"), instances: named("i-1") };
    instances::deregister_call(fixture.call(), input).await.unwrap();
    let now = states(&fixture).await.remove(0);
    assert_eq!(now, ("InService".to_owned(), "Instance deregistration currently in progress.".to_owned()));
    let told = configuration(&fixture.services, &fixture.services.state.view());
    assert!(told.target_groups[0].targets[0].draining);
    let next = upkeep::end_drained(&fixture.services, fixture.now()).await.unwrap();
    assert_eq!(next, Some(fixture.now() + Duration::from_secs(60)));
    fixture.pass(60_000);
    upkeep::end_drained(&fixture.services, fixture.now()).await.unwrap();
    assert!(states(&fixture).await.is_empty());
}

#[tokio::test]
async fn policies_make_clients_stay() {
    let fixture = lab().await;
    let (load_balancer_name, policy_name) = (text("web"), text("sticky"));
    let input = CreateLBCookieStickinessPolicyInput {
        load_balancer_name: load_balancer_name.clone(),
        policy_name: policy_name.clone(),
        cookie_expiration_period: Some(600),
    };
    policy_calls::create_lb_cookie(fixture.call(), input.clone()).await.unwrap();
    refused(policy_calls::create_lb_cookie(fixture.call(), input).await, "DuplicatePolicyName", "sticky");
    let set = async |names: &[&str]| {
        let input = SetLoadBalancerPoliciesOfListenerInput {
            load_balancer_name: text("web"),
            load_balancer_port: Some(80),
            policy_names: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        };
        listeners::set_policies(fixture.call(), input).await
    };
    refused(set(&["none"]).await, "PolicyNotFound", "none");
    set(&["sticky"]).await.unwrap();
    let told = configuration(&fixture.services, &fixture.services.state.view());
    let balancer = &told.load_balancers[0];
    assert_eq!(balancer.kind, config::LoadBalancerKind::Classic);
    let group = &told.target_groups[0];
    assert_eq!(group.attributes.stickiness, config::Stickiness::LoadBalancerCookie { seconds: 600 });
    let config::Action::Forward(forward) = &balancer.listeners[0].default.action else { panic!() };
    assert_eq!(forward.target_groups[0].arn, group.arn);
    let delete = DeleteLoadBalancerPolicyInput { load_balancer_name, policy_name };
    refused(policy_calls::delete(fixture.call(), delete).await, "InvalidConfigurationRequest", "in use");
    let app = CreateAppCookieStickinessPolicyInput {
        load_balancer_name: text("web"),
        policy_name: text("app"),
        cookie_name: text("JSESSIONID"),
    };
    policy_calls::create_app_cookie(fixture.call(), app).await.unwrap();
    refused(set(&["sticky", "app"]).await, "InvalidConfigurationRequest", "Only one stickiness policy");
    let own = shown(&fixture).await.policies.unwrap();
    assert_eq!(own.app_cookie_stickiness_policies.unwrap()[0].cookie_name, text("JSESSIONID"));
}

#[tokio::test]
async fn health_checks_are_read_as_they_are_written() {
    let fixture = lab().await;
    let configure = async |target: &str, timeout: i32| {
        let health_check = Some(elb::HealthCheck {
            target: text(target),
            interval: Some(10),
            timeout: Some(timeout),
            unhealthy_threshold: Some(2),
            healthy_threshold: Some(3),
        });
        let input = ConfigureHealthCheckInput { load_balancer_name: text("web"), health_check };
        checks::configure(fixture.call(), input).await
    };
    for invalid in ["HTTP", "HTTP:80", "TCP:80/", "UDP:80", "TCP:0", "HTTP:x/"] {
        refused(configure(invalid, 5).await, "ValidationError", invalid);
    }
    refused(configure("TCP:80", 10).await, "ValidationError", "less than interval");
    let answer = configure("HTTP:8080/health?deep=1", 5).await.unwrap();
    assert_eq!(answer.health_check.unwrap().target, text("HTTP:8080/health?deep=1"));
    register(&fixture, "i-1").await.unwrap();
    let told = configuration(&fixture.services, &fixture.services.state.view());
    let check = told.target_groups[0].health_check.clone().unwrap();
    assert_eq!((check.path.as_str(), check.port), ("/health?deep=1", config::CheckPort::Fixed(8080)));
    assert_eq!(told.target_groups[0].targets[0].port, 8080);
}

/// A bucket `logs` that takes what the service delivers below this prefix.
async fn bucket(fixture: &Fixture, below: &str) {
    let policy = format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow",
            "Principal": {{"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}},
            "Action": "s3:PutObject", "Resource": "arn:aws:s3:::logs/{below}*"}}]}}"#
    );
    let make = s3::CreateBucketRequest { bucket: text("logs"), ..Default::default() };
    objects::create_bucket(fixture.call(), make).await.unwrap();
    let input =
        s3::PutBucketPolicyRequest { bucket: text("logs"), policy: Some(policy), ..Default::default() };
    objects::put_policy(fixture.call(), input).await.unwrap();
}

#[tokio::test]
async fn access_logs_go_into_a_bucket_that_takes_them() {
    let fixture = lab().await;
    let set = async |log: elb::AccessLog| {
        let input = ModifyLoadBalancerAttributesInput {
            load_balancer_name: text("web"),
            load_balancer_attributes: Some(LoadBalancerAttributes {
                access_log: Some(log),
                ..LoadBalancerAttributes::default()
            }),
        };
        attributes::modify(fixture.call(), input).await
    };
    let log = elb::AccessLog {
        enabled: Some(true),
        s3_bucket_name: text("logs"),
        s3_bucket_prefix: text("classic"),
        emit_interval: None,
    };
    let code = "InvalidConfigurationRequest";
    refused(set(log.clone()).await, code, "Access Denied for bucket: logs");
    bucket(&fixture, "classic/AWSLogs/000000000000/").await;
    refused(set(elb::AccessLog { emit_interval: Some(10), ..log.clone() }).await, code, "5 or 60");
    refused(set(elb::AccessLog { s3_bucket_name: None, ..log.clone() }).await, code, "bucket name");
    refused(set(elb::AccessLog { s3_bucket_prefix: text("/x"), ..log.clone() }).await, code, "prefix");
    refused(set(elb::AccessLog { s3_bucket_prefix: text("other"), ..log.clone() }).await, code, "Denied");
    let shown = set(log.clone()).await.unwrap().load_balancer_attributes.unwrap().access_log.unwrap();
    assert_eq!((shown.enabled, shown.emit_interval), (Some(true), Some(60)));
    assert_eq!((shown.s3_bucket_name, shown.s3_bucket_prefix), (text("logs"), text("classic")));
    set(elb::AccessLog { emit_interval: Some(5), ..log }).await.unwrap();
    let all = configuration(&fixture.services, &fixture.services.state.view());
    let told = all.load_balancers[0].attributes.access_logs.clone().unwrap();
    assert_eq!((&*told.bucket, &*told.prefix, told.interval_minutes), ("logs", "classic", 5));

    // What its data plane says under its name becomes a file that is not packed.
    assert_eq!(access_logs::name_of(&all.load_balancers[0].arn), Some("web"));
    let deliver = async || {
        let lines = "first\nsecond\n".to_owned();
        access_logs::deliver(&fixture.services, &scope(), "web", lines, fixture.now()).await
    };
    deliver().await.unwrap();
    let files = || {
        let all = fixture.services.state.view();
        let keys: Vec<String> = all.scan_all::<objects::records::Object>().map(|found| found.id).collect();
        keys
    };
    let [test, file] = &files()[..] else { panic!("{:?}", files()) };
    assert_eq!(test, "logs/classic/AWSLogs/000000000000/ELBAccessLogTestFile");
    let start = "logs/classic/AWSLogs/000000000000/elasticloadbalancing/us-east-1/2024/10/04/\
                 000000000000_elasticloadbalancing_us-east-1_web_20241004T1200Z_";
    let rest = file.strip_prefix(start).unwrap_or_else(|| panic!("{file}"));
    let (address, word) = rest.split_once('_').expect("an address");
    assert!(address.parse::<std::net::Ipv4Addr>().is_ok() && word.ends_with(".log"), "{rest}");
    let key = file.strip_prefix("logs/").unwrap();
    let content = objects::read_for_the_platform(&fixture.services, "logs", key).await.unwrap();
    assert_eq!(content.as_ref(), b"first\nsecond\n");
    // Switched off, and gone: what comes late goes nowhere.
    set(elb::AccessLog { enabled: Some(false), ..elb::AccessLog::default() }).await.unwrap();
    deliver().await.unwrap();
    let input = DeleteAccessPointInput { load_balancer_name: text("web") };
    balancers::delete(fixture.call(), input).await.unwrap();
    deliver().await.unwrap();
    assert_eq!(files().len(), 2);
}
