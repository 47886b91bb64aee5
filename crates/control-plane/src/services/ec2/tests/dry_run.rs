//! `DryRun`: answered for every operation that has it, and nothing happens.

use aws_shapes_ec2 as api;

use super::{Fixture, refused, text};

#[tokio::test]
async fn nothing_is_made_on_a_dry_run() {
    let fixture = Fixture::new().await;
    let input =
        |dry_run| api::CreateVpcRequest { cidr_block: text("10.0.0.0/16"), dry_run, ..Default::default() };
    let message = "Request would have succeeded, but DryRun flag is set.";
    refused(fixture.call::<api::CreateVpc>(input(Some(true))).await, "DryRunOperation", message);
    let describe = api::DescribeVpcsRequest { dry_run: Some(true), ..Default::default() };
    refused(fixture.call::<api::DescribeVpcs>(describe).await, "DryRunOperation", message);
    let count =
        async || fixture.call::<api::DescribeVpcs>(Default::default()).await.unwrap().vpcs.unwrap().len();
    assert_eq!(count().await, 1);
    fixture.call::<api::CreateVpc>(input(Some(false))).await.unwrap();
    assert_eq!(count().await, 2);
}
