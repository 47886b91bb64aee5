//! What the network consists of at the moment, and the checks a change has to pass first. Pure: nothing here
//! touches the machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use addressing::{
    AddressPool, Cidr,
    vpc::{self, RangeError},
};

use crate::{
    bridge::BRIDGE_VPC,
    error::NetworkError,
    spec::{EniId, GroupId, InterfaceSpec, Peer, Published, SecurityGroupSpec, Traffic, VpcId, VpcSpec},
};

/// EC2 allows an interface at most this many groups (the adjustable quota's ceiling).
const GROUPS_MAX: usize = 16;
/// EC2's ceiling is 1,000 rules over all groups of an interface.
const RULES_MAX: usize = 1000;

/// An attached interface and the prepared namespace it got, by the name both have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub spec: InterfaceSpec,
    pub slot: String,
    pub host_index: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub vpcs: BTreeMap<VpcId, VpcSpec>,
    pub groups: BTreeMap<GroupId, SecurityGroupSpec>,
    pub interfaces: BTreeMap<EniId, Interface>,
    pub remote_members: BTreeMap<GroupId, BTreeSet<Ipv4Addr>>,
    pub unions: Unions,
}

/// Chains for interfaces with several groups, shared by all with the same ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unions {
    numbers: BTreeMap<BTreeSet<GroupId>, u64>,
    next: u64,
}

impl Unions {
    /// The number of the chain for these groups, and whether it is new.
    pub(crate) fn number(&mut self, groups: &BTreeSet<GroupId>) -> (u64, bool) {
        if let Some(number) = self.numbers.get(groups) {
            return (*number, false);
        }
        self.next += 1;
        self.numbers.insert(groups.clone(), self.next);
        (self.next, true)
    }

    pub(crate) fn get(&self, groups: &BTreeSet<GroupId>) -> Option<u64> {
        self.numbers.get(groups).copied()
    }

    pub(crate) fn forget(&mut self, groups: &BTreeSet<GroupId>) {
        self.numbers.remove(groups);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&BTreeSet<GroupId>, u64)> {
        self.numbers.iter().map(|(groups, number)| (groups, *number))
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }
}

impl State {
    /// Whether `spec` can be set beside the other VPCs and `routed`, what the host routes by itself.
    pub(crate) fn check_vpc(&self, spec: &VpcSpec, routed: &[Cidr]) -> Result<(), NetworkError> {
        let range = |source: RangeError| NetworkError::Range { vpc_id: spec.id.clone(), source };
        let mut taken: Vec<Cidr> = routed.to_vec();
        taken.extend(self.vpcs.values().filter(|vpc| vpc.id != spec.id).map(|vpc| vpc.cidr));
        vpc::check_vpc(spec.cidr, &taken).map_err(range)?;
        for (index, subnet) in spec.subnets.iter().enumerate() {
            vpc::check_subnet(*subnet, spec.cidr, &spec.subnets[..index]).map_err(range)?;
        }
        let orphan =
            self.interfaces_of(&spec.id).find(|interface| !spec.subnets.contains(&interface.spec.subnet));
        match orphan {
            Some(interface) => Err(NetworkError::VpcInUse {
                vpc_id: spec.id.clone(),
                subnet: interface.spec.subnet,
                eni_id: interface.spec.eni_id.clone(),
            }),
            None => Ok(()),
        }
    }

    /// The range of the node's own network.
    pub(crate) fn bridge(&self) -> Option<Cidr> {
        self.vpcs.values().find(|vpc| vpc.id.as_str() == BRIDGE_VPC).map(|vpc| vpc.cidr)
    }

    pub(crate) fn interfaces_of(&self, vpc_id: &VpcId) -> impl Iterator<Item = &Interface> {
        self.interfaces.values().filter(move |interface| interface.spec.vpc_id == *vpc_id)
    }

    /// Whether `spec` can be attached (or take the place of the interface with its id).
    pub(crate) fn check_interface(
        &self,
        spec: &InterfaceSpec,
        public_range: Option<Cidr>,
    ) -> Result<(), NetworkError> {
        let refused = |reason: String| Err(NetworkError::Interface { eni_id: spec.eni_id.clone(), reason });
        let Some(vpc) = self.vpcs.get(&spec.vpc_id) else {
            return Err(NetworkError::UnknownVpc(spec.vpc_id.clone()));
        };
        if !vpc.subnets.contains(&spec.subnet) {
            return refused(format!("{} is not a subnet of {}", spec.subnet, spec.vpc_id));
        }
        if let Err(error) = AddressPool::subnet(spec.subnet).claim(spec.address) {
            return refused(error.to_string());
        }
        self.check_groups(spec)?;
        if let Some(address) = spec.public_address {
            self.check_public(&spec.eni_id, address, public_range)?;
        }
        let others = self.interfaces.values().filter(|other| other.spec.eni_id != spec.eni_id);
        for Interface { spec: other, .. } in others {
            if other.address == spec.address {
                let (eni_id, holder) = (spec.eni_id.clone(), other.eni_id.clone());
                return Err(NetworkError::AddressInUse { eni_id, address: spec.address, holder });
            }
            if other.mac == spec.mac {
                return refused(format!("hardware address {} belongs to {}", spec.mac, other.eni_id));
            }
            let same =
                |port: &Published| other.published.iter().any(|taken| taken.of_node() == port.of_node());
            if let Some(port) = spec.published.iter().find(|port| same(port)) {
                return refused(format!("port {} of the node leads to {}", port.host_port, other.eni_id));
            }
        }
        Ok(())
    }

    pub(crate) fn check_groups(&self, spec: &InterfaceSpec) -> Result<(), NetworkError> {
        if spec.security_groups.len() > GROUPS_MAX {
            let reason = format!("{} security groups are more than {GROUPS_MAX}", spec.security_groups.len());
            return Err(NetworkError::Interface { eni_id: spec.eni_id.clone(), reason });
        }
        match spec.security_groups.iter().find(|group| !self.groups.contains_key(group)) {
            Some(unknown) => Err(NetworkError::UnknownGroup(unknown.clone())),
            None => Ok(()),
        }
    }

    pub(crate) fn check_public(
        &self,
        eni_id: &EniId,
        address: Ipv4Addr,
        public_range: Option<Cidr>,
    ) -> Result<(), NetworkError> {
        let refused = |reason| Err(NetworkError::Interface { eni_id: eni_id.clone(), reason });
        let Some(public_range) = public_range else {
            return refused("this network has no public addresses".to_owned());
        };
        if let Err(error) = AddressPool::public(public_range).claim(address) {
            return refused(error.to_string());
        }
        let holder = self.interfaces.values().find(|other| other.spec.public_address == Some(address));
        match holder {
            Some(other) if other.spec.eni_id != *eni_id => {
                let (eni_id, holder) = (eni_id.clone(), other.spec.eni_id.clone());
                Err(NetworkError::AddressInUse { eni_id, address, holder })
            }
            _ => Ok(()),
        }
    }

    /// Groups that rules name or that have members elsewhere, defined here or not: each needs its set of members.
    pub(crate) fn groups_with_members(&self) -> BTreeSet<&GroupId> {
        let named = self.groups.values().flat_map(peers_named);
        self.groups.keys().chain(named).chain(self.remote_members.keys()).collect()
    }

    /// Whether an interface holds the group or another group's rules name it.
    pub(crate) fn group_in_use(&self, group: &GroupId) -> bool {
        self.interfaces.values().any(|interface| interface.spec.security_groups.contains(group))
            || self
                .groups
                .values()
                .any(|other| other.id != *group && peers_named(other).any(|named| named == group))
    }

    /// Whether an interface on this machine makes `address` a member of `group`.
    pub(crate) fn is_local_member(&self, group: &GroupId, address: Ipv4Addr) -> bool {
        self.interfaces
            .values()
            .map(|interface| &interface.spec)
            .any(|spec| spec.address == address && spec.security_groups.contains(group))
    }
}

/// The groups that a group's rules name.
pub(crate) fn peers_named(group: &SecurityGroupSpec) -> impl Iterator<Item = &GroupId> {
    group.ingress.iter().chain(&group.egress).filter_map(|rule| match &rule.peer {
        Peer::Group(named) => Some(named),
        Peer::Cidr(_) | Peer::Prefixes(_) => None,
    })
}

pub(crate) fn check_rules(group: &SecurityGroupSpec) -> Result<(), NetworkError> {
    let refused = |reason: String| Err(NetworkError::Rules { group_id: group.id.clone(), reason });
    let count = group.ingress.len() + group.egress.len();
    if count > RULES_MAX {
        return refused(format!("{count} rules are more than {RULES_MAX}"));
    }
    for rule in group.ingress.iter().chain(&group.egress) {
        if matches!(rule.traffic, Traffic::Icmp { icmp_type: None, code: Some(_) }) {
            return refused("an ICMP code needs an ICMP type".to_owned());
        }
        if matches!(&rule.peer, Peer::Prefixes(prefixes) if prefixes.len() > RULES_MAX) {
            return refused(format!("a prefix list has more than {RULES_MAX} entries"));
        }
    }
    Ok(())
}
