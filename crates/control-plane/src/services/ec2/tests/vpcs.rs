//! VPCs and subnets: what can be made, what is there from the start, what has to go first.

use aws_shapes_ec2 as api;

use super::{Fixture, filter, refused, refused_as, text};
use crate::services::ec2::gateways::DescribeInternetGateways;

fn boolean(value: bool) -> Option<api::AttributeBooleanValue> {
    Some(api::AttributeBooleanValue { value: Some(value) })
}

async fn create(fixture: &Fixture, cidr: &str) -> Result<api::CreateVpcResult, crate::gateway::ApiError> {
    fixture
        .call::<api::CreateVpc>(api::CreateVpcRequest { cidr_block: text(cidr), ..Default::default() })
        .await
}

#[tokio::test]
async fn ranges_are_checked_as_documented() {
    let fixture = Fixture::new().await;
    for (cidr, code) in [
        ("10.0.0.0/15", "InvalidVpc.Range"),
        ("10.0.0.0/29", "InvalidVpc.Range"),
        ("169.254.0.0/16", "InvalidVpc.Range"),
        ("10.0.0.0", "InvalidParameterValue"),
        ("10.0.0.0/100", "InvalidParameterValue"),
        // Inside what the machine routes.
        ("192.168.7.0/28", "InvalidVpc.Range"),
    ] {
        refused_as(create(&fixture, cidr).await, code);
    }
    let made = create(&fixture, "10.1.2.3/16").await.unwrap().vpc.unwrap();
    assert_eq!(made.cidr_block.as_deref(), Some("10.1.0.0/16"), "host bits are dropped");
    assert_eq!(made.is_default, Some(false));
}

#[tokio::test]
async fn a_vpc_comes_with_a_group_a_main_table_and_an_acl() {
    let fixture = Fixture::new().await;
    let vpc = fixture.vpc("10.0.0.0/16").await;
    let own = || filter("vpc-id", &vpc);
    let input = api::DescribeRouteTablesRequest { filters: own(), ..Default::default() };
    let tables = fixture.call::<api::DescribeRouteTables>(input).await.unwrap().route_tables.unwrap();
    let [table] = tables.as_slice() else { panic!("{tables:?}") };
    assert_eq!(table.associations.as_ref().unwrap()[0].main, Some(true));
    let routes = table.routes.as_ref().unwrap();
    assert_eq!(routes.len(), 1, "a new VPC has no way outside");
    assert_eq!(routes[0].destination_cidr_block.as_deref(), Some("10.0.0.0/16"));
    let input = api::DescribeSecurityGroupsRequest { filters: own(), ..Default::default() };
    let groups = fixture.call::<api::DescribeSecurityGroups>(input).await.unwrap().security_groups.unwrap();
    assert_eq!(groups.iter().map(|group| group.group_name.as_deref()).collect::<Vec<_>>(), [Some("default")]);
    let input = api::DescribeNetworkAclsRequest { filters: own(), ..Default::default() };
    let acls = fixture.call::<api::DescribeNetworkAcls>(input).await.unwrap().network_acls.unwrap();
    assert_eq!(acls.len(), 1);

    fixture
        .call::<api::DeleteVpc>(api::DeleteVpcRequest { vpc_id: text(&vpc), ..Default::default() })
        .await
        .unwrap();
    let input = api::DescribeRouteTablesRequest { filters: own(), ..Default::default() };
    assert_eq!(fixture.call::<api::DescribeRouteTables>(input).await.unwrap().route_tables, Some(vec![]));
    assert!(!fixture.told_vpcs().contains(&vpc));
}

#[tokio::test]
async fn a_vpc_goes_when_nothing_is_left_in_it() {
    let fixture = Fixture::new().await;
    let vpc = fixture.vpc("10.0.0.0/16").await;
    let subnet = fixture.subnet(&vpc, "10.0.1.0/24").await;
    let delete =
        || fixture.call::<api::DeleteVpc>(api::DeleteVpcRequest { vpc_id: text(&vpc), ..Default::default() });
    let message = format!("The vpc '{vpc}' has dependencies and cannot be deleted.");
    refused(delete().await, "DependencyViolation", &message);
    let input = api::DeleteSubnetRequest { subnet_id: text(&subnet), ..Default::default() };
    fixture.call::<api::DeleteSubnet>(input).await.unwrap();
    let input = api::CreateSecurityGroupRequest {
        group_name: text("web"),
        description: text("web"),
        vpc_id: text(&vpc),
        ..Default::default()
    };
    let group = fixture.call::<api::CreateSecurityGroup>(input).await.unwrap().group_id;
    refused(delete().await, "DependencyViolation", &message);
    let input = api::DeleteSecurityGroupRequest { group_id: group, ..Default::default() };
    fixture.call::<api::DeleteSecurityGroup>(input).await.unwrap();
    delete().await.unwrap();
    refused_as(delete().await, "InvalidVpcID.NotFound");
}

#[tokio::test]
async fn subnets_lie_in_their_vpc_and_apart() {
    let fixture = Fixture::new().await;
    let vpc = fixture.vpc("10.0.0.0/16").await;
    fixture.subnet(&vpc, "10.0.0.0/24").await;
    let create = |vpc: &str, cidr: &str, zone: Option<&str>| {
        fixture.call::<api::CreateSubnet>(api::CreateSubnetRequest {
            vpc_id: text(vpc),
            cidr_block: text(cidr),
            availability_zone: zone.map(str::to_owned),
            ..Default::default()
        })
    };
    refused(
        create(&vpc, "10.0.0.128/25", None).await,
        "InvalidSubnet.Conflict",
        "The CIDR '10.0.0.128/25' conflicts with another subnet",
    );
    refused(
        create(&vpc, "10.1.0.0/24", None).await,
        "InvalidSubnet.Range",
        "The CIDR '10.1.0.0/24' is invalid.",
    );
    refused_as(create(&vpc, "10.0.1.0/29", None).await, "InvalidSubnet.Range");
    refused_as(create(&vpc, "10.0.1.0/24", Some("us-east-1z")).await, "InvalidParameterValue");
    refused_as(create("vpc-none", "10.0.1.0/24", None).await, "InvalidVpcID.NotFound");
    let made = create(&vpc, "10.0.1.0/24", Some("us-east-1b")).await.unwrap().subnet.unwrap();
    assert_eq!(made.available_ip_address_count, Some(251));
    assert_eq!((made.default_for_az, made.map_public_ip_on_launch), (Some(false), Some(false)));
    let id = made.subnet_id.unwrap();
    let input = api::ModifySubnetAttributeRequest {
        subnet_id: text(&id),
        map_public_ip_on_launch: boolean(true),
        ..Default::default()
    };
    fixture.call::<api::ModifySubnetAttribute>(input).await.unwrap();
    let input = api::DescribeSubnetsRequest { subnet_ids: Some(vec![id]), ..Default::default() };
    let subnets = fixture.call::<api::DescribeSubnets>(input).await.unwrap().subnets.unwrap();
    assert_eq!(subnets[0].map_public_ip_on_launch, Some(true));
}

#[tokio::test]
async fn the_default_network_can_be_deleted_and_made_anew() {
    let fixture = Fixture::new().await;
    refused(
        fixture.call::<api::CreateDefaultVpc>(Default::default()).await,
        "DefaultVpcAlreadyExists",
        "A Default VPC already exists for this account in this region.",
    );
    let subnets = fixture.call::<api::DescribeSubnets>(Default::default()).await.unwrap().subnets.unwrap();
    let vpc = subnets[0].vpc_id.clone();
    let default_subnet = |zone: &str| {
        let input = api::CreateDefaultSubnetRequest { availability_zone: text(zone), ..Default::default() };
        fixture.call::<api::CreateDefaultSubnet>(input)
    };
    refused_as(default_subnet("us-east-1a").await, "DefaultSubnetAlreadyExistsInAvailabilityZone");
    for subnet in &subnets {
        let input = api::DeleteSubnetRequest { subnet_id: subnet.subnet_id.clone(), ..Default::default() };
        fixture.call::<api::DeleteSubnet>(input).await.unwrap();
    }
    let again = default_subnet("us-east-1b").await.unwrap().subnet.unwrap();
    assert_eq!(again.cidr_block.as_deref(), Some("172.31.0.0/20"));
    let input = api::DeleteSubnetRequest { subnet_id: again.subnet_id, ..Default::default() };
    fixture.call::<api::DeleteSubnet>(input).await.unwrap();
    let described = fixture.call::<DescribeInternetGateways>(Default::default()).await.unwrap();
    let gateways = described.0.internet_gateways.unwrap();
    let input = api::DetachInternetGatewayRequest {
        internet_gateway_id: gateways[0].internet_gateway_id.clone(),
        vpc_id: vpc.clone(),
        ..Default::default()
    };
    fixture.call::<api::DetachInternetGateway>(input).await.unwrap();
    fixture
        .call::<api::DeleteVpc>(api::DeleteVpcRequest { vpc_id: vpc, ..Default::default() })
        .await
        .unwrap();
    refused_as(default_subnet("us-east-1a").await, "DefaultVpcDoesNotExist");
    let vpcs = fixture.call::<api::DescribeVpcs>(Default::default()).await.unwrap().vpcs;
    assert_eq!(vpcs, Some(vec![]), "a default network that was deleted does not come back by itself");
    let vpc = fixture.call::<api::CreateDefaultVpc>(Default::default()).await.unwrap().vpc.unwrap();
    assert_eq!(vpc.cidr_block.as_deref(), Some("172.31.0.0/16"));
    assert_eq!(fixture.told_vpcs(), [vpc.vpc_id.unwrap()]);
}

#[tokio::test]
async fn names_and_name_servers_follow_the_vpcs_attributes() {
    let fixture = Fixture::new().await;
    let vpc = fixture.vpc("10.0.0.0/16").await;
    let subnet = fixture.subnet(&vpc, "10.0.0.0/24").await;
    let told = |id: &str| {
        let view = fixture.services.state.view();
        crate::services::ec2::state::task_interface(&view, &fixture.scope, id, "attachment").unwrap()
    };
    let first = fixture.start_task(&subnet).await.unwrap();
    assert_eq!(first.private_dns_name, "", "a new VPC gives no host names");
    assert_eq!(told(&first.id).private_dns_name, first.id.replacen("eni-", "ip-", 1));
    assert_eq!(told(&first.id).dns_servers, ["10.0.0.2".parse::<std::net::Ipv4Addr>().unwrap()]);

    let names = api::ModifyVpcAttributeRequest {
        vpc_id: text(&vpc),
        enable_dns_hostnames: boolean(true),
        ..Default::default()
    };
    fixture.call::<api::ModifyVpcAttribute>(names.clone()).await.unwrap();
    let second = fixture.start_task(&subnet).await.unwrap();
    assert_eq!(
        second.private_dns_name,
        format!("ip-{}.ec2.internal", second.private_address.to_string().replace('.', "-"))
    );
    let support = |value| api::ModifyVpcAttributeRequest {
        vpc_id: text(&vpc),
        enable_dns_support: boolean(value),
        ..Default::default()
    };
    refused_as(fixture.call::<api::ModifyVpcAttribute>(support(false)).await, "DependencyViolation");
    fixture.end_task(&first).await;
    fixture.end_task(&second).await;
    fixture.call::<api::ModifyVpcAttribute>(support(false)).await.unwrap();
    let third = fixture.start_task(&subnet).await.unwrap();
    assert_eq!(told(&third.id).dns_servers, Vec::<std::net::Ipv4Addr>::new());
    let both = api::ModifyVpcAttributeRequest { enable_dns_support: boolean(true), ..names };
    refused_as(fixture.call::<api::ModifyVpcAttribute>(both).await, "InvalidParameterCombination");
}
