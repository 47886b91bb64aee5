//! Security groups: their rules, their members, and the chains that join several of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use crate::{
    engine::Engine,
    entry::Entry,
    error::NetworkError,
    ruleset,
    spec::{GroupId, SecurityGroupSpec},
    state::check_rules,
};

/// Chains of several groups that no interface uses are kept for the next task of the same kind, up to this many.
const SPARE_UNIONS: usize = 32;

impl Engine {
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
        self.drop_unions_beyond(0)?;
        self.nft.run(&format!("remove {id}"), &ruleset::remove_group(&self.config.table, id))?;
        self.state.groups.remove(id);
        self.save_frame()
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

    pub(super) fn ensure_union(&mut self, groups: &BTreeSet<GroupId>) -> Result<(), NetworkError> {
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

    /// Keeps the chains of several groups within bounds, after an interface has gone.
    pub(super) fn drop_spare_unions(&mut self) -> Result<(), NetworkError> {
        self.drop_unions_beyond(SPARE_UNIONS)
    }

    /// Removes chains of several groups that no interface uses when there are more than `spare`.
    fn drop_unions_beyond(&mut self, spare: usize) -> Result<(), NetworkError> {
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
}
