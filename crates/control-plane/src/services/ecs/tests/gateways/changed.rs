//! What is changed of a gateway that services are behind already, what is left of what was replaced, and what the audit trail says.

use aws_shapes_cloudtrail as cloudtrail;

use super::*;
use crate::services::acm;

fn test_rules() -> ecs::GatewayAlbTestTrafficRules {
    let header = ecs::GatewayTestTrafficHeader { name: text("x-test"), values: Some(vec!["yes".to_owned()]) };
    ecs::GatewayAlbTestTrafficRules { header: Some(header) }
}

impl Fixture {
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
    async fn trail(&self, name: &str) -> Vec<serde_json::Value> {
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
    assert_eq!(fixture.route().parts.test_rule, None);
    let alb =
        ecs::UpdateGatewayAlbConfiguration { test_traffic_rules: Some(test_rules()), ..Default::default() };
    let input = ecs::UpdateGatewayRequest {
        gateway: text("edge"),
        configuration: Some(ecs::UpdateGatewayConfiguration { host_shared_alb: Some(alb) }),
        ..Default::default()
    };
    fixture.updated_gateway(input.clone()).await;
    let parts = fixture.route().parts.clone();
    assert!(parts.test_rule.is_some());
    assert_eq!(fixture.weights_of(&parts.test_rule), fixture.weights_of(&parts.rule), "as users' requests");
    // Once is enough.
    fixture.updated_gateway(input).await;
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
