//! Interfaces and security groups by `host-network`.

use std::{collections::BTreeSet, path::PathBuf};

use agent_protocol::spec::{
    NetworkInterface, NetworkState, RulePeer, RuleProtocol, SecurityGroup, SecurityRule, Vpc,
};
use host_network::{
    EniId, GroupId, InterfaceSpec, NetworkError, Peer, Ports, Rule, SecurityGroupSpec, Traffic, VpcId,
    VpcSpec,
};
use tokio::sync::Mutex;

use crate::ports::{BoxFuture, Network};

pub(super) struct RealNetwork {
    network: host_network::Network,
    /// The groups applied last; what is no longer among them is removed.
    groups: Mutex<BTreeSet<GroupId>>,
}

impl RealNetwork {
    pub(super) fn new(network: host_network::Network) -> RealNetwork {
        RealNetwork { network, groups: Mutex::default() }
    }

    async fn apply(&self, state: NetworkState) -> Result<(), String> {
        let mut applied = self.groups.lock().await;
        for vpc in state.vpcs {
            self.network.ensure_vpc(vpc_spec(vpc)?).await.map_err(text)?;
        }
        let local: BTreeSet<_> =
            self.network.list().await.map_err(text)?.into_iter().map(|one| one.spec.address).collect();
        let mut groups = BTreeSet::new();
        for group in state.security_groups {
            let remote =
                group.member_addresses.iter().copied().filter(|address| !local.contains(address)).collect();
            let spec = group_spec(group)?;
            groups.insert(spec.id.clone());
            let id = spec.id.clone();
            self.network.set_security_group(spec).await.map_err(text)?;
            self.network.set_remote_members(id, remote).await.map_err(text)?;
        }
        for gone in applied.difference(&groups) {
            match self.network.remove_security_group(gone.clone()).await {
                // A task that stops holds it a little longer; it lets in what it let in before.
                Ok(()) | Err(NetworkError::GroupInUse(_)) => {}
                Err(error) => return Err(text(error)),
            }
        }
        *applied = groups;
        Ok(())
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

    fn detach<'a>(&'a self, interface: &'a NetworkInterface) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let id = EniId::new(&interface.interface_id).map_err(text)?;
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

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
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
