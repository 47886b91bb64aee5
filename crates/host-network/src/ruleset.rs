//! The nftables ruleset as text for `nft -f`: one `inet` table, replaced as a whole when VPCs change or on start
//! (one transaction: every packet meets either the old rules or the new ones), and in pieces when a group changes.
//!
//! A packet's way, and where it is judged:
//!
//! | from → to | prerouting | route | input / forward | postrouting |
//! |---|---|---|---|---|
//! | task → task | `from-tasks`: source, egress | /32 | `between`: same VPC | `to-tasks`: ingress |
//! | task → public address | `from-tasks`, then translated | /32 | `between`: holds a public address | source translated, `to-tasks` |
//! | task → outside | `from-tasks` | default | `between`: holds a public address | masqueraded |
//! | task → host | `from-tasks`: services | local | `to-host`: services | |
//! | host → task, public | (output: translated) | /32 | | `to-tasks`: ingress |
//! | outside → public address | translated | /32 | `between`: translated | `to-tasks`: ingress |
//! | anyone → published port | translated | /32 | `between`: translated | source translated where need be |
//! | bridged → anywhere | `from-tasks` | any | `between` | masqueraded |
//!
//! Egress is judged before and ingress after address translation: like on AWS, rules see public addresses where a
//! connection goes by way of them, and a rule naming a group matches private addresses only. What a load balancer sends in a client's
//! name (`sources`) is judged as the client's, and by rules naming a group as the load balancer's too.
//!
//! Every chain lets through untouched what neither comes from nor goes to one of our interfaces; the exception is
//! stated at `gated`. Verdicts by group are looked up by address in maps, so that the number of interfaces does
//! not matter to a packet and attaching one adds elements, not rules.

use std::{collections::BTreeMap, fmt::Write, net::Ipv4Addr};

use addressing::{Cidr, vpc};

use crate::{
    entry::{Entry, members_set},
    spec::{
        GroupId, HostAddress, HostService, INSTANCE_METADATA_ADDRESS, METADATA_ADDRESS, NetworkConfig, Peer,
        Ports, RESOLVER_ADDRESS, Rule, SecurityGroupSpec, Traffic, Transport,
    },
    state::{State, peers_named},
};

/// Links of every network that Longshore keeps on a machine: a platform and a container instance's agent may stand side by side. What
/// goes to the other's is let through here and judged there.
const KIN: &str = "lsh*";

/// The whole table, in place of whatever stood there. `gated` are links that forward only because we made them.
pub(crate) fn whole(state: &State, config: &NetworkConfig, gated: &[String]) -> String {
    let table = &config.table;
    let mut sets = BTreeMap::<String, Vec<String>>::new();
    for entry in state.interfaces.values().flat_map(|interface| Entry::of(interface, &state.unions)) {
        sets.entry(entry.set()).or_default().push(entry.text());
    }
    for (group, addresses) in &state.remote_members {
        let remote = addresses.iter().filter(|address| !state.is_local_member(group, **address));
        sets.entry(members_set(group)).or_default().extend(remote.map(ToString::to_string));
    }
    sets.insert("services".to_owned(), services(state, config));
    let mut resolvers: Vec<String> =
        state.vpcs.values().map(|vpc| vpc::resolver(vpc.cidr).to_string()).collect();
    resolvers.extend((config.resolver != RESOLVER_ADDRESS).then(|| RESOLVER_ADDRESS.to_string()));
    sets.insert("resolvers".to_owned(), resolvers);
    sets.insert("bridged".to_owned(), state.bridge().iter().map(Cidr::to_string).collect());
    sets.insert(
        "same-vpc".to_owned(),
        state.vpcs.values().map(|vpc| format!("{0} . {0}", vpc.cidr)).collect(),
    );
    sets.insert("gated".to_owned(), gated.iter().map(|link| format!("\"{link}\"")).collect());

    let mut text = format!("add table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n");
    let mut set = |kind: &str, name: &str, properties: &str| {
        let elements = match sets.get(name) {
            Some(elements) if !elements.is_empty() => format!(" elements = {{ {} }};", elements.join(", ")),
            _ => String::new(),
        };
        writeln!(text, "{kind} {name} {{ {properties};{elements} }}").expect("writing to a string");
    };
    set("set", "owners", "type ifname . ipv4_addr . ether_addr");
    set("map", "ingress-by-address", "type ipv4_addr : verdict");
    set("map", "egress-by-address", "type ipv4_addr : verdict");
    set("map", "public-to-private", "type ipv4_addr : ipv4_addr");
    set("map", "private-to-public", "type ipv4_addr : ipv4_addr");
    set("set", "services", "type ipv4_addr . inet_proto . inet_service");
    set("set", "resolvers", "type ipv4_addr");
    set("set", "same-vpc", "type ipv4_addr . ipv4_addr; flags interval");
    set("set", "gated", "type ifname");
    set("set", "bridged", "type ipv4_addr; flags interval");
    set("map", "published-tcp", "type inet_service : ipv4_addr . inet_service");
    set("map", "published-udp", "type inet_service : ipv4_addr . inet_service");
    for group in state.groups_with_members() {
        set("set", &members_set(group), "type ipv4_addr");
    }
    for group in state.groups.values() {
        let (ingress, egress) = (judgements(&group.ingress, "saddr"), judgements(&group.egress, "daddr"));
        writeln!(text, "chain in-{} {{\n{}}}", group.id, lines(&ingress)).expect("writing to a string");
        writeln!(text, "chain out-{} {{\n{}}}", group.id, lines(&egress)).expect("writing to a string");
    }
    for (groups, number) in state.unions.iter() {
        for direction in ["in", "out"] {
            let jumps: Vec<_> = groups.iter().map(|group| format!("jump {direction}-{group}")).collect();
            writeln!(text, "chain {direction}-union-{number} {{\n{}}}", lines(&jumps))
                .expect("writing to a string");
        }
    }
    text.push_str(&base_chains(config, state.bridge().map(vpc::router)));
    text.push_str("}\n");
    text
}

/// `node`: its address on the bridge.
fn base_chains(config: &NetworkConfig, node: Option<Ipv4Addr>) -> String {
    let link_local = Cidr::LINK_LOCAL;
    let NetworkConfig { prefix, metadata, resolver, .. } = config;
    // Where another network holds the well-known address: tasks ask it all the same.
    let translate_metadata = match *metadata == METADATA_ADDRESS {
        true => String::new(),
        false => format!(
            "iifname \"{prefix}-*\" ip daddr {METADATA_ADDRESS} tcp dport 80 dnat ip to {metadata}\n    "
        ),
    };
    let translate_instance_metadata = config.instance_metadata.map_or_else(String::new, |own| {
        format!(
            "iifname \"{prefix}-*\" ip daddr {INSTANCE_METADATA_ADDRESS} tcp dport 80 dnat ip to {own}\n    "
        )
    });
    let held: Vec<String> = [*metadata, *resolver]
        .into_iter()
        .chain(config.instance_metadata)
        .map(|one| one.to_string())
        .collect();
    let held = held.join(", ");
    // What was sent to the node and led to a container comes back by way of the node: from its loopback address, and from a
    // neighbour (or itself) that would be answered past the translation.
    let through_the_node = node.map_or_else(String::new, |node| {
        format!(
            "oifname \"{prefix}-*\" ct status dnat fib saddr type local snat ip to {node}
    oifname \"{prefix}-*\" ct status dnat ip saddr @bridged snat ip to {node}
    "
        )
    });
    format!(
        r#"chain from-tasks {{
    type filter hook prerouting priority mangle; policy accept;
    iifname != "{prefix}-*" accept
    meta nfproto != ipv4 drop
    iifname . ip saddr . ether saddr != @owners drop
    ct state established,related accept
    ct state invalid drop
    ip daddr . meta l4proto . th dport @services accept
    ip daddr {link_local} drop
    ip saddr vmap @egress-by-address
    drop
}}
chain translate-destination {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname "{prefix}-*" ip daddr @resolvers meta l4proto {{ tcp, udp }} th dport 53 dnat ip to {resolver}
    {translate_metadata}{translate_instance_metadata}dnat ip to ip daddr map @public-to-private
    ip daddr != {link_local} fib daddr type local dnat ip to tcp dport map @published-tcp
    ip daddr != {link_local} fib daddr type local dnat ip to udp dport map @published-udp
}}
chain translate-own-destination {{
    type nat hook output priority -100; policy accept;
    dnat ip to ip daddr map @public-to-private
    ip daddr != {link_local} fib daddr type local dnat ip to tcp dport map @published-tcp
    ip daddr != {link_local} fib daddr type local dnat ip to udp dport map @published-udp
}}
chain to-host {{
    type filter hook input priority filter; policy accept;
    iifname != "lo" iifname != "{KIN}" ip daddr {{ {held} }} drop
    iifname != "{prefix}-*" accept
    ct state established,related accept
    ip daddr . meta l4proto . th dport @services accept
    drop
}}
chain between {{
    type filter hook forward priority filter; policy accept;
    iifname "{prefix}-*" jump from-task
    oifname "{prefix}-*" jump outside-to-task
    oifname "{KIN}" accept
    iifname @gated drop
}}
chain from-task {{
    ct state established,related accept
    ip saddr @bridged accept
    oifname "{prefix}-*" ct status dnat ip saddr @private-to-public accept
    oifname "{prefix}-*" ct status dnat drop
    oifname "{prefix}-*" ip saddr . ip daddr @same-vpc accept
    oifname "{prefix}-*" drop
    oifname "{KIN}" accept
    ip saddr @private-to-public accept
    drop
}}
chain outside-to-task {{
    iifname "{KIN}" accept
    ct state established,related accept
    ct status dnat accept
    drop
}}
chain translate-source {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{prefix}-*" ct status dnat snat ip to ip saddr map @private-to-public
    {through_the_node}oifname != "{prefix}-*" ip saddr @private-to-public masquerade
    oifname != "{prefix}-*" ip saddr @bridged masquerade
}}
chain to-tasks {{
    type filter hook postrouting priority 150; policy accept;
    oifname != "{prefix}-*" accept
    meta nfproto != ipv4 drop
    ct state established,related accept
    ct state invalid drop
    ip daddr vmap @ingress-by-address
    drop
}}
"#
    )
}

/// Sets a group's rules in place; packets meet the old ones or the new ones.
pub(crate) fn group(table: &str, group: &SecurityGroupSpec) -> String {
    let mut text = String::new();
    for named in std::iter::once(&group.id).chain(peers_named(group)) {
        text.push_str(&members(table, named));
    }
    for (chain, rules) in [
        (format!("in-{}", group.id), judgements(&group.ingress, "saddr")),
        (format!("out-{}", group.id), judgements(&group.egress, "daddr")),
    ] {
        writeln!(text, "add chain inet {table} {chain}\nflush chain inet {table} {chain}")
            .expect("writing to a string");
        for rule in rules {
            writeln!(text, "add rule inet {table} {chain} {rule}").expect("writing to a string");
        }
    }
    text
}

/// Makes sure that the group has a set of members.
pub(crate) fn members(table: &str, group: &GroupId) -> String {
    format!("add set inet {table} {} {{ type ipv4_addr; }}\n", members_set(group))
}

pub(crate) fn remove_group(table: &str, group: &GroupId) -> String {
    format!("delete chain inet {table} in-{group}\ndelete chain inet {table} out-{group}\n")
}

/// Chains for an interface with several groups.
pub(crate) fn union<'a>(
    table: &str,
    number: u64,
    groups: impl Iterator<Item = &'a GroupId> + Clone,
) -> String {
    let mut text = String::new();
    for direction in ["in", "out"] {
        writeln!(text, "add chain inet {table} {direction}-union-{number}").expect("writing to a string");
        for group in groups.clone() {
            writeln!(text, "add rule inet {table} {direction}-union-{number} jump {direction}-{group}")
                .expect("writing to a string");
        }
    }
    text
}

pub(crate) fn remove_union(table: &str, number: u64) -> String {
    format!("delete chain inet {table} in-union-{number}\ndelete chain inet {table} out-union-{number}\n")
}

pub(crate) fn gate(table: &str, links: &[String]) -> String {
    let mut text = format!("flush set inet {table} gated\n");
    for link in links {
        writeln!(text, "add element inet {table} gated {{ \"{link}\" }}").expect("writing to a string");
    }
    text
}

pub(crate) fn remove_table(table: &str) -> String {
    format!("add table inet {table}\ndelete table inet {table}\n")
}

fn services(state: &State, config: &NetworkConfig) -> Vec<String> {
    let mut elements: Vec<String> = vec![];
    for HostService { address, protocol, port } in &config.services {
        let addresses = match address {
            HostAddress::Metadata => vec![METADATA_ADDRESS, config.metadata],
            HostAddress::InstanceMetadata => match config.instance_metadata {
                Some(own) => vec![INSTANCE_METADATA_ADDRESS, own],
                None => vec![],
            },
            HostAddress::Resolver => state
                .vpcs
                .values()
                .map(|vpc| vpc::resolver(vpc.cidr))
                .chain([RESOLVER_ADDRESS, config.resolver])
                .collect(),
            HostAddress::Router => {
                state.vpcs.values().flat_map(|vpc| &vpc.subnets).copied().map(vpc::router).collect()
            }
            HostAddress::Address(address) => vec![*address],
        };
        let protocol = match protocol {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        elements.extend(addresses.into_iter().map(|address| format!("{address} . {protocol} . {port}")));
    }
    elements.sort();
    elements.dedup();
    elements
}

/// Rules as nft statements; `side` is the field the peer is in, `saddr` or `daddr`.
fn judgements(rules: &[Rule], side: &str) -> Vec<String> {
    rules.iter().flat_map(|rule| judgement(rule, side)).collect()
}

/// None for a rule that can match nothing: an empty prefix list.
fn judgement(rule: &Rule, side: &str) -> Vec<String> {
    let peer = match &rule.peer {
        Peer::Cidr(Cidr::ANYWHERE) => String::new(),
        Peer::Cidr(cidr) => format!("ip {side} {cidr} "),
        Peer::Group(group) => format!("ip {side} @{} ", members_set(group)),
        Peer::Prefixes(prefixes) if prefixes.is_empty() => return vec![],
        Peer::Prefixes(prefixes) => format!("ip {side} {{ {} }} ", outermost(prefixes)),
    };
    let ports = |protocol: &str, ports: Ports| match (ports.first(), ports.last()) {
        (0, u16::MAX) => format!("meta l4proto {protocol} "),
        (first, last) if first == last => format!("{protocol} dport {first} "),
        (first, last) => format!("{protocol} dport {first}-{last} "),
    };
    let traffic = match rule.traffic {
        Traffic::All => String::new(),
        Traffic::Tcp(range) => ports("tcp", range),
        Traffic::Udp(range) => ports("udp", range),
        Traffic::Icmp { icmp_type: None, .. } => "meta l4proto icmp ".to_owned(),
        Traffic::Icmp { icmp_type: Some(icmp_type), code: None } => format!("icmp type {icmp_type} "),
        Traffic::Icmp { icmp_type: Some(icmp_type), code: Some(code) } => {
            format!("icmp type {icmp_type} icmp code {code} ")
        }
        Traffic::Protocol(number) => format!("meta l4proto {number} "),
    };
    let mut judgements = vec![format!("{traffic}{peer}accept")];
    if let (Peer::Group(group), "saddr") = (&rule.peer, side) {
        // A flow that appears as a client's is also its load balancer's. No other has its source translated alone and comes here.
        let sender = format!("ct original ip saddr @{}", members_set(group));
        judgements.push(format!("{traffic}ct status & (snat | dnat) == snat {sender} accept"));
    }
    judgements
}

/// The ranges without those inside others: an anonymous set takes no overlaps.
fn outermost(prefixes: &[Cidr]) -> String {
    let mut sorted = prefixes.to_vec();
    sorted.sort();
    let mut kept: Vec<Cidr> = vec![];
    for range in sorted {
        if !kept.last().is_some_and(|last| last.covers(range)) {
            kept.push(range);
        }
    }
    kept.iter().map(Cidr::to_string).collect::<Vec<_>>().join(", ")
}

fn lines(rules: &[String]) -> String {
    rules.iter().map(|rule| format!("    {rule}\n")).collect()
}
