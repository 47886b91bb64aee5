use aws_shapes_elbv2::{
    CreateTargetGroupInput, DeleteTargetGroupInput, DescribeTargetGroupsInput, Matcher,
    ModifyTargetGroupAttributesInput, ModifyTargetGroupInput, ProtocolEnum, TargetGroupAttribute,
    TargetTypeEnum,
};

use super::Lab;
use crate::services::{
    elbv2::{attribute_calls, groups},
    testing::{refused, text},
};

#[tokio::test]
async fn health_checks_have_defaults_by_protocol() {
    let lab = Lab::new().await;
    let check = async |change: &dyn Fn(&mut CreateTargetGroupInput), expected: &str| {
        let mut input = lab.group_request("group", ProtocolEnum::Http);
        change(&mut input);
        let made = lab.make_group(input).await;
        let matcher = made.matcher.unwrap_or_default();
        let shown = format!(
            "{} {} {} {}/{} {}/{} {}",
            made.health_check_protocol.unwrap(),
            made.health_check_port.unwrap(),
            made.health_check_path.unwrap_or_else(|| "-".into()),
            made.health_check_interval_seconds.unwrap(),
            made.health_check_timeout_seconds.unwrap(),
            made.healthy_threshold_count.unwrap(),
            made.unhealthy_threshold_count.unwrap(),
            matcher.http_code.or(matcher.grpc_code).unwrap_or_else(|| "-".into()),
        );
        assert_eq!(shown, expected);
        let input = DeleteTargetGroupInput { target_group_arn: made.target_group_arn };
        groups::delete(lab.fixture.call(), input).await.unwrap();
    };
    check(&|_| {}, "HTTP traffic-port / 30/5 5/2 200").await;
    check(&|one| one.protocol_version = text("GRPC"), "HTTP traffic-port /AWS.ALB/healthcheck 30/5 5/2 12")
        .await;
    check(&|one| one.protocol = Some(ProtocolEnum::Tcp), "TCP traffic-port - 30/10 5/2 -").await;
    let http = |one: &mut CreateTargetGroupInput| {
        one.protocol = Some(ProtocolEnum::Udp);
        one.health_check_protocol = Some(ProtocolEnum::Http);
    };
    check(&http, "HTTP traffic-port / 30/6 5/2 200-399").await;
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let lab = Lab::new().await;
    let check = async |change: &dyn Fn(&mut CreateTargetGroupInput), code: &str, fragment: &str| {
        let mut input = lab.group_request("group", ProtocolEnum::Http);
        change(&mut input);
        refused(groups::create(lab.fixture.call(), input).await, code, fragment);
    };
    check(&|one| one.port = None, "ValidationError", "A port must be specified").await;
    check(&|one| one.protocol = None, "ValidationError", "A protocol must be specified").await;
    check(&|one| one.vpc_id = text("vpc-0"), "ValidationError", "The VPC ID 'vpc-0' is not found").await;
    check(&|one| one.name = text("a_b"), "ValidationError", "alphanumeric").await;
    let lambda = Some(TargetTypeEnum::Lambda);
    check(&|one| one.target_type = lambda, "InvalidConfigurationRequest", "'lambda'").await;
    let geneve = Some(ProtocolEnum::Geneve);
    check(&|one| one.protocol = geneve, "InvalidConfigurationRequest", "'GENEVE'").await;
    let tcp = Some(ProtocolEnum::Tcp);
    check(&|one| one.health_check_protocol = tcp, "InvalidConfigurationRequest", "'TCP' is not supported")
        .await;
    check(&|one| one.health_check_enabled = Some(false), "ValidationError", "must be true").await;
    let slow = |one: &mut CreateTargetGroupInput| {
        one.health_check_interval_seconds = Some(10);
        one.health_check_timeout_seconds = Some(10);
    };
    check(&slow, "ValidationError", "'10' must be smaller than the interval '10'").await;
    let codes = |one: &mut CreateTargetGroupInput| {
        one.matcher = Some(Matcher { http_code: text("200-599"), grpc_code: None });
    };
    check(&codes, "ValidationError", "'200-499'").await;
}

#[tokio::test]
async fn a_group_in_use_is_not_deleted() {
    let lab = Lab::new().await;
    let balancer = lab.balancer("web").await;
    let group = lab.group("group").await;
    lab.listener(&balancer, 80, &group).await;
    let input = DeleteTargetGroupInput { target_group_arn: text(&group) };
    let answer = groups::delete(lab.fixture.call(), input).await;
    refused(answer, "ResourceInUse", "is currently in use by a listener or a rule");
    let of = DescribeTargetGroupsInput {
        load_balancer_arn: balancer.load_balancer_arn.clone(),
        ..Default::default()
    };
    let shown = groups::describe(lab.fixture.call(), of).await.unwrap().target_groups.unwrap();
    assert_eq!(shown[0].target_group_arn, text(&group));
    assert_eq!(shown[0].load_balancer_arns, balancer.load_balancer_arn.map(|arn| vec![arn]));
    let unknown = DescribeTargetGroupsInput { names: Some(vec!["none".into()]), ..Default::default() };
    refused(groups::describe(lab.fixture.call(), unknown).await, "TargetGroupNotFound", "One or more");
}

#[tokio::test]
async fn checks_and_attributes_can_be_changed_within_their_limits() {
    let lab = Lab::new().await;
    let group = lab.group("group").await;
    let input = ModifyTargetGroupInput {
        target_group_arn: text(&group),
        health_check_path: text("/health"),
        health_check_port: text("8080"),
        matcher: Some(Matcher { http_code: text("200-204"), grpc_code: None }),
        ..ModifyTargetGroupInput::default()
    };
    let changed = groups::modify(lab.fixture.call(), input).await.unwrap().target_groups.unwrap().remove(0);
    assert_eq!(changed.health_check_path, text("/health"));
    assert_eq!(changed.health_check_port, text("8080"));
    assert_eq!(changed.health_check_interval_seconds, Some(30));
    let set = async |pairs: &[(&str, &str)]| {
        let attributes =
            pairs.iter().map(|(key, value)| TargetGroupAttribute { key: text(key), value: text(value) });
        let input = ModifyTargetGroupAttributesInput {
            target_group_arn: text(&group),
            attributes: Some(attributes.collect()),
        };
        attribute_calls::modify_target_group(lab.fixture.call(), input).await
    };
    set(&[("deregistration_delay.timeout_seconds", "10"), ("stickiness.enabled", "true")]).await.unwrap();
    let invalid = "InvalidConfigurationRequest";
    refused(set(&[("deregistration_delay.timeout_seconds", "3601")]).await, invalid, "'0' and '3600'");
    refused(set(&[("slow_start.duration_seconds", "29")]).await, invalid, "'30' and '900'");
    refused(set(&[("proxy_protocol_v2.enabled", "true")]).await, "ValidationError", "is not recognized");
    refused(set(&[("stickiness.type", "app_cookie")]).await, invalid, "cookie name must be specified");
    refused(
        set(&[("stickiness.type", "source_ip")]).await,
        invalid,
        "not supported for target groups with the HTTP",
    );
    let both = [("slow_start.duration_seconds", "30"), ("load_balancing.algorithm.type", "weighted_random")];
    refused(set(&both).await, invalid, "Slow start");
}

#[tokio::test]
async fn targets_see_clients_where_that_is_possible() {
    use aws_shapes_elbv2::{DescribeTargetGroupAttributesInput, TargetTypeEnum::*};

    let lab = Lab::new().await;
    let check =
        async |name: &str, kind: TargetTypeEnum, protocol: ProtocolEnum, default: &str, other: bool| {
            let mut input = lab.group_request(name, protocol);
            input.target_type = Some(kind);
            let arn = lab.make_group(input).await.target_group_arn;
            let input = DescribeTargetGroupAttributesInput { target_group_arn: arn.clone() };
            let shown = attribute_calls::describe_target_group(lab.fixture.call(), input).await.unwrap();
            let key = "preserve_client_ip.enabled";
            let shown: Vec<_> =
                shown.attributes.unwrap().into_iter().filter(|one| one.key == text(key)).collect();
            assert_eq!(shown[0].value, text(default), "{name}");
            let value = if default == "true" { "false" } else { "true" };
            let input = ModifyTargetGroupAttributesInput {
                target_group_arn: arn.clone(),
                attributes: Some(vec![TargetGroupAttribute { key: text(key), value: text(value) }]),
            };
            let set = attribute_calls::modify_target_group(lab.fixture.call(), input).await;
            if other {
                set.unwrap();
            } else {
                refused(set, "InvalidConfigurationRequest", key);
            }
            let services = &lab.fixture.services;
            let all = crate::services::elbv2::configuration::configuration(services, &services.state.view());
            let told = all.target_groups.iter().find(|group| Some(&group.arn) == arn.as_ref()).unwrap();
            assert_eq!(told.attributes.preserve_client_address, other || default == "true", "{name}");
        };
    check("tcp", Ip, ProtocolEnum::Tcp, "false", true).await;
    check("tls", Ip, ProtocolEnum::Tls, "false", true).await;
    check("udp", Ip, ProtocolEnum::Udp, "true", false).await;
    check("both", Ip, ProtocolEnum::TcpUdp, "true", false).await;
    check("instances", Instance, ProtocolEnum::Tcp, "false", false).await;
    check("datagrams", Instance, ProtocolEnum::Udp, "false", false).await;
}
