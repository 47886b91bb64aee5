//! The default network of an account and region: made at first use, as AWS has it from the start.

use std::net::Ipv4Addr;

use addressing::{Cidr, vpc};
use state_store::Tx;
use vocabulary::{Ids, Scope};

use super::records::{
    DefaultNetwork, RangeClaim, RulePeer, SecurityGroup, SecurityGroupRule, Subnet, Vpc, global,
};
use crate::{
    gateway::ApiError,
    services::{Services, tagging::Tags},
};

/// The zones of every region.
pub const ZONES: [char; 3] = ['a', 'b', 'c'];

/// Makes the default network of `scope` unless it was made before.
pub async fn ensure_default(services: &Services, scope: &Scope) -> Result<(), ApiError> {
    if services.state.read(|view| view.get::<DefaultNetwork>(scope, DefaultNetwork::ID).is_some()) {
        return Ok(());
    }
    let host_routes = services.host_ranges.clone();
    services.state.transact(|tx| ensure_default_in(tx, scope, &host_routes, &mut services.ids())).await
}

fn ensure_default_in(
    tx: &mut Tx,
    scope: &Scope,
    host_ranges: &[Cidr],
    ids: &mut impl Ids,
) -> Result<(), ApiError> {
    if tx.get::<DefaultNetwork>(scope, DefaultNetwork::ID).is_some() {
        return Ok(());
    }
    let mut taken: Vec<Cidr> = host_ranges.to_vec();
    taken.extend(tx.view().scan_all::<Vpc>().map(|found| found.value.cidr));
    let range = vpc::choose_default_vpc(&taken).ok_or_else(|| {
        ApiError::undeclared(
            "VpcLimitExceeded",
            400,
            "No range is left for another default VPC on this platform.",
        )
    })?;
    tx.create(&global(), &range.to_string(), RangeClaim { scope: scope.clone() })
        .map_err(ApiError::internal)?;
    let network = Vpc {
        id: format!("vpc-{}", ids.hex(17)),
        cidr: range,
        is_default: true,
        enable_dns_support: true,
        enable_dns_hostnames: true,
        tags: Tags::new(),
    };
    for (zone, cidr) in ZONES.iter().zip(vpc::default_subnets(range)) {
        let subnet = Subnet {
            id: format!("subnet-{}", ids.hex(17)),
            vpc_id: network.id.clone(),
            cidr,
            availability_zone: format!("{}{zone}", scope.region),
            default_for_zone: true,
            map_public_ip_on_launch: true,
            tags: Tags::new(),
        };
        tx.put(scope, &subnet.id.clone(), subnet);
    }
    let group = default_group(&network.id, ids);
    tx.put(scope, &group.id.clone(), group);
    tx.put(scope, DefaultNetwork::ID, DefaultNetwork { vpc_id: network.id.clone() });
    tx.put(scope, &network.id.clone(), network);
    Ok(())
}

/// The group that every VPC has: members reach each other, and everything outward.
pub fn default_group(vpc_id: &str, ids: &mut impl Ids) -> SecurityGroup {
    let id = format!("sg-{}", ids.hex(17));
    SecurityGroup {
        vpc_id: vpc_id.to_owned(),
        name: "default".to_owned(),
        description: "default VPC security group".to_owned(),
        rules: vec![
            SecurityGroupRule {
                id: format!("sgr-{}", ids.hex(17)),
                egress: false,
                protocol: "-1".to_owned(),
                from_port: None,
                to_port: None,
                peer: RulePeer::Group(id.clone()),
                description: None,
                tags: Tags::new(),
            },
            allow_all_outward(ids),
        ],
        tags: Tags::new(),
        id,
    }
}

/// The rule that every new group has.
pub fn allow_all_outward(ids: &mut impl Ids) -> SecurityGroupRule {
    SecurityGroupRule {
        id: format!("sgr-{}", ids.hex(17)),
        egress: true,
        protocol: "-1".to_owned(),
        from_port: None,
        to_port: None,
        peer: RulePeer::Cidr(Cidr::ANYWHERE),
        description: None,
        tags: Tags::new(),
    }
}

/// `ip-172-31-0-5.REGION.compute.internal` (`.ec2.internal` in us-east-1), as EC2 names private addresses.
pub fn private_dns_name(scope: &Scope, address: Ipv4Addr) -> String {
    let host = address.to_string().replace('.', "-");
    match scope.region.as_str() {
        "us-east-1" => format!("ip-{host}.ec2.internal"),
        region => format!("ip-{host}.{region}.compute.internal"),
    }
}
