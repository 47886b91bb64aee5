//! The default network of an account and region, made at first use as AWS has it from the start; and what every new VPC
//! comes with.

use std::net::Ipv4Addr;

use addressing::{Cidr, vpc};
use state_store::Tx;
use vocabulary::{Ids, Scope};

use super::{
    ranges,
    records::{
        DefaultNetwork, InternetGateway, RouteTable, RulePeer, SecurityGroup, SecurityGroupRule, Subnet, Vpc,
    },
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
    create_default(tx, scope, host_ranges, ids).map(drop)
}

/// Makes a default VPC: a subnet in every zone, and a way outside.
///
/// # Errors
/// `VpcLimitExceeded` when no range is left.
pub fn create_default(
    tx: &mut Tx,
    scope: &Scope,
    host_ranges: &[Cidr],
    ids: &mut impl Ids,
) -> Result<Vpc, ApiError> {
    let mut taken: Vec<Cidr> = host_ranges.to_vec();
    taken.extend(tx.view().scan_all::<Vpc>().map(|found| found.value.cidr));
    let range = vpc::choose_default_vpc(&taken).ok_or_else(|| {
        ApiError::undeclared(
            "VpcLimitExceeded",
            400,
            "No range is left for another default VPC on this platform.",
        )
    })?;
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
    let gateway = InternetGateway {
        id: format!("igw-{}", ids.hex(17)),
        vpc_id: Some(network.id.clone()),
        tags: Tags::new(),
    };
    furnish(tx, scope, &network, Some(gateway.id.clone()), ids);
    tx.put(scope, &gateway.id.clone(), gateway);
    tx.put(scope, DefaultNetwork::ID, DefaultNetwork { vpc_id: network.id.clone() });
    tx.put(scope, &network.id, network.clone());
    Ok(network)
}

/// What every VPC has from the start: its range if that is free, a security group, a main route table.
pub fn furnish(tx: &mut Tx, scope: &Scope, network: &Vpc, outside: Option<String>, ids: &mut impl Ids) {
    ranges::take_if_free(tx, scope, network);
    let group = default_group(&network.id, ids);
    tx.put(scope, &group.id.clone(), group);
    let table = RouteTable {
        id: format!("rtb-{}", ids.hex(17)),
        vpc_id: network.id.clone(),
        main_association: Some(format!("rtbassoc-{}", ids.hex(17))),
        associations: Vec::new(),
        outside,
        client_token: None,
        tags: Tags::new(),
    };
    tx.put(scope, &table.id.clone(), table);
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

/// The domain that tasks search: `REGION.compute.internal`, `ec2.internal` in us-east-1.
pub fn domain(scope: &Scope) -> String {
    match scope.region.as_str() {
        "us-east-1" => "ec2.internal".to_owned(),
        region => format!("{region}.compute.internal"),
    }
}

/// `ip-172-31-0-5.REGION.compute.internal`, as EC2 names private addresses; empty in a VPC that gives no names.
pub fn private_dns_name(scope: &Scope, vpc: &Vpc, address: Ipv4Addr) -> String {
    if !(vpc.enable_dns_support && vpc.enable_dns_hostnames) {
        return String::new();
    }
    format!("ip-{}.{}", address.to_string().replace('.', "-"), domain(scope))
}
