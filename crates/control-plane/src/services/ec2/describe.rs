//! DescribeVpcs, DescribeSubnets, DescribeNetworkInterfaces, DescribeAvailabilityZones, DescribeRegions.

mod interfaces;

use aws_shapes_ec2 as ec2;
use aws_shapes_ec2::{
    DescribeAvailabilityZonesRequest, DescribeAvailabilityZonesResult, DescribeRegionsRequest,
    DescribeRegionsResult, DescribeSubnetsRequest, DescribeSubnetsResult, DescribeVpcsRequest,
    DescribeVpcsResult,
};
use state_store::View;
use vocabulary::Scope;

use super::{
    constant,
    errors::{invalid_value, subnet_not_found, vpc_not_found},
    filters::{Filtered, Filters, chosen, one},
    networks::{self, ZONES},
    page,
    records::{NetworkInterface, Subnet, Vpc},
    tags,
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::Tags,
};
pub use interfaces::{attachment_shape, group_identifiers, interface_shape, network_interfaces};

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
    let view = call.services.state.view();
    let is_shown = |vpc: &Vpc| filters.match_all(&VpcView(scope, vpc));
    let found = chosen(&view, scope, input.vpc_ids, vpc_not_found, is_shown)?;
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
    let view = call.services.state.view();
    let is_shown = |subnet: &Subnet| filters.match_all(&SubnetView(&view, scope, subnet));
    let found = chosen(&view, scope, input.subnet_ids, subnet_not_found, is_shown)?;
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
