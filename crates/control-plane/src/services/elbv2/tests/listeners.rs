use aws_shapes_elbv2::{
    Action, ActionTypeEnum, Certificate, CreateListenerInput, DeleteListenerInput, DescribeListenersInput,
    FixedResponseActionConfig, ModifyListenerInput, MutualAuthenticationAttributes, ProtocolEnum,
    RedirectActionConfig, RedirectActionStatusCodeEnum,
};

use super::{Lab, forward};
use crate::services::{
    acm,
    elbv2::listeners,
    testing::{refused, text},
};

async fn create(
    lab: &Lab,
    input: CreateListenerInput,
) -> Result<aws_shapes_elbv2::Listener, crate::gateway::ApiError> {
    let made = listeners::create(lab.fixture.call(), input).await?;
    Ok(made.listeners.unwrap().remove(0))
}

#[tokio::test]
async fn a_listener_is_made_shown_changed_and_deleted() {
    let lab = Lab::new().await;
    let balancer = lab.balancer("web").await;
    let group = lab.group("group").await;
    let arn = lab.listener(&balancer, 80, &group).await;
    let of = DescribeListenersInput {
        load_balancer_arn: balancer.load_balancer_arn.clone(),
        ..Default::default()
    };
    let shown = listeners::describe(lab.fixture.call(), of.clone()).await.unwrap().listeners.unwrap();
    assert_eq!(shown.len(), 1);
    let action = &shown[0].default_actions.as_ref().unwrap()[0];
    assert_eq!(action.target_group_arn, text(&group));
    assert_eq!(action.forward_config.as_ref().unwrap().target_groups.as_ref().unwrap()[0].weight, Some(1));
    let input = ModifyListenerInput { listener_arn: text(&arn), port: Some(8080), ..Default::default() };
    let changed = listeners::modify(lab.fixture.call(), input).await.unwrap().listeners.unwrap();
    assert_eq!((changed[0].port, changed[0].protocol), (Some(8080), Some(ProtocolEnum::Http)));
    let input = DeleteListenerInput { listener_arn: text(&arn) };
    listeners::delete(lab.fixture.call(), input.clone()).await.unwrap();
    refused(listeners::delete(lab.fixture.call(), input).await, "ListenerNotFound", "not found");
    assert_eq!(listeners::describe(lab.fixture.call(), of).await.unwrap().listeners, Some(Vec::new()));
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let lab = Lab::new().await;
    let balancer = lab.balancer("web").await;
    let group = lab.group("group").await;
    lab.listener(&balancer, 80, &group).await;
    let tcp = lab.make_group(lab.group_request("tcp", ProtocolEnum::Tcp)).await.target_group_arn.unwrap();
    let mut grpc = lab.group_request("grpc", ProtocolEnum::Http);
    grpc.protocol_version = text("GRPC");
    let grpc = lab.make_group(grpc).await.target_group_arn.unwrap();
    let check = async |change: &dyn Fn(&mut CreateListenerInput), code: &str, fragment: &str| {
        let mut input = lab.listener_request(&balancer, 81, &group);
        change(&mut input);
        refused(create(&lab, input).await, code, fragment);
    };
    check(&|one| one.port = Some(80), "DuplicateListener", "already exists on this port").await;
    check(&|one| one.port = None, "ValidationError", "A listener port must be specified").await;
    check(&|one| one.protocol = Some(ProtocolEnum::Tcp), "ValidationError", "must be one of 'HTTP, HTTPS'")
        .await;
    check(
        &|one| one.protocol = Some(ProtocolEnum::Https),
        "ValidationError",
        "A certificate must be specified",
    )
    .await;
    let certificate = Certificate {
        certificate_arn: text("arn:aws:acm:us-east-1:000000000000:certificate/1"),
        is_default: None,
    };
    let https = |one: &mut CreateListenerInput| {
        one.protocol = Some(ProtocolEnum::Https);
        one.certificates = Some(vec![certificate.clone()]);
    };
    check(&https, "CertificateNotFound", "not found").await;
    check(
        &|one| one.certificates = Some(vec![certificate.clone()]),
        "ValidationError",
        "cannot be specified for HTTP",
    )
    .await;
    check(&|one| one.default_actions = Some(vec![forward(&tcp)]), "IncompatibleProtocols", "'TCP'").await;
    check(&|one| one.default_actions = Some(vec![forward(&grpc)]), "ValidationError", "'GRPC'").await;
    check(&|one| one.default_actions = Some(vec![forward("arn:none")]), "TargetGroupNotFound", "arn:none")
        .await;
    let mutual = MutualAuthenticationAttributes { mode: text("verify"), ..Default::default() };
    let invalid = "InvalidConfigurationRequest";
    check(&|one| one.mutual_authentication = Some(mutual.clone()), invalid, "mutual authentication").await;
    let oidc = Action { r#type: Some(ActionTypeEnum::AuthenticateOidc), ..Action::default() };
    check(
        &|one| one.default_actions = Some(vec![oidc.clone()]),
        "InvalidLoadBalancerAction",
        "authenticate-oidc",
    )
    .await;
    let redirect = Action {
        r#type: Some(ActionTypeEnum::Redirect),
        redirect_config: Some(RedirectActionConfig {
            status_code: Some(RedirectActionStatusCodeEnum::Http301),
            ..RedirectActionConfig::default()
        }),
        ..Action::default()
    };
    check(&|one| one.default_actions = Some(vec![redirect.clone()]), "InvalidLoadBalancerAction", "loop")
        .await;
    let two = vec![forward(&group), redirect.clone()];
    let port = |one: &mut CreateListenerInput| {
        let mut actions = two.clone();
        actions[1].redirect_config.as_mut().unwrap().port = text("443");
        one.default_actions = Some(actions);
    };
    check(&port, "TooManyActions", "only one").await;
    // A target group has one load balancer.
    let other = lab.balancer("other").await;
    let answer = create(&lab, lab.listener_request(&other, 80, &group)).await;
    refused(answer, "TargetGroupAssociationLimit", "more than one load balancer");
}

#[tokio::test]
async fn an_https_listener_shows_a_certificate_that_then_is_in_use() {
    let lab = Lab::new().await;
    let balancer = lab.balancer("web").await;
    let group = lab.group("group").await;
    let certificate = acm::tests::imported(&lab.fixture).await;
    let mut input = lab.listener_request(&balancer, 443, &group);
    input.protocol = Some(ProtocolEnum::Https);
    input.certificates = Some(vec![Certificate { certificate_arn: text(&certificate), is_default: None }]);
    let mut unknown = input.clone();
    unknown.ssl_policy = text("none");
    refused(create(&lab, unknown).await, "SSLPolicyNotFound", "'none'");
    let made = create(&lab, input).await.unwrap();
    assert_eq!(made.ssl_policy, text("ELBSecurityPolicy-2016-08"));
    assert_eq!(
        acm::tests::used_by(&lab.fixture, &certificate).await,
        [balancer.load_balancer_arn.clone().unwrap()]
    );
    let deleted = acm::tests::delete(&lab.fixture, &certificate).await;
    refused(deleted, "ResourceInUseException", "in use");
    // As an HTTP listener it shows none, and lets it go.
    let input = ModifyListenerInput {
        listener_arn: made.listener_arn,
        protocol: Some(ProtocolEnum::Http),
        ..ModifyListenerInput::default()
    };
    let changed = listeners::modify(lab.fixture.call(), input).await.unwrap().listeners.unwrap().remove(0);
    assert_eq!((changed.certificates, changed.ssl_policy), (None, None));
    acm::tests::delete(&lab.fixture, &certificate).await.unwrap();
}

#[tokio::test]
async fn listeners_of_network_load_balancers_forward_and_do_nothing_else() {
    let lab = Lab::new().await;
    let balancer = lab.network_balancer("net").await;
    let tcp = lab.make_group(lab.group_request("tcp", ProtocolEnum::Tcp)).await.target_group_arn.unwrap();
    let mut input = lab.listener_request(&balancer, 80, &tcp);
    input.protocol = Some(ProtocolEnum::Tcp);
    create(&lab, input.clone()).await.unwrap();
    let fixed = Action {
        r#type: Some(ActionTypeEnum::FixedResponse),
        fixed_response_config: Some(FixedResponseActionConfig {
            status_code: text("200"),
            ..Default::default()
        }),
        ..Action::default()
    };
    input.port = Some(81);
    input.default_actions = Some(vec![fixed]);
    refused(create(&lab, input.clone()).await, "InvalidLoadBalancerAction", "'forward'");
    input.default_actions = Some(vec![forward(&tcp)]);
    input.protocol = Some(ProtocolEnum::Udp);
    refused(create(&lab, input).await, "IncompatibleProtocols", "'UDP'");
}
