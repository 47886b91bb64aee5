//! Capacity that nobody reserves and pools that nobody has.

use aws_shapes_elbv2::{
    DescribeCapacityReservationInput, IpamPools, MinimumLoadBalancerCapacity, ModifyCapacityReservationInput,
    ModifyIpPoolsInput,
};

use super::Lab;
use crate::services::{
    elbv2::capacity,
    testing::{refused, text},
};

#[tokio::test]
async fn there_is_no_reservation_and_none_can_be_made() {
    let lab = Lab::new().await;
    let arn = lab.balancer("web").await.load_balancer_arn;
    let of = DescribeCapacityReservationInput { load_balancer_arn: arn.clone() };
    let shown = capacity::describe(lab.fixture.call(), of).await.unwrap();
    assert_eq!(shown.minimum_load_balancer_capacity, None);
    let reset = ModifyCapacityReservationInput {
        load_balancer_arn: arn.clone(),
        reset_capacity_reservation: Some(true),
        ..Default::default()
    };
    capacity::modify(lab.fixture.call(), reset).await.unwrap();
    let wanted = ModifyCapacityReservationInput {
        load_balancer_arn: arn.clone(),
        minimum_load_balancer_capacity: Some(MinimumLoadBalancerCapacity { capacity_units: Some(100) }),
        ..Default::default()
    };
    let answer = capacity::modify(lab.fixture.call(), wanted).await;
    refused(answer, "InvalidConfigurationRequest", "capacity reservations");
    let none = ModifyCapacityReservationInput { load_balancer_arn: arn.clone(), ..Default::default() };
    refused(capacity::modify(lab.fixture.call(), none).await, "ValidationError", "must be specified");
    let pool = ModifyIpPoolsInput {
        load_balancer_arn: arn.clone(),
        ipam_pools: Some(IpamPools { ipv4_ipam_pool_id: text("ipam-pool-1") }),
        ..Default::default()
    };
    refused(
        capacity::modify_ip_pools(lab.fixture.call(), pool).await,
        "InvalidConfigurationRequest",
        "IPAM pools",
    );
    let gone =
        DescribeCapacityReservationInput { load_balancer_arn: arn.map(|arn| arn.replace("web", "other")) };
    refused(capacity::describe(lab.fixture.call(), gone).await, "LoadBalancerNotFound", "not found");
}
