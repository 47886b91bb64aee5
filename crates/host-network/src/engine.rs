//! Carries changes out, one after another, on the one thread that owns the sockets and the state.
//!
//! Order within a change: check, then links and routes, then rules. What a packet may do is decided by elements added last, and
//! without them everything is dropped: a change that breaks off leaves an interface closed, not open.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use addressing::{Cidr, MacAddress, vpc};
use tokio::sync::oneshot;

use crate::{
    entry::Entry,
    error::{During, NetworkError},
    netlink::{NextHop, Nftables, ROUTE_PROTOCOL, Route, Rtnetlink, route},
    nft::Nft,
    records::{Frame, Records},
    ruleset,
    slot::{Doomed, HOST_MAC, Slot, SlotNames, SlotPool},
    spec::{
        Attached, EniId, GroupId, InterfaceSpec, METADATA_ADDRESS, NetworkConfig, RESOLVER_ADDRESS,
        SecurityGroupSpec, VpcId, VpcSpec,
    },
    state::{Interface, State, check_rules},
    uplink::Uplinks,
};

/// Unreachable routes stand behind any other route of the same range.
const LAST_METRIC: u32 = u32::MAX - 1;
/// The bridge's own hardware address; nothing is ever sent there.
const BRIDGE_MAC: [u8; 6] = [0x02, 0x6c, 0x73, 0x68, 0x00, 0x02];
/// Chains of several groups that no interface uses are kept for the next task of the same kind, up to this many.
const SPARE_UNIONS: usize = 32;

#[derive(Debug)]
pub(crate) struct Engine {
    pub(super) config: NetworkConfig,
    pub(super) state: State,
    pub(super) host: Rtnetlink,
    pub(super) elements: Nftables,
    pub(super) nft: Nft,
    pub(super) records: Records,
    pub(super) slots: SlotPool,
    pub(super) uplinks: Uplinks,
    /// The link that holds the routers' addresses.
    pub(super) bridge: u32,
    /// Addresses the bridge holds.
    pub(super) held: BTreeSet<Ipv4Addr>,
    /// Ranges with an unreachable route.
    pub(super) covered: BTreeSet<Cidr>,
}

impl Engine {
    /// Adopts what is there and brings the machine to it. In the calling thread's namespace.
    pub(crate) fn start(config: NetworkConfig) -> Result<Engine, NetworkError> {
        let mut host = Rtnetlink::open().during(|| "cannot open a netlink socket".to_owned())?;
        let elements = Nftables::open(&config.table).during(|| "cannot open a netlink socket".to_owned())?;
        let records = Records::open(&config.run_dir)?;
        let names = SlotNames::new(&config.prefix, records.namespaces());
        let bridge = ensure_bridge(&mut host, &format!("{}-vpc", config.prefix))?;
        let (state, gated, doomed) = crate::adopt::adopt(&config, &records, &names, &mut host)?;
        let held = host.addresses().during(|| "cannot list addresses".to_owned())?;
        let routes = host.routes().during(|| "cannot list routes".to_owned())?;
        let slots = SlotPool::start(names, config.warm_namespaces)?;
        doomed.into_iter().for_each(|one| slots.doom(one));
        let mut engine = Engine {
            nft: Nft::new(&config.nft),
            held: held
                .iter()
                .filter(|(index, ..)| *index == bridge)
                .map(|(_, address, _)| *address)
                .collect(),
            covered: routes
                .iter()
                .filter(|route| route.protocol == ROUTE_PROTOCOL && route.unreachable)
                .map(|route| route.destination)
                .collect(),
            uplinks: Uplinks::new(gated),
            config,
            state,
            host,
            elements,
            records,
            slots,
            bridge,
        };
        engine.converge_addresses()?;
        engine.converge_routes(&routes)?;
        engine.load_and_open()?;
        Ok(engine)
    }

    /// Brings the routes to single addresses to what the adopted interfaces ask for, given all that `exist`.
    fn converge_routes(&mut self, exist: &[Route]) -> Result<(), NetworkError> {
        let interfaces: Vec<_> = self.state.interfaces.values().cloned().collect();
        let wanted = |address: Cidr, index: Option<u32>| {
            let wants = |one: &Interface| {
                let InterfaceSpec { address: private, public_address, .. } = one.spec;
                index == Some(one.host_index)
                    && (address == Cidr::host(private) || public_address.map(Cidr::host) == Some(address))
            };
            interfaces.iter().any(wants)
        };
        let ours = exist.iter().filter(|route| route.protocol == ROUTE_PROTOCOL && !route.unreachable);
        for route in ours.filter(|route| !wanted(route.destination, route.link)) {
            let Some(index) = route.link else { continue };
            self.host
                .request_gone(route::delete_route(route.destination, NextHop::Link { index, source: None }))
                .during(|| format!("cannot remove the route to {}", route.destination))?;
        }
        interfaces.iter().try_for_each(|interface| self.connect_host(interface))
    }

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

    /// The ranges the host routes by itself, its default route left out: no VPC may overlap them.
    pub(crate) fn host_ranges(&mut self) -> Result<Vec<Cidr>, NetworkError> {
        let routes = self.host.routes().during(|| "cannot list routes".to_owned())?;
        let own = routes.into_iter().filter(|route| route.protocol != ROUTE_PROTOCOL);
        let mut ranges: Vec<Cidr> =
            own.map(|route| route.destination).filter(|to| *to != Cidr::ANYWHERE).collect();
        ranges.sort();
        ranges.dedup();
        Ok(ranges)
    }

    pub(crate) fn attach(&mut self, spec: InterfaceSpec) -> Result<Attached, NetworkError> {
        if let Some(existing) = self.state.interfaces.get(&spec.eni_id) {
            return match existing.spec == spec {
                true => Ok(self.attached(existing)),
                false => Err(NetworkError::Interface {
                    eni_id: spec.eni_id,
                    reason: "is attached with other properties".to_owned(),
                }),
            };
        }
        self.state.check_interface(&spec, self.config.public_range)?;
        let mut slot = self.slots.take(&mut self.host)?;
        let interface = Interface { spec, slot: slot.name.clone(), host_index: slot.host_index };
        if let Err(error) = self.connect(&interface, &mut slot) {
            self.disconnect(&interface);
            self.slots.doom(slot.doomed());
            return Err(error);
        }
        let attached = self.attached(&interface);
        self.state.interfaces.insert(interface.spec.eni_id.clone(), interface);
        Ok(attached)
    }

    fn connect(&mut self, interface: &Interface, slot: &mut Slot) -> Result<(), NetworkError> {
        let spec = &interface.spec;
        let router = vpc::router(spec.subnet);
        let host_mac = MacAddress::new(HOST_MAC).expect("a unicast address");
        let inner = slot.inner_index;
        slot.inside
            .request_all(vec![
                route::set_link_mac_up(inner, spec.mac),
                route::add_address(inner, spec.address, spec.subnet.prefix_len()),
                route::add_neighbour(inner, router, host_mac),
                route::add_route(Cidr::ANYWHERE, NextHop::Gateway { index: inner, router }),
            ])
            .during(|| format!("cannot set up eth0 of {}", spec.eni_id))?;
        self.connect_host(interface)?;
        self.ensure_union(&spec.security_groups)?;
        let added = self.entries(interface);
        self.change_elements(&BTreeSet::new(), &added)?;
        // Last: an interface with a record is complete, one without is taken down on the next start.
        self.records.save_interface(&interface.slot, spec)
    }

    /// The host's side: neighbour, routes, and a label for whoever looks.
    pub(super) fn connect_host(&mut self, interface: &Interface) -> Result<(), NetworkError> {
        let (spec, index) = (&interface.spec, interface.host_index);
        // The router's address is not held when the VPC's description was lost: routed all the same until it is back.
        let source = Some(vpc::router(spec.subnet)).filter(|router| self.held.contains(router));
        let hop = NextHop::Link { index, source };
        let mut requests = vec![
            route::add_neighbour(index, spec.address, spec.mac),
            route::add_route(Cidr::host(spec.address), hop),
            route::set_link_alias(index, &format!("longshore {} {}", spec.eni_id, spec.address)),
        ];
        if let Some(public) = spec.public_address {
            requests.push(route::add_route(Cidr::host(public), hop));
        }
        self.host.request_all(requests).during(|| format!("cannot route to {}", spec.eni_id))
    }

    /// Undoes what of [`Engine::connect`] has happened, the slot apart.
    fn disconnect(&mut self, interface: &Interface) {
        for entry in self.entries(interface) {
            // Absent ones refuse; each stands alone so that the others go.
            let _ = self.elements.change(&[entry.element()], &[]);
        }
        if let Err(error) = self.records.remove_interface(&interface.slot) {
            tracing::warn!(%error, "cannot remove a record");
        }
    }

    /// Closes the interface at once; the receiver hears when link and namespace are gone too.
    pub(crate) fn detach(
        &mut self,
        eni_id: &EniId,
    ) -> Result<oneshot::Receiver<Result<(), NetworkError>>, NetworkError> {
        let (done, gone) = oneshot::channel();
        let Some(interface) = self.state.interfaces.get(eni_id).cloned() else {
            // Detaching twice is as good as once.
            let _ = done.send(Ok(()));
            return Ok(gone);
        };
        let removed = self.entries(&interface);
        self.change_elements(&removed, &BTreeSet::new())?;
        self.state.interfaces.remove(eni_id);
        self.records.remove_interface(&interface.slot)?;
        let mut addresses = vec![interface.spec.address];
        addresses.extend(interface.spec.public_address);
        let netns = Some(self.slots.names().netns(&interface.slot));
        self.slots.doom(Doomed {
            host_index: Some(interface.host_index),
            netns,
            addresses,
            done: Some(done),
        });
        self.drop_spare_unions(SPARE_UNIONS)?;
        Ok(gone)
    }

    pub(crate) fn set_security_group(&mut self, spec: SecurityGroupSpec) -> Result<(), NetworkError> {
        if self.state.groups.get(&spec.id) == Some(&spec) {
            return Ok(());
        }
        check_rules(&spec)?;
        let what = format!("set the rules of {}", spec.id);
        self.nft.run(&what, &ruleset::group(&self.config.table, &spec))?;
        self.state.groups.insert(spec.id.clone(), spec);
        self.save_frame()
    }

    pub(crate) fn remove_security_group(&mut self, id: &GroupId) -> Result<(), NetworkError> {
        if !self.state.groups.contains_key(id) {
            return Ok(());
        }
        if self.state.group_in_use(id) {
            return Err(NetworkError::GroupInUse(id.clone()));
        }
        self.drop_spare_unions(0)?;
        self.nft.run(&format!("remove {id}"), &ruleset::remove_group(&self.config.table, id))?;
        self.state.groups.remove(id);
        self.save_frame()
    }

    pub(crate) fn set_interface_groups(
        &mut self,
        eni_id: &EniId,
        groups: BTreeSet<GroupId>,
    ) -> Result<(), NetworkError> {
        self.change_interface(eni_id, |spec| spec.security_groups = groups)
    }

    pub(crate) fn associate_public(&mut self, eni_id: &EniId, address: Ipv4Addr) -> Result<(), NetworkError> {
        self.state.check_public(eni_id, address, self.config.public_range)?;
        self.change_interface(eni_id, |spec| spec.public_address = Some(address))
    }

    pub(crate) fn disassociate_public(&mut self, eni_id: &EniId) -> Result<(), NetworkError> {
        self.change_interface(eni_id, |spec| spec.public_address = None)
    }

    /// Changes groups or public address of an interface in place.
    pub(super) fn change_interface(
        &mut self,
        eni_id: &EniId,
        change: impl FnOnce(&mut InterfaceSpec),
    ) -> Result<(), NetworkError> {
        let Some(before) = self.state.interfaces.get(eni_id).cloned() else {
            return Err(NetworkError::UnknownInterface(eni_id.clone()));
        };
        let mut after = before.clone();
        change(&mut after.spec);
        if after == before {
            return Ok(());
        }
        self.state.check_groups(&after.spec)?;
        self.ensure_union(&after.spec.security_groups)?;
        self.records.save_interface(&after.slot, &after.spec)?;
        if after.spec.public_address != before.spec.public_address {
            self.connect_host(&after)?;
        }
        let (old, new) = (self.entries(&before), self.entries(&after));
        self.change_elements(&old, &new)?;
        self.state.interfaces.insert(eni_id.clone(), after.clone());
        match before.spec.public_address {
            Some(public) if after.spec.public_address != Some(public) => self.give_up_public(&before, public),
            _ => Ok(()),
        }
    }

    pub(super) fn give_up_public(
        &mut self,
        interface: &Interface,
        public: Ipv4Addr,
    ) -> Result<(), NetworkError> {
        let hop = NextHop::Link { index: interface.host_index, source: None };
        self.host
            .request_gone(route::delete_route(Cidr::host(public), hop))
            .during(|| format!("cannot remove the route to {public}"))?;
        self.slots.doom(Doomed { host_index: None, netns: None, addresses: vec![public], done: None });
        Ok(())
    }

    pub(crate) fn set_remote_members(
        &mut self,
        group: &GroupId,
        addresses: BTreeSet<Ipv4Addr>,
    ) -> Result<(), NetworkError> {
        let before = self.state.remote_members.get(group).cloned().unwrap_or_default();
        if before == addresses {
            return Ok(());
        }
        if !self.state.groups_with_members().contains(group) {
            self.nft.run(&format!("add a set for {group}"), &ruleset::members(&self.config.table, group))?;
        }
        let remote = |addresses: &BTreeSet<Ipv4Addr>| -> BTreeSet<Entry> {
            let elsewhere = addresses.iter().filter(|address| !self.state.is_local_member(group, **address));
            elsewhere.map(|address| Entry::Member { group: group.clone(), address: *address }).collect()
        };
        let (old, new) = (remote(&before), remote(&addresses));
        self.change_elements(&old, &new)?;
        self.state.remote_members.insert(group.clone(), addresses);
        self.save_frame()
    }

    pub(crate) fn list(&self) -> Vec<Attached> {
        self.state.interfaces.values().map(|interface| self.attached(interface)).collect()
    }

    fn attached(&self, interface: &Interface) -> Attached {
        Attached {
            spec: interface.spec.clone(),
            netns_path: self.slots.names().netns(&interface.slot),
            host_interface: interface.slot.clone(),
        }
    }

    /// The interface's elements, except memberships that also hold without it.
    fn entries(&self, interface: &Interface) -> BTreeSet<Entry> {
        let mut entries = Entry::of(interface, &self.state.unions);
        entries.retain(|entry| match entry {
            Entry::Member { group, address } => {
                !self.state.remote_members.get(group).is_some_and(|remote| remote.contains(address))
            }
            _ => true,
        });
        entries
    }

    fn change_elements(&mut self, old: &BTreeSet<Entry>, new: &BTreeSet<Entry>) -> Result<(), NetworkError> {
        let removed: Vec<_> = old.difference(new).map(Entry::element).collect();
        let added: Vec<_> = new.difference(old).map(Entry::element).collect();
        self.elements.change(&removed, &added).during(|| {
            let concerned =
                old.symmetric_difference(new).map(|entry| format!("{} {}", entry.set(), entry.text()));
            format!("cannot change nftables elements ({})", concerned.collect::<Vec<_>>().join("; "))
        })
    }

    fn ensure_union(&mut self, groups: &BTreeSet<GroupId>) -> Result<(), NetworkError> {
        if groups.len() < 2 {
            return Ok(());
        }
        let (number, new) = self.state.unions.number(groups);
        if !new {
            return Ok(());
        }
        let script = ruleset::union(&self.config.table, number, groups.iter());
        let result = self.nft.run("join security groups", &script);
        if result.is_err() {
            self.state.unions.forget(groups);
        }
        result
    }

    /// Removes chains of several groups that no interface uses when there are more than `spare`.
    fn drop_spare_unions(&mut self, spare: usize) -> Result<(), NetworkError> {
        if self.state.unions.len() <= spare {
            return Ok(());
        }
        let used: BTreeSet<_> =
            self.state.interfaces.values().map(|one| one.spec.security_groups.clone()).collect();
        let unused: BTreeMap<_, _> = self
            .state
            .unions
            .iter()
            .filter(|(groups, _)| !used.contains(*groups))
            .map(|(groups, number)| (groups.clone(), number))
            .collect();
        if unused.len() <= spare {
            return Ok(());
        }
        let script: String =
            unused.values().map(|number| ruleset::remove_union(&self.config.table, *number)).collect();
        self.nft.run("remove unused chains", &script)?;
        unused.keys().for_each(|groups| self.state.unions.forget(groups));
        Ok(())
    }

    /// Loads the whole ruleset, writes down what it was made from, and opens the way outside.
    pub(super) fn load_and_open(&mut self) -> Result<(), NetworkError> {
        let closed = self.look_at_uplinks()?;
        self.save_frame()?;
        self.load_ruleset()?;
        self.open_uplinks(&closed)
    }

    fn load_ruleset(&mut self) -> Result<(), NetworkError> {
        let several: Vec<_> =
            self.state.interfaces.values().map(|one| one.spec.security_groups.clone()).collect();
        for groups in several.iter().filter(|groups| groups.len() > 1) {
            self.state.unions.number(groups);
        }
        self.nft.run("load the ruleset", &ruleset::whole(&self.state, &self.config, &self.uplinks.gated()))
    }

    pub(super) fn save_frame(&self) -> Result<(), NetworkError> {
        self.records.save_frame(&Frame {
            vpcs: self.state.vpcs.values().cloned().collect(),
            groups: self.state.groups.values().cloned().collect(),
            remote_members: self.state.remote_members.clone(),
            gated: self.uplinks.opened(),
        })
    }

    /// Brings the addresses that the host holds and the ranges that lead nowhere to what the VPCs ask for.
    pub(super) fn converge_addresses(&mut self) -> Result<(), NetworkError> {
        let vpcs = self.state.vpcs.values();
        let mut hold = BTreeSet::from([METADATA_ADDRESS, RESOLVER_ADDRESS]);
        let mut cover = BTreeSet::from([self.config.public_range]);
        for vpc in vpcs {
            hold.extend(vpc.subnets.iter().copied().map(vpc::router));
            hold.insert(vpc::resolver(vpc.cidr));
            cover.insert(vpc.cidr);
        }
        let nowhere = NextHop::Unreachable { metric: LAST_METRIC };
        let mut requests = vec![];
        // Ranges lead nowhere before anything in them is held.
        requests.extend(cover.difference(&self.covered).map(|range| route::add_route(*range, nowhere)));
        requests.extend(hold.difference(&self.held).map(|one| route::add_address(self.bridge, *one, 32)));
        self.host.request_all(requests).during(|| "cannot hold the routers' addresses".to_owned())?;
        for address in self.held.difference(&hold) {
            self.host
                .request_gone(route::delete_address(self.bridge, *address, 32))
                .during(|| format!("cannot give up {address}"))?;
        }
        for range in self.covered.difference(&cover) {
            self.host
                .request_gone(route::delete_route(*range, nowhere))
                .during(|| format!("cannot remove the route of {range}"))?;
        }
        (self.held, self.covered) = (hold, cover);
        Ok(())
    }

    /// Removes everything. What fails does not keep the rest from being removed; the first failure is returned.
    pub(crate) fn teardown(&mut self) -> Result<(), NetworkError> {
        let mut results = vec![];
        for interface in std::mem::take(&mut self.state.interfaces).into_values() {
            let netns = Some(self.slots.names().netns(&interface.slot));
            let host_index = Some(interface.host_index);
            let mut addresses = vec![interface.spec.address];
            addresses.extend(interface.spec.public_address);
            self.slots.doom(Doomed { host_index, netns, addresses, done: None });
            results.push(self.records.remove_interface(&interface.slot));
        }
        self.slots.empty_and_stop();
        results.push(self.uplinks.close());
        let nowhere = NextHop::Unreachable { metric: LAST_METRIC };
        for range in std::mem::take(&mut self.covered) {
            let gone = self.host.request_gone(route::delete_route(range, nowhere));
            results.push(gone.during(|| format!("cannot remove the route of {range}")));
        }
        let gone = self.host.request_gone(route::delete_link(self.bridge));
        results.push(gone.during(|| "cannot remove the bridge".to_owned()));
        results.push(self.nft.run("remove the table", &ruleset::remove_table(&self.config.table)));
        for name in crate::records::names_in(self.slots.names().directory())? {
            results.push(crate::namespace::drop_kept(&self.slots.names().netns(&name)));
        }
        results.push(self.records.remove_all());
        results.into_iter().collect()
    }
}

fn ensure_bridge(host: &mut Rtnetlink, name: &str) -> Result<u32, NetworkError> {
    let failed = || format!("cannot make the bridge {name}");
    if let Some(link) = host.link(name).during(failed)? {
        host.request_all(vec![route::set_link_up(link.index)]).during(failed)?;
        return Ok(link.index);
    }
    let mac = MacAddress::new(BRIDGE_MAC).expect("a unicast address");
    host.request_all(vec![route::add_bridge(name, mac)]).during(failed)?;
    crate::sysctl::write_if_present(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1")?;
    let link = host.link(name).during(failed)?;
    link.map(|link| link.index).ok_or_else(|| NetworkError::Config(format!("the bridge {name} vanished")))
}
