//! Attaching, changing and detaching interfaces.
//!
//! Order within a change: check, then links and routes, then rules. What a packet may do is decided by elements
//! added last, and without them everything is dropped: a change that breaks off leaves an interface closed, not open.

use std::{collections::BTreeSet, net::Ipv4Addr};

use addressing::{Cidr, MacAddress, vpc};
use tokio::sync::oneshot;

use crate::{
    engine::Engine,
    entry::Entry,
    error::{During, NetworkError},
    netlink::{NextHop, route},
    slot::{Doomed, HOST_MAC, Slot},
    spec::{Attached, EniId, GroupId, InterfaceSpec},
    state::Interface,
};

impl Engine {
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
                route::add_route(
                    Cidr::ANYWHERE,
                    NextHop::Gateway { index: inner, router },
                    self.config.route_protocol,
                ),
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
            route::add_route(Cidr::host(spec.address), hop, self.config.route_protocol),
            route::set_link_alias(index, &format!("longshore {} {}", spec.eni_id, spec.address)),
        ];
        if let Some(public) = spec.public_address {
            requests.push(route::add_route(Cidr::host(public), hop, self.config.route_protocol));
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
        self.ports.release(eni_id);
        self.sources.forget(interface.spec.address);
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
        self.drop_spare_unions()?;
        Ok(gone)
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
    fn change_interface(
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
        let changed = self.change_to(&before, &after);
        self.dirty |= changed.is_err();
        changed
    }

    fn change_to(&mut self, before: &Interface, after: &Interface) -> Result<(), NetworkError> {
        self.state.check_groups(&after.spec)?;
        self.ensure_union(&after.spec.security_groups)?;
        self.records.save_interface(&after.slot, &after.spec)?;
        if after.spec.public_address != before.spec.public_address {
            self.connect_host(after)?;
        }
        let (old, new) = (self.entries(before), self.entries(after));
        self.change_elements(&old, &new)?;
        self.state.interfaces.insert(after.spec.eni_id.clone(), after.clone());
        match before.spec.public_address {
            Some(public) if after.spec.public_address != Some(public) => self.give_up_public(before, public),
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
            .request_gone(route::delete_route(Cidr::host(public), hop, self.config.route_protocol))
            .during(|| format!("cannot remove the route to {public}"))?;
        self.slots.doom(Doomed { host_index: None, netns: None, addresses: vec![public], done: None });
        Ok(())
    }

    pub(crate) fn list(&self) -> Vec<Attached> {
        self.state.interfaces.values().map(|interface| self.attached(interface)).collect()
    }

    pub(super) fn attached(&self, interface: &Interface) -> Attached {
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

    pub(super) fn change_elements(
        &mut self,
        old: &BTreeSet<Entry>,
        new: &BTreeSet<Entry>,
    ) -> Result<(), NetworkError> {
        let removed: Vec<_> = old.difference(new).map(Entry::element).collect();
        let added: Vec<_> = new.difference(old).map(Entry::element).collect();
        self.elements.change(&removed, &added).during(|| {
            let concerned =
                old.symmetric_difference(new).map(|entry| format!("{} {}", entry.set(), entry.text()));
            format!("cannot change nftables elements ({})", concerned.collect::<Vec<_>>().join("; "))
        })
    }
}
