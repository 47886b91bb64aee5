//! Elastic addresses: they are the account's until released, and there are no more than the range has.

use aws_shapes_ec2 as api;

use super::{Fixture, refused, refused_as, text};

async fn interface(fixture: &Fixture, subnet: &str) -> Option<String> {
    let input = api::CreateNetworkInterfaceRequest { subnet_id: text(subnet), ..Default::default() };
    let made = fixture.call::<api::CreateNetworkInterface>(input).await.unwrap();
    made.network_interface.unwrap().network_interface_id
}

#[tokio::test]
async fn addresses_come_from_the_range_and_run_out() {
    let fixture = Fixture::new().await;
    let mut taken = Vec::new();
    // 198.18.0.0/29 without its first and last.
    for _ in 0..6 {
        taken.push(fixture.call::<api::AllocateAddress>(Default::default()).await.unwrap());
    }
    let mut addresses: Vec<_> = taken.iter().map(|one| one.public_ip.clone().unwrap()).collect();
    addresses.sort();
    assert_eq!(addresses, (1..=6).map(|last| format!("198.18.0.{last}")).collect::<Vec<_>>());
    refused_as(fixture.call::<api::AllocateAddress>(Default::default()).await, "AddressLimitExceeded");
    let input =
        api::ReleaseAddressRequest { allocation_id: taken[2].allocation_id.clone(), ..Default::default() };
    fixture.call::<api::ReleaseAddress>(input.clone()).await.unwrap();
    refused_as(fixture.call::<api::ReleaseAddress>(input).await, "InvalidAllocationID.NotFound");
    let again = api::AllocateAddressRequest { address: taken[2].public_ip.clone(), ..Default::default() };
    let again = fixture.call::<api::AllocateAddress>(again).await.unwrap();
    assert_eq!(again.public_ip, taken[2].public_ip);
    let outside = api::AllocateAddressRequest { address: text("203.0.113.1"), ..Default::default() };
    refused(
        fixture.call::<api::AllocateAddress>(outside).await,
        "InvalidAddress.NotFound",
        "Address '203.0.113.1' not found.",
    );
}

#[tokio::test]
async fn an_address_is_on_one_interface() {
    let fixture = Fixture::new().await;
    let subnet = fixture.default_subnet().await.subnet_id.unwrap();
    let (first, second) = (interface(&fixture, &subnet).await, interface(&fixture, &subnet).await);
    let allocation = fixture.call::<api::AllocateAddress>(Default::default()).await.unwrap().allocation_id;
    let associate = |interface: &Option<String>, again: bool| {
        fixture.call::<api::AssociateAddress>(api::AssociateAddressRequest {
            allocation_id: allocation.clone(),
            network_interface_id: interface.clone(),
            allow_reassociation: Some(again),
            ..Default::default()
        })
    };
    let public_of = async |interface: &Option<String>| {
        let input = api::DescribeNetworkInterfacesRequest {
            network_interface_ids: Some(interface.iter().cloned().collect()),
            ..Default::default()
        };
        let found = fixture.call::<api::DescribeNetworkInterfaces>(input).await.unwrap();
        found.network_interfaces.unwrap()[0].association.clone().and_then(|one| one.association_id)
    };
    let there = associate(&first, false).await.unwrap();
    assert_eq!(associate(&first, false).await.unwrap(), there, "once more is the same");
    refused_as(associate(&second, false).await, "Resource.AlreadyAssociated");
    assert_eq!(public_of(&first).await, there.association_id);
    let moved = associate(&second, true).await.unwrap();
    assert_eq!(public_of(&first).await, None);
    assert_eq!(public_of(&second).await, moved.association_id);

    let input =
        api::DisassociateAddressRequest { association_id: moved.association_id, ..Default::default() };
    fixture.call::<api::DisassociateAddress>(input.clone()).await.unwrap();
    assert_eq!(public_of(&second).await, None);
    refused_as(fixture.call::<api::DisassociateAddress>(input).await, "InvalidAssociationID.NotFound");

    associate(&second, false).await.unwrap();
    let input = api::DeleteNetworkInterfaceRequest { network_interface_id: second, ..Default::default() };
    fixture.call::<api::DeleteNetworkInterface>(input).await.unwrap();
    let addresses =
        fixture.call::<api::DescribeAddresses>(Default::default()).await.unwrap().addresses.unwrap();
    assert_eq!(addresses.len(), 1, "the address outlives its interface");
    assert_eq!(addresses[0].association_id, None);
}

#[tokio::test]
async fn outside_the_default_vpc_an_address_is_taken_off_before_it_goes() {
    let fixture = Fixture::new().await;
    let vpc = fixture.vpc("10.0.0.0/16").await;
    let subnet = fixture.subnet(&vpc, "10.0.0.0/24").await;
    let default = fixture.default_subnet().await.subnet_id.unwrap();
    for (subnet, released) in [(subnet, false), (default, true)] {
        let allocated = fixture.call::<api::AllocateAddress>(Default::default()).await.unwrap();
        let input = api::AssociateAddressRequest {
            allocation_id: allocated.allocation_id.clone(),
            network_interface_id: interface(&fixture, &subnet).await,
            ..Default::default()
        };
        fixture.call::<api::AssociateAddress>(input).await.unwrap();
        let input =
            api::ReleaseAddressRequest { allocation_id: allocated.allocation_id, ..Default::default() };
        let answer = fixture.call::<api::ReleaseAddress>(input).await;
        if released {
            answer.unwrap();
        } else {
            let message = format!("Address {} is in use.", allocated.public_ip.unwrap());
            refused(answer, "InvalidIPAddress.InUse", &message);
        }
    }
}
