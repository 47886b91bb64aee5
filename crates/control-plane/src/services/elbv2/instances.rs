//! Where an instance can be reached. There are no instances but those that agents register.

use std::net::Ipv4Addr;

use state_store::View;
use vocabulary::Scope;

use crate::services::ecs::records::ContainerInstance;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceAddress {
    /// Where load balancers reach its host ports.
    pub address: Ipv4Addr,
    /// `us-east-1a`; none when its agent did not say.
    pub zone: Option<String>,
}

/// The instance with this id (`i-…`), if an agent registered it and said where it is.
pub fn find(view: &View, scope: &Scope, instance_id: &str) -> Option<InstanceAddress> {
    // One machine may be registered with several clusters; its address is the same in all.
    let mut registered = view.by_index::<ContainerInstance>(scope, "ec2-instance", instance_id);
    registered.find_map(|(_, one)| {
        let attributes = one.description.0.attributes.iter().flatten();
        let mut zones = attributes.filter(|one| one.name.as_deref() == Some("ecs.availability-zone"));
        let zone = zones.next().and_then(|one| one.value.clone());
        Some(InstanceAddress { address: one.private_address?, zone })
    })
}

/// Registers an instance with an address of 192.0.2.0/24, in the first zone.
#[cfg(test)]
pub async fn registered(fixture: &crate::services::testing::Fixture, instance_id: &str) {
    use crate::services::{ecs::records::InstanceStatus, testing::scope};

    let zone = aws_shapes_ecs::Attribute {
        name: Some("ecs.availability-zone".to_owned()),
        value: Some("us-east-1a".to_owned()),
        ..Default::default()
    };
    let description =
        aws_shapes_ecs::ContainerInstance { attributes: Some(vec![zone]), ..Default::default() };
    let instance = ContainerInstance {
        id: "0".repeat(32),
        cluster: "default".to_owned(),
        ec2_instance_id: Some(instance_id.to_owned()),
        status: InstanceStatus::Active,
        agent_connected: true,
        private_address: Some(Ipv4Addr::new(192, 0, 2, 1)),
        registered_at: fixture.now(),
        version: 1,
        description: crate::convert::AwsJson(description),
        tags: Default::default(),
    };
    let put = fixture.services.state.transact(|tx| {
        tx.put(&scope(), &format!("default/{}", instance.id), instance.clone());
        Ok::<_, crate::gateway::ApiError>(())
    });
    put.await.unwrap();
}
