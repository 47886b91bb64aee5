//! What is changed of a gateway that services are behind already, what is left of what was replaced, and what the audit trail says.

use aws_shapes_cloudtrail as cloudtrail;
use aws_shapes_iam as iam;

use super::*;
use crate::services::{
    acm,
    ecs::{ingress::Acting, services::records::Service as ServiceRecord},
    iam::inline,
};

fn test_rules() -> ecs::GatewayAlbTestTrafficRules {
    let header = ecs::GatewayTestTrafficHeader { name: text("x-test"), values: Some(vec!["yes".to_owned()]) };
    ecs::GatewayAlbTestTrafficRules { header: Some(header) }
}

fn with_test_rules() -> ecs::UpdateGatewayRequest {
    let alb =
        ecs::UpdateGatewayAlbConfiguration { test_traffic_rules: Some(test_rules()), ..Default::default() };
    ecs::UpdateGatewayRequest {
        gateway: text("edge"),
        configuration: Some(ecs::UpdateGatewayConfiguration { host_shared_alb: Some(alb) }),
        ..Default::default()
    }
}

/// A policy of what may not be done.
fn denied(action: &str, resource: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Action":"{action}","Resource":"{resource}"}}]}}"#
    )
}

impl Fixture {
    /// From now on the gateways' role may not do it.
    pub(in crate::services::ecs::tests) async fn role_may_not(&self, action: &str, resource: &str) {
        let input = iam::PutRolePolicyRequest {
            role_name: text("infrastructure"),
            policy_name: text("denied"),
            policy_document: text(&denied(action, resource)),
        };
        inline::put_role(self.call(), input).await.unwrap();
    }

    pub(in crate::services::ecs::tests) async fn role_may_all(&self) {
        let input =
            iam::DeleteRolePolicyRequest { role_name: text("infrastructure"), policy_name: text("denied") };
        inline::delete_role(self.call(), input).await.unwrap();
    }

    async fn without_gateways(&self) {
        let without = ecs::UpdateServiceRequest { gateway_connectors: Some(vec![]), ..updated("web") };
        self.update_service(without).await.unwrap();
        self.served(is_stable).await;
    }

    /// The target group that gets all of what the rule forwards.
    fn behind(&self, rule: &Option<String>) -> Option<String> {
        let mut all = self.weights_of(rule);
        all.retain(|(_, weight)| *weight > 0);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0).0
    }

    fn rules(&self) -> usize {
        self.services
            .state
            .read(|view| view.scan::<Listener>(&scope()).map(|(_, listener)| listener.rules.len()).sum())
    }

    fn route(&self) -> std::sync::Arc<Route> {
        self.services.state.read(|view| view.scan::<Route>(&scope()).next().unwrap().1)
    }

    /// Weights of the first and of the second target group.
    fn weights_of(&self, rule: &Option<String>) -> Vec<(Option<String>, u16)> {
        let view = self.services.state.view();
        let all = crate::services::elbv2::targets::weights(&view, &scope(), rule.as_ref().unwrap()).unwrap();
        let mut all: Vec<_> = all.into_iter().map(|(arn, weight)| (Some(arn), weight)).collect();
        all.sort();
        all
    }

    async fn updated_gateway(&self, input: ecs::UpdateGatewayRequest) {
        self.on_gateways::<ecs::UpdateGateway>(input).await.unwrap();
        // What the update began, or what it would have left to the upkeep.
        self.swept().await;
        assert_eq!(self.gateway_named("edge").await.status, Some(ecs::GatewayStatus::UpdateComplete));
    }

    /// The events of that name: who asked, on whose behalf, and the error.
    pub(in crate::services::ecs::tests) async fn trail(&self, name: &str) -> Vec<serde_json::Value> {
        let attribute = cloudtrail::LookupAttribute {
            attribute_key: Some(cloudtrail::LookupAttributeKey::EventName),
            attribute_value: text(name),
        };
        let input = cloudtrail::LookupEventsRequest {
            lookup_attributes: Some(vec![attribute]),
            ..Default::default()
        };
        let found = self.ask::<cloudtrail::LookupEvents>(cloudtrail::SERVICE, input).await;
        let events = found.events.unwrap().into_iter();
        events.map(|event| serde_json::from_str(&event.cloud_trail_event.unwrap()).unwrap()).collect()
    }
}

#[tokio::test]
async fn the_first_test_rule_reaches_the_routes_that_are_there() {
    let fixture = edge(|_| {}).await;
    fixture.create_service(shifting(&fixture)).await.unwrap();
    fixture.served(is_stable).await;
    let again = ecs::UpdateServiceRequest { force_new_deployment: Some(true), ..updated("web") };
    fixture.update_service(again).await.unwrap();
    fixture.served(is_stable).await;
    assert_eq!(fixture.route().parts.test_rule, None);
    fixture.updated_gateway(with_test_rules()).await;
    let parts = fixture.route().parts.clone();
    assert!(parts.test_rule.is_some());
    assert_eq!(fixture.behind(&parts.rule), parts.alternate, "not what a new rule begins with");
    assert_eq!(fixture.weights_of(&parts.test_rule), fixture.weights_of(&parts.rule), "as users' requests");
    // Once is enough.
    fixture.updated_gateway(with_test_rules()).await;
    assert_eq!(fixture.route().parts, parts);
    // The next deployment shifts test traffic too, though the revision before knew of no such rule.
    let before = fixture.weights_of(&parts.rule);
    let again = ecs::UpdateServiceRequest { force_new_deployment: Some(true), ..updated("web") };
    fixture.update_service(again).await.unwrap();
    fixture.served(|_| fixture.weights_of(&parts.rule) != before).await;
    assert_ne!(fixture.weights_of(&parts.test_rule), before);
    fixture.served(is_stable).await;
    assert_eq!(fixture.weights_of(&parts.test_rule), fixture.weights_of(&parts.rule));
}

#[tokio::test]
async fn a_first_test_rule_during_a_deployment_leads_to_the_new_revision() {
    let fixture = edge(|_| {}).await;
    fixture.create_service(shifting(&fixture)).await.unwrap();
    fixture.served(is_stable).await;
    let pause = ecs::DeploymentLifecycleHook {
        target_type: Some(ecs::DeploymentLifecycleHookTargetType::Pause),
        lifecycle_stages: Some(vec![ecs::DeploymentLifecycleHookStage::PostTestTrafficShift]),
        ..Default::default()
    };
    let mut configuration = shifting(&fixture).deployment_configuration.unwrap();
    configuration.lifecycle_hooks = Some(vec![pause]);
    let again = ecs::UpdateServiceRequest {
        force_new_deployment: Some(true),
        deployment_configuration: Some(configuration),
        ..updated("web")
    };
    fixture.update_service(again).await.unwrap();
    let stage = || {
        let of = |service: &ServiceRecord| service.state.rollout.as_ref().and_then(|rollout| rollout.stage);
        fixture.services.state.read(|view| view.scan::<ServiceRecord>(&scope()).find_map(|(_, it)| of(&it)))
    };
    fixture.served(|_| stage() == Some(deployment::Stage::PostTestTrafficShift)).await;
    fixture.updated_gateway(with_test_rules()).await;
    let parts = fixture.route().parts.clone();
    assert_eq!(fixture.behind(&parts.rule), parts.target_group);
    assert_eq!(fixture.behind(&parts.test_rule), parts.alternate);
}

#[tokio::test]
async fn a_test_rule_that_is_not_the_routes_is_not_left_behind() {
    let fixture = edge(|_| {}).await;
    fixture.create_service(shifting(&fixture)).await.unwrap();
    fixture.served(is_stable).await;
    let again = ecs::UpdateServiceRequest { force_new_deployment: Some(true), ..updated("web") };
    fixture.update_service(again).await.unwrap();
    fixture.served(is_stable).await;
    let seen = fixture.route();
    // A rule that cannot get its weights is none.
    fixture.role_may_not("elasticloadbalancing:ModifyRule", "*").await;
    fixture.on_gateways::<ecs::UpdateGateway>(with_test_rules()).await.unwrap();
    fixture.swept().await;
    let gateway = fixture.gateway_named("edge").await;
    assert_eq!(gateway.status, Some(ecs::GatewayStatus::UpdateFailed));
    assert_eq!((fixture.rules(), &fixture.route().parts), (1, &seen.parts));
    fixture.role_may_all().await;
    fixture.updated_gateway(with_test_rules()).await;
    let route = fixture.route();
    assert_eq!(fixture.behind(&route.parts.test_rule), route.parts.alternate);
    // Somebody who still sees the route without it, and has another header in mind.
    let (call, view) = (fixture.call(), fixture.services.state.view());
    let gateway = view.scan::<gateways::records::Gateway>(&scope()).next().unwrap().1;
    let listener = gateway.balancers[0].listener.clone().unwrap();
    drop(view);
    let acting =
        Acting::begin(&call, &gateway.role_arn, &gateway.arn(&scope()), &Default::default()).unwrap();
    let values = ["yes".to_owned()];
    let header = ("x-other", values.as_slice());
    let kept = gateways::connect::first_test_rule(&acting, &seen, &listener, header).await.unwrap();
    assert_eq!(kept, route.parts.test_rule);
    assert_eq!((fixture.rules(), &fixture.route().parts), (2, &route.parts));
}

#[tokio::test]
async fn a_certificate_that_the_role_may_not_delete_keeps_no_load_balancer() {
    let fixture = edge(|_| {}).await;
    fixture.create_service(connected(&fixture, "web", 0)).await.unwrap();
    // Of a listener that another gateway had.
    let other = fixture.services.state.read(|view| {
        let own = view.scan::<Certificate>(&scope()).next().unwrap().1;
        Certificate { id: "00000000-0000-0000-0000-000000000000".to_owned(), ..(*own).clone() }
    });
    let put = fixture.services.state.transact(|tx| {
        tx.put(&scope(), &other.id, other.clone());
        Ok::<_, ApiError>(())
    });
    put.await.unwrap();
    fixture.role_may_not("acm:DeleteCertificate", &other.arn(&scope())).await;
    fixture.pass(20 * 60 * 1000);
    fixture.without_gateways().await;
    fixture.swept().await;
    assert_eq!(fixture.stands(), (0, 0, 0, 1, 0));
}

#[tokio::test]
async fn a_refusal_that_goes_on_is_one_event() {
    let fixture = edge(|_| {}).await;
    fixture.create_service(connected(&fixture, "web", 0)).await.unwrap();
    let denied = [
        ("elasticloadbalancing:DeleteRule", "DeleteRule"),
        ("elasticloadbalancing:DeleteLoadBalancer", "DeleteLoadBalancer"),
    ];
    fixture.role_may_not(denied[0].0, "*").await;
    fixture.without_gateways().await;
    for (action, name) in denied {
        fixture.role_may_not(action, "*").await;
        for _ in 0..3 {
            let refused = gateways::sweep(&fixture.services, fixture.now()).await.unwrap_err();
            assert!(refused.message.contains(name), "{}", refused.message);
            fixture.pass(60 * 1000);
        }
        let events = fixture.trail(name).await;
        let refusals = events.iter().filter(|event| event["errorCode"] == "AccessDeniedException");
        assert_eq!(refusals.count(), 1, "{name}");
    }
    fixture.role_may_all().await;
    fixture.swept().await;
    assert_eq!(fixture.stands(), (0, 0, 0, 0, 0));
}

#[tokio::test]
async fn the_certificate_that_a_listener_had_goes_with_the_load_balancer() {
    let fixture = edge(|_| {}).await;
    fixture.create_service(connected(&fixture, "web", 0)).await.unwrap();
    let (listener, arn) = fixture.services.state.read(|view| {
        let listener = view.scan::<Listener>(&scope()).next().unwrap().1;
        let arn = listener.arn(&scope());
        (listener, arn)
    });
    let requested = ::aws_shapes_acm::RequestCertificateRequest {
        domain_name: text("shop.example.com"),
        ..Default::default()
    };
    let own = acm::request(fixture.call(), requested).await.unwrap().certificate_arn;
    assert_ne!(listener.certificate, own);
    let replaced = elbv2::ModifyListenerInput {
        listener_arn: text(&arn),
        certificates: Some(vec![elbv2::Certificate { certificate_arn: own.clone(), ..Default::default() }]),
        ..Default::default()
    };
    fixture.ask::<elbv2::ModifyListener>(elbv2::SERVICE, replaced).await;
    fixture.pass(20 * 60 * 1000);
    let without = ecs::UpdateServiceRequest { gateway_connectors: Some(vec![]), ..updated("web") };
    fixture.update_service(without).await.unwrap();
    fixture.served(is_stable).await;
    fixture.swept().await;
    let left = fixture.services.state.read(|view| {
        view.scan::<Certificate>(&scope()).map(|(_, one)| one.arn(&scope())).collect::<Vec<_>>()
    });
    assert_eq!(Some(left), own.map(|own| vec![own]), "the user's stays, ECS's goes");
    assert_eq!(fixture.stands().0, 0);
}

#[tokio::test]
async fn what_ecs_does_in_the_role_is_in_the_trail() {
    let fixture = edge(|_| {}).await;
    fixture.create_service(connected(&fixture, "web", 0)).await.unwrap();
    for name in
        ["CreateLoadBalancer", "CreateListener", "CreateTargetGroup", "CreateRule", "RequestCertificate"]
    {
        let events = fixture.trail(name).await;
        let [event] = events.as_slice() else { panic!("{name}: {events:#?}") };
        let identity = &event["userIdentity"];
        assert_eq!(
            (&identity["type"], &identity["invokedBy"]),
            (&"AssumedRole".into(), &"ecs.amazonaws.com".into())
        );
        let arn = identity["arn"].as_str().unwrap();
        assert!(arn.contains(":assumed-role/infrastructure/"), "{arn}");
        assert_eq!(event["sourceIPAddress"], "ecs.amazonaws.com");
        assert!(event["requestParameters"].is_object() && event["errorCode"].is_null(), "{event:#}");
    }
    assert_eq!(fixture.trail("CreateSecurityGroup").await.len(), 2);
    let without = ecs::UpdateServiceRequest { gateway_connectors: Some(vec![]), ..updated("web") };
    fixture.update_service(without).await.unwrap();
    fixture.served(is_stable).await;
    fixture.swept().await;
    assert_eq!(fixture.trail("DeleteLoadBalancer").await.len(), 1);
}

#[tokio::test]
async fn what_the_role_may_not_is_in_the_trail_as_refused() {
    let fixture = fixture().await;
    service_role(&fixture, "infrastructure", "ecs.amazonaws.com", &[]).await;
    fixture.register(named_port("app")).await.unwrap();
    fixture.gateway(wanted(&fixture, "edge")).await.unwrap();
    fixture.joined("edge").await;
    let answer = fixture.create_service(connected(&fixture, "web", 0)).await;
    refused(answer, "AccessDeniedException", "ec2:CreateSecurityGroup");
    let events = fixture.trail("CreateSecurityGroup").await;
    assert_eq!(events[0]["errorCode"], "AccessDeniedException", "{events:#?}");
}
