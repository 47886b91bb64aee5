//! Interfaces and security groups by `host-network`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use agent_protocol::{
    spec::{
        NetworkInterface, NetworkState, PortMapping, RulePeer, RuleProtocol, SecurityGroup, SecurityRule,
        TransportProtocol, Vpc,
    },
    state::NetworkBinding,
};
use host_network::{
    EniId, GroupId, InterfaceSpec, NamespaceSockets, NetworkError, Peer, Ports, Publish, Published, Rule,
    SecurityGroupSpec, Sources, Traffic, Transport, VpcId, VpcSpec,
};
use load_balancer::{Appearance, Lasting};
use tokio::{
    net::TcpSocket,
    sync::{Mutex, watch},
};

use crate::ports::{BoxFuture, BridgeEndpoint, Bridged, InterfaceSockets, Network};

/// How long the rules of a group that lost its last member stay: the next task of it, which often follows at once, then starts
/// without waiting for them. A group without members matches nothing.
const GROUP_LINGER: Duration = Duration::from_secs(300);
/// Groups that linger, at most.
const MOST_LINGERING: usize = 64;
/// How long newly listed members may take to be attached here, before they are taken for another machine's.
const MEMBERS_SETTLE: Duration = Duration::from_millis(100);

pub(super) struct RealNetwork {
    network: host_network::Network,
    applied: Mutex<Applied>,
    /// The newest members; whoever applies them takes the newest.
    members: watch::Sender<BTreeMap<GroupId, BTreeSet<Ipv4Addr>>>,
}

/// What was applied last. A state is sent whenever a task comes or goes, most often with nothing new but members.
#[derive(Default)]
struct Applied {
    /// Whether what an earlier run left on the machine was looked at.
    settled: bool,
    vpcs: Vec<Vpc>,
    groups: BTreeMap<GroupId, SecurityGroupSpec>,
    /// Those of `groups` that the state no longer has, and since when.
    lingering: BTreeMap<GroupId, Instant>,
}

impl RealNetwork {
    /// Must be called within a tokio runtime.
    pub(super) fn new(network: host_network::Network) -> RealNetwork {
        let members = watch::Sender::new(BTreeMap::new());
        tokio::spawn(follow_members(network.clone(), members.subscribe()));
        RealNetwork { network, applied: Mutex::default(), members }
    }

    async fn apply(&self, state: NetworkState) -> Result<(), String> {
        let mut applied = self.applied.lock().await;
        if !applied.settled {
            self.forget_earlier(&state).await?;
            applied.settled = true;
        }
        // A VPC that is no longer there makes room for those whose ranges overlap its own.
        let left = |known: &&Vpc| !state.vpcs.iter().any(|vpc| vpc.vpc_id == known.vpc_id);
        for gone in applied.vpcs.iter().filter(left) {
            match self.network.remove_vpc(VpcId::new(&gone.vpc_id).map_err(text)?).await {
                Ok(()) | Err(NetworkError::VpcInUse { .. }) => {}
                Err(error) => return Err(text(error)),
            }
        }
        for vpc in state.vpcs.iter().filter(|vpc| !applied.vpcs.contains(vpc)) {
            self.network.ensure_vpc(vpc_spec(vpc.clone())?).await.map_err(text)?;
        }
        applied.vpcs = state.vpcs;
        let (mut groups, mut members) = (BTreeMap::new(), BTreeMap::new());
        for group in state.security_groups {
            let addresses: BTreeSet<Ipv4Addr> = group.member_addresses.iter().copied().collect();
            let spec = group_spec(group)?;
            if applied.groups.get(&spec.id) != Some(&spec) {
                self.network.set_security_group(spec.clone()).await.map_err(text)?;
            }
            members.insert(spec.id.clone(), addresses);
            groups.insert(spec.id.clone(), spec);
        }
        let (now, mut lingering) = (Instant::now(), BTreeMap::new());
        for (gone, spec) in
            applied.groups.iter().filter(|(id, _)| !groups.contains_key(*id)).collect::<Vec<_>>()
        {
            let since = applied.lingering.get(gone).copied().unwrap_or(now);
            let removed = if now.duration_since(since) < GROUP_LINGER && lingering.len() < MOST_LINGERING {
                false
            } else {
                match self.network.remove_security_group(gone.clone()).await {
                    Ok(()) => true,
                    // A task that stops holds it a little longer; it lets in what it let in before.
                    Err(NetworkError::GroupInUse(_)) => false,
                    Err(error) => return Err(text(error)),
                }
            };
            if !removed {
                lingering.insert(gone.clone(), since);
                members.insert(gone.clone(), BTreeSet::new());
                groups.insert(gone.clone(), spec.clone());
            }
        }
        applied.lingering = lingering;
        applied.groups = groups;
        self.members.send_replace(members);
        Ok(())
    }
}

impl RealNetwork {
    /// Removes what an earlier run left and the state no longer has. A machine whose data directory was changed has VPCs of
    /// another platform, whose ranges stand in the way of those to come.
    async fn forget_earlier(&self, state: &NetworkState) -> Result<(), String> {
        let (vpcs, groups) = self.network.known().await.map_err(text)?;
        for id in groups
            .into_iter()
            .filter(|id| !state.security_groups.iter().any(|group| group.group_id == id.as_str()))
        {
            match self.network.remove_security_group(id).await {
                Ok(()) | Err(NetworkError::GroupInUse(_)) => {}
                Err(error) => return Err(text(error)),
            }
        }
        for id in vpcs.into_iter().filter(|id| !state.vpcs.iter().any(|vpc| vpc.vpc_id == id.as_str())) {
            tracing::info!(%id, "a VPC that is no longer there is removed");
            match self.network.remove_vpc(id).await {
                Ok(()) | Err(NetworkError::VpcInUse { .. }) => {}
                Err(error) => return Err(text(error)),
            }
        }
        Ok(())
    }
}

/// Says which members of groups are on other machines. Beside and behind the way of tasks that start: those on this one are
/// members by being attached, at once.
async fn follow_members(
    network: host_network::Network,
    mut members: watch::Receiver<BTreeMap<GroupId, BTreeSet<Ipv4Addr>>>,
) {
    let mut told: BTreeMap<GroupId, BTreeSet<Ipv4Addr>> = BTreeMap::new();
    while members.changed().await.is_ok() {
        tokio::time::sleep(MEMBERS_SETTLE).await;
        let newest = members.borrow_and_update().clone();
        let local: BTreeSet<Ipv4Addr> = match network.list().await {
            Ok(attached) => attached.into_iter().map(|one| one.spec.address).collect(),
            Err(error) => return tracing::debug!(%error, "the network has ended"),
        };
        for (group, addresses) in newest {
            let remote: BTreeSet<Ipv4Addr> = addresses.difference(&local).copied().collect();
            if told.get(&group).is_some_and(|told| *told == remote)
                || (remote.is_empty() && !told.contains_key(&group))
            {
                continue;
            }
            match network.set_remote_members(group.clone(), remote.clone()).await {
                Ok(()) => drop(told.insert(group, remote)),
                Err(error) => tracing::warn!(%group, %error, "members of a security group could not be set"),
            }
        }
    }
}

impl Network for RealNetwork {
    fn apply(&self, state: NetworkState) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.apply(state))
    }

    fn attach<'a>(&'a self, interface: &'a NetworkInterface) -> BoxFuture<'a, Result<PathBuf, String>> {
        Box::pin(async move {
            let attached = self.network.attach(interface_spec(interface)?).await.map_err(text)?;
            Ok(attached.netns_path)
        })
    }

    fn hold<'a>(&'a self, interface: &'a NetworkInterface) -> BoxFuture<'a, Result<PathBuf, String>> {
        Box::pin(async move {
            let spec = interface_spec(interface)?;
            let attached = self.network.list().await.map_err(text)?;
            if let Some(there) =
                attached.into_iter().find(|one| one.spec.eni_id == spec.eni_id).map(|one| one.spec)
            {
                if there.security_groups != spec.security_groups {
                    let (id, groups) = (spec.eni_id.clone(), spec.security_groups.clone());
                    self.network.set_interface_groups(id, groups).await.map_err(text)?;
                }
                match spec.public_address {
                    before if before == there.public_address => {}
                    Some(address) => {
                        self.network.associate_public(spec.eni_id.clone(), address).await.map_err(text)?;
                    }
                    None => self.network.disassociate_public(spec.eni_id.clone()).await.map_err(text)?,
                }
            }
            Ok(self.network.attach(spec).await.map_err(text)?.netns_path)
        })
    }

    fn stream_in<'a>(&'a self, netns: &'a Path) -> BoxFuture<'a, io::Result<TcpSocket>> {
        Box::pin(host_network::stream_in(netns))
    }

    fn datagrams_in<'a>(&'a self, netns: &'a Path) -> BoxFuture<'a, io::Result<std::net::UdpSocket>> {
        Box::pin(host_network::datagrams_in(netns))
    }

    fn sockets(&self, netns: &Path) -> io::Result<Arc<dyn InterfaceSockets>> {
        let inside = NamespaceSockets::enter(netns)?;
        Ok(Arc::new(RealSockets { inside, sources: self.network.sources() }))
    }

    fn attach_bridged<'a>(&'a self, endpoint: &'a BridgeEndpoint) -> BoxFuture<'a, Result<Bridged, String>> {
        Box::pin(async move {
            let id = EniId::new(&endpoint.id).map_err(text)?;
            let ports = endpoint.ports.iter().map(publish).collect();
            let attached = self.network.attach_bridged(id, ports).await.map_err(|error| match error {
                // Without our own name for the interface, which says nothing to whoever reads it.
                NetworkError::Interface { reason, .. } => reason,
                other => other.to_string(),
            })?;
            Ok(Bridged {
                netns: attached.netns_path,
                address: attached.spec.address,
                bindings: bindings(&attached.spec.published, &endpoint.ports),
            })
        })
    }

    fn detach_bridged<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            // What cannot be a name was never attached.
            let Ok(id) = EniId::new(id) else { return Ok(()) };
            self.network.detach(id).await.map_err(text)
        })
    }

    fn detach<'a>(&'a self, interface: &'a NetworkInterface) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            // What cannot be a name was never attached.
            let Ok(id) = EniId::new(&interface.interface_id) else { return Ok(()) };
            self.network.detach(id).await.map_err(text)
        })
    }

    fn retain<'a>(&'a self, interface_ids: &'a BTreeSet<String>) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            for attached in self.network.list().await.map_err(text)? {
                let id = attached.spec.eni_id;
                if !interface_ids.contains(id.as_str()) {
                    tracing::info!(%id, "an interface of no task is detached");
                    self.network.detach(id).await.map_err(text)?;
                }
            }
            Ok(())
        })
    }

    fn remove_everything(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { self.network.teardown().await.map_err(text) })
    }
}

struct RealSockets {
    inside: NamespaceSockets,
    sources: Sources,
}

impl InterfaceSockets for RealSockets {
    fn stream(&self) -> BoxFuture<'_, io::Result<TcpSocket>> {
        Box::pin(self.inside.stream())
    }

    fn listen(&self, address: SocketAddrV4) -> BoxFuture<'_, io::Result<std::net::TcpListener>> {
        Box::pin(async move { self.inside.listen(address).await?.into_std() })
    }

    fn datagrams(&self, address: SocketAddrV4) -> BoxFuture<'_, io::Result<std::net::UdpSocket>> {
        Box::pin(async move { self.inside.datagram(address).await?.into_std() })
    }

    fn appear(&self, appearance: Appearance) -> BoxFuture<'_, io::Result<Lasting>> {
        let Appearance { datagrams, own, target, client } = appearance;
        let protocol = if datagrams { Transport::Udp } else { Transport::Tcp };
        let appearance = host_network::Appearance { protocol, own, target, client };
        Box::pin(async move { Ok(Box::new(self.sources.appear(appearance).await?) as Lasting) })
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn publish(mapping: &PortMapping) -> Publish {
    Publish {
        protocol: match mapping.protocol {
            TransportProtocol::Tcp => Transport::Tcp,
            TransportProtocol::Udp => Transport::Udp,
        },
        host_port: mapping.host_port,
        container_port: mapping.container_port,
        count: mapping.count(),
    }
}

/// The published ports as they were asked for: those of a range are one.
fn bindings(published: &[Published], asked: &[PortMapping]) -> Vec<NetworkBinding> {
    let one = |port: &Published| {
        let asked = asked.iter().map(publish).find(|asked| {
            asked.protocol == port.protocol
                && (asked.container_port..=asked.container_port.saturating_add(asked.count - 1))
                    .contains(&port.container_port)
        });
        let range = asked.filter(|asked| asked.count > 1);
        let count = match range {
            Some(range) if range.container_port != port.container_port => return None,
            Some(range) => range.count,
            None => 1,
        };
        let protocol = match port.protocol {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        Some(NetworkBinding {
            bind_ip: "0.0.0.0".to_owned(),
            container_port: port.container_port,
            host_port: port.host_port,
            count,
            protocol: protocol.to_owned(),
        })
    };
    published.iter().filter_map(one).collect()
}

fn vpc_spec(vpc: Vpc) -> Result<VpcSpec, String> {
    Ok(VpcSpec { id: VpcId::new(vpc.vpc_id).map_err(text)?, cidr: vpc.cidr, subnets: vpc.subnets })
}

fn interface_spec(interface: &NetworkInterface) -> Result<InterfaceSpec, String> {
    let groups = interface.security_group_ids.iter().map(|id| GroupId::new(id).map_err(text));
    Ok(InterfaceSpec {
        eni_id: EniId::new(&interface.interface_id).map_err(text)?,
        vpc_id: VpcId::new(&interface.vpc_id).map_err(text)?,
        subnet: interface.subnet_cidr,
        address: interface.private_address,
        mac: interface.mac_address,
        security_groups: groups.collect::<Result<_, _>>()?,
        public_address: interface.public_address,
        published: vec![],
    })
}

fn group_spec(group: SecurityGroup) -> Result<SecurityGroupSpec, String> {
    let rules = |rules: Vec<SecurityRule>| rules.into_iter().map(rule).collect::<Result<Vec<_>, _>>();
    Ok(SecurityGroupSpec {
        id: GroupId::new(group.group_id).map_err(text)?,
        ingress: rules(group.ingress)?,
        egress: rules(group.egress)?,
    })
}

fn rule(rule: SecurityRule) -> Result<Rule, String> {
    let ports = |from, to| Ports::new(from, to).ok_or_else(|| format!("ports {from} to {to} are no range"));
    let traffic = match rule.protocol {
        RuleProtocol::All => Traffic::All,
        RuleProtocol::Tcp { from_port, to_port } => Traffic::Tcp(ports(from_port, to_port)?),
        RuleProtocol::Udp { from_port, to_port } => Traffic::Udp(ports(from_port, to_port)?),
        RuleProtocol::Icmp { icmp_type, icmp_code } => Traffic::Icmp { icmp_type, code: icmp_code },
        RuleProtocol::Number(number) => Traffic::Protocol(number),
    };
    let peer = match rule.peer {
        RulePeer::Cidr(cidr) => Peer::Cidr(cidr),
        RulePeer::SecurityGroup(id) => Peer::Group(GroupId::new(id).map_err(text)?),
    };
    Ok(Rule { traffic, peer })
}
