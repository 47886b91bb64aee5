//! VPCs: the addresses the host holds for them, and the routes that keep their ranges on this machine.

use std::collections::BTreeSet;

use addressing::{Cidr, vpc};

use crate::{
    bridge::{BRIDGE_GROUP, BRIDGE_VPC},
    engine::Engine,
    error::{During, NetworkError},
    netlink::{NextHop, Route, route},
    spec::{GroupId, InterfaceSpec, VpcId, VpcSpec},
    state::Interface,
};

/// Unreachable routes stand behind any other route of the same range.
pub(crate) const LAST_METRIC: u32 = u32::MAX - 1;

impl Engine {
    pub(crate) fn ensure_vpc(&mut self, spec: VpcSpec) -> Result<(), NetworkError> {
        if self.state.vpcs.get(&spec.id) == Some(&spec) {
            return Ok(());
        }
        let routed = self.host_ranges()?;
        self.state.check_vpc(&spec, &routed)?;
        let before = self.state.vpcs.insert(spec.id.clone(), spec.clone());
        let result = self.vpcs_changed();
        if result.is_err() {
            match before {
                Some(before) => self.state.vpcs.insert(spec.id, before),
                None => self.state.vpcs.remove(&spec.id),
            };
        }
        result
    }

    pub(crate) fn known(&self) -> (BTreeSet<VpcId>, BTreeSet<GroupId>) {
        let vpcs = self.state.vpcs.keys().filter(|id| id.as_str() != BRIDGE_VPC);
        let groups = self.state.groups.keys().filter(|id| id.as_str() != BRIDGE_GROUP);
        (vpcs.cloned().collect(), groups.cloned().collect())
    }

    pub(crate) fn remove_vpc(&mut self, id: &VpcId) -> Result<(), NetworkError> {
        let Some(vpc) = self.state.vpcs.get(id) else { return Ok(()) };
        if let Some(interface) = self.state.interfaces_of(id).next() {
            let (vpc_id, subnet) = (id.clone(), interface.spec.subnet);
            return Err(NetworkError::VpcInUse { vpc_id, subnet, eni_id: interface.spec.eni_id.clone() });
        }
        let before = vpc.clone();
        self.state.vpcs.remove(id);
        let result = self.vpcs_changed();
        if result.is_err() {
            self.state.vpcs.insert(before.id.clone(), before);
        }
        result
    }

    fn vpcs_changed(&mut self) -> Result<(), NetworkError> {
        self.converge_addresses()?;
        self.load_and_open()
    }

    /// The ranges the host routes by itself: no VPC may overlap them. Left out is what covers more than a /8: default
    /// routes, and the halves of the address space that VPN clients put in front of them.
    pub(crate) fn host_ranges(&mut self) -> Result<Vec<Cidr>, NetworkError> {
        let routes = self.host.routes().during(|| "cannot list routes".to_owned())?;
        let protocol = self.config.route_protocol;
        let own = routes.into_iter().filter(|route| route.protocol != protocol);
        let mut ranges: Vec<Cidr> =
            own.map(|route| route.destination).filter(|to| to.prefix_len() >= 8).collect();
        ranges.sort();
        ranges.dedup();
        Ok(ranges)
    }

    /// Brings the addresses that the host holds and the ranges that lead nowhere to what the VPCs ask for.
    pub(super) fn converge_addresses(&mut self) -> Result<(), NetworkError> {
        let vpcs = self.state.vpcs.values();
        let mut hold = BTreeSet::from([self.config.metadata, self.config.resolver]);
        hold.extend(self.config.instance_metadata);
        let mut cover: BTreeSet<Cidr> = self.config.public_range.into_iter().collect();
        for vpc in vpcs {
            hold.extend(vpc.subnets.iter().copied().map(vpc::router));
            hold.insert(vpc::resolver(vpc.cidr));
            cover.insert(vpc.cidr);
        }
        let nowhere = NextHop::Unreachable { metric: LAST_METRIC };
        let mut requests = vec![];
        // Ranges lead nowhere before anything in them is held.
        let protocol = self.config.route_protocol;
        requests
            .extend(cover.difference(&self.covered).map(|range| route::add_route(*range, nowhere, protocol)));
        requests.extend(hold.difference(&self.held).map(|one| route::add_address(self.bridge, *one, 32)));
        self.host.request_all(requests).during(|| "cannot hold the routers' addresses".to_owned())?;
        for address in self.held.difference(&hold) {
            self.host
                .request_gone(route::delete_address(self.bridge, *address, 32))
                .during(|| format!("cannot give up {address}"))?;
        }
        for range in self.covered.difference(&cover) {
            self.host
                .request_gone(route::delete_route(*range, nowhere, protocol))
                .during(|| format!("cannot remove the route of {range}"))?;
        }
        (self.held, self.covered) = (hold, cover);
        Ok(())
    }

    /// Brings the routes to single addresses to what the adopted interfaces ask for, given all that `exist`.
    pub(super) fn converge_routes(&mut self, exist: &[Route]) -> Result<(), NetworkError> {
        let interfaces: Vec<_> = self.state.interfaces.values().cloned().collect();
        let wanted = |address: Cidr, index: Option<u32>| {
            let wants = |one: &Interface| {
                let InterfaceSpec { address: private, public_address, .. } = one.spec;
                index == Some(one.host_index)
                    && (address == Cidr::host(private) || public_address.map(Cidr::host) == Some(address))
            };
            interfaces.iter().any(wants)
        };
        let protocol = self.config.route_protocol;
        let ours = exist.iter().filter(|route| route.protocol == protocol && !route.unreachable);
        for route in ours.filter(|route| !wanted(route.destination, route.link)) {
            let Some(index) = route.link else { continue };
            self.host
                .request_gone(route::delete_route(
                    route.destination,
                    NextHop::Link { index, source: None },
                    protocol,
                ))
                .during(|| format!("cannot remove the route to {}", route.destination))?;
        }
        interfaces.iter().try_for_each(|interface| self.connect_host(interface))
    }
}
