//! What this machine lacks for the network, and what to do about it: the network part of `longshore doctor`.
//!
//! Features are tried out, not looked up: in a namespace made for the purpose, which ends with its thread. Of
//! the host itself only its rules and routes are read.

use std::{os::fd::AsRawFd, thread};

use addressing::{Cidr, MacAddress};
use nix::sched::{CloneFlags, unshare};

use crate::{
    error::NetworkError,
    netlink::{ROUTE_PROTOCOL, Rtnetlink, forget_connections, route},
    nft::Nft,
    spec::NetworkConfig,
    sysctl,
};

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a few words: "veth interfaces".
    pub subject: &'static str,
    pub verdict: Verdict,
    /// What was seen: an error's text, a name, a version.
    pub detail: String,
    /// What to do about it; empty when it is fine.
    pub remedy: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Fine,
    /// Works, with a limit that the remedy lifts.
    Limited,
    /// Tasks cannot have a network.
    Missing,
}

/// Looks at everything [`crate::Network::start`] needs. Blocks for about 100 ms; leaves no trace.
pub fn probe(config: &NetworkConfig) -> Vec<Finding> {
    let nft = Nft::new(&config.nft);
    let tried = thread::scope(|scope| {
        let thread = scope.spawn(|| match unshare(CloneFlags::CLONE_NEWNET) {
            Ok(()) => try_features(&nft),
            Err(errno) => vec![finding::<String, _>("network namespaces", Err(errno), ROOT)],
        });
        thread.join().unwrap_or_default()
    });
    let mut findings = tried;
    findings.extend(look_at_rules(&nft, config));
    findings.extend(look_at_routes(config));
    findings
}

const ROOT: &str = "Run as root, on a kernel with CONFIG_NET_NS.";

fn try_features(nft: &Nft) -> Vec<Finding> {
    let mut findings = vec![finding::<_, NetworkError>("network namespaces", Ok("can be made"), ROOT)];
    let links = Rtnetlink::open();
    let Ok(mut links) = links else {
        findings.push(finding(
            "netlink",
            links.map(|_| ""),
            "Use a kernel with CONFIG_NETLINK (every stock kernel).",
        ));
        return findings;
    };
    let mac = MacAddress::new([2, 0, 0, 0, 0, 1]).expect("a unicast address");
    let own = std::fs::File::open("/proc/thread-self/ns/net");
    let veth = own.and_then(|own| {
        links.request_all(vec![route::add_veth("probe0", mac, "probe1", own.as_raw_fd())])?;
        Ok("can be made")
    });
    findings.push(finding(
        "veth interfaces",
        veth,
        "Load the module: modprobe veth (kernel option CONFIG_VETH); add it to /etc/modules-load.d.",
    ));
    let bridge = links.request_all(vec![route::add_bridge("probe-b", mac)]);
    findings.push(finding(
        "bridge interfaces",
        bridge.map(|()| "can be made"),
        "Load the module: modprobe bridge (CONFIG_BRIDGE).",
    ));
    let setting = sysctl::write("net/ipv4/conf/lo/proxy_arp", "1");
    findings.push(finding(
        "network settings",
        setting.map(|()| "can be written"),
        "/proc/sys is read-only, as in an unprivileged container: run on the machine itself or privileged.",
    ));
    findings.extend(try_nft(nft));
    let connections = forget_connections(&[std::net::Ipv4Addr::LOCALHOST]);
    findings.push(finding(
        "connection tracking by netlink",
        connections.map(|_| "answers"),
        "Load the module: modprobe nf_conntrack_netlink (CONFIG_NF_CT_NETLINK).",
    ));
    findings
}

fn try_nft(nft: &Nft) -> Vec<Finding> {
    let version = nft.output("tell its version", &["--version"]);
    let there = version.is_ok();
    let install = "Install it: apt-get install nftables (or your distribution's package of that name).";
    let mut findings = vec![finding("the nft program", version.map(|text| text.trim().to_owned()), install)];
    if !there {
        return findings;
    }
    let table = "add table inet probe\nadd chain inet probe c { type filter hook forward priority 0; }\n";
    let tries = [
        (
            "nftables",
            "add set inet probe s { type ifname . ipv4_addr . ether_addr; }\n",
            "Load the modules: modprobe nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET).",
        ),
        (
            "nftables range sets",
            "add set inet probe r { type ipv4_addr . ipv4_addr; flags interval; }\n",
            "Use kernel 5.6 or newer.",
        ),
        (
            "connection tracking",
            "add rule inet probe c ct state established,related accept\n",
            "Load the modules: modprobe nf_conntrack nft_ct (CONFIG_NF_CONNTRACK, CONFIG_NFT_CT).",
        ),
        (
            "address translation",
            "add map inet probe m { type ipv4_addr : ipv4_addr; }\n\
             add chain inet probe d { type nat hook prerouting priority -100; }\n\
             add rule inet probe d dnat ip to ip daddr map @m\n\
             add chain inet probe p { type nat hook postrouting priority 100; }\n\
             add rule inet probe p masquerade\n",
            "Load the modules: modprobe nft_nat nft_masq nft_chain_nat (CONFIG_NFT_NAT, CONFIG_NFT_MASQ).",
        ),
    ];
    for (subject, script, remedy) in tries {
        let result = nft.run("try a feature", &format!("{table}{script}"));
        findings.push(finding(subject, result.map(|()| "works"), remedy));
    }
    findings
}

/// Other rules that see our packets too: what one chain accepts, another may still drop.
fn look_at_rules(nft: &Nft, config: &NetworkConfig) -> Vec<Finding> {
    let subject = "other firewall rules";
    let remedy = "Let tasks' traffic pass there: accept packets whose input or output interface is lsh-* \
                  (with Docker: iptables -I DOCKER-USER -i lsh-+ -j ACCEPT, and the same with -o).";
    let Ok(text) = nft.output("list chains", &["-j", "list", "chains"]) else { return vec![] };
    let dropping = dropping_chains(&text, &config.table);
    let mut findings = vec![match dropping.is_empty() {
        true => finding::<_, NetworkError>(subject, Ok("none drops by default"), ""),
        false => Finding {
            subject,
            verdict: Verdict::Limited,
            detail: format!("drop by default: {}", dropping.join(", ")),
            remedy,
        },
    }];
    let legacy = std::fs::read_to_string("/proc/net/ip_tables_names").unwrap_or_default();
    if legacy.lines().any(|table| table == "filter") {
        let detail = "iptables-legacy has a filter table, which nft does not show".to_owned();
        findings.push(Finding { subject, verdict: Verdict::Limited, detail, remedy });
    }
    findings
}

/// `FAMILY TABLE CHAIN` of foreign base chains on a task's way whose policy is drop. Not understood means none.
pub(crate) fn dropping_chains(json: &str, own_table: &str) -> Vec<String> {
    let Ok(listed) = serde_json::from_str::<serde_json::Value>(json) else { return vec![] };
    let chains = listed["nftables"].as_array().into_iter().flatten().filter_map(|item| item.get("chain"));
    let dropping = chains.filter_map(|chain| {
        let text = |key: &str| chain[key].as_str();
        let on_the_way = ["prerouting", "input", "forward", "output", "postrouting"].contains(&text("hook")?);
        let ipv4 = ["ip", "inet"].contains(&text("family")?);
        let foreign = text("table")? != own_table;
        (on_the_way && ipv4 && foreign && text("policy") == Some("drop"))
            .then(|| Some(format!("{} {} {}", text("family")?, text("table")?, text("name")?)))?
    });
    dropping.collect()
}

fn look_at_routes(config: &NetworkConfig) -> Vec<Finding> {
    let routes = match Rtnetlink::open().and_then(|mut socket| socket.routes()) {
        Ok(routes) => routes,
        Err(error) => return vec![finding::<String, _>("routes", Err(error), ROOT)],
    };
    let own = routes.iter().filter(|route| route.protocol != ROUTE_PROTOCOL);
    let ranges: Vec<Cidr> = own.map(|route| route.destination).collect();
    let limited = |subject, detail, remedy| Finding { subject, verdict: Verdict::Limited, detail, remedy };
    let outside = match ranges.contains(&Cidr::ANYWHERE) {
        true => finding::<_, NetworkError>("a way outside", Ok("there is a default route"), ""),
        false => limited(
            "a way outside",
            "no default route".to_owned(),
            "Tasks reach each other and this machine only. Add a default route if they shall reach more.",
        ),
    };
    let Some(public) = config.public_range else {
        return vec![outside];
    };
    let taken = ranges.iter().find(|range| **range != Cidr::ANYWHERE && range.overlaps(public));
    let public = match taken {
        None => finding::<_, NetworkError>("public addresses", Ok(public.to_string()), ""),
        Some(range) => limited(
            "public addresses",
            format!("{public} overlaps {range}, which this machine routes elsewhere"),
            "Configure another range for public addresses.",
        ),
    };
    vec![outside, public]
}

fn finding<T: ToString, E: ToString>(
    subject: &'static str,
    result: Result<T, E>,
    remedy: &'static str,
) -> Finding {
    match result {
        Ok(detail) => Finding { subject, verdict: Verdict::Fine, detail: detail.to_string(), remedy: "" },
        Err(error) => Finding { subject, verdict: Verdict::Missing, detail: error.to_string(), remedy },
    }
}
