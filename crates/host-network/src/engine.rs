//! What carries changes out, one after another, on the one thread that owns the sockets and the state: its beginning
//! and its end. The changes themselves are in `vpcs`, `groups`, `interfaces`, `uplink`, `isolated` and `reconcile`.

use std::{collections::BTreeSet, net::Ipv4Addr};

use addressing::{Cidr, MacAddress};

use crate::{
    bridge::HostPorts,
    error::{During, NetworkError},
    netlink::{NextHop, Nftables, Rtnetlink, route},
    nft::Nft,
    records::{Frame, Records},
    ruleset,
    slot::{Doomed, SlotNames, SlotPool},
    sources::{self, Sources},
    spec::NetworkConfig,
    state::State,
    uplink::Uplinks,
    vpcs::LAST_METRIC,
};

/// The bridge's own hardware address; nothing is ever sent there.
const BRIDGE_MAC: [u8; 6] = [0x02, 0x6c, 0x73, 0x68, 0x00, 0x02];
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
    /// Ports of the node that are kept from everyone else.
    pub(super) ports: HostPorts,
    /// Flows that appear as others'.
    pub(super) sources: Sources,
    /// Whether their table was made; it is not replaced after that.
    sources_loaded: bool,
    /// A change broke off: the kernel may not have what the state says until everything is loaded again.
    pub(super) dirty: bool,
}

impl Engine {
    /// Adopts what is there and brings the machine to it. In the calling thread's namespace.
    pub(crate) fn start(config: NetworkConfig) -> Result<Engine, NetworkError> {
        let mut host = Rtnetlink::open().during(|| "cannot open a netlink socket".to_owned())?;
        let elements = Nftables::open(&config.table).during(|| "cannot open a netlink socket".to_owned())?;
        let records = Records::open(&config.run_dir)?;
        let names = SlotNames::new(&config.prefix, records.namespaces());
        let sources = Sources::start(&config.table)?;
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
                .filter(|route| route.protocol == config.route_protocol && route.unreachable)
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
            ports: HostPorts::default(),
            sources,
            sources_loaded: false,
            dirty: true,
        };
        let begun = engine
            .begin_bridge(&routes)
            .and_then(|()| engine.converge_addresses())
            .and_then(|()| engine.converge_routes(&routes))
            .and_then(|()| engine.load_and_open());
        match begun {
            Ok(()) => Ok(engine),
            Err(error) => {
                // Where tasks run they keep what they have; otherwise nothing stays of an attempt that failed.
                if engine.state.interfaces.is_empty()
                    && let Err(error) = engine.teardown()
                {
                    tracing::warn!(%error, "a network that could not start could not be removed either");
                }
                Err(error)
            }
        }
    }

    /// Loads the whole ruleset, writes down what it was made from, and opens the way outside.
    pub(super) fn load_and_open(&mut self) -> Result<(), NetworkError> {
        self.dirty = true;
        let closed = self.look_at_uplinks()?;
        self.save_frame()?;
        self.load_ruleset()?;
        self.open_uplinks(&closed)?;
        self.dirty = false;
        Ok(())
    }

    fn load_ruleset(&mut self) -> Result<(), NetworkError> {
        let several: Vec<_> =
            self.state.interfaces.values().map(|one| one.spec.security_groups.clone()).collect();
        for groups in several.iter().filter(|groups| groups.len() > 1) {
            self.state.unions.number(groups);
        }
        let mut script = ruleset::whole(&self.state, &self.config, &self.uplinks.gated());
        if !self.sources_loaded {
            script.push_str(&sources::table(&self.config.table, &self.config.prefix));
        }
        self.nft.run("load the ruleset", &script)?;
        self.sources_loaded = true;
        Ok(())
    }

    pub(super) fn save_frame(&self) -> Result<(), NetworkError> {
        self.records.save_frame(&Frame {
            vpcs: self.state.vpcs.values().cloned().collect(),
            groups: self.state.groups.values().cloned().collect(),
            remote_members: self.state.remote_members.clone(),
            gated: self.uplinks.opened(),
        })
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
            let gone =
                self.host.request_gone(route::delete_route(range, nowhere, self.config.route_protocol));
            results.push(gone.during(|| format!("cannot remove the route of {range}")));
        }
        let gone = self.host.request_gone(route::delete_link(self.bridge));
        results.push(gone.during(|| "cannot remove the bridge".to_owned()));
        let tables = [self.config.table.clone(), sources::name(&self.config.table)];
        let script: String = tables.iter().map(|table| ruleset::remove_table(table)).collect();
        results.push(self.nft.run("remove the tables", &script));
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
