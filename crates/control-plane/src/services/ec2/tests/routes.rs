//! The way outside: where a public address works, and that it does not change under running tasks.

use aws_schema::Shape as _;
use aws_shapes_ec2 as api;

use super::{Fixture, filter, refused, refused_as, text};
use crate::services::ec2::gateways::DescribeInternetGateways;

struct Network {
    vpc: String,
    subnet: String,
    gateway: String,
    main: String,
}

async fn network(fixture: &Fixture) -> Network {
    let vpc = fixture.vpc("10.0.0.0/16").await;
    let subnet = fixture.subnet(&vpc, "10.0.0.0/24").await;
    let made = fixture.call::<api::CreateInternetGateway>(Default::default()).await.unwrap();
    let gateway = made.internet_gateway.unwrap().internet_gateway_id.unwrap();
    let input = api::DescribeRouteTablesRequest { filters: filter("vpc-id", &vpc), ..Default::default() };
    let tables = fixture.call::<api::DescribeRouteTables>(input).await.unwrap().route_tables.unwrap();
    let main = tables[0].route_table_id.clone().unwrap();
    Network { vpc, subnet, gateway, main }
}

impl Network {
    fn attach(&self) -> api::AttachInternetGatewayRequest {
        let (gateway, vpc) = (text(&self.gateway), text(&self.vpc));
        api::AttachInternetGatewayRequest { internet_gateway_id: gateway, vpc_id: vpc, ..Default::default() }
    }

    fn detach(&self) -> api::DetachInternetGatewayRequest {
        let (gateway, vpc) = (text(&self.gateway), text(&self.vpc));
        api::DetachInternetGatewayRequest { internet_gateway_id: gateway, vpc_id: vpc, ..Default::default() }
    }

    fn route(&self, table: &str, destination: &str) -> api::CreateRouteRequest {
        api::CreateRouteRequest {
            route_table_id: text(table),
            destination_cidr_block: text(destination),
            gateway_id: text(&self.gateway),
            ..Default::default()
        }
    }

    fn unroute(&self, table: &str, destination: &str) -> api::DeleteRouteRequest {
        api::DeleteRouteRequest {
            route_table_id: text(table),
            destination_cidr_block: text(destination),
            ..Default::default()
        }
    }
}

#[tokio::test]
async fn a_default_subnet_leads_outside() {
    let fixture = Fixture::new().await;
    let subnet = fixture.default_subnet().await.subnet_id.unwrap();
    let task = fixture.start_task(&subnet).await.unwrap();
    assert_eq!(fixture.told_public_address(&task), task.public.as_ref().map(|public| public.address));
    assert!(task.public.is_some());
}

#[tokio::test]
async fn nodes_hear_of_a_public_address_only_where_a_route_leads_to_a_gateway() {
    let fixture = Fixture::new().await;
    let network = network(&fixture).await;
    let expect = async |reachable: bool, why: &str| {
        let task = fixture.start_task(&network.subnet).await.unwrap();
        assert!(task.public.is_some());
        assert_eq!(fixture.told_public_address(&task).is_some(), reachable, "{why}");
        fixture.end_task(&task).await;
    };
    expect(false, "neither gateway nor route").await;
    let route = network.route(&network.main, "0.0.0.0/0");
    refused_as(fixture.call::<api::CreateRoute>(route.clone()).await, "InvalidParameterValue");
    fixture.call::<api::AttachInternetGateway>(network.attach()).await.unwrap();
    expect(false, "no route").await;
    fixture.call::<api::CreateRoute>(route.clone()).await.unwrap();
    expect(true, "gateway and route").await;
    refused_as(fixture.call::<api::CreateRoute>(route).await, "RouteAlreadyExists");

    let input = api::CreateRouteTableRequest { vpc_id: text(&network.vpc), ..Default::default() };
    let made = fixture.call::<api::CreateRouteTable>(input).await.unwrap().route_table.unwrap();
    let own = made.route_table_id.unwrap();
    let associate = api::AssociateRouteTableRequest {
        route_table_id: text(&own),
        subnet_id: text(&network.subnet),
        ..Default::default()
    };
    let association = fixture.call::<api::AssociateRouteTable>(associate).await.unwrap().association_id;
    expect(false, "the subnet's own table has no route").await;
    let delete = api::DeleteRouteTableRequest { route_table_id: text(&own), ..Default::default() };
    refused_as(fixture.call::<api::DeleteRouteTable>(delete.clone()).await, "DependencyViolation");
    fixture.call::<api::CreateRoute>(network.route(&own, "0.0.0.0/0")).await.unwrap();
    expect(true, "the subnet's own table has one").await;
    let input = api::DisassociateRouteTableRequest { association_id: association, ..Default::default() };
    fixture.call::<api::DisassociateRouteTable>(input).await.unwrap();
    fixture.call::<api::DeleteRouteTable>(delete).await.unwrap();
    expect(true, "by the main table again").await;

    fixture.call::<api::DetachInternetGateway>(network.detach()).await.unwrap();
    expect(false, "the route leads nowhere").await;
    let input =
        api::DescribeRouteTablesRequest { filters: filter("route.state", "blackhole"), ..Default::default() };
    let tables = fixture.call::<api::DescribeRouteTables>(input).await.unwrap().route_tables.unwrap();
    assert_eq!(tables.len(), 1);
    assert_eq!(tables[0].route_table_id.as_ref(), Some(&network.main));
}

#[tokio::test]
async fn an_attached_gateway_is_available() {
    let fixture = Fixture::new().await;
    let network = network(&fixture).await;
    fixture.call::<api::AttachInternetGateway>(network.attach()).await.unwrap();
    let input = api::DescribeInternetGatewaysRequest {
        filters: filter("attachment.vpc-id", &network.vpc),
        ..Default::default()
    };
    let text = format!("{:?}", fixture.call::<DescribeInternetGateways>(input).await.unwrap().into_value());
    assert!(text.contains(&network.gateway) && text.contains("\"available\""), "{text}");
    assert!(!text.contains("\"attached\""), "{text}");
}

#[tokio::test]
async fn the_way_outside_does_not_change_under_tasks() {
    let fixture = Fixture::new().await;
    let network = network(&fixture).await;
    let before = fixture.start_task(&network.subnet).await.unwrap();
    fixture.call::<api::AttachInternetGateway>(network.attach()).await.unwrap();
    let route = network.route(&network.main, "0.0.0.0/0");
    refused_as(fixture.call::<api::CreateRoute>(route.clone()).await, "DependencyViolation");
    fixture.end_task(&before).await;
    fixture.call::<api::CreateRoute>(route).await.unwrap();

    let task = fixture.start_task(&network.subnet).await.unwrap();
    let unroute = network.unroute(&network.main, "0.0.0.0/0");
    refused_as(fixture.call::<api::DeleteRoute>(unroute.clone()).await, "DependencyViolation");
    refused(
        fixture.call::<api::DetachInternetGateway>(network.detach()).await,
        "DependencyViolation",
        &format!(
            "Network {} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.",
            network.vpc
        ),
    );
    let input = api::CreateRouteTableRequest { vpc_id: text(&network.vpc), ..Default::default() };
    let made = fixture.call::<api::CreateRouteTable>(input).await.unwrap().route_table.unwrap();
    let associate = api::AssociateRouteTableRequest {
        route_table_id: made.route_table_id,
        subnet_id: text(&network.subnet),
        ..Default::default()
    };
    refused_as(fixture.call::<api::AssociateRouteTable>(associate).await, "DependencyViolation");
    assert!(fixture.told_public_address(&task).is_some(), "nothing changed");
    fixture.end_task(&task).await;
    fixture.call::<api::DeleteRoute>(unroute).await.unwrap();
}

#[tokio::test]
async fn routes_that_mean_nothing_here_are_refused() {
    let fixture = Fixture::new().await;
    let network = network(&fixture).await;
    fixture.call::<api::AttachInternetGateway>(network.attach()).await.unwrap();
    let create = |input| fixture.call::<api::CreateRoute>(input);
    refused_as(create(network.route(&network.main, "8.8.8.0/24")).await, "UnsupportedOperation");
    refused_as(create(network.route(&network.main, "10.0.0.0/16")).await, "RouteAlreadyExists");
    refused_as(create(network.route("rtb-none", "0.0.0.0/0")).await, "InvalidRouteTableID.NotFound");
    let nat = api::CreateRouteRequest {
        gateway_id: None,
        nat_gateway_id: text("nat-1"),
        ..network.route(&network.main, "0.0.0.0/0")
    };
    refused_as(create(nat).await, "UnsupportedOperation");
    let delete =
        |destination: &str| fixture.call::<api::DeleteRoute>(network.unroute(&network.main, destination));
    refused(
        delete("0.0.0.0/0").await,
        "InvalidRoute.NotFound",
        &format!("no route with destination-cidr-block 0.0.0.0/0 in route table {}", network.main),
    );
    refused_as(delete("10.0.0.0/16").await, "InvalidParameterValue");
    refused_as(
        fixture.call::<api::AttachInternetGateway>(network.attach()).await,
        "Resource.AlreadyAssociated",
    );
    let input = api::DeleteInternetGatewayRequest {
        internet_gateway_id: text(&network.gateway),
        ..Default::default()
    };
    refused_as(fixture.call::<api::DeleteInternetGateway>(input.clone()).await, "DependencyViolation");
    fixture.call::<api::DetachInternetGateway>(network.detach()).await.unwrap();
    refused_as(fixture.call::<api::DetachInternetGateway>(network.detach()).await, "Gateway.NotAttached");
    fixture.call::<api::DeleteInternetGateway>(input).await.unwrap();
}

#[tokio::test]
async fn another_table_can_become_the_main_one() {
    let fixture = Fixture::new().await;
    let network = network(&fixture).await;
    let input = api::CreateRouteTableRequest { vpc_id: text(&network.vpc), ..Default::default() };
    let made = fixture.call::<api::CreateRouteTable>(input).await.unwrap().route_table.unwrap();
    let input = api::DescribeRouteTablesRequest {
        route_table_ids: Some(vec![network.main.clone()]),
        ..Default::default()
    };
    let tables = fixture.call::<api::DescribeRouteTables>(input).await.unwrap().route_tables.unwrap();
    let association = tables[0].associations.as_ref().unwrap()[0].route_table_association_id.clone();
    let input =
        api::DisassociateRouteTableRequest { association_id: association.clone(), ..Default::default() };
    refused_as(fixture.call::<api::DisassociateRouteTable>(input).await, "InvalidParameterValue");
    let input = api::ReplaceRouteTableAssociationRequest {
        association_id: association.clone(),
        route_table_id: made.route_table_id.clone(),
        ..Default::default()
    };
    let replaced = fixture.call::<api::ReplaceRouteTableAssociation>(input).await.unwrap();
    assert_ne!(replaced.new_association_id, association);
    let input =
        api::DescribeRouteTablesRequest { filters: filter("association.main", "true"), ..Default::default() };
    let tables = fixture.call::<api::DescribeRouteTables>(input).await.unwrap().route_tables.unwrap();
    let mains: Vec<_> = tables.iter().map(|table| table.route_table_id.clone()).collect();
    assert!(mains.contains(&made.route_table_id) && !mains.contains(&Some(network.main.clone())));
    let input = api::DeleteRouteTableRequest { route_table_id: text(&network.main), ..Default::default() };
    fixture.call::<api::DeleteRouteTable>(input).await.unwrap();
}
