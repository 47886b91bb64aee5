//! What nodes need to know of the networks: an interface as its task gets it, and the security groups.

use agent_protocol::spec;
use state_store::View;
use vocabulary::Scope;

use super::records::{NetworkInterface, RulePeer, SecurityGroup, SecurityGroupRule, Subnet, Vpc};

/// The interface of a task, as its specification has it. `None` when the interface or its network is gone.
pub fn task_interface(
    view: &View,
    scope: &Scope,
    id: &str,
    attachment_arn: &str,
) -> Option<spec::NetworkInterface> {
    let interface = view.get::<NetworkInterface>(scope, id)?;
    let subnet = view.get::<Subnet>(scope, &interface.subnet_id)?;
    let vpc = view.get::<Vpc>(scope, &interface.vpc_id)?;
    let (_, domain) = interface.private_dns_name.split_once('.')?;
    Some(spec::NetworkInterface {
        interface_id: interface.id.clone(),
        attachment_arn: attachment_arn.to_owned(),
        vpc_id: vpc.id.clone(),
        subnet_id: subnet.id.clone(),
        mac_address: interface.mac_address,
        private_address: interface.private_address,
        subnet_cidr: subnet.cidr,
        router_address: addressing::vpc::router(subnet.cidr),
        dns_servers: vec![addressing::vpc::resolver(vpc.cidr)],
        dns_search_domains: vec![domain.to_owned()],
        private_dns_name: interface.private_dns_name.clone(),
        public_address: interface.public.as_ref().map(|public| public.address),
        security_group_ids: interface.security_groups.clone(),
    })
}

/// The networks of all accounts.
pub fn vpcs(view: &View) -> Vec<spec::Vpc> {
    view.scan_all::<Vpc>()
        .map(|found| spec::Vpc {
            subnets: view
                .by_index::<Subnet>(&found.scope, "vpc", &found.id)
                .map(|(_, subnet)| subnet.cidr)
                .collect(),
            cidr: found.value.cidr,
            vpc_id: found.id,
        })
        .collect()
}

/// The security groups of all accounts that have members.
pub fn security_groups(view: &View) -> Vec<spec::SecurityGroup> {
    view.scan_all::<SecurityGroup>()
        .filter_map(|found| {
            let members = view.by_index::<NetworkInterface>(&found.scope, "group", &found.id);
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
        })
        .collect()
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
