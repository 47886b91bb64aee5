use std::collections::{BTreeMap, HashSet};

use aws_shapes_elbv2::{
    DeregisterTargetsInput, DescribeTargetHealthInput, ProtocolEnum, RegisterTargetsInput, TargetDescription,
    TargetHealthReasonEnum, TargetHealthStateEnum, TargetTypeEnum,
};
use routing::report::{Health as Measured, HealthReason, HealthState, TargetReport};

use super::Lab;
use crate::services::{
    ec2::records::Subnet,
    elbv2::{
        health::{Health, Place, State},
        instances,
        records::{Target, target_key},
        target_calls,
        targets::{self, Report, TargetId},
        upkeep,
    },
    testing::{refused, scope, text},
};

/// An address in the first subnet, and one in the third, whose zone no load balancer here has.
fn addresses(lab: &Lab) -> (String, String) {
    let view = lab.state().view();
    let address = |number: usize| {
        let subnet = view.get::<Subnet>(&scope(), &lab.subnets[number]).unwrap();
        subnet.cidr.nth(100).unwrap().to_string()
    };
    (address(0), address(2))
}

fn target(id: &str) -> TargetId {
    TargetId { id: id.to_owned(), port: None, zone: None }
}

impl Lab {
    async fn register(&self, group: &str, id: &str) {
        let done = self
            .state()
            .transact(|tx| targets::register(tx, &scope(), group, &target(id), self.fixture.now()));
        done.await.unwrap();
    }

    async fn deregister(&self, group: &str, id: &str) {
        let done = self
            .state()
            .transact(|tx| targets::deregister(tx, &scope(), group, &target(id), self.fixture.now()));
        done.await.unwrap();
    }

    fn health(&self, group: &str, id: &str) -> Health {
        let board = &self.fixture.services.target_health;
        targets::health(&self.state().view(), board, &scope(), group, &target(id), self.fixture.now())
    }

    async fn report(&self, group: &str, id: &str, state: HealthState, generation: u64, drained: bool) {
        let health = Measured { state, reason: None, description: None };
        let (target_group_arn, target_id) = (group.to_owned(), id.to_owned());
        let registration = self.registration(group, id);
        let one = TargetReport { target_group_arn, target_id, port: 80, registration, health, drained };
        let report = Report { generation, targets: vec![one], listening: HashSet::new() };
        targets::apply_report(&self.fixture.services, report).await.unwrap();
    }

    /// Of the target as it is registered now.
    fn registration(&self, group: &str, id: &str) -> u64 {
        let key = target_key(group.rsplit_once("targetgroup/").unwrap().1, id, 80);
        self.state().view().get::<Target>(&scope(), &key).map_or(0, |target| target.registration)
    }

    fn generation(&self) -> u64 {
        u64::try_from(self.state().revision()).unwrap()
    }
}

#[tokio::test]
async fn a_target_is_unused_then_initial_then_as_measured_then_draining_then_gone() {
    let lab = Lab::new().await;
    let group = lab.group("group").await;
    let (id, elsewhere) = addresses(&lab);
    assert_eq!(lab.health(&group, &id).state, State::Absent);
    lab.register(&group, &id).await;
    lab.register(&group, &elsewhere).await;
    assert_eq!(lab.health(&group, &id).reason.as_deref(), Some("Target.NotInUse"));
    let balancer = lab.balancer("web").await;
    lab.listener(&balancer, 80, &group).await;
    assert_eq!(lab.health(&group, &id).reason.as_deref(), Some("Elb.RegistrationInProgress"));
    let apart = lab.health(&group, &elsewhere);
    assert_eq!(apart.state, State::Unused);
    assert!(apart.description.unwrap().contains("Availability Zone that is not enabled"));

    let mut changes = lab.fixture.services.target_health.subscribe();
    lab.report(&group, &id, HealthState::Healthy, lab.generation(), false).await;
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    assert_eq!(lab.health(&group, &id), Health::healthy());
    lab.report(&group, &id, HealthState::Healthy, lab.generation(), false).await;
    assert!(!changes.has_changed().unwrap(), "the same again is no change");

    lab.deregister(&group, &id).await;
    assert_eq!(lab.health(&group, &id).state, State::Draining);
    let known = lab.generation();
    lab.report(&group, &id, HealthState::Draining, known, true).await;
    assert_eq!(lab.health(&group, &id).state, State::Absent);
}

#[tokio::test]
async fn who_takes_a_targets_address_over_has_to_be_measured_anew() {
    let lab = Lab::new().await;
    let group = lab.group("group").await;
    let balancer = lab.balancer("web").await;
    lab.listener(&balancer, 80, &group).await;
    let (id, _) = addresses(&lab);
    lab.register(&group, &id).await;
    lab.report(&group, &id, HealthState::Healthy, lab.generation(), false).await;
    lab.register(&group, &id).await;
    assert_eq!(lab.health(&group, &id), Health::healthy(), "registered already: nothing is new");
    // While the first drains still, and after it is gone.
    lab.deregister(&group, &id).await;
    lab.register(&group, &id).await;
    assert_eq!(lab.health(&group, &id).state, State::Initial);
    lab.report(&group, &id, HealthState::Healthy, lab.generation(), false).await;
    lab.deregister(&group, &id).await;
    lab.fixture.pass(301_000);
    upkeep::end_drained(&lab.fixture.services, lab.fixture.now()).await.unwrap();
    lab.register(&group, &id).await;
    assert_eq!(lab.health(&group, &id).state, State::Initial);
}

#[tokio::test]
async fn a_report_about_an_earlier_registration_ends_no_later_one() {
    let lab = Lab::new().await;
    let group = lab.group("group").await;
    let balancer = lab.balancer("web").await;
    lab.listener(&balancer, 80, &group).await;
    let (id, _) = addresses(&lab);
    lab.register(&group, &id).await;
    lab.deregister(&group, &id).await;
    let old = lab.generation();
    lab.register(&group, &id).await;
    lab.deregister(&group, &id).await;
    lab.report(&group, &id, HealthState::Draining, old, true).await;
    assert_eq!(lab.health(&group, &id).state, State::Draining);
}

#[tokio::test]
async fn draining_ends_with_the_delay() {
    let lab = Lab::new().await;
    let group = lab.group("group").await;
    let balancer = lab.balancer("web").await;
    lab.listener(&balancer, 80, &group).await;
    let (id, _) = addresses(&lab);
    lab.register(&group, &id).await;
    lab.deregister(&group, &id).await;
    let services = &lab.fixture.services;
    let next = upkeep::end_drained(services, lab.fixture.now()).await.unwrap();
    assert_eq!(next, Some(lab.fixture.now() + std::time::Duration::from_secs(300)));
    assert_eq!(lab.health(&group, &id).state, State::Draining);
    lab.fixture.pass(300_000);
    assert_eq!(lab.health(&group, &id).state, State::Absent);
    assert_eq!(upkeep::end_drained(services, lab.fixture.now()).await.unwrap(), None);
    assert!(lab.state().view().scan::<crate::services::elbv2::records::Target>(&scope()).next().is_none());
}

#[tokio::test]
async fn from_a_group_that_nobody_uses_a_target_goes_at_once() {
    let lab = Lab::new().await;
    let group = lab.group("group").await;
    let (id, _) = addresses(&lab);
    lab.register(&group, &id).await;
    lab.deregister(&group, &id).await;
    assert_eq!(lab.health(&group, &id).state, State::Absent);
}

#[tokio::test]
async fn weights_are_set_and_read() {
    let lab = Lab::new().await;
    let (blue, green) = (lab.group("blue").await, lab.group("green").await);
    let balancer = lab.balancer("web").await;
    let listener = lab.listener(&balancer, 80, &blue).await;
    let set = lab.state().transact(|tx| {
        targets::set_weights(tx, &scope(), &listener, &[(blue.clone(), 90), (green.clone(), 10)])
    });
    set.await.unwrap();
    let view = lab.state().view();
    let now = targets::weights(&view, &scope(), &listener);
    assert_eq!(now, Some(vec![(blue.clone(), 90), (green.clone(), 10)]));
    let found = targets::lookup(&view, &scope(), &green).unwrap();
    assert_eq!(found.listener_arns, std::slice::from_ref(&listener));
    assert_eq!(found.load_balancer_arns, [balancer.load_balancer_arn.unwrap()]);
    let unknown = lab.state().transact(|tx| targets::set_weights(tx, &scope(), &format!("{listener}0"), &[]));
    refused(unknown.await, "ListenerNotFound", "not found");
}

#[tokio::test]
async fn the_api_registers_checks_and_describes() {
    let lab = Lab::new().await;
    let group = lab.group("group").await;
    let (id, _) = addresses(&lab);
    let describe = |id: &str, zone: Option<&str>| TargetDescription {
        id: text(id),
        availability_zone: zone.map(str::to_owned),
        ..TargetDescription::default()
    };
    let register = async |group: &str, one: TargetDescription| {
        let input = RegisterTargetsInput { target_group_arn: text(group), targets: Some(vec![one]) };
        target_calls::register(lab.fixture.call(), input).await
    };
    register(&group, describe(&id, None)).await.unwrap();
    refused(register(&group, describe("i-1", None)).await, "InvalidTarget", "not a valid IPv4 address");
    refused(register(&group, describe("10.99.0.1", None)).await, "InvalidTarget", "outside the VPC");
    refused(register(&group, describe("8.8.8.8", Some("all"))).await, "InvalidTarget", "private range");
    register(&group, describe("10.99.0.1", Some("all"))).await.unwrap();
    let health = async |wanted: Option<Vec<TargetDescription>>| {
        let input =
            DescribeTargetHealthInput { target_group_arn: text(&group), targets: wanted, include: None };
        target_calls::health(lab.fixture.call(), input).await.unwrap().target_health_descriptions.unwrap()
    };
    assert_eq!(health(None).await.len(), 2);
    let unknown = health(Some(vec![describe("10.99.0.2", None)])).await.remove(0).target_health.unwrap();
    assert_eq!(unknown.state, Some(TargetHealthStateEnum::Unused));
    assert_eq!(unknown.reason, Some(TargetHealthReasonEnum::TargetNotRegistered));
    let input = DeregisterTargetsInput {
        target_group_arn: text(&group),
        targets: Some(vec![describe(&id, None), describe("10.99.0.1", None)]),
    };
    target_calls::deregister(lab.fixture.call(), input).await.unwrap();
    assert!(health(None).await.is_empty());
    refused(
        register("arn:none", describe(&id, None)).await,
        "ValidationError",
        "not a valid target group ARN",
    );
}

#[tokio::test]
async fn instances_are_those_that_agents_registered() {
    let lab = Lab::new().await;
    let mut request = lab.group_request("group", ProtocolEnum::Http);
    request.target_type = Some(TargetTypeEnum::Instance);
    let group = lab.make_group(request).await.target_group_arn.unwrap();
    let register = async || {
        let one = TargetDescription { id: text("i-1"), port: Some(49_153), ..TargetDescription::default() };
        let input = RegisterTargetsInput { target_group_arn: text(&group), targets: Some(vec![one]) };
        target_calls::register(lab.fixture.call(), input).await
    };
    refused(register().await, "InvalidTarget", "not in a running state");
    instances::registered(&lab.fixture, "i-1").await;
    register().await.unwrap();
}

#[test]
fn a_measurement_keeps_its_reason() {
    let measured = Measured {
        state: HealthState::Unhealthy,
        reason: Some(HealthReason::ResponseCodeMismatch),
        description: Some("Health checks failed with these codes: [502]".to_owned()),
    };
    let health = Health::from(measured);
    assert_eq!(health.reason.as_deref(), Some("Target.ResponseCodeMismatch"));
    let board = crate::services::elbv2::health::Board::default();
    assert!(board.listens("arn"), "before any node has spoken");
    let place = Place { target_group_arn: "group".into(), id: "1".into(), port: 80, registration: 1 };
    board.replace(BTreeMap::from([(place.clone(), health.clone())]), HashSet::new());
    assert_eq!(board.of(&place), Some(health));
    assert_eq!(
        board.of(&Place { registration: 2, ..place }),
        None,
        "of another registration nothing is known"
    );
    assert!(!board.listens("arn"));
}
