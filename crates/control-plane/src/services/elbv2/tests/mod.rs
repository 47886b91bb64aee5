//! The API without a socket between, over the default network.

mod access_logs;
mod balancers;
mod capacity;
mod configuration;
mod groups;
mod listeners;
mod rules;
mod targets;
mod trust_stores;

use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::{
    CreateListenerInput, CreateLoadBalancerInput, CreateTargetGroupInput, LoadBalancerTypeEnum, ProtocolEnum,
    TargetTypeEnum,
};
use state_store::State;

use super::{balancers as balancer_calls, groups as group_calls, listeners as listener_calls};
use crate::services::{
    ec2::{networks, records::Subnet},
    testing::{Fixture, scope, text},
};

/// A platform with the default network.
pub struct Lab {
    pub fixture: Fixture,
    pub vpc_id: String,
    /// Ids in the order of their zones.
    pub subnets: Vec<String>,
}

impl Lab {
    pub async fn new() -> Lab {
        let fixture = Fixture::new().await;
        networks::ensure_default(&fixture.services, &scope()).await.unwrap();
        let mut all: Vec<_> =
            fixture.services.state.view().scan::<Subnet>(&scope()).map(|(_, one)| one).collect();
        all.sort_by(|one, other| one.availability_zone.cmp(&other.availability_zone));
        let vpc_id = all[0].vpc_id.clone();
        Lab { fixture, vpc_id, subnets: all.iter().map(|one| one.id.clone()).collect() }
    }

    pub fn state(&self) -> &State {
        &self.fixture.services.state
    }

    pub fn request(&self, name: &str) -> CreateLoadBalancerInput {
        CreateLoadBalancerInput {
            name: text(name),
            subnets: Some(self.subnets[..2].to_vec()),
            ..CreateLoadBalancerInput::default()
        }
    }

    /// An application load balancer in two zones.
    pub async fn balancer(&self, name: &str) -> elbv2::LoadBalancer {
        self.make(self.request(name)).await
    }

    /// A network load balancer in two zones.
    pub async fn network_balancer(&self, name: &str) -> elbv2::LoadBalancer {
        let kind = Some(LoadBalancerTypeEnum::Network);
        self.make(CreateLoadBalancerInput { r#type: kind, ..self.request(name) }).await
    }

    pub async fn make(&self, input: CreateLoadBalancerInput) -> elbv2::LoadBalancer {
        let made = balancer_calls::create(self.fixture.call(), input).await.unwrap();
        made.load_balancers.unwrap().remove(0)
    }

    pub fn group_request(&self, name: &str, protocol: ProtocolEnum) -> CreateTargetGroupInput {
        CreateTargetGroupInput {
            name: text(name),
            protocol: Some(protocol),
            port: Some(80),
            vpc_id: text(&self.vpc_id),
            target_type: Some(TargetTypeEnum::Ip),
            ..CreateTargetGroupInput::default()
        }
    }

    /// The ARN of a new target group for addresses.
    pub async fn group(&self, name: &str) -> String {
        self.make_group(self.group_request(name, ProtocolEnum::Http)).await.target_group_arn.unwrap()
    }

    pub async fn make_group(&self, input: CreateTargetGroupInput) -> elbv2::TargetGroup {
        let made = group_calls::create(self.fixture.call(), input).await.unwrap();
        made.target_groups.unwrap().remove(0)
    }

    pub fn listener_request(
        &self,
        balancer: &elbv2::LoadBalancer,
        port: i32,
        group: &str,
    ) -> CreateListenerInput {
        CreateListenerInput {
            load_balancer_arn: balancer.load_balancer_arn.clone(),
            protocol: Some(ProtocolEnum::Http),
            port: Some(port),
            default_actions: Some(vec![forward(group)]),
            ..CreateListenerInput::default()
        }
    }

    /// The ARN of a new HTTP listener that forwards to the group.
    pub async fn listener(&self, balancer: &elbv2::LoadBalancer, port: i32, group: &str) -> String {
        let input = self.listener_request(balancer, port, group);
        let made = listener_calls::create(self.fixture.call(), input).await.unwrap();
        made.listeners.unwrap().remove(0).listener_arn.unwrap()
    }
}

pub fn forward(group: &str) -> elbv2::Action {
    elbv2::Action {
        r#type: Some(elbv2::ActionTypeEnum::Forward),
        target_group_arn: text(group),
        ..elbv2::Action::default()
    }
}
