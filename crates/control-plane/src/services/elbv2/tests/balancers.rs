use aws_shapes_elbv2::{
    CreateLoadBalancerInput, DeleteLoadBalancerInput, DescribeLoadBalancerAttributesInput,
    DescribeLoadBalancersInput, IpAddressType, LoadBalancerAttribute, LoadBalancerSchemeEnum,
    LoadBalancerTypeEnum, ModifyLoadBalancerAttributesInput, SetSecurityGroupsInput, SetSubnetsInput,
};

use super::Lab;
use crate::services::{
    ec2::{
        records::{AddressClaim, NetworkInterface, SecurityGroup, global, private_claim},
        state::{OPEN_GROUP, security_groups},
    },
    elbv2::{attribute_calls, balancers},
    testing::{refused, scope, text},
};

fn interfaces(lab: &Lab) -> Vec<NetworkInterface> {
    lab.state().view().scan::<NetworkInterface>(&scope()).map(|(_, one)| (*one).clone()).collect()
}

#[tokio::test]
async fn a_load_balancer_has_an_interface_in_each_zone_until_it_is_deleted() {
    let lab = Lab::new().await;
    let made = lab.balancer("web").await;
    let arn = made.load_balancer_arn.clone().unwrap();
    let key = arn.split("loadbalancer/").nth(1).unwrap();
    assert!(key.starts_with("app/web/"), "{arn}");
    let name = made.dns_name.unwrap();
    assert!(name.starts_with("web-") && name.ends_with(".us-east-1.elb.localhost"), "{name}");
    assert_eq!(made.security_groups.as_ref().map(Vec::len), Some(1));
    let own = interfaces(&lab);
    assert_eq!(own.len(), 2);
    for one in &own {
        assert_eq!(one.description, format!("ELB {key}"));
        assert!(one.requester_managed && one.public.is_some());
        assert_eq!(Some(&one.security_groups), made.security_groups.as_ref());
    }
    let input = DeleteLoadBalancerInput { load_balancer_arn: text(&arn) };
    balancers::delete(lab.fixture.call(), input.clone()).await.unwrap();
    assert!(interfaces(&lab).is_empty());
    let view = lab.state().view();
    for one in &own {
        let claim = private_claim(&one.vpc_id, one.private_address);
        assert!(view.get::<AddressClaim>(&scope(), &claim).is_none());
        let public = one.public.as_ref().unwrap().address.to_string();
        assert!(view.get::<AddressClaim>(&global(), &public).is_none());
    }
    // Deleting what is gone succeeds.
    balancers::delete(lab.fixture.call(), input).await.unwrap();
    let gone = DescribeLoadBalancersInput { load_balancer_arns: Some(vec![arn]), ..Default::default() };
    refused(balancers::describe(lab.fixture.call(), gone).await, "LoadBalancerNotFound", "not found");
}

#[tokio::test]
async fn making_the_same_again_answers_the_same_and_anything_else_is_refused() {
    let lab = Lab::new().await;
    let made = lab.balancer("web").await;
    assert_eq!(lab.balancer("web").await.load_balancer_arn, made.load_balancer_arn);
    assert_eq!(interfaces(&lab).len(), 2);
    let scheme = Some(LoadBalancerSchemeEnum::Internal);
    let other = CreateLoadBalancerInput { scheme, ..lab.request("web") };
    let answer = balancers::create(lab.fixture.call(), other).await;
    refused(answer, "DuplicateLoadBalancerName", "with different settings");
}

#[tokio::test]
async fn bad_requests_are_refused_with_aws_errors() {
    let lab = Lab::new().await;
    let check = async |change: &dyn Fn(&mut CreateLoadBalancerInput), code: &str, fragment: &str| {
        let mut input = lab.request("web");
        change(&mut input);
        refused(balancers::create(lab.fixture.call(), input).await, code, fragment);
    };
    check(&|one| one.name = text("-web"), "ValidationError", "cannot begin or end with a hyphen(-)").await;
    check(&|one| one.name = text(&"a".repeat(33)), "ValidationError", "cannot be longer than '32'").await;
    check(&|one| one.name = text("internal-web"), "ValidationError", "cannot begin with 'internal-'").await;
    check(&|one| one.subnets = None, "ValidationError", "At least two subnets in two different").await;
    let one_subnet = Some(vec![lab.subnets[0].clone()]);
    check(&|one| one.subnets = one_subnet.clone(), "ValidationError", "At least two subnets").await;
    let twice = Some(vec![lab.subnets[0].clone(), lab.subnets[0].clone()]);
    check(&|one| one.subnets = twice.clone(), "InvalidConfigurationRequest", "same Availability Zone").await;
    let unknown = Some(vec!["subnet-0".to_owned(), lab.subnets[0].clone()]);
    check(&|one| one.subnets = unknown.clone(), "SubnetNotFound", "'subnet-0' does not exist").await;
    check(&|one| one.security_groups = Some(vec!["sg-0".into()]), "InvalidSecurityGroup", "sg-0").await;
    let gateway = Some(LoadBalancerTypeEnum::Gateway);
    check(&|one| one.r#type = gateway, "InvalidConfigurationRequest", "gateway load balancers").await;
    let dual = Some(IpAddressType::Dualstack);
    check(&|one| one.ip_address_type = dual, "InvalidConfigurationRequest", "IPv6").await;
    assert!(interfaces(&lab).is_empty());
}

#[tokio::test]
async fn subnets_and_groups_can_be_changed() {
    let lab = Lab::new().await;
    let made = lab.balancer("web").await;
    let arn = made.load_balancer_arn;
    let kept: Vec<String> = interfaces(&lab)
        .into_iter()
        .filter(|one| one.subnet_id == lab.subnets[1])
        .map(|one| one.id)
        .collect();
    let input = SetSubnetsInput {
        load_balancer_arn: arn.clone(),
        subnets: Some(lab.subnets[1..].to_vec()),
        ..SetSubnetsInput::default()
    };
    let zones = balancers::set_subnets(lab.fixture.call(), input).await.unwrap().availability_zones.unwrap();
    assert_eq!(zones.len(), 2);
    let now = interfaces(&lab);
    assert_eq!(now.len(), 2);
    assert!(now.iter().any(|one| one.id == kept[0]));
    assert!(now.iter().all(|one| one.subnet_id != lab.subnets[0]));

    let group = SecurityGroup {
        id: "sg-1".to_owned(),
        vpc_id: lab.vpc_id.clone(),
        name: "web".to_owned(),
        description: String::new(),
        rules: Vec::new(),
        tags: Default::default(),
    };
    let put = lab.state().transact(|tx| {
        tx.put(&scope(), "sg-1", group.clone());
        Ok::<_, crate::gateway::ApiError>(())
    });
    put.await.unwrap();
    let input = SetSecurityGroupsInput {
        load_balancer_arn: arn,
        security_groups: Some(vec!["sg-1".to_owned()]),
        ..SetSecurityGroupsInput::default()
    };
    balancers::set_security_groups(lab.fixture.call(), input).await.unwrap();
    assert!(interfaces(&lab).iter().all(|one| one.security_groups == ["sg-1"]));
}

#[tokio::test]
async fn a_network_load_balancer_without_groups_lets_everything_in() {
    let lab = Lab::new().await;
    let made = lab.network_balancer("net").await;
    assert_eq!(made.security_groups, Some(Vec::new()));
    let groups = security_groups(&lab.state().view());
    let open = groups.iter().find(|group| group.group_id == OPEN_GROUP).unwrap();
    let mut own: Vec<_> = interfaces(&lab).iter().map(|one| one.private_address).collect();
    let mut members = open.member_addresses.clone();
    own.sort();
    members.sort();
    assert_eq!(members, own);
    let input = SetSecurityGroupsInput {
        load_balancer_arn: made.load_balancer_arn,
        security_groups: Some(vec!["sg-1".to_owned()]),
        ..SetSecurityGroupsInput::default()
    };
    let answer = balancers::set_security_groups(lab.fixture.call(), input).await;
    refused(answer, "InvalidConfigurationRequest", "created without any");
}

#[tokio::test]
async fn attributes_have_defaults_and_limits_and_protect() {
    let lab = Lab::new().await;
    let arn = lab.balancer("web").await.load_balancer_arn;
    let set = async |key: &str, value: &str| {
        let attributes = vec![LoadBalancerAttribute { key: text(key), value: text(value) }];
        let input = ModifyLoadBalancerAttributesInput {
            load_balancer_arn: arn.clone(),
            attributes: Some(attributes),
        };
        attribute_calls::modify_load_balancer(lab.fixture.call(), input).await
    };
    let input = DescribeLoadBalancerAttributesInput { load_balancer_arn: arn.clone() };
    let shown = attribute_calls::describe_load_balancer(lab.fixture.call(), input).await.unwrap();
    let idle =
        shown.attributes.unwrap().into_iter().find(|one| one.key == text("idle_timeout.timeout_seconds"));
    assert_eq!(idle.unwrap().value, text("60"));
    refused(
        set("idle_timeout.timeout_seconds", "4001").await,
        "InvalidConfigurationRequest",
        "'1' and '4000'",
    );
    refused(set("no.such", "1").await, "ValidationError", "'no.such' is not recognized");
    refused(set("waf.fail_open.enabled", "true").await, "InvalidConfigurationRequest", "does not support");
    refused(set("access_logs.s3.enabled", "true").await, "InvalidConfigurationRequest", "cannot be empty");
    set("waf.fail_open.enabled", "false").await.unwrap();
    set("idle_timeout.timeout_seconds", "120").await.unwrap();
    set("deletion_protection.enabled", "true").await.unwrap();
    let delete = DeleteLoadBalancerInput { load_balancer_arn: arn.clone() };
    let answer = balancers::delete(lab.fixture.call(), delete.clone()).await;
    refused(answer, "OperationNotPermitted", "deletion protection is enabled");
    set("deletion_protection.enabled", "false").await.unwrap();
    balancers::delete(lab.fixture.call(), delete).await.unwrap();
}

#[tokio::test]
async fn lists_have_pages() {
    let lab = Lab::new().await;
    for number in 0..3 {
        lab.balancer(&format!("web-{number}")).await;
    }
    let page = async |marker: Option<String>| {
        let input = DescribeLoadBalancersInput { page_size: Some(2), marker, ..Default::default() };
        balancers::describe(lab.fixture.call(), input).await
    };
    let first = page(None).await.unwrap();
    assert_eq!(first.load_balancers.unwrap().len(), 2);
    let second = page(first.next_marker).await.unwrap();
    assert_eq!(second.load_balancers.unwrap().len(), 1);
    assert_eq!(second.next_marker, None);
    refused(page(text("forged")).await, "ValidationError", "marker");
}
