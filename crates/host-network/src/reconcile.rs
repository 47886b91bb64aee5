//! Convergence to a whole desired network, as after a restart: what is already so stays untouched, and the ruleset
//! is replaced once, in one transaction. Applied again it changes nothing.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use crate::{
    bridge::BRIDGE_VPC,
    engine::Engine,
    error::NetworkError,
    spec::{DesiredNetwork, InterfaceSpec, Reconciled},
    state::{Interface, State, Unions, check_rules},
};

type Gone = oneshot::Receiver<Result<(), NetworkError>>;

impl Engine {
    /// Refuses as a whole, changing nothing, when VPCs or rules are not valid; interfaces fail one by one. A VPC that
    /// overlaps what the host routes by now was made before that: it is warned of and kept.
    /// The receivers tell when what was detached is gone.
    pub(crate) fn reconcile(
        &mut self,
        desired: DesiredNetwork,
    ) -> Result<(Reconciled, Vec<Gone>), NetworkError> {
        let routed = self.host_ranges()?;
        let mut next = State::default();
        for vpc in desired.vpcs {
            next.check_vpc(&vpc, &[])?;
            if let Some(range) = routed.iter().find(|range| range.overlaps(vpc.cidr)) {
                tracing::warn!(vpc_id = %vpc.id, cidr = %vpc.cidr, %range, "the host routes part of a VPC's range elsewhere");
            }
            next.vpcs.insert(vpc.id.clone(), vpc);
        }
        for group in desired.security_groups {
            check_rules(&group)?;
            next.groups.insert(group.id.clone(), group);
        }
        next.remote_members = desired.remote_members;
        self.keep_bridge(&mut next);

        let mut report = Reconciled::default();
        let mut gone = vec![];
        let mut missing = vec![];
        let mut kept: Vec<InterfaceSpec> = vec![];
        let desired_ids: BTreeSet<_> = desired.interfaces.iter().map(|spec| spec.eni_id.clone()).collect();
        for spec in desired.interfaces {
            match self.state.interfaces.get(&spec.eni_id) {
                Some(existing) if same_place(&existing.spec, &spec) => kept.push(spec),
                _ => missing.push(spec),
            }
        }
        let stay: BTreeSet<_> = kept.iter().map(|spec| spec.eni_id.clone()).collect();
        let bridged = |one: &Interface| one.spec.vpc_id.as_str() == BRIDGE_VPC;
        let others = self.state.interfaces.iter().filter(|(_, interface)| !bridged(interface));
        let leave: Vec<_> = others.map(|(id, _)| id).filter(|id| !stay.contains(id)).cloned().collect();
        for eni_id in leave {
            gone.push(self.detach(&eni_id)?);
            if !desired_ids.contains(&eni_id) {
                report.detached.push(eni_id);
            }
        }

        next.interfaces = std::mem::take(&mut self.state.interfaces);
        next.unions = Unions::default();
        let unchanged = !self.dirty
            && next.vpcs == self.state.vpcs
            && next.groups == self.state.groups
            && next.remote_members == self.state.remote_members
            && kept.iter().all(|spec| next.interfaces.get(&spec.eni_id).is_some_and(|one| one.spec == *spec));
        if unchanged {
            next.unions = std::mem::take(&mut self.state.unions);
        }
        self.state = next;
        if !unchanged {
            self.bring_up_to_date(kept, &mut report)?;
        } else {
            report.kept = kept.into_iter().map(|spec| spec.eni_id).collect();
        }
        for spec in missing {
            let eni_id = spec.eni_id.clone();
            match self.attach(spec) {
                Ok(_) => report.attached.push(eni_id),
                Err(error) => report.failed.push((eni_id, error.to_string())),
            }
        }
        self.reconcile_isolated(&desired.isolated)?;
        Ok((report, gone))
    }

    fn bring_up_to_date(
        &mut self,
        kept: Vec<InterfaceSpec>,
        report: &mut Reconciled,
    ) -> Result<(), NetworkError> {
        self.dirty = true;
        self.converge_addresses()?;
        let mut given_up = vec![];
        for spec in kept {
            let Some(mut interface) = self.state.interfaces.get(&spec.eni_id).cloned() else { continue };
            let before = std::mem::replace(&mut interface.spec, spec);
            if let Err(error) = self.state.check_interface(&interface.spec, self.config.public_range) {
                // It stays closed to what it should not have: groups that exist, and the public address it had.
                report.failed.push((before.eni_id.clone(), error.to_string()));
                interface.spec.security_groups.retain(|group| self.state.groups.contains_key(group));
                interface.spec.public_address = before.public_address;
            } else {
                report.kept.push(before.eni_id.clone());
            }
            if interface.spec != before {
                self.records.save_interface(&interface.slot, &interface.spec)?;
            }
            self.connect_host(&interface)?;
            if let Some(public) = before.public_address
                && interface.spec.public_address != Some(public)
            {
                given_up.push((interface.clone(), public));
            }
            self.state.interfaces.insert(before.eni_id, interface);
        }
        self.load_and_open()?;
        given_up.into_iter().try_for_each(|(interface, public)| self.give_up_public(&interface, public))
    }
}

/// What cannot be changed under a running task.
fn same_place(a: &InterfaceSpec, b: &InterfaceSpec) -> bool {
    a.vpc_id == b.vpc_id && a.subnet == b.subnet && a.address == b.address && a.mac == b.mac
}
