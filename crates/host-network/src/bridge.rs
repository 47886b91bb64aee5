//! The node's own network (network mode `bridge`): containers with a private address each, reached through ports of the node.
//!
//! It is made like a VPC with one subnet and one group that lets everything through, so that an interface on it is attached, adopted and
//! removed like any other. What differs is in the rules: its traffic outward takes the node's address, and a published port is
//! translated wherever a packet to one of the node's own addresses comes from, its loopback address included.
//!
//! Addresses and ephemeral ports are chosen here, because only here is known what is taken. A published port is also bound (and never
//! listened on) by this process, so that no program of the host takes it without noticing. While the process is away the
//! translation goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::OwnedFd,
};

use addressing::{Cidr, MacAddress};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use crate::{
    engine::Engine,
    error::NetworkError,
    netlink::Route,
    spec::{
        Attached, EniId, GroupId, InterfaceSpec, Publish, Published, Rule, SecurityGroupSpec, Transport,
        VpcId, VpcSpec,
    },
    state::State,
    sysctl,
};

pub(crate) const BRIDGE_VPC: &str = "vpc-bridge";
pub(crate) const BRIDGE_GROUP: &str = "sg-bridge";

/// Where the bridge may lie, in the order of preference: ranges that default VPCs and other container engines leave alone.
const RANGES: [&str; 6] =
    ["172.29.0.0/20", "172.28.0.0/20", "172.27.0.0/20", "10.213.0.0/20", "10.214.0.0/20", "192.168.213.0/24"];
/// The first four addresses of a range are the node's, as in a subnet.
const FIRST_ADDRESS: u32 = 4;
/// `49153–65535` together with `32768–60999`, as the ECS guide has it.
const EPHEMERAL_PORTS: std::ops::RangeInclusive<u16> = 32_768..=65_535;

/// Ports that are published for one interface: each is held by a descriptor of this process, and all of an interface's go to the kernel
/// in one datagram, which takes about 1,900.
const MOST_PORTS: usize = 1000;

/// The node's ports that interfaces have, bound so that nobody else gets them.
#[derive(Debug, Default)]
pub(crate) struct HostPorts {
    held: BTreeMap<EniId, Vec<OwnedFd>>,
    /// Where the search for a free one goes on, so that a port that was just given up rests a while.
    last: Option<u16>,
    last_address: u32,
}

impl HostPorts {
    pub(crate) fn release(&mut self, id: &EniId) {
        self.held.remove(id);
    }
}

impl Engine {
    /// Makes sure that there is a bridge where one is wanted, and holds the ports of the interfaces that were adopted.
    pub(crate) fn begin_bridge(&mut self, routes: &[Route]) -> Result<(), NetworkError> {
        if !self.config.bridge {
            return Ok(());
        }
        if self.state.bridge().is_none() {
            let own = self.config.route_protocol;
            let taken: Vec<Cidr> = routes
                .iter()
                .filter(|route| route.protocol != own && route.destination.prefix_len() >= 8)
                .map(|route| route.destination)
                .collect();
            let free = RANGES
                .iter()
                .filter_map(|range| range.parse::<Cidr>().ok())
                .find(|range| !taken.iter().any(|one| one.overlaps(*range)));
            let cidr = free.ok_or_else(|| {
                NetworkError::Config(format!(
                    "every range for containers ({}) is routed elsewhere",
                    RANGES.join(", ")
                ))
            })?;
            let id = bridge_vpc();
            self.state.vpcs.insert(id.clone(), VpcSpec { id, cidr, subnets: vec![cidr] });
        }
        let everything =
            SecurityGroupSpec { ingress: vec![Rule::everything()], ..SecurityGroupSpec::new(bridge_group()) };
        self.state.groups.insert(bridge_group(), everything);
        for interface in self.state.interfaces.values().filter(|one| !one.spec.published.is_empty()) {
            let InterfaceSpec { eni_id, published, .. } = &interface.spec;
            // Taken meanwhile: the translation goes before whoever took it, as it did all along.
            let sockets =
                published.iter().filter_map(|port| reserve(port.protocol, port.host_port)).collect();
            self.ports.held.insert(eni_id.clone(), sockets);
        }
        Ok(())
    }

    /// Takes the bridge over into a state that is to be in force.
    pub(crate) fn keep_bridge(&self, next: &mut State) {
        if let Some(vpc) = self.state.vpcs.get(&bridge_vpc()) {
            next.vpcs.insert(vpc.id.clone(), vpc.clone());
        }
        if let Some(group) = self.state.groups.get(&bridge_group()) {
            next.groups.insert(group.id.clone(), group.clone());
        }
    }

    pub(crate) fn attach_bridged(&mut self, id: EniId, ports: &[Publish]) -> Result<Attached, NetworkError> {
        if let Some(existing) = self.state.interfaces.get(&id) {
            return Ok(self.attached(existing));
        }
        let range = self
            .state
            .bridge()
            .ok_or_else(|| NetworkError::Config("this network has no bridge".to_owned()))?;
        let address = self.free_address(range).ok_or_else(|| NetworkError::Interface {
            eni_id: id.clone(),
            reason: format!("every address of {range} is taken"),
        })?;
        let (published, sockets) = self.choose_ports(&id, ports)?;
        let [a, b, c, d] = address.octets();
        let mac = MacAddress::new([0x02, 0x6c, a, b, c, d]).expect("a unicast address");
        let spec = InterfaceSpec {
            eni_id: id.clone(),
            vpc_id: bridge_vpc(),
            subnet: range,
            address,
            mac,
            security_groups: BTreeSet::from([bridge_group()]),
            public_address: None,
            published,
        };
        let attached = self.attach(spec)?;
        self.ports.held.insert(id.clone(), sockets);
        // A connection from the node's loopback address leaves by this link and is answered on it.
        let setting = format!("net/ipv4/conf/{}/route_localnet", attached.host_interface);
        if let Err(error) = sysctl::write(&setting, "1") {
            // The receiver is not waited for: the interface is closed at once.
            drop(self.detach(&id)?);
            return Err(error);
        }
        Ok(attached)
    }

    fn free_address(&mut self, range: Cidr) -> Option<Ipv4Addr> {
        let taken: BTreeSet<Ipv4Addr> =
            self.state.interfaces_of(&bridge_vpc()).map(|interface| interface.spec.address).collect();
        let count = (1_u32 << (32 - range.prefix_len())) - FIRST_ADDRESS - 1;
        let last = self.ports.last_address;
        let (step, address) = (1..=count)
            .map(|step| (last + step) % count)
            .filter_map(|step| Some((step, range.nth(FIRST_ADDRESS + step)?)))
            .find(|(_, address)| !taken.contains(address))?;
        self.ports.last_address = step;
        Some(address)
    }

    fn choose_ports(
        &mut self,
        id: &EniId,
        ports: &[Publish],
    ) -> Result<(Vec<Published>, Vec<OwnedFd>), NetworkError> {
        let refused = |reason: String| NetworkError::Interface { eni_id: id.clone(), reason };
        let all: usize = ports.iter().map(|port| usize::from(port.count)).sum();
        if all > MOST_PORTS {
            return Err(refused(format!(
                "{all} ports are more than the {MOST_PORTS} that a container can have"
            )));
        }
        let interfaces = self.state.interfaces.values();
        let mut taken: Taken =
            interfaces.flat_map(|interface| &interface.spec.published).map(Published::of_node).collect();
        let (mut published, mut sockets) = (vec![], vec![]);
        // Given ones first: no ephemeral one may take their place.
        let (given, chosen): (Vec<&Publish>, Vec<&Publish>) =
            ports.iter().partition(|port| port.host_port.is_some());
        for port in given.into_iter().chain(chosen) {
            let found = match port.host_port {
                Some(first) => {
                    let last = u32::from(first) + u32::from(port.count) - 1;
                    free_run(port, u32::from(first), last, &taken).ok_or_else(|| {
                        refused(format!("Bind for 0.0.0.0:{first} failed: port is already allocated"))
                    })?
                }
                None => self.take_any_ports(port, &taken).ok_or_else(|| {
                    refused(match port.count {
                        1 => "every port of the ephemeral range is taken".to_owned(),
                        // As the published agent says it.
                        count => format!("{count} contiguous host ports unavailable"),
                    })
                })?,
            };
            for (one, socket) in found {
                taken.insert(one.of_node());
                published.push(one);
                sockets.push(socket);
            }
        }
        Ok((published, sockets))
    }

    fn take_any_ports(&mut self, port: &Publish, taken: &Taken) -> Option<Vec<(Published, OwnedFd)>> {
        let (first, last) = (u32::from(*EPHEMERAL_PORTS.start()), u32::from(*EPHEMERAL_PORTS.end()));
        let after = self.ports.last.map_or(last, u32::from);
        let found = free_run(port, after + 1, last, taken).or_else(|| free_run(port, first, last, taken))?;
        self.ports.last = found.last().map(|(one, _)| one.host_port);
        Some(found)
    }
}

/// Ports of the node that interfaces have.
type Taken = BTreeSet<(Transport, u16)>;

/// The first ports from `from` to `last` of the node that are free, as many in a row as are wanted, with what holds them.
fn free_run(port: &Publish, from: u32, last: u32, taken: &Taken) -> Option<Vec<(Published, OwnedFd)>> {
    let Publish { protocol, container_port, count, .. } = *port;
    let mut run = vec![];
    for candidate in from..=last {
        let host_port = u16::try_from(candidate).ok()?;
        let container_port = container_port.checked_add(u16::try_from(run.len()).ok()?)?;
        let free = match taken.contains(&(protocol, host_port)) {
            true => None,
            false => reserve(protocol, host_port),
        };
        match free {
            Some(socket) => run.push((Published { protocol, host_port, container_port }, socket)),
            None => run.clear(),
        }
        if run.len() >= usize::from(count.max(1)) {
            return Some(run);
        }
    }
    None
}

pub(crate) fn bridge_vpc() -> VpcId {
    VpcId::new(BRIDGE_VPC).expect("an id")
}

pub(crate) fn bridge_group() -> GroupId {
    GroupId::new(BRIDGE_GROUP).expect("an id")
}

/// Binds a port of the node without listening; `None` when somebody has it. At the loopback address: that excludes whoever listens on all
/// addresses, and leaves the link-local ones, which are not translated, to a platform beside this network.
fn reserve(protocol: Transport, port: u16) -> Option<OwnedFd> {
    let kind = match protocol {
        Transport::Tcp => SocketType::STREAM,
        Transport::Udp => SocketType::DGRAM,
    };
    let socket = socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None).ok()?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).ok()?;
    Some(socket)
}
