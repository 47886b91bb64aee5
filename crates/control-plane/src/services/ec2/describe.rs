//! DescribeVpcs, DescribeSubnets, DescribeNetworkInterfaces, DescribeAvailabilityZones, DescribeRegions.

use aws_shapes_ec2 as ec2;
use aws_shapes_ec2::{
    DescribeAvailabilityZonesRequest, DescribeAvailabilityZonesResult, DescribeNetworkInterfacesRequest,
    DescribeNetworkInterfacesResult, DescribeRegionsRequest, DescribeRegionsResult, DescribeSubnetsRequest,
    DescribeSubnetsResult, DescribeVpcsRequest, DescribeVpcsResult,
};
use state_store::View;
use vocabulary::Scope;

use super::{
    constant,
    errors::{interface_not_found, invalid_value, subnet_not_found, vpc_not_found},
    filters::{Filtered, Filters, one},
    networks::{self, ZONES},
    page,
    records::{NetworkInterface, PublicAssociation, SecurityGroup, Subnet, Vpc},
    tags,
};
use crate::{
    convert::time,
    gateway::{ApiError, Call},
    services::tagging::Tags,
};

impl Filtered for Vpc {
    fn values(&self, name: &str) -> Option<Vec<String>> {
        match name {
            "vpc-id" => one(&self.id),
            "cidr" | "cidr-block-association.cidr-block" => one(self.cidr),
            "is-default" | "isDefault" => one(self.is_default),
            "state" => one("available"),
            "cidr-block-association.association-id" => one(cidr_association_id(&self.id)),
            "cidr-block-association.state" => one("associated"),
            "ipv6-cidr-block-association.association-id"
            | "ipv6-cidr-block-association.ipv6-cidr-block"
            | "ipv6-cidr-block-association.ipv6-pool"
            | "ipv6-cidr-block-association.state" => Some(Vec::new()),
            _ => None,
        }
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }
}

fn cidr_association_id(vpc_id: &str) -> String {
    vpc_id.replacen("vpc-", "vpc-cidr-assoc-", 1)
}

struct VpcView<'a>(&'a Scope, &'a Vpc);

impl Filtered for VpcView<'_> {
    fn values(&self, name: &str) -> Option<Vec<String>> {
        match name {
            "owner-id" => one(&self.0.account),
            "dhcp-options-id" => one(constant::dhcp_options_id(self.0)),
            _ => self.1.values(name),
        }
    }

    fn tags(&self) -> &Tags {
        &self.1.tags
    }
}

pub async fn vpcs(call: Call, input: DescribeVpcsRequest) -> Result<DescribeVpcsResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let filters = Filters::new(input.filters);
    let ids = input.vpc_ids.unwrap_or_default();
    let view = call.services.state.view();
    for id in &ids {
        view.get::<Vpc>(scope, id).ok_or_else(|| vpc_not_found(id))?;
    }
    let mut found = Vec::new();
    for (id, vpc) in view.scan::<Vpc>(scope) {
        if (ids.is_empty() || ids.iter().any(|wanted| wanted == id))
            && filters.match_all(&VpcView(scope, &vpc))?
        {
            found.push(vpc);
        }
    }
    let page = page(&call, "vpcs", found, |vpc| vpc.id.clone(), input.next_token, input.max_results)?;
    Ok(DescribeVpcsResult {
        vpcs: Some(page.items.iter().map(|vpc| vpc_shape(scope, vpc)).collect()),
        next_token: page.next_token,
    })
}

/// As the API shows a VPC.
pub fn vpc_shape(scope: &Scope, vpc: &Vpc) -> ec2::Vpc {
    ec2::Vpc {
        cidr_block: Some(vpc.cidr.to_string()),
        cidr_block_association_set: Some(vec![ec2::VpcCidrBlockAssociation {
            association_id: Some(cidr_association_id(&vpc.id)),
            cidr_block: Some(vpc.cidr.to_string()),
            cidr_block_state: Some(ec2::VpcCidrBlockState {
                state: Some(ec2::VpcCidrBlockStateCode::Associated),
                ..ec2::VpcCidrBlockState::default()
            }),
        }]),
        dhcp_options_id: Some(constant::dhcp_options_id(scope)),
        instance_tenancy: Some(ec2::Tenancy::Default),
        is_default: Some(vpc.is_default),
        owner_id: Some(scope.account.to_string()),
        state: Some(ec2::VpcState::Available),
        tags: Some(tags::shape(&vpc.tags)),
        vpc_id: Some(vpc.id.clone()),
        ..ec2::Vpc::default()
    }
}

struct SubnetView<'a>(&'a View, &'a Scope, &'a Subnet);

impl SubnetView<'_> {
    fn free_addresses(&self) -> u64 {
        let used = self.0.by_index::<NetworkInterface>(self.1, "subnet", &self.2.id).count() as u64;
        // EC2 keeps five addresses of every subnet.
        self.2.cidr.size().saturating_sub(5).saturating_sub(used)
    }
}

impl Filtered for SubnetView<'_> {
    fn values(&self, name: &str) -> Option<Vec<String>> {
        let subnet = self.2;
        match name {
            "subnet-id" => one(&subnet.id),
            "vpc-id" => one(&subnet.vpc_id),
            "cidr" | "cidr-block" | "cidrBlock" => one(subnet.cidr),
            "availability-zone" | "availabilityZone" => one(&subnet.availability_zone),
            "availability-zone-id" => one(zone_id(&subnet.availability_zone)),
            "default-for-az" | "defaultForAz" => one(subnet.default_for_zone),
            "map-public-ip-on-launch" => one(subnet.map_public_ip_on_launch),
            "available-ip-address-count" => one(self.free_addresses()),
            "owner-id" => one(&self.1.account),
            "state" => one("available"),
            "subnet-arn" => one(subnet_arn(self.1, &subnet.id)),
            _ => None,
        }
    }

    fn tags(&self) -> &Tags {
        &self.2.tags
    }
}

fn subnet_arn(scope: &Scope, id: &str) -> String {
    scope.arn("ec2", format_args!("subnet/{id}")).to_string()
}

/// `use1-az1` for `us-east-1a`: the region's words in short, its number, and the zone's position.
pub fn zone_id(zone: &str) -> String {
    let (region, letter) = zone.split_at(zone.len().saturating_sub(1));
    let mut words = region.split('-');
    let mut short = words.next().unwrap_or_default().to_owned();
    for word in words {
        short.push_str(match word {
            "northeast" => "ne",
            "northwest" => "nw",
            "southeast" => "se",
            "southwest" => "sw",
            "gov" => "g",
            "iso" | "isob" => word,
            other => other.get(..1).unwrap_or_default(),
        });
    }
    let position = letter.bytes().next().map_or(0, |letter| letter.saturating_sub(b'a') + 1);
    format!("{short}-az{position}")
}

pub async fn subnets(call: Call, input: DescribeSubnetsRequest) -> Result<DescribeSubnetsResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let filters = Filters::new(input.filters);
    let ids = input.subnet_ids.unwrap_or_default();
    let view = call.services.state.view();
    for id in &ids {
        view.get::<Subnet>(scope, id).ok_or_else(|| subnet_not_found(id))?;
    }
    let mut found = Vec::new();
    for (id, subnet) in view.scan::<Subnet>(scope) {
        if (ids.is_empty() || ids.iter().any(|wanted| wanted == id))
            && filters.match_all(&SubnetView(&view, scope, &subnet))?
        {
            found.push(subnet);
        }
    }
    let page =
        page(&call, "subnets", found, |subnet| subnet.id.clone(), input.next_token, input.max_results)?;
    Ok(DescribeSubnetsResult {
        subnets: Some(page.items.iter().map(|subnet| subnet_shape(&view, scope, subnet)).collect()),
        next_token: page.next_token,
    })
}

/// As the API shows a subnet.
pub fn subnet_shape(view: &View, scope: &Scope, subnet: &Subnet) -> ec2::Subnet {
    ec2::Subnet {
        assign_ipv6_address_on_creation: Some(false),
        availability_zone: Some(subnet.availability_zone.clone()),
        availability_zone_id: Some(zone_id(&subnet.availability_zone)),
        available_ip_address_count: i32::try_from(SubnetView(view, scope, subnet).free_addresses()).ok(),
        cidr_block: Some(subnet.cidr.to_string()),
        default_for_az: Some(subnet.default_for_zone),
        enable_dns64: Some(false),
        ipv6_cidr_block_association_set: Some(Vec::new()),
        ipv6_native: Some(false),
        map_customer_owned_ip_on_launch: Some(false),
        map_public_ip_on_launch: Some(subnet.map_public_ip_on_launch),
        owner_id: Some(scope.account.to_string()),
        private_dns_name_options_on_launch: Some(ec2::PrivateDnsNameOptionsOnLaunch {
            enable_resource_name_dns_aaaa_record: Some(false),
            enable_resource_name_dns_a_record: Some(false),
            hostname_type: Some(ec2::HostnameType::IpName),
        }),
        state: Some(ec2::SubnetState::Available),
        subnet_arn: Some(subnet_arn(scope, &subnet.id)),
        subnet_id: Some(subnet.id.clone()),
        tags: Some(tags::shape(&subnet.tags)),
        vpc_id: Some(subnet.vpc_id.clone()),
        ..ec2::Subnet::default()
    }
}

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
    let ids = input.network_interface_ids.unwrap_or_default();
    let view = call.services.state.view();
    for id in &ids {
        view.get::<NetworkInterface>(scope, id).ok_or_else(|| interface_not_found(id))?;
    }
    let mut found = Vec::new();
    for (id, interface) in view.scan::<NetworkInterface>(scope) {
        let chosen = ids.is_empty() || ids.iter().any(|wanted| wanted == id);
        if chosen && filters.match_all(&InterfaceView(&view, scope, &interface))? {
            found.push(interface);
        }
    }
    let key = |interface: &std::sync::Arc<NetworkInterface>| interface.id.clone();
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

pub async fn availability_zones(
    call: Call,
    input: DescribeAvailabilityZonesRequest,
) -> Result<DescribeAvailabilityZonesResult, ApiError> {
    struct Zone(String, String, Tags);
    impl Filtered for Zone {
        fn values(&self, name: &str) -> Option<Vec<String>> {
            match name {
                "zone-name" => one(&self.0),
                "zone-id" => one(zone_id(&self.0)),
                "region-name" | "group-name" => one(&self.1),
                "state" => one("available"),
                "zone-type" => one("availability-zone"),
                "opt-in-status" => one("opt-in-not-required"),
                _ => None,
            }
        }

        fn tags(&self) -> &Tags {
            &self.2
        }
    }
    let region = call.scope().region.to_string();
    let filters = Filters::new(input.filters);
    let names = input.zone_names.unwrap_or_default();
    let ids = input.zone_ids.unwrap_or_default();
    let mut zones = Vec::new();
    for letter in ZONES {
        let zone = Zone(format!("{region}{letter}"), region.clone(), Tags::new());
        let chosen = (names.is_empty() || names.contains(&zone.0))
            && (ids.is_empty() || ids.contains(&zone_id(&zone.0)));
        if chosen && filters.match_all(&zone)? {
            zones.push(ec2::AvailabilityZone {
                group_name: Some(region.clone()),
                network_border_group: Some(region.clone()),
                opt_in_status: Some(ec2::AvailabilityZoneOptInStatus::OptInNotRequired),
                region_name: Some(region.clone()),
                state: Some(ec2::AvailabilityZoneState::Available),
                zone_id: Some(zone_id(&zone.0)),
                zone_type: Some("availability-zone".to_owned()),
                messages: Some(Vec::new()),
                zone_name: Some(zone.0),
                ..ec2::AvailabilityZone::default()
            });
        }
    }
    if let Some(name) =
        names.iter().find(|name| !ZONES.iter().any(|letter| format!("{region}{letter}") == **name))
    {
        return Err(invalid_value(format!("Invalid availability zone: [{name}]")));
    }
    Ok(DescribeAvailabilityZonesResult { availability_zones: Some(zones) })
}

/// Any region name works here; what is listed is the one that was asked, and those that were named.
pub async fn regions(call: Call, input: DescribeRegionsRequest) -> Result<DescribeRegionsResult, ApiError> {
    let names = input
        .region_names
        .filter(|names| !names.is_empty())
        .unwrap_or_else(|| vec![call.scope().region.to_string()]);
    let regions = names.into_iter().map(|name| ec2::Region {
        endpoint: Some(call.services.settings.public_name.clone()),
        opt_in_status: Some("opt-in-not-required".to_owned()),
        region_name: Some(name),
        ..ec2::Region::default()
    });
    Ok(DescribeRegionsResult { regions: Some(regions.collect()) })
}
