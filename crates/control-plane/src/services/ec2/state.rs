//! What nodes need to know of the networks: an interface as its task gets it, and the security groups.

use agent_protocol::spec;
use state_store::View;
use vocabulary::Scope;

use super::{
    networks::domain,
    ranges,
    records::{NetworkInterface, RulePeer, SecurityGroup, SecurityGroupRule, Subnet, Vpc},
    routing::Routing,
};

/// The interface of a task, as its specification has it. `None` when the interface or its network is gone.
///
/// The public address is left out in a subnet without a way outside: [`Routing`] says why.
pub fn task_interface(
    view: &View,
    scope: &Scope,
    id: &str,
    attachment_arn: &str,
) -> Option<spec::NetworkInterface> {
    let interface = view.get::<NetworkInterface>(scope, id)?;
    let subnet = view.get::<Subnet>(scope, &interface.subnet_id)?;
    let vpc = view.get::<Vpc>(scope, &interface.vpc_id)?;
    let public_address = interface.public.as_ref().map(|public| public.address);
    let leads_outside = || Routing::of(view, scope, &vpc.id).leads_outside(&subnet.id);
    let dns_servers =
        if vpc.enable_dns_support { vec![addressing::vpc::resolver(vpc.cidr)] } else { Vec::new() };
    // Where the VPC gives no names, a task's host name is any.
    let private_dns_name = match interface.private_dns_name.as_str() {
        "" => interface.id.replacen("eni-", "ip-", 1),
        name => name.to_owned(),
    };
    Some(spec::NetworkInterface {
        interface_id: interface.id.clone(),
        attachment_arn: attachment_arn.to_owned(),
        vpc_id: vpc.id.clone(),
        subnet_id: subnet.id.clone(),
        mac_address: interface.mac_address,
        private_address: interface.private_address,
        subnet_cidr: subnet.cidr,
        router_address: addressing::vpc::router(subnet.cidr),
        dns_servers,
        dns_search_domains: vec![domain(scope)],
        private_dns_name,
        public_address: public_address.filter(|_| leads_outside()),
        security_group_ids: interface.security_groups.clone(),
    })
}

/// The networks of all accounts that have their ranges: no two of them overlap.
pub fn vpcs(view: &View) -> Vec<spec::Vpc> {
    let holders = ranges::holders(view);
    let networks = holders.into_iter().map(|holder| spec::Vpc {
        subnets: view
            .by_index::<Subnet>(&holder.scope, "vpc", &holder.vpc_id)
            .map(|(_, subnet)| subnet.cidr)
            .collect(),
        cidr: holder.range,
        vpc_id: holder.vpc_id,
    });
    networks.collect()
}

/// The group of interfaces that may have none: of network load balancers made without, which let everything pass.
pub const OPEN_GROUP: &str = "sg-none";

fn open_group(view: &View) -> Option<spec::SecurityGroup> {
    let of_services = view.scan_all::<NetworkInterface>().filter(|found| {
        found.value.attachment.as_ref().is_some_and(|attachment| attachment.service.is_some())
    });
    let without = of_services.filter(|found| found.value.security_groups.is_empty());
    let member_addresses: Vec<_> = without.map(|found| found.value.private_address).collect();
    let all = || spec::SecurityRule {
        protocol: spec::RuleProtocol::All,
        peer: spec::RulePeer::Cidr(addressing::Cidr::ANYWHERE),
    };
    (!member_addresses.is_empty()).then(|| spec::SecurityGroup {
        group_id: OPEN_GROUP.to_owned(),
        ingress: vec![all()],
        egress: vec![all()],
        member_addresses,
    })
}

/// The security groups of all accounts that have members.
pub fn security_groups(view: &View) -> Vec<spec::SecurityGroup> {
    let declared = view.scan_all::<SecurityGroup>().filter_map(|found| {
        let interfaces = view.by_index::<NetworkInterface>(&found.scope, "group", &found.id);
        // An interface of no task sends and receives nothing.
        let members = interfaces.filter(|(_, interface)| interface.attachment.is_some());
        let member_addresses: Vec<_> = members.map(|(_, interface)| interface.private_address).collect();
        // A group without members takes part in no rule that could match.
        if member_addresses.is_empty() {
            return None;
        }
        let rules = |egress: bool| {
            found.value.rules.iter().filter(|rule| rule.egress == egress).filter_map(rule).collect()
        };
        Some(spec::SecurityGroup {
            group_id: found.id.clone(),
            ingress: rules(false),
            egress: rules(true),
            member_addresses,
        })
    });
    declared.chain(open_group(view)).collect()
}

/// A rule as nodes enforce it; `None` for IPv6, of which the platform has none.
fn rule(rule: &SecurityGroupRule) -> Option<spec::SecurityRule> {
    let peer = match &rule.peer {
        RulePeer::Cidr(range) => spec::RulePeer::Cidr(*range),
        RulePeer::Group(id) => spec::RulePeer::SecurityGroup(id.clone()),
        RulePeer::Ipv6Cidr(_) => return None,
    };
    let port = |port: Option<i32>, all: u16| port.and_then(|port| u16::try_from(port).ok()).unwrap_or(all);
    let icmp = |number: Option<i32>| number.and_then(|number| u8::try_from(number).ok());
    let protocol = match rule.protocol.as_str() {
        "-1" => spec::RuleProtocol::All,
        "tcp" | "6" => spec::RuleProtocol::Tcp {
            from_port: port(rule.from_port, 0),
            to_port: port(rule.to_port, u16::MAX),
        },
        "udp" | "17" => spec::RuleProtocol::Udp {
            from_port: port(rule.from_port, 0),
            to_port: port(rule.to_port, u16::MAX),
        },
        "icmp" | "1" => {
            spec::RuleProtocol::Icmp { icmp_type: icmp(rule.from_port), icmp_code: icmp(rule.to_port) }
        }
        number => spec::RuleProtocol::Number(number.parse().ok()?),
    };
    Some(spec::SecurityRule { protocol, peer })
}
