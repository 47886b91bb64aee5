//! Overlapping VPCs: made and set up freely, and one of them has the machine at a time.

use super::{Fixture, refused_as};

#[tokio::test]
async fn the_vpc_with_tasks_has_the_range() {
    let fixture = Fixture::new().await;
    let other = fixture.as_account("222222222222");
    let (first, second) = (fixture.vpc("10.0.0.0/16").await, other.vpc("10.0.128.0/20").await);
    let first_subnet = fixture.subnet(&first, "10.0.128.0/24").await;
    let second_subnet = other.subnet(&second, "10.0.128.0/24").await;
    assert!(fixture.told_vpcs().contains(&first), "the first has it from the start");
    assert!(!fixture.told_vpcs().contains(&second));

    let task = other.start_task(&second_subnet).await.unwrap();
    assert!(fixture.told_vpcs().contains(&second), "a task takes the range for its VPC");
    assert!(!fixture.told_vpcs().contains(&first));
    let error = fixture.start_task(&first_subnet).await.unwrap_err();
    assert!(error.message.contains(&second), "{}", error.message);

    other.end_task(&task).await;
    fixture.start_task(&first_subnet).await.unwrap();
    assert!(fixture.told_vpcs().contains(&first));
    refused_as(other.start_task(&second_subnet).await, "InvalidParameterException");
}

#[tokio::test]
async fn vpcs_that_do_not_overlap_leave_each_other_alone() {
    let fixture = Fixture::new().await;
    for cidr in ["10.0.0.0/20", "10.0.16.0/20", "10.1.0.0/16"] {
        let vpc = fixture.vpc(cidr).await;
        let subnet = fixture.subnet(&vpc, &cidr.replace("/16", "/20")).await;
        fixture.start_task(&subnet).await.unwrap();
        assert!(fixture.told_vpcs().contains(&vpc));
    }
    assert_eq!(fixture.told_vpcs().len(), 4, "and the default one");
}

#[tokio::test]
async fn every_default_network_has_a_range_of_its_own() {
    let fixture = Fixture::new().await;
    let mut ranges = Vec::new();
    for account in ["111111111111", "222222222222", "333333333333"] {
        ranges.push(fixture.as_account(account).default_subnet().await.cidr_block.unwrap());
    }
    assert_eq!(ranges.len(), 3);
    ranges.sort();
    ranges.dedup();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert_eq!(fixture.told_vpcs().len(), 3);
}
