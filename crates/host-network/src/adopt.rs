//! What of an earlier run still stands. An interface is adopted when its record, its link and its namespace are all
//! there; every other link, namespace or record of ours is a leftover and goes.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    error::{During, NetworkError},
    namespace,
    netlink::Rtnetlink,
    records::{Records, names_in},
    slot::{Doomed, SlotNames},
    spec::{NetworkConfig, SecurityGroupSpec},
    state::{Interface, State},
};

/// Names of namespaces without any interface begin with this; slots' begin with the configured prefix.
pub(crate) const ISOLATED: &str = "isolated-";

/// The state to go on from, the links that an earlier run made forward, and what is to be taken down.
pub(crate) fn adopt(
    config: &NetworkConfig,
    records: &Records,
    names: &SlotNames,
    host: &mut Rtnetlink,
) -> Result<(State, BTreeSet<String>, Vec<Doomed>), NetworkError> {
    let frame = records.load_frame()?;
    let mut state = State {
        vpcs: frame.vpcs.into_iter().map(|vpc| (vpc.id.clone(), vpc)).collect(),
        groups: frame.groups.into_iter().map(|group| (group.id.clone(), group)).collect(),
        remote_members: frame.remote_members,
        ..State::default()
    };
    let mut links: BTreeMap<String, u32> = host
        .links()
        .during(|| "cannot list links".to_owned())?
        .into_iter()
        .filter(|link| link.kind.as_deref() == Some("veth") && is_slot(&link.name, &config.prefix))
        .map(|link| (link.name, link.index))
        .collect();
    let mut kept: BTreeSet<String> = names_in(names.directory())?.into_iter().collect();
    kept.retain(|name| !(name.starts_with(ISOLATED) && namespace::is_kept(&names.netns(name))));
    links.keys().chain(&kept).for_each(|name| names.skip(name));

    for (slot, spec) in records.load_interfaces()? {
        let complete = kept.contains(&slot) && namespace::is_kept(&names.netns(&slot));
        match links.get(&slot).copied().filter(|_| complete) {
            Some(host_index) => {
                links.remove(&slot);
                kept.remove(&slot);
                // A group whose rules were lost allows nothing until it is set again.
                for group in &spec.security_groups {
                    state.groups.entry(group.clone()).or_insert_with(|| SecurityGroupSpec {
                        id: group.clone(),
                        ingress: vec![],
                        egress: vec![],
                    });
                }
                state.interfaces.insert(spec.eni_id.clone(), Interface { spec, slot, host_index });
            }
            None => {
                tracing::info!(eni_id = %spec.eni_id, "the interface's link or namespace is gone, forgetting it");
                records.remove_interface(&slot)?;
            }
        }
    }
    let leftovers: BTreeSet<String> = links.keys().chain(&kept).cloned().collect();
    let doomed = leftovers
        .into_iter()
        .map(|name| Doomed {
            host_index: links.get(&name).copied(),
            netns: kept.contains(&name).then(|| names.netns(&name)),
            addresses: vec![],
            done: None,
        })
        .collect();
    Ok((state, frame.gated, doomed))
}

fn is_slot(name: &str, prefix: &str) -> bool {
    let number = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| u32::from_str_radix(number, 16).is_ok())
}
