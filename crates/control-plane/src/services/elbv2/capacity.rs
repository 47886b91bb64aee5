//! Reserved capacity and pools of addresses. There is neither: every load balancer has all of the machine that is there, and addresses
//! come from the platform's own range. So a load balancer truthfully has no reservation; one that is asked for is refused.

use aws_shapes_elbv2::{
    DescribeCapacityReservationInput, DescribeCapacityReservationOutput, ModifyCapacityReservationInput,
    ModifyCapacityReservationOutput, ModifyIpPoolsInput, ModifyIpPoolsOutput,
};

use super::{
    balancers,
    errors::{unsupported, validation},
};
use crate::gateway::{ApiError, Call};

/// How often a reservation may still be lowered today: without one, as often as AWS lets it be.
const DECREASES: i32 = 2;

pub async fn describe(
    call: Call,
    input: DescribeCapacityReservationInput,
) -> Result<DescribeCapacityReservationOutput, ApiError> {
    let arn = input.load_balancer_arn.unwrap_or_default();
    call.services.state.read(|view| balancers::see(view, call.scope(), &arn).map(drop))?;
    Ok(DescribeCapacityReservationOutput {
        decrease_requests_remaining: Some(DECREASES),
        capacity_reservation_state: Some(Vec::new()),
        ..DescribeCapacityReservationOutput::default()
    })
}

/// Takes a reservation away, which is always done already.
pub async fn modify(
    call: Call,
    input: ModifyCapacityReservationInput,
) -> Result<ModifyCapacityReservationOutput, ApiError> {
    let arn = input.load_balancer_arn.unwrap_or_default();
    call.services.state.read(|view| balancers::see(view, call.scope(), &arn).map(drop))?;
    let units = input.minimum_load_balancer_capacity.and_then(|wanted| wanted.capacity_units);
    match (units, input.reset_capacity_reservation) {
        (Some(_), Some(true)) => {
            Err(validation("A capacity reservation cannot be set and reset at the same time"))
        }
        (Some(_), _) => Err(unsupported("capacity reservations of load balancers")),
        (None, Some(true)) => Ok(ModifyCapacityReservationOutput {
            decrease_requests_remaining: Some(DECREASES),
            capacity_reservation_state: Some(Vec::new()),
            ..ModifyCapacityReservationOutput::default()
        }),
        (None, _) => Err(validation("Minimum load balancer capacity or its reset must be specified")),
    }
}

/// Takes pools away, of which there are none.
pub async fn modify_ip_pools(call: Call, input: ModifyIpPoolsInput) -> Result<ModifyIpPoolsOutput, ApiError> {
    let arn = input.load_balancer_arn.unwrap_or_default();
    call.services.state.read(|view| balancers::see(view, call.scope(), &arn).map(drop))?;
    if input.ipam_pools.is_some_and(|pools| pools.ipv4_ipam_pool_id.is_some()) {
        return Err(unsupported("IPAM pools"));
    }
    Ok(ModifyIpPoolsOutput::default())
}
