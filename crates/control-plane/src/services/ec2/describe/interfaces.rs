//! DescribeNetworkInterfaces, and interfaces as the API shows them.

use std::sync::Arc;

use aws_shapes_ec2 as ec2;
use aws_shapes_ec2::{DescribeNetworkInterfacesRequest, DescribeNetworkInterfacesResult};
use state_store::View;
use vocabulary::Scope;

use super::zone_id;
use crate::{
    convert::time,
    gateway::{ApiError, Call},
    services::{
        ec2::{
            errors::interface_not_found,
            filters::{Filtered, Filters, chosen, one},
            page,
            records::{NetworkInterface, PublicAssociation, SecurityGroup},
            tags,
        },
        tagging::Tags,
    },
};

struct InterfaceView<'a>(&'a View, &'a Scope, &'a NetworkInterface);

impl Filtered for InterfaceView<'_> {
    fn values(&self, name: &str) -> Option<Vec<String>> {
        let InterfaceView(view, scope, interface) = *self;
        let public = |of: fn(&PublicAssociation) -> Option<String>| {
            Some(interface.public.as_ref().and_then(of).into_iter().collect())
        };
        match name {
            "network-interface-id" => one(&interface.id),
            "vpc-id" => one(&interface.vpc_id),
            "subnet-id" => one(&interface.subnet_id),
            "availability-zone" => one(&interface.availability_zone),
            "mac-address" => one(interface.mac_address),
            "private-ip-address" | "addresses.private-ip-address" => one(interface.private_address),
            "private-dns-name" => one(&interface.private_dns_name),
            "description" => one(&interface.description),
            "owner-id" => one(&scope.account),
            "requester-managed" => one(interface.requester_managed),
            "interface-type" => one("interface"),
            "source-dest-check" => one(true),
            "status" => one(if interface.attachment.is_some() { "in-use" } else { "available" }),
            "attachment.status" => Some(interface.attachment.iter().map(|_| "attached".to_owned()).collect()),
            "attachment.attachment-id" => {
                Some(interface.attachment.iter().map(|attachment| attachment.id.clone()).collect())
            }
            "group-id" => Some(interface.security_groups.clone()),
            "group-name" => Some(
                group_identifiers(view, scope, interface)
                    .into_iter()
                    .filter_map(|group| group.group_name)
                    .collect(),
            ),
            "association.public-ip" | "addresses.association.public-ip" => {
                public(|public| Some(public.address.to_string()))
            }
            "association.allocation-id" => public(|public| public.allocation_id.clone()),
            "association.association-id" => public(|public| public.association_id.clone()),
            _ => None,
        }
    }

    fn tags(&self) -> &Tags {
        &self.2.tags
    }
}

pub async fn network_interfaces(
    call: Call,
    input: DescribeNetworkInterfacesRequest,
) -> Result<DescribeNetworkInterfacesResult, ApiError> {
    let scope = call.scope();
    let filters = Filters::new(input.filters);
    let view = call.services.state.view();
    let is_shown = |interface: &NetworkInterface| filters.match_all(&InterfaceView(&view, scope, interface));
    let found = chosen(&view, scope, input.network_interface_ids, interface_not_found, is_shown)?;
    let key = |interface: &Arc<NetworkInterface>| interface.id.clone();
    let page = page(&call, "network-interfaces", found, key, input.next_token, input.max_results)?;
    Ok(DescribeNetworkInterfacesResult {
        network_interfaces: Some(
            page.items.iter().map(|interface| interface_shape(&view, scope, interface)).collect(),
        ),
        next_token: page.next_token,
    })
}

pub fn group_identifiers(
    view: &View,
    scope: &Scope,
    interface: &NetworkInterface,
) -> Vec<ec2::GroupIdentifier> {
    let groups = interface.security_groups.iter();
    groups
        .map(|id| ec2::GroupIdentifier {
            group_id: Some(id.clone()),
            group_name: view.get::<SecurityGroup>(scope, id).map(|group| group.name.clone()),
        })
        .collect()
}

/// As the API shows an interface.
pub fn interface_shape(view: &View, scope: &Scope, interface: &NetworkInterface) -> ec2::NetworkInterface {
    let association = interface.public.as_ref().map(|public| ec2::NetworkInterfaceAssociation {
        allocation_id: public.allocation_id.clone(),
        association_id: public.association_id.clone(),
        ip_owner_id: Some(if public.allocation_id.is_some() {
            scope.account.to_string()
        } else {
            "amazon".to_owned()
        }),
        public_dns_name: Some(String::new()),
        public_ip: Some(public.address.to_string()),
        ..ec2::NetworkInterfaceAssociation::default()
    });
    let dns_name = Some(interface.private_dns_name.clone()).filter(|name| !name.is_empty());
    ec2::NetworkInterface {
        association: association.clone(),
        attachment: attachment_shape(scope, interface),
        availability_zone: Some(interface.availability_zone.clone()),
        availability_zone_id: Some(zone_id(&interface.availability_zone)),
        description: Some(interface.description.clone()),
        groups: Some(group_identifiers(view, scope, interface)),
        interface_type: Some(ec2::NetworkInterfaceType::Interface),
        ipv6_addresses: Some(Vec::new()),
        mac_address: Some(interface.mac_address.to_string()),
        network_interface_id: Some(interface.id.clone()),
        owner_id: Some(scope.account.to_string()),
        private_dns_name: dns_name.clone(),
        private_ip_address: Some(interface.private_address.to_string()),
        private_ip_addresses: Some(vec![ec2::NetworkInterfacePrivateIpAddress {
            association,
            primary: Some(true),
            private_dns_name: dns_name,
            private_ip_address: Some(interface.private_address.to_string()),
        }]),
        requester_id: interface.attachment.as_ref().and_then(|attachment| attachment.service.clone()),
        requester_managed: Some(interface.requester_managed),
        source_dest_check: Some(true),
        status: Some(if interface.attachment.is_some() {
            ec2::NetworkInterfaceStatus::InUse
        } else {
            ec2::NetworkInterfaceStatus::Available
        }),
        subnet_id: Some(interface.subnet_id.clone()),
        tag_set: Some(tags::shape(&interface.tags)),
        vpc_id: Some(interface.vpc_id.clone()),
        ..ec2::NetworkInterface::default()
    }
}

pub fn attachment_shape(
    scope: &Scope,
    interface: &NetworkInterface,
) -> Option<ec2::NetworkInterfaceAttachment> {
    interface.attachment.as_ref().map(|attachment| ec2::NetworkInterfaceAttachment {
        attach_time: Some(time(attachment.attached_at)),
        attachment_id: Some(attachment.id.clone()),
        delete_on_termination: Some(false),
        device_index: Some(1),
        instance_owner_id: Some(attachment.service.clone().unwrap_or_else(|| scope.account.to_string())),
        status: Some(ec2::AttachmentStatus::Attached),
        ..ec2::NetworkInterfaceAttachment::default()
    })
}
