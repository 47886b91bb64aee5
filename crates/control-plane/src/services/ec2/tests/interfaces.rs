//! Users' own interfaces, and tasks' interfaces that users may not touch.

use aws_shapes_ec2 as api;

use super::{Fixture, filter, refused, refused_as, text};

fn request(subnet: &str) -> api::CreateNetworkInterfaceRequest {
    api::CreateNetworkInterfaceRequest { subnet_id: text(subnet), ..Default::default() }
}

fn delete(id: Option<String>) -> api::DeleteNetworkInterfaceRequest {
    api::DeleteNetworkInterfaceRequest { network_interface_id: id, ..Default::default() }
}

#[tokio::test]
async fn an_address_is_given_once_and_comes_back() {
    let fixture = Fixture::new().await;
    let vpc = fixture.vpc("10.0.0.0/16").await;
    let subnet = fixture.subnet(&vpc, "10.0.0.0/28").await;
    let create = |input| fixture.call::<api::CreateNetworkInterface>(input);
    let at = |address: &str| api::CreateNetworkInterfaceRequest {
        private_ip_address: text(address),
        ..request(&subnet)
    };
    let first = create(at("10.0.0.7")).await.unwrap().network_interface.unwrap();
    assert_eq!(first.private_ip_address.as_deref(), Some("10.0.0.7"));
    assert_eq!(first.status, Some(api::NetworkInterfaceStatus::Available));
    refused(
        create(at("10.0.0.7")).await,
        "InvalidIPAddress.InUse",
        "The specified address is already in use.",
    );
    refused(
        create(at("10.0.0.3")).await,
        "InvalidParameterValue",
        "Address is in subnet's reserved address range",
    );
    refused(
        create(at("10.0.1.7")).await,
        "InvalidParameterValue",
        "Address does not fall within the subnet's address range",
    );
    for _ in 0..10 {
        create(request(&subnet)).await.unwrap();
    }
    refused_as(create(request(&subnet)).await, "InsufficientFreeAddressesInSubnet");
    refused_as(fixture.start_task(&subnet).await, "InvalidParameterException");
    fixture.call::<api::DeleteNetworkInterface>(delete(first.network_interface_id)).await.unwrap();
    create(at("10.0.0.7")).await.unwrap();
}

#[tokio::test]
async fn groups_are_the_vpcs_own() {
    let fixture = Fixture::new().await;
    let vpc = fixture.vpc("10.0.0.0/16").await;
    let subnet = fixture.subnet(&vpc, "10.0.0.0/24").await;
    let group = |vpc: Option<String>| api::CreateSecurityGroupRequest {
        group_name: text("web"),
        description: text("web"),
        vpc_id: vpc,
        ..Default::default()
    };
    let own = fixture.call::<api::CreateSecurityGroup>(group(text(&vpc))).await.unwrap().group_id.unwrap();
    let foreign = fixture.call::<api::CreateSecurityGroup>(group(None)).await.unwrap().group_id.unwrap();
    let made = fixture.call::<api::CreateNetworkInterface>(request(&subnet)).await.unwrap();
    let id = made.network_interface.unwrap().network_interface_id;
    let modify = |groups: &str| {
        fixture.call::<api::ModifyNetworkInterfaceAttribute>(api::ModifyNetworkInterfaceAttributeRequest {
            network_interface_id: id.clone(),
            groups: Some(vec![groups.to_owned()]),
            ..Default::default()
        })
    };
    refused_as(modify(&foreign).await, "InvalidParameterValue");
    refused_as(modify("sg-none").await, "InvalidGroup.NotFound");
    modify(&own).await.unwrap();
    let input =
        api::DescribeNetworkInterfacesRequest { filters: filter("group-id", &own), ..Default::default() };
    let found =
        fixture.call::<api::DescribeNetworkInterfaces>(input).await.unwrap().network_interfaces.unwrap();
    assert_eq!(found.len(), 1);
    let input = api::DeleteSecurityGroupRequest { group_id: text(&own), ..Default::default() };
    refused_as(fixture.call::<api::DeleteSecurityGroup>(input).await, "DependencyViolation");
    let told = super::super::state::security_groups(&fixture.services.state.view());
    assert_eq!(told, [], "an interface of no task is of no concern to nodes");
}

#[tokio::test]
async fn the_same_token_makes_one_interface() {
    let fixture = Fixture::new().await;
    let subnet = fixture.default_subnet().await.subnet_id.unwrap();
    let once = api::CreateNetworkInterfaceRequest { client_token: text("once"), ..request(&subnet) };
    let first = fixture.call::<api::CreateNetworkInterface>(once.clone()).await.unwrap();
    let second = fixture.call::<api::CreateNetworkInterface>(once.clone()).await.unwrap();
    assert_eq!(first, second);
    let other = api::CreateNetworkInterfaceRequest { description: text("another"), ..once };
    refused_as(fixture.call::<api::CreateNetworkInterface>(other).await, "IdempotentParameterMismatch");
}

#[tokio::test]
async fn a_tasks_interface_is_not_the_users() {
    let fixture = Fixture::new().await;
    let subnet = fixture.default_subnet().await.subnet_id.unwrap();
    let task = fixture.start_task(&subnet).await.unwrap();
    let id = task.id.clone();
    refused(
        fixture.call::<api::DeleteNetworkInterface>(delete(text(&id))).await,
        "InvalidParameterValue",
        &format!("Network interface '{id}' is currently in use."),
    );
    let modify = api::ModifyNetworkInterfaceAttributeRequest {
        network_interface_id: text(&id),
        groups: Some(task.security_groups.clone()),
        ..Default::default()
    };
    refused_as(fixture.call::<api::ModifyNetworkInterfaceAttribute>(modify).await, "AuthFailure");
    let detach = |id: &str| {
        fixture.call::<api::DetachNetworkInterface>(api::DetachNetworkInterfaceRequest {
            attachment_id: text(id),
            ..Default::default()
        })
    };
    refused(
        detach(&task.attachment.unwrap().id).await,
        "OperationNotPermitted",
        "You are not allowed to manage 'ela-attach' attachments.",
    );
    refused_as(detach("eni-attach-none").await, "InvalidAttachmentID.NotFound");
    let allocated = fixture.call::<api::AllocateAddress>(Default::default()).await.unwrap();
    let associate = api::AssociateAddressRequest {
        allocation_id: allocated.allocation_id,
        network_interface_id: text(&id),
        ..Default::default()
    };
    refused_as(fixture.call::<api::AssociateAddress>(associate).await, "AuthFailure");
}
