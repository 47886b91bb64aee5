use std::net::IpAddr;

use aws_shapes_elbv2::{
    Certificate, CreateRuleInput, ModifyTargetGroupAttributesInput, ProtocolEnum, RuleCondition,
    TargetGroupAttribute,
};
use routing::config;

use super::{Lab, forward};
use crate::services::{
    acm,
    elbv2::{attribute_calls, configuration, listeners, rules, targets},
    testing::{scope, text},
};

#[tokio::test]
async fn the_node_is_told_everything_with_its_defaults() {
    let lab = Lab::new().await;
    let group = lab.group("group").await;
    let balancer = lab.balancer("web").await;
    let certificate = acm::tests::imported(&lab.fixture).await;
    let mut input = lab.listener_request(&balancer, 443, &group);
    input.protocol = Some(ProtocolEnum::Https);
    input.certificates = Some(vec![Certificate { certificate_arn: text(&certificate), is_default: None }]);
    let made = listeners::create(lab.fixture.call(), input).await.unwrap();
    let listener = made.listeners.unwrap().remove(0).listener_arn;
    let condition = RuleCondition {
        field: text("host-header"),
        values: Some(vec!["*.example.com".to_owned()]),
        ..RuleCondition::default()
    };
    let input = CreateRuleInput {
        listener_arn: listener,
        priority: Some(7),
        conditions: Some(vec![condition]),
        actions: Some(vec![forward(&group)]),
        ..CreateRuleInput::default()
    };
    rules::create(lab.fixture.call(), input).await.unwrap();
    let attribute = TargetGroupAttribute { key: text("stickiness.enabled"), value: text("true") };
    let input = ModifyTargetGroupAttributesInput {
        target_group_arn: text(&group),
        attributes: Some(vec![attribute]),
    };
    attribute_calls::modify_target_group(lab.fixture.call(), input).await.unwrap();
    let view = lab.state().view();
    let subnet = view.get::<crate::services::ec2::records::Subnet>(&scope(), &lab.subnets[0]).unwrap();
    let address = subnet.cidr.nth(9).unwrap();
    let target = targets::TargetId { id: address.to_string(), port: Some(8080), zone: None };
    let put = lab.state().transact(|tx| targets::register(tx, &scope(), &group, &target, lab.fixture.now()));
    put.await.unwrap();

    let view = lab.state().view();
    let told = configuration::configuration(&lab.fixture.services, &view);
    assert_eq!(told.generation, u64::try_from(view.revision()).unwrap());
    let [one] = told.load_balancers.as_slice() else { panic!("{:?}", told.load_balancers) };
    assert_eq!(one.attributes, config::LoadBalancerAttributes::default());
    assert_eq!(one.interfaces.len(), 2);
    assert!(one.interfaces.iter().all(|one| one.public_address.is_some() && one.security_groups.len() == 1));
    let [listener] = one.listeners.as_slice() else { panic!("{:?}", one.listeners) };
    assert_eq!(listener.attributes, config::ListenerAttributes::default());
    let [shown] = listener.certificates.as_slice() else { panic!("{listener:?}") };
    assert!(shown.private_key_pem.expose().contains("PRIVATE KEY"));
    assert!(!format!("{told:?}").contains("PRIVATE KEY"));
    let rule = &listener.rules[0];
    assert_eq!(rule.priority, 7);
    assert_eq!(
        rule.conditions,
        [config::Condition::Host(vec![config::Pattern::Wildcard("*.example.com".to_owned())])]
    );
    assert_eq!(rule.outcome.action, listener.default.action);
    let [told_group] = told.target_groups.as_slice() else { panic!("{:?}", told.target_groups) };
    assert_eq!(told_group.attributes.stickiness, config::Stickiness::LoadBalancerCookie { seconds: 86_400 });
    assert_eq!(
        told_group.targets,
        [config::Target {
            id: address.to_string(),
            address: IpAddr::V4(address),
            port: 8080,
            zone: text(&subnet.availability_zone),
            draining: false,
            registration: told_group.targets[0].registration,
        }]
    );
    assert_eq!(configuration::names(&view)[0].0, balancer.dns_name.unwrap());
}
