//! The links to the outside, and forwarding from them.
//!
//! Whether IPv4 forwards a packet is decided by the setting of the link it came in on. Tasks' links have it set, so
//! traffic between tasks needs nothing of the host. Answers from outside come in on the link of the default route,
//! which therefore has to forward too as soon as a task has a public address. The global `ip_forward` would turn
//! every link of the host into a router's; setting just this link, and refusing in our own chain (`gated`) what it
//! would newly forward but not to or from tasks, leaves the host forwarding exactly what it forwarded before.
//!
//! When someone else turns `ip_forward` on (a container engine does), the refusal is lifted: from then on forwarding
//! is their decision. On teardown the setting goes back, unless `ip_forward` is on by then.

use std::collections::BTreeSet;

use addressing::Cidr;

use crate::{
    engine::Engine,
    error::{During, NetworkError},
    ruleset, sysctl,
};

#[derive(Debug, Default)]
pub(crate) struct Uplinks {
    /// Links that did not forward before we made them.
    opened: BTreeSet<String>,
    /// Whether the host forwards everywhere by its own will.
    host_forwards: bool,
}

impl Uplinks {
    pub(crate) fn new(opened: BTreeSet<String>) -> Uplinks {
        Uplinks { opened, host_forwards: false }
    }

    pub(crate) fn opened(&self) -> BTreeSet<String> {
        self.opened.clone()
    }

    /// The links whose forwarding is confined to tasks.
    pub(crate) fn gated(&self) -> Vec<String> {
        match self.host_forwards {
            true => vec![],
            false => self.opened.iter().cloned().collect(),
        }
    }

    /// Puts the settings back.
    pub(crate) fn close(&mut self) -> Result<(), NetworkError> {
        if host_forwards()? {
            return Ok(());
        }
        std::mem::take(&mut self.opened)
            .iter()
            .try_for_each(|link| sysctl::write_if_present(&setting(link), "0"))
    }
}

impl Engine {
    /// Called before an interface gets a public address; only the first one has to look at the host.
    pub(super) fn uplinks_needed(&mut self) -> Result<(), NetworkError> {
        match self.has_public() {
            true => Ok(()),
            false => self.open_uplinks(),
        }
    }

    /// Follows changes of the default route and of the host's own forwarding, while anyone has a public address.
    pub(crate) fn refresh_uplinks(&mut self) -> Result<(), NetworkError> {
        match self.has_public() {
            true => self.open_uplinks(),
            false => Ok(()),
        }
    }

    fn has_public(&self) -> bool {
        self.state.interfaces.values().any(|interface| interface.spec.public_address.is_some())
    }

    fn open_uplinks(&mut self) -> Result<(), NetworkError> {
        let before = self.uplinks.gated();
        let routes = self.host.routes().during(|| "cannot list routes".to_owned())?;
        let outward: BTreeSet<u32> = routes
            .iter()
            .filter(|route| route.destination == Cidr::ANYWHERE)
            .filter_map(|route| route.link)
            .collect();
        let links = self.host.links().during(|| "cannot list links".to_owned())?;
        for link in links.into_iter().filter(|link| outward.contains(&link.index)) {
            if sysctl::read(&setting(&link.name))? == "0" {
                // Confined first, so that nothing new is forwarded in between.
                self.uplinks.opened.insert(link.name.clone());
                self.save_frame()?;
                self.gate()?;
                sysctl::write(&setting(&link.name), "1")?;
                tracing::info!(link = %link.name, "made the uplink forward for tasks with public addresses");
            }
        }
        self.uplinks.host_forwards = host_forwards()?;
        match before == self.uplinks.gated() {
            true => Ok(()),
            false => self.gate(),
        }
    }

    fn gate(&self) -> Result<(), NetworkError> {
        self.nft.run("confine forwarding", &ruleset::gate(&self.config.table, &self.uplinks.gated()))
    }
}

fn setting(link: &str) -> String {
    format!("net/ipv4/conf/{link}/forwarding")
}

fn host_forwards() -> Result<bool, NetworkError> {
    Ok(sysctl::read("net/ipv4/ip_forward")? != "0")
}
